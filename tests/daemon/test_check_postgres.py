"""What check_postgres, which was made for pgAgent 4.2, says of our runner's runs."""

import subprocess

import pytest
from jobs import add_job, batch, runs, step_runs
from support import peer, poll
from transitions import register, sweep

from .runner_process import Daemon42, Runner, ended_runs, running_step

pytestmark = pytest.mark.needs("check_postgres")

OK, CRITICAL = 0, 2

FAILS_ONCE = "test -e {0} || {{ touch {0}; exit 75; }}"
FAILS_ONCE_IN_SQL = """
CREATE SEQUENCE IF NOT EXISTS attempt;
SELECT nextval('attempt');
COMMIT;
SELECT 1 / (currval('attempt') - 1)"""


@pytest.fixture
def check(cluster, dsn):
    """Run the check on all jobs; return its exit code and its line."""

    def run():
        command = [
            *(str(peer("usr/bin/check_postgres")), "--action=pgagent_jobs"),
            *("--critical=1 hour", f"--host={cluster.host}", f"--port={cluster.port}"),
            *(
                "--dbuser=postgres",
                f"--dbname={dsn.partition('dbname=')[2].split()[0]}",
            ),
        ]
        done = subprocess.run(
            command,
            env=cluster.client_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def retried(step, **columns):
    columns |= {"jstretries": 2, "jstretrydelay": "0", "jstretryon": ["any"]}
    return step | columns


def test_a_run_that_succeeded_at_last_is_ok(conn, runner, check, tmp_path):
    add_job(conn, retried(batch(FAILS_ONCE.format(tmp_path / "failed"))))
    add_job(conn, retried({"jstcode": FAILS_ONCE_IN_SQL}))
    assert ended_runs(conn, count=2) == "ss"

    code, line = check()

    assert (code, line.split(":")[0]) == (OK, "POSTGRES_PGAGENT_JOBS OK")
    assert conn.execute(
        "SELECT jslstatus, jslresult FROM pgagent.pga_jobsteplog ORDER BY jsljstid, jslid"
    ).fetchall() == [("f", None), ("s", 0), ("f", None), ("s", 1)]
    script, sql = (row[3] for row in step_runs(conn) if row[1] == "f")
    assert script == "attempt 1 of 3: exit code 75; the next one in 0 s\n"
    assert "SQLSTATE: 22012" in sql


def test_nothing_that_has_run_is_ok(conn, runner, check):
    """As its manual has it: it looks for steps with a result that is not 0."""
    add_job(conn, {"jstcode": "SELECT 1/0"}, due=None)
    code, line = check()
    assert (code, line.split(":")[0]) == (OK, "POSTGRES_PGAGENT_JOBS OK")

    add_job(conn)
    assert ended_runs(conn) == "i"
    assert check()[0] == OK


@pytest.mark.parametrize(
    "step",
    [{"jstcode": "SELECT 1/0"}, batch("exit 3"), retried(batch("exit 75"))],
    ids=["sql", "batch", "retried"],
)
def test_a_run_that_failed_is_critical(conn, runner, check, step):
    add_job(conn, step, name="nightly")
    assert ended_runs(conn) == "f"

    code, line = check()

    assert code == CRITICAL, line
    assert line.count("nightly/step 01") == 1


@pytest.mark.parametrize("on_error", ["i", "s"])
@pytest.mark.needs("pgagent_4_2")
def test_a_failure_that_does_not_count_is_what_it_was_under_4_2(
    conn, cluster, dsn, check, on_error
):
    said = []
    for program in (lambda: Runner(dsn), lambda: Daemon42(cluster, dsn)):
        conn.execute("DELETE FROM pgagent.pga_job")
        with program():
            add_job(
                conn,
                {"jstcode": "SELECT 1/0", "jstonerror": on_error},
                batch("exit 3", jstonerror=on_error),
                name="nightly",
            )
            assert ended_runs(conn) == "s"
        code, line = check()
        said.append((code, line.count("nightly/step 01"), line.count("3 nightly/")))

    assert said == [(CRITICAL, 1, 1)] * 2


@pytest.mark.parametrize(
    "step",
    [
        {"jstcode": "SELECT pg_sleep(60)"},
        batch("sleep 60"),
        retried(batch("exit 75")) | {"jstretrydelay": "1 hour"},
    ],
    ids=["sql", "batch", "between attempts"],
)
def test_a_run_whose_runner_died_is_critical(conn, dsn, check, step):
    with Runner(dsn) as runner:
        add_job(conn, step, name="nightly")
        if "jstretrydelay" in step:
            poll(
                lambda: [row[1] for row in step_runs(conn)] == ["f"],
                what="the first attempt to end",
            )
        else:
            running_step(conn)
        runner.kill()
    register(conn)
    poll(lambda: sweep(conn) == 1 or runs(conn)[0][0] == "d")

    code, line = check()

    assert code == CRITICAL, line
    assert line.count("nightly/step 01") == 1
