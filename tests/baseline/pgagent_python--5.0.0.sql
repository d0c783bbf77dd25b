-- Installs the extension pgagent_python. Built from sql/plpython/ by `make`; do not edit.
\echo Use "CREATE EXTENSION pgagent_python CASCADE" to load this file. \quit
SET LOCAL search_path = pg_catalog, pg_temp;

-- describe.sql: what a schedule means, in plain English.

CREATE FUNCTION pgagent.pga_describe(
    minutes boolean[], hours boolean[], weekdays boolean[], monthdays boolean[], months boolean[],
    every double precision, at text, reboot boolean, timezone text
)
RETURNS text LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
"""A schedule in plain English."""

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
WEEKDAYS = (
    *("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
)
MOST_TIMES = 6  # that are listed one by one


def enumerate_words(words: "list[str]") -> str:
    """Join words as English does: a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def ordinal(number: int) -> str:
    """Return the number as 1st, 2nd, 3rd, 4th and so on."""
    if number in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def selected(field: "list[bool]", low: int = 0) -> "list[int]":
    """Return what a field selects; everything, if nothing."""
    values = [n for n, chosen in enumerate(field, low) if chosen]
    return values or list(range(low, low + len(field)))


def step_of(values: "list[int]", size: int) -> int:
    """Return n if the values are every n-th of 0 to size - 1, else 0."""
    step = size // len(values)
    return step if values == list(range(0, size, step)) and size % step == 0 else 0


def spans(values: "list[int]", names: "list[str]") -> str:
    """Name values, three or more in a row as from ... to ...."""
    found = []
    start = 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] == values[end - 1] + 1:
            continue
        run = [names[v] for v in values[start:end]]
        found += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
        start = end
    return enumerate_words(found)


def describe_times(minutes: "list[int]", hours: "list[int]") -> str:
    """Say at which times of day it runs."""
    every = step_of(minutes, 60)
    if len(hours) == 24:
        if every:
            return "every minute" if every == 1 else describe_every(every * 60)
        return f"at {plural('minute', minutes)} {numbers(minutes)} of every hour"
    if len(minutes) * len(hours) <= MOST_TIMES:
        return "at " + enumerate_words(
            [f"{hour:02}:{minute:02}" for hour in hours for minute in minutes]
        )
    names = [f"{hour:02}" for hour in range(24)]
    if every:
        often = "every minute" if every == 1 else describe_every(every * 60)
        return f"{often} in the {plural('hour', hours)} {spans(hours, names)}"
    return (
        f"at {plural('minute', minutes)} {numbers(minutes)} of the"
        f" {plural('hour', hours)} {spans(hours, names)}"
    )


def plural(word: str, values: "list[int]") -> str:
    """Return the word in the number that the values want."""
    return word if len(values) == 1 else word + "s"


def numbers(values: "list[int]") -> str:
    """Name numbers."""
    return spans(values, [str(n) for n in range(max(values) + 1)])


def describe_days(
    weekdays: "list[int]", monthdays: "list[bool]", months: "list[int]"
) -> "list[str]":
    """Say on which days it runs."""
    parts = []
    names = [ordinal(n) for n in range(32)]
    days = [n for n, chosen in enumerate(monthdays[:31], 1) if chosen]
    if monthdays[31]:
        last = "the last day"
        on = f"the {spans(days, names)} and {last}" if days else last
        parts.append(f"on {on} of the month")
    elif days and len(days) < 31:
        parts.append(f"on the {spans(days, names)} of the month")
    if len(weekdays) < 7:
        which = spans(weekdays, [f"{name}s" for name in WEEKDAYS])
        parts.append(f"if that is among {which}" if parts else f"on {which}")
    if len(months) < 12:
        parts.append(f"in {spans(months, ['', *MONTHS])}")
    return parts


def describe_every(seconds: float) -> str:
    """Say how often it runs."""
    for size, unit in (
        (604800, "week"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ):
        if seconds % size == 0:
            count = int(seconds // size)
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return "every second" if seconds == 1 else f"every {seconds:g} seconds"


def describe(
    minutes: "list[bool]",
    hours: "list[bool]",
    weekdays: "list[bool]",
    monthdays: "list[bool]",
    months: "list[bool]",
    every: "float | None",
    at: "str | None",
    reboot: bool,  # noqa: FBT001
    timezone: str,
) -> str:
    """Describe a row of pga_schedule; `every` in seconds, `at` as local time."""
    if reboot:
        return "when a runner starts"
    if every is not None:
        return describe_every(float(every))
    if at is not None:
        return f"once, at {at} ({timezone})"
    days = describe_days(selected(weekdays), monthdays, selected(months, 1))
    times = describe_times(selected(minutes), selected(hours))
    return f"{', '.join([times, *days])} ({timezone})"
return describe(minutes, hours, weekdays, monthdays, months, every, at, reboot, timezone)
$python$;
REVOKE ALL ON FUNCTION pgagent.pga_describe(boolean[], boolean[], boolean[], boolean[], boolean[], double precision, text, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_describe(boolean[], boolean[], boolean[], boolean[], boolean[], double precision, text, boolean, text) IS
'A schedule in plain English: its fields, each in the form of pga_schedule, or its interval in seconds, or its one local time, or whether it waits for a runner to start.';

CREATE FUNCTION pgagent.pga_describe(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_describe(
        p_schedule.jscminutes, p_schedule.jschours, p_schedule.jscweekdays,
        p_schedule.jscmonthdays, p_schedule.jscmonths,
        extract(epoch FROM p_schedule.jscevery)::double precision,
        to_char(COALESCE(pgagent.pga_local_time(p_schedule.jsctimezone, p_schedule.jscat),
                         p_schedule.jscat AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI:SS'),
        p_schedule.jscreboot, p_schedule.jsctimezone
    )
$$;
REVOKE ALL ON FUNCTION pgagent.pga_describe(pgagent.pga_schedule) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_describe(pgagent.pga_schedule) IS
'A row of pga_schedule in plain English, without its start, end and exceptions.';

CREATE FUNCTION pgagent.describe_schedule(schedule text, timezone text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(pgagent.pga_describe(p), '; and ')
    FROM pgagent.pga_schedule_parsed($1, $2, now()) AS p
$$;
REVOKE ALL ON FUNCTION pgagent.describe_schedule(text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.describe_schedule(text, text) IS
'What the text of a schedule means, in plain English. Raises 22023 if it can''t be read. Example: SELECT pgagent.describe_schedule(''30 2 * * mon-fri'', ''Europe/Berlin'').';

CREATE FUNCTION pgagent.describe_schedule(schedule_id bigint)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_describe(s) FROM pgagent.pga_schedule AS s WHERE s.jscid = $1 $$;
REVOKE ALL ON FUNCTION pgagent.describe_schedule(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.describe_schedule(bigint) IS
'What a stored schedule means, in plain English; NULL if there is none with this id. Example: SELECT jscname, pgagent.describe_schedule(jscid) FROM pgagent.pga_schedule.';

-- crontab.sql: taking over the jobs of cron(8).

CREATE FUNCTION pgagent.import_crontab(
    crontab text, dry_run boolean DEFAULT true, timezone text DEFAULT NULL,
    prefix text DEFAULT 'crontab'
)
RETURNS TABLE (line integer, entry text, job text, schedule text, result text) LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
"""How the helpers refuse what they are given. Included in the body of each of them."""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
"""Asking the database that a helper runs in. Knows PL/Python's plpy."""

from typing import Any


def ask(query: str, types: str = "", *values: Any) -> "list[dict[str, Any]]":  # noqa: ANN401
    """Return the rows of a query; `types` are those of its parameters: "text int"."""
    return plpy.execute(plpy.prepare(query, types.split()), [*values])
"""Reading a crontab(5): what each line becomes."""

import re
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z_]\w*")
NICKNAME = re.compile(r"@\w+")
PERCENT = re.compile(r"(?<!\\)%")
# Nothing can cancel a backend that is busy in here.
LONGEST = 1_000_000  # characters of a crontab
MOST = 10_000_000  # characters of all scripts


class Entry(NamedTuple):
    """A line of a crontab that starts something."""

    line: int
    text: str
    schedule: str
    timezone: "str | None"
    script: str


class Other(NamedTuple):
    """A line that is not taken over as a job, and what becomes of it."""

    line: int
    text: str
    result: str


def quoted(text: str) -> str:
    """Quote text for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def script(command: str, environment: "dict[str, str]") -> str:
    """Write what cron would do for a command as a script."""
    command, *stdin = PERCENT.split(command)
    lines = [f"#!{environment.get('SHELL', '/bin/sh')}"]
    lines += [
        f"export {name}={quoted(value)}"
        for name, value in environment.items()
        if name not in ("SHELL", "MAILTO", "MAILFROM", "CRON_TZ")
    ]
    lines.append('cd "$HOME" || exit')
    command = command.replace("\\%", "%")
    if stdin:
        text = quoted("\n".join(part.replace("\\%", "%") for part in stdin))
        command = f"printf '%s\\n' {text} | {{\n{command}\n}}"
    return "\n".join([*lines, command]) + "\n"


def assignment_in(line: str) -> "tuple[str, str] | None":
    """Return name and value, if the line sets a variable."""
    name, equals, value = map(str.strip, line.partition("="))
    return (name, value) if equals and NAME.fullmatch(name) else None


def entry_in(line: str) -> "tuple[str, str] | None":
    """Return schedule and command, if the line has both."""
    line = line.strip()
    word, *rest = line.split(None, 1)
    if rest and NICKNAME.fullmatch(word):
        return word, rest[0]
    *fields, command = line.split(None, 5)
    if len(fields) < 5:
        return None
    return line[: len(line) - len(command)].rstrip(), command


def read_crontab(text: str) -> "list[Entry | Other]":
    """Read a crontab line by line; comments and blank lines are left out."""
    if len(text) > LONGEST:
        raise RefusalError(
            f"the crontab has {len(text)} characters", f"Allowed are {LONGEST} at most."
        )
    environment: dict[str, str] = {}
    size = 0
    found: list[Entry | Other] = []
    # cron knows no other ends of lines, such as form feeds.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = assignment_in(line)
        entry = entry_in(line)
        if assignment:
            name, value = assignment
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            environment[name] = value
            found.append(Other(number, line, describe_variable(name)))
        elif entry:
            schedule, command = entry
            zone = environment.get("CRON_TZ")
            body = script(command, environment)
            size += len(body)
            if size > MOST:
                raise RefusalError(
                    f"the scripts have more than {MOST} characters at line {number}",
                    "Each has all the variables that are set above it.",
                )
            found.append(Entry(number, line, schedule, zone, body))
        else:
            problem = "can't be read: five fields, or @daily, and a command are wanted"
            found.append(Other(number, line, "problem: " + problem))
    return found


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


def lines_of(crontab: str) -> "list[Entry | Other]":
    """Read a crontab, or raise an error of the database."""
    try:
        return read_crontab(crontab)
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
        plpy.error(
            f"pgagent: crontab: line {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"{len(problems)} lines can't be taken over, and no job was made;"
            " a dry run lists them.",
        )
    for job in new:
        make_job(*job)
    return rows
return import_crontab(crontab, dry_run, timezone, prefix)
$python$;
REVOKE ALL ON FUNCTION pgagent.import_crontab(text, boolean, text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_crontab(text, boolean, text, text) IS
'Takes over a user''s crontab (no column with user names): each line becomes a job with a batch step, named by the prefix and the number of its line; variables are set in the scripts, CRON_TZ is heeded, % begins the standard input. Returns what each line becomes; a dry run, the default, makes nothing. A job whose name exists already is left alone, and it is said if that does something else. Raises 22023 if a line can''t be taken over; then no job is made; and for more than a million characters. Not for PUBLIC. Example: SELECT * FROM pgagent.import_crontab(''30 2 * * 1-5 /usr/local/bin/backup'').';

-- pg_cron.sql: taking over the jobs of the extension pg_cron.

CREATE FUNCTION pgagent.import_pg_cron(dry_run boolean DEFAULT true, all_users boolean DEFAULT false)
RETURNS TABLE (cron_jobid bigint, job text, schedule text, database text, result text)
LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
"""Asking the database that a helper runs in. Knows PL/Python's plpy."""

from typing import Any


def ask(query: str, types: str = "", *values: Any) -> "list[dict[str, Any]]":  # noqa: ANN401
    """Return the rows of a query; `types` are those of its parameters: "text int"."""
    return plpy.execute(plpy.prepare(query, types.split()), [*values])
"""Taking over the jobs of the extension pg_cron."""

from typing import Any

# Not just any table of that name: its owner would have his commands run by ours.
IS_THERE = """
    SELECT 1 FROM pg_depend AS d
    JOIN pg_extension AS e
        ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE e.extname = 'pg_cron'
        AND d.classid = 'pg_class'::regclass AND d.objid = to_regclass('cron.job')"""
ZONE = """
    SELECT COALESCE(nullif(current_setting('cron.timezone', true), ''), 'GMT')
        AS zone"""
JOBS = """
    SELECT jobid, schedule, command, nodename, database, username, active, jobname,
        username <> current_user AS foreign_user
    FROM cron.job ORDER BY jobid"""
HERE = ("localhost", "", "127.0.0.1", "::1")


class DryRunError(Exception):
    """Undoes what was done to see whether it can be done."""


def name_of(job: "dict[str, Any]", taken: "set[str]") -> str:
    """Return the name that a job gets: its own, which two users can have chosen."""
    name = job["jobname"] or f"pg_cron job {job['jobid']}"
    return f"{name} ({job['username']})" if name in taken else name


def differences(job: "dict[str, Any]") -> "tuple[list[str], bool]":
    """Say what is not as it was, and whether the job is enabled."""
    notes = [] if job["active"] else ["disabled, as it was"]
    if job["foreign_user"]:
        notes.append(
            f"runs with the login of the runner, no longer as {job['username']}"
        )
    node = job["nodename"]
    here = node in HERE or node.startswith("/")
    if not here:
        notes.append(
            f"disabled: it would run on the runner's server, no longer on {node}"
        )
    return notes, job["active"] and here


def make_job(name: str, job: "dict[str, Any]", zone: str, enabled: bool) -> None:  # noqa: FBT001
    """Make the job that a job of pg_cron becomes."""
    ask(
        "SELECT pgagent.pga_job_make($1, $2, 'sql'::text, $3, $4, $5, $6)",
        "text text text text text boolean",
        *(name, job["schedule"], job["command"], job["database"], zone, enabled),
    )


def take_over(
    name: str,
    job: "dict[str, Any]",
    zone: str,
    dry: bool,  # noqa: FBT001
    all_users: bool,  # noqa: FBT001
) -> str:
    """Take over one job, and say what becomes of it."""
    if ask("SELECT 1 FROM pgagent.pga_job WHERE jobname = $1", "text", name):
        return "left alone: there is a job of this name"
    if job["foreign_user"] and not all_users:
        return (
            f"left alone: it ran as {job['username']},"
            " and would run with the login of the runner"
        )
    notes, enabled = differences(job)
    try:
        with plpy.subtransaction():
            make_job(name, job, zone, enabled)
            if dry:
                raise DryRunError
    except DryRunError:
        pass
    except plpy.SPIError as e:
        return "problem: " + str(e).split("\n")[0]
    done = "would become a job" if dry else "has become a job"
    return "; ".join([done, *notes])


def import_pg_cron(
    dry_run: "bool | None", all_users: "bool | None"
) -> "list[tuple[int, str, str, str, str]]":
    """Take over all jobs, or none; a dry run, the default, is undone."""
    if not ask(IS_THERE):
        plpy.error(
            "pgagent: import_pg_cron: there is no table cron.job"
            " of the extension pg_cron",
            sqlstate="42P01",
            detail="It is in the database that cron.database_name says.",
        )
    dry = dry_run is not False
    zone = ask(ZONE)[0]["zone"]
    rows = []
    names: set[str] = set()
    for job in ask(JOBS):
        name = name_of(job, names)
        names.add(name)
        result = take_over(name, job, zone, dry, bool(all_users))
        rows.append((job["jobid"], name, job["schedule"], job["database"], result))
    problems = [(row[0], row[4][9:]) for row in rows if row[4].startswith("problem: ")]
    if problems and not dry:
        plpy.error(
            f"pgagent: import_pg_cron: job {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"{len(problems)} jobs can't be taken over, and none was;"
            " a dry run lists them.",
        )
    return rows
return import_pg_cron(dry_run, all_users)
$python$;
REVOKE ALL ON FUNCTION pgagent.import_pg_cron(boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_pg_cron(boolean, boolean) IS
'Takes over the jobs of pg_cron in this database: cron.job, with their schedules in the zone of cron.timezone. Returns what each becomes, and what is different; a dry run, the default, makes nothing. Jobs of other users are left alone, for they would run with the login of the runner, unless all_users is true; a job of another server is made disabled. A job is named as it was (with its user, where two users had one name), and one whose name exists already is left alone too, so that a second call doubles nothing; pg_cron''s own jobs are not touched: unschedule them when all is well. Raises 42P01 if there is no pg_cron, 22023 if a job can''t be taken over; then none is. Not for PUBLIC. Example: SELECT * FROM pgagent.import_pg_cron().';
-- rrule.sql: recurrence rules of calendars.

CREATE FUNCTION pgagent.schedule_from_rrule(
    rrule text, OUT schedule text, OUT timezone text, OUT start_at timestamptz, OUT end_at timestamptz
)
RETURNS record LANGUAGE plpython3u STABLE
SET search_path = pg_catalog, pg_temp
AS $python$
"""How the helpers refuse what they are given. Included in the body of each of them."""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
"""Asking the database that a helper runs in. Knows PL/Python's plpy."""

from typing import Any


def ask(query: str, types: str = "", *values: Any) -> "list[dict[str, Any]]":  # noqa: ANN401
    """Return the rows of a query; `types` are those of its parameters: "text int"."""
    return plpy.execute(plpy.prepare(query, types.split()), [*values])
"""Recurrence rules of RFC 5545 as the text of a schedule."""

import re
from datetime import datetime

DAYS = {"SU": 0, "MO": 1, "TU": 2, "WE": 3, "TH": 4, "FR": 5, "SA": 6}
FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
PERIODS = {"SECONDLY": (1, 1), "MINUTELY": (60, 60), "HOURLY": (3600, 24)}
RANGES = {"BYMINUTE": (0, 59), "BYHOUR": (0, 23), "BYMONTH": (1, 12)}
KNOWN = {
    *("FREQ", "INTERVAL", "BYMINUTE", "BYHOUR", "BYDAY", "BYMONTHDAY", "BYMONTH"),
    *("BYSECOND", "WKST", "UNTIL"),
}
STAMP = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z?))?\Z")
LONGEST = 366 * 86400  # seconds of an interval
MOST = 10_000  # characters of a rule
WHOLE = re.compile(r"[0-9]{1,9}\Z")
BY_DAY = re.compile(r"([+-]?[0-9]{1,2})?(SU|MO|TU|WE|TH|FR|SA)$")


def refuse(problem: str, detail: str) -> None:
    """Raise the error for a rule that can't be taken over."""
    raise RefusalError(problem, detail)


def parts_of(text: str) -> "tuple[dict[str, str], str | None, str | None]":
    """Return the parts of RRULE, and value and zone of DTSTART."""
    rule, start, zone = None, None, None
    unfolded = re.sub(r"(\r\n|\r|\n)[ \t]", "", text.strip())
    for line in re.split(r"[\r\n]+", unfolded):
        head, _, value = line.partition(":")
        name = head.upper().partition(";")[0].strip()
        if not value and "FREQ=" in line.upper():
            name, value = "RRULE", line
        if name == "RRULE" and rule is None:
            rule = value
        elif name == "DTSTART" and start is None:
            start = value.strip().upper()
            for parameter in head.split(";")[1:]:
                key, _, zone_name = parameter.partition("=")
                zone = zone_name if key.upper() == "TZID" else zone
        elif name in ("RRULE", "DTSTART"):
            refuse(f"there are several {name}", "Known are DTSTART and one RRULE.")
        elif name:
            refuse(f'"{name}" can\'t be expressed', "Known are DTSTART and one RRULE.")
    parts: dict[str, str] = {}
    for part in (rule or "").strip().strip(";").split(";"):
        key, _, value = part.upper().partition("=")
        if key.strip() in parts:
            refuse(f"{key.strip()} is given twice", "Each part can be given once.")
        parts[key.strip()] = value.strip()
    return parts, start, zone


def instant(value: str) -> "tuple[datetime, bool]":
    """Read a date or a date and time; tell whether it is in UTC."""
    match = STAMP.match(value)
    try:
        if not match:
            raise ValueError
        moment = datetime.strptime(match[1] + (match[2] or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        refuse(
            f'"{value}" is not a time',
            "Wanted is 20310501T090000, or with a Z for UTC.",
        )
    return moment, bool(match and match[3])


def numbers_of(parts: "dict[str, str]", name: str) -> "list[int]":
    """Return the numbers of a BY... part, sorted."""
    low, high = RANGES[name]
    found = []
    for item in parts[name].split(","):
        if not WHOLE.match(item) or not low <= int(item) <= high:
            refuse(f'{name}: "{item}" is not allowed', f"Allowed are {low} to {high}.")
        found.append(int(item))
    return sorted(set(found))


def listed(numbers: "list[int]") -> str:
    """Write numbers as a field of a crontab line."""
    return ",".join(map(str, numbers))


def days_of(parts: "dict[str, str]") -> "tuple[str, str]":
    """Return the fields for the day of the month and the weekday."""
    month_day, week_day = "*", "*"
    if "BYMONTHDAY" in parts:
        days = []
        for item in parts["BYMONTHDAY"].split(","):
            if item == "-1":
                days.append("L")
            elif WHOLE.match(item) and 1 <= int(item) <= 31:
                days.append(str(int(item)))
            else:
                refuse(
                    f'BYMONTHDAY: "{item}" can\'t be expressed',
                    "Allowed are 1 to 31 and -1, the last day.",
                )
        month_day = ",".join(days)
    if "BYDAY" in parts:
        matches = [BY_DAY.match(item) for item in parts["BYDAY"].split(",")]
        if not all(matches):
            refuse(
                f'BYDAY: "{parts["BYDAY"]}" is not allowed',
                "Allowed are SU, MO ... SA, such as MO,WE or 2TU.",
            )
        weeks = {m[1] for m in matches if m}
        week_day = listed(sorted({DAYS[m[2]] for m in matches if m}))
        if weeks != {None}:
            week = weeks.pop()
            if (
                weeks
                or week is None
                or not 1 <= int(week) <= 4
                or parts["FREQ"] != "MONTHLY"
                or month_day != "*"
            ):
                refuse(
                    f'BYDAY: "{parts["BYDAY"]}" can\'t be expressed',
                    "With FREQ=MONTHLY, the first to the fourth can: 1MO, or 2TU,2TH.",
                )
            month_day = f"{7 * int(week) - 6}-{7 * int(week)}"
        if month_day != "*":
            week_day = "&" + week_day
    return month_day, week_day


def every(seconds: int) -> str:
    """Write an interval."""
    if seconds > LONGEST:
        refuse(
            f"an interval of {seconds} seconds can't be expressed",
            "An interval is 366 days at most.",
        )
    return f"@every {seconds} seconds"


def spread(interval: int, low: int, size: int, first: int) -> "list[int] | None":
    """Return every interval-th value from `first` on, if that goes round evenly."""
    if size % interval:
        return None
    return list(range(low + (first - low) % interval, low + size, interval))


def chosen(parts: "dict[str, str]", name: str, values: "list[int] | None") -> str:
    """Write the field that a BY... part chooses of the values of the interval.

    None stands for what neither the frequency nor its start restricts.
    """
    low, high = RANGES[name]
    if name in parts:
        numbers = numbers_of(parts, name)
        values = [n for n in numbers if values is None or n in values]
    if values == []:
        refuse(
            f"{name}: the interval passes all of them over",
            "Nothing would ever run.",
        )
    return "*" if values is None or len(values) > high - low else listed(values)


def interval_of(parts: "dict[str, str]", freq: str) -> int:
    """Return INTERVAL, after a look at the parts that fit no schedule at all."""
    if freq not in FREQUENCIES:
        refuse(f'FREQ: "{freq}" is not known', f"Known are {', '.join(FREQUENCIES)}.")
    for name in parts:
        if name not in KNOWN:
            refuse(
                f"{name} can't be expressed",
                "A schedule has no count, no positions and no days of the year.",
            )
    if parts.get("BYSECOND", "0") != "0":
        refuse("BYSECOND can't be expressed", "Times of day are to the minute.")
    if freq == "WEEKLY" and "BYMONTHDAY" in parts:
        refuse(
            "BYMONTHDAY is not allowed with FREQ=WEEKLY", "RFC 5545 says so: use DAILY."
        )
    interval = parts.get("INTERVAL", "1")
    if not WHOLE.match(interval) or int(interval) < 1:
        refuse(
            f'INTERVAL: "{interval}" is not allowed',
            "A whole number from 1 is wanted.",
        )
    return int(interval)


def fields_of(parts: "dict[str, str]", interval: int, begin: datetime) -> str:
    """Write the five fields of a rule whose frequency is not in seconds."""
    freq = parts["FREQ"]
    # What the rule does not choose is that of its start.
    minutes = None if "BYMINUTE" in parts else [begin.minute]
    hours = None if "BYHOUR" in parts else [begin.hour]
    months: list[int] | None = None
    even = True
    if freq == "MINUTELY":
        minutes, hours = spread(interval, 0, 60, begin.minute), None
        even = minutes is not None
    elif freq == "HOURLY":
        hours = spread(interval, 0, 24, begin.hour)
        even = hours is not None
    elif freq == "MONTHLY":
        months = spread(interval, 1, 12, begin.month)
        even = months is not None
    elif interval > 1:
        even = False
    if not even:
        refuse(
            f"INTERVAL={interval} with FREQ={freq} can't be expressed",
            "What divides the hour, the day or the year can.",
        )
    month_day, week_day = days_of(parts)
    anyday = month_day == week_day == "*"
    if freq == "WEEKLY" and anyday:
        week_day = str((begin.weekday() + 1) % 7)
    elif freq in ("MONTHLY", "YEARLY") and anyday:
        month_day = str(begin.day)
        if freq == "YEARLY" and "BYMONTH" not in parts:
            months = [begin.month]
    minute = chosen(parts, "BYMINUTE", minutes)
    hour = chosen(parts, "BYHOUR", hours)
    month = chosen(parts, "BYMONTH", months)
    return f"{minute} {hour} {month_day} {month} {week_day}"


def schedule_of(text: str) -> "tuple[str, str | None, str | None, str | None]":
    """Return schedule, time zone, start and end, as text, of a recurrence rule."""
    if len(text) > MOST:
        refuse(f"it has {len(text)} characters", f"Allowed are {MOST} at most.")
    parts, start, zone = parts_of(text)
    freq = parts.get("FREQ", "")
    interval = interval_of(parts, freq)
    begin, utc = instant(start) if start else (datetime(2001, 1, 1), False)  # noqa: DTZ001
    until = None
    if "UNTIL" in parts:
        moment, until_utc = instant(parts["UNTIL"])
        until = f"{moment:%Y-%m-%d %H:%M:%S}{'Z' if until_utc else ''}"
    zone = "UTC" if utc else zone
    first = f"{begin:%Y-%m-%d %H:%M:%S}{'Z' if utc else ''}" if start else None
    restricted = any(name.startswith("BY") and name != "BYSECOND" for name in parts)
    if freq == "SECONDLY" and restricted:
        refuse("FREQ=SECONDLY with BY... can't be expressed", "Leave them out.")
    seconds, round_ = PERIODS.get(freq, (0, 0))
    uneven = bool(seconds) and not restricted and round_ % interval != 0
    if freq == "SECONDLY" or uneven:
        if "BYSECOND" in parts:
            refuse("BYSECOND can't be expressed", "An interval counts from its start.")
        return every(interval * seconds), zone, first, until
    if begin.second and "BYSECOND" not in parts:
        refuse(
            f'DTSTART: "{start}" can\'t be expressed', "Times of day are to the minute."
        )
    return fields_of(parts, interval, begin), zone, first, until


INSTANT = """
    SELECT CASE WHEN $1 LIKE '%Z' THEN $1::timestamptz
        ELSE pgagent.pga_zone_instant(
            COALESCE($2, pgagent.pga_default_timezone()), $1::timestamp)
        END AS instant"""


def schedule_from_rrule(
    rrule: "str | None",
) -> "tuple[str, str | None, str | None, str | None]":
    """Return schedule, time zone, start and end, or raise an error of the database."""
    try:
        text, zone, *times = schedule_of(rrule or "")
    except RefusalError as e:
        plpy.error(f"pgagent: recurrence rule: {e}", detail=e.detail, sqlstate="22023")
    ask(
        "SELECT pgagent.pga_check_timezone($1, 'pga_schedule.jsctimezone'::text)",
        "text",
        zone,
    )
    start, end = (ask(INSTANT, "text text", t, zone)[0]["instant"] for t in times)
    return text, zone, start, end
return schedule_from_rrule(rrule)
$python$;
REVOKE ALL ON FUNCTION pgagent.schedule_from_rrule(text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.schedule_from_rrule(text) IS
'The schedule, as add_schedule() takes it, that an RRULE of RFC 5545 stands for, with the time zone and start of its DTSTART (a second line) and the end of its UNTIL, NULL if it has none; a time without a zone is one in the default zone of schedules. What DTSTART fixes and the rule leaves open is taken from it. Raises 22023 for what a schedule can''t express: COUNT, BYSETPOS, every second week and the like, and for a zone that is not known. Not for PUBLIC. Example: SELECT schedule FROM pgagent.schedule_from_rrule(''FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=30'').';

-- ics.sql: the coming runs, for calendar programs.

CREATE FUNCTION pgagent.upcoming_ics(
    job text DEFAULT NULL, until timestamptz DEFAULT now() + interval '7 days',
    max_rows integer DEFAULT 100
)
RETURNS text LANGUAGE plpython3u STABLE
SET search_path = pg_catalog, pg_temp
AS $python$
"""Asking the database that a helper runs in. Knows PL/Python's plpy."""

from typing import Any


def ask(query: str, types: str = "", *values: Any) -> "list[dict[str, Any]]":  # noqa: ANN401
    """Return the rows of a query; `types` are those of its parameters: "text int"."""
    return plpy.execute(plpy.prepare(query, types.split()), [*values])
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
return upcoming_ics(job, until, max_rows)
$python$;
REVOKE ALL ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) IS
'The coming runs of a job, or of all enabled jobs (NULL), as an iCalendar (RFC 5545), up to "until" and at most max_rows; an event has the same UID each time. Raises what next_runs() does. Not for PUBLIC. Example: SELECT pgagent.upcoming_ics().';

-- mail.sql: mail from a step.

CREATE FUNCTION pgagent.send_mail(
    recipients text[], subject text, body text, sender text DEFAULT 'pgagent@localhost',
    server text DEFAULT 'smtp://localhost', credentials text DEFAULT NULL,
    timeout double precision DEFAULT 30
)
RETURNS void LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
"""How the helpers refuse what they are given. Included in the body of each of them."""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
"""Secrets from the server's files or environment."""

import os
import stat


def secret(source: "str | None", allowed: bool) -> "str | None":  # noqa: FBT001
    """Read `file:/absolute/path`, which nobody else may read, or `env:NAME`.

    What is read goes to wherever the caller says: as good as reading it oneself.
    """
    if source is None:
        return None
    if not allowed:
        raise RefusalError(
            "credentials are for members of pg_read_server_files",
            "Others can call a function of such a role, with SECURITY DEFINER.",
        )
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise RefusalError(
                f'the server\'s environment has no variable "{name}"',
                "It is that of the PostgreSQL server when it was started.",
            )
        return os.environ[name].strip()
    if kind != "file" or not os.path.isabs(name):  # noqa: PTH117
        raise RefusalError(
            "credentials are read from a file or the environment",
            "Wanted is file:/absolute/path or env:NAME, never the secret itself.",
        )
    try:
        # A pipe that nobody writes would keep the backend waiting.
        number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, encoding="utf-8") as file:  # noqa: PTH123
            mode = os.fstat(number).st_mode
            if not stat.S_ISREG(mode):
                raise RefusalError(f'"{name}" is no file', "Wanted is a plain file.")
            if stat.S_IMODE(mode) & 0o077:
                raise RefusalError(
                    f'"{name}" can be read by others', "Wanted is mode 0600: chmod 600."
                )
            return file.read(65536).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusalError(
            f'"{name}" can\'t be read', f"{type(error).__name__}, as the server's user."
        ) from None
"""Whether the caller may read the server's files. Knows PL/Python's plpy."""


def may_read_secrets() -> bool:
    """Return whether the role that calls is a member of pg_read_server_files."""
    (answer,) = plpy.execute(
        "SELECT pg_has_role(current_user, 'pg_read_server_files', 'USAGE') AS yes"
    )
    return bool(answer["yes"])
"""Bounds for what another server says: in size, and in time as a whole."""

import io
import time
from collections.abc import Iterator
from socket import socket
from typing import Any

LONGEST = 262144  # bytes of all answers of a connection
PIECE = 65536  # bytes that are sent at once
LONGEST_WAIT = 3600  # seconds


class LimitedReader(io.RawIOBase):
    """The answers of a server, until a deadline and up to a size.

    A timeout of a socket begins anew with each byte, and nothing can cancel a
    backend that waits in here.
    """

    def __init__(self, connection: socket, deadline: float) -> None:
        """Read from a connected socket, with or without TLS."""
        super().__init__()
        self._connection = connection
        self._raw: Any = connection.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = LONGEST

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> "int | None":  # noqa: ANN401
        """Read some bytes; raise TimeoutError or OSError beyond the bounds."""
        self._connection.settimeout(rest_until(self._deadline))
        size: int | None = self._raw.readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise OSError(f"the answers are longer than {LONGEST} bytes")
        return size

    def close(self) -> None:
        """Close it, and with it the socket if that is closed too."""
        self._raw.close()
        super().close()


def rest_until(deadline: float) -> float:
    """Return the seconds that are left, or raise TimeoutError."""
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError("timed out")
    return rest


def pieces(data: bytes) -> "Iterator[bytes]":
    """Split what is sent, so that the time can be looked at in between."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def deadline_of(timeout: "float | None") -> float:
    """Return when the time limit is over."""
    if timeout is None or not 0 < timeout <= LONGEST_WAIT:
        raise RefusalError(
            f"timeout: {timeout} is out of range",
            f"Wanted are seconds, more than 0 and up to {LONGEST_WAIT}.",
        )
    return time.monotonic() + timeout
"""Sending a message by SMTP."""

import io
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import urlsplit

LONGEST_HEADER = 5000  # characters: parsing an address takes longer than reading it


def message(
    sender: str, recipients: "list[str]", subject: str, body: str
) -> EmailMessage:
    """Compose a message; headers with line breaks are refused."""
    for header in (sender, subject, ", ".join(recipients)):
        if len(header) > LONGEST_HEADER:
            raise RefusalError(
                f"a header is not allowed: it has {len(header)} characters",
                f"Allowed are {LONGEST_HEADER} at most; send several mails.",
            )
    mail = EmailMessage()
    try:
        mail["From"] = sender
        mail["To"] = ", ".join(recipients)
        mail["Subject"] = subject
    except Exception as error:  # noqa: BLE001  # parsers of addresses raise many
        raise RefusalError(
            f"a header is not allowed: {error}", "Headers have one line."
        ) from None
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="pgagent.invalid")
    mail.set_content(body)
    return mail


class Plain(smtplib.SMTP):
    """Without TLS, at first; what a server answers is bounded."""

    deadline: float
    _host: str  # whose certificate is wanted

    def getreply(self) -> "tuple[int, bytes]":
        """Return the next answer."""
        if self.file is None and self.sock is not None:
            reader = LimitedReader(self.sock, self.deadline)
            self.file = io.BufferedReader(reader)
        return super().getreply()

    def send(self, s: Any) -> None:  # noqa: ANN401
        """Send, piece by piece."""
        for piece in pieces(s.encode("ascii") if isinstance(s, str) else bytes(s)):
            try:
                if self.sock is not None:
                    self.sock.settimeout(rest_until(self.deadline))
            except OSError as error:
                self.close()
                raise smtplib.SMTPServerDisconnected(str(error)) from None
            super().send(piece)


class Secure(Plain, smtplib.SMTP_SSL):
    """With TLS."""


def send(
    mail: EmailMessage,
    url: str,
    login: "str | None",
    timeout: "float | None",
    context: "ssl.SSLContext | None" = None,
) -> None:
    """Hand a message to the server: smtps://, or smtp:// with STARTTLS if offered.

    A login, `user:password`, is told to nobody without TLS.
    """
    deadline = deadline_of(timeout)
    try:
        server = urlsplit(url)
        port = server.port
    except ValueError:
        server, port = urlsplit(""), None
    if server.scheme not in ("smtp", "smtps") or not server.hostname or server.username:
        raise RefusalError(
            "server: that is no mail server",
            "Wanted is smtp://host[:port] or smtps://host[:port].",
        )
    tls = context or ssl.create_default_context()
    rest = rest_until(deadline)
    connection = (
        Secure(timeout=rest, context=tls)
        if server.scheme == "smtps"
        else Plain(timeout=rest)
    )
    connection.deadline = deadline
    connection._host = server.hostname  # noqa: SLF001
    with connection:
        code, answer = connection.connect(
            server.hostname, port or (465 if server.scheme == "smtps" else 25)
        )
        if code != 220:
            raise smtplib.SMTPConnectError(code, answer)
        connection.ehlo()
        secure = server.scheme == "smtps"
        if not secure and connection.has_extn("starttls"):
            connection.starttls(context=tls)
            secure = True
        if login:
            if not secure:
                raise RefusalError(
                    "the mail server offers no TLS",
                    "A password is sent through TLS only.",
                )
            user, _, password = login.partition(":")
            connection.login(user, password)
        refused = connection.send_message(mail)
    if refused:  # by some, while others get it
        raise smtplib.SMTPRecipientsRefused(refused)


def send_mail(
    recipients: "list[str] | None",
    subject: "str | None",
    body: "str | None",
    sender: "str | None",
    server: "str | None",
    credentials: "str | None",
    timeout: "float | None",
) -> None:
    """Send a mail, or raise an error of the database."""
    try:
        if not recipients or not all(recipients):
            raise RefusalError(
                "there is no recipient", "Wanted is an array of addresses."
            )
        mail = message(sender or "", recipients, subject or "", body or "")
        send(mail, server or "", secret(credentials, may_read_secrets()), timeout)
    except RefusalError as e:
        plpy.error(f"pgagent: send_mail: {e}", detail=e.detail, sqlstate="22023")
    except (OSError, smtplib.SMTPException) as e:
        plpy.error(
            f"pgagent: send_mail: {type(e).__name__}: {e}",
            sqlstate="08000",
            detail=f"The server is {server}, the time limit {timeout:g} s.",
        )
return send_mail(recipients, subject, body, sender, server, credentials, timeout)
$python$;
REVOKE ALL ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) IS
'Sends a mail from the database server: smtps://host, or smtp://host with STARTTLS where that is offered; certificates are verified. credentials: where user:password is, file:/path (mode 0600) or env:NAME on the server, and sent through TLS only. Only members of pg_read_server_files may name credentials. timeout in seconds, for each connection and then for all of it. Raises 22023 for what is not allowed, 08000 if the server does not take the mail for each recipient. Not for PUBLIC. Example: SELECT pgagent.send_mail(''{dba@example.org}'', ''backup'', ''done'', server => ''smtp://mail.example.org'').';

-- webhook.sql: telling other programs from a step.

CREATE FUNCTION pgagent.post_webhook(
    url text, payload jsonb, credentials text DEFAULT NULL, timeout double precision DEFAULT 30
)
RETURNS integer LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
"""How the helpers refuse what they are given. Included in the body of each of them."""


class RefusalError(ValueError):
    """What is wrong, and what is allowed."""

    def __init__(self, problem: str, detail: str) -> None:
        """Take MESSAGE, without its prefix, and DETAIL of the error."""
        super().__init__(problem)
        self.detail = detail
"""Secrets from the server's files or environment."""

import os
import stat


def secret(source: "str | None", allowed: bool) -> "str | None":  # noqa: FBT001
    """Read `file:/absolute/path`, which nobody else may read, or `env:NAME`.

    What is read goes to wherever the caller says: as good as reading it oneself.
    """
    if source is None:
        return None
    if not allowed:
        raise RefusalError(
            "credentials are for members of pg_read_server_files",
            "Others can call a function of such a role, with SECURITY DEFINER.",
        )
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise RefusalError(
                f'the server\'s environment has no variable "{name}"',
                "It is that of the PostgreSQL server when it was started.",
            )
        return os.environ[name].strip()
    if kind != "file" or not os.path.isabs(name):  # noqa: PTH117
        raise RefusalError(
            "credentials are read from a file or the environment",
            "Wanted is file:/absolute/path or env:NAME, never the secret itself.",
        )
    try:
        # A pipe that nobody writes would keep the backend waiting.
        number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, encoding="utf-8") as file:  # noqa: PTH123
            mode = os.fstat(number).st_mode
            if not stat.S_ISREG(mode):
                raise RefusalError(f'"{name}" is no file', "Wanted is a plain file.")
            if stat.S_IMODE(mode) & 0o077:
                raise RefusalError(
                    f'"{name}" can be read by others', "Wanted is mode 0600: chmod 600."
                )
            return file.read(65536).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusalError(
            f'"{name}" can\'t be read', f"{type(error).__name__}, as the server's user."
        ) from None
"""Whether the caller may read the server's files. Knows PL/Python's plpy."""


def may_read_secrets() -> bool:
    """Return whether the role that calls is a member of pg_read_server_files."""
    (answer,) = plpy.execute(
        "SELECT pg_has_role(current_user, 'pg_read_server_files', 'USAGE') AS yes"
    )
    return bool(answer["yes"])
"""Bounds for what another server says: in size, and in time as a whole."""

import io
import time
from collections.abc import Iterator
from socket import socket
from typing import Any

LONGEST = 262144  # bytes of all answers of a connection
PIECE = 65536  # bytes that are sent at once
LONGEST_WAIT = 3600  # seconds


class LimitedReader(io.RawIOBase):
    """The answers of a server, until a deadline and up to a size.

    A timeout of a socket begins anew with each byte, and nothing can cancel a
    backend that waits in here.
    """

    def __init__(self, connection: socket, deadline: float) -> None:
        """Read from a connected socket, with or without TLS."""
        super().__init__()
        self._connection = connection
        self._raw: Any = connection.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = LONGEST

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> "int | None":  # noqa: ANN401
        """Read some bytes; raise TimeoutError or OSError beyond the bounds."""
        self._connection.settimeout(rest_until(self._deadline))
        size: int | None = self._raw.readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise OSError(f"the answers are longer than {LONGEST} bytes")
        return size

    def close(self) -> None:
        """Close it, and with it the socket if that is closed too."""
        self._raw.close()
        super().close()


def rest_until(deadline: float) -> float:
    """Return the seconds that are left, or raise TimeoutError."""
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError("timed out")
    return rest


def pieces(data: bytes) -> "Iterator[bytes]":
    """Split what is sent, so that the time can be looked at in between."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def deadline_of(timeout: "float | None") -> float:
    """Return when the time limit is over."""
    if timeout is None or not 0 < timeout <= LONGEST_WAIT:
        raise RefusalError(
            f"timeout: {timeout} is out of range",
            f"Wanted are seconds, more than 0 and up to {LONGEST_WAIT}.",
        )
    return time.monotonic() + timeout
"""Posting JSON to a URL."""

import http.client
import io
import ssl
from typing import Any
from urllib.parse import urlsplit

LONGEST_URL = 8000  # characters


def connection_to(
    url: str,
    secret_told: bool,  # noqa: FBT001
    timeout: "float | None",
    context: "ssl.SSLContext | None",
) -> "tuple[http.client.HTTPConnection, str]":
    """Return a connection that is not made yet, and the path; refuse odd URLs."""
    if len(url) > LONGEST_URL:
        raise RefusalError(
            "the URL is not allowed",
            f"It has {len(url)} characters; allowed are {LONGEST_URL} at most.",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusalError(
            "the URL is not allowed", "Wanted is https://... or http://...."
        )
    if parts.username is not None or parts.password is not None:
        raise RefusalError(
            "the URL is not allowed", "A user or a password has no place in it."
        )
    if secret_told and parts.scheme != "https":
        raise RefusalError(
            "credentials are sent through https only", "The URL begins with http://."
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        return plain, target
    tls = context or ssl.create_default_context()
    secure = http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=timeout, context=tls
    )
    return secure, target


def post(
    url: str,
    payload: str,
    authorization: "str | None",
    timeout: "float | None",
    context: "ssl.SSLContext | None" = None,
) -> int:
    """Post the payload; return the status. Nobody is followed elsewhere."""
    deadline = deadline_of(timeout)

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket, *args: Any, **options: Any) -> None:  # noqa: ANN401
            super().__init__(sock, *args, **options)
            self.fp.close()
            self.fp = io.BufferedReader(LimitedReader(sock, deadline))

    try:
        connection, target = connection_to(url, bool(authorization), timeout, context)
        connection.response_class = Response
        body = payload.encode()

        def sent() -> "Iterator[bytes]":
            for piece in pieces(body):
                connection.sock.settimeout(rest_until(deadline))
                yield piece

        headers = {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "User-Agent": "pgagent",
        }
        if authorization:
            headers["Authorization"] = authorization
        try:
            connection.request("POST", target, sent(), headers)
            return connection.getresponse().status
        finally:
            connection.close()
    except RefusalError:
        raise
    except ssl.CertificateError:
        raise
    except (ValueError, http.client.InvalidURL) as error:  # an odd header or port
        raise RefusalError(
            f"the request is not allowed: {type(error).__name__}",
            "The URL or the credentials hold something odd.",
        ) from None


def post_webhook(
    url: "str | None",
    payload: "str | None",
    credentials: "str | None",
    timeout: "float | None",
) -> int:
    """Post JSON and return the status, or raise an error of the database."""
    try:
        told = secret(credentials, may_read_secrets())
        status = post(url or "", payload or "null", told, timeout)
    except RefusalError as e:
        plpy.error(f"pgagent: post_webhook: {e}", detail=e.detail, sqlstate="22023")
    except (OSError, http.client.HTTPException) as e:
        plpy.error(
            f"pgagent: post_webhook: {type(e).__name__}: {e}",
            sqlstate="08000",
            detail=f"The time limit is {timeout:g} s.",
        )
    if status >= 300:
        plpy.error(
            f"pgagent: post_webhook: the answer is {status}",
            sqlstate="08000",
            detail="Redirections are not followed."
            if status < 400
            else "The receiver refuses or fails.",
        )
    return status
return post_webhook(url, payload, credentials, timeout)
$python$;
REVOKE ALL ON FUNCTION pgagent.post_webhook(text, jsonb, text, double precision) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.post_webhook(text, jsonb, text, double precision) IS
'Posts JSON to a URL from the database server and returns the status of the answer, 200 to 299; certificates are verified, redirections are not followed. credentials: where the value of the header Authorization is, file:/path (mode 0600) or env:NAME on the server, and sent to https only; only members of pg_read_server_files may name credentials. timeout in seconds, for each connection and then for all of it. Raises 22023 for what is not allowed, 08000 if the receiver can''t be reached or does not take it. Not for PUBLIC. Example: SELECT pgagent.post_webhook(''https://example.org/hook'', ''{"job": "etl"}'').';

