"""Writes coming runs as an iCalendar file (RFC 5545)."""

import json
import re

WIDTH = 75  # bytes, which a line may have


def calendar(events):
    """Return the calendar as text.

    events: JSON with `database`, `now`, and a list of `runs`, each with job_id, job,
    description, schedule, note and run_at; times are in UTC like 20310501T070000Z.
    """
    facts = json.loads(events)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//pgagent//pgagent_python//EN",
        "METHOD:PUBLISH",
        "X-WR-CALNAME:" + escaped("Jobs of " + facts["database"]),
    ]
    for run in facts["runs"]:
        lines += event(run, facts["database"], facts["now"])
    return "".join(map(folded, [*lines, "END:VCALENDAR"]))


def event(run, database, now):
    """Return the lines of one run, whose identity is its job and its time."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", database)
    details = [run["schedule"], run["note"], run["description"]]
    return [
        "BEGIN:VEVENT",
        f"UID:{run['job_id']}-{run['run_at']}@{host}.pgagent",
        "DTSTAMP:" + now,
        "DTSTART:" + run["run_at"],
        "SUMMARY:" + escaped(run["job"]),
        "DESCRIPTION:" + escaped("\n".join(filter(None, details))),
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def escaped(text):
    """Return a text as the value of a property."""
    text = re.sub(r"([\\;,])", r"\\\1", text)
    text = re.sub(r"\r\n|\r|\n", r"\\n", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def folded(line):
    """Return a line, ended, and continued where it would be too long."""
    pieces, size = [""], 0
    for character in line:
        width = len(character.encode())
        if size + width > WIDTH:
            pieces.append("")
            size = 1  # the space that a continuation begins with
        pieces[-1] += character
        size += width
    return "\r\n ".join(pieces) + "\r\n"
