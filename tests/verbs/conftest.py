import json
import subprocess

import forking
import pytest
from daemon.runner_process import PGAGENT

from .terminal import Terminal

RUN = """
    INSERT INTO pgagent.pga_joblog
        (jlgid, jlgjobid, jlgstatus, jlgscheduled, jlgstart, jlgduration, jlgmessage, jlgstartedvia)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'schedule')
"""
STEP = """
    INSERT INTO pgagent.pga_jobsteplog
        (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration, jsloutput)
    SELECT %s, s.jstid, %s, %s, %s, %s, %s FROM pgagent.pga_jobstep AS s WHERE s.jstname = %s
"""


class Pgagent:
    """The command, for the test's database, as variables of libpq say."""

    def __init__(self, environ):
        self.environ = environ | {"TZ": "Europe/Berlin"}

    def __call__(self, *words, stdin="", **environ):
        return forking.run(
            [PGAGENT, *map(str, words)], env=self.environ | environ, input=stdin
        )

    def by_shell(self, line, **environ):
        """Call it by a line of the shell, which may have redirections."""
        return subprocess.run(
            ["/bin/sh", "-c", f'"$PGAGENT" {line}'],
            env=self.environ | environ | {"PGAGENT": str(PGAGENT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def prints(self, *words, **environ):
        """Return what it prints; nothing may go wrong."""
        done = self(*words, **environ)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *words, **environ):
        return self.parsed(self.prints(*words, "--json", **environ))

    def parsed(self, text):
        return json.loads(text)

    def refuses(self, *words, status=1, **environ):
        """Return the one sentence that it says instead of doing anything."""
        done = self(*words, **environ)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.strip()

    def on_terminal(self, *words, columns=200, **environ):
        return Terminal([PGAGENT, *words], self.environ | environ, columns)


@pytest.fixture
def pgagent(cluster, conn):
    return Pgagent(cluster.client_environ(conn.info.dbname))


@pytest.fixture
def nightly(conn):
    """A job of two steps, that has run twice: run 46 was a success, run 47 was none."""
    conn.execute("""
        SELECT pgagent.create_job('nightly', description => 'all of it', timeout => '1 h');
        SELECT pgagent.add_step('nightly', '1 dump', 'SELECT 1');
        SELECT pgagent.add_step('nightly', '2 report', E'echo a\\necho b', kind => 'batch');
        SELECT pgagent.add_schedule('nightly', '30 2 * * *', 'at night', 'Europe/Berlin');
        SELECT pgagent.add_exception('nightly', '2099-12-25', schedule => 'at night');
    """)
    (job_id,) = conn.execute("SELECT jobid FROM pgagent.pga_job").fetchone()
    at = "2020-01-05 01:30:00.25+00"
    for run_id, status, message in (
        (46, "s", None),
        (47, "f", 'step "2 report" failed: exit code 3'),
    ):
        values = [run_id, job_id, status, at, at, "00:01:30.5", message]
        conn.execute(RUN, values)
        steps = [("1 dump", "s", 1, "one row\n")]
        steps.append(("2 report", status, 0 if status == "s" else 3, "no such luck\n"))
        for step, letter, result, output in steps:
            values = [run_id, letter, result, at, "00:00:00.012", output, step]
            conn.execute(STEP, values)
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 47)")
    return job_id
