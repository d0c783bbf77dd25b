"""Reads a recurrence rule (RRULE of RFC 5545) and the DTSTART that belongs to it."""

import re
from collections import namedtuple
from datetime import datetime

from pga_answer import Refused

FREQUENCIES = (
    *("SECONDLY", "MINUTELY", "HOURLY"),
    *("DAILY", "WEEKLY", "MONTHLY", "YEARLY"),
)
RANGES = {
    "INTERVAL": (1, 100000),
    "COUNT": (1, 100000),
    "BYSECOND": (0, 60),
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-366, 366),
}
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY = re.compile(r"([+-]?[0-9]{1,2})?([A-Z]{2})$")
NUMBER = re.compile(r"[+-]?[0-9]{1,6}$")

Rule = namedtuple("Rule", "frequency interval count until by start zone")


def read_rule(text, default_zone):
    """Return the Rule of a text of one RRULE and at most one DTSTART.

    Its zone is that of DTSTART, else `default_zone`; `start` is a local datetime or
    None, `until` a pair of local datetime and zone or None; `by` holds the BY… parts as
    lists of numbers, and BYDAY as pairs of ordinal (0: each) and weekday (0: Monday).
    """
    lines = properties(text)
    if "RRULE" not in lines:
        raise wrong("the rule is missing", "Wanted is FREQ=…;…, after RRULE: or alone.")
    start, zone = None, default_zone
    if "DTSTART" in lines:
        parameters, value = lines["DTSTART"]
        start, utc = moment("DTSTART", value)
        zone = "UTC" if utc else parameters.get("TZID", default_zone)
    parts = parts_of(lines["RRULE"][1])
    until = parts.get("UNTIL")
    return Rule(
        parts["FREQ"],
        parts.get("INTERVAL", [1])[0],
        parts.get("COUNT", [None])[0],
        until and (until[0], "UTC" if until[1] else zone),
        {name: values for name, values in parts.items() if name.startswith("BY")},
        start,
        zone,
    )


def properties(text):
    """Return the lines of a text as name → (parameters, value)."""
    found = {}
    for line in re.sub(r"\r?\n[ \t]", "", text).split("\n"):
        head, colon, value = line.strip().rpartition(":")
        name, *parameters = (head if colon else "RRULE").split(";")
        if name in {"EXDATE", "RDATE", "EXRULE"}:
            raise unable(name, "add_exception() leaves out a date; another schedule adds one.")
        if name not in {"RRULE", "DTSTART"} or name in found:
            raise wrong(
                f'"{line.strip()}" is not expected',
                "Wanted is one line RRULE, and at most one line DTSTART.",
            )
        if value:
            pairs = (parameter.partition("=") for parameter in parameters)
            found[name] = {key: v.strip('"') for key, _, v in pairs}, value
    return found


def parts_of(value):
    """Return the parts of a rule, their values read."""
    parts = {}
    for part in value.upper().strip(";").split(";"):
        name, _, text = part.partition("=")
        if name in parts:
            raise wrong(f"{name} is given twice", "Each part is allowed once.")
        parts[name] = part_value(name, text)
    if "FREQ" not in parts:
        raise wrong("FREQ is missing", "Allowed are {}.".format(", ".join(FREQUENCIES)))
    if "COUNT" in parts and "UNTIL" in parts:
        raise wrong("COUNT and UNTIL exclude each other", "Only one of them is allowed.")
    return parts


def part_value(name, text):
    """Return what stands after the "=" of one part."""
    if name in {"FREQ", "WKST"}:
        allowed = FREQUENCIES if name == "FREQ" else WEEKDAYS
        if text not in allowed:
            raise wrong(f"{name}={text}", "Allowed are {}.".format(", ".join(allowed)))
        return text
    if name == "UNTIL":
        return moment(name, text)
    if name == "BYDAY":
        return [weekday(item) for item in text.split(",")]
    if name in RANGES:
        return [number(name, item) for item in text.split(",")]
    raise wrong(
        f'"{name}" is not a part of a rule',
        "Parts are FREQ, UNTIL, BYDAY, WKST, {}.".format(", ".join(RANGES)),
    )


def weekday(text):
    """Return "-1FR" as (-1, 4) and "FR" as (0, 4)."""
    found = DAY.match(text)
    if not found or found[2] not in WEEKDAYS or found[1] in {"0", "+0", "-0", "00"}:
        raise wrong(
            f"BYDAY={text}",
            "Allowed are {}, with a number before them or without.".format(
                ", ".join(WEEKDAYS)
            ),
        )
    return int(found[1] or 0), WEEKDAYS.index(found[2])


def number(name, text):
    """Return the number that a part names, if it is in its range."""
    low, high = RANGES[name]
    value = int(text) if NUMBER.match(text) else None
    if value is None or not low <= value <= high or (value == 0 and low < 0):
        allowed = f"from {low} to {high}" + (", not 0" if low < 0 else "")
        raise wrong(f"{name}={text}", f"Allowed are whole numbers {allowed}.")
    return value


def moment(name, text):
    """Return a local datetime, and whether it is in UTC."""
    utc = text.endswith("Z")
    for pattern in ("%Y%m%dT%H%M%S", "%Y%m%d"):
        try:
            return datetime.strptime(text.rstrip("Z"), pattern), utc
        except ValueError:
            pass
    raise wrong(
        f"{name}={text}",
        "Wanted is a date and time such as 20310501T090000 or 20310501T070000Z.",
    )


def wrong(problem, detail):
    """Return the refusal of what RFC 5545 does not allow."""
    return Refused("22023", f"RRULE: {problem}", detail)


def unable(part, detail):
    """Return the refusal of what no schedule can express."""
    return Refused("0A000", f"RRULE: {part} can't be expressed as a schedule", detail)
