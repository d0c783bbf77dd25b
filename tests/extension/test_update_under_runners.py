"""Runners of the version before and of this one go on while a catalogue is updated."""

import re
import sys
import zipfile

import pytest
from daemon.runner_process import Program, Runner
from support import ROOT, poll

WHEELS = sorted((ROOT / "tests/baseline").glob("*.whl"))

LOG = """
    SELECT count(*), count(DISTINCT jlgscheduled), string_agg(DISTINCT jlgstatus, ''),
           extract(epoch FROM max(jlgscheduled) - min(jlgscheduled))::integer + 1,
           count(jlgid) FILTER (WHERE jlgstart > clock_timestamp() - interval '1 second')
    FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"""


def version_of(wheel):
    return re.findall(r"-(\d[\d.]*\d)-", wheel.name)[0]


def old_runner(wheel, folder, dsn):
    """Return a runner of the version before, which is not started yet."""
    zipfile.ZipFile(wheel).extractall(folder)
    command = [sys.executable, "-m", "pgagent_runner", "run", dsn]
    return Program(command, {"PYTHONPATH": str(folder)})


def seconds_with_a_run(conn, count):
    """Wait until so many runs have ended; return how many seconds they span."""
    runs, times, status, span, _ = poll(
        lambda: row if (row := conn.execute(LOG).fetchone())[0] >= count else None,
        deadline=count + 20,
    )
    assert (times, status) == (runs, "s"), "a second came twice, or a run was lost"
    return span


@pytest.mark.parametrize("wheel", WHEELS, ids=version_of)
@pytest.mark.parametrize("which", ["old", "new"])
def test_no_run_is_lost_or_doubled(wheel, which, cluster, new_database, tmp_path):
    conn = new_database("running")
    conn.execute(f"CREATE EXTENSION pgagent VERSION '{version_of(wheel)}'")
    conn.execute("SELECT pgagent.schedule('tick', '@every 1 second', 'SELECT 1')")
    dsn = cluster.conninfo("running")
    runner = Runner(dsn) if which == "new" else old_runner(wheel, tmp_path, dsn)
    with runner:
        seconds_with_a_run(conn, 2)

        conn.execute("ALTER EXTENSION pgagent UPDATE")

        done = seconds_with_a_run(conn, 0)
        span = seconds_with_a_run(conn, done + 3)
        skipped = conn.execute("SELECT count(*) FROM pgagent.skipped_runs").fetchone()
        assert (span - conn.execute(LOG).fetchone()[0], skipped) == (0, (0,))
        assert "ERROR" not in runner.log


def test_the_version_before_is_kept():
    assert [version_of(wheel) for wheel in WHEELS] != []
