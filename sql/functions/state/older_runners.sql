-- older_runners.sql: what runners of 5.0 call. They go on while and after a catalogue is
-- updated under them. Each is what is left of a function under its former signature, and
-- goes when no update from a version that calls it is offered any more; nothing else
-- may use it.

-- Up to 5.0 every step ran with the login of the runner.
CREATE OR REPLACE FUNCTION pgagent.pga_run_due_as_roles()
RETURNS integer[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT j.jobid FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND (j.jobowner IS NOT NULL OR EXISTS (
            SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid AND s.jstrunas IS NOT NULL
        ))
    )
$$;
COMMENT ON FUNCTION pgagent.pga_run_due_as_roles() IS
'The jobs that are due and not for runners of 5.0, for steps of them run as roles.';

-- Up to 5.0 a claim did not say when to look again.
CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(p_agent_id integer, p_limit integer)
RETURNS TABLE (
    run_id bigint, job_id integer, job_name text, job_timeout double precision, step_log_id bigint,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text, step_mode text,
    step_timeout double precision, step_retries integer, step_retry_delay double precision,
    step_retry_backoff double precision, step_retry_on text[]
) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.run_id, c.run_job_id, c.run_job_name, c.run_timeout, c.run_step_log_id,
           c.step_id, c.step_name, c.step_kind,
           COALESCE(c.step_code, (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstid = c.step_id)),
           c.step_database,
           COALESCE(c.step_conninfo, (SELECT s.jstconnstr FROM pgagent.pga_jobstep AS s WHERE s.jstid = c.step_id)),
           c.step_on_error, c.step_mode, c.step_timeout, c.step_retries, c.step_retry_delay,
           c.step_retry_backoff, c.step_retry_on
    FROM pgagent.pga_run_claim(p_agent_id, p_limit, NULL::double precision, NULL::integer, pgagent.pga_run_due_as_roles()) AS c
    WHERE c.run_id IS NOT NULL
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer) IS
'For runners of 5.0: claims runs as the function of five arguments does, which also says when to look again; but no job of which steps run as roles.';

CREATE OR REPLACE FUNCTION pgagent.pga_seconds_until_due(p_station text)
RETURNS double precision LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM pgagent.pga_jobagent AS a
                                 WHERE a.jagstation = $1 AND a.jagunarmed IS NOT NULL)
        THEN pgagent.pga_look_again($1, pgagent.pga_run_due_as_roles(), NULL::boolean) END
$$;
COMMENT ON FUNCTION pgagent.pga_seconds_until_due(text) IS
'For runners of 5.0: what pga_look_again() returns without the jobs that are not for them; NULL on a copy that nobody has armed.';

-- Up to 5.0 a record came as arrays, one for each property of an entry.
CREATE OR REPLACE FUNCTION pgagent.pga_run_record(
    p_run_ids bigint[], p_step_log_ids bigint[], p_step_statuses text[], p_results integer[],
    p_outputs text[], p_next_step_ids integer[], p_attempts integer[],
    p_run_statuses text[], p_messages text[]
)
RETURNS TABLE (place integer, step_log_id bigint, refusal text, reason text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.place, r.step_log_id, r.refusal, r.reason
    FROM pgagent.pga_run_record(NULL::integer, (
        SELECT json_agg(e)
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) AS e (
            run_id, step_log_id, step_status, result, output, next_step_id, attempt, run_status,
            message
        )
    )) AS r
    WHERE r.place IS NOT NULL
$$;
COMMENT ON FUNCTION pgagent.pga_run_record(bigint[], bigint[], text[], integer[], text[], integer[], integer[], text[], text[]) IS
'For runners of 5.0: records what the function of two arguments does.';

-- Up to 5.0 a heartbeat swept, and heard of cancelled runs only.
CREATE OR REPLACE FUNCTION pgagent.pga_agent_heartbeat(
    p_agent_id integer, p_lease interval,
    OUT swept integer, OUT dying integer, OUT cancelled bigint[], OUT reasons text[]
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobagent SET jaglease = clock_timestamp() + p_lease, jagleasefor = p_lease
    WHERE jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;
    SELECT array_agg(l.jlgid), array_agg(left(l.jlgcancel, 1000)) INTO cancelled, reasons
    FROM pgagent.pga_joblog AS l
    WHERE l.jlgstatus = 'r' AND l.jlgagentid = p_agent_id AND l.jlgcancel IS NOT NULL;
    BEGIN
        -- The sign of life must not wait for somebody's lock on pga_job.
        PERFORM set_config('lock_timeout', '1s', true);
        SELECT s.swept, s.dying INTO swept, dying
        FROM pgagent.pga_agent_sweep(NULL::integer, NULL::bigint[], NULL::integer[], true) AS s;
    EXCEPTION WHEN lock_not_available THEN
        swept := 0;
        dying := 0;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_heartbeat(integer, interval) IS
'For runners of 5.0: renews the lease of this agent and sweeps. Returns what pga_agent_sweep() does, and the runs of this agent that cancel_run() has asked to stop, with who asked. Raises PGA03 if the agent is not registered (any more).';

-- Up to 5.0 an agent left without a reason.
CREATE OR REPLACE FUNCTION pgagent.pga_agent_leave(p_agent_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_agent_leave(p_agent_id, 'it was stopped'::text) $$;
COMMENT ON FUNCTION pgagent.pga_agent_leave(integer) IS
'For runners of 5.0: ends an agent; what it has not finished is aborted.';

-- A claim and a record of 5.0 that wait for an update to commit go on as they have begun.
CREATE OR REPLACE FUNCTION pgagent.pga_job_make_up(p_job pgagent.pga_job)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgagent.pga_job_make_up(p_job.jobid, p_job.jobnextrun, p_job.jobmissed, p_job.jobmissedlimit, p_job.joboverlap);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_make_up(pgagent.pga_job) IS
'For claims of 5.0 that are under way during an update: as the function of five arguments.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_after_run(
    p_job pgagent.pga_job, p_run_id bigint, p_scheduled timestamptz, p_started timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgagent.pga_job_after_run(p_job, p_run_id, p_scheduled, p_started, now());
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz) IS
'For records of 5.0 that are under way during an update: as the function of five arguments, for a run that ends now.';
