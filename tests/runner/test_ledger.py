"""What is recorded is recorded exactly once, whatever becomes of the sessions."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from jobs import add_job, runs, step_runs
from pgagent_runner.catalog import (
    Catalog,
    CatalogError,
    CatalogLostError,
    Ledger,
    NotRunningError,
    StepGoneError,
)
from pgagent_runner.model import Ending, Outcome, RunStatus, StepStatus
from psycopg.conninfo import make_conninfo

from .lossy_proxy import LossyProxy

OUTCOME = Outcome(Ending.SUCCEEDED, 1, "output")
SUCCEEDED = StepStatus.SUCCEEDED, OUTCOME


@pytest.fixture
def run(conn, dsn):
    """A claimed run of a job with one step."""
    with Catalog(dsn, "here", 20, starting=True) as catalog:
        add_job(conn, "SELECT 1")
        yield catalog.claim(1)[0]


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


@pytest.fixture
def ledger(dsn, proxy, tmp_path):
    """A ledger with one session, which can be made to break."""
    with closing(Ledger(make_conninfo(dsn, host=str(tmp_path)), 1)) as ledger:
        yield ledger


@pytest.fixture
def impatience(monkeypatch):
    monkeypatch.setattr("pgagent_runner.catalog.ledger._LONGEST_DELAY", 0.02)


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_lost_session_loses_and_doubles_nothing(conn, ledger, run, proxy, lost):
    proxy.lose(lost)
    step_log_id = ledger.start_step(run.id, run.steps[0].id)
    assert step_runs(conn) == [("step 01", "r", None, None)]

    proxy.lose(lost)
    ledger.finish_step(step_log_id, *SUCCEEDED)
    assert step_runs(conn) == [("step 01", "s", 1, "output")]

    proxy.lose(lost)
    ledger.finish_run(run.id, RunStatus.FAILED, "why")
    assert runs(conn) == [("f", "why")]
    assert proxy.has_lost()


def test_a_run_that_was_closed_meanwhile_is_not_taken_for_recorded(
    conn, ledger, run, proxy
):
    conn.execute("SELECT pgagent.pga_run_abort(%s, 'by hand')", [run.id])
    proxy.lose("answer")

    with pytest.raises(NotRunningError, match="by hand"):
        ledger.finish_run(run.id, RunStatus.SUCCEEDED, None)

    assert runs(conn) == [("d", "by hand")]


def test_a_step_that_was_deleted_is_gone(conn, ledger, run):
    step_log_id = ledger.start_step(run.id, run.steps[0].id)
    conn.execute("DELETE FROM pgagent.pga_jobstep")

    with pytest.raises(StepGoneError):
        ledger.finish_step(step_log_id, *SUCCEEDED)
    with pytest.raises(StepGoneError):
        ledger.start_step(run.id, run.steps[0].id)


def test_a_refusal_is_not_taken_for_good(conn, ledger, run, impatience):
    conn.execute("ALTER FUNCTION pgagent.pga_step_start RENAME TO away")
    with ThreadPoolExecutor() as thread:
        started = thread.submit(ledger.start_step, run.id, run.steps[0].id)
        conn.execute("ALTER FUNCTION pgagent.away RENAME TO pga_step_start")
        assert started.result() > 0

    assert len(step_runs(conn)) == 1


def test_refusals_without_end_are_an_error(conn, ledger, run, impatience):
    conn.execute("ALTER FUNCTION pgagent.pga_step_start RENAME TO away")

    with pytest.raises(CatalogError, match="pga_step_start"):
        ledger.start_step(run.id, run.steps[0].id)


@pytest.mark.parametrize(
    ("output", "stored"),
    [("a\0b", r"a\x00b"), ("\udcff", r"\udcff"), ("Größe 😀", "Größe 😀")],
)
def test_output_that_the_database_cannot_store_is_escaped(
    conn, ledger, run, output, stored
):
    step_log_id = ledger.start_step(run.id, run.steps[0].id)

    outcome = Outcome(Ending.SUCCEEDED, 0, output)
    ledger.finish_step(step_log_id, StepStatus.SUCCEEDED, outcome)

    assert step_runs(conn)[0][3] == stored


def test_many_threads_share_a_few_sessions(conn, dsn, run):
    with closing(Ledger(dsn, 2)) as ledger, ThreadPoolExecutor(16) as threads:
        step_id = run.steps[0].id
        ids = set(threads.map(lambda _: ledger.start_step(run.id, step_id), range(200)))

    assert len(ids) == len(step_runs(conn)) == 200


def test_a_closed_ledger_records_nothing(conn, ledger, run):
    ledger.close()

    with pytest.raises(CatalogLostError):
        ledger.start_step(run.id, run.steps[0].id)

    assert step_runs(conn) == []


def test_closing_the_ledger_ends_attempts_to_record(ledger, run, proxy):
    with ThreadPoolExecutor() as thread:
        proxy.close()
        proxy.lose("question")
        started = thread.submit(ledger.start_step, run.id, run.steps[0].id)
        ledger.close()

        with pytest.raises(CatalogLostError):
            started.result(timeout=10)


def test_a_ledger_that_cannot_connect_says_so(tmp_path):
    with pytest.raises(CatalogLostError, match="No such file or directory"):
        Ledger(f"host={tmp_path}", 1)
