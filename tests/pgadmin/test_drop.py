"""What pgAdmin drops is gone with all that belongs to it, and nothing else is."""

from jobs import add_job, add_schedule, add_step, batch, job
from transitions import claim, finish_step, start_step

from .client import JOB_NODES, SCHEDULES, STEPS, send


def test_a_step_is_dropped(conn, pgadmin):
    job_id = add_job(conn, batch("true"), due=None)
    step_id = add_step(conn, job_id, batch("false"), name="dropped")

    send(
        pgadmin,
        f"DELETE FROM pgagent.pga_jobstep WHERE jstid={step_id}::integer AND jstjobid={job_id}::integer;",
    )

    (kept,) = send(pgadmin, STEPS.format(job_id))
    assert kept["jstcode"] == "true"
    assert job(conn, job_id, "jobchanged > jobcreated")


def test_a_schedule_is_dropped_and_with_it_the_next_run(conn, pgadmin):
    job_id = add_job(conn, due=None)
    schedule_id = add_schedule(conn, job_id, jscstart="2040-01-01 00:00")
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (%s, '2040-02-01')",
        [schedule_id],
    )
    assert job(conn, job_id, "jobnextrun") is not None

    send(
        pgadmin,
        f"DELETE FROM pgagent.pga_schedule WHERE jscid={schedule_id}::integer AND jscjobid={job_id}::integer;",
    )

    assert send(pgadmin, SCHEDULES.format(job_id)) == []
    assert job(conn, job_id, "jobnextrun") is None
    assert job(conn, job_id, "jobchanged > jobcreated")


def test_a_job_is_dropped_with_its_history(conn, pgadmin, agent, neighbours):
    job_id = add_job(conn)
    step_id = add_step(conn, job_id, batch("true"))
    ((run_id, _),) = claim(agent)
    finish_step(agent, run_id, start_step(agent, run_id, step_id))
    add_schedule(conn, job_id)

    send(pgadmin, f"DELETE FROM pgagent.pga_job WHERE jobid={job_id}::integer;")

    assert [row["jobid"] for row in send(pgadmin, JOB_NODES)] == list(neighbours)
    assert send(pgadmin, STEPS.format(job_id)) == []
    assert send(pgadmin, SCHEDULES.format(job_id)) == []
    for column, log in (("jlgid", "pga_joblog"), ("jsljlgid", "pga_jobsteplog")):
        kept = send(pgadmin, f"SELECT {column} FROM pgagent.{log}")
        assert len(kept) == len(neighbours)
        assert {column: run_id} not in kept
