"""Hearing of changes: at once, but not as often as somebody likes."""

import time
from contextlib import closing, contextmanager
from functools import partial

import pytest
from pgagent_runner.agent.ear import Ear
from pgagent_runner.catalog import CatalogLostError, Listener
from support import poll


class Told:
    """What an ear has told, and when."""

    def __init__(self):
        self.changes = []
        self.cancels = 0
        self.runs = 0

    def note_change(self):
        self.changes.append(time.monotonic())

    def note_cancel(self):
        self.cancels += 1


@contextmanager
def ear_for(listen, tasks, told):
    with closing(
        Ear(
            listen,
            count_runs=lambda: told.runs,
            on_change=told.note_change,
            on_cancel=told.note_cancel,
        )
    ) as ear:
        tasks.start(ear.work)
        yield ear


@pytest.fixture
def told(dsn, tasks):
    """What an ear tells that listens already."""
    told = Told()
    with ear_for(partial(Listener, dsn), tasks, told):
        poll(lambda: told.changes, what="the look after it has begun to listen")
        yield told


def told_times(told, number):
    """Wait until it has told of changes so many times."""
    poll(lambda: len(told.changes) == number)


def notify(conn, payload=""):
    conn.execute("SELECT pg_notify('pgagent', %s)", [payload])


def test_what_may_have_been_missed_before_is_told_first(told):
    assert (len(told.changes), told.cancels) == (1, 1)


def test_each_of_a_few_changes_is_told(conn, told):
    for number in range(2, 7):
        notify(conn)
        told_times(told, number)
    assert told.cancels == 1

    notify(conn, "cancel")

    poll(lambda: told.cancels == 2)
    assert len(told.changes) == 7


def test_of_many_changes_the_last_is_told_too(conn, told):
    for _ in range(80):
        notify(conn)
    notify(conn, "cancel")
    last = time.monotonic()

    poll(lambda: told.cancels == 2)

    assert told.changes[-1] >= last
    assert len(told.changes) <= 15


def test_runs_that_were_started_pay_for_looks(conn, told):
    began = time.monotonic()
    for number in range(2, 62):
        notify(conn)
        told_times(told, number)
        told.runs += 1

    assert time.monotonic() - began < 20  # 25 s if they did not


def test_after_a_flood_it_is_told_once_more(conn, told):
    with conn.transaction():
        conn.execute(
            "SELECT pg_notify('pgagent', n::text) FROM generate_series(1, 5000) AS n"
        )
    over = time.monotonic()

    poll(lambda: told.cancels == 2, what="it to listen again")

    assert told.changes[-1] >= over
    count = len(told.changes)
    notify(conn)
    poll(lambda: len(told.changes) > count)


def test_it_tries_again_if_no_session_can_be_had(conn, dsn, tasks):
    told, answers = Told(), [CatalogLostError("no session"), None]

    def listen():
        if error := answers.pop(0):
            raise error
        return Listener(dsn)

    with ear_for(listen, tasks, told):
        poll(lambda: told.changes)
