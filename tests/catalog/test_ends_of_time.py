"""Whatever an editor has written, at either end of time, all other jobs go on."""

import pytest
from jobs import add_job, add_schedule
from transitions import claim, finish_run, seconds_until_due

TIMES = [
    "-infinity",
    "4714-11-24 00:00+00 BC",
    "0001-01-01 00:00+00",
    "294276-12-31 23:59:59.999999+00",
    "infinity",
]
# Each less than a year, if a month has 30 days.
ODD_SPANS = ["178000000 years", "5965232 years -2147483500 days"]
VIEWS = (
    "job_status",
    "run_history",
    "running",
    "agents",
    "skipped_runs",
    "job",
    "job_run_details",
)


def assert_all_is_well(conn, agent):
    """Run a job of our own, beside those of an editor; look at everything."""
    ours = add_job(conn, "SELECT 1")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01' WHERE jobid = %s", [ours]
    )
    seen = claim(agent)
    assert ours in [job_id for _, job_id in seen]
    for view in VIEWS:
        conn.execute(f"SELECT v::text FROM pgagent.{view} AS v").fetchall()
    for (job_id,) in conn.execute("SELECT jobid FROM pgagent.pga_job").fetchall():
        conn.execute(
            "SELECT e::text FROM pgagent.explain_job(%s) AS e", [job_id]
        ).fetchall()
    for run_id, _ in seen:
        finish_run(agent, run_id)
    seconds_until_due(agent)
    conn.execute("SELECT pgagent.pga_log_prune(0, 100, 100)")


@pytest.mark.parametrize("missed", ["latest", "skip", "all"])
@pytest.mark.parametrize("time", TIMES)
def test_a_next_run_at_an_end_of_time(conn, agent, time, missed):
    for columns in ({}, {"jscevery": "1 hour"}, {"jscstart": "0001-01-01"}):
        job_id = add_job(
            conn, "SELECT 1", due=None, jobmissed=missed, joboverlap="queue"
        )
        add_schedule(conn, job_id, **columns)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = %s", [time])
    assert_all_is_well(conn, agent)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
@pytest.mark.parametrize("time", TIMES[1:-1])
def test_a_schedule_for_an_end_of_time(conn, agent, time, zone):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id, jscat=time, jsctimezone=zone)
    assert_all_is_well(conn, agent)


@pytest.mark.parametrize("start", ["-infinity", "4714-11-24 00:00+00 BC", "9999-12-31"])
@pytest.mark.parametrize("end", [*TIMES[1:], None])
def test_a_schedule_from_or_to_an_end_of_time(conn, agent, start, end):
    for every in (None, "1 hour", "178000000 years", "-1 year 365 days 6 hours"):
        job_id = add_job(conn, "SELECT 1", due=None)
        columns = {"jscstart": start, "jscend": end, "jscevery": every}
        add_schedule(conn, job_id, jsctimezone="Pacific/Kiritimati", **columns)
    assert_all_is_well(conn, agent)


@pytest.mark.parametrize("span", ODD_SPANS)
def test_a_span_that_no_date_survives(conn, agent, span):
    columns = {"jobmissedlimit": span, "jobkeepfor": span, "jobtimeout": span}
    job_id = add_job(conn, "SELECT 1", due=None, jobmissed="all", **columns)
    add_schedule(conn, job_id, jscevery="1 hour", jscstart="2020-01-01")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 day'")
    assert_all_is_well(conn, agent)


@pytest.mark.parametrize("time", TIMES)
def test_a_question_for_an_end_of_time(conn, time):
    for schedule in ("* * * * *", "@every 90 seconds", "@at 2031-05-01 09:00"):
        conn.execute(
            "SELECT * FROM pgagent.next_runs(schedule => %s, after => %s)",
            [schedule, time],
        ).fetchall()
