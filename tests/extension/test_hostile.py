"""In a database whose owner is an attacker, none of his objects is ever called.

He may create what he likes in public and, if he made it beforehand, in pgagent; sooner
or later a superuser installs the extension, writes to its tables or runs its agent.
"""

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from support import ROOT

from .contents import install_42
from .members import definitions

HOSTILE = (Path(__file__).parent / "hostile.sql").read_text()

INSTALL = "CREATE EXTENSION pgagent"
UPGRADE = "ALTER EXTENSION pgagent UPDATE"

# The statements themselves name no function or operator that could be a trap.
THIS = "pg_catalog.pg_backend_pid()"
WRITES = """
INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a')
INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES (1, 'a', 'b', 'true')
INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES (1, 'a')
INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jsctimezone) VALUES (1, 'b', 'Europe/Berlin')
INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (1, '2040-01-01')
INSERT INTO pgagent.pga_exception (jexscid, jextime) VALUES (2, '12:00:30')
UPDATE pgagent.pga_jobstep SET jstcode = 'false'
UPDATE pgagent.pga_schedule SET jscminutes[1] = 't', jschours[10] = 't', jsctimezone = 'America/New_York'
UPDATE pgagent.pga_exception SET jexdate = '2040-01-02'
UPDATE pgagent.pga_job SET jobenabled = false
UPDATE pgagent.pga_job SET jobenabled = true, jobname = 'b'
UPDATE pgagent.pga_job SET jobnextrun = '2024-01-01'
""".strip().splitlines()

TRANSITIONS = f"""
SELECT pgagent.pga_agent_register('here', '1 minute')
SELECT pgagent.pga_seconds_until_due('here')
SELECT * FROM pgagent.pga_run_claim({THIS}, 9)
SELECT * FROM pgagent.pga_run_record(ARRAY[1], ARRAY[1], ARRAY['f'], ARRAY[0], ARRAY['x'], ARRAY[1], ARRAY[2], ARRAY[NULL], ARRAY[NULL])
SELECT pgagent.pga_agent_heartbeat({THIS}, '1 minute')
SELECT pgagent.pga_agent_session({THIS}, {THIS})
SELECT * FROM pgagent.pga_run_record(ARRAY[1], ARRAY[2], ARRAY['s'], ARRAY[0], ARRAY['x'], ARRAY[NULL::integer], ARRAY[1], ARRAY['s'], ARRAY[NULL])
UPDATE pgagent.pga_job SET jobnextrun = '2024-01-01'
SELECT * FROM pgagent.pga_run_claim({THIS}, 9)
SELECT pgagent.pga_step_finish(3, 0, 'done')
SELECT pgagent.cancel_run(2)
SELECT pgagent.pga_run_abort(2, 'enough')
UPDATE pgagent.pga_job SET jobmissed = 'all', joboverlap = 'queue', jobnextrun = '2024-01-01', jobkeepruns = 1
SELECT * FROM pgagent.pga_run_claim({THIS}, 9)
SELECT * FROM pgagent.pga_log_prune(0, 9, 9)
SELECT pgagent.pga_agent_sweep()
SELECT pgagent.pga_agent_leave({THIS})
""".strip().splitlines()

CALLS = """
SELECT pgagent.create_job('c')
SELECT pgagent.add_step('c', 'a', 'SELECT 1')
SELECT pgagent.add_schedule('c', '0 9 1-7 * &mon')
SELECT pgagent.add_exception('c', on_date => '2040-01-01')
SELECT pgagent.schedule('d', '90 seconds', 'SELECT 1')
SELECT pgagent.alter_job('d', '@at 2999-12-31 23:59')
SELECT pgagent.run_job('d')
SELECT * FROM pgagent.next_runs('c')
SELECT * FROM pgagent.explain_job('c')
TABLE pgagent.job_status
TABLE pgagent.run_history
TABLE pgagent.running
TABLE pgagent.agents
TABLE pgagent.skipped_runs
SELECT pgagent.alter_job('d', timeout => '1 minute', overlap => 'queue', missed => 'skip')
SELECT pgagent.unschedule('d')
""".strip().splitlines()

RESTORE = """
SET check_function_bodies = off
SET row_security = off
INSERT INTO pgagent.pga_jobclass VALUES (7, 'Data Import'), (2, 'mine')
INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'here')
INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a')
INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid) VALUES (99, 1)
INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid) VALUES (99, 1)
SET check_function_bodies = on
SET row_security = on
DELETE FROM pgagent.pga_exception
DELETE FROM pgagent.pga_schedule
DELETE FROM pgagent.pga_job
""".strip().splitlines()


@pytest.fixture
def attacker(alice, new_database):
    """A session of the owner of a database, who has not planted anything yet."""
    session = new_database("hers", alice)
    session.execute("CREATE SCHEMA pgagent; GRANT USAGE ON SCHEMA pgagent TO PUBLIC")
    return session


@pytest.fixture
def victim(cluster, attacker):
    """A superuser's session in that database."""
    dsn = cluster.conninfo(attacker.info.dbname)
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session


def plant_traps(attacker):
    """Shadow every function of PostgreSQL that the extension calls, and more."""
    sql = "\n".join(path.read_text() for path in ROOT.glob("sql/**/*.sql"))
    called = sorted(set(re.findall(r"\b([a-z_]+)\(", sql)) | {"timezone", "date_part"})
    attacker.execute(HOSTILE)
    for schema in ("pgagent", "public"):
        functions = "SELECT DISTINCT * FROM public.plant_functions(%s, %s)"
        planted = attacker.execute(functions, [schema, called]).fetchall()
        assert {("now",), ("format",), ("array_position",)} < set(planted)
        attacker.execute("SELECT public.plant_operators(%s)", [schema])
        attacker.execute("SELECT public.plant_types(%s)", [schema])


def use(victim):
    victim.execute("SET search_path = pgagent, public, pg_catalog")
    for statement in WRITES + TRANSITIONS + CALLS + RESTORE:
        victim.execute(statement)


def without_the_schema(lines):
    return [line for line in lines if not line.startswith("schema ")]


def test_a_fresh_installation_calls_no_planted_object(attacker, victim, conn):
    plant_traps(attacker)
    victim.execute(INSTALL)
    use(victim)

    victim.execute("SET search_path = pg_catalog")
    ours = without_the_schema(definitions(conn))
    assert without_the_schema(definitions(victim)) == ours


@pytest.mark.needs("pgagent_4_2")
def test_an_upgrade_calls_no_planted_object(attacker, victim, conn):
    install_42(victim)
    plant_traps(attacker)
    victim.execute(UPGRADE)
    use(victim)


def test_the_traps_would_catch_whom_they_should(attacker, victim):
    plant_traps(attacker)
    victim.execute(INSTALL)
    victim.execute("ALTER FUNCTION pgagent.pga_job_trigger() RESET search_path")
    with pytest.raises(psycopg.errors.RaiseException, match="caught by a trap"):
        use(victim)


@pytest.mark.parametrize(
    "planted",
    [
        "FUNCTION pgagent.pga_agent_sweep() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "TABLE pgagent.pga_job (jobid integer)",
        "SEQUENCE pgagent.pga_job_jobid_seq",
        "VIEW pgagent.running AS SELECT 1 AS run_id",
    ],
)
def test_what_is_planted_under_our_names_is_not_taken_over(attacker, victim, planted):
    attacker.execute(f"CREATE {planted}")
    with pytest.raises(psycopg.Error, match=r"already exists|not a member"):
        victim.execute(INSTALL)


@pytest.mark.needs("pgagent_4_2")
def test_an_upgrade_does_not_take_over_a_planted_function(attacker, victim):
    install_42(victim)
    attacker.execute(
        "CREATE FUNCTION pgagent.pga_agent_leave(p_agent_id integer) RETURNS void"
        " LANGUAGE sql AS ''"
    )
    with pytest.raises(psycopg.Error, match="not a member of extension"):
        victim.execute(UPGRADE)
