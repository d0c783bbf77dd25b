"""pgAdmin's session: as superuser, and as a role with rights on the tables alone.

That role is an editor of all jobs, and, where the catalogue is isolated, of its own ones:
the jobs of the tests are its own then, and those that are always there a stranger's.

All these tests share a database, which takes less time than one each; a test's jobs go
with it. Other jobs are always there, with all that belongs to a job: only then does
pgAdmin have a wrong one to find. Whatever it does, not a row of theirs is written.
"""

from contextlib import closing

import psycopg
import pytest
from documents import block
from jobs import add_job, add_schedule
from psycopg.rows import dict_row
from transitions import register

# As docs/security.md grants it.
EDITOR = block("docs/security.md", "CREATE ROLE job_editor").replace(
    "job_editor", "pgadmin_editor"
)
ROLES = f"""
CREATE ROLE pgadmin_outsider LOGIN;
CREATE ROLE pgadmin_stranger;
{EDITOR};
ALTER ROLE pgadmin_editor LOGIN;
GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all(), pgagent.pga_may_use_batch(),
    pgagent.pga_may_use_conninfo() TO pgadmin_editor;
CREATE FUNCTION public.give_away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.jobowner := CASE WHEN NEW.jobname IN ('AAA', 'zzz') THEN 'pgadmin_stranger'
                         ELSE 'pgadmin_editor' END;
    RETURN NEW;
END $$;
"""
# What the tests themselves add.
GIVE_AWAY = """
CREATE TRIGGER a_give_away BEFORE INSERT ON pgagent.pga_job
    FOR EACH ROW WHEN (session_user = 'postgres') EXECUTE FUNCTION public.give_away()
"""


@pytest.fixture(scope="session")
def dsn(cluster):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as session:
        session.execute("CREATE DATABASE pgadmin")
    dsn = cluster.conninfo("pgadmin")
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute("CREATE EXTENSION pgagent")
        session.execute(ROLES)
    return dsn


@pytest.fixture(scope="session")
def owner(dsn):
    """A session of the superuser, which has its plans."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session


@pytest.fixture
def conn(owner):
    yield owner
    owner.execute("UNLISTEN *; RESET ALL")
    owner.execute("DELETE FROM pgagent.pga_job; DELETE FROM pgagent.pga_jobagent")
    list(owner.notifies(timeout=0))  # what came before UNLISTEN is nobody else's


@pytest.fixture(
    params=[
        pytest.param(("postgres", False), id="superuser"),
        pytest.param(("pgadmin_editor", False), id="editor"),
        pytest.param(("pgadmin_editor", True), id="isolated editor"),
    ]
)
def role(request, conn):
    """The role that pgAdmin logs in as."""
    name, isolated = request.param
    if isolated:
        conn.execute("SELECT pgagent.isolate()")
        conn.execute(GIVE_AWAY)
    yield name
    if isolated:
        conn.execute("DROP TRIGGER a_give_away ON pgagent.pga_job")
        conn.execute("SELECT pgagent.isolate(false)")


@pytest.fixture
def pgadmin(dsn, role, neighbours):
    """pgAdmin's session, in a time zone that is not the server's."""
    with closing(
        psycopg.connect(dsn, autocommit=True, user=role, row_factory=dict_row)
    ) as session:
        session.execute("SET DateStyle=ISO; SET TimeZone TO 'Asia/Kolkata'")
        yield session


@pytest.fixture
def outsider(dsn):
    """The session of a role without any rights."""
    with closing(
        psycopg.connect(dsn, autocommit=True, user="pgadmin_outsider")
    ) as session:
        yield session


# Of each row its version too: a change and its opposite are two changes.
ROWS_OF_JOBS = """
WITH job AS (SELECT j.xmin, j.* FROM pgagent.pga_job AS j WHERE j.jobid = ANY (%s)),
step AS (SELECT s.xmin, s.* FROM pgagent.pga_jobstep AS s JOIN job ON jstjobid = jobid),
schedule AS (SELECT s.xmin, s.* FROM pgagent.pga_schedule AS s JOIN job ON jscjobid = jobid),
exception AS (SELECT e.xmin, e.* FROM pgagent.pga_exception AS e JOIN schedule ON jexscid = jscid),
run AS (SELECT l.xmin, l.* FROM pgagent.pga_joblog AS l JOIN job ON jlgjobid = jobid),
step_run AS (SELECT l.xmin, l.* FROM pgagent.pga_jobsteplog AS l JOIN run ON jsljlgid = jlgid)
SELECT to_jsonb(job) FROM job UNION ALL SELECT to_jsonb(step) FROM step
UNION ALL SELECT to_jsonb(schedule) FROM schedule
UNION ALL SELECT to_jsonb(exception) FROM exception
UNION ALL SELECT to_jsonb(run) FROM run UNION ALL SELECT to_jsonb(step_run) FROM step_run
ORDER BY 1"""


@pytest.fixture
def neighbours(conn, role):
    """Jobs that come before and after those of the tests, by name: (first, last)."""
    jobs = [add_neighbour(conn, name) for name in ("AAA", "zzz")]
    before = conn.execute(ROWS_OF_JOBS, [jobs]).fetchall()
    assert len(before) == 6 * len(jobs)
    yield jobs
    assert conn.execute(ROWS_OF_JOBS, [jobs]).fetchall() == before


def add_neighbour(conn, name):
    """Add a job with a step, a schedule with an exception, and a run in the log."""
    job_id = add_job(conn, "SELECT 1", name=name, due=None)
    schedule_id = add_schedule(conn, job_id, jscstart="2040-01-01 00:00")
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (%s, '2040-02-02')",
        [schedule_id],
    )
    conn.execute(
        "WITH run AS (INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus)"
        " VALUES (%s, 'd') RETURNING jlgid, jlgjobid) "
        "INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)"
        " SELECT jlgid, jstid, 's' FROM run JOIN pgagent.pga_jobstep ON jstjobid = jlgjobid",
        [job_id],
    )
    return job_id


@pytest.fixture
def agent(dsn):
    """A registered agent on host "here": its session."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        yield session
