import subprocess

import forking
import pytest
from daemon.runner_process import PGAGENT
from jobs import add_job
from support import peer
from transitions import register

RUNS = """
    INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration, jlgstation)
    VALUES (%(job)s, 's', '2030-01-01 00:00+00', '3.5 s', 'here'),
           (%(job)s, 'f', '2030-01-02 00:00+00', '1 min 0.25 s', 'here')
"""
SKIPS = """
    INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason, jsktotal)
    VALUES (%(job)s, now(), now(), 'x', 2), (%(job)s, now(), now(), 'x', 5)
"""
FIGURES = """
    UPDATE pgagent.pga_job
    SET jobfailures = 1, joblastsuccess = '2030-01-01 00:00:03.5+00', joblastrun = '2030-01-02 00:00+00',
        jobsucceeded = 7, jobfailed = 2, jobaborted = 1, jobempty = 4,
        jobnextrun = '2040-01-01 00:00+00'
    WHERE jobid = %(job)s
"""


def values(conn, name) -> dict[str, float]:
    """Return the values of a metric, by the values of its labels, in order of names."""
    rows = conn.execute(
        "SELECT labels, value FROM pgagent.metrics WHERE name = %s", [name]
    ).fetchall()
    found = {
        " ".join(labels[label] for label in sorted(labels) if label != "job_id"): value
        for labels, value in rows
    }
    assert len(found) == len(rows), rows
    return found


@pytest.fixture
def nightly(conn):
    """A job with two runs in the log and more before; the last one has failed."""
    job_id = add_job(conn, "SELECT 1", name="nightly", due=None)
    conn.execute(RUNS, {"job": job_id})
    conn.execute(SKIPS, {"job": job_id})
    conn.execute(FIGURES, {"job": job_id})
    return job_id


@pytest.fixture
def busy(conn, nightly):
    """That job, a runner, one job that it runs, one that is late, and one that is paused."""
    register(conn, "here")
    late = add_job(conn, "SELECT 1", name="late", due="now() - interval '10 min'")
    held = add_job(
        conn, "SELECT 1", name="held", due=None, jobagentid=conn.info.backend_pid
    )
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart) VALUES (%s, now() - interval '1 h')",
        [held],
    )
    paused = add_job(conn, "SELECT 1", name="paused", due="now() - interval '1 h'")
    conn.execute("INSERT INTO pgagent.pga_jobpause (jpsjobid) VALUES (%s)", [paused])
    conn.execute("SELECT pgagent.alter_class('Data Import', 2)")
    conn.execute("SELECT pgagent.add_alert('mail', 'mail')")
    return {"nightly": nightly, "late": late, "held": held, "paused": paused}


class Metrics:
    """`pgagent metrics`, of the test's database."""

    def __init__(self, environ):
        self.environ = environ

    def __call__(self, *words, **environ):
        return forking.run(
            [PGAGENT, "metrics", *map(str, words)],
            env=self.environ | environ,
            text=False,
        )


@pytest.fixture
def metrics(cluster, conn):
    return Metrics(cluster.client_environ(conn.info.dbname))


@pytest.fixture
def promtool():
    """Call promtool with these words; return all that it says, if it finds no fault."""

    def call(*words, stdin=""):
        done = subprocess.run(
            [peer("usr/bin/promtool"), *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    return call
