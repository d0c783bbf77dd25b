"""Times that pass without a run: what becomes of them, and where that is written."""

from datetime import timedelta

import pytest
from jobs import add_job, add_schedule, job, runs
from transitions import claim, finish_run, register, sweep

MINUTES = "date_trunc('minute', now()) - interval '%s minutes'"


@pytest.fixture
def overdue(conn, agent):
    """Make a job that was due every minute since so many minutes ago."""

    def overdue(minutes, **columns):
        job_id = add_job(conn, "SELECT 1", due=None, **columns)
        add_schedule(conn, job_id, jscstart="2020-01-01")
        due = MINUTES % minutes
        conn.execute(f"UPDATE pgagent.pga_job SET jobnextrun = {due}")
        return job_id

    return overdue


def skipped(conn):
    """Return (minutes left out, reason), in order."""
    return conn.execute(
        "SELECT first_time, until, reason FROM pgagent.skipped_runs ORDER BY decided"
    ).fetchall()


def run_once(conn, agent):
    """Claim and finish a run; return for how many minutes ago it was."""
    for run_id, _ in claim(agent):
        finish_run(agent, run_id)
        return conn.execute(
            "SELECT extract(epoch FROM date_trunc('minute', jlgstart) - jlgscheduled)"
            "::integer / 60 FROM pgagent.pga_joblog WHERE jlgid = %s",
            [run_id],
        ).fetchone()[0]
    return None


def test_one_run_makes_up_for_all_that_was_missed(conn, agent, overdue):
    job_id = overdue(10)

    assert run_once(conn, agent) == 10
    assert run_once(conn, agent) is None

    assert job(conn, job_id, "jobnextrun > now()")
    ((first, until, reason),) = skipped(conn)
    assert timedelta(minutes=9) <= until - first < timedelta(minutes=10)
    assert reason.startswith("no runner took the job in time; run ")


def left_out(conn):
    """Return how many minutes each row of what was left out is about, and the total."""
    return conn.execute(
        "SELECT extract(epoch FROM until - first_time)::integer / 60 + 1, total"
        " FROM pgagent.skipped_runs ORDER BY decided"
    ).fetchall()


def test_it_is_counted_how_many_times_are_left_out(conn, agent, overdue):
    job_id = overdue(10)
    run_once(conn, agent)
    ((first, total),) = left_out(conn)
    assert first == total

    conn.execute(f"UPDATE pgagent.pga_job SET jobnextrun = {MINUTES % 5}")
    run_once(conn, agent)

    _, (second, total) = left_out(conn)
    assert total == first + second
    assert job(conn, job_id, "jobsucceeded") == 2


def test_of_one_absence_no_more_than_a_thousand_times_are_counted(conn, agent, overdue):
    overdue(3000)

    run_once(conn, agent)

    assert left_out(conn)[0][1] == 1000


def test_totals_are_those_of_one_job(conn, agent, overdue):
    for minutes in (10, 20):
        overdue(minutes)
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobenabled")
        conn.execute(
            f"UPDATE pgagent.pga_job SET jobnextrun = {MINUTES % minutes} WHERE jobid = (SELECT max(jobid) FROM pgagent.pga_job)"
        )
        run_once(conn, agent)

    (_, first), (_, second) = left_out(conn)
    assert (first, second) == (left_out(conn)[0][0], left_out(conn)[1][0])


def test_nothing_is_left_out_of_what_was_in_time(conn, agent, overdue):
    overdue(0)

    assert run_once(conn, agent) == 0
    assert skipped(conn) == []


def test_what_is_missed_may_be_left_out(conn, agent, overdue):
    job_id = overdue(10, jobmissed="skip")

    claim(agent)

    ((first, until, reason),) = skipped(conn)
    assert until - first > timedelta(minutes=8)
    assert reason == "no runner took the job within 00:01:00"
    assert job(conn, job_id, "jobnextrun > now() - interval '1 minute'")


def test_a_run_may_be_too_late_by_the_jobs_own_limit(conn, agent, overdue):
    overdue(10, jobmissedlimit="5 minutes")

    assert run_once(conn, agent) in (4, 5)
    assert skipped(conn)[0][2] == "no runner took the job within 00:05:00"


def test_every_run_that_was_missed_may_be_made_up_for(conn, agent, overdue):
    overdue(5, jobmissed="all")

    made_up = []
    while (minutes := run_once(conn, agent)) is not None:
        made_up.append(minutes)

    assert made_up == [5, 4, 3, 2, 1, 0]
    assert skipped(conn) == []


def test_only_the_latest_hundred_are_made_up_for(conn, agent, overdue):
    overdue(1000, jobmissed="all")

    claimed = claim(agent) or claim(agent)

    assert len(claimed) == 1
    ((first, until, reason),) = skipped(conn)
    assert reason == "more than 100 runs were due"
    assert timedelta(minutes=898) < until - first < timedelta(minutes=902)


def test_times_that_pass_while_the_job_runs_are_left_out(conn, agent, overdue):
    job_id = overdue(5)
    ((run_id, _),) = claim(agent)
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstart = jlgscheduled")

    finish_run(agent, run_id)

    assert job(conn, job_id, "jobnextrun > now()")
    assert [reason for *_, reason in skipped(conn)] == [
        f"run {run_id} was still under way"
    ]


def test_times_that_pass_while_the_job_runs_may_be_queued(conn, agent, overdue):
    overdue(3, joboverlap="queue")
    ((run_id, _),) = claim(agent)
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstart = jlgscheduled")
    finish_run(agent, run_id)

    made_up = []
    while (minutes := run_once(conn, agent)) is not None:
        made_up.append(minutes)

    assert made_up == [2, 1, 0]
    assert skipped(conn) == []


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_what_somebody_has_asked_for_is_never_left_out(conn, agent, missed):
    job_id = add_job(conn, "SELECT 1", due=None, jobmissed=missed)
    add_schedule(conn, job_id, jscstart="2020-01-01")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobmissedlimit = '1 minute',"
        " jobnextrun = date_trunc('minute', now()) - interval '10.5 minutes'"
    )

    assert len(claim(agent)) == 1
    assert skipped(conn) == []


def die(conn, agent):
    """Let the agent die of its run, and be buried."""
    conn.execute("UPDATE pgagent.pga_jobagent SET jagbackendstart = now()")
    sweep(conn)
    register(agent)


def test_a_job_that_kills_its_runner_three_times_in_a_row_is_disabled(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    add_schedule(conn, job_id)
    for deaths in range(3):
        assert job(conn, job_id, "jobenabled"), deaths
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        assert claim(agent)
        die(conn, agent)

    assert not job(conn, job_id, "jobenabled")
    assert runs(conn)[-1][1].endswith(
        "its runner has died 3 times in a row while it was running:"
        " the job has been disabled"
    )
    gates = conn.execute("SELECT detail FROM pgagent.explain_job(%s)", [job_id])
    assert "the job has been disabled" in gates.fetchone()[0]


def test_a_success_in_between_acquits_the_job(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    for kills in (True, True, False, True, True):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        ((run_id, _),) = claim(agent)
        if kills:
            die(conn, agent)
        else:
            finish_run(agent, run_id)

    assert job(conn, job_id, "jobenabled")
    assert job(conn, job_id, "jobdeaths") == 2
