"""What the editor's role of docs/security.md can do, and what it can't."""

from contextlib import closing

import psycopg
import pytest
from documents import block
from jobs import add_job, job
from transitions import claim_rows, register, start_step

BLOCK = block("docs/security.md", "CREATE ROLE job_editor")

# Every function of the API, and the views, after a job "held" that a runner holds.
DEEDS = [
    "SELECT pgagent.create_job('a', 'what', 'Data Import', 'here', true, '1 h', 'queue', 'all', '1 d', '30 d', 9)",
    "SELECT pgagent.add_step('a', '1', 'SELECT 1', retries => 2, retry_on => '{any}', timeout => '1 min')",
    "SELECT pgagent.add_step('a', '2', 'true', kind => 'batch', on_error => 'ignore')",
    "SELECT pgagent.add_schedule('a', '0 9 1 * mon', end_at => '2999-01-01')",
    "SELECT pgagent.add_schedule('a', '@at 2999-01-01 09:00')",
    "SELECT pgagent.add_exception('a', on_date => '2040-01-01', at_time => '09:00')",
    "SELECT pgagent.alter_job('a', name => 'b', description => 'x', class => 'Data Export', host => '', timezone => 'Europe/Berlin')",
    "SELECT pgagent.alter_job('b', schedule => '@hourly', timeout => '0', overlap => 'skip', missed => 'skip', keep_runs => 0)",
    "SELECT pgagent.schedule('c', '90 seconds', 'SELECT 1')",
    "SELECT pgagent.schedule('c', '@daily', 'SELECT 2', timezone => 'UTC')",
    "SELECT pgagent.schedule('@daily', 'SELECT 2')",
    "SELECT pgagent.schedule_in_database('d', '@daily', 'SELECT 2', 'postgres')",
    "SELECT pgagent.cancel_run(pgagent.run_job('b', from_step => '2'))",
    "SELECT pgagent.run_job('c')",
    "SELECT pgagent.pause_job('c', until => '2999-01-01', reason => 'x'), pgagent.unpause_job('c')",
    "SELECT pgagent.pause_all(reason => 'x'), pgagent.unpause_all()",
    "SELECT pgagent.silence('c', until => '2999-01-01', reason => 'x'), pgagent.unsilence('c')",
    "SELECT pgagent.silence_all(reason => 'x'), pgagent.unsilence_all()",
    "SELECT pgagent.add_alert('mine', 'mail', job => 'c', events => '{failed}'), pgagent.alter_alert('mine', after_failures => 2)",
    "SELECT pgagent.test_alert('mine'), pgagent.drop_alert('mine')",
    "TABLE pgagent.alerts",
    "TABLE pgagent.alert_log",
    "SELECT pgagent.cancel_run(run_id) FROM pgagent.running",
    "SELECT * FROM pgagent.explain_job('c')",
    "SELECT * FROM pgagent.next_runs('c')",
    "SELECT * FROM pgagent.next_runs(schedule => '@daily')",
    "TABLE pgagent.job_status",
    "TABLE pgagent.problems",
    "TABLE pgagent.run_history",
    "TABLE pgagent.skipped_runs",
    "TABLE pgagent.agents",
    "TABLE pgagent.job",
    "TABLE pgagent.job_run_details",
    "SELECT pgagent.revert_job('d', as_of => now())",
    "TABLE pgagent.job_changes",
    "SELECT pgagent.create_job('b', on_conflict => 'replace'), pgagent.rename_job('d', 'e')",
    "SELECT pgagent.copy_job('b', 'f', enabled => true)",
    "SELECT pgagent.alter_step('f', '1', 'SELECT 3', run_as => ''), pgagent.rename_step('f', '1', '3')",
    "SELECT pgagent.drop_step('f', '2')",
    "SELECT pgagent.alter_schedule('f', '@hourly', '@daily'), pgagent.rename_schedule('f', '@hourly', 'x')",
    "SELECT pgagent.add_exception('f', '2040-02-01', on_conflict => 'nothing')",
    "SELECT pgagent.alter_exception('f', '2040-02-01', new_date => '2040-02-02'), pgagent.drop_exception('f', '2040-02-02')",
    "SELECT pgagent.drop_schedule('f', 'x')",
    "SELECT * FROM pgagent.next_runs()",
    "SELECT * FROM pgagent.apply_jobs(pgagent.export_jobs('{b,f}'), prune => false)",
    'SELECT * FROM pgagent.apply_jobs(\'{"format": 1, "set": "s", "jobs": [{"name": "g", "steps": [{"name": "1", "command": "SELECT 1"}], "schedules": [{"schedule": "@daily"}]}]}\')',
    'SELECT * FROM pgagent.apply_jobs(\'{"format": 1, "set": "s"}\', prune => true)',
    "SELECT pgagent.drop_job('b')",
    "SELECT pgagent.unschedule('c')",
]

MISDEEDS = [
    "LOCK TABLE pgagent.pga_jobagent IN SHARE ROW EXCLUSIVE MODE",
    "LOCK TABLE pgagent.pga_jobsession IN SHARE MODE",
    "LOCK TABLE pgagent.pga_joblog IN SHARE MODE",
    "LOCK TABLE pgagent.pga_jobsteplog IN ROW EXCLUSIVE MODE",
    "UPDATE pgagent.pga_job SET jobagentid = NULL",
    "UPDATE pgagent.pga_job SET jobdeaths = 0",
    "UPDATE pgagent.pga_job SET joblastrun = now()",
    "UPDATE pgagent.pga_job SET jobid = 99",
    "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobagentid) SELECT 1, 'x', jagpid FROM pgagent.pga_jobagent",
    "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease) VALUES (1, 'x', 'infinity')",
    "UPDATE pgagent.pga_jobagent SET jaglease = 'infinity'",
    "DELETE FROM pgagent.pga_jobagent",
    "SELECT FROM pgagent.pga_jobagent FOR UPDATE",
    "SELECT FROM pgagent.pga_jobagent FOR KEY SHARE",
    "INSERT INTO pgagent.pga_jobsession VALUES (1, 1, now())",
    "INSERT INTO pgagent.pga_joblog (jlgjobid) SELECT jobid FROM pgagent.pga_job",
    "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart) SELECT jobid, 'infinity' FROM pgagent.pga_job",
    "UPDATE pgagent.pga_joblog SET jlgstatus = 's'",
    "UPDATE pgagent.pga_joblog SET jlgstart = 'infinity'",
    "DELETE FROM pgagent.pga_joblog",
    "UPDATE pgagent.pga_jobsteplog SET jsloutput = ''",
    "DELETE FROM pgagent.pga_jobskip",
    "DELETE FROM pgagent.job_run_details",
    "INSERT INTO pgagent.pga_jobclass (jclname) VALUES ('x')",
    "TRUNCATE pgagent.pga_job CASCADE",
    "TRUNCATE pgagent.pga_exception",
    "SELECT setval('pgagent.pga_joblog_jlgid_seq', 1)",
    "ALTER TABLE pgagent.pga_job DISABLE TRIGGER ALL",
    "CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_job EXECUTE FUNCTION pgagent.pga_job_trigger()",
    "CREATE FUNCTION pgagent.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "SELECT pgagent.create_class('x')",
    "SELECT pgagent.alter_class('Miscellaneous', 1)",
    "SELECT pgagent.drop_class('Data Export')",
    "SELECT pgagent.arm()",
    "SELECT pgagent.isolate()",
    "SELECT pgagent.grant_access('admin', 'job_editor')",
    "SELECT pgagent.revoke_access('editor', 'pg_monitor')",
    "GRANT EXECUTE ON FUNCTION pgagent.pga_level_admin() TO job_editor",
    "DELETE FROM pgagent.pga_arming",
    "SELECT pgagent.pga_agent_register('x', '1 day')",
    "SELECT pgagent.pga_agent_heartbeat(1, '1 day')",
    "SELECT pgagent.pga_run_claim(1, 1)",
    "SELECT pgagent.pga_run_abort(1, 'x')",
]


@pytest.fixture
def editor(conn, dsn):
    conn.execute(BLOCK)
    conn.execute("ALTER ROLE job_editor LOGIN")
    with closing(psycopg.connect(dsn, autocommit=True, user="job_editor")) as session:
        yield session
    conn.execute("DROP OWNED BY job_editor; DROP ROLE job_editor")


@pytest.fixture
def held(conn):
    """Return a job that a runner holds."""
    job_id = add_job(conn, "SELECT 1", name="held")
    register(conn)
    ((run_id, _, _, step_id, *_),) = claim_rows(conn)
    start_step(conn, run_id, step_id)
    return job_id


def test_an_editor_can_use_every_function(conn, editor, held):
    api = "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace AND proname !~ '^pga' AND prorettype <> 'trigger'::regtype"
    # To arm a copy is for its owner and for runners, to delete from the log and classes are
    # for administrators, the others for its owner.
    assert {f for (f,) in conn.execute(api) if f"pgagent.{f}(" not in str(DEEDS)} == {
        "allow_run_as",
        "alter_class",
        "arm",
        "create_class",
        "delete_log",
        "disallow_run_as",
        "drop_class",
        "grant_access",
        "isolate",
        "rename_class",
        "revoke_access",
    }
    for deed in DEEDS:
        editor.execute(deed)
    cancelled = "SELECT count(jlgcancel) FROM pgagent.pga_joblog"
    assert conn.execute(cancelled).fetchone() == (1,)


def test_an_editor_can_neither_pose_as_a_runner_nor_stop_one(conn, editor, held):
    agent = job(conn, held, "jobagentid")
    for misdeed in MISDEEDS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            editor.execute(f"BEGIN; {misdeed}")
        editor.execute("ROLLBACK")
    assert job(conn, held, "jobagentid") == agent


def test_an_editor_can_forge_no_run(conn, editor, held):
    (run_id,) = conn.execute("SELECT jlgid FROM pgagent.pga_joblog").fetchone()
    others = [add_job(conn, "SELECT 1", due=None) for _ in range(2)]
    editor.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = '-infinity', jobrunid = %s"
        " WHERE jobid = ANY (%s)",
        [run_id, others],
    )
    assert len({row[0] for row in claim_rows(conn)} - {run_id}) == 2
    conn.execute("TABLE pgagent.run_history")


def test_a_row_that_is_restored_breaks_no_view_and_an_editor_pretends_none(
    conn, editor
):
    for session in (editor, conn):
        session.execute("SET row_security = off; SET check_function_bodies = off")
    job_id = add_job(conn, "SELECT 1", name="odd", due="'infinity'")
    for values in (
        "'{{t,f}}'::boolean[] || array_fill(false, ARRAY[31, 2]), NULL, 'UTC'",
        "array_fill(false, ARRAY[32]), '2031-01-01', 'Nowhere/At_All'",
        "array_fill(NULL::boolean, ARRAY[32]), NULL, 'Nowhere/At_All'",
    ):
        row = (
            "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscmonthdays, jscat, jsctimezone)"
            f" VALUES ({job_id}, 'odd', {values})"
        )
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            editor.execute(row)
        conn.execute(row)
    for view in (
        "job_status",
        "problems",
        "job",
        "run_history",
        "running",
        "explain_job('odd')",
        "next_runs('odd')",
    ):
        assert conn.execute(f"SELECT * FROM pgagent.{view}") is not None
