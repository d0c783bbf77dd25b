"""What is wrong now, by the view that all read who tell of it."""

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from jobs import add_job, add_schedule, job
from support import poll
from transitions import claim, finish_run, leave, register, sweep

PROBLEMS = "SELECT job_id, problem, since, detail FROM pgagent.problems ORDER BY 1, 2"
MINUTE = timedelta(minutes=1)


def problems(conn):
    return conn.execute(PROBLEMS).fetchall()


def kinds(conn):
    return [row[1] for row in problems(conn)]


def only(conn):
    """Return since and detail of the only problem, and its kind."""
    rows = problems(conn)
    assert len(rows) == 1, rows
    return rows[0]


def ago(conn, interval):
    return conn.execute("SELECT now() - %s::interval", [interval]).fetchone()[0]


def is_near(one, other):
    return abs(one - other) < MINUTE / 4


def log(conn, job_id, status, at, *, message=None, lasted="1 second"):
    """Log a run; return its id."""
    return conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration, jlgmessage)"
        f" VALUES (%s, %s, {at}, %s, %s) RETURNING jlgid",
        [job_id, status, lasted, message],
    ).fetchone()[0]


def fail(conn, job_id, *hours, status="f", message="failed: step 1"):
    """Have it failed so many hours ago, and never since; return the ids of the runs."""
    ids = [
        log(conn, job_id, "r", f"now() - interval '{hour} h'", lasted=None)
        for hour in hours
    ]
    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = %s, jlgmessage = %s, jlgduration = '1 s'"
        " WHERE jlgid = ANY (%s)",
        [status, message, ids],
    )
    return ids


@pytest.fixture
def agent(conn):
    """The session of the test, with a runner on host "here"."""
    register(conn)
    return conn


def test_there_is_none_where_all_is_well(agent):
    waiting = add_job(agent, "SELECT 1", due="now() + interval '1 h'")
    log(agent, waiting, "s", "now() - interval '1 h'")
    add_job(agent, "SELECT 1", due="now() - interval '4 minutes'")
    add_job(agent, "SELECT 1", due=None)
    held = add_job(agent, "SELECT 1", due="now() - interval '1 day'")
    claimed = dict(map(reversed, claim(agent)))
    assert held in claimed

    assert problems(agent) == []


# failed, aborted


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [("f", "failed", "failed"), ("d", "aborted", "was aborted")],
)
def test_a_failure_says_why_how_often_and_since_when(agent, status, kind, word):
    job_id = add_job(agent, "SELECT 1", due=None)
    log(agent, job_id, "f", "now() - interval '9 h'")
    success = log(agent, job_id, "s", "now() - interval '8 h'")
    last = fail(agent, job_id, 7, 5, 3, status=status, message="no disk")[-1]
    idle = log(agent, job_id, "r", "now() - interval '1 h'")
    agent.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'i' WHERE jlgid = %s", [idle]
    )
    agent.execute(
        "UPDATE pgagent.pga_job SET joblastsuccess = (SELECT jlgstart FROM pgagent.pga_joblog WHERE jlgid = %s)",
        [success],
    )

    found, problem, since, detail = only(agent)

    assert (found, problem) == (job_id, kind)
    assert is_near(since, ago(agent, "7 h"))
    assert detail.startswith(f"run {last}, at ")
    assert (
        f"{word}: no disk; it was failure 3 in a row; it has last succeeded at "
        in detail
    )


def test_a_first_failure_of_a_job_that_has_never_succeeded(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 2)

    assert only(agent)[3].endswith(
        "failed: failed: step 1; no run of it is known to have succeeded"
    )


def test_the_last_failure_tells_which_kind_it_is(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 2)
    fail(agent, job_id, 1, status="d")

    _, problem, since, _ = only(agent)

    assert problem == "aborted"
    assert is_near(since, ago(agent, "2 h"))


@pytest.mark.parametrize(
    "change",
    ["jobfailures = 0", "jobenabled = false"],
    ids=["a success", "somebody disables it"],
)
def test_a_failure_is_none_any_more_after(agent, change):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 1)
    assert kinds(agent) == ["failed"]

    agent.execute(f"UPDATE pgagent.pga_job SET {change}")

    assert problems(agent) == []


def test_a_failure_stays_while_the_job_runs_again(agent):
    job_id = add_job(agent, "SELECT 1")
    fail(agent, job_id, 1)
    assert claim(agent)

    assert kinds(agent) == ["failed"]


def test_a_failure_whose_run_is_not_in_the_log_any_more(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 1, 2)
    agent.execute("DELETE FROM pgagent.pga_joblog")

    _, problem, since, detail = only(agent)

    assert (problem, since) == ("failed", None)
    assert detail.startswith(
        "its last run is not in the log any more; it was failure 2 in a row; "
    )


def test_of_a_streak_that_began_before_the_log_the_oldest_run_counts(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 3, 2, 1)
    agent.execute("UPDATE pgagent.pga_job SET jobfailures = 500")
    assert is_near(only(agent)[2], ago(agent, "3 h"))

    agent.execute("UPDATE pgagent.pga_job SET jobfailures = 100000")
    assert is_near(only(agent)[2], ago(agent, "3 h"))

    agent.execute(
        "UPDATE pgagent.pga_job SET joblastsuccess = now() - interval '9 days'"
    )
    assert is_near(only(agent)[2], ago(agent, "9 days"))


# late


def test_a_job_is_late_when_it_has_waited_for_longer_than_late_after(agent):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '6 minutes'")

    found, problem, since, detail = only(agent)

    assert (found, problem) == (job_id, "late")
    assert since == job(agent, job_id, "jobnextrun")
    assert detail == (
        f"due since {_text(agent, since)}, which is longer ago than late_after (00:05:00):"
        " a runner is alive, but has no free worker, or another transaction has locked the job's row"
    )
    assert claim(agent)
    assert problems(agent) == []


def _text(conn, at):
    query = "SELECT date_trunc('second', %s::timestamptz)::text"
    return conn.execute(query, [at]).fetchone()[0]


@pytest.mark.parametrize(
    ("late_after", "is_late"),
    [
        ("'1 hour'", False),
        ("'1 minute'", True),
        ("NULL", False),
        ("'1000000 years'", False),
    ],
)
def test_how_late_is_up_to_the_job(agent, late_after, is_late):
    add_job(agent, "SELECT 1", due="now() - interval '6 minutes'")
    agent.execute(f"UPDATE pgagent.pga_job SET joblateafter = {late_after}")

    assert kinds(agent) == ["late"] * is_late


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"jobhostagent": "else"}, 'no runner on host "else" is alive, only on "here"'),
        ({"jobjclid": 2}, 'of class "Data Import", 1 of 1 jobs at once are under way'),
    ],
    ids=["host", "class"],
)
def test_a_late_job_says_why(agent, columns, reason):
    agent.execute("UPDATE pgagent.pga_jobclass SET jcllimit = 1 WHERE jclid = 2")
    add_job(agent, "SELECT 1", due="now()", jobjclid=2)
    assert claim(agent)
    job_id = add_job(agent, "SELECT 1", due="now() - interval '6 minutes'", **columns)

    found, problem, _, detail = only(agent)

    assert (found, problem) == (job_id, "late")
    assert detail.endswith(f": {reason}")


def test_a_late_job_of_an_open_run_says_so(agent):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '6 minutes'")
    run = log(agent, job_id, "r", "now() - interval '1 h'", lasted=None)

    assert f"run {run} is still open, though no agent holds the job" in only(agent)[3]


def test_a_job_of_a_full_class_is_not_late_before_its_time(agent):
    agent.execute("UPDATE pgagent.pga_jobclass SET jcllimit = 1 WHERE jclid = 2")
    add_job(agent, "SELECT 1", due="now()", jobjclid=2)
    assert claim(agent)
    add_job(agent, "SELECT 1", due="now() - interval '4 minutes'", jobjclid=2)

    assert problems(agent) == []


def test_what_passes_while_it_runs_is_late_only_when_it_could_have_started(agent):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '1 h'")
    log(agent, job_id, "s", "now() - interval '2 h'", lasted="119 minutes")
    assert problems(agent) == []

    agent.execute("UPDATE pgagent.pga_joblog SET jlgduration = '110 minutes'")
    assert is_near(only(agent)[2], ago(agent, "10 minutes"))


@pytest.mark.parametrize("pause", ["pause_job({0})", "pause_all()"])
def test_a_paused_job_is_not_late_and_waits_anew_after_it(agent, pause):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '1 h'")
    agent.execute(f"SELECT pgagent.{pause.format(job_id)}")
    assert problems(agent) == []

    agent.execute(
        "UPDATE pgagent.pga_jobpause SET jpsuntil = now() - interval '1 minute'"
    )
    assert problems(agent) == []

    agent.execute(
        "UPDATE pgagent.pga_jobpause SET jpsuntil = now() - interval '7 minutes'"
    )
    assert is_near(only(agent)[2], ago(agent, "7 minutes"))


def test_a_disabled_job_with_a_promised_run_is_late_only_when_that_is(agent):
    job_id = add_job(agent, "SELECT 1", due=None, jobenabled=False)
    agent.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
    assert problems(agent) == []

    agent.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 h'")
    assert kinds(agent) == ["late"]


def test_the_daemon_of_4_2_alone_is_a_runner_that_leaves_promised_runs_alone(conn):
    conn.execute(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'old')"
    )
    job_id = add_job(conn, "SELECT 1", due="now() - interval '4 minutes'")
    assert problems(conn) == []

    conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 h'")

    _, problem, _, detail = only(conn)
    assert problem == "late"
    assert (
        "the daemon of pgAgent 4.2, which is all that is alive, leaves this job alone"
        in detail
    )


# long


@pytest.mark.parametrize("long_after", ["00:30:00", None])
def test_a_run_is_long_after_long_after(agent, long_after):
    job_id = add_job(agent, "SELECT 1", joblongafter=long_after)
    [(run, _)] = claim(agent)
    assert problems(agent) == []

    agent.execute(
        "UPDATE pgagent.pga_joblog SET jlgstart = now() - interval '31 minutes'"
    )
    if long_after is None:
        assert problems(agent) == []
        return
    found, problem, since, detail = only(agent)
    assert (found, problem) == (job_id, "long")
    assert is_near(since, ago(agent, "31 minutes"))
    assert detail.startswith(f'run {run} on host "here" has been under way for 00:31:0')
    assert detail.endswith(", which is longer than long_after (00:30:00)")

    finish_run(agent, run)
    assert problems(agent) == []


def test_a_run_is_long_by_what_the_job_usually_takes(agent):
    job_id = add_job(agent, "SELECT 1", due=None, joblongfactor=3)
    log(agent, job_id, "f", "now() - interval '2 days'", lasted="10 h")
    for _ in range(4):
        log(agent, job_id, "s", "now() - interval '1 day'", lasted="10 minutes")
    agent.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert claim(agent)
    agent.execute(
        "UPDATE pgagent.pga_joblog SET jlgstart = now() - interval '31 minutes' WHERE jlgstatus = 'r'"
    )
    assert problems(agent) == [], "four are too few to know"

    log(agent, job_id, "s", "now() - interval '1 day'", lasted="1 minute")
    assert only(agent)[3].endswith(
        "longer than 3 times what it usually takes (00:10:00)"
    )

    agent.execute(
        "UPDATE pgagent.pga_job SET joblongfactor = 4, joblongafter = '30 minutes'"
    )
    assert only(agent)[3].endswith("longer than long_after (00:30:00)")


# disabled


def given_up(conn):
    """Return a job that has been disabled after its first failure."""
    job_id = add_job(conn, "SELECT 1", jobdisableafter=1)
    [(run, _)] = claim(conn)
    finish_run(conn, run, "f", "failed: step 1")
    assert job(conn, job_id, "jobenabled") is False
    return job_id


def test_a_job_that_the_scheduler_has_disabled_is_a_problem(agent):
    job_id = given_up(agent)

    disabled, failed = problems(agent)

    assert disabled[:2] == (job_id, "disabled")
    assert is_near(disabled[2], ago(agent, "0"))
    assert "failure 1 in a row: the job has been disabled; alter_job(" in disabled[3]
    assert failed[:2] == (job_id, "failed")


def test_so_is_one_that_has_killed_its_runners(conn, dsn):
    job_id = add_job(conn, "SELECT 1")
    conn.execute("UPDATE pgagent.pga_job SET jobdeaths = 2")
    with closing(psycopg.connect(dsn, autocommit=True)) as runner:
        register(runner)
        assert claim(runner)
        conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
    register(conn)
    poll(lambda: sweep(conn) or not job(conn, job_id, "jobenabled"))

    aborted, disabled = problems(conn)

    assert aborted[:2] == (job_id, "aborted")
    assert disabled[:2] == (job_id, "disabled")
    assert "the job has been disabled" in disabled[3]


def test_it_stays_one_when_a_run_by_hand_succeeds(agent):
    given_up(agent)
    agent.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    [(run, _)] = claim(agent)
    finish_run(agent, run)

    assert kinds(agent) == ["disabled"]


def test_it_is_none_any_more_when_somebody_has_enabled_it_or_disables_it_himself(agent):
    given_up(agent)

    agent.execute("UPDATE pgagent.pga_job SET jobenabled = true")
    assert problems(agent) == []
    agent.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    assert problems(agent) == []


def test_a_job_that_somebody_has_disabled_is_no_problem(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    fail(agent, job_id, 1)

    agent.execute("UPDATE pgagent.pga_job SET jobenabled = false")

    assert problems(agent) == []


def test_it_is_one_without_a_history_too(agent):
    given_up(agent)
    agent.execute("DELETE FROM pgagent.pga_jobchange")

    assert kinds(agent) == ["disabled", "failed"]


# What keeps a job from running


def test_a_job_that_can_not_be_started_is_set_aside(agent):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '1 h'")
    agent.execute(
        "INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsatimes, jsareason, jsasince)"
        " VALUES (%s, now(), 7, 'no luck', now() - interval '1 h')",
        [job_id],
    )

    found, problem, since, detail = only(agent)
    assert (found, problem) == (job_id, "set_aside")
    assert is_near(since, ago(agent, "1 h"))
    assert detail.startswith("could not be started 7 times, since ")
    assert detail.endswith(": no luck")
    assert _status(agent, job_id) == detail

    agent.execute("SELECT pgagent.pause_job(%s::bigint)", [job_id])
    assert problems(agent) == []
    agent.execute("SELECT pgagent.unpause_job(%s::bigint)", [job_id])
    agent.execute("UPDATE pgagent.pga_job SET jobnextrun = now() + interval '1 h'")
    assert problems(agent) == []


def _status(conn, job_id):
    return conn.execute(
        "SELECT problem FROM pgagent.job_status WHERE job_id = %s", [job_id]
    ).fetchone()[0]


def test_a_zone_that_is_not_known_is_a_problem_of_its_jobs(agent):
    agent.execute("SET session_replication_role = replica")
    job_id, other = (add_job(agent, "SELECT 1", due=None) for _ in range(2))
    for name, of in (("one", job_id), ("two", job_id)):
        add_schedule(agent, of, jscname=name, jsctimezone="Mars/Olympus")
    add_schedule(agent, other, jsctimezone="Europe/Berlin")
    agent.execute("RESET session_replication_role")

    told = "is in a time zone that this server does not know: Mars/Olympus"
    detail = f'schedule "one" {told}; schedule "two" {told}'
    assert problems(agent) == [(job_id, "time_zone", None, detail)]
    assert _status(agent, job_id) == only(agent)[3]

    agent.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    assert problems(agent) == []
    assert _status(agent, job_id) is not None


def test_a_role_that_may_not_be_is_a_problem_of_its_jobs(agent):
    first, second = (
        add_job(agent, "SELECT 1", "SELECT 2", due=None, jobowner="pg_monitor")
        for _ in range(2)
    )
    add_job(agent, "SELECT 1", due=None)

    rows = problems(agent)

    assert [row[:3] for row in rows] == [(first, "role", None), (second, "role", None)]
    assert 'role "pg_monitor"' in rows[0][3] or '"pg_monitor"' in rows[0][3]
    assert rows[0][3] == rows[1][3] == _status(agent, first)


# Of all jobs


def test_no_runner_is_a_problem_when_a_job_has_been_due_for_a_minute(conn):
    assert problems(conn) == []
    add_job(conn, "SELECT 1", due="now() - interval '50 seconds'")
    assert problems(conn) == []

    job_id = add_job(conn, "SELECT 1", due="now() - interval '70 seconds'")
    found, problem, since, detail = only(conn)
    assert (found, problem) == (None, "no_runner")
    assert since == job(conn, job_id, "jobnextrun")
    assert detail.startswith(
        'no runner is alive: start one with "pgagent run"; 2 jobs are due, the first since '
    )

    register(conn)
    assert problems(conn) == []
    leave(conn)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() + interval '1 h'")
    assert problems(conn) == [], "it was stopped, and nothing is due"


def test_no_runner_makes_jobs_late_too(conn):
    job_id = add_job(conn, "SELECT 1", due="now() - interval '6 minutes'")

    late, no_runner = problems(conn)

    assert late[:2] == (job_id, "late")
    assert late[3].endswith('no runner is alive: start one with "pgagent run"')
    assert no_runner[1] == "no_runner"


def test_a_runner_that_died_is_missed_after_a_minute(conn, dsn):
    with closing(psycopg.connect(dsn, autocommit=True)) as runner:
        register(runner, "host a")
    assert problems(conn) == []

    conn.execute(
        "UPDATE pgagent.pga_jobagent SET jaglease = now() - interval '70 seconds' + jagleasefor"
    )
    found, problem, since, detail = only(conn)

    assert (found, problem) == (None, "no_runner")
    assert is_near(since, ago(conn, "70 seconds"))
    assert (
        f'the last one, on host "host a", has shown its last sign of life at {_text(conn, since)}'
        in detail
    )
    register(conn)
    assert problems(conn) == []


def test_a_copy_that_is_not_armed_has_that_problem_alone(agent):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '6 minutes'")
    fail(agent, job_id, 1)
    assert kinds(agent) == ["failed", "late"]

    agent.execute("UPDATE pgagent.pga_arming SET armdatabaseid = 1")
    found, problem, since, detail = only(agent)
    assert (found, problem) == (None, "unarmed")
    assert since == job(agent, job_id, "jobnextrun")
    assert detail.startswith("this is a copy of the jobs, which are armed in database ")
    assert "; 1 job would be due, the first since " in detail

    agent.execute("UPDATE pgagent.pga_job SET jobnextrun = now() + interval '1 h'")
    assert problems(agent) == []
    agent.execute("SELECT pgagent.arm()")
    assert kinds(agent) == ["failed"]


def test_a_broken_isolation_is_a_problem(agent):
    agent.execute("SELECT pgagent.isolate()")
    assert problems(agent) == []

    agent.execute("ALTER TABLE pgagent.pga_job DISABLE ROW LEVEL SECURITY")

    found, problem, since, detail = only(agent)
    assert (found, problem, since) == (None, "isolation", None)
    assert "row security is not enabled on pga_job." in detail


# Rows that nobody would write


def test_a_one_shot_that_is_over_is_no_problem(agent):
    job_id = add_job(agent, "SELECT 1", due=None)
    add_schedule(agent, job_id, jscat="2020-01-01", jscenabled=False)
    log(agent, job_id, "s", "now() - interval '1 h'")

    assert problems(agent) == []


@pytest.mark.parametrize(
    "at", ["infinity", "-infinity", "4000-01-01 BC", "294276-01-01"]
)
def test_hostile_times_raise_nothing_and_are_not_shown(agent, at):
    job_id = add_job(
        agent, "SELECT 1", due=None, joblongafter="1 minute", joblongfactor=1.5
    )
    for _ in range(6):
        log(agent, job_id, "s", "now()", lasted="170000000 years")
    fail(agent, job_id, 1)
    log(agent, job_id, "r", "now()", lasted=None)
    agent.execute("UPDATE pgagent.pga_joblog SET jlgstart = %s", [at])
    agent.execute(
        "UPDATE pgagent.pga_job SET joblastsuccess = %s, jobnextrun = %s", [at, at]
    )
    agent.execute("UPDATE pgagent.pga_jobagent SET jaglease = %s", [at])
    agent.execute("INSERT INTO pgagent.pga_jobpause (jpsuntil) VALUES ('-infinity')")

    rows = problems(agent)

    assert ("failed", None) in [row[1:3] for row in rows]
    assert {row[2] for row in rows} == {None}


@pytest.mark.parametrize("span", ["-170000000 years", "170000000 years", "0.000001 s"])
def test_hostile_spans_raise_nothing(agent, span):
    job_id = add_job(
        agent, "SELECT 1", due="now() - interval '1 h'", joblongfactor=1.7e308
    )
    for _ in range(6):
        log(agent, job_id, "s", "now()", lasted=span)
    log(agent, job_id, "r", "now() - interval '1 h'", lasted=None)
    agent.execute("UPDATE pgagent.pga_jobagent SET jagleasefor = %s", [span])
    if not span.startswith("-"):
        agent.execute(
            "UPDATE pgagent.pga_job SET joblateafter = %s, joblongafter = %s",
            [span, span],
        )

    assert set(kinds(agent)) <= {"late", "long"}
