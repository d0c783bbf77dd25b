-- pause.sql: having jobs not start for now, and start again.

CREATE OR REPLACE FUNCTION pgagent.pga_check_pause(p_where text, p_until timestamptz)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_until <= now() THEN
        PERFORM pgagent.pga_refuse(p_where || '(until)', format('%s has passed', p_until),
            'Wanted is a time to come; NULL stands for "until it is ended".'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_pause(text, timestamptz) IS
'Raises 22023 for the end of a pause that has passed.';

CREATE OR REPLACE FUNCTION pgagent.pause_job(job_id bigint, until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id), pgagent.pga_check_pause('pause_job'::text, until);
    INSERT INTO pgagent.pga_jobpause AS p (jpsjobid, jpsuntil, jpsreason)
    VALUES (job_id, COALESCE(until, 'infinity'), COALESCE(reason, ''))
    ON CONFLICT (jpsjobid) DO UPDATE
    SET jpssince = CASE WHEN p.jpsuntil > now() THEN p.jpssince ELSE now() END,
        jpsuntil = EXCLUDED.jpsuntil, jpsreason = EXCLUDED.jpsreason
    WHERE (p.jpsuntil, p.jpsreason) IS DISTINCT FROM (EXCLUDED.jpsuntil, EXCLUDED.jpsreason);
END;
$$;
COMMENT ON FUNCTION pgagent.pause_job(bigint, timestamptz, text) IS
'Has a job not start, neither by its schedules nor by run_job(), until then (NULL: until unpause_job()). A run under way goes on. Nothing is forgotten: what run_job() has promised begins afterwards, and times that have passed are made up for by the rule of the job (missed). Called again, it replaces until and reason. Raises 42704 if there is no such job, 22023 if until has passed. Example: SELECT pgagent.pause_job(42, until => now() + interval ''2 hours'', reason => ''new disk'').';

CREATE OR REPLACE FUNCTION pgagent.pause_job(job_name text, until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pause_job(pgagent.pga_job_id($1), $2, $3) $$;
COMMENT ON FUNCTION pgagent.pause_job(text, timestamptz, text) IS
'As pause_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.pause_job(''etl'', reason => ''the source is moved'').';

CREATE OR REPLACE FUNCTION pgagent.pause_all(until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_may_pause_all(), pgagent.pga_check_pause('pause_all'::text, until);
    INSERT INTO pgagent.pga_jobpause AS p (jpsuntil, jpsreason)
    VALUES (COALESCE(until, 'infinity'), COALESCE(reason, ''))
    ON CONFLICT ((jpsjobid IS NULL)) WHERE jpsjobid IS NULL DO UPDATE
    SET jpssince = CASE WHEN p.jpsuntil > now() THEN p.jpssince ELSE now() END,
        jpsuntil = EXCLUDED.jpsuntil, jpsreason = EXCLUDED.jpsreason
    WHERE (p.jpsuntil, p.jpsreason) IS DISTINCT FROM (EXCLUDED.jpsuntil, EXCLUDED.jpsreason);
END;
$$;
COMMENT ON FUNCTION pgagent.pause_all(timestamptz, text) IS
'As pause_job(), for all jobs there are and will be; pauses of single jobs are not touched. Example: SELECT pgagent.pause_all(until => ''tomorrow 06:00'', reason => ''maintenance'').';

CREATE OR REPLACE FUNCTION pgagent.unpause_job(job_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := pgagent.pga_job_to_write(job_id);
BEGIN
    UPDATE pgagent.pga_jobpause AS p SET jpsuntil = now() WHERE p.jpsjobid = job_id AND p.jpsuntil > now();
    IF NOT FOUND THEN
        RAISE NOTICE 'pgagent: job "%" is not paused', v_name
            USING DETAIL = 'Nothing was changed.' || CASE
                WHEN pgagent.pga_paused_until(NULL::integer) IS NOT NULL THEN ' All jobs are: unpause_all() ends that.' ELSE '' END;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.unpause_job(bigint) IS
'Ends the pause of a job; one of all jobs goes on. Of a job that is not paused a NOTICE says so. Raises 42704 if there is no such job. Example: SELECT pgagent.unpause_job(42).';

CREATE OR REPLACE FUNCTION pgagent.unpause_job(job_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.unpause_job(pgagent.pga_job_id($1)) $$;
COMMENT ON FUNCTION pgagent.unpause_job(text) IS
'As unpause_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.unpause_job(''etl'').';

CREATE OR REPLACE FUNCTION pgagent.unpause_all()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_may_pause_all();
    UPDATE pgagent.pga_jobpause AS p SET jpsuntil = now() WHERE p.jpsjobid IS NULL AND p.jpsuntil > now();
    IF NOT FOUND THEN
        RAISE NOTICE 'pgagent: not all jobs are paused'
            USING DETAIL = format('Nothing was changed. Jobs that are paused by themselves: %s; unpause_job() ends that.', (
                SELECT count(*) FROM pgagent.pga_jobpause AS p WHERE p.jpsjobid IS NOT NULL AND p.jpsuntil > now()));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.unpause_all() IS
'Ends the pause of all jobs; those that are paused by themselves stay so. If there is none, a NOTICE says so. Example: SELECT pgagent.unpause_all().';
