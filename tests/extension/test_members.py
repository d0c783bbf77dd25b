"""The query that compares installations sees what may differ."""

from .members import members

DIFFERENCES = """
ALTER TABLE pgagent.pga_job ALTER COLUMN jobdesc DROP DEFAULT
ALTER TABLE pgagent.pga_job ALTER COLUMN jobdesc DROP NOT NULL
ALTER TABLE pgagent.pga_job ALTER COLUMN jobdesc SET STORAGE EXTERNAL
ALTER TABLE pgagent.pga_job ALTER COLUMN jobdesc SET (n_distinct = 7)
ALTER TABLE pgagent.pga_exception ALTER COLUMN jexid TYPE bigint
ALTER TABLE pgagent.pga_job ADD COLUMN jobcolour text
ALTER TABLE pgagent.pga_jobstep DROP COLUMN jscnextrun
ALTER TABLE pgagent.pga_joblog DROP CONSTRAINT pga_joblog_jlgstatus_check
ALTER TABLE pgagent.pga_joblog SET (fillfactor = 70)
ALTER TABLE pgagent.pga_joblog ENABLE ROW LEVEL SECURITY
ALTER TABLE pgagent.pga_joblog OWNER TO pg_monitor
ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger
ALTER TABLE pgagent.pga_job DISABLE TRIGGER ALL
ALTER TABLE pgagent.pga_job CLUSTER ON pga_job_pkey
ALTER TABLE pgagent.pga_job REPLICA IDENTITY FULL
DROP INDEX pgagent.pga_job_due
DROP TRIGGER pga_schedule_check ON pgagent.pga_schedule
ALTER INDEX pgagent.pga_job_due RENAME TO pga_job_next
CREATE POLICY everybody ON pgagent.pga_job
ALTER POLICY pga_see ON pgagent.pga_job USING (true)
COMMENT ON POLICY pga_see ON pgagent.pga_job IS 'else'
CREATE RULE nothing AS ON DELETE TO pgagent.pga_jobclass DO INSTEAD NOTHING
ALTER VIEW pgagent.running RENAME COLUMN station TO host
ALTER VIEW pgagent.running SET (security_barrier)
CREATE STATISTICS pgagent.two ON jobname, jobdesc FROM pgagent.pga_job
ALTER SEQUENCE pgagent.pga_job_jobid_seq CYCLE
ALTER SEQUENCE pgagent.pga_job_jobid_seq OWNED BY NONE
ALTER SEQUENCE pgagent.pga_joblog_jlgid_seq AS integer
COMMENT ON SCHEMA pgagent IS NULL
COMMENT ON TABLE pgagent.pga_job IS NULL
COMMENT ON COLUMN pgagent.pga_job.jobid IS 'else'
COMMENT ON INDEX pgagent.pga_job_due IS NULL
COMMENT ON TRIGGER pga_job_trigger ON pgagent.pga_job IS NULL
COMMENT ON CONSTRAINT pga_job_pkey ON pgagent.pga_job IS 'else'
COMMENT ON FUNCTION pgagent.pga_agent_shorten() IS NULL
COMMENT ON SEQUENCE pgagent.pga_job_jobid_seq IS 'else'
COMMENT ON DOMAIN pgagent.pga_text IS NULL
ALTER DOMAIN pgagent.pga_text SET NOT NULL
COMMENT ON EXTENSION pgagent IS NULL
GRANT USAGE ON SCHEMA pgagent TO PUBLIC
GRANT SELECT ON pgagent.pga_job TO PUBLIC
GRANT SELECT (jobid) ON pgagent.pga_job TO PUBLIC
GRANT EXECUTE ON FUNCTION pgagent.pga_agent_shorten() TO PUBLIC
REVOKE EXECUTE ON FUNCTION pgagent.pga_job_next_run(integer, timestamptz) FROM PUBLIC
ALTER FUNCTION pgagent.pga_agent_shorten() RESET search_path
ALTER FUNCTION pgagent.pga_agent_shorten() SECURITY DEFINER
ALTER FUNCTION pgagent.pga_agent_shorten() STABLE
ALTER FUNCTION pgagent.pga_agent_shorten() OWNER TO pg_monitor
ALTER EXTENSION pgagent DROP FUNCTION pgagent.pga_agent_shorten()
UPDATE pg_proc SET prosrc = prosrc || ' ' WHERE proname = 'pga_agent_shorten'
UPDATE pg_extension SET extcondition[1] = 'WHERE false' WHERE extname = 'pgagent'
UPDATE pg_extension SET extconfig = extconfig[2:], extcondition = extcondition[2:] WHERE extname = 'pgagent'
UPDATE pgagent.pga_jobclass SET jclname = 'else' WHERE jclid = 5
DELETE FROM pg_init_privs WHERE objoid = 'pgagent.pga_agent_shorten()'::regprocedure
""".strip().splitlines()


OF_THE_SERVER = """
UPDATE pg_attribute SET attoptions = array_append(attoptions, 'pg_attver=7')
 WHERE attrelid = 'pgagent.pga_job'::regclass
"""
"""What servers of a distribution add on their own."""


def sees(conn, change, before):
    """Make a change, and undo it; return whether the members differed."""
    with conn.transaction(force_rollback=True):
        conn.execute(change)
        return members(conn) != before


def test_every_difference_shows_in_the_members(conn):
    before = members(conn)
    assert [change for change in DIFFERENCES if not sees(conn, change, before)] == []
    assert members(conn) == before


def test_what_a_server_adds_on_its_own_is_no_difference(conn):
    assert not sees(conn, OF_THE_SERVER, members(conn))
