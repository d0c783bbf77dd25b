"""Claims and records say when to look for due jobs again, and what they are sent."""

import json

import pytest
from jobs import add_job
from transitions import claim, claim_rows, register

CLAIM = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), %s, %s)"
RECORD = "SELECT * FROM pgagent.pga_run_record(pg_backend_pid(), %s::json)"

WHEN = pytest.mark.parametrize(
    ("due", "look_again"),
    [
        ("now() + interval '1 hour'", pytest.approx(3600, abs=60)),
        ("now() - interval '1 hour'", 0),
        ("'-infinity'", 0),
        ("'infinity'", None),
        (None, None),
    ],
)


def last_row(session, query, *parameters):
    """Return the one row in which look_again may stand; in no other it does."""
    cursor = session.execute(query, parameters)
    names = [column.name for column in cursor.description]
    *rows, last = [dict(zip(names, row, strict=True)) for row in cursor]
    assert all(row["look_again"] is None for row in rows)
    assert {name for name in names if last[name] is not None} <= {"look_again"}
    return last["look_again"]


@WHEN
def test_a_claim_says_when_to_look_again(conn, agent, due, look_again):
    add_job(conn, "SELECT 1", due=due)
    add_job(conn, "SELECT 1", due="now()", jobhostagent="elsewhere")

    assert last_row(agent, CLAIM, 0, 7200) == (
        7200 if look_again is None else look_again
    )


@WHEN
def test_a_record_says_when_to_look_again(conn, agent, due, look_again):
    add_job(conn, "SELECT 1", due=due)
    add_job(conn, "SELECT 1", due="now()", jobhostagent="elsewhere")

    assert last_row(agent, RECORD, "[]") == look_again


def test_a_claim_looks_no_further_than_it_is_told_to(conn, agent):
    add_job(conn, "SELECT 1", due="now() + interval '1 hour'")

    assert last_row(agent, CLAIM, 9, 60) == 60


def test_what_was_claimed_is_not_to_be_looked_for_again(conn, agent):
    for _ in range(3):
        add_job(conn, "SELECT 1")

    assert last_row(agent, CLAIM, 2, 60) == 0
    assert last_row(agent, CLAIM, 2, 60) == 60


def test_a_job_that_comes_back_due_is_to_be_looked_for_at_once(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    ended = json.dumps([{"run_id": run_id, "run_status": "s"}])

    assert last_row(agent, RECORD, ended) == 0


def test_a_record_of_an_agent_that_is_not_registered_does_not_know(conn):
    add_job(conn, "SELECT 1")

    assert last_row(conn, RECORD, "[]") is None


def test_what_a_script_took_is_in_the_history_of_runs(conn, agent):
    add_job(conn, "SELECT 1")
    run_id = claim_rows(agent)[0][0]
    entry = {
        "run_id": run_id,
        "step_log_id": 1,
        "step_status": "s",
        "result": 0,
        "output": "",
        "cpu": 1.25,
        "memory": 5 << 30,
        "run_status": "s",
    }
    agent.execute(RECORD, [json.dumps([entry])])

    query = "SELECT extract(epoch FROM step_cpu)::float, step_memory FROM pgagent.run_history"
    assert conn.execute(query).fetchall() == [(1.25, 5 << 30)]


def test_answers_come_in_the_order_of_the_entries(conn, agent):
    for _ in range(3):
        add_job(conn, "SELECT 1")
    first, second, third = (run_id for run_id, _ in claim(agent))
    entries = [
        {"run_id": third, "run_status": "s"},
        {"run_id": 1000, "run_status": "s"},
        {"run_id": first},
        {"run_id": second, "run_status": "f", "message": "why"},
    ]
    *rows, _ = agent.execute(RECORD, [json.dumps(entries)]).fetchall()

    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert [row[2] for row in rows] == [None, "PGA01", None, None]


ARRAYS = """
    SELECT * FROM pgagent.pga_run_record(
        ARRAY[%s]::bigint[], ARRAY[%s]::bigint[], ARRAY['f'], ARRAY[3], ARRAY[%s],
        ARRAY[NULL]::integer[], ARRAY[1], ARRAY['f'], ARRAY[%s]
    )
"""


def test_what_runners_of_5_0_call_does_the_same(conn):
    output = 'a "line"\n\\ and\x01 another: \N{SNOWMAN}'
    job_id = add_job(conn, "SELECT 1")
    register(conn)
    assert conn.execute("SELECT pgagent.pga_seconds_until_due('here')").fetchone() == (
        0,
    )

    claimed = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), 9)"
    ((run_id, claimed_job, _, _, step_log_id, *_),) = conn.execute(claimed).fetchall()
    assert claimed_job == job_id
    recorded = conn.execute(ARRAYS, [run_id, step_log_id, output, "why"]).fetchall()

    assert recorded == [(1, None, None, None)]
    history = "SELECT status, message, result, output FROM pgagent.run_history"
    assert conn.execute(history).fetchall() == [("failed", "why", 3, output)]
