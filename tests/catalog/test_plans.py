"""What is read for a run: no more for one of many, whenever the plan was made."""

from contextlib import closing

import pytest
from jobs import add_job, add_schedule
from pgagent_runner.catalog.session import connect
from transitions import register

READ = """
    SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class AS c
    WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'i')
"""
MOST_READS = 25  # for a run; about 10 and 18 are needed
CLAIM = "SELECT run_id, step_log_id FROM pgagent.pga_run_claim(pg_backend_pid(), %s)"
RECORD = """
    SELECT refusal FROM pgagent.pga_run_record(
        %(runs)s, %(steps)s, array_fill('s'::text, %(size)s),
        array_fill(0, %(size)s), array_fill('done'::text, %(size)s),
        array_fill(NULL::integer, %(size)s), array_fill(1, %(size)s),
        array_fill('s'::text, %(size)s), array_fill(NULL::text, %(size)s)
    )
"""


def add_due_jobs(conn, count):
    for _ in range(count):
        add_schedule(conn, add_job(conn, "SELECT 1"))
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")


def rows_read(session, query, parameters):
    """Return a query's rows, and how many rows and index entries it has read."""
    ((before,),) = session.execute(READ)
    rows = session.execute(query, parameters).fetchall()
    ((after,),) = session.execute(READ)
    return rows, int(after - before)


def reads_of_runs(session, count):
    """Claim so many runs and record their end; return what is read for each of both."""
    with session.transaction():
        claimed, claiming = rows_read(session, CLAIM, [count])
        run_ids, step_log_ids = map(list, zip(*claimed, strict=True))
        ended = {"runs": run_ids, "steps": step_log_ids, "size": [count]}
        refusals, recording = rows_read(session, RECORD, ended)
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
