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
    pieces, start = [], 0
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
