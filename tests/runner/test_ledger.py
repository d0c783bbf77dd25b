"""What is recorded is recorded exactly once, whatever becomes of the sessions."""

import asyncio
import time
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest
from jobs import add_job, runs, step_runs
from pgagent_runner import libpq
from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    CutError,
    Ledger,
    NotRunningError,
    connection,
)
from pgagent_runner.model import (
    EndedStep,
    Ending,
    Outcome,
    RunStatus,
    ServerSession,
    StepStatus,
)
from psycopg.conninfo import make_conninfo
from support import poll

from .lossy_proxy import LossyProxy
from .recording import Recorded

OUTCOME = Outcome(Ending.SUCCEEDED, 1, "output")


@pytest.fixture
def run(conn, claims):
    """A claimed run of a job with one step, which has started."""
    add_job(conn, "SELECT 1")
    return claims.claim(1, 60).runs[0]


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


@pytest.fixture
def due():
    """The seconds until something is due, as the records said."""
    return []


@pytest.fixture
def ledger(dsn, proxy, catalog, tmp_path, loop, due):
    """A ledger whose sessions can be made to break."""
    conninfo = make_conninfo(dsn, host=str(tmp_path))
    with ledger_of(loop, conninfo, catalog.agent_id, due.append) as ledger:
        yield ledger


@contextmanager
def ledger_of(loop, conninfo, agent_id, on_due):
    ledger = loop.holding(loop.call(Ledger, conninfo, agent_id, on_due))
    ledger.open()
    with closing(ledger):
        yield ledger


@pytest.fixture
def impatience(monkeypatch):
    monkeypatch.setattr("pgagent_runner.catalog.lanes._LONGEST_DELAY", 0.02)


def ended(run, status=StepStatus.SUCCEEDED, outcome=OUTCOME):
    return EndedStep(run.step_log_id, status, outcome)


def start_closing(ledger, run, last=None, status=RunStatus.SUCCEEDED, message=None):
    recorded = Recorded()
    ledger.close_run(run, last or ended(run), status, message, recorded.note)
    return recorded


def close(ledger, run, last=None, status=RunStatus.SUCCEEDED, message=None):
    start_closing(ledger, run, last, status, message).result(timeout=10)


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_lost_session_loses_and_doubles_nothing(conn, ledger, run, proxy, lost):
    proxy.lose(lost)
    step_log_id = ledger.advance(run, ended(run), run.steps[0].id, 2)
    assert step_runs(conn) == [
        ("step 01", "s", 1, "output"),
        ("step 01", "r", None, None),
    ]

    proxy.lose(lost)
    last = EndedStep(step_log_id, StepStatus.FAILED, OUTCOME)
    close(ledger, run, last, RunStatus.FAILED, "why")
    assert runs(conn) == [("f", "why")]
    assert [row[1] for row in step_runs(conn)] == ["s", "f"]
    assert proxy.has_lost()


def test_a_run_that_was_closed_meanwhile_is_not_taken_for_recorded(
    conn, ledger, run, proxy
):
    conn.execute("SELECT pgagent.pga_run_abort(%s, 'by hand')", [run.id])
    proxy.lose("answer")

    with pytest.raises(NotRunningError, match="by hand"):
        close(ledger, run)

    assert runs(conn) == [("d", "by hand")]


def test_a_step_that_was_deleted_does_not_start(conn, ledger, run):
    conn.execute("DELETE FROM pgagent.pga_jobstep")

    assert ledger.advance(run, ended(run), run.steps[0].id, 2) is None


def test_a_refusal_is_not_taken_for_good(conn, ledger, run, impatience):
    conn.execute("ALTER FUNCTION pgagent.pga_run_record(integer, json) RENAME TO away")
    recorded = start_closing(ledger, run)
    conn.execute("ALTER FUNCTION pgagent.away(integer, json) RENAME TO pga_run_record")
    recorded.result(timeout=10)

    assert runs(conn) == [("s", None)]


def test_what_cannot_be_recorded_at_all_is_an_error(conn, ledger, run, impatience):
    for name in ("pga_run_record", "pga_run_salvage"):
        conn.execute(
            f"ALTER FUNCTION pgagent.{name}(integer, json) RENAME TO no_{name}"
        )

    with pytest.raises(CatalogError, match="pga_run_salvage"):
        close(ledger, run)


def test_a_locked_job_only_delays_its_own_run(conn, dsn, claims, ledger):
    add_job(conn, "SELECT 1", name="locked")
    for number in range(20):
        add_job(conn, "SELECT 1", name=f"free {number}")
    held, *others = claims.claim(21, 60).runs
    with psycopg.connect(dsn) as holder:
        holder.execute(
            "SELECT FROM pgagent.pga_job WHERE jobid = %s FOR UPDATE", [held.job_id]
        )
        first, *rest = [start_closing(ledger, run) for run in (held, *others)]
        for recorded in rest:
            recorded.result(timeout=10)
        assert not first.done()
    first.result(timeout=10)

    assert runs(conn) == [("s", None)] * 21


def test_a_user_who_changes_all_jobs_is_no_victim_of_a_deadlock(
    conn, dsn, claims, ledger
):
    for _ in range(30):
        add_job(conn, "SELECT 1")
    with psycopg.connect(dsn) as user:
        claimed = claims.claim(30, 60).runs
        for run in reversed(claimed):
            user.execute(
                "UPDATE pgagent.pga_job SET jobdesc = 'x' WHERE jobid = %s",
                [run.job_id],
            )
            start_closing(ledger, run)
        user.commit()
    poll(lambda: runs(conn) == [("s", None)] * 30)


def test_what_one_run_cannot_have_recorded_does_not_keep_the_others(
    conn, claims, ledger, impatience
):
    for _ in range(3):
        add_job(conn, "SELECT 1")
    conn.execute(
        "ALTER TABLE pgagent.pga_jobsteplog ADD CHECK (jsloutput <> 'not this')"
    )
    wrong = Outcome(Ending.SUCCEEDED, 1, "not this")
    bad, *good = claims.claim(3, 60).runs

    refused = start_closing(ledger, bad, ended(bad, outcome=wrong))
    for run in good:
        close(ledger, run)

    with pytest.raises(CutError, match="violates check constraint"):
        refused.result(timeout=10)
    assert [status for status, _ in runs(conn)] == ["s", "s", "s"]
    assert [output for *_, output in step_runs(conn)].count("output") == 2


@pytest.mark.parametrize(
    ("output", "stored"),
    [("a\0b", r"a\x00b"), ("\udcff", r"\udcff"), ("Größe 😀", "Größe 😀")],
)
def test_output_that_the_database_cannot_store_is_escaped(
    conn, ledger, run, output, stored
):
    outcome = Outcome(Ending.SUCCEEDED, 0, output)
    last = EndedStep(run.step_log_id, StepStatus.SUCCEEDED, outcome)
    close(ledger, run, last, message=output)

    assert step_runs(conn)[0][3] == stored
    assert runs(conn) == [("s", stored)]


def test_who_fails_to_hear_it_does_not_keep_it_from_others(conn, dsn, claims, ledger):
    def fail(error):
        raise RuntimeError(f"nobody is to hear of {error}")

    for _ in range(3):
        add_job(conn, "SELECT 1")
    first, *others = claims.claim(3, 60).runs
    with psycopg.connect(dsn) as holder:  # so that the others are recorded together
        holder.execute("LOCK TABLE pgagent.pga_joblog IN ACCESS EXCLUSIVE MODE")
        held = start_closing(ledger, first)
        ledger.close_run(others[0], ended(others[0]), RunStatus.SUCCEEDED, None, fail)
        other = start_closing(ledger, others[1])
    held.result(timeout=10)
    other.result(timeout=10)

    assert runs(conn) == [("s", None)] * 3


def test_many_tasks_share_a_session(conn, run, ledger, loop):
    async def advance_often():
        step_id = run.steps[0].id
        return await asyncio.gather(
            *(ledger.itself.advance(run, None, step_id, n) for n in range(2, 202))
        )

    assert len(set(loop.run(advance_often()))) == 200
    assert len(step_runs(conn)) == 201


def test_a_closed_ledger_records_nothing(conn, ledger, run):
    ledger.close()

    with pytest.raises(CatalogLostError):
        close(ledger, run)

    assert runs(conn) == [("r", None)]


def test_closing_the_ledger_ends_attempts_to_record(ledger, run, proxy):
    proxy.close()
    proxy.lose("question")
    recorded = start_closing(ledger, run)
    ledger.close()

    with pytest.raises(CatalogLostError):
        recorded.result(timeout=10)


@pytest.mark.parametrize("work", ["a record", "a question"])
def test_closing_the_ledger_waits_for_no_server_that_does_not_answer(
    conn, ledger, run, proxy, loop, work
):
    proxy.hang()
    if work == "a record":
        waiting = start_closing(ledger, run)
    else:
        waiting = loop.started(
            ledger.itself.note_session, ServerSession(1, None, is_pooled=False)
        )
    # Its sessions do not answer, and one that is opened instead does not either.
    poll(lambda: ledger.break_off_silent(0) or proxy.sessions > 2)
    began = time.monotonic()
    ledger.close()

    assert time.monotonic() - began < 5
    with pytest.raises(CatalogLostError):
        waiting.result(timeout=10)


def test_a_ledger_that_cannot_connect_says_so(tmp_path, loop):
    with (
        pytest.raises(CatalogLostError, match="No such file or directory"),
        ledger_of(loop, f"host={tmp_path}", 1, print),
    ):
        pass


def test_a_defect_leaves_nobody_waiting_and_the_ledger_open(
    conn, ledger, claims, run, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("pgagent_runner.catalog.lanes._RECORD", None)
        with pytest.raises(TypeError):
            close(ledger, run)

    close(ledger, run)
    assert runs(conn) == [("s", None)]


def test_a_lack_of_descriptors_only_delays(conn, ledger, run, proxy, monkeypatch):
    refusals = [OSError("too many open files")] * 3

    async def connect(*args):
        if refusals:
            raise refusals.pop()
        return await libpq.connect(*args)

    monkeypatch.setattr(connection, "libpq", Mock(wraps=libpq, connect=connect))
    proxy.lose("question")
    close(ledger, run)

    assert refusals == []
    assert runs(conn) == [("s", None)]


def test_a_closed_ledger_opens_nothing_any_more(ledger):
    before = open_files()
    ledger.close()

    with pytest.raises(CatalogLostError):
        ledger.note_session(ServerSession(1, None, is_pooled=False))

    assert open_files() < before


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
