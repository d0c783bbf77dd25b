"""A runner that is no superuser serves an isolated catalogue: the jobs of all."""

from contextlib import closing

import pytest
from catalog.test_plans import MOST_READS, reads_of_runs
from daemon.runner_process import Runner, ended_runs
from jobs import add_job, add_schedule, batch, job, runs, step_runs
from pgagent_runner.catalog.connection import connect
from psycopg.conninfo import make_conninfo
from transitions import (
    claim,
    claim_rows,
    finish_run,
    finish_step,
    heartbeat,
    leave,
    record,
    register,
    seconds_until_due,
    start_step,
    sweep,
)

OWNERS = ["iso_team_a", "iso_team_b", None]


@pytest.fixture
def runner_dsn(dsn):
    return make_conninfo(dsn, user="iso_runner")


@pytest.fixture
def agent(isolated, login):
    session = login("runner")
    register(session)
    return session


def is_superuser(session):
    return session.execute("SHOW is_superuser").fetchone()[0] == "on"


def test_all_jobs_are_claimed_and_recorded(isolated, agent):
    assert not is_superuser(agent)
    jobs = [add_job(isolated, "SELECT 1", "SELECT 2", jobowner=o) for o in OWNERS]
    assert seconds_until_due(agent) == 0
    claimed = claim(agent)
    assert [job_id for _, job_id in claimed] == jobs
    for run_id, job_id in claimed:
        (step_log_id,) = isolated.execute(
            "SELECT jslid FROM pgagent.pga_jobsteplog WHERE jsljlgid = %s", [run_id]
        ).fetchone()
        finish_step(agent, run_id, step_log_id)
        (second,) = isolated.execute(
            "SELECT max(jstid) FROM pgagent.pga_jobstep WHERE jstjobid = %s", [job_id]
        ).fetchone()
        finish_step(agent, run_id, start_step(agent, run_id, second))
        finish_run(agent, run_id)
        assert job(isolated, job_id, "jobagentid") is None
        assert runs(isolated, job_id) == [("s", None)]
        assert [row[1] for row in step_runs(isolated, job_id)] == ["s", "s"]
    leave(agent)


@pytest.mark.parametrize("owner", OWNERS)
def test_a_run_is_cancelled_by_its_owner_and_the_runner_hears_it(
    isolated, agent, owner, login
):
    job_id = add_job(isolated, "SELECT 1", jobowner=owner)
    ((run_id, _),) = claim(agent)
    who = login("alice") if owner == "iso_team_a" else isolated
    assert who.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (True,)
    assert str(run_id) in str(heartbeat(agent, [run_id]))
    record(agent, run_id, run_status="d", message="cancelled")
    assert runs(isolated, job_id) == [("d", "cancelled")]


def test_a_dead_agents_runs_are_swept(isolated, agent, login):
    jobs = [add_job(isolated, "SELECT 1", jobowner=owner) for owner in OWNERS]
    with closing(login("runner")) as dead:
        register(dead, lease="0.001 s")
        assert len(claim(dead)) == 3
    isolated.execute(
        "UPDATE pgagent.pga_jobagent SET jaglease = now() WHERE jagpid <> %s",
        [agent.info.backend_pid],
    )
    assert sweep(agent) == 3
    for job_id in jobs:
        assert job(isolated, job_id, "jobagentid") is None
        assert [status for status, _ in runs(isolated, job_id)] == ["d"]


def test_times_that_were_missed_are_left_out_and_the_log_is_pruned(isolated, agent):
    columns = {"jobmissed": "skip", "jobkeepruns": 1, "due": None}
    for owner in OWNERS:
        job_id = add_job(isolated, "SELECT 1", jobowner=owner, **columns)
        add_schedule(isolated, job_id, jscstart="2020-01-01")
        isolated.execute(
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
            " SELECT %s, 's' FROM generate_series(1, 3)",
            [job_id],
        )
    prune = "SELECT deleted FROM pgagent.pga_log_prune(0, 10, 100)"
    assert agent.execute(prune).fetchone() == (6,)

    isolated.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now()) - interval '1 hour'"
    )
    claim(agent)
    assert isolated.execute("SELECT FROM pgagent.pga_jobskip").rowcount == 3


@pytest.mark.parametrize("owner", OWNERS)
def test_a_job_that_can_not_be_started_is_set_aside(isolated, agent, owner):
    job_id = add_job(isolated, "SELECT 1", jobowner=owner)
    for _ in range(2):
        agent.execute("SELECT pgagent.pga_job_set_aside(%s, 'why')", [job_id])
    assert claim(agent) == []
    isolated.execute("UPDATE pgagent.pga_jobaside SET jsauntil = now()")
    assert len(claim(agent)) == 1
    assert isolated.execute("SELECT FROM pgagent.pga_jobaside").rowcount == 0


@pytest.mark.parametrize("statistics", ["none", "of one job"])
def test_claims_and_records_take_as_few_reads_as_elsewhere(
    isolated, runner_dsn, statistics
):
    def add(count):
        for number in range(count):
            owner = OWNERS[number % 3]
            add_schedule(isolated, add_job(isolated, "SELECT 1", jobowner=owner))
        isolated.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    add(1)
    if statistics != "none":
        isolated.execute("VACUUM ANALYZE")
    with closing(connect(runner_dsn)) as session:
        register(session)
        reads_of_runs(session, 1)
        add(100)
        claiming, recording = reads_of_runs(session, 100)
    assert claiming < 100 * MOST_READS
    assert recording < 100 * MOST_READS


def test_a_runner_executes_jobs_without_an_owner(isolated, runner_dsn):
    job_id = add_job(isolated, "SELECT 1", batch("true"))
    with Runner(runner_dsn) as runner:
        runner.ready()
        assert ended_runs(isolated, job_id) == "s"


def test_claimed_rows_are_those_of_a_superuser(isolated, agent, dsn):
    for owner in OWNERS:
        add_job(isolated, "SELECT 1", batch("ls"), name=str(owner), jobowner=owner)
    with isolated.transaction(force_rollback=True):
        register(isolated)
        expected = [row[1:] for row in claim_rows(isolated)]
    assert len(expected) == 6
    mine = [row[1:] for row in claim_rows(agent)]
    strip = [[v for i, v in enumerate(row) if i != 2] for row in expected]
    assert [[v for i, v in enumerate(row) if i != 2] for row in mine] == strip
