"""How often what is heard is worth a look."""

import math

from pgagent_runner.agent.attention import Attention

SECONDS = 120


def looks_of(attention, senders_at, *, starts=False):
    """Play two minutes in which hints come 50 times a second; return their looks."""
    looks = []
    for tick in range(SECONDS * 50):
        now = tick / 50
        attention.hear(senders_at(tick), now)
        if attention.look_at(now) <= now:
            attention.note_look(now)
            looks.append(now)
            if starts:
                attention.note_start(now + 0.01)
    return looks


def test_nothing_heard_is_no_look():
    assert Attention(0).look_at(5) == math.inf


def test_a_session_that_never_rests_gets_fewer_and_fewer_looks():
    looks = looks_of(Attention(0), lambda _: [1])

    assert len(looks) < 30
    assert len([moment for moment in looks if moment > SECONDS / 2]) <= SECONDS / 2 / 10


def test_another_session_is_attended_to_at_once_meanwhile():
    attention = Attention(0)
    looks_of(attention, lambda _: [1])

    attention.hear([2], SECONDS)

    assert attention.look_at(SECONDS) <= SECONDS


def test_sessions_that_come_and_go_do_not_drive_looks_up():
    looks = looks_of(Attention(0), lambda tick: [tick])

    assert len(looks) <= 10 + SECONDS / 0.5


def test_looks_that_let_runs_start_are_all_worth_it():
    looks = looks_of(Attention(0), lambda _: [1], starts=True)

    assert len(looks) == SECONDS * 50


def test_a_session_that_speaks_now_and_then_is_always_attended_to():
    attention = Attention(0)
    for second in range(0, 10 * SECONDS, 2):
        attention.hear([1], second)
        assert attention.look_at(second) <= second
        attention.note_look(second)


def test_what_was_heard_is_looked_for_in_the_end():
    attention = Attention(0)
    looks_of(attention, lambda _: [1])

    attention.hear([1], SECONDS)

    assert attention.look_at(SECONDS) <= SECONDS + 10
