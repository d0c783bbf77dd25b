-- unpackaged--4.2.sql: make what pgAgent's plain script has created members of the extension.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The owner of a table can have his own code called whenever it is written to.
DO $$
DECLARE
    v_found text;
BEGIN
    SELECT string_agg(format('%s of %s', c.oid::regclass, c.relowner::regrole), ', ' ORDER BY c.relname)
    INTO v_found
    FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relname LIKE 'pga_%' AND c.relkind IN ('r', 'S', 'v', 'p', 'm', 'f')
          AND NOT r.rolsuper AND r.rolname <> current_user;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: other roles own tables in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'They could have their own code called by whoever writes to them.',
                  HINT = 'Let their owner adopt them: SET ROLE.';
    END IF;
END;
$$;

ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobagent;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobclass;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_job;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobstep;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_schedule;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_exception;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_joblog;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobsteplog;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobclass_jclid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_job_jobid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobstep_jstid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_schedule_jscid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_exception_jexid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_joblog_jlgid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobsteplog_jslid_seq;
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pgagent_schema_version();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_next_schedule(integer, timestamptz, timestamptz, boolean[], boolean[], boolean[], boolean[], boolean[]);
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_is_leap_year(smallint);
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_job_trigger();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_schedule_trigger();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_exception_trigger();

