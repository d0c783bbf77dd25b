"""Connections that neither answer nor break: the runner lets go of them in time."""

import signal

import pytest
from jobs import add_job, batch, job, runs
from psycopg.conninfo import make_conninfo
from runner.lossy_proxy import LossyProxy
from support import poll

from .runner_process import Runner, agents, ended_runs, running_step
from .stubborn import busy_sessions

LEASE = 4
FENCED = "the agent could not show a sign of life in time"


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


@pytest.fixture
def runner(dsn, proxy, tmp_path):
    """A runner whose sessions can be made to hang."""
    by_proxy = make_conninfo(dsn, host=str(tmp_path))
    with Runner("--lease", LEASE, "--retry", "0.5", by_proxy) as process:
        yield process.ready()


@pytest.mark.parametrize("what", ["SQL", "script"])
def test_a_step_ends_before_the_lease_that_cannot_be_renewed(
    conn, runner, proxy, leash, what
):
    steps = {
        "SQL": "SELECT pg_sleep(600)",
        "script": batch(f"exec 9>{leash.path}; sleep 600"),
    }
    job_id = add_job(conn, steps[what])
    running_step(conn)
    poll(lambda: busy_sessions(conn) or leash.is_held())

    proxy.hang(0)  # the first session is the agent's own

    poll(lambda: not busy_sessions(conn) and not leash.is_held())
    ((in_time,),) = conn.execute(
        "SELECT jaglease > clock_timestamp() FROM pgagent.pga_jobagent"
    )
    assert in_time
    assert ended_runs(conn, job_id) == "d"
    assert FENCED in runs(conn)[0][1]


def test_a_runner_whose_own_session_hangs_takes_a_new_one(conn, runner, proxy):
    (before,) = agents(conn)

    proxy.hang(0)

    poll(lambda: agents(conn) not in ([], [before]), what="another agent")
    job_id = add_job(conn, "SELECT 1")
    assert ended_runs(conn, job_id) == "s"
    assert job(conn, job_id, "jobagentid") is None


def test_a_new_registration_takes_no_session_of_the_old_one(conn, runner, proxy):
    """The server ends those when the lease of the old one is over."""
    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
    (old,) = agents(conn)
    proxy.hang(0)
    poll(lambda: len(agents(conn)) == 2, what="another agent")

    job_id = add_job(conn, "SELECT pg_sleep(2)")

    assert ended_runs(conn, job_id) == "s"
    assert old not in agents(conn)


def test_a_runner_none_of_whose_sessions_answers_stops_in_time(
    conn, runner, proxy, leash
):
    add_job(conn, batch(f"exec 9>{leash.path}; sleep 600"))
    running_step(conn)
    poll(leash.is_held)

    proxy.hang()

    poll(lambda: not leash.is_held())
    assert conn.execute(
        "SELECT jaglease > clock_timestamp() FROM pgagent.pga_jobagent"
    ).fetchone() == (True,)


def test_a_ledger_whose_sessions_hang_takes_new_ones(conn, runner, proxy):
    """The agent's own session answers all the time."""
    job_id = add_job(conn, "SELECT pg_sleep(1)")
    running_step(conn)

    proxy.hang(1, 2)

    (before,) = agents(conn)
    assert ended_runs(conn, job_id) == "s"
    assert agents(conn) == [before]
    assert "has not answered" in runner.log


def test_a_claim_that_hangs_is_given_up(conn, runner, proxy):
    """The agent's own session answers all the time."""
    proxy.hang(3)
    job_id = add_job(conn, "SELECT 1")

    assert ended_runs(conn, job_id) == "s"


def test_a_claim_that_hangs_does_not_keep_the_runner_from_stopping(conn, runner, proxy):
    proxy.hang(3)
    add_job(conn, "SELECT 1")
    runner.send(signal.SIGTERM)

    assert runner.stop(deadline=3) == 0


def test_a_server_that_does_not_answer_keeps_no_agent_from_leaving(
    dsn, proxy, tmp_path
):
    with Runner("--lease", 60, make_conninfo(dsn, host=str(tmp_path))) as runner:
        runner.ready()
        proxy.hang(0)

        assert runner.stop(deadline=12) == 0


def test_nothing_is_claimed_that_would_be_stopped_at_once(conn, runner, proxy):
    stopped = add_job(conn, "SELECT pg_sleep(600)")
    running_step(conn)

    proxy.hang(0)

    assert ended_runs(conn, stopped) == "d"
    jobs = [add_job(conn, "SELECT 1") for _ in range(40)]
    assert ended_runs(conn, count=1 + len(jobs)) == "d" + "s" * len(jobs)
