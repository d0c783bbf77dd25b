"""`pgagent health` says how things are as Nagios' guidelines for plugins want it.

https://nagios-plugins.org/doc/guidelines.html
"""

import os
import re
import signal
import socket
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from cluster import Cluster
from jobs import add_job
from pgagent_runner.verbs.table import BY_NAME
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support import poll
from transitions import claim, leave, register

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATUS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

# 'label'=value[UOM];[warn];[crit];[min];[max], as the guidelines have it.
RANGE = r"@?(?:~|-?[\d.]+)?:?(?:-?[\d.]+)?"
FIGURE = re.compile(
    rf"(?P<label>[^\s='|;]+|'[^=']+')=(?P<value>-?\d+(?:\.\d+)?)(?P<unit>s|us|ms|%|[KMGT]?B|c)?"
    rf"(?:;(?P<warn>{RANGE}))?(?:;(?P<crit>{RANGE}))?(?:;-?[\d.]*)?(?:;-?[\d.]*)?"
)


@pytest.fixture
def health(pgagent):
    """Call it; return exit code, text and figures, which have the form that is wanted."""

    def health(*words, **environ):
        done = pgagent("health", *words, **environ)
        assert done.stderr == ""
        return _taken_apart(done.returncode, done.stdout)

    return health


def _taken_apart(code, output):
    assert output.endswith("\n")
    (line,) = output.splitlines()
    assert line.isprintable()
    said, bar, figures = line.partition("|")
    begin, text = said.split(" - ", 1)
    assert begin == f"PGAGENT {STATUS[code]}"
    assert "|" not in figures
    assert bool(bar) == (code != UNKNOWN and bool(figures))
    found = [FIGURE.fullmatch(one) for one in figures.split()]
    assert all(found), figures
    values = {one["label"]: float(one["value"]) for one in found if one}
    return code, text.strip(), values


@pytest.fixture
def agent(conn):
    """The session of the test, with a runner."""
    register(conn)
    return conn


def test_all_is_well(agent, health):
    add_job(agent, "SELECT 1", due="now() + interval '1 h'")

    assert health() == (
        OK,
        "1 runner is alive, 0 jobs are under way, none is due",
        {"late": 0, "running": 0, "problems": 0, "runners": 1},
    )

    add_job(agent, "SELECT 1", due="now()")
    assert claim(agent)
    code, text, figures = health()
    assert (code, figures["running"]) == (OK, 1)
    assert "1 job is under way" in text


def test_the_figures_have_the_limits(agent, pgagent):
    line = pgagent.prints("health", "--warning", 7, "--critical", 77)

    assert line.endswith(" | late=0s;7;77 running=0 problems=0 runners=1\n")


def test_the_examples_work(agent, health):
    add_job(agent, "SELECT 1", due=None, name="nightly")
    for command, _ in BY_NAME["health"].examples:
        assert health(*command.split()[2:])[0] == OK


@pytest.mark.parametrize("late_after", ["NULL", "'1 day'"])
@pytest.mark.parametrize(
    ("due", "words", "status"),
    [
        (1, [], OK),
        (70, [], WARNING),
        (310, [], CRITICAL),
        (70, ["--critical", "60"], CRITICAL),
        (310, ["--critical", "600"], WARNING),
        (310, ["--warning", "400", "--critical", "400"], OK),
        (1, ["--warning", "0", "--critical", "0"], CRITICAL),
    ],
)
def test_a_job_waits_too_long_whatever_its_late_after(
    agent, health, late_after, due, words, status
):
    add_job(agent, "SELECT 1", due=f"now() - interval '{due} s'", name="nightly")
    agent.execute(f"UPDATE pgagent.pga_job SET joblateafter = {late_after}")

    code, text, figures = health(*words)

    assert code == status
    assert 0 <= figures["late"] - due < 30
    if code != OK:
        assert 'job "nightly" has been due for ' in text
        assert "has no free worker" in text


def test_a_job_that_is_late_by_its_own_limit_is_a_warning(agent, health):
    add_job(agent, "SELECT 1", due="now() - interval '20 s'", joblateafter="10 s")

    code, text, figures = health()

    assert (code, figures["problems"]) == (WARNING, 1)
    assert ", late: due since " in text


def test_it_is_true_without_any_runner(conn, health):
    add_job(conn, "SELECT 1", due=None)
    code, text, figures = health()
    assert (code, figures["runners"]) == (WARNING, 0)
    assert text == 'no runner is alive: start one with "pgagent run"'

    add_job(conn, "SELECT 1", due="now() - interval '70 seconds'", name="nightly")
    code, text, figures = health()
    assert code == WARNING
    assert text.startswith('job "nightly" has been due for 1 min ')
    assert text.count("no runner is alive") == 2

    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '6 minutes'"
        " WHERE jobnextrun IS NOT NULL"
    )
    assert health()[0] == CRITICAL

    register(conn)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL, joblateafter = NULL")
    assert health()[0] == OK
    leave(conn)
    assert health()[0] == WARNING


def test_the_daemon_of_4_2_is_a_runner(conn, health):
    conn.execute(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (pg_backend_pid(), 'old')"
    )

    assert health()[0] == OK


def failed(conn, name):
    job_id = add_job(conn, "SELECT 1", due=None, name=name)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration, jlgmessage)"
        " VALUES (%s, 'f', '1 s', 'no disk')",
        [job_id],
    )
    return job_id


def test_a_failure_is_a_warning_and_critical_of_the_job_that_counts(agent, health):
    job_id = failed(agent, "nightly")
    add_job(agent, "SELECT 1", due=None, name="hourly")

    code, text, figures = health()
    assert (code, figures["problems"]) == (WARNING, 1)
    assert text.startswith('job "nightly", failed: run ')
    assert "no disk" in text

    assert health("--job", "nightly")[0] == CRITICAL
    assert health("--job", job_id)[0] == CRITICAL
    assert health("--job", "hourly")[0] == OK

    agent.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    assert health("--job", "nightly")[0] == OK, "somebody has disabled it"


def test_only_the_job_that_is_named_counts(agent, health):
    add_job(agent, "SELECT 1", due="now() - interval '1 h'", name="nightly")
    add_job(agent, "SELECT 1", due="now() - interval '2 minutes'", name="hourly")

    code, text, figures = health("--job", "hourly")

    assert (code, figures["problems"]) == (WARNING, 0)
    assert 115 < figures["late"] < 150
    assert "nightly" not in text


def test_no_runner_concerns_the_job_that_is_named(conn, health):
    add_job(conn, "SELECT 1", due=None, name="hourly")
    add_job(conn, "SELECT 1", due="now() - interval '1 h'", name="nightly")

    code, text, _ = health("--job", "hourly")

    assert code == WARNING
    assert "no runner is alive" in text


def test_a_paused_job_does_not_wait(agent, health):
    add_job(agent, "SELECT 1", due="now() - interval '1 h'")
    assert health()[0] == CRITICAL

    agent.execute("SELECT pgagent.pause_all()")

    assert health()[0] == OK


def test_a_job_that_is_set_aside_waits(agent, health):
    job_id = add_job(agent, "SELECT 1", due="now() - interval '1 h'")
    agent.execute(
        "INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsareason) VALUES (%s, now(), 'no luck')",
        [job_id],
    )

    code, text, _ = health()

    assert code == CRITICAL
    assert "it could not be started: no luck" in text


def test_a_copy_that_is_not_armed_is_a_warning_once_a_job_would_be_due(conn, health):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("UPDATE pgagent.pga_arming SET armdatabaseid = 1")
    code, text, _ = health()
    assert code == OK
    assert "this is a copy of the jobs" in text

    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 day' WHERE jobid = %s",
        [job_id],
    )
    code, text, _ = health()
    assert code == WARNING
    assert "1 job would be due" in text


def test_of_many_problems_the_worst_are_told(agent, health):
    for number in range(5):
        failed(agent, f"job {number}")
    add_job(agent, "SELECT 1", due="now() - interval '1 h'", name="nightly")

    code, text, figures = health()

    assert (code, figures["problems"]) == (CRITICAL, 6)
    assert text.startswith('job "nightly" has been due for 1 h ')
    assert text.endswith("; and 3 more (pgagent problems)")


@pytest.mark.parametrize(
    "name",
    [
        "a|b=1;2;3",
        "a\nPGAGENT OK - all is well | late=0s;1;2",
        "\x1b[31mred\x07\u202e\u2028",
        "x" * 100_000,
        "'; DROP TABLE x; --",
    ],
    ids=["bar", "line", "controls", "long", "quote"],
)
def test_no_name_breaks_the_line_or_the_figures(agent, health, name):
    add_job(agent, "SELECT 1", due="now() - interval '1 h'", name=name)
    failed(agent, name)

    code, text, figures = health()

    assert (code, figures["problems"]) == (CRITICAL, 2)
    assert len(text) < 2000


def test_a_time_that_was_infinitely_long_ago(agent, health):
    add_job(agent, "SELECT 1", due="'-infinity'")

    code, _, figures = health()

    assert code == CRITICAL
    assert 0 < figures["late"] < 4e9


# Where it can't be told


def test_a_server_that_is_not_there_is_critical(health, tmp_path):
    assert health(PGHOST=str(tmp_path))[0] == CRITICAL
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    code, text, figures = health(PGHOST="127.0.0.1", PGPORT=str(port))
    assert (code, figures) == (CRITICAL, {})
    assert "Connection refused" in text


@contextmanager
def within(seconds):
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


@pytest.fixture
def silent():
    """A server that takes connections and never says a word: its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize("environ", [{}, {"PGCONNECT_TIMEOUT": "0"}])
def test_a_server_that_does_not_answer_is_critical_in_time(health, silent, environ):
    with within(8):
        code, _, _ = health(
            "--timeout", "2", PGHOST="127.0.0.1", PGPORT=silent, **environ
        )

    assert code == CRITICAL


def test_nobody_is_asked_for_a_password(pgagent, tmp_path):
    with Cluster(tcp=True, is_twin=True) as server:
        environ = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        environ["PGPASSFILE"] = str(tmp_path / "none")
        with pgagent.on_terminal("health", **environ) as terminal:
            assert terminal.ended() == UNKNOWN
    assert terminal.seen.startswith("PGAGENT UNKNOWN - can't connect to database ")


def test_a_password_is_taken_from_wherever_libpq_takes_one(pgagent, tmp_path):
    with (
        Cluster(tcp=True, is_twin=True) as server,
        closing(psycopg.connect(server.conninfo(), autocommit=True)) as conn,
    ):
        conn.execute("CREATE EXTENSION pgagent")
        register(conn)
        whole = conninfo_to_dict(server.conninfo(tcp=True))
        password = str(whole.pop("password"))
        where = make_conninfo(**{name: str(value) for name, value in whole.items()})
        file = tmp_path / "pgagent.toml"
        file.write_text(f"[run]\nconninfo = \"{where} password='{password}'\"\n")
        file.chmod(0o600)
        for words, environ in (
            (["-d", where], {"PGPASSWORD": password}),
            ([], {"PGAGENT_CONFIG": str(file)}),
        ):
            done = pgagent("health", *words, **environ)
            assert done.stdout.startswith("PGAGENT OK - "), done


def test_a_catalogue_that_is_locked_is_critical_in_time(conn, dsn, health):
    with psycopg.connect(dsn) as locker:
        locker.execute("LOCK TABLE pgagent.pga_job")
        with within(8):
            code, text, _ = health("--timeout", "1")

    assert code == CRITICAL
    assert re.fullmatch(
        "no answer from the database within 1 s|.*statement timeout", text
    )


def test_it_ends_in_time_whatever_it_hangs_in(pgagent, silent):
    """As in the name service, where no signal of Python's gets through."""
    words = ["health", "--timeout", "2"]
    environ = {"PGHOST": "127.0.0.1", "PGPORT": silent}
    with within(8), pgagent.on_terminal(*words, **environ) as terminal:
        child = int(poll(lambda: _children(terminal.process.pid)))
        os.kill(child, signal.SIGSTOP)

        assert terminal.ended() == CRITICAL
    assert "PGAGENT CRITICAL - no answer from the database within 2 s" in terminal.seen
    assert not Path(f"/proc/{child}").exists()


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_a_database_without_the_extension_is_unknown(health):
    code, text, figures = health("-d", "postgres")

    assert (code, figures) == (UNKNOWN, {})
    assert "CREATE EXTENSION" in text


def test_what_is_not_there_is_unknown(health):
    assert health("-d", "no_such_database")[0] == UNKNOWN
    code, text, _ = health("--job", "nonsense")
    assert code == UNKNOWN
    assert text.startswith('there is no job "nonsense"')


@pytest.mark.parametrize(
    "words", [("--warning", "x"), ("--nonsense",), ("--timeout", "0"), ("one",)]
)
def test_a_command_line_that_makes_no_sense_is_unknown(pgagent, words):
    done = pgagent("health", *words)

    assert (done.returncode, done.stdout) == (UNKNOWN, "")
    assert "error: " in done.stderr


def test_limits_or_a_file_that_make_no_sense_are_unknown(health, tmp_path):
    assert health("--warning", "10", "--critical", "5")[0] == UNKNOWN
    assert health("--config", str(tmp_path / "none.toml"))[0] == UNKNOWN


def test_a_login_without_the_right_is_unknown_and_a_reader_is_enough(
    agent, dsn, health
):
    agent.execute("CREATE ROLE health_reader LOGIN")
    try:
        login = make_conninfo(dsn, user="health_reader")
        code, text, _ = health("-d", login)
        assert code == UNKNOWN
        assert "grant_access('reader', 'health_reader')" in text

        agent.execute("SELECT pgagent.grant_access('reader', 'health_reader')")
        assert health("-d", login)[0] == OK
    finally:
        agent.execute("DROP OWNED BY health_reader; DROP ROLE health_reader")


def test_a_full_disk_is_no_warning(agent, pgagent):
    assert pgagent.by_shell("health > /dev/full").returncode == UNKNOWN


# problems


def test_problems_are_listed_as_the_view_has_them(agent, pgagent):
    assert pgagent.prints("problems") == "There is no problem.\n"
    assert pgagent.json("problems") == []
    job_id = failed(agent, "nightly")
    failed(agent, "hourly")

    head, _, *lines = pgagent.prints("problems").splitlines()
    assert [cell.strip() for cell in head.split("|")] == [
        "job",
        "problem",
        "since",
        "detail",
    ]
    assert len(lines) == 2
    columns = [c.name for c in agent.execute("TABLE pgagent.problems").description]
    (found,) = pgagent.json("problems", "nightly")
    assert list(found) == columns
    assert (found["job_id"], found["problem"]) == (job_id, "failed")
    assert pgagent.prints("problems", "--csv").splitlines()[0] == ",".join(columns)


def test_problems_of_all_jobs_have_no_name(conn, pgagent):
    add_job(conn, "SELECT 1", due="now() - interval '2 minutes'")

    (found,) = pgagent.json("problems")

    assert (found["job"], found["problem"]) == (None, "no_runner")
