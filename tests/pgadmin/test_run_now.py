"""Run now, and what the grid and the statistics show of runs."""

import pytest
from jobs import add_job, add_schedule, add_step, job
from transitions import claim, finish_run, finish_step, start_step

from .client import (
    GRID,
    JOB,
    JOB_STATISTICS,
    RUN_NOW,
    STEP_STATISTICS,
    send,
    send_for_row,
)


def test_run_now_makes_a_job_due_and_wakes_runners(conn, pgadmin):
    job_id = _job(conn)
    conn.execute("LISTEN pgagent")

    send(pgadmin, RUN_NOW.format(job_id))

    (notification,) = conn.notifies(timeout=10, stop_after=1)
    assert notification.channel == "pgagent"
    assert job(conn, job_id, "jobnextrun <= now()")


def test_an_enabled_job_that_was_run_now_returns_to_its_schedule(conn, pgadmin, agent):
    job_id = _job(conn)
    scheduled = job(conn, job_id, "jobnextrun")

    send(pgadmin, RUN_NOW.format(job_id))
    _run_once(agent, job_id)

    assert job(conn, job_id, "jobnextrun") == scheduled


def test_a_disabled_job_that_was_run_now_runs_once(conn, pgadmin, agent):
    job_id = _job(conn, jobenabled=False)

    send(pgadmin, RUN_NOW.format(job_id))
    _run_once(agent, job_id)

    assert (
        send_for_row(pgadmin, JOB.format(job_id)).items()
        >= {
            "jobenabled": False,
            "jobnextrun": None,
            "jlgstatus": "s",
        }.items()
    )
    assert claim(agent) == []


def test_a_job_that_is_run_now_while_it_runs_runs_again(conn, pgadmin, agent):
    job_id = add_job(conn)
    ((run_id, _),) = claim(agent)

    send(pgadmin, RUN_NOW.format(job_id))
    assert claim(agent) == []
    finish_run(agent, run_id)

    _run_once(agent, job_id)


def test_the_grid_shows_the_agent_and_the_last_status(conn, pgadmin, agent):
    job_id = add_job(conn, name="job", jobjclid=2)
    ((run_id, _),) = claim(agent)
    finish_run(agent, run_id, "f")
    send(pgadmin, RUN_NOW.format(job_id))
    claim(agent)

    rows = send(pgadmin, GRID)

    assert [
        (row["jobname"], row["jobclass"], row["jagagent"], row["jlgstatus"])
        for row in rows
    ] == [
        ("AAA", "Routine Maintenance", None, "d"),
        ("job", "Data Import", "here", "r"),
        ("zzz", "Routine Maintenance", None, "d"),
    ]
    assert rows[1]["jobagentid"] == agent.info.backend_pid
    assert rows[1]["joblastrun"] is not None


def test_statistics_list_the_runs_of_a_job_latest_first(conn, pgadmin, agent):
    job_id = _job(conn)
    run_ids = []
    for status in ("f", "s"):
        send(pgadmin, RUN_NOW.format(job_id))
        run_ids.append(_run_once(agent, job_id, status))

    rows = send(pgadmin, JOB_STATISTICS.format(job_id))

    assert [(row["Run"], row["Status"]) for row in rows] == [
        (run_ids[1], "s"),
        (run_ids[0], "f"),
    ]
    for row in rows:
        assert row["Start time"] + row["Duration"] == row["End time"]


def test_statistics_list_the_runs_of_a_step(conn, pgadmin, agent):
    job_id = _job(conn)
    step_id = add_step(conn, job_id, "SELECT 1")
    send(pgadmin, RUN_NOW.format(job_id))
    ((run_id, _),) = claim(agent)
    step_run = start_step(agent, run_id, step_id)

    (running,) = send(pgadmin, STEP_STATISTICS.format(step_id))
    finish_step(agent, run_id, step_run, "s", 1, "(1 row)")
    (finished,) = send(pgadmin, STEP_STATISTICS.format(step_id))

    assert (running["Run"], running["Status"]) == (step_run, "r")
    assert (running["Result"], running["End time"]) == (None, None)
    assert (finished["Run"], finished["Status"]) == (step_run, "s")
    assert (finished["Result"], finished["Output"]) == (1, "(1 row)")
    assert finished["Start time"] + finished["Duration"] == finished["End time"]


@pytest.mark.parametrize("query", [JOB_STATISTICS, STEP_STATISTICS])
def test_what_has_not_run_has_no_statistics(conn, query):
    assert send(conn, query.format(_job(conn))) == []


def _job(conn, **columns):
    job_id = add_job(conn, due=None, **columns)
    add_schedule(conn, job_id, jscstart="2040-01-01 00:00")
    return job_id


def _run_once(agent, job_id, status="s"):
    ((run_id, claimed),) = claim(agent)
    assert claimed == job_id
    finish_run(agent, run_id, status)
    return run_id
