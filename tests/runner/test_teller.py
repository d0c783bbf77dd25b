"""When a runner looks after alerts, and when it starts a child."""

import asyncio
import logging
import os
import sys
import time

import pytest
from pgagent_runner.agent import children, teller
from pgagent_runner.agent.children import Answer
from pgagent_runner.agent.review import Review
from pgagent_runner.agent.teller import Teller
from pgagent_runner.catalog import session_for, watch_alerts
from pgagent_runner.errands import Errands
from support import poll

CHANNELS = Errands(has_channels=True)


class Child:
    """What stands for the child: it remembers its tasks, and answers as told."""

    def __init__(self):
        self.tasks = []
        self.report = {"sent": 0, "failed": [], "left": 0}

    async def errand(self, task):
        if not task["only_checks"]:
            self.tasks.append(task)
        return Answer(self.report, [])


@pytest.fixture
def child(monkeypatch):
    child = Child()
    monkeypatch.setattr(teller, "errand", child.errand)
    for name, seconds in (("_BEGINNING", 0), ("_SHORTEST_PAUSE", 0.1), ("_TURN", 0)):
        monkeypatch.setattr(teller, name, seconds)
    return child


@pytest.fixture
def looks(monkeypatch):
    """When it has looked."""
    looks = []

    async def watch(session):
        looks.append(time.monotonic())
        return await watch_alerts(session)

    monkeypatch.setattr(teller, "watch_alerts", watch)
    return looks


@pytest.fixture
def telling(dsn, loop):
    """Start a teller; return it."""

    def telling(errands=CHANNELS):
        made = loop.call(Teller, dsn, errands, Review())
        loop.started(made.work)
        return made

    return telling


def add_message(conn, name, channel="ops"):
    """Have a message wait for a channel."""
    conn.execute("SELECT pgagent.add_alert(%s, %s)", [name, channel])
    conn.execute("SELECT pgagent.test_alert(%s)", [name])


async def look(dsn):
    async with session_for(dsn, 10) as session:
        return await watch_alerts(session)


def hear(it, loop, looks):
    """Have it look because of a notification, and wait for that."""
    before = len(looks)
    loop.call(it.hear)
    poll(lambda: len(looks) > before)


def test_an_older_catalogue_is_no_news(conn, dsn, loop, looks, child, telling, caplog):
    conn.execute("ALTER FUNCTION pgagent.pga_alert_watch() RENAME TO pga_alert_watched")
    assert loop.run(look(dsn)) is None
    telling()
    poll(lambda: looks)
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert child.tasks == []


def test_without_channels_it_starts_no_child(conn, loop, looks, child, telling):
    add_message(conn, "a")
    it = telling(Errands())
    poll(lambda: looks)
    hear(it, loop, looks)
    assert child.tasks == []


def test_a_child_is_started_once_for_what_it_does_not_know(
    conn, loop, looks, child, telling
):
    child.report["left"] = 1
    add_message(conn, "a", "theirs")
    it = telling()
    poll(lambda: child.tasks)
    for _ in range(3):
        hear(it, loop, looks)
    assert len(child.tasks) == 1

    add_message(conn, "b")
    loop.call(it.hear)
    poll(lambda: len(child.tasks) == 2)


def test_a_channel_that_has_failed_rests_and_the_others_do_not(
    conn, loop, looks, child, telling, monkeypatch
):
    monkeypatch.setattr(teller, "_FIRST_REST", 2.0)
    child.report |= {"left": 1, "failed": ["ops"]}
    add_message(conn, "a")
    it = telling()
    poll(lambda: child.tasks)
    began = time.monotonic()
    child.report |= {"left": 2, "failed": []}
    add_message(conn, "b", "others")
    loop.call(it.hear)
    poll(lambda: len(child.tasks) == 2)
    assert child.tasks[1]["without"] == ["ops"]
    poll(lambda: len(child.tasks) == 3)
    assert child.tasks[2]["without"] == []
    assert time.monotonic() - began > 1.5


def test_notifications_without_end_are_not_worth_as_many_looks(
    loop, looks, child, telling
):
    it = telling()
    poll(lambda: looks)
    end = time.monotonic() + 4

    async def flood():
        while time.monotonic() < end:
            it.hear()
            await asyncio.sleep(0.001)

    loop.run(flood())
    assert 5 < len(looks) < 15


@pytest.fixture
def program(monkeypatch):
    """Have the child be this program."""

    def program(text):
        def start(theirs):
            return os.posix_spawn(
                sys.executable,
                [sys.executable, "-c", text],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), n) for n in (0, 1, 2)
                ],
                setpgroup=0,
            )

        monkeypatch.setattr(children, "_start", start)

    return program


BEGIN = "import os, sys, time; os.write(1, b'ready\\n'); task = os.read(0, 9999); "


def test_a_child_says_what_is_to_be_logged_and_reports(loop, program):
    program(BEGIN + "os.write(2, b'one\\ntwo\\n'); os.write(1, b'report ' + task)")
    answer = loop.run(children.errand({"n": 1}))
    assert answer == Answer({"n": 1}, ["one", "two"])


def test_what_a_child_says_is_bounded_and_its_report_counts(loop, program):
    program(
        BEGIN + "os.set_blocking(1, True); print('x' * 99 + '\\n' * 2 * 10**6);"
        " print('report {}', flush=True)"
    )
    answer = loop.run(children.errand({}))
    assert answer.report == {}
    assert answer.lines == ["x" * 99]


def test_the_last_words_of_a_child_that_breaks_down_are_kept(loop, program):
    program("raise SystemExit('no module')")
    assert loop.run(children.errand({})) == Answer(None, ["no module"])


def test_a_child_that_does_not_end_is_killed(loop, program):
    program(BEGIN + "time.sleep(600)")
    began = time.monotonic()
    answer = loop.run(children.errand({}, 0.5))
    assert answer == Answer(None, ["a child has not ended for 0.5 s"])
    assert time.monotonic() - began < 3


def test_who_gives_up_a_child_ends_it(loop, program, tmp_path):
    program(
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()));"
        "import signal; signal.signal(15, signal.SIG_IGN);" + BEGIN + "time.sleep(600)"
    )
    errand = loop.started(children.errand, {})
    pid = poll(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    errand.cancel()
    poll(lambda: has_ended(int(pid)), 5)


def has_ended(pid):
    """Bury it, if it is no more."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
