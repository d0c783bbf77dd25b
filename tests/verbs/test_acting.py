"""start, cancel, enable, disable and delete-log do what they say, and say what they do."""

import signal

import pytest
from daemon.runner_process import Runner
from jobs import add_job, batch, job, runs
from support import poll

NO_RUNNER = 'pgagent start: warning: no runner for job "nightly" is alive'


def test_a_job_is_asked_to_run(conn, pgagent, nightly):
    done = pgagent("start", "nightly")
    assert (done.returncode, done.stderr.startswith(NO_RUNNER)) == (0, True)
    assert done.stdout == 'job "nightly" has been asked to run: run 48\n'
    wishes = "SELECT jrqid, jrqvia, jrqfromstep FROM pgagent.pga_jobrequest"
    assert conn.execute(wishes).fetchall() == [(48, "run_job", None)]


def test_the_id_of_the_run_is_there_for_programs(pgagent, nightly):
    done = pgagent("start", "nightly", "--csv")
    assert done.stdout == f"run_id,job_id,job\n48,{nightly},nightly\n"


def test_a_step_that_is_not_there_is_named_with_those_that_are(pgagent, nightly):
    told = pgagent.refuses("start", "nightly", "--from", "3")
    assert told == (
        'pgagent start: job "nightly" has no step "3"'
        ' (Its steps are "1 dump", "2 report".)'
    )


def test_a_wait_ends_with_the_result_of_the_run(conn, dsn, pgagent):
    add_job(conn, "SELECT 1", name="good", due=None)
    add_job(conn, batch("exit 3"), name="bad", due=None)
    add_job(conn, name="empty", due=None)
    with Runner(dsn):
        poll(lambda: conn.execute("SELECT FROM pgagent.agents").rowcount)
        assert pgagent.prints("start", "good", "--wait").startswith(
            'run 1 of job "good", succeeded after '
        )
        done = pgagent("start", "bad", "--wait")
        assert (done.returncode, done.stderr) == (1, "")
        assert 'of job "bad", failed after ' in done.stdout
        assert 'step "step 01" failed: ' in done.stdout
        (ended,) = pgagent.json("start", "empty", "--wait")
        assert ended["status"] == "nothing to do"


def test_a_run_begins_with_the_step_that_is_named(conn, dsn, pgagent):
    add_job(conn, batch("exit 1"), "SELECT 2", name="a", due=None)
    with Runner(dsn) as runner:
        runner.ready()
        printed = pgagent.prints("start", "a", "--from", "step 02", "--wait")
    assert "succeeded" in printed
    steps = "SELECT step FROM pgagent.run_history"
    assert conn.execute(steps).fetchall() == [("step 02",)]


def test_a_wait_for_a_run_that_is_taken_back_ends(conn, pgagent, nightly):
    with pgagent.on_terminal("start", "nightly", "--wait") as terminal:
        poll(lambda: conn.execute("SELECT FROM pgagent.pga_jobrequest").rowcount)
        conn.execute("SELECT pgagent.cancel_run(48)")
        assert terminal.ended() == 1
    assert "run 48 was taken back before it began" in terminal.seen


def test_a_wait_survives_the_loss_of_its_connection(conn, dsn, pgagent, tmp_path):
    add_job(
        conn,
        batch(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"),
        name="a",
        due=None,
    )
    with Runner(dsn), pgagent.on_terminal("start", "a", "--wait") as terminal:
        kill = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'pgagent start' AND state = 'idle'"
        )
        poll(lambda: runs(conn) == [("r", None)] and conn.execute(kill).rowcount)
        (tmp_path / "go").touch()
        assert terminal.ended() == 0
    assert 'run 1 of job "a", succeeded after ' in terminal.seen


def test_ctrl_c_ends_the_wait_and_not_the_run(conn, dsn, pgagent):
    add_job(conn, batch("sleep 60"), name="slow", due=None)
    with Runner(dsn) as runner:
        runner.ready()
        with pgagent.on_terminal("start", "slow", "--wait") as terminal:
            poll(lambda: runs(conn) == [("r", None)])
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.ended() == 130
        assert "run 1 goes on; pgagent cancel 1 would stop it" in terminal.seen
        assert "Traceback" not in terminal.seen
        assert runs(conn) == [("r", None)]


def test_a_run_is_stopped_by_its_id_or_by_its_job(conn, dsn, pgagent):
    add_job(conn, batch("sleep 60"), name="a", due=None)
    add_job(conn, batch("sleep 60"), name="b", due=None)
    with Runner(dsn) as runner:
        runner.ready()
        conn.execute("SELECT pgagent.run_job('a'), pgagent.run_job('b')")
        poll(lambda: runs(conn) == [("r", None)] * 2)
        assert pgagent.prints("cancel", "1") == '"1" is being stopped\n'
        assert pgagent.prints("cancel", "b") == '"b" is being stopped\n'
        poll(lambda: [status for status, _ in runs(conn)] == ["d", "d"])


def test_what_was_promised_is_taken_back(conn, pgagent, nightly):
    pgagent("start", "nightly")
    told = 'what was promised of "{}" is taken back\n'
    assert pgagent.prints("cancel", "nightly") == told.format("nightly")
    assert conn.execute("SELECT FROM pgagent.pga_jobrequest").rowcount == 0
    (run,) = conn.execute("SELECT pgagent.run_job('nightly')::text").fetchone()
    assert pgagent.prints("cancel", run) == told.format(run)


def test_where_there_is_nothing_to_stop_that_is_said(pgagent, nightly):
    for target in ("nightly", "47"):
        assert pgagent.refuses("cancel", target) == (
            f'pgagent cancel: nothing of "{target}" is under way or promised'
        )
    assert pgagent.refuses("cancel", "99").startswith(
        "pgagent cancel: there is no run 99"
    )


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks_before_it_stops_anything(
    conn, pgagent, nightly, answer, left
):
    pgagent("start", "nightly")
    with pgagent.on_terminal("cancel", "nightly") as terminal:
        terminal.says('Stop what is under way or promised of "nightly"? [y/N] ')
        terminal.types(f"{answer}\n")
        assert terminal.ended() == 0
    assert conn.execute("SELECT FROM pgagent.pga_jobrequest").rowcount == left


def test_jobs_are_disabled_and_enabled(conn, pgagent, nightly):
    other = add_job(conn, name="other", due=None)
    assert pgagent.prints("disable", "nightly") == 'job "nightly" is disabled\n'
    assert job(conn, nightly, "jobenabled") is False
    assert pgagent.prints("disable", "nightly", other, "other") == (
        'jobs "nightly", "other" are disabled\n'
    )
    assert job(conn, other, "jobenabled") is False
    rows = pgagent.json("enable", "nightly", "other")
    assert rows[0] == {"job_id": nightly, "job": "nightly", "enabled": True}
    assert job(conn, other, "jobenabled") is True


def test_options_may_stand_between_names_and_names_behind_two_dashes(conn, pgagent):
    for name in ("a", "-b", "--yes"):
        add_job(conn, name=name, due=None)
    told = pgagent.prints("disable", "--csv", "--", "a", "-b", "--yes")
    assert told.split()[1:] == ["1,a,false", "2,-b,false", "3,--yes,false"]
    told = pgagent.prints("enable", "a", "--csv", "3")
    assert told.split()[1:] == ["1,a,true", "3,--yes,true"]


def test_of_several_jobs_all_are_changed_or_none(conn, pgagent, nightly):
    assert 'there is no job "x"' in pgagent.refuses("disable", "nightly", "x")
    assert job(conn, nightly, "jobenabled") is True


def counted(conn):
    return conn.execute("SELECT FROM pgagent.pga_joblog").rowcount


def test_old_runs_are_deleted_from_the_log(conn, pgagent, nightly):
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstart = now() - interval '40 d'")
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart)"
        " SELECT %s, CASE n WHEN 3 THEN 'r' ELSE 's' END, now() - interval '50 d'"
        " FROM generate_series(1, 3) AS n",
        [nightly],
    )
    words = ("delete-log", "nightly", "--yes")
    nothing = "0 runs were deleted from the log\n"
    assert pgagent.prints(*words, "--before", "60 days") == nothing
    assert pgagent.prints(*words, "--keep", "5") == nothing
    assert (
        pgagent.prints(*words, "--before", "45 d")
        == "2 runs were deleted from the log\n"
    )
    assert pgagent.prints(*words, "--keep", "2") == "1 run was deleted from the log\n"
    assert pgagent.json(*words) == [{"job_id": nightly, "job": "nightly", "deleted": 1}]
    assert runs(conn) == [("r", None)]


def test_more_runs_than_a_transaction_has_are_deleted(conn, pgagent, nightly):
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
        " SELECT %s, 's' FROM generate_series(1, 2500)",
        [nightly],
    )
    printed = pgagent.prints("delete-log", "--all", "--yes")
    assert printed == "2,502 runs were deleted from the log\n"
    assert counted(conn) == 0


def test_the_log_is_not_deleted_without_asking(conn, pgagent, nightly):
    assert pgagent.refuses("delete-log", "nightly") == (
        'pgagent delete-log: Delete 2 runs of job "nightly" from the log?'
        " Say --yes, where there is no terminal to ask at"
    )
    with pgagent.on_terminal("delete-log", "--all") as terminal:
        terminal.says("Delete 2 runs of all jobs from the log? [y/N] ")
        terminal.types("no\n")
        assert terminal.ended() == 0
    assert counted(conn) == 2
    with pgagent.on_terminal("delete-log", "nightly") as terminal:
        terminal.says("[y/N] ")
        terminal.types("yes\n")
        assert terminal.ended() == 0
    assert counted(conn) == 0


@pytest.mark.parametrize("verb", ["delete-log", "pause", "unpause"])
def test_all_jobs_are_never_meant_by_leaving_them_out(pgagent, nightly, verb):
    told = pgagent.refuses(verb, status=2)
    assert told == f"pgagent {verb}: name a job, or several, or say --all"
    told = pgagent.refuses(verb, "nightly", "--all", status=2)
    assert told == f"pgagent {verb}: --all is for all jobs: name none beside it"
