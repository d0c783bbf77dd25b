"""Taking over a crontab(5), as `crontab_lines.py` reads it."""

from typing import NamedTuple

# Nothing can cancel a backend that is busy in here.
LONGEST = 1_000_000  # characters of a crontab
MOST = 10_000_000  # characters of all scripts
MOST_NUMBERS = 50  # of lines in an error


class Other(NamedTuple):
    """A line that is not taken over as a job, and what becomes of it."""

    line: int
    text: str
    result: str


def describe_user(name: str) -> str:
    """Say why a line with a user's name is not taken over."""
    return (
        f'problem: before the command stands a user\'s name, "{name}", as in'
        " /etc/crontab: take it out of the line; the job will run as the user of the"
        " runner"
    )


def describe_variable(name: str) -> str:
    """Say what becomes of a variable."""
    if name in ("MAILTO", "MAILFROM"):
        return "not taken over: output is kept in pga_jobsteplog"
    if name == "CRON_TZ":
        return "time zone of the lines below"
    if name == "SHELL":
        return "interpreter of the lines below"
    return "set in the scripts of the lines below"


SCHEDULE = """
    SELECT string_agg(pgagent.pga_schedule_text(p), '; ') AS text
    FROM pgagent.pga_schedule_parsed($1, $2, now()) AS p"""
PRESENT = """
    SELECT bool_or(s.jstcode = $2 AND c.text = $3) AS same
    FROM pgagent.pga_job AS j
    LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid
    CROSS JOIN LATERAL (
        SELECT string_agg(pgagent.pga_schedule_text(p), '; ' ORDER BY p.jscid) AS text
        FROM pgagent.pga_schedule AS p WHERE p.jscjobid = j.jobid
    ) AS c
    WHERE j.jobname = $1 HAVING count(*) > 0"""


def make_job(name: str, entry: Entry, zone: "str | None") -> None:
    """Make the job that a line becomes."""
    ask(
        "SELECT pgagent.pga_job_make($1, $2, 'batch'::text, $3, NULL::text, $4, true)",
        "text text text text",
        *(name, entry.schedule, entry.script, zone),
    )


def result_of(found: "Entry | Variable | Unreadable") -> "Entry | Other":
    """Return a line that becomes a job, or what becomes of another one."""
    if isinstance(found, Entry):
        if not found.user:
            return found
        result = describe_user(found.user)
    elif isinstance(found, Variable):
        result = describe_variable(found.name)
    else:
        wanted = "five fields, or @daily, and a command are wanted"
        result = f"problem: can't be read: {wanted}"
    return Other(found.line, found.text, result)


def limited_lines(crontab: str) -> "list[Entry | Other]":
    """Read a crontab, if it is not too much; raises RefusalError."""
    if len(crontab) > LONGEST:
        raise RefusalError(
            f"the crontab has {len(crontab)} characters",
            f"Allowed are {LONGEST} at most.",
        )
    size = 0
    lines: list[Entry | Other] = []
    for found in read_crontab(crontab, names_users(crontab)):
        lines.append(result_of(found))
        size += len(found.script) if isinstance(found, Entry) else 0
        if size > MOST:
            raise RefusalError(
                f"the scripts have more than {MOST} characters at line {found.line}",
                "Each has all the variables that are set above it.",
            )
    return lines


def lines_of(crontab: str) -> "list[Entry | Other]":
    """Read a crontab, or raise an error of the database."""
    try:
        return limited_lines(crontab)
    except RefusalError as e:
        plpy.error(f"pgagent: crontab: {e}", detail=e.detail, sqlstate="22023")


def import_crontab(
    crontab: "str | None",
    dry_run: "bool | None",
    timezone: "str | None",
    prefix: "str | None",
) -> "list[tuple[int, str, str | None, str | None, str]]":
    """Take over all lines, or none; a dry run, the default, makes nothing."""
    dry = dry_run is not False
    rows: list[tuple[int, str, str | None, str | None, str]] = []
    new = []
    for line in lines_of(crontab or ""):
        if isinstance(line, Other):
            rows.append((line.line, line.text, None, None, line.result))
            continue
        name = f"{prefix or 'crontab'} line {line.line}"
        zone = line.timezone or timezone
        text = None
        try:
            text = ask(SCHEDULE, "text text", line.schedule, zone)[0]["text"]
            present = ask(PRESENT, "text text text", name, line.script, text)
        except plpy.SPIError as e:
            result = "problem: " + str(e).split("\n")[0]
        else:
            if present:
                result = "left alone: there is a job of this name"
                if not present[0]["same"]:
                    result += ", which does something else"
            else:
                result = "would become a job" if dry else "has become a job"
                new.append((name, line, zone))
        rows.append((line.line, line.text, name, text, result))
    if dry:
        return rows
    problems = [(row[0], row[4][9:]) for row in rows if row[4].startswith("problem: ")]
    if problems:
        numbers = ", ".join(str(number) for number, _ in problems[:MOST_NUMBERS])
        more = len(problems) - MOST_NUMBERS
        plpy.error(
            f"pgagent: crontab: line {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"Lines that can't be taken over: {numbers}"
            + (f" and {more} more" if more > 0 else "")
            + ". No job was made; a dry run says of each what it becomes.",
        )
    for job in new:
        make_job(*job)
    return rows
