"""The rules of a run, recorded in a real catalogue; only the steps are played."""

import pytest
from jobs import add_job, runs, step_runs
from pgagent_runner.catalog import NotRunningError
from pgagent_runner.model import Ending, Outcome

from .recording import execute_and_record

ENDINGS = {
    "s": Outcome(Ending.SUCCEEDED, 3, "fine"),
    "f": Outcome(Ending.FAILED, -1, "what went wrong", "it went wrong"),
    "d": Outcome(Ending.ABORTED, -1, "stopped", "the agent was stopped"),
}
FAILED = 'step "step {:02}" failed: it went wrong'
ABORTED = 'aborted in step "step {:02}": the agent was stopped'


class Player:
    """Plays the steps: each ends as its code says."""

    def __init__(self, meanwhile=lambda: None):
        self._meanwhile = meanwhile

    async def execute(self, step, _):
        self._meanwhile()
        return ENDINGS[step.code]

    async def pause(self, _):
        raise AssertionError("there is nothing to wait for")


@pytest.fixture
def execute(conn, claims, ledger, loop):
    """Run a job whose steps end so: "sf" is a success, then a failure."""

    def execute(endings, on_error="f", meanwhile=lambda: None):
        add_job(conn, *({"jstcode": e, "jstonerror": on_error} for e in endings))
        (run,) = claims.claim(1, 60).runs
        execute_and_record(loop, run, ledger, loop.holding(Player(meanwhile)))

    return execute


@pytest.mark.parametrize(
    ("endings", "on_error", "steps", "run"),
    [
        ("", "f", "", ("i", "the job has no enabled step")),
        ("ss", "f", "ss", ("s", None)),
        ("sfs", "f", "sf", ("f", FAILED.format(2))),
        ("f", "f", "f", ("f", FAILED.format(1))),
        ("sfs", "s", "sss", ("s", None)),
        ("ssf", "s", "sss", ("s", None)),
        ("sfs", "i", "sis", ("s", None)),
        ("f", "i", "i", ("s", None)),
        ("sds", "f", "sd", ("d", ABORTED.format(2))),
        ("d", "s", "d", ("d", ABORTED.format(1))),
        ("d", "i", "d", ("d", ABORTED.format(1))),
    ],
)
def test_how_steps_end_decides_how_the_run_ends(
    conn, execute, endings, on_error, steps, run
):
    execute(endings, on_error)

    assert runs(conn) == [run]
    assert "".join(row[1] for row in step_runs(conn)) == steps


def test_result_and_output_of_a_step_are_recorded(conn, execute):
    execute("sf", on_error="i")

    assert [row[1:] for row in step_runs(conn)] == [
        ("s", 3, "fine"),
        ("i", -1, "what went wrong"),
    ]


def test_a_run_that_somebody_else_closes_goes_no_further(conn, execute):
    def close():
        conn.execute(
            "SELECT pgagent.pga_run_abort(jlgid, 'by hand') FROM pgagent.pga_joblog"
        )

    with pytest.raises(NotRunningError):
        execute("ss", meanwhile=close)

    assert runs(conn) == [("d", "by hand")]
    assert [row[1] for row in step_runs(conn)] == ["d"]


def test_a_run_goes_on_when_its_step_is_deleted(conn, execute):
    def delete():
        conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 01'")

    execute("ss", meanwhile=delete)

    assert runs(conn) == [("s", None)]
    assert [row[:2] for row in step_runs(conn)] == [("step 02", "s")]
