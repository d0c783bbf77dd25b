"""Pauses grow, have an end, and differ by chance."""

import pytest
from pgagent_runner.backoff import Backoff


def test_pauses_grow_up_to_the_longest():
    backoff = Backoff(1, 5, spread=0)

    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_pauses_grow_by_the_factor():
    backoff = Backoff(1, 100, factor=3, spread=0)

    assert [backoff.next() for _ in range(3)] == [1, 3, 9]


def test_a_factor_of_one_leaves_them_alike():
    backoff = Backoff(2, 100, factor=1, spread=0)

    assert [backoff.next() for _ in range(3)] == [2, 2, 2]


def test_after_a_success_they_begin_anew():
    backoff = Backoff(1, 5, spread=0)
    for _ in range(5):
        backoff.next()

    backoff.reset()

    assert backoff.next() == 1


def test_the_first_one_is_not_longer_than_the_longest():
    assert Backoff(10, 2, spread=0).next() == 2


def test_chance_shortens_them_and_never_lengthens_them():
    pauses = [Backoff(8, 100, spread=0.25).next() for _ in range(1000)]

    assert 6 <= min(pauses) < 6.1
    assert 7.9 < max(pauses) <= 8


@pytest.mark.parametrize("spread", [0, 0.5])
def test_chance_does_not_change_how_they_grow(spread):
    backoff = Backoff(1, 100, spread=spread)
    announced = []
    for _ in range(4):
        announced.append(backoff.pause)
        assert backoff.next() <= announced[-1]

    assert announced == [1, 2, 4, 8]
