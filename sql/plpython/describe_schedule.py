"""Says in English when a schedule runs."""

import json

WEEKDAYS = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    *("Saturday", "Sunday"),
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
NTH = {
    tuple(range(1, 8)): "first",
    tuple(range(8, 15)): "second",
    tuple(range(15, 22)): "third",
    tuple(range(22, 29)): "fourth",
    (29, 30, 31): "fifth",
}
LAST = 32  # the element of the days of the month that means the last one
UNITS = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"))
FEW = 3
MORE = 6


def describe(schedules):
    """Return the sentence for a schedule.

    schedules: a list, in JSON, of what pga_schedule_facts() tells: one, or the two that
    a crontab line can stand for, which differ in their days.
    """
    schedules = json.loads(schedules)
    first = schedules[0]
    clauses = [when(schedules)]
    by_the_clock = not (first["every"] or first["reboot"])
    if by_the_clock or first["start"] or first["end"]:
        clauses.append("in " + first["timezone"])
    if first["start"]:
        clauses.append("from " + first["start"])
    if first["end"]:
        clauses.append("until " + first["end"])
    if first["exceptions"]:
        clauses.append("with " + counted(first["exceptions"], "exception"))
    if not first["enabled"]:
        clauses.append("disabled")
    return ", ".join(clauses)


def when(schedules):
    """Return at which times of which days these schedules run, together."""
    first = schedules[0]
    if first["reboot"]:
        return "when an agent starts"
    if first["at"]:
        return "once, at " + first["at"]
    if first["every"]:
        return "every {}, counted from its start".format(span(first["every"]))
    times = times_of_day(
        selected(first["minutes"], 0) or list(range(60)),
        selected(first["hours"], 0) or list(range(24)),
    )
    days = ", and also ".join(filter(None, map(days_of_year, schedules)))
    if days:
        return f"{times} {days}"
    return times + " every day" if ":" in times else times


def times_of_day(minutes, hours):
    """Return at which of all pairs of these hours and minutes it runs, in words."""
    times = [f"{hour:02}:{minute:02}" for hour in hours for minute in minutes]
    one_run = step(hours) == 1 or len(hours) == 1
    if len(times) <= FEW or (len(times) <= MORE and not one_run):
        return "at " + listed(times)
    if len(hours) == 1:
        return spaced(step(minutes), "minute", times)
    if len(minutes) == 1:
        if len(hours) < 24:  # noqa: PLR2004
            return spaced(step(hours), "hour", times)
        return "every hour" + (f" at minute {minutes[0]}" if minutes[0] else "")
    if step([*minutes, 60]) and not minutes[0]:
        rhythm = "every " + counted(step(minutes), "minute", one="minute")
    else:
        rhythm = f"at minutes {ranges(minutes, str)} of every hour"
    return rhythm + ("" if len(hours) == 24 else windows(hours))  # noqa: PLR2004


def spaced(distance, unit, times):
    """Return the first and the last of times that are evenly spaced, or list them."""
    if distance is None:
        return "at " + listed(times)
    return f"every {counted(distance, unit, one=unit)} from {times[0]} to {times[-1]}"


def windows(hours):
    """Return the spans of the day that consist of these hours."""
    spans = (f"from {first:02}:00 to {last:02}:59" for first, last in runs(hours))
    return " " + listed(list(spans))


def days_of_year(schedule):
    """Return the days on which it runs, in words; empty: every day."""
    weekdays = selected(schedule["weekdays"][1:] + schedule["weekdays"][:1], 0)
    monthdays = schedule["monthdays"]
    monthdays = [] if all(monthdays[: LAST - 1]) else selected(monthdays, 1)
    months = selected(schedule["months"], 0)
    names = ranges(months, MONTHS.__getitem__)
    if weekdays and monthdays:
        return both(weekdays, monthdays, names)
    if monthdays:
        return "on {} of {}".format(dates(monthdays, "and"), names or "every month")
    of_months = " in " + names if names else ""
    if weekdays:
        return "on " + ranges(weekdays, WEEKDAYS.__getitem__) + of_months
    return "every day" + of_months if names else ""


def both(weekdays, monthdays, months):
    """Return the days that are one of the weekdays and one of the dates."""
    nth = NTH.get(tuple(monthdays))
    if nth and len(weekdays) == 1:
        return "on the {} {} of {}".format(
            nth, WEEKDAYS[weekdays[0]], months or "every month"
        )
    names = ranges(weekdays, WEEKDAYS.__getitem__)
    return "on {} if it is {} of {}".format(
        names, dates(monthdays, "or"), months or "the month"
    )


def dates(monthdays, conjunction):
    """Return days of the month, such as "the 1st, 10th to 12th and the last day"."""
    days = [day for day in monthdays if day != LAST]
    texts = [ranges(days, ordinal, conjunction)] if days else []
    texts = ["the " + text for text in texts]
    if LAST in monthdays:
        texts.append("the last day")
    return f" {conjunction} ".join(texts)


def selected(field, first):
    """Return the values of a field, counted from `first`; none if it is not limited."""
    values = [n for n, ticked in enumerate(field, first) if ticked]
    return [] if len(values) == len(field) else values


def step(values):
    """Return the distance of evenly spaced values; None if they are not."""
    distances = {b - a for a, b in zip(values, values[1:])}
    return distances.pop() if len(distances) == 1 else None


def runs(values):
    """Return the first and last of each run of consecutive values."""
    found = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    return found


def ranges(values, name, conjunction="and"):
    """Return the names of values, "x to y" for three and more in a row."""
    texts = []
    for first, last in runs(values):
        if last - first + 1 >= FEW:
            texts.append(f"{name(first)} to {name(last)}")
        else:
            texts += map(name, range(first, last + 1))
    return listed(texts, conjunction)


def listed(texts, conjunction="and"):
    """Return "a", "a and b" or "a, b and c"."""
    *others, last = texts or [""]
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def span(seconds):
    """Return an interval in the largest unit that measures it."""
    size, unit = next((u for u in UNITS if seconds % u[0] == 0), (1, "second"))
    return counted(int(seconds // size), unit, one=unit)


def counted(number, noun, one=None):
    """Return "3 minutes", and for 1 "1 minute", or `one` if that is given."""
    if number == 1:
        return one or f"1 {noun}"
    return f"{number} {noun}s"


def ordinal(day):
    """Return "1st", "2nd", "3rd", "4th", …."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    teen = day // 10 == 1
    return "{}{}".format(day, "th" if teen else endings.get(day % 10, "th"))
