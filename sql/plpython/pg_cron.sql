-- pg_cron.sql: taking over the jobs of the extension pg_cron.

CREATE FUNCTION pgagent.pga_pg_cron_await()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- pg_cron looks for a new minute once a second, and then for jobs that are gone.
    WHILE extract(second FROM clock_timestamp()) NOT BETWEEN 5 AND 55 LOOP
        PERFORM pg_sleep(0.1);
    END LOOP;
END;
$$;
REVOKE ALL ON FUNCTION pgagent.pga_pg_cron_await() FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_pg_cron_await() IS
'Waits, for 10 seconds at most, until it is certain that pg_cron has begun all runs of this minute and none of the next one.';

CREATE FUNCTION pgagent.pga_pg_cron_busy(p_jobs bigint[], p_databases text[], p_commands text[])
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_logged bigint[];
BEGIN
    PERFORM pg_stat_clear_snapshot();
    IF (SELECT count(*) FROM pg_stat_activity AS a WHERE 'pg_cron' IN (a.backend_type, a.application_name))
       >= COALESCE(current_setting('cron.max_running_jobs', true)::integer, 32) THEN
        RETURN p_jobs;      -- any of them may be waiting for its turn
    END IF;
    IF to_regclass('cron.job_run_details') IS NOT NULL THEN
        EXECUTE $q$
            SELECT array_agg(d.jobid) FROM cron.job_run_details AS d
            WHERE d.jobid = ANY ($1) AND d.status IN ('starting', 'connecting', 'sending', 'running')
                  AND (d.job_pid IS NULL OR EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = d.job_pid))
        $q$ INTO v_logged USING p_jobs;
    END IF;
    RETURN ARRAY(
        SELECT j.id
        FROM unnest(p_jobs, p_databases, p_commands) AS j (id, database, command)
        WHERE j.id = ANY (v_logged) OR EXISTS (
            -- With cron.log_run = off there is no other trace of a run.
            SELECT FROM pg_stat_activity AS a
            WHERE 'pg_cron' IN (a.backend_type, a.application_name) AND a.state <> 'idle'
                  AND a.datname = j.database AND a.query <> '' AND starts_with(j.command, a.query)
        )
    );
END;
$$;
REVOKE ALL ON FUNCTION pgagent.pga_pg_cron_busy(bigint[], text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_pg_cron_busy(bigint[], text[], text[]) IS
'Which of these jobs of pg_cron, with their databases and commands, have a run under way, or may have one that waits: all, while pg_cron has as many as cron.max_running_jobs.';

CREATE FUNCTION pgagent.pga_pg_cron_moved()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs bigint[];
BEGIN
    PERFORM pgagent.pga_pg_cron_await();
    v_jobs := pgagent.pga_pg_cron_busy(NEW.cron_jobs, NEW.databases, NEW.commands);
    IF v_jobs <> '{}' THEN
        RAISE EXCEPTION 'pgagent: import_pg_cron: runs have begun in pg_cron meanwhile'
            USING ERRCODE = 'object_in_use',
                  DETAIL = format('They are of its jobs %s; to unschedule these would cancel them. Nothing was moved: do it again.',
                                  array_to_string(v_jobs, ', '));
    END IF;
    EXECUTE 'SELECT array_agg(c.jobid) FROM cron.job AS c WHERE c.jobid = ANY ($1) AND c.active' INTO v_jobs
        USING NEW.cron_jobs;
    IF v_jobs <> '{}' THEN
        RAISE WARNING 'pgagent: import_pg_cron: jobs will run here and in pg_cron as well'
            USING DETAIL = format('Its jobs %s: cron.unschedule() removes them there.', array_to_string(v_jobs, ', '));
    END IF;
    -- All times until now were pg_cron's, however long ago the transaction has begun.
    UPDATE pgagent.pga_job AS j
    SET jobnextrun = pgagent.pga_job_next_run(j.jobid, clock_timestamp())
    WHERE j.jobid = ANY (NEW.jobs) AND j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobrunid IS NULL;
    RETURN NULL;
END;
$$;
REVOKE ALL ON FUNCTION pgagent.pga_pg_cron_moved() FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_pg_cron_moved() IS
'Trigger, at the end of a transaction in which import_pg_cron() has made jobs: waits for a moment that is none of pg_cron''s, and computes their next runs from then on. Warns of jobs that are in pg_cron still; raises 55006 if a run has begun there.';

CREATE FUNCTION pgagent.import_pg_cron(dry_run boolean DEFAULT true, all_users boolean DEFAULT false)
RETURNS TABLE (cron_jobid bigint, job text, schedule text, database text, result text)
LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include ask.py
-- include pg_cron.py
return import_pg_cron(dry_run, all_users)
$python$;
REVOKE ALL ON FUNCTION pgagent.import_pg_cron(boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_pg_cron(boolean, boolean) IS
'Takes over the jobs of pg_cron in this database: cron.job, with their schedules in the zone of cron.timezone. Returns what each becomes, and what is different; a dry run, the default, makes nothing. Its user becomes the owner of a job, that its command runs as (allow_run_as()); a superuser''s runs with the login of the runner. Jobs of other users are left alone unless all_users is true; a job of another server is made disabled. A job is named as it was (with its user, where two users had one name), and one whose name exists already is left alone too, so that a second call doubles nothing; so is one that pg_cron is just running. pg_cron''s own jobs are not touched: unschedule them in the same transaction (docs/pg_cron.md). Its end waits for a moment between two of pg_cron''s, for 10 seconds at most. Raises 42P01 if there is no pg_cron, 22023 if a job can''t be taken over; then none is; and 55006 at the end of the transaction if pg_cron has begun to run one meanwhile. Not for PUBLIC, and neither are the functions pga_pg_cron_... that it calls. Example: SELECT * FROM pgagent.import_pg_cron().';
