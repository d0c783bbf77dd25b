"""Two teams that share an isolated catalogue, and those who serve both.

The editors of both teams have every privilege on the rows of all tables: what they can't
reach, policies alone keep from them. A test's database is its own; roles are the server's.
"""

from contextlib import ExitStack, closing

import psycopg
import pytest
from jobs import add_job, add_schedule

ROLES = """
CREATE ROLE iso_editors;
CREATE ROLE iso_team_a IN ROLE iso_editors;
CREATE ROLE iso_team_b IN ROLE iso_editors;
CREATE ROLE iso_alice LOGIN IN ROLE iso_team_a;
CREATE ROLE iso_amber LOGIN IN ROLE iso_team_a;
CREATE ROLE iso_bob LOGIN IN ROLE iso_team_b;
CREATE ROLE iso_rita LOGIN;
CREATE ROLE iso_runner LOGIN;
"""
GRANTS = """
GRANT USAGE ON SCHEMA pgagent TO iso_editors, iso_rita, iso_runner;
GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO iso_rita;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgagent TO iso_editors, iso_runner;
REVOKE INSERT, UPDATE, DELETE ON pgagent.pga_isolation FROM iso_editors, iso_runner;
GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA pgagent TO iso_editors, iso_runner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO iso_runner;
"""
RUN = """
WITH run AS (
    INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgmessage)
    VALUES (%(job)s, 's', 'secret') RETURNING jlgid
), step AS (
    INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jsloutput)
    SELECT jlgid, jstid, 's', 'secret' FROM run, pgagent.pga_jobstep WHERE jstjobid = %(job)s
), skip AS (
    INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason)
    VALUES (%(job)s, now(), now(), 'secret')
), aside AS (
    INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsareason)
    VALUES (%(job)s, now(), 'secret')
), pause AS (
    INSERT INTO pgagent.pga_jobpause (jpsjobid, jpsuntil, jpsreason) VALUES (%(job)s, now(), 'secret')
), silence AS (
    INSERT INTO pgagent.pga_jobsilence (jsijobid, jsiuntil, jsireason) VALUES (%(job)s, now(), 'secret')
), alert AS (
    INSERT INTO pgagent.pga_alert (altname, altchannel, altjobid) VALUES ('alert ' || %(job)s, 'mail', %(job)s)
    RETURNING altid
), state AS (
    INSERT INTO pgagent.pga_alertstate (alsaltid, alsjobid, alskind, alsevent, alsended, alsmessage)
    SELECT altid, %(job)s, 'late', 'late', now(), 'secret' FROM alert
), event AS (
    INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alejobid, alestate, aleerror)
    SELECT 'late', altid, 'secret', %(job)s, 'sent', 'secret' FROM alert
), exception AS (
    INSERT INTO pgagent.pga_exception (jexscid, jexdate)
    SELECT jscid, '2040-01-01' FROM pgagent.pga_schedule WHERE jscjobid = %(job)s
)
INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqvia, jrqby)
VALUES (1000 + %(job)s, %(job)s, 'run_job', 'iso_alice')
"""


@pytest.fixture(scope="session")
def roles(cluster):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute(ROLES)


@pytest.fixture
def shared(conn, roles):
    """The catalogue's owner, before anything is isolated."""
    conn.execute(GRANTS)
    return conn


@pytest.fixture
def isolated(shared):
    """The catalogue's owner, after isolate()."""
    shared.execute("SELECT pgagent.isolate()")
    return shared


@pytest.fixture
def login(dsn, shared):
    """Log in to the test's database: `login("alice")` gives a session."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(
            closing(psycopg.connect(dsn, user=f"iso_{name}", autocommit=True))
        )


def add_complete_job(conn, name, owner):
    """Add a job with a row in each table that has policies; return its id."""
    job_id = add_job(conn, "SELECT 'secret'", name=name, jobowner=owner, due=None)
    add_schedule(conn, job_id, jscstart="2040-01-01 00:00")
    conn.execute(RUN, {"job": job_id})
    # A wish is of whoever writes it; this is to be one of the team's.
    conn.execute("UPDATE pgagent.pga_jobrequest SET jrqby = 'iso_alice'")
    return job_id


@pytest.fixture
def jobs(isolated):
    """A job of each team and one of nobody: {owner: id}."""
    return {
        owner: add_complete_job(isolated, f"job of {owner}", owner)
        for owner in ("iso_team_a", "iso_team_b", None)
    }
