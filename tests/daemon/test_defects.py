"""A job that the runner can't cope with is the end of its own run only."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, step_runs

from .runner_process import agents, ended_runs, running_step

PRETEND = "SET check_function_bodies = off; SET row_security = off"


@pytest.mark.parametrize(
    "step",
    [
        {"jstretries": 1, "jstretrydelay": "0", "jstretryon": "{{any}}"},
        {"jstconnstr": "host=a..b"},
        {"jstconnstr": f"host={'x' * 70}"},
    ],
)
def test_a_strange_step_fails_alone(conn, dsn, runner, step):
    (agent,) = agents(conn)
    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        other.execute("SELECT pg_advisory_lock(7)")
        neighbour = add_job(conn, "SELECT pg_advisory_lock_shared(7)")
        running_step(conn, neighbour)
        conn.execute(PRETEND)  # what is refused may come from a dump
        strange = add_job(conn, {"jstcode": "SELECT 1/0"} | step)
        assert ended_runs(conn, strange) == "f"

    assert ended_runs(conn, neighbour) == "s"
    assert {row[1] for row in step_runs(conn, strange)} == {"f"}
    assert agents(conn) == [agent]
    assert "next attempt" not in runner.log


def test_what_was_claimed_starts_although_the_next_claim_is_refused(conn, runner):
    """Of so many rows, the plans of claims are renewed; that takes another claim."""
    conn.execute(
        """
        DO $$ BEGIN EXECUTE replace(
            pg_get_functiondef('pgagent.pga_run_claim(int, int, float8, int, int[])'::regprocedure),
            'look_again := least',
            'IF p_limit = 0 THEN RAISE lock_not_available; END IF; look_again := least');
        END $$
        """
    )
    job_id = add_job(conn, *["SELECT 1"] * 100)

    assert ended_runs(conn, job_id) == "s"
