"""Turns a recurrence rule into schedules that run at the same times."""

from pga_rrule import read_rule, unable, wrong
from pga_rrule_days import day_fields, field, start_of

UNITS = {
    "SECONDLY": "second",
    "MINUTELY": "minute",
    "HOURLY": "hour",
    "DAILY": "day",
    "WEEKLY": "week",
}
MINUTES = range(60)
HOURS = range(24)
NO_CLOCK_CHANGE = {"UTC", "GMT", "UCT", "ZULU", "UNIVERSAL", "GREENWICH"}


def schedules_of(text, default_zone):
    """Return {"schedules": texts, "timezone", "start", "until", "until_timezone"}."""
    rule = read_rule(text, default_zone)
    start = rule.start
    if rule.count is not None:
        texts, start = [one_shot(rule)], None
    elif counts_elapsed_time(rule):
        texts = [every(rule)]
    else:
        texts = crontab_lines(rule)
    until, until_zone = rule.until or (None, None)
    return {
        "schedules": texts,
        "timezone": rule.zone,
        "start": start and start.isoformat(),
        "until": until and until.isoformat(),
        "until_timezone": until_zone,
    }


def one_shot(rule):
    """Return the schedule for a single run."""
    if rule.count > 1:
        raise unable(f"COUNT={rule.count}", "Schedules do not count runs; UNTIL=… ends one.")
    if rule.start is None:
        raise wrong("COUNT=1 without DTSTART", "DTSTART says when the one run is.")
    return f"@at {rule.start.isoformat(' ')} {rule.zone}"


def counts_elapsed_time(rule):
    """Return whether no selection of minutes, hours and days recurs like this."""
    whole = {"MINUTELY": 60, "HOURLY": 24}.get(rule.frequency)
    if whole:
        return whole % rule.interval != 0
    if rule.frequency in {"DAILY", "WEEKLY"}:
        return rule.interval > 1
    return rule.frequency == "SECONDLY"


def every(rule):
    """Return the interval, if it is all that the rule says."""
    unit = UNITS[rule.frequency]
    interval = f"INTERVAL={rule.interval}"
    said = {
        "BYMINUTE": rule.start and [rule.start.minute],
        "BYHOUR": rule.start and [rule.start.hour],
        "BYDAY": rule.start and [(0, rule.start.weekday())],
        "BYSECOND": rule.start and [rule.start.second],
    }
    for name, values in rule.by.items():
        if values != said.get(name):
            raise unable(
                f"{interval} with {name}",
                f"Every {rule.interval} {unit}s counts on from the start, whatever the date.",
            )
    local = unit in {"day", "week"} and rule.start is not None
    if local and rule.zone.rpartition("/")[2].upper() not in NO_CLOCK_CHANGE:
        raise unable(
            f"{interval} of {unit}s in {rule.zone}",
            "Intervals count elapsed time, which drifts from local time when clocks"
            " change; with DTSTART in UTC they agree.",
        )
    return "@every {} {}{}".format(rule.interval, unit, "s" * (rule.interval > 1))


def crontab_lines(rule):
    """Return the crontab lines that together are the rule."""
    for name in ("BYWEEKNO", "BYYEARDAY"):
        if name in rule.by:
            raise unable(name, "Schedules know months, days of the month and weekdays.")
    if rule.by.get("BYSECOND", [rule.start.second if rule.start else 0]) != [0]:
        raise unable("a second other than 0", "Only intervals and @at have seconds.")
    minutes, hours = minutes_of(rule), hours_of(rule)
    if not minutes or not hours:
        raise wrong("no time of day matches", "Its parts exclude each other.")
    by_day = rule.by.get("BYDAY", [])
    if "BYSETPOS" in rule.by:
        by_day = [by_position(rule, by_day, len(minutes) * len(hours))]
    times = f"{field(minutes, MINUTES)} {field(hours, HOURS)}"
    return [f"{times} {days}" for days in day_fields(rule, by_day)]


def minutes_of(rule):
    """Return the minutes of the hour at which it runs."""
    if rule.frequency == "MINUTELY":
        phase = rule.start.minute if rule.start else 0
        return cycle(phase, rule.interval, rule.by.get("BYMINUTE", MINUTES))
    if "BYMINUTE" in rule.by:
        return set(rule.by["BYMINUTE"])
    return {start_of(rule, "BYMINUTE", "minute").minute}


def hours_of(rule):
    """Return the hours of the day at which it runs."""
    if rule.frequency == "HOURLY":
        phase = rule.start.hour if rule.start else 0
        return cycle(phase, rule.interval, rule.by.get("BYHOUR", HOURS))
    if "BYHOUR" in rule.by:
        return set(rule.by["BYHOUR"])
    if rule.frequency == "MINUTELY":
        return set(HOURS)
    return {start_of(rule, "BYHOUR", "hour").hour}


def cycle(phase, interval, values):
    """Return those of the values that are whole intervals away from `phase`."""
    return {value for value in values if (value - phase) % interval == 0}


def by_position(rule, by_day, runs_a_day):
    """Return BYDAY=FR;BYSETPOS=-1 as BYDAY=-1FR, which it means where it can."""
    positions = rule.by["BYSETPOS"]
    of_month = rule.frequency == "MONTHLY" or (
        rule.frequency == "YEARLY" and len(rule.by.get("BYMONTH", [])) == 1
    )
    single = len(positions) == len(by_day) == runs_a_day == 1
    if not (single and of_month and by_day[0][0] == 0 and "BYMONTHDAY" not in rule.by):
        raise unable("BYSETPOS", "It is understood for one weekday of the month, once a day.")
    return positions[0], by_day[0][1]
