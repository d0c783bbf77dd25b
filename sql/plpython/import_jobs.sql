-- import_jobs: what the imports of crontab and of pg_cron have in common.
--
-- Jobs are made with the rights of whoever imports them: he needs those on the tables.

CREATE OR REPLACE FUNCTION pgagent.pga_import_refusal(
    p_job_name text, p_schedule text, p_timezone text
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem text;
    v_detail text;
BEGIN
    PERFORM pgagent.pga_schedule_parse(p_schedule, p_timezone);
    IF p_timezone IS NOT NULL THEN
        PERFORM pgagent.pga_check_timezone(p_timezone);
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = p_job_name) THEN
        RETURN format('there is a job "%s" already', p_job_name);
    END IF;
    RETURN NULL;
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws('. ', regexp_replace(v_problem, '^pgagent: ', ''), v_detail);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_import_refusal(text, text, text) IS
'Why a job of this name and schedule can''t be created; NULL if it can.';

CREATE OR REPLACE FUNCTION pgagent.pga_import(p_rows jsonb, p_dry_run boolean)
RETURNS TABLE (line integer, job_name text, schedule text, kind text, command text, action text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row record;
    v_refused text[] := '{}';
    v_job_id bigint;
BEGIN
    FOR v_row IN
        SELECT r.*, CASE WHEN r.action = 'create'
            THEN pgagent.pga_import_refusal(r.job_name, r.schedule, r.timezone) END AS refusal
        FROM jsonb_to_recordset(p_rows) AS r (
            line integer, job_name text, schedule text, timezone text, kind text, command text,
            database text, conninfo text, active boolean, action text, problem text
        )
        ORDER BY r.line
    LOOP
        line := v_row.line;
        job_name := v_row.job_name;
        schedule := v_row.schedule;
        kind := v_row.kind;
        command := v_row.command;
        action := CASE WHEN v_row.refusal IS NULL THEN v_row.action ELSE 'refuse' END;
        problem := COALESCE(v_row.refusal, v_row.problem);
        IF action = 'refuse' THEN
            v_refused := v_refused || format('Line %s: %s.', line, problem);
        ELSIF action = 'create' AND NOT p_dry_run THEN
            v_job_id := pgagent.create_job(job_name, enabled => v_row.active);
            PERFORM pgagent.add_step(v_job_id, 'command', command, kind,
                                     database => v_row.database, conninfo => v_row.conninfo),
                    pgagent.add_schedule(v_job_id, schedule, timezone => v_row.timezone);
            action := format('created job %s', v_job_id);
        END IF;
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_refused) > 0 AND p_dry_run IS NOT TRUE THEN
        RAISE EXCEPTION 'pgagent: % of % lines can''t be imported, so none was', cardinality(v_refused), jsonb_array_length(p_rows)
            USING ERRCODE = 'invalid_parameter_value', DETAIL = array_to_string(v_refused, E'\n');
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_import(jsonb, boolean) IS
'What becomes of the lines that an import has read; unless p_dry_run, their jobs are created, all or none. Raises 22023 with every line that can''t be imported.';

CREATE OR REPLACE FUNCTION pgagent.import_pg_cron(dry_run boolean DEFAULT true)
RETURNS TABLE (line integer, job_name text, schedule text, kind text, command text, action text, problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs jsonb;
    -- The login that will run them: that of the runners, if there are any.
    v_runners CONSTANT name[] := ARRAY(
        SELECT DISTINCT s.usename FROM pgagent.agents AS a
        JOIN pg_stat_activity AS s ON s.pid = a.agent_id WHERE a.alive
    );
BEGIN
    IF to_regclass('cron.job') IS NULL THEN
        RAISE EXCEPTION 'pgagent: there is no table cron.job in database "%"', current_database()
            USING ERRCODE = 'undefined_table',
                  DETAIL = 'pg_cron keeps its jobs in one database only, the one that cron.database_name names.';
    END IF;
    SELECT COALESCE(jsonb_agg(jsonb_build_object(
        'line', c.jobid,
        'job_name', COALESCE(c.jobname, format('pg_cron job %s', c.jobid)) || CASE
            WHEN EXISTS (SELECT FROM cron.job AS o WHERE o.jobname = c.jobname AND o.jobid < c.jobid)
            THEN format(' (%s)', c.username) ELSE '' END,
        'schedule', c.schedule,
        'timezone', COALESCE(current_setting('cron.timezone', true), 'GMT'),
        'kind', 'sql', 'command', c.command, 'active', c.active,
        'database', CASE WHEN h.here THEN c.database END,
        'conninfo', CASE WHEN NOT h.here THEN (
            SELECT string_agg(format('%s=''%s''', k.name, replace(replace(k.value, '\', '\\'), '''', '\''')), ' ')
            FROM (VALUES ('host', c.nodename), ('port', c.nodeport::text), ('dbname', c.database)) AS k (name, value)
        ) END,
        'action', 'create',
        'problem', CASE WHEN c.username <> ALL (COALESCE(nullif(v_runners, '{}'), ARRAY[current_user]))
            THEN format('pg_cron runs it as "%s"; it will run with the login of the runner', c.username) END
    )), '[]') INTO v_jobs
    FROM cron.job AS c
    CROSS JOIN LATERAL (
        SELECT (c.nodename IN ('', 'localhost', '127.0.0.1', '::1') OR c.nodename LIKE '/%')
               AND c.nodeport = current_setting('port')::integer AS here
    ) AS h;
    RETURN QUERY SELECT * FROM pgagent.pga_import(v_jobs, dry_run);
    IF dry_run IS NOT TRUE AND jsonb_array_length(v_jobs) > 0 THEN
        RAISE NOTICE 'pgagent: pg_cron goes on running its jobs until they are unscheduled: SELECT cron.unschedule(jobid) FROM cron.job';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.import_pg_cron(boolean) IS
'Takes over the jobs of pg_cron in this database, and says what each becomes (line: its jobid): name, schedule, time zone (cron.timezone, else GMT), command, database and whether it is active are kept; one that ran as another user is reported. Creates the jobs with dry_run => false: all of them, or raises 22023 and none. Raises 42P01 if pg_cron is not there. Example: SELECT line, job_name, action, problem FROM pgagent.import_pg_cron().';
REVOKE ALL ON FUNCTION pgagent.import_pg_cron(boolean) FROM PUBLIC;

