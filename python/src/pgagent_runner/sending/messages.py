"""What a message says: to somebody who was woken by it, and to programs."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgagent_runner.visible import visible

Event = Mapping[str, Any]
"""One object of `events`, as pgagent.pga_alert_claim() gives it; see docs/alerts.md."""

_MOST_LISTED = 50  # events that a text lists
_MOST_PASSED_ON = 200  # events that a program is given
_MOST_NAMED = 3  # jobs in a subject
_LONGEST_SUBJECT = 200  # characters
_LONGEST_VALUE = 4000
_LONGEST_LINE = 300  # of a list
_LABEL = 14  # columns

# What has happened, in a subject and in a sentence.
_WORDS = {
    "failed": ("FAILED", "has failed"),
    "aborted": ("ABORTED", "was aborted"),
    "recovered": ("RECOVERED", "is well again"),
    "late": ("LATE", "is late"),
    "skipped": ("SKIPPED", "was skipped"),
    "long": ("RUNS LONG", "runs for longer than it should"),
    "disabled": ("DISABLED", "has been disabled by the scheduler"),
    "set_aside": ("SET ASIDE", "has been set aside: it could not be started"),
    "flapping": ("FLAPPING", "fails and recovers, again and again"),
    "no_runner": ("NO RUNNER", "No runner is alive: no job starts."),
    "unarmed": ("NOT ARMED", "The jobs are not armed here: none starts."),
    "test": ("TEST", "This is a test: alerts arrive here."),
}
_OVER = {
    "failed": "has succeeded again",
    "aborted": "has succeeded again",
    "late": "is not late any more",
    "long": "is not under way any more",
    "set_aside": "can be started again",
    "no_runner": "A runner is alive again.",
    "unarmed": "The jobs are armed now.",
}
_LASTS = ("failed", "aborted", "late", "long", "no_runner", "unarmed", "set_aside")
_LABELS = {
    "message": "why",
    "since": "since",
    "scheduled": "was due",
    "started": "began",
    "duration_s": "took",
    "station": "on host",
    "step": "step",
    "last_success": "last success",
    "next_run": "next run",
}
_MOMENTS = ("since", "scheduled", "started", "last_success", "next_run", "at")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent at once: events of one alert, in one attempt.

    id: the event_id of the first event; in all repetitions the same.
    where: the server and the database, for people.
    """

    id: str
    attempt: int
    alert: str
    channel: str
    events: Sequence[Event]
    where: str

    @property
    def first(self) -> Event:
        """The first event; there is one."""
        return self.events[0] if self.events else {}


def subject(message: Message) -> str:
    """Return what has happened, in a line."""
    line = f"[pgagent] {_headline(message)} on {message.where}"
    return _line(line, _LONGEST_SUBJECT)


def text(message: Message) -> str:
    """Return all that whoever was woken needs, in lines."""
    if len(message.events) == 1:
        lines = list(_told(message.first))
    else:
        lines = list(_listed(message))
    if commands := list(_commands(message.events)):
        lines += ["", "What to type next:", *(f"    {line}" for line in commands)]
    lines += [
        "",
        f"alert {_line(message.alert)}; message {message.id}{_again(message)}",
    ]
    return "\n".join(lines) + "\n"


def payload(message: Message, subject_: str, text_: str) -> dict[str, Any]:
    """Return what programs are told: JSON, with `text` for those that show it."""
    events = message.events[:_MOST_PASSED_ON]
    told = {
        "event": str(message.first.get("event", "")),
        "event_id": message.id,
        "alert": message.alert,
        "channel": message.channel,
        "attempt": message.attempt,
        "where": message.where,
        "subject": subject_,
        "text": text_,
        "events": list(events),
    }
    if left_out := len(message.events) - len(events):
        told["events_left_out"] = left_out
    return told


def values(message: Message) -> dict[str, str]:
    """Return what a template may insert: all names of `NAMES`."""
    first = message.first
    found = {name: _value(first, name) for name in NAMES}
    own = {
        "event": " ".join(dict.fromkeys(_word(one) for one in message.events)),
        "job": ", ".join(_jobs(message.events)),
        "event_id": message.id,
        "alert": visible(message.alert),
        "channel": visible(message.channel),
        "attempt": str(message.attempt),
        "where": visible(message.where),
        "count": str(len(message.events)),
        "subject": subject(message),
        "text": text(message),
    }
    return found | own


NAMES = (
    *("event", "event_id", "at", "job_id", "job", "run_id", "since", "failures"),
    *("message", "step", "output", "scheduled", "started", "duration_s", "station"),
    *("last_success", "next_run", "repeats", "alert", "channel", "attempt", "where"),
    *("count", "subject", "text"),
)
"""What a template may name."""


def as_json(value: object) -> str:
    """Return JSON in ASCII, in which no half of a character is left."""
    return json.dumps(_sound(value))


def _sound(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_sound(str(key))): _sound(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(one) for one in value]
    return value


def _headline(message: Message) -> str:
    """Return what has happened to which jobs: "FAILED: nightly (3rd time)"."""
    events = message.events
    kinds = Counter(_head(one) for one in events)
    jobs = _jobs(events)
    if len(kinds) == 1:
        (head,) = kinds
        more = (
            f" ({times})" if len(events) == 1 and (times := _times(events[0])) else ""
        )
        return f"{head}: {_several(jobs)}{more}" if jobs else f"{head}{more}"
    heads = ", ".join(f"{count} {head}" for head, count in kinds.most_common())
    return f"{heads}: {_several(jobs)}" if jobs else heads


def _jobs(events: Sequence[Event]) -> list[str]:
    named = (one["job"] for one in events if one.get("job") is not None)
    return list(dict.fromkeys(_line(str(job)) for job in named))


def _several(jobs: Sequence[str]) -> str:
    shown = ", ".join(jobs[:_MOST_NAMED])
    more = len(jobs) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _word(event: Event) -> str:
    return _line(str(event.get("event", "")))


def _head(event: Event) -> str:
    word = _word(event)
    head = _WORDS.get(word, (word.upper(), ""))[0]
    is_repeated = word in _LASTS and _count(event, "repeats") > 0
    return f"STILL {head}" if is_repeated else head


def _count(event: Event, name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0


def _times(event: Event) -> str:
    """Return how often it has happened; '' for once."""
    if _word(event) == "flapping":
        changes = event.get("changes")
        if isinstance(changes, Mapping):
            failed, recovered = (_count(changes, name) for name in _COUNTED)
            return f"failed {_often(failed)}, recovered {_often(recovered)}"
    failures = _count(event, "failures")
    if _word(event) in ("failed", "aborted") and failures > 1:
        return f"{_nth(failures)} time"
    return ""


_COUNTED = ("failed", "recovered")


def _often(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _nth(number: int) -> str:
    is_teen = number // 10 % 10 == 1
    endings = {1: "st", 2: "nd", 3: "rd"}  # codespell:ignore nd
    ending = "th" if is_teen else endings.get(number % 10, "th")
    return f"{number}{ending}"


def _told(event: Event) -> Iterator[str]:
    """Yield the lines about one event."""
    yield _sentence(event)
    yield ""
    for name, label in _LABELS.items():
        if value := _value(event, name):
            first, *others = value.split("\n")
            yield f"{label.ljust(_LABEL)}{first}"
            yield from (f"{' ' * _LABEL}{line}" for line in others)
    if output := _value(event, "output").strip("\n"):
        yield ""
        yield "Last lines of output:"
        yield from (f"    {line}" for line in output.split("\n"))


def _sentence(event: Event) -> str:
    word = _word(event)
    known = _WORDS.get(word, ("", f"has an event: {word}"))[1]
    if word == "recovered":
        known = _OVER.get(str(event.get("ended")), known)
    if known.endswith("."):
        return known
    if event.get("job") is None:
        return f"Something {known}."
    still = ", still" if _head(event).startswith("STILL ") else ""
    times = _times(event)
    more = f", the {times} in a row" if word != "flapping" and times else ""
    if word == "flapping" and times:
        more = f": it has {times}; now: {_line(str(event.get('now', 'unknown')))}"
    return f"{_line(str(event['job']))} {known}{still}{more}."


def _listed(message: Message) -> Iterator[str]:
    """Yield the list of several events."""
    yield f"{len(message.events)} things have happened:"
    yield ""
    for event in message.events[:_MOST_LISTED]:
        job = _value(event, "job")
        times = f" ({times})" if (times := _times(event)) else ""
        run = f", run {run}" if (run := _value(event, "run_id")) else ""
        what = f"{_line(job)}{times}{run}"
        told = ": ".join(filter(None, (what, _line(_value(event, "message")))))
        head = _head(event).ljust(_LABEL - 1)
        yield _line(f"{head} {told}", _LONGEST_LINE, ends=False)
    if (left_out := len(message.events) - _MOST_LISTED) > 0:
        yield f"and {left_out} more"


def _commands(events: Sequence[Event]) -> Iterator[str]:
    """Yield what helps, as it is typed."""
    if all(_word(event) in ("test", "recovered") for event in events):
        return
    if len(events) > 1:
        yield "pgagent problems"
    shown = events if len(events) == 1 else events[:_MOST_NAMED]
    for event in shown:
        yield from _commands_for(event)
    if len(events) == 1 and not events[0].get("job"):
        yield "pgagent problems"


def _commands_for(event: Event) -> Iterator[str]:
    word = _word(event)
    if run := _value(event, "run_id"):
        yield f"pgagent logs {shlex.quote(run)}"
    if word == "unarmed":
        yield 'psql -c "SELECT pgagent.arm()"    # if this is no copy'
    if event.get("job"):
        job = shlex.quote(_line(str(event["job"])))
        job = f"-- {job}" if job.startswith(("-", "'-")) else job
        yield f"pgagent explain {job}"
        if word == "disabled":
            yield f"pgagent enable {job}"
        yield f"pgagent silence --for '8 hours' {job}"


def _again(message: Message) -> str:
    if message.attempt > 1:
        return f", attempt {message.attempt}: it may have come before"
    return ""


def _value(event: Event, name: str) -> str:
    """Return a value as people read it; '' if there is none."""
    value = event.get(name)
    if value is None or isinstance(value, Mapping | list):
        return ""
    if name in _MOMENTS:
        return _moment(str(value))
    if name == "duration_s":
        return f"{_line(str(value))} s"
    return _clipped(visible(str(value)), _LONGEST_VALUE)


def _moment(value: str) -> str:
    """Return a point in time as this machine's clock shows it."""
    try:
        local = datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError, OSError):
        return _line(value)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z")


def _line(value: str, longest: int = _LONGEST_LINE, *, ends: bool = True) -> str:
    """Return a text in one line, in which nothing is hidden."""
    whole = " ".join(value.split()) if ends else " ".join(value.split("\n"))
    return _clipped(visible(whole), longest)


def _clipped(value: str, longest: int) -> str:
    return value if len(value) <= longest else f"{value[: longest - 1]}…"
