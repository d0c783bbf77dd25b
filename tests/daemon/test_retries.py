"""Steps that are tried again, and those that are not."""

import pytest
from jobs import add_job, batch, runs
from support import poll

from .runner_process import ended_runs, running_step

QUICK = {"jstretries": 3, "jstretrydelay": "0.02 s", "jstretrybackoff": 1}


def sql(code, **columns):
    return {"jstkind": "s", "jstcode": code} | QUICK | columns


def raising(sqlstate):
    return f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"


def attempts(conn, job_id):
    return conn.execute(
        "SELECT jslattempt, jslstatus, jsloutput FROM pgagent.pga_jobsteplog"
        " JOIN pgagent.pga_joblog ON jlgid = jsljlgid WHERE jlgjobid = %s"
        " ORDER BY jslid",
        [job_id],
    ).fetchall()


def test_a_step_is_tried_until_it_succeeds_and_each_attempt_is_logged(
    conn, runner, tmp_path
):
    code = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 3"
    job_id = add_job(conn, batch(code, **QUICK))

    assert ended_runs(conn, job_id) == "s"
    assert [row[:2] for row in attempts(conn, job_id)] == [(1, "f"), (2, "f"), (3, "s")]
    assert "attempt 1 of 4; the next one in 0.02 s" in attempts(conn, job_id)[0][2]


def test_a_step_that_never_succeeds_fails_after_its_last_attempt(conn, runner):
    job_id = add_job(conn, batch("exit 3", **QUICK))

    assert ended_runs(conn, job_id) == "f"
    assert [row[:2] for row in attempts(conn, job_id)] == [
        (n, "f") for n in range(1, 5)
    ]
    assert runs(conn, job_id) == [("f", 'step "step 01" failed: exit code 3')]


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (sql(raising("40001")), 4),
        (sql(raising("55P03")), 4),
        (sql("SELECT 1/0"), 1),
        (sql("SELECT 1/0", jstretryon=["22"]), 4),
        (sql("SELECT 1/0", jstretryon=["22012"]), 4),
        (sql("SELECT 1/0", jstretryon=["any"]), 4),
        (sql(raising("40001"), jstretryon=["22012"]), 1),
        (sql("SELECT 1", jstconnstr="host=/nowhere"), 4),
        (sql("SELECT 1", jstconnstr="host=/nowhere", jstretryon=["40"]), 1),
        (sql("SELECT pg_terminate_backend(pg_backend_pid())"), 4),
        (batch("exit 75", jstretryon=["75"], **QUICK), 4),
        (batch("exit 1", jstretryon=["75"], **QUICK), 1),
        (batch("kill -9 $$", jstretryon=["-9"], **QUICK), 4),
        (batch("sleep 60", jsttimeout="0.05 s", **QUICK), 1),
        (batch("sleep 60", jsttimeout="0.05 s", jstretryon=["timeout"], **QUICK), 4),
        (batch("true", **QUICK), 1),
    ],
)
def test_what_has_failed_decides_whether_it_is_tried_again(conn, runner, step, count):
    job_id = add_job(conn, step)

    ended_runs(conn, job_id)

    assert len(attempts(conn, job_id)) == count


def test_the_delay_grows(conn, runner):
    step = batch("exit 1", jstretries=3, jstretrydelay="0.1 s", jstretrybackoff=3)
    job_id = add_job(conn, step)

    assert ended_runs(conn, job_id) == "f"
    gaps = conn.execute(
        "SELECT extract(epoch FROM jslstart - lag(jslstart + jslduration)"
        " OVER (ORDER BY jslid))::float8 FROM pgagent.pga_jobsteplog"
    ).fetchall()
    delays = [gap for (gap,) in gaps[1:]]
    assert all(
        0.9 * least <= delay
        for delay, least in zip(delays, (0.1, 0.3, 0.9), strict=True)
    )


def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled(conn, runner):
    job_id = add_job(conn, batch("exit 1", jstretries=9, jstretrydelay="1 hour"))
    poll(
        lambda: len(attempts(conn, job_id)) == 1 and attempts(conn, job_id)[0][1] == "f"
    )

    conn.execute("SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog")

    assert ended_runs(conn, job_id) == "d"


PHASES = ["SELECT pg_sleep(60)", batch("sleep 60")]


@pytest.mark.parametrize("step", PHASES, ids=["SQL", "batch"])
def test_a_run_can_be_cancelled(conn, runner, step):
    job_id = add_job(conn, step, "SELECT 1")
    running_step(conn, job_id)

    conn.execute("SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog")

    assert ended_runs(conn, job_id, deadline=3) == "d"
    ((_, reason),) = runs(conn, job_id)
    assert reason.startswith('aborted in step "step 01": cancelled by postgres at ')
