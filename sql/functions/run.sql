-- run.sql: claiming the jobs that are due: a job is claimed while pga_job.jobagentid is
-- set. Writes pga_job, and opens runs in pga_joblog and pga_jobsteplog.

CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(p_agent_id integer, p_limit integer)
RETURNS TABLE (
    run_id bigint, job_id integer, job_name text, job_timeout double precision, step_log_id bigint,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text, step_mode text,
    step_timeout double precision, step_retries integer, step_retry_delay double precision,
    step_retry_backoff double precision, step_retry_on text[]
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
    WITH due AS MATERIALIZED (
        -- A disabled job has a next run only if somebody asked for one.
        SELECT j AS job
        FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobhostagent IN ('', v_station)
        ORDER BY j.jobnextrun, j.jobid
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), timely AS MATERIALIZED (
        SELECT (d.job).jobid, (d.job).jobrunid, (d.job).jobfromstep, CASE
            WHEN (d.job).jobrunid IS NULL AND (
                (d.job).jobnextrun < now() - CASE
                    WHEN (d.job).jobmissedlimit < interval '1000 years' THEN (d.job).jobmissedlimit END
                OR ((d.job).jobmissed <> 'latest' OR (d.job).joboverlap = 'queue')
                   AND (d.job).jobnextrun < now() - interval '1 minute'
            ) THEN pgagent.pga_job_make_up(d.job)
            ELSE (d.job).jobnextrun END AS due
        FROM due AS d
    ), claimed AS (
        UPDATE pgagent.pga_job AS j
        SET jobagentid = CASE WHEN t.due <= now() THEN p_agent_id END, jobnextrun = t.due,
            joblastrun = CASE WHEN t.due <= now() THEN now() ELSE j.joblastrun END,
            jobrunid = NULL, jobfromstep = NULL
        FROM timely AS t WHERE j.jobid = t.jobid
        RETURNING j.jobid, j.jobname, j.jobtimeout, j.jobagentid, t.due, t.jobrunid, t.jobfromstep
    ), opened AS (
        INSERT INTO pgagent.pga_joblog AS l (jlgid, jlgjobid, jlgagentid, jlgstation, jlgscheduled)
        SELECT COALESCE(c.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')),
               c.jobid, p_agent_id, v_station, c.due
        FROM claimed AS c WHERE c.jobagentid IS NOT NULL ORDER BY c.due, c.jobid
        RETURNING l.jlgid, l.jlgjobid
    ), step AS MATERIALIZED (
        SELECT o.jlgid, s.*,
               row_number() OVER (PARTITION BY o.jlgid ORDER BY s.jstname, s.jstid) AS place
        FROM opened AS o
        JOIN claimed AS c ON c.jobid = o.jlgjobid
        LEFT JOIN pgagent.pga_jobstep AS f ON f.jstid = c.jobfromstep
        JOIN pgagent.pga_jobstep AS s ON s.jstjobid = c.jobid AND s.jstenabled
            AND (c.jobfromstep IS NULL OR (s.jstname, s.jstid) >= (f.jstname, f.jstid))
    ), started AS (
        INSERT INTO pgagent.pga_jobsteplog AS l (jsljlgid, jsljstid)
        SELECT s.jlgid, s.jstid FROM step AS s WHERE s.place = 1
        RETURNING l.jslid, l.jsljlgid
    )
    SELECT o.jlgid, c.jobid, c.jobname, extract(epoch FROM c.jobtimeout)::double precision, b.jslid,
           s.jstid, s.jstname, s.jstkind::text, s.jstcode,
           s.jstdbname::text, s.jstconnstr, s.jstonerror::text, s.jstmode,
           extract(epoch FROM s.jsttimeout)::double precision, s.jstretries,
           extract(epoch FROM s.jstretrydelay)::double precision, s.jstretrybackoff, s.jstretryon
    FROM opened AS o
    JOIN claimed AS c ON c.jobid = o.jlgjobid
    LEFT JOIN started AS b ON b.jsljlgid = o.jlgid
    LEFT JOIN step AS s ON s.jlgid = o.jlgid
    ORDER BY c.due, o.jlgid, s.place;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer) IS
'Claims up to p_limit due jobs for this agent, the longest due first, opens a run for each and starts its first step. Jobs that another transaction holds are passed over, not waited for; jobs that are too late by their own rule are put off. Returns the runs with their enabled steps in order of execution, as they stand now, one row a step, times in seconds; a run without steps is one row with NULLs. step_log_id is the row of the first step. Raises PGA03 if the agent is not registered.';

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

