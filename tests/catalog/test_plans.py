"""What is read for a run: no more for one of many, whenever the plan was made."""

from contextlib import closing

import pytest
from jobs import add_job, add_schedule, runs
from pgagent_runner.catalog.connection import connect
from transitions import claim_rows, finish_run, register, start_step

READ = """
    SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class AS c
    WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'i')
"""
MOST_READS = 25  # for a run; about 10 and 18 are needed
CLAIM = """
    SELECT run_id, run_step_log_id FROM pgagent.pga_run_claim(pg_backend_pid(), %s, 60)
    WHERE run_id IS NOT NULL
"""
RECORD = """
    SELECT refusal FROM pgagent.pga_run_record(pg_backend_pid(), (
        SELECT json_agg(json_build_object(
            'run_id', run_id, 'step_log_id', step_log_id, 'step_status', 's',
            'result', 0, 'output', 'done', 'run_status', 's'
        )) FROM unnest(%s, %s) AS e (run_id, step_log_id)
    )) WHERE place IS NOT NULL
"""


def add_due_jobs(conn, count):
    for _ in range(count):
        add_schedule(conn, add_job(conn, "SELECT 1"))
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")


def rows_read(session, action, *parameters):
    """Return what an action returns, and how many rows and index entries it reads."""
    ((before,),) = session.execute(READ)
    result = action(session, *parameters)
    ((after,),) = session.execute(READ)
    return result, int(after - before)


def claim_all(session, count):
    return session.execute(CLAIM, [count]).fetchall()


def record_all(session, run_ids, step_log_ids):
    return session.execute(RECORD, [run_ids, step_log_ids]).fetchall()


def reads_of_runs(session, count):
    """Claim so many runs and record their end; return what is read for each of both."""
    with session.transaction():
        claimed, claiming = rows_read(session, claim_all, count)
        run_ids, steps = map(list, zip(*claimed, strict=True))
        refusals, recording = rows_read(session, record_all, run_ids, steps)
    assert refusals == [(None,)] * count
    return claiming, recording


@pytest.mark.parametrize("statistics", ["none", "of one job"])
def test_a_run_takes_few_reads_though_its_plans_were_made_for_few_rows(
    conn, dsn, statistics
):
    add_due_jobs(conn, 1)
    if statistics != "none":
        conn.execute("VACUUM ANALYZE")
    with closing(connect(dsn)) as session:
        register(session)
        reads_of_runs(session, 1)  # plans are made, and kept
        add_due_jobs(conn, 100)
        claiming, recording = reads_of_runs(session, 100)

    assert claiming < 100 * MOST_READS
    assert recording < 100 * MOST_READS


@pytest.mark.parametrize("statistics", ["none", "of one job"])
def test_a_step_starts_and_a_run_ends_with_few_reads_however_often_before(
    conn, dsn, statistics
):
    job_id = add_job(conn, "SELECT 1", "SELECT 2")
    if statistics != "none":
        conn.execute("VACUUM ANALYZE")
    with closing(connect(dsn)) as session:
        register(session)
        for _ in range(50):
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            (_, (run_id, _, _, step_id, *_)) = claim_rows(session)
            with session.transaction():
                _, starting = rows_read(session, start_step, run_id, step_id)
            with session.transaction():
                _, ending = rows_read(session, finish_run, run_id)

    assert len(runs(conn, job_id)) == 50
    assert starting < MOST_READS
    assert ending < MOST_READS


@pytest.mark.parametrize("statistics", ["none", "of one job"])
def test_a_claim_takes_few_reads_however_often_the_job_has_run(conn, dsn, statistics):
    add_due_jobs(conn, 1)
    if statistics != "none":
        conn.execute("VACUUM ANALYZE")
    with closing(connect(dsn)) as session:
        register(session)
        claiming = []
        for _ in range(200):
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            with session.transaction():
                claimed, reads = rows_read(session, claim_all, 1)
            claiming.append(reads)
            assert record_all(session, *map(list, zip(*claimed, strict=True))) == [
                (None,)
            ]

    assert claiming[-1] < 2 * MOST_READS
