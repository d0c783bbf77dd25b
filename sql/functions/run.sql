-- run.sql: claiming a job, and closing its run. Writes pga_job and pga_joblog.
--
-- A job is claimed while pga_job.jobagentid is set; a run is open while
-- pga_joblog.jlgstatus is 'r'. The run's id is the fence: a run that was declared dead is
-- closed, and nobody who still holds its id can write to it or free the job.

CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(p_agent_id integer, p_limit integer)
RETURNS TABLE (
    run_id bigint, job_id integer, job_name text,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text
) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
BEGIN
    SELECT a.jagstation INTO v_station FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;

    RETURN QUERY
    WITH due AS (
        -- A disabled job has a next run only if somebody asked for one.
        SELECT j.jobid, j.jobnextrun, j.jobrunid, j.jobfromstep
        FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobhostagent IN ('', v_station)
        ORDER BY j.jobnextrun, j.jobid
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE pgagent.pga_job AS j
        SET jobagentid = p_agent_id, joblastrun = now(), jobrunid = NULL, jobfromstep = NULL
        FROM due WHERE j.jobid = due.jobid
        RETURNING j.jobid, j.jobname, due.jobnextrun, due.jobrunid, due.jobfromstep
    ), opened AS (
        INSERT INTO pgagent.pga_joblog AS l (jlgid, jlgjobid, jlgagentid, jlgstation, jlgscheduled)
        SELECT COALESCE(c.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')),
               c.jobid, p_agent_id, v_station, c.jobnextrun
        FROM claimed AS c ORDER BY c.jobnextrun, c.jobid
        RETURNING l.jlgid, l.jlgjobid
    )
    SELECT o.jlgid, c.jobid, c.jobname,
           s.jstid, s.jstname, s.jstkind::text, s.jstcode,
           s.jstdbname::text, s.jstconnstr, s.jstonerror::text
    FROM opened AS o
    JOIN claimed AS c ON c.jobid = o.jlgjobid
    LEFT JOIN pgagent.pga_jobstep AS f ON f.jstid = c.jobfromstep
    LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = c.jobid AND s.jstenabled
        AND COALESCE((s.jstname, s.jstid) >= (f.jstname, f.jstid), true)
    ORDER BY c.jobnextrun, o.jlgid, s.jstname, s.jstid;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer) IS
'Claims up to p_limit due jobs for this agent, the longest due first, and opens a run for each. Jobs that another transaction holds are passed over, not waited for. Returns the runs with their enabled steps in order of execution, as they stand now, one row a step; a run without steps is one row with NULLs. Raises PGA03 if the agent is not registered.';

CREATE OR REPLACE FUNCTION pgagent.pga_seconds_until_due(p_station text)
RETURNS double precision LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isfinite(j.jobnextrun)
        THEN greatest(extract(epoch FROM j.jobnextrun - clock_timestamp())::double precision, 0)
    END
    FROM pgagent.pga_job AS j
    WHERE j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobhostagent IN ('', p_station)
    ORDER BY j.jobnextrun LIMIT 1
$$;
COMMENT ON FUNCTION pgagent.pga_seconds_until_due(text) IS
'How long, by this server''s clock, until the next job that an agent on this host may claim is due; 0 if one is, NULL if none ever is.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_finish(p_run_id bigint, p_status text, p_message text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    PERFORM FROM pgagent.pga_job AS j
    WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id)
    FOR NO KEY UPDATE;

    UPDATE pgagent.pga_joblog AS l
    SET jlgstatus = p_status, jlgmessage = p_message, jlgduration = clock_timestamp() - l.jlgstart
    WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r'
    RETURNING l.* INTO v_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not running', p_run_id USING ERRCODE = 'PGA01', DETAIL = COALESCE(
            (SELECT format('Its status is %s: %s.', l.jlgstatus, COALESCE(l.jlgmessage, 'no reason was given'))
             FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id),
            'It is not in the log: its job was deleted.');
    END IF;

    -- What was to start the job once has done so.
    UPDATE pgagent.pga_schedule SET jscenabled = false
    WHERE jscjobid = v_run.jlgjobid AND jscenabled AND jscat <= v_run.jlgstart;

    -- A next run that was set while the job ran is somebody's wish, and stays.
    UPDATE pgagent.pga_job
    SET jobagentid = NULL,
        jobnextrun = CASE WHEN jobnextrun IS DISTINCT FROM v_run.jlgscheduled THEN jobnextrun END
    WHERE jobid = v_run.jlgjobid AND jobagentid = v_run.jlgagentid;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_finish(bigint, text, text) IS
'Closes a running run with status s, f, i or d and a sentence why (NULL: none), frees its job and has its next run computed. Raises PGA01, and writes nothing, if the run is not running (any more).';

CREATE OR REPLACE FUNCTION pgagent.pga_run_abort(p_run_id bigint, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM pgagent.pga_job AS j
    WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id)
    FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r';
    IF NOT FOUND THEN
        RETURN 0;       -- somebody else was faster
    END IF;

    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = 'd', jslduration = clock_timestamp() - s.jslstart,
        jsloutput = concat_ws(E'\n', s.jsloutput, p_reason)
    WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r';
    PERFORM pgagent.pga_run_finish(p_run_id, 'd', p_reason);
    RETURN 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_abort(bigint, text) IS
'Closes a run and its running steps with status d and the reason, if it is still running. Returns how many runs that were, 0 or 1.';

