"""A calendar of coming runs: RFC 5545."""

import re

LONGEST = 75  # bytes of a line


def escaped(text: str) -> str:
    """Escape a text value."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", " ", text.replace("\r\n", "\n"))
    return re.sub(r"([\\;,])", r"\\\1", text).replace("\n", "\\n")


def folded(line: str) -> str:
    """Fold a line that is too long, between characters."""
    data = line.encode()
    pieces: list[bytes] = []
    start = 0
    while len(data) - start > (width := LONGEST - bool(pieces)):
        end = start + width
        while data[end] & 0xC0 == 0x80:  # amid a character
            end -= 1
        pieces.append(data[start:end])
        start = end
    return b"\r\n ".join([*pieces, data[start:]]).decode()


def calendar(events: "list[tuple[int, str, str, str]]", stamp: str, host: str) -> str:
    """Write runs (job id, job, description, time as 20310501T090000Z) as a calendar."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//pgagent//upcoming runs//EN"]
    for job_id, job, description, time in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:job-{job_id}-{time}@{escaped(host)}",
            f"DTSTAMP:{stamp}",
            f"DTSTART:{time}",
            f"SUMMARY:{escaped(job)}",
            f"DESCRIPTION:{escaped(description)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(folded(line) + "\r\n" for line in lines)


RUNS = """
    SELECT j.jobid, left(j.jobname, 200) AS jobname,
        left(concat_ws(
            E'\\n', nullif(left(j.jobdesc, 200), ''), left(n.schedule_name, 200), n.note
        ), 1000) AS what,
        to_char(n.run_at AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') AS run_at
    FROM pgagent.pga_job AS j,
        pgagent.next_runs(j.jobid::bigint, now(), $2, $3) AS n
    WHERE j.jobenabled AND ($1 IS NULL OR j.jobid = pgagent.pga_job_id($1))
    ORDER BY n.run_at, j.jobid LIMIT $3"""
NOW = """
    SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') AS stamp,
        current_database() AS host"""


def upcoming_ics(job: "str | None", until: "str | None", max_rows: "int | None") -> str:
    """Return the coming runs as a calendar."""
    if job is not None:  # refuse an unknown one even if no job is enabled
        ask("SELECT pgagent.pga_job_id($1)", "text", job)
    ask("SELECT pgagent.pga_check_max_rows($1)", "integer", max_rows)
    runs = ask(RUNS, "text timestamptz integer", job, until, max_rows)
    (now,) = ask(NOW)
    events = [(r["jobid"], r["jobname"], r["what"], r["run_at"]) for r in runs]
    return calendar(events, now["stamp"], now["host"] + ".pgagent")
