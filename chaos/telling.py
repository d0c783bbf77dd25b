"""The checker of alerts: compares what was decided with what receivers have been told.

It knows no database. An event is what an alert decided to tell, a delivery what came to
a receiver: a message, which lists events, and which may come more than once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

SENT = "sent"
SILENCED = "silenced"
RECOVERED = "recovered"
FLAPPING = "flapping"  # tells how often, of what was only counted

# Events of one trouble: there is no second before the first has ended.
TROUBLES: Mapping[str, str] = {"aborted": "failed"}


class Event(NamedTuple):
    """What an alert decided to tell, as its log has it, in the order of time."""

    id: str
    alert: str
    event: str
    job: int | None
    state: str
    run: int | None = None


class Delivery(NamedTuple):
    """A message that came to the receiver of an alert."""

    alert: str
    message: str
    events: tuple[str, ...]


class Owed(NamedTuple):
    """That an alert has to tell one of these events of a job, whatever it says."""

    alert: str
    job: int
    events: frozenset[str]


@dataclass
class Telling:
    """What the checker found; what `faults` returns should be nothing."""

    told: int = 0
    """Events that are sent, and that their receiver has."""

    repeated: int = 0
    """Messages that came more than once, and each time said the same."""

    undecided: list[Owed] = field(default_factory=list)
    unsent: list[Event] = field(default_factory=list)
    lost: list[Event] = field(default_factory=list)
    decided_twice: list[Event] = field(default_factory=list)
    changed: list[Delivery] = field(default_factory=list)
    made_up: list[Delivery] = field(default_factory=list)

    def faults(self) -> dict[str, int]:
        """Return how many there are of each kind of fault."""
        return {
            "owed, and not decided": len(self.undecided),
            "decided, and not sent": len(self.unsent),
            "sent, and not received": len(self.lost),
            "decided twice": len(self.decided_twice),
            "repeated with something else": len(self.changed),
            "received, and not decided": len(self.made_up),
        }


def check_telling(
    events: Iterable[Event],
    deliveries: Iterable[Delivery],
    owed: Iterable[Owed] = (),
) -> Telling:
    """Judge what has been told once nothing is left to be sent."""
    events, deliveries = list(events), list(deliveries)
    verdict = Telling()
    received = {(d.alert, event) for d in deliveries for event in d.events}
    for event in events:
        if event.state == SILENCED:
            continue
        if event.state != SENT:
            verdict.unsent.append(event)
        elif (event.alert, event.id) not in received:
            verdict.lost.append(event)
        else:
            verdict.told += 1
    decided = {(event.alert, event.event, event.job) for event in events}
    verdict.undecided = [
        it
        for it in owed
        if not any((it.alert, event, it.job) in decided for event in it.events)
    ]
    verdict.decided_twice = list(_decided_twice(events))
    _check_messages(events, deliveries, verdict)
    return verdict


def _decided_twice(events: list[Event]) -> Iterable[Event]:
    """Yield what was told although it lasted, or had ended, already.

    That a job has recovered does not say of what: it may be of any of its troubles.
    """
    ids = Counter(event.id for event in events)
    open_troubles: Counter[tuple[str, int | None]] = Counter()
    lasting: dict[tuple[str, int | None], set[str]] = defaultdict(set)
    for event in events:
        key = event.alert, event.job
        trouble = TROUBLES.get(event.event, event.event)
        if ids[event.id] > 1:
            yield event
        elif event.event == RECOVERED and open_troubles[key]:
            open_troubles[key] -= 1
            lasting[key].clear()
        elif event.event == RECOVERED or trouble in lasting[key]:
            yield event
        elif event.event != FLAPPING:
            open_troubles[key] += 1
            lasting[key].add(trouble)


def _check_messages(
    events: list[Event], deliveries: list[Delivery], verdict: Telling
) -> None:
    """Judge what is repeated, and what nobody has decided."""
    known = {(event.alert, event.id) for event in events}
    first: dict[tuple[str, str], Delivery] = {}
    of_event: dict[tuple[str, str], str] = {}
    repeated = set()
    for delivery in deliveries:
        key = (delivery.alert, delivery.message)
        if any((delivery.alert, event) not in known for event in delivery.events):
            verdict.made_up.append(delivery)
        earlier = first.setdefault(key, delivery)
        messages = {
            of_event.setdefault((delivery.alert, event), delivery.message)
            for event in delivery.events
        }
        if earlier.events != delivery.events or messages != {delivery.message}:
            verdict.changed.append(delivery)
        elif earlier is not delivery:
            repeated.add(key)
    verdict.repeated = len(repeated)
