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
    # Fields that the rule does not choose are those of its start.
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
