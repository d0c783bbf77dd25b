"""Recurrence rules of RFC 5545 as the text of a schedule."""

import re
from datetime import datetime

DAYS = {"SU": 0, "MO": 1, "TU": 2, "WE": 3, "TH": 4, "FR": 5, "SA": 6}
FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
RANGES = {"BYMINUTE": (0, 59), "BYHOUR": (0, 23), "BYMONTH": (1, 12)}
KNOWN = {
    *("FREQ", "INTERVAL", "BYMINUTE", "BYHOUR", "BYDAY", "BYMONTHDAY", "BYMONTH"),
    *("BYSECOND", "WKST", "UNTIL"),
}
STAMP = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?$")
BY_DAY = re.compile(r"([+-]?\d+)?(SU|MO|TU|WE|TH|FR|SA)$")


def refuse(problem: str, detail: str) -> None:
    """Raise the error for a rule that can't be taken over."""
    raise RefusalError(problem, detail)


def parts_of(text: str) -> "tuple[dict[str, str], str | None, str | None]":
    """Return the parts of RRULE, and value and zone of DTSTART."""
    rule, start, zone = "", None, None
    for line in re.split(r"[\r\n]+", text.strip()):
        name, _, value = line.partition(":")
        name = name.upper().partition(";")[0]
        if not value and "FREQ=" in line.upper():
            rule = line
        elif name == "RRULE":
            rule = value
        elif name == "DTSTART":
            start = value.strip().upper()
            for parameter in line.partition(":")[0].split(";")[1:]:
                key, _, zone_name = parameter.partition("=")
                zone = zone_name if key.upper() == "TZID" else zone
        elif line.strip():
            refuse(f'"{name}" can\'t be expressed', "Known are DTSTART and one RRULE.")
    pairs = [part.partition("=") for part in rule.strip().strip(";").split(";")]
    return (
        {key.strip().upper(): value.strip().upper() for key, _, value in pairs},
        start,
        zone,
    )


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
    """Return the numbers of a BY… part, sorted."""
    low, high = RANGES[name]
    found = []
    for item in parts[name].split(","):
        if not item.isdigit() or not low <= int(item) <= high:
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
            elif item.isdigit() and 1 <= int(item) <= 31:
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
                "Allowed are SU, MO … SA, such as MO,WE or 2TU.",
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
    return f"@every {seconds} seconds"


def spread(interval: int, size: int, offset: int) -> "str | None":
    """Return every interval-th of 0 to size - 1, if that goes round evenly."""
    if size % interval:
        return None
    if interval == 1:
        return "*"
    return listed(list(range(offset % interval, size, interval)))


def schedule_of(text: str) -> "tuple[str, str | None, str | None, str | None]":  # noqa: C901, PLR0912
    """Return schedule, time zone, start and end, as text, of a recurrence rule."""
    parts, start, zone = parts_of(text)
    freq = parts.get("FREQ", "")
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
    if not parts.get("INTERVAL", "1").isdigit() or int(parts.get("INTERVAL", "1")) < 1:
        refuse(
            f'INTERVAL: "{parts["INTERVAL"]}" is not allowed',
            "A whole number from 1 is wanted.",
        )
    interval = int(parts.get("INTERVAL", "1"))
    begin, utc = instant(start) if start else (datetime(2001, 1, 1), False)  # noqa: DTZ001
    until = None
    if "UNTIL" in parts:
        moment, until_utc = instant(parts["UNTIL"])
        until = f"{moment:%Y-%m-%d %H:%M:%S}{'Z' if until_utc else ''}"
    zone = "UTC" if utc else zone
    first = f"{begin:%Y-%m-%d %H:%M:%S}" if start else None
    restricted = any(name.startswith("BY") and name != "BYSECOND" for name in parts)

    if freq == "SECONDLY" or (
        freq in ("MINUTELY", "HOURLY")
        and not restricted
        and (60 if freq == "MINUTELY" else 24) % interval
    ):
        if restricted:
            refuse(
                "FREQ=SECONDLY with BY… can't be expressed", "Leave the BY… parts out."
            )
        return (
            every(interval * {"SECONDLY": 1, "MINUTELY": 60, "HOURLY": 3600}[freq]),
            zone,
            first,
            until,
        )

    minute, hour, month = str(begin.minute), str(begin.hour), "*"
    month_day, week_day = days_of(parts)
    odd = None
    if freq == "MINUTELY":
        minute, hour = spread(interval, 60, begin.minute), "*"
        odd = minute is None
    elif freq == "HOURLY":
        hour = spread(interval, 24, begin.hour)
        odd = hour is None
    elif freq == "MONTHLY":
        month = spread(interval, 12, begin.month - 1)
        odd = month is None
        if month not in (None, "*"):
            month = listed([int(m) + 1 for m in month.split(",")])
    else:
        odd = interval > 1
    if odd:
        refuse(
            f"INTERVAL={interval} with FREQ={freq} can't be expressed",
            "What divides the hour, the day or the year can.",
        )
    if freq == "WEEKLY" and week_day == "*":
        week_day = str((begin.weekday() + 1) % 7)
    if freq in ("MONTHLY", "YEARLY") and month_day == week_day == "*":
        month_day = str(begin.day)
    if freq == "YEARLY" and "BYMONTH" not in parts:
        month = str(begin.month)
    if "BYMINUTE" in parts:
        minute = listed(numbers_of(parts, "BYMINUTE"))
    if "BYHOUR" in parts:
        hour = listed(numbers_of(parts, "BYHOUR"))
    if "BYMONTH" in parts:
        month = listed(numbers_of(parts, "BYMONTH"))
    return f"{minute} {hour} {month_day} {month} {week_day}", zone, first, until
