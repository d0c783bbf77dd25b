"""What the crew notes of its runs, recorded in a real catalogue."""

import threading
from contextlib import closing, contextmanager

import psycopg
import pytest
from jobs import add_job, job, runs, step_runs
from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.journal import write_down
from pgagent_runner.events import Events
from pgagent_runner.steps import Nursery, SessionPool, StepExecutor, StepSettings
from pgagent_runner.steps.sql.session import Session
from support import poll

DEFECT = "an error in the runner itself: TypeError: unhashable"


class FailingPool(SessionPool):
    """Fails where nothing should."""

    error: Exception

    def give_back(self, target, session):
        self.close_one(target, session)
        raise self.error


@contextmanager
def crew_of(size, loop, ledger, dsn, pool=None):
    """A crew, and in the end no run of it."""
    pool = pool or SessionPool()
    nursery = Nursery()
    settings = StepSettings(dsn, on_session=ledger.itself.note_session)

    def executor_of(run):
        return StepExecutor(settings, run, pool, nursery)

    with loop.task_group() as tasks:
        crew = Crew(
            *(size, tasks, ledger.itself, Events(write_down), executor_of),
            on_free=lambda: None,
            on_idle=lambda: None,
        )
        try:
            yield loop.holding(crew)
        finally:
            loop.call(crew.abort, "the test is over")
            ledger.close()
    loop.call(pool.close_idle, 0)
    loop.call(nursery.close)


@pytest.fixture
def crew(loop, ledger, dsn):
    with crew_of(2, loop, ledger, dsn) as crew:
        yield crew


@pytest.fixture
def defect(monkeypatch):
    """Have whatever follows a step named "step 02" fail, where no step can."""

    def end_of_run(step, _):
        if step.name == "step 02":
            raise TypeError("unhashable")

    monkeypatch.setattr("pgagent_runner.run._end_of_run", end_of_run)


@pytest.mark.parametrize("error", [OSError("closing"), RuntimeError("closing")])
def test_what_fails_after_a_run_has_ended_neither_changes_nor_hides_its_end(
    conn, dsn, claims, ledger, loop, caplog, error
):
    pool = FailingPool()
    pool.error = error
    with crew_of(1, loop, ledger, dsn, pool) as crew:
        add_job(conn, "SELECT 1")
        crew.start(claims.claim(1, 60).runs)

        poll(lambda: crew.is_idle)
        poll(lambda: runs(conn) == [("s", None)])
        assert crew.free == 1
    assert caplog.records[-1].exc_info[1] is error
    assert runs(conn) == [("s", None)]


def test_an_unexpected_error_ends_its_own_run_only(conn, claims, crew, defect, caplog):
    broken = add_job(conn, "SELECT 1", "SELECT 2", "SELECT 3")
    sound = add_job(conn, "SELECT 1")
    crew.start(claims.claim(2, 60).runs)

    poll(lambda: crew.is_idle)
    assert runs(conn, broken) == [("d", DEFECT)]
    assert [row[:2] for row in step_runs(conn, broken)] == [
        ("step 01", "s"),
        ("step 02", "d"),
    ]
    assert runs(conn, sound) == [("s", None)]
    assert job(conn, broken, "jobagentid") is None
    (record,) = caplog.records
    assert record.exc_info[0] is TypeError
    assert record.job_id == broken


def test_it_keeps_no_other_run_waiting_while_its_job_is_locked(
    conn, dsn, claims, crew, defect, caplog
):
    broken = add_job(conn, "SELECT 1", "SELECT pg_advisory_lock(1)")
    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        other.execute("SELECT pg_advisory_lock(1)")
        crew.start(claims.claim(1, 60).runs)
        poll(lambda: len(step_runs(conn, broken)) == 2)
        with other.transaction():
            other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
            other.execute("SELECT pg_advisory_unlock(1)")
            poll(lambda: caplog.records, what="the error")

            sound = add_job(conn, "SELECT 1")
            crew.start(claims.claim(1, 60).runs)
            poll(lambda: runs(conn, sound) == [("s", None)])
            assert runs(conn, broken) == [("r", None)]
    poll(lambda: runs(conn, broken) == [("d", DEFECT)])
    poll(lambda: crew.is_idle)


def test_an_end_that_cannot_be_recorded_concerns_no_other_run(
    conn, claims, crew, defect, monkeypatch, caplog
):
    monkeypatch.setattr("pgagent_runner.catalog.lanes._LONGEST_DELAY", 0.02)
    conn.execute("ALTER FUNCTION pgagent.pga_run_abort RENAME TO away")
    broken = add_job(conn, "SELECT 1", "SELECT 2")
    sound = add_job(conn, "SELECT 1")
    crew.start(claims.claim(2, 60).runs)

    poll(lambda: crew.is_idle)
    assert runs(conn, sound) == [("s", None)]
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert record.job_id == broken
    assert (
        "could not be recorded: function pgagent.pga_run_abort" in record.getMessage()
    )


def test_a_run_that_no_thread_is_left_for_fails_with_its_first_step(
    conn, claims, crew, monkeypatch
):
    def start(_):
        raise RuntimeError("can't start new thread")

    # Names are looked up in a thread, for that may take its time.
    add_job(conn, {"jstcode": "SELECT 1", "jstconnstr": "host=localhost"}, "SELECT 2")
    (run,) = claims.claim(1, 60).runs
    monkeypatch.setattr(threading.Thread, "start", start)
    crew.start([run])

    poll(lambda: crew.is_idle)
    ((status, message),) = runs(conn)
    assert status == "f"
    assert "can't start new thread" in message
    ((name, status, result, output),) = step_runs(conn)
    assert (name, status, result) == ("step 01", "f", -1)
    assert "can't start new thread" in output


def test_a_session_that_cannot_be_given_back_is_closed_and_leaves_its_place(
    conn, dsn, claims, ledger, loop, monkeypatch
):
    def start_reset(_):
        raise RuntimeError("resetting")

    with crew_of(1, loop, ledger, dsn, SessionPool(1)) as crew:
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(Session, "start_reset", start_reset)
                add_job(conn, "SELECT 1")
                crew.start(claims.claim(1, 60).runs)
                poll(lambda: crew.is_idle)
    assert runs(conn) == [("s", None)] * 2
    sessions = "SELECT FROM pg_stat_activity WHERE application_name ~ '^pgagent job'"
    poll(lambda: not conn.execute(sessions).fetchall())
