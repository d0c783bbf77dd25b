"""What a failing step means: for the steps after it, and for its run."""

import pytest
from jobs import add_job, batch, runs, step_runs

from .runner_process import ended_runs

FAILING = {
    "sql": {"jstkind": "s", "jstcode": "SELECT 1 / 0"},
    "batch": batch("exit 3"),
}
PLACES = {"the only": "x", "the first": "x..", "a middle": ".x.", "the last": "..x"}


@pytest.mark.parametrize("kind", FAILING)
@pytest.mark.parametrize(
    ("on_error", "step", "stops", "run"),
    [("f", "f", True, "f"), ("s", "s", False, "s"), ("i", "i", False, "s")],
)
def test_a_failing_step(conn, runner, kind, on_error, step, stops, run):
    failing = FAILING[kind] | {"jstonerror": on_error}
    jobs = {
        pattern: add_job(conn, *(failing if c == "x" else "SELECT 1" for c in pattern))
        for pattern in PLACES.values()
    }

    assert ended_runs(conn, count=len(jobs)) == run * len(jobs)

    for pattern, job_id in jobs.items():
        executed = pattern.partition("x")[0] + "x" if stops else pattern
        expected = executed.replace(".", "s").replace("x", step)
        assert letters(conn, job_id) == expected, pattern


def test_a_failed_run_says_which_step_and_why(conn, runner):
    add_job(conn, "SELECT 1 / 0", name="ratio")
    add_job(conn, batch("exit 3"), name="script")

    ended_runs(conn, count=2)

    assert {message for _, message in runs(conn)} == {
        'step "step 01" failed: ERROR:  division by zero',
        'step "step 01" failed: exit code 3',
    }
    assert {row[2] for row in step_runs(conn)} == {-1, 3}


def test_a_job_without_an_enabled_step_has_nothing_to_do(conn, runner):
    add_job(conn)
    add_job(conn, {"jstcode": "SELECT 1", "jstenabled": False})

    assert ended_runs(conn, count=2) == "ii"

    assert set(runs(conn)) == {("i", "the job has no enabled step")}
    assert step_runs(conn) == []


def test_a_disabled_step_is_passed_over(conn, runner):
    add_job(conn, "SELECT 1", {"jstcode": "SELECT 1 / 0", "jstenabled": False})

    assert ended_runs(conn) == "s"
    assert letters(conn) == "s"


def letters(conn, job_id=None):
    return "".join(status for _, status, *_ in step_runs(conn, job_id))
