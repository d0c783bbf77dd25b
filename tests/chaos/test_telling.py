"""The checker of alerts finds what is wrong in histories made by hand: it can fail."""

from chaos.telling import Delivery, Event, Owed, check_telling

JOB = 1


def event(number, name="failed", state="sent", **more):
    fields = {"alert": "mail", "job": JOB, **more}
    return Event(f"e{number}", event=name, state=state, **fields)


def message(*numbers, alert="mail", name=None):
    events = tuple(f"e{number}" for number in numbers)
    return Delivery(alert, name or events[0], events)


def faults(events, deliveries, owed=()):
    found = check_telling(events, deliveries, owed).faults()
    return {kind: count for kind, count in found.items() if count}


def test_a_history_without_faults_passes():
    events = [
        event(1),
        event(2, "recovered"),
        event(3, job=2),
        event(4, state="silenced"),
    ]
    owed = [Owed("mail", JOB, frozenset({"failed", "aborted"}))]
    deliveries = [message(1, 3), message(2), message(1, 3)]

    verdict = check_telling(events[:3], deliveries, owed)

    assert not any(verdict.faults().values())
    assert (verdict.told, verdict.repeated) == (3, 1)
    assert faults(events[3:], []) == {}


def test_an_event_that_no_receiver_has_is_found():
    events = [event(1), event(2, job=2)]
    assert faults(events, [message(1)]) == {"sent, and not received": 1}


def test_what_another_receiver_has_is_no_excuse():
    assert faults([event(1), event(2, alert="hook")], [message(1), message(2)]) == {
        "sent, and not received": 1,
        "received, and not decided": 1,
    }


def test_an_event_that_was_not_sent_is_found():
    for state in "pending", "sending", "failed":
        assert faults([event(1, state=state)], []) == {"decided, and not sent": 1}


def test_what_nobody_has_decided_to_tell_is_found():
    aborted = Owed("mail", JOB, frozenset({"failed", "aborted"}))
    late = Owed("mail", JOB, frozenset({"late"}))
    assert faults([event(1, "aborted")], [message(1)], [aborted, late]) == {
        "owed, and not decided": 1
    }


def test_a_trouble_that_is_told_twice_is_found():
    twice = {"decided twice": 1}
    assert faults([event(1), event(2)], [message(1, 2)]) == twice
    assert faults([event(1), event(2, "aborted")], [message(1, 2)]) == twice
    assert faults([event(1, "recovered")], [message(1)]) == twice
    assert faults([event(1), event(1, job=2)], [message(1)]) == twice | {
        "decided twice": 2
    }
    again = [event(1), event(2, "recovered"), event(3)]
    assert faults(again, [message(1, 2, 3)]) == {}
    assert faults([event(1), event(2, "late")], [message(1, 2)]) == {}


def test_a_repeat_that_says_something_else_is_found():
    events = [event(1), event(2, job=2)]
    changed = {"repeated with something else": 1}
    assert faults(events, [message(1), message(1, 2)]) == changed
    assert faults(events, [message(1, 2), message(2)]) == changed
    assert faults(events, [message(1, 2), message(1, 2, name="e2")]) == changed


def test_a_message_about_nothing_is_found():
    assert faults([], [message(1)]) == {"received, and not decided": 1}
