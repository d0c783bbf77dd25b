"""Time limits: what takes longer is ended at once, leaves nothing, and says so."""

import pytest
from jobs import add_job, job, runs, step_runs

from .runner_process import ended_runs
from .stubborn import (
    busy_sessions,
    seconds_of_run,
    silent_server,
    stubborn_steps,
)

LIMIT = 0.5
STEP_LIMIT = "the step took longer than 0.5 s"
RUN_LIMIT = "the run took longer than 0.5 s"
IN_TIME = LIMIT + 2


def as_step(step):
    return {"jstcode": step} if isinstance(step, str) else step


def limited(code, **columns):
    return {"jstcode": code, "jsttimeout": f"{LIMIT} s"} | columns


@pytest.mark.parametrize(
    ("step_columns", "run_columns", "reason"),
    [
        ({"jsttimeout": f"{LIMIT} s"}, {}, STEP_LIMIT),
        # The step would be ignored if it were its own fault.
        ({"jstonerror": "i"}, {"jobtimeout": f"{LIMIT} s"}, RUN_LIMIT),
    ],
    ids=["step", "run"],
)
def test_what_takes_too_long_is_ended(
    conn, runner, leash, step_columns, run_columns, reason
):
    jobs = {
        add_job(conn, as_step(step) | step_columns, "SELECT 1", **run_columns): what
        for what, step in stubborn_steps(leash).items()
    }

    assert ended_runs(conn, count=len(jobs)) == "f" * len(jobs)

    assert busy_sessions(conn) == []
    assert not leash.is_held()
    for job_id, what in jobs.items():
        assert LIMIT <= seconds_of_run(conn, job_id) < IN_TIME, what
        assert runs(conn, job_id) == [("f", f'step "step 01" failed: {reason}')]
        ((_, status, _, output),) = step_runs(conn, job_id)
        assert (status, reason in output) == ("f", True), what
        assert job(conn, job_id, "jobagentid") is None


@pytest.mark.parametrize(
    ("of_step", "of_run", "reason"),
    [(f"{LIMIT} s", None, STEP_LIMIT), (None, f"{LIMIT} s", RUN_LIMIT)],
    ids=["step", "run"],
)
def test_connecting_counts_as_well(conn, runner, of_step, of_run, reason):
    with silent_server() as server:
        step = {"jstcode": "SELECT 1", "jstconnstr": server.conninfo}
        add_job(conn, step | {"jsttimeout": of_step}, jobtimeout=of_run)
        server.accept()

        assert ended_runs(conn) == "f"

        assert server.has_been_left()
    assert LIMIT <= seconds_of_run(conn) < IN_TIME
    assert runs(conn) == [("f", f'step "step 01" failed: {reason}')]


def test_waiting_for_the_next_attempt_counts_for_the_run(conn, runner):
    step = {"jstcode": "SELECT 1/0", "jstretries": 5, "jstretryon": ["any"]}
    add_job(conn, step | {"jstretrydelay": "600 s"}, jobtimeout=f"{LIMIT} s")

    assert ended_runs(conn) == "f"

    assert LIMIT <= seconds_of_run(conn) < IN_TIME
    assert runs(conn) == [("f", f'step "step 01" failed: {RUN_LIMIT}')]


def test_all_steps_and_attempts_together_count_for_the_run(conn, runner):
    # Halfway between two ends of steps: a slow machine has half a second.
    limit = 1.5
    add_job(conn, *["SELECT pg_sleep(1)"] * 9, jobtimeout=f"{limit} s")

    assert ended_runs(conn) == "f"

    assert limit <= seconds_of_run(conn) < limit + IN_TIME - LIMIT
    assert [row[1] for row in step_runs(conn)] == ["s", "f"]


@pytest.mark.parametrize(("on_error", "status"), [("i", "i"), ("s", "s")])
def test_the_answer_to_an_error_is_one_to_a_limit_of_the_step_too(
    conn, runner, on_error, status
):
    # The steps that follow have their own time, and the same target.
    late = limited("SELECT pg_sleep(600)", jstonerror=on_error)
    add_job(conn, late, late, "SELECT 1")

    assert ended_runs(conn) == "s"

    assert [row[1] for row in step_runs(conn)] == [status, status, "s"]


def test_a_step_that_ends_in_time_is_none_the_worse(conn, runner):
    steps = [limited("SELECT pg_sleep(0.3)") for _ in range(3)]
    add_job(conn, *steps, jobtimeout="600 s")

    assert ended_runs(conn) == "s"
