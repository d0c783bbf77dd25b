"""What one run has recorded slowly, or not at all, keeps no other waiting."""

import time
from contextlib import closing
from unittest.mock import Mock

import psycopg
import pytest
from jobs import add_job, job, runs, step_runs
from pgagent_runner import libpq
from pgagent_runner.catalog import CutError, connection, lanes
from pgagent_runner.model import (
    EndedStep,
    Ending,
    Outcome,
    RunStatus,
    ServerSession,
    StepStatus,
)
from support import poll

from .recording import Recorded

SLOW = """
    CREATE SEQUENCE public.fired;
    CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        PERFORM nextval('public.fired');
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN NEW;
    END$$;
    CREATE TRIGGER slow AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
        WHEN (NEW.jsloutput LIKE 'slow%') EXECUTE FUNCTION public.slow()
"""
REFUSED = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        RAISE EXCEPTION 'no mail today';
    END$$;
    CREATE TRIGGER refuse AFTER UPDATE ON pgagent.pga_jobsteplog FOR EACH ROW
        WHEN (NEW.jslstatus = 'f') EXECUTE FUNCTION public.refuse()
"""
AT_ONCE = 1.0  # seconds that a record may take at most


@pytest.fixture
def slowness(conn, dsn):
    """A trigger that keeps what is recorded of slow steps waiting; close it to go on."""
    conn.execute(SLOW)
    with closing(psycopg.connect(dsn, autocommit=True)) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        yield holder


def fired(conn):
    return conn.execute("SELECT last_value FROM public.fired").fetchone()[0]


def close(ledger, run, output="quick", status=StepStatus.SUCCEEDED):
    """Have the end of a run recorded; return the future of that."""
    recorded = Recorded()
    outcome = Outcome(Ending.SUCCEEDED, 1, output)
    ended = EndedStep(run.step_log_id, status, outcome)
    ledger.close_run(run, ended, RunStatus(status.value), None, recorded.note)
    return recorded


def claimed(conn, claims, count):
    for _ in range(count):
        add_job(conn, "SELECT 1")
    return claims.claim(count, 60).runs


def wait_until(moment):
    poll(lambda: time.monotonic() > moment)


def assert_at_once(ledger, runs):
    """Each of these, recorded one after the other, is recorded at once."""
    for run in runs:
        began = time.monotonic()
        close(ledger, run).result(timeout=10)
        assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("others", [0, 3])
def test_a_slow_record_keeps_no_other_waiting(conn, claims, ledger, slowness, others):
    """Neither those that come after it nor those that come with it."""
    slow, *quick = claimed(conn, claims, 10)
    recorded = [close(ledger, run) for run in quick[:others]]
    waiting = close(ledger, slow, "slow")
    recorded += [close(ledger, run) for run in quick[others : 2 * others]]
    began = time.monotonic()
    for future in recorded:
        future.result(timeout=10)
    assert time.monotonic() - began < AT_ONCE

    assert_at_once(ledger, quick[2 * others :])

    assert not waiting.done()
    slowness.close()
    waiting.result(timeout=10)
    assert runs(conn) == [("s", None)] * 10
    assert fired(conn) <= 2  # together with others, and alone


def test_a_single_slow_record_is_not_cancelled(conn, claims, ledger, slowness):
    slow, *quick = claimed(conn, claims, 5)
    waiting = close(ledger, slow, "slow")
    poll(lambda: fired(conn) == 1)

    assert_at_once(ledger, quick)

    slowness.close()
    waiting.result(timeout=10)
    assert fired(conn) == 1


@pytest.mark.parametrize("known", ["the others", "nothing", "the slow ones"])
def test_hundreds_of_slow_records_keep_no_other_waiting(
    conn, claims, ledger, slowness, known
):
    """More than there are lanes for: failures, say, of which a trigger sends mail."""
    quick = claimed(conn, claims, 20)
    failed = StepStatus.SUCCEEDED if known == "the others" else StepStatus.FAILED
    if known == "the others":
        assert_at_once(ledger, quick)
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        quick = claims.claim(20, 60).runs
    slow = claimed(conn, claims, 200)

    waiting = [close(ledger, run, "slow", failed) for run in slow]
    if known == "the slow ones":
        poll(lambda: fired(conn) > 16)  # what is beyond the lanes is put aside
    assert_at_once(ledger, quick)

    assert not any(future.done() for future in waiting)
    slowness.close()
    for future in waiting:
        future.result(timeout=30)
    assert not any(status == "r" for status, _ in runs(conn))


def test_a_job_whose_records_are_slow_does_not_meet_others_again(
    conn, claims, ledger, slowness
):
    add_job(conn, "SELECT 1", name="slow")
    for number in range(3):
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobname = 'slow'"
        )
        (slow,) = claims.claim(1, 60).runs
        quick = claimed(conn, claims, 2)
        began = time.monotonic()
        first = close(ledger, quick[0])
        waiting = close(ledger, slow, "slow")
        last = close(ledger, quick[1])
        first.result(timeout=10)
        last.result(timeout=10)
        elapsed = time.monotonic() - began
        assert elapsed < (AT_ONCE if number == 0 else lanes.PATIENCE)
        wait_until(began + 3 * lanes.PATIENCE)
        slowness.execute("SELECT pg_advisory_unlock(1)")
        waiting.result(timeout=10)
        slowness.execute("SELECT pg_advisory_lock(1)")


def test_a_refused_record_is_salvaged_and_harms_no_other(conn, claims, ledger):
    conn.execute(REFUSED)
    all_runs = claimed(conn, claims, 40)
    futures = {
        run.id: close(
            ledger, run, status=StepStatus.FAILED if n % 2 else StepStatus.SUCCEEDED
        )
        for n, run in enumerate(all_runs)
    }

    for number, run in enumerate(all_runs):
        if number % 2:
            with pytest.raises(CutError, match="no mail today"):
                futures[run.id].result(timeout=10)
        else:
            futures[run.id].result(timeout=10)
    assert [status for status, _ in runs(conn)] == ["s", "f"] * 20
    assert [status for _, status, *_ in step_runs(conn)] == ["s", "d"] * 20
    assert job(conn, all_runs[1].job_id, "jobagentid") is None


def test_a_trigger_that_raises_what_may_pass_is_not_obeyed_for_ever(
    conn, claims, ledger, monkeypatch
):
    monkeypatch.setattr(lanes, "_LONGEST_DELAY", 0.02)
    conn.execute(
        REFUSED.replace("today'", "today' USING ERRCODE = 'too_many_connections'")
    )
    bad, good = claimed(conn, claims, 2)
    refused = close(ledger, bad, status=StepStatus.FAILED)

    assert_at_once(ledger, [good])

    with pytest.raises(CutError, match="no mail today"):
        refused.result(timeout=10)
    assert runs(conn, bad.job_id)[0][0] == "f"


def test_a_run_is_aborted_beside_slow_records(conn, claims, ledger, slowness, loop):
    first, second, *quick = claimed(conn, claims, 5)
    conn.execute(
        "CREATE TRIGGER slow AFTER UPDATE ON pgagent.pga_joblog FOR EACH ROW"
        " WHEN (NEW.jlgstatus = 'd') EXECUTE FUNCTION public.slow()"
    )
    waiting = loop.started(ledger.itself.abort_run, first, "by the test")
    poll(lambda: fired(conn) == 1)

    assert_at_once(ledger, quick)
    ledger.note_session(ServerSession(conn.info.backend_pid, None, is_pooled=False))
    close(ledger, second).result(timeout=10)

    slowness.close()
    waiting.result(timeout=10)
    assert runs(conn, first.job_id) == [("d", "by the test")]


def test_a_record_that_the_server_is_at_work_on_is_not_broken_off(
    conn, claims, ledger, slowness
):
    (slow,) = claimed(conn, claims, 1)
    waiting = close(ledger, slow, "slow")
    poll(lambda: fired(conn) == 1)

    for _ in range(20):
        ledger.break_off_silent(0)
        ledger.note_session(ServerSession(conn.info.backend_pid, None, is_pooled=False))
    assert fired(conn) == 1

    slowness.close()
    waiting.result(timeout=10)
    assert fired(conn) == 1


def test_a_slow_record_does_not_keep_the_ledger_from_closing(
    claims, ledger, slowness, conn
):
    (slow,) = claimed(conn, claims, 1)
    close(ledger, slow, "slow")
    poll(lambda: fired(conn) == 1)
    began = time.monotonic()

    ledger.close()

    assert time.monotonic() - began < 3


def test_sessions_that_are_needed_no_more_are_closed(
    conn, claims, ledger, slowness, monkeypatch
):
    monkeypatch.setattr(lanes, "_IDLE_TIME", 0)
    before = count_sessions(conn)
    all_runs = claimed(conn, claims, 30)
    waiting = [close(ledger, run, "slow") for run in all_runs]
    poll(lambda: count_sessions(conn) > before + 5)
    slowness.execute("SELECT pg_advisory_unlock(1)")
    for future in waiting:
        future.result(timeout=10)

    ledger.break_off_silent(600)

    poll(lambda: count_sessions(conn) == before)


def test_a_lock_on_the_log_only_delays(conn, dsn, claims, ledger):
    first = claimed(conn, claims, 40)
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE pgagent.pga_joblog IN ACCESS EXCLUSIVE MODE")
        waiting = [close(ledger, run) for run in first]
        wait_until(time.monotonic() + 4 * lanes.PATIENCE)
    for future in waiting:
        future.result(timeout=10)

    assert_at_once(ledger, claimed(conn, claims, 3))
    assert runs(conn) == [("s", None)] * 43


def test_others_go_on_though_no_session_can_be_had_for_them(
    conn, claims, ledger, slowness, monkeypatch
):
    async def connect(*_):
        raise OSError("too many open files")

    slow, *quick = claimed(conn, claims, 6)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "libpq", Mock(wraps=libpq, connect=connect))
        waiting = close(ledger, slow, "slow")
        poll(lambda: fired(conn) == 1)

        assert_at_once(ledger, quick)

    slowness.close()
    ledger.break_off_silent(600)  # with each sign of life
    waiting.result(timeout=10)
    assert runs(conn) == [("s", None)] * 6


def count_sessions(conn):
    return conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    ).fetchone()[0]
