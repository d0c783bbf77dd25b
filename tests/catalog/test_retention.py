"""What the log need not keep any longer is deleted, and nothing else."""

import asyncio

import pytest
from jobs import add_job
from pgagent_runner.catalog import prune_log

HISTORY = """
INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgagentid)
SELECT %s, 's', now() - (%s - n) * interval '1 hour', 1 FROM generate_series(1, %s) AS n
"""


@pytest.fixture
def history(conn):
    """Make a job with so many runs, the last one now, one an hour."""

    def history(count, keep_for=None, keep_runs=None):
        job_id = add_job(conn, "SELECT 1", due=None)
        conn.execute(
            "UPDATE pgagent.pga_job SET jobkeepfor = %s, jobkeepruns = %s"
            " WHERE jobid = %s",
            [keep_for, keep_runs, job_id],
        )
        conn.execute(HISTORY, [job_id, count, count])
        return job_id

    return history


def kept(conn, job_id):
    query = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgjobid = %s"
    return conn.execute(query, [job_id]).fetchone()[0]


def prune(dsn):
    return asyncio.run(prune_log(dsn))


def test_runs_beyond_their_age_or_number_are_deleted_job_by_job(conn, dsn, history):
    everything = history(30)
    young = history(30, keep_for="9.5 hours")
    few = history(30, keep_runs=7)
    both = history(30, keep_for="4.5 hours", keep_runs=7)

    assert prune(dsn) == 20 + 23 + 25

    jobs = (everything, young, few, both)
    assert [kept(conn, job_id) for job_id in jobs] == [30, 10, 7, 5]
    assert prune(dsn) == 0


def test_a_job_of_any_id_is_reached(conn, dsn):
    for job_id in (-5, 0, 7, -2147483648, 2147483647):
        add_job(conn, due=None, jobid=job_id, jobkeepruns=7)
        conn.execute(HISTORY, [job_id, 30, 30])

    assert prune(dsn) == 5 * 23
    assert prune(dsn) == 0


def test_a_running_run_is_never_deleted(conn, dsn, history):
    job_id = history(5, keep_runs=1)
    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'r'"
        " WHERE jlgid = (SELECT min(jlgid) FROM pgagent.pga_joblog)"
    )

    assert prune(dsn) == 3
    assert kept(conn, job_id) == 2


def test_the_rows_are_deleted_a_few_at_a_time(conn, history):
    first, second = (history(25, keep_runs=5) for _ in range(2))
    steps = []
    last = 0
    while last is not None:
        last, deleted = conn.execute(
            "SELECT * FROM pgagent.pga_log_prune(%s, 100, 8)", [last]
        ).fetchone()
        steps.append(deleted)

    assert max(steps) <= 8
    assert sum(steps) == 40
    assert kept(conn, first) == kept(conn, second) == 5


def test_what_was_left_out_is_forgotten_with_the_runs(conn, dsn, history):
    job_id = history(1, keep_for="1 day")
    conn.execute(
        "INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason, jsklogged)"
        " SELECT %s, now(), now(), 'why', now() - age FROM unnest("
        " ARRAY['2 days', '1 hour']::interval[]) AS age",
        [job_id],
    )

    prune(dsn)

    query = "SELECT count(*) FROM pgagent.pga_jobskip"
    assert conn.execute(query).fetchone() == (1,)


def test_the_latest_of_what_was_left_out_stays_with_how_many_there_were(
    conn, dsn, history
):
    job_id = history(1, keep_for="1 day")
    conn.execute(
        "INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason, jsklogged, jsktotal)"
        " SELECT %s, now(), now(), 'why', now() - interval '2 days', total"
        " FROM generate_series(1, 3) AS total",
        [job_id],
    )

    prune(dsn)

    query = "SELECT jsktotal FROM pgagent.pga_jobskip"
    assert conn.execute(query).fetchall() == [(3,)]


def test_an_upgraded_installation_keeps_everything_until_told_otherwise(conn_42):
    conn_42.execute("INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'old')")
    conn_42.execute("ALTER EXTENSION pgagent UPDATE")
    conn_42.execute("INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'new')")

    assert conn_42.execute(
        "SELECT DISTINCT jobkeepfor, jobkeepruns FROM pgagent.pga_job"
    ).fetchall() == [(None, None)]
