"""Hearing of changes: at once, but not as often as somebody likes."""

import asyncio
import time
from contextlib import contextmanager

import pytest
from pgagent_runner.agent.ear import Ear
from pgagent_runner.catalog import CatalogLostError, listen
from pgagent_runner.events import RunStarted
from pgagent_runner.model import Run
from support import poll

RUN = Run(1, 1, "job", ())


class Told:
    """What an ear has told, and when."""

    def __init__(self):
        self.changes = []
        self.cancels = 0
        self.alerts = 0

    def note_change(self):
        self.changes.append(time.monotonic())

    def note_cancel(self):
        self.cancels += 1

    def note_alert(self):
        self.alerts += 1


@contextmanager
def ear_for(listen, loop, told):
    ear = Ear(
        listen,
        on_change=told.note_change,
        on_cancel=told.note_cancel,
        on_alert=told.note_alert,
    )
    working = loop.start(ear.work())
    yield loop.holding(ear)
    working.cancel()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def ear(dsn, loop, told):
    """An ear that listens already."""
    with ear_for(lambda: listen(dsn), loop, told) as ear:
        poll(lambda: told.changes, what="the look after it has begun to listen")
        yield ear


def told_times(told, number):
    """Wait until it has told of changes so many times."""
    poll(lambda: len(told.changes) == number)


def notify(conn, payload=""):
    conn.execute("SELECT pg_notify('pgagent', %s)", [payload])


def test_what_may_have_been_missed_before_is_told_first(ear, told):
    assert (len(told.changes), told.cancels) == (1, 1)


def test_each_of_a_few_changes_is_told(conn, ear, told):
    for number in range(2, 7):
        notify(conn)
        told_times(told, number)
    assert told.cancels == 1

    notify(conn, "cancel")

    poll(lambda: told.cancels == 2)
    assert len(told.changes) == 7


def test_what_is_said_of_alerts_is_no_change_of_jobs(conn, ear, told):
    notify(conn, "alert")
    poll(lambda: told.alerts)
    assert len(told.changes) == 1

    notify(conn)
    told_times(told, 2)
    assert told.alerts == 1


def test_of_many_changes_the_last_is_told_too(conn, ear, told):
    for _ in range(80):
        notify(conn)
    notify(conn, "cancel")
    last = time.monotonic()

    poll(lambda: told.cancels == 2)

    assert told.changes[-1] >= last
    assert len(told.changes) <= 15


def test_runs_that_were_started_pay_for_looks(conn, ear, told):
    began = time.monotonic()
    for number in range(2, 62):
        notify(conn)
        told_times(told, number)
        ear.note(RunStarted(RUN))

    assert time.monotonic() - began < 20  # 25 s if they did not


def test_after_a_flood_it_is_told_once_more(conn, ear, told):
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


def test_it_tries_again_if_no_session_can_be_had(dsn, conn, loop, told):
    answers = [CatalogLostError("no session"), None]

    async def listen_at_last():
        if error := answers.pop(0):
            raise error
        return await listen(dsn)

    with ear_for(listen_at_last, loop, told):
        poll(lambda: told.changes)


def test_its_session_ends_with_it(conn, loop, ear, told):
    sessions = (
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND query = 'LISTEN pgagent'"
    )
    poll(lambda: conn.execute(sessions).fetchall())

    loop.run(cancel_all())

    poll(lambda: not conn.execute(sessions).fetchall())


async def cancel_all():
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
