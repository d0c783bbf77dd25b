"""Runners of the version before and of this one go on while a catalogue is updated."""

import re
import sys
import zipfile
from importlib.metadata import version

import pytest
from daemon.runner_process import Program, Runner
from support import ROOT, poll

WHEELS = sorted((ROOT / "tests/baseline").glob("*.whl"))

# The first run makes up for the time before the runner was there.
LOG = """
    SELECT count(*), count(DISTINCT jlgscheduled), string_agg(DISTINCT jlgstatus, ''),
           extract(epoch FROM max(jlgscheduled) - min(jlgscheduled))::integer + 1
    FROM pgagent.pga_joblog
    WHERE jlgstatus <> 'r' AND jlgid > (SELECT min(jlgid) FROM pgagent.pga_joblog) HAVING count(*) >= %s"""

SKIPPED = """
    SELECT * FROM pgagent.skipped_runs
    WHERE until > (SELECT min(jlgstart) FROM pgagent.pga_joblog)"""


def version_of(wheel):
    return re.findall(r"-(\d[\d.]*\d)-", wheel.name)[0]


def old_runner(wheel, folder, dsn):
    """Return a runner of the version before, which is not started yet."""
    zipfile.ZipFile(wheel).extractall(folder)
    command = [sys.executable, "-m", "pgagent_runner", "run", dsn]
    return Program(command, {"PYTHONPATH": str(folder)})


def runs_and_seconds(conn, count):
    """Wait until so many runs have ended; return how many, and the seconds they span."""
    found = poll(lambda: conn.execute(LOG, [count]).fetchone(), deadline=count + 20)
    runs, times, status, span = found
    assert (times, status) == (runs, "s"), "a second came twice, or a run was lost"
    return runs, span


@pytest.fixture(params=WHEELS, ids=version_of)
def wheel(request):
    return request.param


@pytest.fixture
def conn(new_database, wheel):
    """A session with a catalogue of the version before, and a job every second."""
    conn = new_database("running")
    conn.execute(f"CREATE EXTENSION pgagent VERSION '{version_of(wheel)}'")
    conn.execute("SELECT pgagent.schedule('tick', '@every 1 second', 'SELECT 1')")
    # However long the update takes, or a run: no second may be left out for that.
    conn.execute("UPDATE pgagent.pga_job SET jobmissed = 'all', joboverlap = 'queue'")
    return conn


def test_a_runner_of_the_version_before_loses_and_doubles_no_run(
    conn, wheel, cluster, tmp_path
):
    with old_runner(wheel, tmp_path, cluster.conninfo("running")) as runner:
        before, _ = runs_and_seconds(conn, 2)

        conn.execute("ALTER EXTENSION pgagent UPDATE")

        runs, seconds = runs_and_seconds(conn, before + 4)
        assert runs == seconds, "a second was left out"
        assert conn.execute(SKIPPED).fetchall() == []
        assert "ERROR" not in runner.log


# As docs/security.md of 5.0.0 has them.
GRANTS_OF_5_0 = """
    CREATE ROLE pgagent_runner LOGIN;
    GRANT USAGE ON SCHEMA pgagent TO pgagent_runner;
    GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO pgagent_runner;
    GRANT INSERT, UPDATE, DELETE ON pgagent.pga_jobagent, pgagent.pga_jobsession TO pgagent_runner;
    GRANT INSERT, UPDATE, DELETE ON pgagent.pga_joblog, pgagent.pga_jobskip TO pgagent_runner;
    GRANT INSERT, UPDATE ON pgagent.pga_jobsteplog TO pgagent_runner;
    GRANT UPDATE (jobagentid, jobnextrun, joblastrun, jobchanged, jobrunid, jobfromstep,
                  jobdeaths, jobenabled)
        ON pgagent.pga_job TO pgagent_runner;
    GRANT UPDATE (jscenabled) ON pgagent.pga_schedule TO pgagent_runner;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO pgagent_runner;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO pgagent_runner;
"""


def test_a_runner_with_the_documented_rights_keeps_them(conn, wheel, cluster, tmp_path):
    conn.execute(GRANTS_OF_5_0)
    try:
        dsn = f"{cluster.conninfo('running')} user=pgagent_runner"
        with old_runner(wheel, tmp_path, dsn) as runner:
            before, _ = runs_and_seconds(conn, 2)

            conn.execute("ALTER EXTENSION pgagent UPDATE")

            runs, seconds = runs_and_seconds(conn, before + 4)
            assert runs == seconds, runner.log
            assert "ERROR" not in runner.log
        with Runner(dsn) as runner:
            runner.ready()
            runs_and_seconds(conn, runs + 2)
    finally:
        conn.execute("DROP OWNED BY pgagent_runner; DROP ROLE pgagent_runner")


def test_a_new_runner_says_what_it_waits_for_and_goes_on_after_the_update(
    conn, wheel, cluster, tmp_path
):
    dsn = cluster.conninfo("running")
    with old_runner(wheel, tmp_path, dsn) as older, Runner(dsn) as runner:
        runner.says(
            'database "running": it has pgagent 5.0.0, and this runner needs'
            f" {version('pgagent-runner')}: ALTER EXTENSION pgagent UPDATE"
        )
        before, _ = runs_and_seconds(conn, 2)

        conn.execute("ALTER EXTENSION pgagent UPDATE")
        runner.ready()
        assert older.stop() == 0

        runs, seconds = runs_and_seconds(conn, before + 4)
        assert runs == seconds, "a second was left out"
        assert conn.execute(SKIPPED).fetchall() == []


PROMISE = "SELECT pgagent.run_job('promised', from_step => 'second')"
PROMISED = """
    SELECT jlgid, jlgstatus, jlgstartedvia FROM pgagent.pga_joblog AS l
    JOIN pgagent.pga_job ON jobid = jlgjobid
    WHERE jobname = 'promised' AND jlgstatus <> 'r' ORDER BY jlgid
"""


@pytest.fixture
def promised(conn):
    """The id of a run that the version before has promised, and that waits."""
    conn.execute(
        "SELECT pgagent.create_job('promised'), pgagent.add_step('promised', 'first', 'SELECT 1'),"
        " pgagent.add_step('promised', 'second', 'SELECT 2')"
    )
    return conn.execute(PROMISE).fetchone()[0]


def test_a_promise_of_the_version_before_is_kept_by_either_runner(
    conn, wheel, cluster, tmp_path, promised
):
    conn.execute("ALTER EXTENSION pgagent UPDATE")
    assert conn.execute(PROMISE).fetchone() == (promised,)
    (whole,) = conn.execute("SELECT pgagent.run_job('promised')").fetchone()
    dsn = cluster.conninfo("running")

    with old_runner(wheel, tmp_path, dsn):
        poll(lambda: conn.execute(PROMISED).rowcount == 2)

    assert conn.execute(PROMISED).fetchall() == [
        (promised, "s", "run_job"),
        (whole, "s", "run_job"),
    ]


EDITOR_OF_5_0 = """
    CREATE ROLE job_editor;
    GRANT USAGE ON SCHEMA pgagent TO job_editor;
    GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO job_editor;
    GRANT UPDATE (jobnextrun, jobrunid, jobfromstep, jobchanged) ON pgagent.pga_job TO job_editor;
    GRANT UPDATE (jlgcancel) ON pgagent.pga_joblog TO job_editor;
    GRANT USAGE ON SEQUENCE pgagent.pga_joblog_jlgid_seq TO job_editor;
"""


def test_whoever_could_promise_runs_before_an_update_can_after_it(conn, promised):
    conn.execute(EDITOR_OF_5_0)
    try:
        conn.execute(
            "CREATE ROLE reader; GRANT SELECT ON pgagent.pga_jobskip TO reader"
        )
        conn.execute("ALTER EXTENSION pgagent UPDATE")
        with conn.transaction():
            conn.execute("SET LOCAL ROLE job_editor")
            assert conn.execute(PROMISE).fetchone() == (promised,)
            (other,) = conn.execute("SELECT pgagent.run_job('promised')").fetchone()
            assert conn.execute(
                "SELECT pgagent.cancel_run(%s), pgagent.cancel_run(%s)",
                [other, promised],
            ).fetchone() == (True, True)
        assert conn.execute(
            "SELECT has_table_privilege('reader', 'pgagent.pga_jobrequest', 'SELECT'),"
            " has_table_privilege('reader', 'pgagent.pga_jobrequest', 'DELETE')"
        ).fetchone() == (True, False)
    finally:
        conn.execute("DROP OWNED BY job_editor, reader; DROP ROLE job_editor, reader")


def test_the_version_before_is_kept():
    assert [version_of(wheel) for wheel in WHEELS] != []
