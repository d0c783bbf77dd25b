"""The days of a recurrence rule, as crontab lines select them."""

from pga_rrule import unable, wrong

NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LAST = 32  # how fields number the last day of the month
EVERY_MONTH = frozenset(range(1, 13))
LENGTHS = {31: {1, 3, 5, 7, 8, 10, 12}, 30: {4, 6, 9, 11}}
FEBRUARY = 2


def day_fields(rule, by_day):
    """Return "day-of-month month weekday" for each line that the rule needs.

    by_day: pairs of ordinal and weekday, which may differ from the rule's BYDAY.
    """
    monthdays = rule.by.get("BYMONTHDAY", [])
    if rule.frequency == "WEEKLY":
        if monthdays:
            raise wrong("BYMONTHDAY in a WEEKLY rule", "Weekly rules know weekdays.")
        by_day = by_day or [(0, start_of(rule, "BYDAY", "weekday").weekday())]
    elif rule.frequency in {"MONTHLY", "YEARLY"}:
        if not by_day and not monthdays:
            monthdays = [start_of(rule, "BYMONTHDAY", "day of the month").day]
    elif any(ordinal for ordinal, _ in by_day):
        raise wrong(
            f"a number in BYDAY of a {rule.frequency} rule",
            "Only MONTHLY and YEARLY rules count weekdays.",
        )
    weekdays = {}
    for months, ordinal, weekday in selections(rule, months_of(rule), by_day):
        for days, of_months in dates(months, ordinal, monthdays):
            weekdays.setdefault((days, of_months), set()).add(weekday)
    if not weekdays:
        raise wrong("no date matches", "Its parts exclude each other.")
    return [line(*key, names - {None}) for key, names in weekdays.items()]


def start_of(rule, name, what):
    """Return DTSTART, which stands in for a part that is missing."""
    if rule.start is None:
        raise wrong(f"{name} is missing", f"Without DTSTART nothing tells the {what}.")
    return rule.start


def months_of(rule):
    """Return the months in which there are runs."""
    months = frozenset(rule.by.get("BYMONTH", EVERY_MONTH))
    interval = f"INTERVAL={rule.interval}"
    if rule.frequency == "YEARLY":
        if rule.interval > 1:
            raise unable(f"{interval} of years", "Schedules recur every year.")
        if not rule.by.keys() & {"BYMONTH", "BYMONTHDAY", "BYDAY"}:
            return frozenset({start_of(rule, "BYMONTH", "month").month})
    elif rule.frequency == "MONTHLY" and rule.interval > 1:
        if len(EVERY_MONTH) % rule.interval:
            raise unable(f"{interval} of months", "Allowed are 1, 2, 3, 4, 6 and 12.")
        first = start_of(rule, "BYMONTH", "first month").month
        return frozenset(m for m in months if (m - first) % rule.interval == 0)
    return months


def selections(rule, months, by_day):
    """Yield (months, ordinal, weekday) for each weekday; (months, 0, None) for none."""
    in_year = rule.frequency == "YEARLY" and "BYMONTH" not in rule.by
    for ordinal, weekday in by_day or [(0, None)]:
        text = f"BYDAY={ordinal}{NAMES[weekday or 0][:2].upper()}"
        if ordinal and in_year:
            # The first four weeks of a year lie in January, the last in December.
            if abs(ordinal) > 4:  # noqa: PLR2004
                raise unable(f"{text} of a year", "Months know five: add BYMONTH.")
            yield frozenset({1 if ordinal > 0 else 12}), ordinal, weekday
        elif abs(ordinal) > 5:  # noqa: PLR2004
            raise wrong(f"{text} of a month", "No month has more than five.")
        else:
            yield months, ordinal, weekday


def dates(months, ordinal, monthdays):
    """Yield (days of the month, months) for months that number their days alike.

    Fields know the last day, but count no other from the end of the month.
    """
    if ordinal >= 0 and min(monthdays, default=1) >= -1:
        groups = {None: months}
    elif FEBRUARY in months:
        raise unable(
            f"BYDAY={ordinal}… in February" if ordinal < 0 else f"BYMONTHDAY={min(monthdays)}",
            "In February its dates depend on the year. Without it"
            " (BYMONTH=1,3,4,5,6,7,8,9,10,11,12) there is a way.",
        )
    else:
        groups = {length: months & those for length, those in LENGTHS.items()}
    for length, of_months in groups.items():
        days = {from_start(day, length) for day in monthdays}
        if ordinal:
            week = nth_week(ordinal, length)
            days = days & week if monthdays else week
        if of_months and (days or not (monthdays or ordinal)):
            yield frozenset(days), of_months


def from_start(day, length):
    """Return a day of the month that may be counted from the end of the month."""
    if day > 0:
        return day
    return LAST if length is None else length + 1 + day


def nth_week(ordinal, length):
    """Return the days that are the n-th of their weekday in the month."""
    if ordinal > 0:
        return set(range(7 * ordinal - 6, min(7 * ordinal, length or 31) + 1))
    end = length + 7 * (ordinal + 1)
    return set(range(max(end - 6, 1), end + 1))


def line(days, months, weekdays):
    """Return the three fields; "&" has both of two restricted days match."""
    texts = [] if days <= {LAST} else [field(days - {LAST}, range(1, 32))]
    texts += ["L"] * (LAST in days)
    names = "*" if len(weekdays) in {0, len(NAMES)} else named(weekdays)
    both = "&" if texts and names != "*" else ""
    return "{} {} {}{}".format(
        ",".join(texts) or "*", field(months, range(1, 13)), both, names
    )


def field(values, allowed):
    """Return numbers as a field of a crontab line."""
    values = sorted(values)
    if len(values) == len(allowed):
        return "*"
    step = len(allowed) // len(values)
    # Not for days of the month: cron would take them for unrestricted.
    if allowed[0] == 0 and len(values) > 1 and values == list(allowed[::step]):
        return f"*/{step}"
    return ",".join(runs(values, str))


def named(weekdays):
    """Return weekdays as a field; cron's week begins with Sunday, which stands alone."""
    sunday = NAMES.index("sun")
    names = runs(sorted(weekdays - {sunday}), NAMES.__getitem__)
    return ",".join(names + ["sun"] * (sunday in weekdays))


def runs(values, name):
    """Return consecutive values as ranges from three on, others one by one."""
    found = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    texts = []
    for first, last in found:
        if last - first > 1:
            texts.append(f"{name(first)}-{name(last)}")
        else:
            texts += map(name, range(first, last + 1))
    return texts
