-- agent.sql: agents come, stay alive, and go. Writes pga_jobagent; closes the runs of the
-- dead in pga_joblog, pga_jobsteplog and pga_job.
--
-- An agent is alive while its session, known by process id and start time, is connected
-- and its lease, on this server's clock, has not run out. pgAgent's own daemon has no
-- lease. Whoever finds an agent dead buries it: there is no leader.
--
-- Locks are taken in one order everywhere: the job, then its run, then its steps.

CREATE OR REPLACE FUNCTION pgagent.pga_agent_register(
    p_station text, p_lease interval, p_starting boolean DEFAULT true
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever had this process id before us is gone.
    PERFORM pgagent.pga_agent_bury(pg_backend_pid(), 'its process id belongs to another session now');
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease)
    VALUES (pg_backend_pid(), p_station, clock_timestamp() + p_lease);
    IF p_starting THEN
        UPDATE pgagent.pga_job AS j SET jobnextrun = now()
        WHERE j.jobenabled AND j.jobagentid IS NULL AND j.jobhostagent IN ('', p_station)
              AND EXISTS (SELECT FROM pgagent.pga_schedule AS s
                          WHERE s.jscjobid = j.jobid AND s.jscenabled AND s.jscreboot);
    END IF;
    RETURN pg_backend_pid();
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_register(text, interval, boolean) IS
'Makes this session an agent for jobs of host p_station (and for those of any host), alive until the lease has run out; if it is starting, and not just reconnecting, jobs with a schedule @reboot are due. Returns its id, the session''s process id.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_heartbeat(p_agent_id integer, p_lease interval)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobagent SET jaglease = clock_timestamp() + p_lease
    WHERE jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;
    BEGIN
        -- The sign of life must not wait for somebody's lock on pga_job.
        PERFORM set_config('lock_timeout', '1s', true);
        RETURN pgagent.pga_agent_sweep();
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_heartbeat(integer, interval) IS
'Renews the lease of this agent and sweeps. Returns what pga_agent_sweep() does; raises PGA03 if the agent is not registered (any more).';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_leave(p_agent_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_agent_bury(p_agent_id, 'it was stopped') $$;
COMMENT ON FUNCTION pgagent.pga_agent_leave(integer) IS
'Ends an agent; what it has not finished is aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_sweep()
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent record;
    v_run record;
    v_swept integer := 0;
BEGIN
    FOR v_agent IN
        SELECT a.jagpid, COALESCE(s.pid, 0) <> 0 AS connected
        FROM pgagent.pga_jobagent AS a
        -- Another role's start time is hidden from us: then the process id has to do.
        LEFT JOIN pg_stat_activity AS s
            ON s.pid = a.jagpid AND COALESCE(s.backend_start = a.jagbackendstart, true)
        WHERE s.pid IS NULL OR a.jaglease < clock_timestamp()
        FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        v_swept := v_swept + pgagent.pga_agent_bury(v_agent.jagpid, CASE
            WHEN v_agent.connected THEN 'it has not shown a sign of life for too long'
            ELSE 'its connection to the database ended'
        END);
    END LOOP;

    -- Runs that nobody holds: their claim was taken away by hand, or with an agent's row.
    FOR v_run IN
        SELECT l.jlgid
        FROM pgagent.pga_joblog AS l
        JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
        WHERE l.jlgstatus = 'r' AND j.jobagentid IS DISTINCT FROM l.jlgagentid
    LOOP
        v_swept := v_swept + pgagent.pga_run_abort(v_run.jlgid, 'aborted: no agent held it any more');
    END LOOP;
    RETURN v_swept;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_sweep() IS
'Declares dead every agent whose session or lease has ended, and aborts the runs that it, or nobody, holds: status d, the reason in jlgmessage, the job free for its next run. Safe to call by any number of agents at any time. Returns the number of runs aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury(p_agent_id integer, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
    v_job_id integer;
    v_buried integer := 0;
BEGIN
    SELECT a.jagstation INTO v_station FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    FOR v_job_id IN
        SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobagentid = p_agent_id
        ORDER BY j.jobid FOR NO KEY UPDATE
    LOOP
        v_buried := v_buried + COALESCE(sum(pgagent.pga_run_abort(l.jlgid,
            format('aborted: agent %s on %s is gone: %s', p_agent_id, v_station, p_reason))), 0)
        FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = v_job_id AND l.jlgstatus = 'r';
        -- Claimed, but died before it could log the run.
        UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL
        WHERE jobid = v_job_id AND jobagentid = p_agent_id;
    END LOOP;
    DELETE FROM pgagent.pga_jobagent WHERE jagpid = p_agent_id;
    RETURN v_buried;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury(integer, text) IS
'Deletes an agent and aborts its runs, for this reason. Returns the number of runs aborted.';

