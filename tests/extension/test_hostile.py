"""In a database whose owner is an attacker, none of his objects is ever called.

He may create what he likes in public, and in pgagent if somebody lets him; sooner or
later a superuser installs the extension, writes to its tables or runs its agent.
"""

import re
from contextlib import closing

import psycopg
import pytest
from exact import HOSTILE, Calls, overloads
from support import ROOT

from .contents import install_42, install_42_without_extension
from .members import definitions

INSTALL = "CREATE EXTENSION pgagent"
PRETEND = "SET check_function_bodies = off; SET row_security = off"
UPGRADE = "ALTER EXTENSION pgagent UPDATE"

# By which alice would become a superuser, called by one.
RISE = """
CREATE FUNCTION public.risen() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 'alice' THEN ALTER ROLE alice SUPERUSER; END IF;
    RETURN true;
END $$;
CREATE FUNCTION public.rise() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM public.risen(); RETURN NEW; END'
"""

# The statements themselves name no function or operator that could be a trap, and give
# every argument: what others write is theirs to guard.
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
SELECT pgagent.pga_agent_register(p_station => 'here', p_lease => '1 minute')
SELECT pgagent.pga_look_again(p_station => 'here', p_without => NULL, p_is_choosy => NULL)
SELECT * FROM pgagent.pga_run_due(p_agent_id => {THIS}, p_limit => 9, p_only => NULL, p_without => NULL)
SELECT pgagent.pga_job_set_aside(p_job_id => 1, p_reason => 'x')
SELECT pgagent.pga_sequences_forward()
SELECT * FROM pgagent.pga_job_review(p_unknown => '{{1}}')
DELETE FROM pgagent.pga_jobaside
SELECT * FROM pgagent.pga_run_claim(p_agent_id => {THIS}, p_limit => 9, p_longest => 60)
SELECT * FROM pgagent.pga_run_record(p_agent_id => {THIS}, p_entries => '[{{"run_id": 1, "step_log_id": 1, "step_status": "f", "result": 0, "output": "x", "cpu": 0.5, "memory": 9, "next_step_id": 1, "attempt": 2}}]')
SELECT pgagent.pga_seconds_until_due(p_station => 'here')
SELECT * FROM pgagent.pga_run_claim(p_agent_id => {THIS}, p_limit => 0)
SELECT pgagent.pga_agent_heartbeat(p_agent_id => {THIS}, p_lease => '1 minute')
SELECT * FROM pgagent.pga_agent_heartbeat(p_agent_id => {THIS}, p_lease => '1 minute', p_run_ids => '{{1,2}}')
SELECT pgagent.pga_agent_count()
SELECT pgagent.pga_agent_session(p_agent_id => {THIS}, p_pid => {THIS})
SELECT * FROM pgagent.pga_run_record(p_run_ids => '{{1}}', p_step_log_ids => '{{2}}', p_step_statuses => '{{s}}', p_results => '{{0}}', p_outputs => '{{x}}', p_next_step_ids => '{{NULL}}', p_attempts => '{{1}}', p_run_statuses => '{{s}}', p_messages => '{{NULL}}')
UPDATE pgagent.pga_job SET jobnextrun = '2024-01-01'
SELECT * FROM pgagent.pga_run_claim(p_agent_id => {THIS}, p_limit => 9, p_longest => 60)
SELECT pgagent.pga_step_finish(p_step_log_id => 3, p_result => 0, p_output => 'done')
SELECT pgagent.cancel_run(run_id => 2)
SELECT pgagent.pga_run_abort(p_run_id => 2, p_reason => 'enough')
UPDATE pgagent.pga_jobclass SET jcllimit = 1
INSERT INTO pgagent.pga_jobpause (jpsjobid, jpsreason) VALUES (1, 'x')
SELECT * FROM pgagent.pga_run_claim(p_agent_id => {THIS}, p_limit => 9, p_longest => 60)
UPDATE pgagent.pga_jobpause SET jpsuntil = '2024-01-01'
UPDATE pgagent.pga_job SET jobmissed = 'all', joboverlap = 'queue', jobnextrun = '2024-01-01', jobkeepruns = 1
SELECT * FROM pgagent.pga_run_claim(p_agent_id => {THIS}, p_limit => 9, p_longest => 60)
SELECT * FROM pgagent.pga_log_prune(p_after => 0, p_jobs => 9, p_runs => 9)
UPDATE pgagent.pga_job SET jobagentid = NULL
SELECT * FROM pgagent.pga_agent_sweep(p_agent_id => {THIS}, p_run_ids => '{{1}}', p_job_ids => '{{1}}', p_judges => true)
DELETE FROM pgagent.pga_jobagent
SELECT pgagent.pga_agent_leave(p_agent_id => {THIS}, p_reason => 'enough')
SELECT pgagent.pga_agent_leave(p_agent_id => {THIS})
UPDATE pgagent.pga_arming SET armdatabaseid = 1, armstation = 'here'
SELECT pgagent.pga_agent_register(p_station => 'here', p_lease => '1 minute')
SELECT pgagent.pga_agent_leave(p_agent_id => {THIS})
""".strip().splitlines()

CALLS = """
SELECT pgagent.create_job(name => 'c')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'SELECT 1')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '0 9 1-7,L * &mon')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '0 9 1 * mon')
SELECT pgagent.add_exception(job_name => 'c', on_date => '2040-01-01')
SELECT pgagent.create_class(name => 'k', "limit" => 2)
SELECT pgagent.create_class(name => 'k', "limit" => 3, on_conflict => 'replace')
SELECT pgagent.alter_class(class => 'k', "limit" => 0, name => 'l')
SELECT pgagent.rename_class(class => 'l', new_name => 'k')
SELECT pgagent.create_job(name => 'c', class => 'k', keep_for => '9 days', on_conflict => 'replace')
SELECT pgagent.create_job(name => 'c2', on_conflict => 'nothing')
SELECT pgagent.rename_job(job_name => 'c2', new_name => 'c3')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'SELECT 2', on_conflict => 'replace')
SELECT pgagent.add_step(job_name => 'c', name => 'b', command => 'SELECT 2', on_conflict => 'nothing')
SELECT pgagent.alter_step(job_name => 'c', step_name => 'b', kind => 'batch', retries => 2, retry_on => array['any'])
SELECT pgagent.rename_step(job_name => 'c', step_name => 'b', new_name => 'z')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '0 9 1 * mon', on_conflict => 'nothing')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '@every 90 seconds', name => '0 9 1 * mon', on_conflict => 'replace')
SELECT pgagent.alter_schedule(job_name => 'c', schedule_name => '0 9 1 * mon', schedule => '0 8 1 * mon', end_at => '2999-01-01')
SELECT pgagent.rename_schedule(job_name => 'c', schedule_name => '0 9 1 * mon', new_name => 'either')
SELECT pgagent.add_exception(job_name => 'c', on_date => '2040-01-02', at_time => '09:00', on_conflict => 'nothing')
SELECT pgagent.alter_exception(job_name => 'c', on_date => '2040-01-02', at_time => '09:00', new_date => '2040-01-03')
SELECT pgagent.copy_job(job_name => 'c', new_name => 'c4')
SELECT pgagent.drop_exception(job_name => 'c', on_date => '2040-01-03', at_time => '09:00')
SELECT pgagent.drop_step(job_name => 'c4', step_name => 'z', if_exists => true)
SELECT pgagent.drop_step(job_name => 'c4', step_name => 'z', if_exists => true)
SELECT pgagent.drop_schedule(job_name => 'c4', schedule_name => 'either', if_exists => true)
SELECT pgagent.drop_job(job_name => 'c4', if_exists => true)
SELECT pgagent.drop_job(job_name => 'c3', if_exists => false)
SELECT pgagent.schedule(job_name => 'd', schedule => '90 seconds', command => 'SELECT 1')
SELECT pgagent.schedule(job_name => 'd', schedule => '@daily', command => 'SELECT 2')
SELECT pgagent.schedule(schedule => '@reboot', command => 'SELECT 1')
SELECT pgagent.schedule_in_database(job_name => 'e', schedule => '@hourly', command => 'SELECT 1', database => 'postgres')
SELECT pgagent.alter_job(job_name => 'd', schedule => '@at 2999-12-31 23:59')
SELECT pgagent.run_job(job_name => 'd')
SELECT * FROM pgagent.next_runs(job => 'c')
SELECT * FROM pgagent.next_runs(max_rows => 3)
SELECT * FROM pgagent.next_runs(schedule => '30 2 * * *', timezone => 'Europe/Berlin', after => '2031-03-29')
SELECT * FROM pgagent.explain_job(job_name => 'c')
TABLE pgagent.job_status
TABLE pgagent.problems
TABLE pgagent.run_history
TABLE pgagent.running
TABLE pgagent.agents
TABLE pgagent.skipped_runs
TABLE pgagent.job
TABLE pgagent.job_run_details
UPDATE pgagent.pga_arming SET armdatabaseid = 1, armport = 1
INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'there')
SELECT * FROM pgagent.explain_job(job_name => 'c')
TABLE pgagent.job_status
TABLE pgagent.problems
SELECT pgagent.arm()
SELECT pgagent.alter_job(job_name => 'd', timeout => '1 minute', overlap => 'queue', missed => 'skip')
UPDATE pgagent.pga_jobclass SET jcllimit = 1
SELECT pgagent.pause_job(job_name => 'c', until => '2999-12-31', reason => 'x')
SELECT pgagent.pause_all(until => '2999-12-31', reason => 'x')
SELECT pgagent.silence(job_name => 'c', until => '2999-12-31', reason => 'x')
SELECT pgagent.silence_all(until => '2999-12-31', reason => 'x')
SELECT pgagent.unsilence(job_name => 'c')
SELECT pgagent.unsilence_all()
SELECT pgagent.unsilence_all()
SELECT pgagent.add_alert(name => 'x', channel => 'notify', job => 'c', events => array['failed', 'late'], repeat_every => '1 h')
SELECT pgagent.add_alert(name => 'y', channel => 'job:c', on_conflict => 'replace')
SELECT pgagent.alter_alert(alert => 'x', class => '', name => 'z')
SELECT pgagent.test_alert(alert => 'z')
SELECT * FROM pgagent.pga_alert_watch()
SELECT * FROM pgagent.pga_alert_claim(p_channels => array['mail'])
SELECT pgagent.pga_alert_sent(p_message => NULL, p_attempt => 1, p_error => 'x')
TABLE pgagent.alerts
TABLE pgagent.alert_log
SELECT pgagent.drop_alert(alert => 'z', if_exists => true)
SELECT pgagent.run_job(job_name => 'c')
SELECT * FROM pgagent.explain_job(job_name => 'c')
TABLE pgagent.classes
SELECT pgagent.unpause_job(job_name => 'c')
SELECT pgagent.unpause_all()
SELECT pgagent.unpause_all()
SELECT pgagent.unschedule(job_name => 'd')
""".strip().splitlines()

# Each ends in words of ours, and not in a trap.
REFUSED = """
SELECT pgagent.create_job(name => '')
SELECT pgagent.create_job(name => 'z', overlap => 'never')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'x', kind => 'c')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'x', timeout => '-1 s')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'x', retry_on => '{never}')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '61 * * * *')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '@every x')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '@at 2031-02-30 09:00')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '@never')
SELECT pgagent.add_schedule(job_name => 'c', schedule => '@daily', timezone => 'Nowhere/X1')
SELECT pgagent.next_runs(job => 'c', max_rows => 0)
SELECT pgagent.create_job(name => 'c')
SELECT pgagent.add_step(job_name => 'c', name => 'a', command => 'x')
SELECT pgagent.alter_step(job_name => 'c', step_name => 'none')
SELECT pgagent.alter_schedule(job_name => 'c', schedule_name => 'none')
SELECT pgagent.add_exception(job_name => 'c', on_date => '2040-01-01')
SELECT pgagent.drop_exception(job_name => 'c', on_date => '2040-01-09')
SELECT pgagent.drop_class(class => 'k')
SELECT pgagent.pause_job(job_name => 'c', until => '2024-01-01')
SELECT pgagent.silence(job_name => 'c', until => '2024-01-01')
SELECT pgagent.add_alert(name => 'y', channel => 'no channel')
SELECT pgagent.add_alert(name => 'y', channel => 'mail', events => array['never'])
SELECT pgagent.add_alert(name => 'y', channel => 'mail')
SELECT pgagent.drop_alert(alert => 'none')
INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jschours) SELECT jobid, 'x', '{t}' FROM pgagent.pga_job
INSERT INTO pgagent.pga_exception (jexscid) SELECT jscid FROM pgagent.pga_schedule
UPDATE pgagent.pga_jobstep SET jstmode = 'never'
UPDATE pgagent.pga_jobstep SET jstkind = 'x'
""".strip().splitlines()

RESTORE = """
SET check_function_bodies = off
SET row_security = off
INSERT INTO pgagent.pga_jobclass VALUES (7, 'Data Import'), (2, 'mine')
INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (1, 'here')
INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a')
INSERT INTO pgagent.pga_arming (armdatabaseid, armtableid, armdatabase, armport) VALUES (1, 1, 'a', 1)
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
    return new_database("hers", alice)


@pytest.fixture
def victim(cluster, attacker):
    """A superuser's session in that database."""
    dsn = cluster.conninfo(attacker.info.dbname)
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session


def plant_traps(session, schema):
    """Shadow every function of PostgreSQL that the extension calls, and more."""
    text = "\n".join(path.read_text() for path in ROOT.glob("sql/**/*.sql"))
    called = sorted(set(re.findall(r"\b([a-z_]+)\(", text)) | {"timezone", "date_part"})
    names = "SELECT DISTINCT * FROM public.plant_functions(%s, %s)"
    planted = session.execute(names, [schema, called]).fetchall()
    assert {("now",), ("format",), ("array_position",)} < set(planted)
    session.execute("SELECT public.plant_operators(%s)", [schema])
    session.execute("SELECT public.plant_types(%s)", [schema])


def use(victim, exact):
    victim.execute("SET search_path = pgagent, public, pg_catalog")
    for statement in WRITES + TRANSITIONS + CALLS:
        victim.execute(exact(statement) if " => " in statement else statement)
    for statement in REFUSED:
        with pytest.raises(psycopg.Error, match="pgagent: "):
            victim.execute(exact(statement) if " => " in statement else statement)
    for statement in RESTORE:
        victim.execute(statement)


def without_the_schema(lines):
    return [line for line in lines if not line.startswith("schema ")]


def test_a_fresh_installation_calls_no_planted_object(attacker, victim, conn):
    attacker.execute(HOSTILE)
    plant_traps(attacker, "public")
    victim.execute(INSTALL)

    use(victim, Calls(conn))

    victim.execute("SET search_path = pg_catalog")
    ours = without_the_schema(definitions(conn))
    assert without_the_schema(definitions(victim)) == ours


def test_nothing_that_is_planted_in_the_schema_is_called(attacker, victim, conn):
    exact, planted = Calls(conn), overloads(conn)
    victim.execute(INSTALL)
    attacker.execute(HOSTILE)
    victim.execute("GRANT USAGE, CREATE ON SCHEMA pgagent TO alice")
    plant_traps(attacker, "pgagent")
    count = attacker.execute("SELECT public.plant_overloads(%s)", [planted])
    assert count.fetchone()[0] > 900

    use(victim, exact)

    # And yet they would have caught what is not exact.
    with pytest.raises(psycopg.errors.RaiseException, match="caught by a trap"):
        victim.execute("SELECT pgagent.pga_job_name(1)")
    with pytest.raises(psycopg.errors.AmbiguousFunction):
        victim.execute("SELECT pgagent.create_job('x'::pg_catalog.text)")


@pytest.mark.needs("pgagent_4_2")
def test_an_upgrade_calls_nothing_that_is_planted(attacker, victim, conn):
    exact, planted = Calls(conn), overloads(conn)
    install_42(victim)
    attacker.execute(HOSTILE)
    plant_traps(attacker, "public")
    plant_traps(victim, "pgagent")  # an owner's own functions are left alone
    victim.execute("SELECT public.plant_overloads(%s)", [planted])

    victim.execute(UPGRADE)

    use(victim, exact)


def test_the_traps_would_catch_whom_they_should(attacker, victim, conn):
    attacker.execute(HOSTILE)
    plant_traps(attacker, "public")
    victim.execute(INSTALL)
    victim.execute("ALTER FUNCTION pgagent.pga_job_trigger() RESET search_path")
    with pytest.raises(psycopg.errors.RaiseException, match="caught by a trap"):
        use(victim, Calls(conn))


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE FUNCTION pgagent.pga_run_claim(smallint, smallint) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE PROCEDURE pgagent.p() LANGUAGE sql AS ''",
        "CREATE AGGREGATE pgagent.a(integer) (SFUNC = int4pl, STYPE = integer)",
        "CREATE OPERATOR pgagent.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl)",
        "CREATE OPERATOR FAMILY pgagent.f USING btree",
        "CREATE OPERATOR CLASS pgagent.c FOR TYPE int4 USING btree AS OPERATOR 1 <, FUNCTION 1 btint4cmp",
        "CREATE TABLE pgagent.pga_job (jobid integer)",
        "CREATE SEQUENCE pgagent.pga_job_jobid_seq",
        "CREATE VIEW pgagent.running AS SELECT 1 AS run_id",
        "CREATE MATERIALIZED VIEW pgagent.m AS SELECT 1 AS one",
        "CREATE TYPE pgagent.shell",
        "CREATE TYPE pgagent.e AS ENUM ('a')",
        "CREATE TYPE pgagent.r AS (a integer)",
        "CREATE DOMAIN pgagent.text AS text",
        "CREATE CONVERSION pgagent.c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        'CREATE COLLATION pgagent.c FROM "C"',
        "CREATE TEXT SEARCH DICTIONARY pgagent.d (TEMPLATE = simple)",
        "CREATE TEXT SEARCH CONFIGURATION pgagent.c (COPY = simple)",
        "CREATE TEXT SEARCH PARSER pgagent.p (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
        "CREATE TABLE public.t (a integer, b integer); CREATE STATISTICS pgagent.s ON a, b FROM public.t",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA pgagent GRANT ALL ON TABLES TO PUBLIC",
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION public.f() SET SCHEMA pgagent",
    ],
)
@pytest.mark.parametrize("restoring", [False, True], ids=["", "restoring"])
def test_a_schema_that_is_not_empty_is_refused(new_database, planted, restoring):
    session = new_database("theirs")
    session.execute("CREATE SCHEMA pgagent")
    session.execute(planted)
    if restoring:
        session.execute(PRETEND)
    with pytest.raises(psycopg.Error, match='"pgagent" is not empty') as e:
        session.execute(INSTALL)
    assert "It holds " in str(e.value)
    assert "OWNER" not in str(e.value)


@pytest.mark.parametrize(
    ("prepare", "problem", "named"),
    [
        ("CREATE SCHEMA pgagent AUTHORIZATION alice", "belongs to another", "alice"),
        (
            "CREATE SCHEMA pgagent; GRANT CREATE ON SCHEMA pgagent TO alice",
            "others may create",
            "alice",
        ),
        (
            "CREATE SCHEMA pgagent; GRANT ALL ON SCHEMA pgagent TO PUBLIC",
            "others may create",
            "PUBLIC",
        ),
    ],
)
def test_a_schema_that_is_a_strangers_is_refused(
    alice, attacker, victim, prepare, problem, named
):
    victim.execute(prepare)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=problem) as e:
        victim.execute(INSTALL)
    assert named in str(e.value)
    assert "OWNER TO" not in str(e.value)
    victim.execute("DROP SCHEMA pgagent; CREATE EXTENSION pgagent")


def test_the_owner_of_a_database_gets_no_schema_of_somebody_else(attacker, victim):
    victim.execute("CREATE ROLE bob; CREATE SCHEMA pgagent AUTHORIZATION bob")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attacker.execute(INSTALL)
    finally:
        victim.execute("DROP SCHEMA pgagent; DROP ROLE bob")


def test_an_empty_schema_of_ones_own_is_taken(attacker):
    attacker.execute("CREATE SCHEMA pgagent; GRANT USAGE ON SCHEMA pgagent TO PUBLIC")
    attacker.execute(INSTALL)


def test_a_dumped_schema_is_taken_in_a_restore_only(attacker, victim):
    victim.execute("CREATE SCHEMA pgagent AUTHORIZATION alice")
    for prescribed in (
        "ALTER DATABASE hers SET row_security = off",
        "ALTER DATABASE hers SET check_function_bodies = off",
        "ALTER ROLE postgres IN DATABASE hers SET row_security = off",
    ):
        victim.execute(prescribed)
    with psycopg.connect(victim.info.dsn, autocommit=True) as misled:
        assert misled.execute("SHOW row_security").fetchone() == ("off",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            misled.execute(INSTALL)
        misled.execute(PRETEND)
        misled.execute(INSTALL)


@pytest.mark.needs("pgagent_4_2")
def test_an_upgrade_refuses_functions_of_strangers(attacker, victim):
    install_42(victim)
    victim.execute("GRANT USAGE, CREATE ON SCHEMA pgagent TO alice")
    attacker.execute("CREATE FUNCTION pgagent.hers() RETURNS void LANGUAGE sql AS ''")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"hers.*alice"):
        victim.execute(UPGRADE)
    victim.execute("ALTER FUNCTION pgagent.hers() OWNER TO postgres")
    victim.execute(UPGRADE)


@pytest.mark.needs("pgagent_4_2")
@pytest.mark.parametrize("by_hand", [False, True], ids=["update", "adoption"])
@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION public.rise()",
        "CREATE RULE r AS ON UPDATE TO pgagent.pga_job DO ALSO SELECT public.risen()",
        "ALTER TABLE pgagent.pga_job ADD CHECK (jobname = '' OR public.risen())",
        "ALTER TABLE pgagent.pga_jobagent ALTER COLUMN jagstation SET DEFAULT public.risen()",
    ],
    ids=["trigger", "rule", "check", "nothing called"],
)
def test_an_update_calls_nothing_of_the_owner_with_more_rights(
    attacker, victim, planted, by_hand
):
    (install_42_without_extension if by_hand else install_42)(attacker)
    attacker.execute(RISE)
    attacker.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'a');"
        "UPDATE pgagent.pga_job SET jobenabled = false, jobnextrun = '2024-01-01'"
    )
    attacker.execute(planted)
    if by_hand:
        victim.execute(f"{INSTALL} VERSION 'unpackaged'")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="other roles") as e:
        victim.execute(UPGRADE)

    said = str(e.value)
    assert re.search(r"pga_exception of alice, .* and 1\d more\n", said)
    assert said.count(" of alice") == 5
    assert "with the rights of postgres." in said
    assert "a session of the owner's own" in said
    risen = "SELECT rolsuper FROM pg_roles WHERE rolname = 'alice'"
    assert victim.execute(risen).fetchone() == (False,)


@pytest.mark.needs("pgagent_4_2")
def test_an_update_refuses_what_a_stranger_has_hung_on_a_table(attacker, victim):
    install_42(victim)
    victim.execute(
        "GRANT USAGE ON SCHEMA pgagent TO alice;"
        "GRANT TRIGGER ON pgagent.pga_job TO alice"
    )
    attacker.execute(RISE)
    attacker.execute(
        "CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_job"
        " FOR EACH ROW EXECUTE FUNCTION public.rise()"
    )
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match=r"rise\(\) of alice"
    ):
        victim.execute(UPGRADE)


@pytest.mark.needs("pgagent_4_2")
def test_five_of_many_functions_of_strangers_are_named(attacker, victim):
    install_42(victim)
    victim.execute("GRANT USAGE, CREATE ON SCHEMA pgagent TO alice")
    for number in range(1000):
        attacker.execute(
            f"CREATE FUNCTION pgagent.f{number}() RETURNS void LANGUAGE sql AS ''"
        )
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as e:
        victim.execute(UPGRADE)
    assert "f4() of alice and 995 more\n" in str(e.value)


@pytest.mark.needs("pgagent_4_2")
def test_a_function_of_the_extension_that_is_a_strangers_is_not_replaced(
    alice, attacker, victim
):
    install_42(victim)
    victim.execute("GRANT USAGE, CREATE ON SCHEMA pgagent TO alice")
    victim.execute("ALTER FUNCTION pgagent.pga_job_trigger() OWNER TO alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="pga_job_trigger"):
        victim.execute(UPGRADE)


def test_tables_of_strangers_are_not_adopted(attacker, victim):
    attacker.execute("CREATE SCHEMA pgagent; CREATE TABLE pgagent.pga_job (a integer)")
    victim.execute(f"{INSTALL} VERSION 'unpackaged'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="pga_job of alice"):
        victim.execute(UPGRADE)


@pytest.mark.needs("pgagent_4_2")
def test_an_upgrade_does_not_take_over_a_planted_function(victim):
    install_42(victim)
    victim.execute(
        "CREATE FUNCTION pgagent.pga_agent_leave(p_agent_id integer) RETURNS void"
        " LANGUAGE sql AS ''"
    )
    with pytest.raises(psycopg.Error, match=r"pga_agent_leave\(integer\) is yours"):
        victim.execute(UPGRADE)
