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
