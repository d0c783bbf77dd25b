"""A job that fails time and again is not started for ever, if it is told so."""

from jobs import add_job, add_schedule, job, runs
from support import poll

from .runner_process import ended_runs

GIVEN_UP = "it was failure 3 in a row: the job has been disabled"


def every_second(conn, *steps, **columns):
    job_id = add_job(conn, *steps, due=None, **columns)
    add_schedule(conn, job_id, jscevery="1 second", jscstart="2020-01-01")
    return job_id


def test_a_job_is_disabled_by_its_third_failure_in_a_row_and_others_go_on(conn, runner):
    job_id = every_second(conn, "SELECT 1/0", jobdisableafter=3)

    poll(lambda: not job(conn, job_id, "jobenabled"))

    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
    ended = runs(conn, job_id)
    assert [status for status, _ in ended] == ["f"] * 3
    assert [GIVEN_UP in message for _, message in ended] == [False, False, True]
    assert job(conn, job_id, "(jobfailures, jobfailed)") == ("3", "3")
    assert job(conn, job_id, "jobnextrun") is None
    assert "Traceback" not in runner.log


def test_a_job_whose_session_is_ended_each_time_is_disabled_too(conn, runner):
    job_id = every_second(
        conn,
        "SELECT pg_terminate_backend(pg_backend_pid())",
        jobdisableafter=3,
    )

    poll(lambda: not job(conn, job_id, "jobenabled"))

    assert len(runs(conn, job_id)) == 3
    assert job(conn, job_id, "jobfailures") == 3
