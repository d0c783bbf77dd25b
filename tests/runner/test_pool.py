"""How runs share the sessions of a target: each gets one, and not all open their own."""

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

import psycopg
import pytest
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import SessionPool, StepExecutor, StepSettings
from psycopg.conninfo import make_conninfo
from support import poll

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())
LOCK = "SELECT pg_advisory_lock_shared(77)"  # free when the test says so


@pytest.fixture
def server(cluster):
    return cluster.conninfo()


@pytest.fixture
def watcher(server):
    with closing(psycopg.connect(server, autocommit=True)) as conn:
        yield conn


@pytest.fixture
def gate(server):
    """A session that keeps steps at `LOCK` waiting until it is closed."""
    with closing(psycopg.connect(server, autocommit=True)) as conn:
        conn.execute("SELECT pg_advisory_lock(77)")
        yield conn


@pytest.fixture
def opened():
    """The process ids of all sessions that were opened."""
    return []


@pytest.fixture
def executors(server, opened):
    """Make an executor for a run that shares a pool."""

    def make(pool):
        settings = StepSettings(server, on_session=opened.append)
        return StepExecutor(settings, RUN, pool)

    return make


@pytest.fixture
def start(result_of, executors):
    """Execute the steps of a run as a task; return the executor, and its outcomes."""

    def start(pool, *targets):
        executor = executors(pool)

        def run():
            with executor:
                return [executor.execute(step(*target)).ending for target in targets]

        return executor, result_of(run)

    return start


@pytest.fixture
def pool():
    with closing(_Pool()) as pool:
        yield pool


@pytest.fixture
def single():
    """A pool that allows one session for each target."""
    with closing(_Pool(1)) as pool:
        yield pool


class _Pool(SessionPool):
    def close(self):
        self.close_idle(0)


def step(code, conninfo=""):
    return Step(5, "step", "s", code, "" if conninfo else "postgres", conninfo, "f")


def at_the_gate(conn):
    query = "SELECT count(*) FROM pg_locks WHERE objid = 77 AND NOT granted"
    return conn.execute(query).fetchone()[0]


def test_a_burst_of_short_runs_shares_few_sessions(start, pool, opened):
    futures = [start(pool, ("SELECT 1",))[1] for _ in range(100)]

    assert [future.result(20) for future in futures] == [[Ending.SUCCEEDED]] * 100
    assert len(opened) < 60


def test_runs_that_last_have_a_session_each(start, pool, opened, gate, watcher):
    futures = [start(pool, (LOCK,))[1] for _ in range(12)]

    poll(lambda: at_the_gate(watcher) == 12)
    gate.close()
    assert [future.result(20) for future in futures] == [[Ending.SUCCEEDED]] * 12
    assert len(opened) == 12


def test_a_run_beside_one_that_lasts_has_a_session_at_once(
    start, pool, opened, gate, watcher
):
    lasting = start(pool, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    for _ in range(3):
        assert start(pool, ("SELECT 1",))[1].result(20) == [Ending.SUCCEEDED]
    gate.close()
    assert lasting.result(20) == [Ending.SUCCEEDED]
    assert len(opened) == 2


def test_where_one_session_is_allowed_runs_take_turns(
    start, single, opened, gate, watcher
):
    first = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    others = [start(single, ("SELECT 1",))[1] for _ in range(20)]

    assert not wait(others, 0.1).done
    gate.close()
    assert first.result(20) == [Ending.SUCCEEDED]
    assert [other.result(20) for other in others] == [[Ending.SUCCEEDED]] * 20
    assert len(opened) == 1


def test_who_is_cancelled_while_waiting_keeps_nobody_waiting(
    start, single, gate, watcher
):
    first = start(single, (LOCK,))[1]
    poll(lambda: at_the_gate(watcher) == 1)
    impatient, second = start(single, ("SELECT 1",))
    third = start(single, ("SELECT 1",))[1]

    impatient.cancel("enough")
    assert second.result(20) == [Ending.ABORTED]
    assert not third.done()
    gate.close()
    assert first.result(20) == third.result(20) == [Ending.SUCCEEDED]


@pytest.mark.parametrize("end", ["terminated", "cancelled"])
def test_a_session_that_is_not_given_back_makes_room_for_another(
    start, single, opened, gate, watcher, end
):
    executor, first = start(single, (LOCK,))
    poll(lambda: at_the_gate(watcher) == 1)
    others = [start(single, ("SELECT 1",))[1] for _ in range(3)]
    if end == "cancelled":
        executor.cancel("enough")
    else:
        watcher.execute("SELECT pg_terminate_backend(%s)", opened)

    ending = Ending.ABORTED if end == "cancelled" else Ending.FAILED
    assert first.result(20) == [ending]
    assert [other.result(20) for other in others] == [[Ending.SUCCEEDED]] * 3
    assert len(opened) == 2


def test_a_server_that_refuses_keeps_nobody_waiting(start, single, server):
    nowhere = make_conninfo(server, dbname="nowhere")
    futures = [start(single, ("SELECT 1", nowhere))[1] for _ in range(5)]

    assert [future.result(20) for future in futures] == [[Ending.FAILED]] * 5


def test_runs_that_wait_for_each_others_sessions_go_on(
    start, single, server, gate, watcher
):
    here, there = server, make_conninfo(server, application_name="another target")
    one = start(single, (LOCK, here), ("SELECT 1", there))[1]
    other = start(single, (LOCK, there), ("SELECT 1", here))[1]
    poll(lambda: at_the_gate(watcher) == 2)
    others = [start(single, ("SELECT 1", target))[1] for target in (here, there)]
    gate.close()

    assert one.result(20) == other.result(20) == [Ending.SUCCEEDED] * 2
    assert [future.result(20) for future in others] == [[Ending.SUCCEEDED]] * 2


def test_threads_share_sessions_as_tasks_do(executors, single, opened):
    def run():
        with executors(single) as executor:
            return executor.execute(step("SELECT 1")).ending

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(run) for _ in range(40)]
    assert {future.result() for future in futures} == {Ending.SUCCEEDED}
    assert len(opened) == 1
