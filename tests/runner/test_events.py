"""Whoever listens hears what happens to a run, in its order, and can harm nobody."""

import logging
from typing import Any

import pytest
from jobs import add_job, runs, step_runs
from pgagent_runner.agent.journal import write_down
from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    CutError,
    NotRunningError,
)
from pgagent_runner.events import (
    Events,
    RunClaimed,
    RunEnded,
    RunRecorded,
    RunStarted,
    StepEnded,
)
from pgagent_runner.model import Ending, Outcome, Run, RunStatus, Step, StepStatus
from pgagent_runner.run import execute_run
from support import poll

RUN = Run(7, 3, "nightly", ())
STEP = Step(1, "load", "s", "", "", "", "f")
OUTCOME = Outcome(Ending.SUCCEEDED, 1, "")
CUT_SHORT = Outcome(Ending.ABORTED, -1, "", "it was cancelled")
PATIENCE = 60  # seconds


class Player:
    """Plays steps: each attempt ends as the next letter of its code says."""

    def __init__(self):
        self.letters = {}

    async def execute(self, step, _):
        letters = self.letters.setdefault(step.id, list(step.code))
        if letters.pop(0) == "s":
            return OUTCOME
        return Outcome(Ending.FAILED, -1, "", "it failed", "40001")

    async def pause(self, seconds):
        return CUT_SHORT if seconds > PATIENCE else None


def heard_of(conn, claims, ledger, loop, *steps, listener=lambda _: None):
    """Return the events of a run with these steps, once it is recorded."""
    add_job(conn, *steps)
    (run,) = claims.claim(1, 60).runs
    heard: list[Any] = []
    events = Events(listener, heard.append)
    loop.call(execute_run, run, ledger.itself, Player(), events)
    poll(lambda: any(isinstance(event, RunRecorded) for event in heard))
    return heard


def test_a_run_is_told_of_from_its_start_to_its_record(conn, claims, ledger, loop):
    heard = heard_of(conn, claims, ledger, loop, "s", "s")

    assert [type(event) for event in heard] == [
        RunStarted,
        StepEnded,
        StepEnded,
        RunEnded,
        RunRecorded,
    ]
    assert [e.step.name for e in heard[1:3]] == ["step 01", "step 02"]
    assert heard[3][1:] == (RunStatus.SUCCEEDED, None)
    assert heard[4][1:] == (RunStatus.SUCCEEDED, None, None)
    assert len({event.run for event in heard}) == 1


def test_each_attempt_at_a_step_is_told_of(conn, claims, ledger, loop):
    step = {"jstcode": "ffs", "jstretries": 2, "jstretrydelay": "0 s"}
    heard = heard_of(conn, claims, ledger, loop, step)

    ended = [event for event in heard if isinstance(event, StepEnded)]
    assert "".join(event.status for event in ended) == "ffs"


def test_an_attempt_that_was_stopped_before_it_began_is_told_of(
    conn, claims, ledger, loop
):
    step = {"jstcode": "f", "jstretries": 1, "jstretrydelay": "1 hour"}
    heard = heard_of(conn, claims, ledger, loop, step)

    ended = [event.status for event in heard if isinstance(event, StepEnded)]
    assert ended == [status for _, status, *_ in step_runs(conn)] == ["f", "d"]


def test_how_a_run_failed_is_told(conn, claims, ledger, loop):
    heard = heard_of(conn, claims, ledger, loop, "f", "s")

    message = 'step "step 01" failed: it failed'
    assert [type(event) for event in heard][1:] == [StepEnded, RunEnded, RunRecorded]
    assert heard[-1][1:] == (RunStatus.FAILED, message, None)
    assert runs(conn) == [("f", message)]


def test_its_record_is_told_when_it_can_be_read(conn, claims, ledger, loop):
    seen = []

    def look(event):
        if isinstance(event, RunRecorded):
            seen.extend(runs(conn))

    heard_of(conn, claims, ledger, loop, "s", listener=look)

    assert seen == [("s", None)]


def test_a_run_that_cannot_be_recorded_is_told_with_the_reason(
    conn, claims, ledger, loop
):
    def abort(event):
        if isinstance(event, RunEnded):
            conn.execute("SELECT pgagent.pga_run_abort(%s, 'by hand')", [event.run.id])

    heard = heard_of(conn, claims, ledger, loop, "s", listener=abort)

    assert isinstance(heard[-1].error, NotRunningError)


def test_a_listener_that_raises_harms_nobody(conn, claims, ledger, loop, caplog):
    def fail(event):
        raise RuntimeError(f"a defect of who hears of {type(event).__name__}")

    heard = heard_of(conn, claims, ledger, loop, "s", listener=fail)

    assert len(heard) == 4
    assert runs(conn) == [("s", None)]
    assert len(caplog.records) == 4
    assert {record.exc_info[0] for record in caplog.records} == {RuntimeError}
    assert {record.job for record in caplog.records} == {heard[0].run.job_name}


def test_a_listener_may_begin_later():
    early: list[Any] = []
    late: list[Any] = []
    events = Events(early.append)
    events.emit(RunClaimed(RUN))
    events.listen(late.append)
    events.emit(RunStarted(RUN))

    assert early == [RunClaimed(RUN), RunStarted(RUN)]
    assert late == [RunStarted(RUN)]


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (RunStarted(RUN), "INFO", "run 7 of job 3 (nightly) starts"),
        (
            StepEnded(RUN, STEP, StepStatus.IGNORED, OUTCOME),
            "DEBUG",
            "run 7: step load: ignored",
        ),
        (
            RunRecorded(RUN, RunStatus.SUCCEEDED, None, None),
            "INFO",
            "run 7 of job 3 (nightly) ended: succeeded",
        ),
        (
            RunRecorded(RUN, RunStatus.FAILED, "the disk is full", None),
            "INFO",
            "run 7 of job 3 (nightly) ended: failed, the disk is full",
        ),
        (
            RunRecorded(RUN, RunStatus.SUCCEEDED, None, NotRunningError("by hand")),
            "WARNING",
            "run 7 was closed by somebody else: by hand",
        ),
        (
            RunRecorded(RUN, RunStatus.FAILED, None, CutError("its output")),
            "WARNING",
            (
                "run 7 of job 3 (nightly) ended: failed, and not all could be recorded:"
                " its output"
            ),
        ),
        (
            RunRecorded(RUN, RunStatus.FAILED, None, CatalogError("no such function")),
            "ERROR",
            "run 7 of job 3 (nightly) could not be recorded: no such function",
        ),
        (
            RunRecorded(RUN, RunStatus.SUCCEEDED, None, TypeError("a defect")),
            "ERROR",
            "run 7: an error in the runner itself",
        ),
    ],
)
def test_the_log_tells_what_an_operator_may_want_to_read(caplog, event, level, text):
    caplog.set_level(logging.DEBUG)

    write_down(event)

    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [(level, text)]


@pytest.mark.parametrize(
    "event",
    [
        RunClaimed(RUN),
        RunEnded(RUN, RunStatus.SUCCEEDED, None),
        # The agent loses its registration for it, and says so.
        RunRecorded(RUN, RunStatus.SUCCEEDED, None, CatalogLostError("lost")),
    ],
)
def test_the_log_says_nothing_twice(caplog, event):
    caplog.set_level(logging.DEBUG)

    write_down(event)

    assert caplog.records == []


NAMED = {"run_id": 7, "job_id": 3, "job": "nightly"}


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (RunStarted(RUN), NAMED),
        (RunRecorded(RUN, RunStatus.SUCCEEDED, None, None), NAMED),
        (RunRecorded(RUN, RunStatus.SUCCEEDED, None, NotRunningError("x")), NAMED),
        (RunRecorded(RUN, RunStatus.SUCCEEDED, None, TypeError("a defect")), NAMED),
        (
            StepEnded(RUN, STEP, StepStatus.IGNORED, OUTCOME),
            NAMED | {"step_id": 1, "step": "load"},
        ),
    ],
)
def test_a_message_names_job_run_and_step_for_machines(caplog, event, keys):
    caplog.set_level(logging.DEBUG)

    write_down(event)

    (record,) = caplog.records
    known = ("run_id", "job_id", "job", "step_id", "step")
    found = {name: value for name, value in record.__dict__.items() if name in known}
    assert found == keys
