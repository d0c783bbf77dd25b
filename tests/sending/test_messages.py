"""What a message says."""

import json
import shlex
import time
import uuid

import pytest
from pgagent_runner.sending.messages import (
    NAMES,
    Message,
    as_json,
    payload,
    subject,
    text,
    values,
)
from pgagent_runner.sending.templates import Template

ID = str(uuid.UUID(int=7))
FAILED = {
    "event": "failed",
    "event_id": ID,
    "at": "2026-11-29T03:00:12.34+00:00",
    "job_id": 3,
    "job": "nightly",
    "run_id": 47,
    "failures": 3,
    "since": "2026-11-27T03:00:00+00:00",
    "message": 'step "2 report" has failed: exit code 1',
    "step": "2 report",
    "output": "disk full\nbye\n",
    "scheduled": "2026-11-29T03:00:00+00:00",
    "started": "2026-11-29T03:00:00.1+00:00",
    "duration_s": 12.3,
    "station": "db1",
    "last_success": "2026-11-26T03:00:00+00:00",
    "next_run": "2026-11-30T03:00:00+00:00",
}


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def message(*events, attempt=1):
    return Message(ID, attempt, "night", "ops", events, "db1/app")


def event(word, job="nightly", **more):
    return {"event": word, "event_id": ID, **({"job": job} if job else {}), **more}


def test_one_failure_says_all_that_helps_at_night():
    assert subject(message(FAILED)) == "[pgagent] FAILED: nightly (3rd time) on db1/app"
    assert text(message(FAILED)) == (
        """\
nightly has failed, the 3rd time in a row.

why           step "2 report" has failed: exit code 1
since         2026-11-27 03:00:00 UTC
was due       2026-11-29 03:00:00 UTC
began         2026-11-29 03:00:00 UTC
took          12.3 s
on host       db1
step          2 report
last success  2026-11-26 03:00:00 UTC
next run      2026-11-30 03:00:00 UTC

Last lines of output:
    disk full
    bye

What to type next:
    pgagent logs 47
    pgagent explain nightly
    pgagent silence --for '8 hours' nightly

alert night; message 00000000-0000-0000-0000-000000000007
"""
    )


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event("failed", failures=1)], "FAILED: nightly"),
        ([event("failed", failures=2)], "FAILED: nightly (2nd time)"),
        ([event("failed", failures=1, repeats=2)], "STILL FAILED: nightly"),
        ([event("aborted", failures=11)], "ABORTED: nightly (11th time)"),
        ([event("recovered", ended="late")], "RECOVERED: nightly"),
        ([event("late")], "LATE: nightly"),
        ([event("skipped")], "SKIPPED: nightly"),
        ([event("long")], "RUNS LONG: nightly"),
        ([event("disabled")], "DISABLED: nightly"),
        ([event("set_aside")], "SET ASIDE: nightly"),
        ([event("no_runner", None)], "NO RUNNER"),
        ([event("unarmed", None)], "NOT ARMED"),
        ([event("test", None)], "TEST"),
        (
            [event("flapping", changes={"failed": 100, "recovered": 1})],
            "FLAPPING: nightly (failed 100 times, recovered once)",
        ),
        ([event("failed", f"j{n}") for n in range(5)], "FAILED: j0, j1, j2 and 2 more"),
        (
            [event("late", "a"), event("late", "b"), event("failed", "a")],
            "2 LATE, 1 FAILED: a, b",
        ),
        ([event("something new")], "SOMETHING NEW: nightly"),
    ],
)
def test_a_subject_says_what_has_happened(events, expected):
    assert subject(message(*events)) == f"[pgagent] {expected} on db1/app"


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (event("recovered", ended="failed"), "nightly has succeeded again."),
        (event("recovered", ended="late"), "nightly is not late any more."),
        (event("recovered", None, ended="no_runner"), "A runner is alive again."),
        (event("recovered"), "nightly is well again."),
        (
            event("failed", failures=4, repeats=1),
            "nightly has failed, still, the 4th time in a row.",
        ),
        (event("unarmed", None), "The jobs are not armed here: none starts."),
        (
            event("flapping", changes={"failed": 2, "recovered": 2}, now="recovered"),
            "nightly fails and recovers, again and again: it has failed twice, recovered twice; now: recovered.",
        ),
    ],
)
def test_a_text_begins_with_a_sentence(one, expected):
    assert text(message(one)).splitlines()[0] == expected


def test_several_jobs_are_a_list():
    told = text(
        message(FAILED, event("late", "weekly", message="all workers are busy"))
    )
    assert told == (
        """\
2 things have happened:

FAILED        nightly (3rd time), run 47: step "2 report" has failed: exit code 1
LATE          weekly: all workers are busy

What to type next:
    pgagent problems
    pgagent logs 47
    pgagent explain nightly
    pgagent silence --for '8 hours' nightly
    pgagent explain weekly
    pgagent silence --for '8 hours' weekly

alert night; message 00000000-0000-0000-0000-000000000007
"""
    )


def test_what_concerns_no_job_is_listed_without_one():
    told = text(
        message(event("test", None, message="x"), event("test", None, message="x"))
    )
    assert told.splitlines()[2] == "TEST          x"


def test_thousands_of_jobs_are_no_book():
    many = message(
        *(event("failed", f"job {n}", output="x" * 2000) for n in range(5000))
    )
    assert len(text(many)) < 10_000
    assert "and 4950 more" in text(many)
    told = payload(many, subject(many), text(many))
    assert told["events_left_out"] == 4800
    assert len(as_json(told)) < 1_000_000


def test_a_repetition_says_so():
    assert "attempt 2: it may have come before" in text(message(FAILED, attempt=2))


HOSTILE = (
    "x\r\nBcc: evil@example.org\x1b[2J\x00\u202egpj.exe\ud800'; rm -rf / #" + "y" * 5000
)


def test_hostile_text_steers_nothing():
    one = dict.fromkeys(FAILED, HOSTILE) | {"event": "failed", "failures": 2}
    hostile = Message(ID, 1, HOSTILE, HOSTILE, [one], HOSTILE)
    line = subject(hostile)
    assert line.isprintable()
    assert len(line) <= 200
    whole = text(hostile)
    assert all(part.isprintable() for part in whole.split("\n"))
    assert "\n    Bcc" not in whole.partition("Last lines")[0].replace(" " * 14, "")
    assert len(whole) < 60_000
    json.loads(as_json(payload(hostile, line, whole)))
    assert all(v.replace("\n", "").isprintable() for v in values(hostile).values())


@pytest.mark.parametrize("job", ["it's", "-x", "a b; rm -rf /", "$(id)", "--yes", "ü"])
def test_what_to_type_names_the_job_for_a_shell(job):
    told = text(message(event("failed", job)))
    (line,) = (one for one in told.splitlines() if "explain" in one)
    words = shlex.split(line)
    assert words[-1] == job
    assert not job.startswith("-") or words[-2] == "--"


def test_a_template_inserts_values_and_nothing_else():
    template = Template("{{{event}}} {job}: {output}{next_run}", NAMES)
    filled = template.fill(values(message(event("failed", "{alert}", output="{text}"))))
    assert filled == "{failed} {alert}: {text}"
