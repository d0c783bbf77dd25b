-- agent.sql: agents come, stay alive, and go. Writes pga_jobagent and pga_jobsession;
-- closes the runs of the dead by way of record.sql.
--
-- An agent is alive while its session, known by process id and start time, is connected
-- and its lease, on this server's clock, has not run out. pgAgent's own daemon has no
-- lease. Any agent that finds another one dead buries it: there is no leader.
--
-- docs/design.md has the order in which all functions take their locks.

CREATE OR REPLACE FUNCTION pgagent.pga_agent_register(
    p_station text, p_lease interval, p_starting boolean DEFAULT true,
    p_runner uuid DEFAULT gen_random_uuid()
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby: jobs run where it can be written to'
            USING ERRCODE = 'read_only_sql_transaction',
                  DETAIL = 'The agent registers as soon as the server is promoted.';
    END IF;
    -- Whoever had this process id before us is gone.
    PERFORM pgagent.pga_agent_bury(pg_backend_pid(), 'its process id belongs to another session now'::text);
    -- It lives, whatever has become of its earlier sessions.
    UPDATE pgagent.pga_jobagent SET jagrunner = NULL WHERE jagrunner = p_runner;
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease, jagrunner)
    VALUES (pg_backend_pid(), p_station, clock_timestamp() + p_lease, p_runner);
    IF p_starting THEN
        UPDATE pgagent.pga_job AS j SET jobnextrun = now()
        WHERE j.jobenabled AND j.jobagentid IS NULL AND j.jobhostagent IN ('', p_station)
              AND EXISTS (SELECT FROM pgagent.pga_schedule AS s
                          WHERE s.jscjobid = j.jobid AND s.jscenabled AND s.jscreboot);
    END IF;
    RETURN pg_backend_pid();
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_register(text, interval, boolean, uuid) IS
'Makes this session an agent for jobs of host p_station (and for those of any host), alive until the lease has run out; if it is starting, and not just reconnecting, jobs with a schedule @reboot are due. p_runner names the process: one that registers again has not been killed by the jobs that it had. Returns its id, the session''s process id. Raises 25006 on a standby.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_heartbeat(
    p_agent_id integer, p_lease interval,
    OUT swept integer, OUT dying integer, OUT cancelled bigint[], OUT reasons text[]
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobagent SET jaglease = clock_timestamp() + p_lease
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
        SELECT s.swept, s.dying INTO swept, dying FROM pgagent.pga_agent_sweep() AS s;
    EXCEPTION WHEN lock_not_available THEN
        swept := 0;
        dying := 0;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_heartbeat(integer, interval) IS
'Renews the lease of this agent and sweeps. Returns what pga_agent_sweep() does, and the runs of this agent that cancel_run() has asked to stop, with who asked. Raises PGA03 if the agent is not registered (any more).';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_leave(p_agent_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_agent_bury(p_agent_id, 'it was stopped'::text) $$;
COMMENT ON FUNCTION pgagent.pga_agent_leave(integer) IS
'Ends an agent; what it has not finished is aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_session(p_agent_id integer, p_pid integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgagent.pga_jobsession (jsspid, jssagentid, jssbackendstart)
    SELECT s.pid, p_agent_id, s.backend_start FROM pg_stat_activity AS s
    WHERE s.pid = p_pid AND s.backend_start IS NOT NULL
    ON CONFLICT (jsspid) DO UPDATE
    SET jssagentid = EXCLUDED.jssagentid, jssbackendstart = EXCLUDED.jssbackendstart
$$;
COMMENT ON FUNCTION pgagent.pga_agent_session(integer, integer) IS
'Notes that the session with process id p_pid executes SQL steps for this agent, before it does: when the agent dies, it is ended. A session whose start time is hidden from the caller is not noted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_end_sessions(p_agent_id integer)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In a copy they were noted by agents of the original, where they may well be at work.
    IF pgagent.pga_unarmed() IS NOT NULL THEN
        RETURN 0;
    END IF;
    RETURN (
        SELECT count(pg_terminate_backend(s.pid))::integer
        FROM pgagent.pga_jobsession AS x
        JOIN pg_stat_activity AS s ON s.pid = x.jsspid AND s.backend_start = x.jssbackendstart
        WHERE x.jssagentid = p_agent_id
    );
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 0;       -- it belongs to a role that is not ours to end
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_end_sessions(integer) IS
'Terminates the sessions in which this agent executes SQL steps, unless this is a copy that nobody has armed. Returns how many are still there.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_sweep(OUT swept integer, OUT dying integer)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent record;
    v_run record;
BEGIN
    swept := 0;
    dying := 0;
    FOR v_agent IN
        SELECT a.jagpid, COALESCE(s.pid, 0) <> 0 AS connected
        FROM pgagent.pga_jobagent AS a
        -- Another role's start time is hidden from us: then the process id has to do.
        LEFT JOIN pg_stat_activity AS s
            ON s.pid = a.jagpid AND s.datname = current_database()
               AND COALESCE(s.backend_start = a.jagbackendstart, true)
        WHERE s.pid IS NULL OR a.jaglease < clock_timestamp()
        FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        -- Its steps must have ended before anybody starts its jobs again.
        IF pgagent.pga_agent_end_sessions(v_agent.jagpid) > 0 THEN
            dying := dying + 1;
            CONTINUE;
        END IF;
        swept := swept + pgagent.pga_agent_bury(v_agent.jagpid, CASE
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
        swept := swept + pgagent.pga_run_abort(v_run.jlgid, 'aborted: no agent held it any more'::text);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_sweep() IS
'Declares dead every agent whose session or lease has ended, terminates the sessions of its steps, and when those are gone aborts the runs that it, or nobody, holds: status d, the reason in jlgmessage, the job free for its next run. Safe to call by any number of agents at any time. Returns the number of runs aborted, and of dead agents whose sessions have not ended yet: sweep again soon.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury(p_agent_id integer, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent pgagent.pga_jobagent;
    v_job_id integer;
    v_buried integer := 0;
    v_killed boolean;
BEGIN
    SELECT a.* INTO v_agent FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    -- Was it the job that killed it? Not if the server was restarted meanwhile, nor if
    -- the process has come back.
    v_killed := v_agent.jagrunner IS NOT NULL AND p_reason LIKE 'its connection%'
                AND v_agent.jagbackendstart > pg_postmaster_start_time();
    FOR v_job_id IN
        SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobagentid = p_agent_id
        ORDER BY j.jobid FOR NO KEY UPDATE
    LOOP
        v_buried := v_buried + pgagent.pga_agent_bury_run(v_job_id, v_killed,
            format('aborted: agent %s on %s is gone: %s', p_agent_id, v_agent.jagstation, p_reason));
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

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury_run(
    p_job_id integer, p_killed boolean, p_reason text
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deaths integer;
    v_reason text := p_reason;
    v_aborted integer;
BEGIN
    IF p_killed THEN
        UPDATE pgagent.pga_job SET jobdeaths = jobdeaths + 1
        WHERE jobid = p_job_id RETURNING jobdeaths INTO v_deaths;
        IF v_deaths >= 3 THEN
            v_reason := format('%s; its runner has died %s times in a row while it was running: the job has been disabled',
                               p_reason, v_deaths);
            UPDATE pgagent.pga_job SET jobenabled = false, jobdeaths = 0 WHERE jobid = p_job_id;
        END IF;
    END IF;
    SELECT COALESCE(sum(pgagent.pga_run_abort(l.jlgid, v_reason)), 0)::integer INTO v_aborted
    FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = p_job_id AND l.jlgstatus = 'r';
    RETURN v_aborted;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury_run(integer, boolean, text) IS
'Aborts the runs of a job, which the caller has locked, for this reason; the third time in a row that its runner was killed it disables the job. Returns how many runs that were.';

