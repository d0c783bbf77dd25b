-- claim.sql: claiming the jobs that are due: a job is claimed while pga_job.jobagentid is
-- set. Writes pga_job, and opens runs in pga_joblog and pga_jobsteplog.

CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(
    p_agent_id integer, p_limit integer, p_longest double precision
)
RETURNS TABLE (
    run_id bigint, run_job_id integer, run_job_name text, run_timeout double precision,
    run_step_log_id bigint,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text, step_mode text,
    step_timeout double precision, step_retries integer, step_retry_delay double precision,
    step_retry_backoff double precision, step_retry_on text[],
    look_again double precision
) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
    v_unarmed text;
BEGIN
    SELECT a.jagstation, a.jagunarmed INTO v_station, v_unarmed FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;
    IF v_unarmed IS NOT NULL THEN
        look_again := p_longest;
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM set_config('pgagent.claims'::text, p_agent_id::text, true);

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
                    WHEN (d.job).jobmissedlimit IS NOT NULL THEN pgagent.pga_span((d.job).jobmissedlimit) END
                OR ((d.job).jobmissed <> 'latest' OR (d.job).joboverlap = 'queue')
                   AND (d.job).jobnextrun < now() - interval '1 minute'
            ) THEN pgagent.pga_job_make_up(d.job)
            ELSE (d.job).jobnextrun END AS due
        FROM due AS d
    ), claimed AS (
        -- The ids are drawn here, so the rest need not be joined with what it inserts.
        -- record.sql says what "= ANY (ARRAY[...])" is for.
        UPDATE pgagent.pga_job AS j
        SET jobagentid = CASE WHEN t.due <= now() THEN p_agent_id END, jobnextrun = t.due,
            joblastrun = CASE WHEN t.due <= now() THEN now() ELSE j.joblastrun END,
            jobrunid = NULL, jobfromstep = NULL
        FROM timely AS t WHERE j.jobid = ANY (ARRAY[t.jobid])
        RETURNING j.jobid, j.jobname, j.jobtimeout, t.due, t.jobfromstep,
                  CASE WHEN j.jobagentid IS NOT NULL THEN
                      COALESCE(t.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')) END AS run_id,
                  CASE WHEN j.jobagentid IS NOT NULL THEN
                      nextval('pgagent.pga_jobsteplog_jslid_seq') END AS step_log_id
    ), opened AS (
        INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgagentid, jlgstation, jlgscheduled)
        SELECT c.run_id, c.jobid, p_agent_id, v_station, c.due
        FROM claimed AS c WHERE c.run_id IS NOT NULL
    ), step AS MATERIALIZED (
        SELECT c.jobid, c.jobname, c.jobtimeout, c.due, c.run_id,
               CASE WHEN s.jstid IS NOT NULL THEN c.step_log_id END AS step_log_id, s.*,
               row_number() OVER (PARTITION BY c.run_id ORDER BY s.jstname, s.jstid) AS place
        FROM claimed AS c
        LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = ANY (ARRAY[c.jobid]) AND s.jstenabled
            AND (c.jobfromstep IS NULL OR (s.jstname, s.jstid) >= (
                SELECT f.jstname, f.jstid FROM pgagent.pga_jobstep AS f WHERE f.jstid = c.jobfromstep
            ))
        WHERE c.run_id IS NOT NULL
    ), started AS (
        INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid)
        SELECT s.step_log_id, s.run_id, s.jstid FROM step AS s
        WHERE s.place = 1 AND s.step_log_id IS NOT NULL
    )
    SELECT s.run_id, s.jobid, s.jobname, extract(epoch FROM s.jobtimeout)::double precision,
           s.step_log_id, s.jstid, s.jstname, s.jstkind::text, s.jstcode,
           s.jstdbname::text, s.jstconnstr, s.jstonerror::text, s.jstmode,
           extract(epoch FROM s.jsttimeout)::double precision, s.jstretries,
           extract(epoch FROM s.jstretrydelay)::double precision, s.jstretrybackoff, s.jstretryon,
           NULL::double precision
    FROM step AS s
    ORDER BY s.due, s.run_id, s.place;

    look_again := least(pgagent.pga_look_again(v_station), p_longest);
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer, double precision) IS
'Claims up to p_limit due jobs for this agent, the longest due first, opens a run for each and starts its first step. Jobs that another transaction holds are passed over, not waited for; jobs that are too late by their own rule are put off. An agent that is not armed (pga_jobagent.jagunarmed) gets none. Returns the runs with their enabled steps in order of execution, as they stand now, one row a step, times in seconds; a run without steps is one row with NULLs. run_step_log_id is the row of the first step. A last row has only look_again: how long it is from the beginning of this statement, p_longest at most, until the next job that an agent on this host may claim is due; 0 if one was then. Raises PGA03 if the agent is not registered.';

-- PL/pgSQL for the sake of its plan cache.
CREATE OR REPLACE FUNCTION pgagent.pga_look_again(p_station text)
RETURNS double precision LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN j.jobnextrun <= statement_timestamp() THEN 0
            WHEN isfinite(j.jobnextrun)
            THEN extract(epoch FROM j.jobnextrun - statement_timestamp())::double precision END
        FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobhostagent IN ('', p_station)
        ORDER BY j.jobnextrun LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_look_again(text) IS
'How long, by this server''s clock and from the beginning of the statement, until the next job that an agent on this host may claim is due; 0 if one was then, NULL if none ever is.';

