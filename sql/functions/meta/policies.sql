-- policies.sql: which rows are whose, once isolate() has been called: see isolation.sql.
-- Each install and each update makes them anew.

DROP TRIGGER IF EXISTS pga_isolation_check ON pgagent.pga_isolation;
CREATE TRIGGER pga_isolation_check BEFORE INSERT ON pgagent.pga_isolation
    FOR EACH ROW WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_isolation_trigger();
COMMENT ON TRIGGER pga_isolation_check ON pgagent.pga_isolation IS 'A dump may bring the row that is there.';

DROP TRIGGER IF EXISTS pga_isolation_trigger ON pgagent.pga_isolation;
CREATE TRIGGER pga_isolation_trigger AFTER INSERT ON pgagent.pga_isolation
    FOR EACH STATEMENT WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_isolation_trigger();
COMMENT ON TRIGGER pga_isolation_trigger ON pgagent.pga_isolation IS 'Isolates what was isolated where it was dumped.';

-- Runners write hardly any of these columns.
DROP TRIGGER IF EXISTS pga_isolated ON pgagent.pga_job;
CREATE TRIGGER pga_isolated BEFORE DELETE OR UPDATE OF jobid, jobname, jobenabled ON pgagent.pga_job
    FOR EACH ROW WHEN (row_security_active('pgagent.pga_job'::regclass)) EXECUTE FUNCTION pgagent.pga_job_isolated();
COMMENT ON TRIGGER pga_isolated ON pgagent.pga_job IS 'Has writes through a view be subject to what policies say.';

DROP TRIGGER IF EXISTS pga_isolated ON pgagent.pga_joblog;
CREATE TRIGGER pga_isolated BEFORE DELETE OR UPDATE OF jlgid, jlgagentid, jlgstart ON pgagent.pga_joblog
    FOR EACH ROW WHEN (row_security_active('pgagent.pga_job'::regclass)) EXECUTE FUNCTION pgagent.pga_joblog_isolated();
COMMENT ON TRIGGER pga_isolated ON pgagent.pga_joblog IS 'Has writes through a view be subject to what policies say.';

ALTER TABLE pgagent.pga_job ALTER COLUMN jobowner SET DEFAULT pgagent.pga_default_owner();

-- Subqueries without a reference to the row are evaluated once in a statement. That is why
-- the rights are asked so, and why policies do not call pga_may_edit().
DO $$
DECLARE
    v_login CONSTANT text := '(SELECT has_function_privilege(''pgagent.pga_may_use_runner_login()''::regprocedure, ''EXECUTE''::text))';
    v_edit CONSTANT text := '(SELECT has_function_privilege(''pgagent.pga_may_edit_all()''::regprocedure, ''EXECUTE''::text))';
    v_see CONSTANT text := '(SELECT has_function_privilege(''pgagent.pga_may_see_all()''::regprocedure, ''EXECUTE''::text))';
    v_reads CONSTANT text := '(SELECT has_column_privilege(''pgagent.pga_jobstep''::regclass, ''jstconnstr''::text, ''SELECT''::text))';
    v_owned CONSTANT text := 'CASE WHEN %1$s IS NULL THEN ' || v_login || ' ELSE ' || v_edit
        || ' OR pg_get_userbyid(%2$s) = %1$s AND pg_has_role(%2$s, ''USAGE''::text) END';
    v_job CONSTANT text := format(v_owned, 'j.jobowner', 'j.jobownerid');
    v_all CONSTANT text := v_login || ' AND ' || v_edit;
    v_table record;
    v_sees text;
    v_writes text;
    v_refuses text;
    v_check text;
BEGIN
    FOR v_table IN
        SELECT t.name, t.job, t.part FROM (VALUES
            ('pga_job', NULL, NULL),
            ('pga_jobstep', 'jstjobid', NULL),
            ('pga_schedule', 'jscjobid', NULL),
            ('pga_exception', 'p.jscjobid', 'pgagent.pga_schedule AS p WHERE p.jscid = jexscid'),
            ('pga_joblog', 'jlgjobid', NULL),
            ('pga_jobsteplog', 'p.jlgjobid', 'pgagent.pga_joblog AS p WHERE p.jlgid = jsljlgid'),
            ('pga_jobskip', 'jskjobid', NULL),
            ('pga_jobaside', 'jsajobid', NULL),
            ('pga_jobrequest', 'jrqjobid', NULL),
            ('pga_jobpause', 'jpsjobid', NULL),
            ('pga_alert', 'altjobid', NULL),
            ('pga_alertstate', 'alsjobid', NULL),
            ('pga_alertevent', 'alejobid', NULL),
            ('pga_jobsilence', 'jsijobid', NULL),
            ('pga_jobchange', NULL, NULL)
        ) AS t (name, job, part)
    LOOP
        IF v_table.name = 'pga_job' THEN
            v_writes := format(v_owned, 'jobowner', 'jobownerid');
            v_sees := v_see || ' OR ' || v_writes;
            v_refuses := 'NULL::text, jobowner';
        ELSIF v_table.name = 'pga_jobchange' THEN
            -- It outlives its job, and is of those whose job it was.
            v_writes := format(v_owned, 'jchowner', 'jchownerid');
            v_sees := v_see || ' OR ' || v_writes;
            v_refuses := 'NULL::text, jchowner';
        ELSE
            -- Within a policy tables have their own: to find a job, or a part of it, is to see it.
            v_sees := format('%s OR EXISTS (SELECT FROM %s)', v_see,
                COALESCE(v_table.part, format('pgagent.pga_job AS j WHERE j.jobid = %s', v_table.job)));
            v_writes := format('%s OR EXISTS (SELECT FROM pgagent.pga_job AS j%s AND j.jobid = %s AND %s)', v_all,
                COALESCE(', ' || v_table.part, ' WHERE true'), v_table.job, v_job);
            v_refuses := CASE v_table.name
                WHEN 'pga_jobpause' THEN 'COALESCE(''job '' || jpsjobid, ''the pause of all jobs''), NULL::name'
                WHEN 'pga_jobsilence' THEN 'COALESCE(''job '' || jsijobid, ''the silence of all jobs''), NULL::name'
                WHEN 'pga_alert' THEN 'COALESCE(''job '' || altjobid, ''an alert of all jobs''), NULL::name'
                WHEN 'pga_exception' THEN 'format(''the job of schedule %s''::text, jexscid), NULL::name'
                WHEN 'pga_jobsteplog' THEN 'format(''the job of run %s''::text, jsljlgid), NULL::name'
                ELSE format('format(''job %%s''::text, %s), NULL::name', v_table.job) END;
            IF v_table.name = 'pga_jobstep' THEN
                -- A connection string is for those who could change it. Whoever sees all jobs and
                -- may read that column, for the sake of his own, finds such steps in the view only.
                v_sees := format('%s AND (jstconnstr = '''' OR NOT %s) OR %s', v_see, v_reads, v_writes);
            END IF;
        END IF;
        IF v_table.name IN ('pga_jobpause', 'pga_jobsilence') THEN
            v_sees := v_sees || format(' OR %I IS NULL', v_table.job);     -- which concerns everybody
        END IF;
        v_check := format('CASE WHEN %s THEN %s ELSE pgagent.pga_refuse_row(%s) END', v_writes, CASE v_table.name
            WHEN 'pga_jobstep' THEN 'pgagent.pga_may_write_step(jstjobid, jstkind::text, jstconnstr <> '''', jstrunas, jstrunasid)'
            -- Nobody speaks for others.
            WHEN 'pga_jobrequest' THEN format('%s OR jrqby = current_user', v_all)
            WHEN 'pga_jobchange' THEN format('%s OR jchby = current_user', v_all)
            ELSE 'true' END, v_refuses);

        EXECUTE format('DROP POLICY IF EXISTS pga_see ON pgagent.%I', v_table.name);
        EXECUTE format('DROP POLICY IF EXISTS pga_insert ON pgagent.%I', v_table.name);
        EXECUTE format('DROP POLICY IF EXISTS pga_update ON pgagent.%I', v_table.name);
        EXECUTE format('DROP POLICY IF EXISTS pga_delete ON pgagent.%I', v_table.name);
        EXECUTE format('CREATE POLICY pga_see ON pgagent.%I FOR SELECT USING (%s)', v_table.name, v_sees);
        EXECUTE format('CREATE POLICY pga_insert ON pgagent.%I FOR INSERT WITH CHECK (%s)', v_table.name, v_check);
        EXECUTE format('COMMENT ON POLICY pga_see ON pgagent.%I IS %L', v_table.name, 'Counts while the catalogue is isolated.');
        EXECUTE format('COMMENT ON POLICY pga_insert ON pgagent.%I IS %L', v_table.name, 'Counts while the catalogue is isolated.');
        -- What has been changed can't be made unsaid: that is left to those who may do all.
        IF v_table.name = 'pga_jobchange' THEN
            v_writes := v_all;
        ELSE
            EXECUTE format('CREATE POLICY pga_update ON pgagent.%I FOR UPDATE USING (%s) WITH CHECK (%s)', v_table.name, v_writes, v_check);
            EXECUTE format('COMMENT ON POLICY pga_update ON pgagent.%I IS %L', v_table.name, 'Counts while the catalogue is isolated.');
        END IF;
        EXECUTE format('CREATE POLICY pga_delete ON pgagent.%I FOR DELETE USING (%s)', v_table.name, v_writes);
        EXECUTE format('COMMENT ON POLICY pga_delete ON pgagent.%I IS %L', v_table.name, 'Counts while the catalogue is isolated.');
    END LOOP;

    -- Every claim asks for it, by whatever role and since whatever version that may claim.
    -- Only where PUBLIC has it not: see grants.sql.
    IF NOT EXISTS (SELECT FROM pg_class AS c, aclexplode(c.relacl) AS a
                   WHERE c.oid = 'pgagent.pga_isolation'::regclass AND a.grantee = 0 AND a.privilege_type = 'SELECT') THEN
        GRANT SELECT ON pgagent.pga_isolation TO PUBLIC;
    END IF;
    -- So do those that claim, or free a job, in another way, by the trigger of pga_job.
    IF NOT EXISTS (SELECT FROM pg_attribute AS c, aclexplode(c.attacl) AS a
                   WHERE c.attrelid = 'pgagent.pga_jobpause'::regclass AND c.attname = 'jpsuntil' AND a.grantee = 0) THEN
        GRANT SELECT (jclid, jcllimit) ON pgagent.pga_jobclass TO PUBLIC;
        GRANT SELECT (jpsjobid, jpsuntil) ON pgagent.pga_jobpause TO PUBLIC;
        GRANT SELECT (jcafor) ON pgagent.pga_jobcaution TO PUBLIC;
    END IF;
    -- An update has made all views anew, and may have brought tables.
    IF EXISTS (SELECT FROM pgagent.pga_isolation)
       AND (SELECT c.relrowsecurity FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass) THEN
        PERFORM pgagent.pga_isolation_relations(true);
    END IF;
END;
$$;

