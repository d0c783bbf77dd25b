-- agent.sql: agents come, stay alive, and go. Writes pga_jobagent and pga_jobsession;
-- closes the runs of the dead by way of record.sql.
--
-- An agent is alive while its session, known by process id and start time, is connected
-- and its lease, on this server's clock, has not run out. pgAgent's own daemon has no
-- lease. Any agent that finds another one dead buries it: there is no leader.
--
-- People hang triggers on these tables, lock them and edit their rows. So a heartbeat
-- takes nothing but the agent's own row, and is a sign of life even where it can't have
-- that; and whatever closes a run or frees a job does so in a subtransaction of its own.
--
-- docs/design.md has the order in which all functions take their locks.

CREATE OR REPLACE FUNCTION pgagent.pga_why_dead(p_agent pgagent.pga_jobagent)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_shown timestamptz;
BEGIN
    -- Another role's start time and statements are hidden from us: then the process id
    -- and the lease have to do. By the last statement, because a pooler may hand a
    -- session on to somebody else.
    SELECT CASE WHEN s.query LIKE '%pga_agent_heartbeat%' THEN greatest(s.query_start, s.state_change) END
    INTO v_shown
    FROM pg_stat_get_activity(p_agent.jagpid) AS s
    JOIN pg_database AS d ON d.oid = s.datid AND d.datname = current_database()
    WHERE COALESCE(s.backend_start = p_agent.jagbackendstart, true);
    -- A standby knows nothing of sessions with the primary.
    IF NOT FOUND AND NOT pg_is_in_recovery() THEN
        RETURN 'its connection to the database ended';
    -- A heartbeat that waits for somebody's lock or trigger is a sign of life.
    ELSIF p_agent.jaglease < clock_timestamp()
          AND (v_shown BETWEEN clock_timestamp() - p_agent.jagleasefor AND clock_timestamp()) IS NOT TRUE THEN
        RETURN 'it has not shown a sign of life for too long';
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_why_dead(pgagent.pga_jobagent) IS
'Why this agent counts as dead; NULL if it is alive.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_count()
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*)::integer FROM pgagent.pga_jobagent AS a
    WHERE a.jaglease IS NOT NULL AND pgagent.pga_why_dead(a) IS NULL
$$;
COMMENT ON FUNCTION pgagent.pga_agent_count() IS
'How many agents with a lease are alive: they share the connections of the server.';

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
    PERFORM pgagent.pga_sequences_forward(), pgagent.pga_agent_cautions();
    -- Whoever had this process id before us is gone. A pooler gives us the session of an
    -- agent that was killed a moment ago, whose steps must have ended before its jobs are free.
    IF pgagent.pga_agent_end_sessions(pg_backend_pid()) > 0 THEN
        RAISE EXCEPTION 'steps of the agent that had this session before are still being ended'
            USING ERRCODE = 'object_in_use', DETAIL = 'The agent registers as soon as they have ended.';
    END IF;
    PERFORM pgagent.pga_agent_bury(pg_backend_pid(), 'its process id belongs to another session now'::text,
                                   'infinity'::timestamptz);
    IF EXISTS (SELECT FROM pgagent.pga_jobagent AS a WHERE a.jagpid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'agent %, which had this process id before, can''t be buried yet', pg_backend_pid()
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'Somebody has locked a job that it held, or a trigger keeps its row.';
    END IF;
    -- It lives, whatever has become of its earlier sessions.
    UPDATE pgagent.pga_jobagent SET jagrunner = NULL WHERE jagrunner = p_runner;
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease, jagleasefor, jagrunner)
    VALUES (pg_backend_pid(), p_station, clock_timestamp() + p_lease, p_lease, p_runner);
    IF NOT EXISTS (SELECT FROM pgagent.pga_jobagent AS a WHERE a.jagpid = pg_backend_pid()) THEN
        RAISE EXCEPTION 'the row of the agent in pgagent.pga_jobagent has been left out, or can''t be seen'
            USING ERRCODE = 'data_exception',
                  DETAIL = 'A trigger, a rule or a row security policy on that table does so: drop it, or let it pass the rows of agents.';
    END IF;
    IF p_starting THEN
        PERFORM set_config('pgagent.freeing'::text, 'on'::text, true);     -- the trigger of pga_job asks
        UPDATE pgagent.pga_job AS j SET jobnextrun = now()
        WHERE j.jobenabled AND j.jobagentid IS NULL AND j.jobhostagent IN ('', p_station)
              AND EXISTS (SELECT FROM pgagent.pga_schedule AS s
                          WHERE s.jscjobid = j.jobid AND s.jscenabled AND s.jscreboot);
        PERFORM set_config('pgagent.freeing'::text, ''::text, true);
    END IF;
    RETURN pg_backend_pid();
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_register(text, interval, boolean, uuid) IS
'Makes this session an agent for jobs of host p_station (and for those of any host), alive until the lease has run out; if it is starting, and not just reconnecting, jobs with a schedule @reboot are due. p_runner names the process: one that registers again has not been killed by the jobs that it had. Returns its id, the session''s process id. Raises 25006 on a standby, 22000 if its row has not been stored, or can''t be seen.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_heartbeat(
    p_agent_id integer, p_lease interval, p_run_ids bigint[],
    OUT dead integer, OUT lost bigint[], OUT reasons text[], OUT agents integer,
    OUT now timestamptz, OUT unarmed text, OUT refused text, OUT seen boolean
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent pgagent.pga_jobagent;
BEGIN
    SELECT a.* INTO v_agent FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    ELSIF p_agent_id <> pg_backend_pid() OR v_agent.jagbackendstart <> (
        SELECT s.backend_start FROM pg_stat_get_activity(pg_backend_pid()) AS s
    ) THEN
        RAISE EXCEPTION 'agent % is not the session that shows its sign of life', p_agent_id
            USING ERRCODE = 'PGA03',
                  DETAIL = format('That is session %s: something on the way, such as a pooler, has exchanged it.', pg_backend_pid());
    END IF;
    -- A lock or a trigger of somebody on this row is no reason to give up the rest.
    IF p_lease IS NOT NULL THEN
        BEGIN
            UPDATE pgagent.pga_jobagent SET jaglease = clock_timestamp() + p_lease, jagleasefor = p_lease
            WHERE jagpid = p_agent_id;
            IF NOT FOUND THEN
                refused := 'a trigger or rule keeps the row of the agent as it is';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            refused := SQLERRM;
        END;
    END IF;

    now := clock_timestamp();
    -- It was unarmed because somebody restored, who has gone; or rows were changed while
    -- no trigger told.
    unarmed := pgagent.pga_unarmed();
    IF unarmed IS NOT NULL OR v_agent.jagunarmed IS NOT NULL THEN
        BEGIN
            unarmed := pgagent.pga_arming_judge(v_agent);
            UPDATE pgagent.pga_jobagent AS a SET jagunarmed = unarmed
            WHERE a.jagpid = p_agent_id AND a.jagunarmed IS DISTINCT FROM unarmed;
            IF FOUND AND unarmed IS NULL THEN
                PERFORM pg_notify('pgagent', '');
            END IF;
        EXCEPTION WHEN OTHERS THEN
            unarmed := COALESCE(unarmed, v_agent.jagunarmed);
        END;
    END IF;
    agents := pgagent.pga_agent_count();
    -- Whether all others would see this statement.
    seen := current_setting('track_activities')::boolean AND NOT EXISTS (
        SELECT FROM pgagent.pga_jobagent AS a, pg_stat_get_activity(a.jagpid) AS s
        WHERE a.jagpid <> p_agent_id AND a.jaglease IS NOT NULL
              AND NOT (pg_has_role(s.usesysid, (SELECT u.usesysid FROM pg_stat_get_activity(pg_backend_pid()) AS u), 'USAGE')
                       OR pg_has_role(s.usesysid, 'pg_read_all_stats', 'USAGE'))
    );
    SELECT count(*)::integer INTO dead FROM pgagent.pga_jobagent AS a
    WHERE pgagent.pga_why_dead(a) IS NOT NULL
          OR a.jagpid <> p_agent_id AND a.jaglease > clock_timestamp() + a.jagleasefor + interval '1 second';
    BEGIN
        SELECT array_agg(r.run_id), array_agg(CASE
            WHEN l.jlgstatus <> 'r' THEN format('somebody else has closed its row in the log, with status %s', l.jlgstatus)
            ELSE left(l.jlgcancel, 1000) END)
        INTO lost, reasons
        FROM unnest(p_run_ids) AS r (run_id)
        LEFT JOIN pgagent.pga_joblog AS l ON l.jlgid = ANY (ARRAY[r.run_id])
        WHERE l.jlgid IS NULL OR l.jlgstatus <> 'r' OR l.jlgcancel IS NOT NULL;
        dead := dead + (
            SELECT count(*)::integer FROM pgagent.pga_agent_strays(p_agent_id, v_agent.jagleasefor, p_run_ids, ARRAY[]::integer[])
        );
    EXCEPTION WHEN lock_not_available THEN
        RETURN;     -- somebody has locked all of a table: next time
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_heartbeat(integer, interval, bigint[]) IS
'Renews the lease of this agent, whose session has to be the caller''s; with p_lease NULL it only answers. p_run_ids are the runs that it executes. Returns in dead how much there is for pga_agent_sweep() to do, in lost and reasons those of the runs that are to be stopped, each with a sentence (cancelled, or closed by somebody else), or whose row is gone from the log (NULL: they may end), in agents how many are alive, in now the server''s clock, in unarmed why this agent may claim nothing, in refused why the lease could not be renewed, and in seen whether all other agents see this sign of life in pg_stat_activity even so. Raises PGA03 if the agent is not registered (any more), or has another session.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_leave(p_agent_id integer, p_reason text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_agent_bury(p_agent_id, p_reason, 'infinity'::timestamptz) $$;
COMMENT ON FUNCTION pgagent.pga_agent_leave(integer, text) IS
'Ends an agent; what it has not finished is aborted, for this reason.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_session(
    p_agent_id integer, p_pid integer, p_began timestamptz DEFAULT NULL, p_pooled boolean DEFAULT false
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgagent.pga_jobsession (jsspid, jssagentid, jssbackendstart, jsspooled)
    SELECT s.pid, p_agent_id, s.backend_start, p_pooled
    FROM pg_stat_activity AS s
    JOIN pg_roles AS its ON its.oid = s.usesysid
    JOIN pg_roles AS ours ON ours.rolname = current_user
    WHERE s.pid = p_pid AND s.backend_start = COALESCE(p_began, s.backend_start)
          AND (ours.rolsuper OR NOT its.rolsuper
               AND (pg_has_role(its.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
    ON CONFLICT (jsspid) DO UPDATE
    SET jssagentid = EXCLUDED.jssagentid, jssbackendstart = EXCLUDED.jssbackendstart,
        jsspooled = EXCLUDED.jsspooled
$$;
COMMENT ON FUNCTION pgagent.pga_agent_session(integer, integer, timestamptz, boolean) IS
'Notes that the session with process id p_pid, which began at p_began (NULL: whenever), executes SQL steps for this agent, before it does: when the agent dies, it is ended; one that p_pooled says a pooler gives to others only as long as it is the agent''s. A session that is none of this server''s, that the caller may not end, or whose start time is hidden from him, is not noted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_end_sessions(p_agent_id integer)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pid integer;
    v_left integer := 0;
BEGIN
    -- In a copy they were noted by agents of the original, where they may well be at work.
    IF pgagent.pga_unarmed() IS NOT NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_stat_clear_snapshot();
    FOR v_pid IN
        SELECT s.pid
        FROM pgagent.pga_jobsession AS x
        JOIN pg_stat_activity AS s ON s.pid = x.jsspid AND s.backend_start = x.jssbackendstart
        WHERE x.jssagentid = p_agent_id AND s.pid <> pg_backend_pid()
              -- A pooler may have given it to somebody else.
              AND (NOT x.jsspooled OR s.application_name ~ '^pgagent job [0-9]+ run [0-9]+$'
                   OR EXISTS (SELECT FROM pg_locks AS k
                              WHERE k.locktype = 'advisory' AND k.pid = s.pid AND k.objsubid = 2
                                    AND k.classid = 742199025 AND k.objid = 1))
    LOOP
        BEGIN
            PERFORM pg_terminate_backend(v_pid);
            v_left := v_left + 1;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;       -- it belongs to a role that is not ours to end
        END;
    END LOOP;
    RETURN v_left;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_end_sessions(integer) IS
'Terminates the sessions in which this agent executes SQL steps, unless this is a copy that nobody has armed. Returns how many of those that can be are still there.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_strays(
    p_agent_id integer, p_lease interval, p_run_ids bigint[], p_job_ids integer[]
)
RETURNS TABLE (job_id integer, agent_id integer, run_id bigint, reason text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    -- Runs whose claim was taken away by hand or with an agent's row, and runs that their
    -- own agent knows nothing of.
    SELECT l.jlgjobid, l.jlgagentid, l.jlgid, 'aborted: no agent held it any more'::text
    FROM pgagent.pga_joblog AS l
    LEFT JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[l.jlgjobid])
    WHERE l.jlgstatus = 'r' AND (
        j.jobagentid IS NULL OR j.jobagentid IS DISTINCT FROM l.jlgagentid
        OR j.jobagentid = p_agent_id AND l.jlgid <> ALL (p_run_ids)
           AND NOT l.jlgstart BETWEEN clock_timestamp() - p_lease AND clock_timestamp()
    )
    UNION ALL
    -- Jobs that are held without a run.
    SELECT j.jobid, j.jobagentid, NULL::bigint, 'freed: no run of it was under way'::text
    FROM pgagent.pga_job AS j
    WHERE j.jobagentid IS NOT NULL AND (
        NOT EXISTS (SELECT FROM pgagent.pga_jobagent AS a WHERE a.jagpid = ANY (ARRAY[j.jobagentid]))
        OR j.jobagentid = p_agent_id AND j.jobid <> ALL (p_job_ids)
           AND (j.joblastrun BETWEEN clock_timestamp() - p_lease AND clock_timestamp()) IS NOT TRUE
           AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l
                           WHERE l.jlgjobid = ANY (ARRAY[j.jobid]) AND l.jlgstatus = 'r')
    )
$$;
COMMENT ON FUNCTION pgagent.pga_agent_strays(integer, interval, bigint[], integer[]) IS
'Open runs that nobody executes (run_id), and held jobs without a run (run_id is NULL), each with what is to be said of it. Of the agent p_agent_id those that are older than its lease, and neither among p_run_ids nor p_job_ids, which it is executing; NULL: none of an agent that is there.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_sweep(
    p_agent_id integer, p_run_ids bigint[], p_job_ids integer[], p_judges boolean,
    OUT swept integer, OUT dying integer, OUT told jsonb
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What is done by then is committed first.
    v_until CONSTANT timestamptz := clock_timestamp() + interval '1 second';
    v_found record;
    v_one record;
BEGIN
    swept := 0;
    dying := 0;
    told := '[]';
    PERFORM pg_stat_clear_snapshot();
    IF pgagent.pga_agent_shorten() THEN
        dying := 1;
        RETURN;
    END IF;
    FOR v_found IN
        SELECT a.jagpid, pgagent.pga_why_dead(a) AS reason
        FROM pgagent.pga_jobagent AS a
        WHERE a.jagpid IS DISTINCT FROM p_agent_id
              -- Whose process has registered anew renews this lease no more.
              AND ((p_judges OR a.jagrunner IS NULL) AND pgagent.pga_why_dead(a) IS NOT NULL
                   OR pgagent.pga_why_dead(a) LIKE 'its connection%')
        FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        -- Its steps must have ended before anybody starts its jobs again.
        IF pgagent.pga_agent_end_sessions(v_found.jagpid) > 0 THEN
            dying := dying + 1;
            CONTINUE;
        END IF;
        SELECT b.* INTO v_one FROM pgagent.pga_agent_bury(v_found.jagpid, v_found.reason, v_until) AS b;
        swept := swept + v_one.buried;
        told := told || v_one.told;
        dying := dying + v_one.is_left::integer;
    END LOOP;

    FOR v_found IN
        SELECT s.* FROM pgagent.pga_agent_strays(
            CASE WHEN p_judges THEN p_agent_id END,
            (SELECT a.jagleasefor FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id),
            p_run_ids, p_job_ids
        ) AS s
    LOOP
        IF clock_timestamp() > v_until THEN
            dying := dying + 1;
            EXIT;
        END IF;
        SELECT b.* INTO v_one FROM pgagent.pga_agent_clear(
            v_found.job_id, v_found.agent_id, v_found.run_id, v_found.reason,
            (v_found.job_id = ANY (p_job_ids)) IS TRUE
        ) AS b;
        swept := swept + v_one.buried;
        told := told || v_one.told;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_sweep(integer, bigint[], integer[], boolean) IS
'Declares dead every agent whose session has ended, or whose lease has, if p_judges or its process has registered anew, terminates the sessions of its steps, and when those are gone aborts its runs: status d, the reason in jlgmessage, the job free for its next run. So it does with open runs that nobody executes; for agent p_agent_id, if p_judges, those are all but p_run_ids that are older than its lease, and jobs that it holds but p_job_ids are freed. What is refused or locked keeps nothing else from being done. Safe to call by any number of agents at any time. Returns the number of runs aborted, in dying whether to sweep again soon (sessions of dead agents have not ended yet, or it has taken a second), and in told what was done to which job.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_shorten()
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobagent AS a SET jaglease = clock_timestamp() + a.jagleasefor
    WHERE a.jaglease > clock_timestamp() + a.jagleasefor + interval '1 second';
    RETURN FOUND;
EXCEPTION WHEN OTHERS THEN
    RETURN false;       -- somebody's lock or trigger; the next sweep will see
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_shorten() IS
'Shortens leases that end later than any could: they are from before the clock was set back. Returns whether there were any.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury(
    p_agent_id integer, p_reason text, p_until timestamptz,
    OUT buried integer, OUT is_left boolean, OUT told jsonb
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent pgagent.pga_jobagent;
    v_job_id integer;
    v_killed boolean;
    v_one record;
    v_is_locked boolean := false;
BEGIN
    buried := 0;
    is_left := false;
    told := '[]';
    SELECT a.* INTO v_agent FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    -- Was it the job that killed it? Not if the server was restarted meanwhile, nor if
    -- the process has come back.
    v_killed := v_agent.jagrunner IS NOT NULL AND p_reason LIKE 'its connection%'
                AND v_agent.jagbackendstart > pg_postmaster_start_time();
    FOR v_job_id IN
        SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobagentid = p_agent_id ORDER BY j.jobid
    LOOP
        IF clock_timestamp() > p_until THEN
            is_left := true;
            RETURN;
        END IF;
        SELECT b.* INTO v_one FROM pgagent.pga_agent_bury_job(p_agent_id, v_job_id, v_killed,
            format('aborted: agent %s on %s is gone: %s', p_agent_id, v_agent.jagstation, p_reason)) AS b;
        buried := buried + v_one.buried;
        told := told || v_one.told;
        v_is_locked := v_is_locked OR v_one.is_locked;
    END LOOP;
    IF NOT v_is_locked THEN
        BEGIN
            PERFORM set_config('pgagent.freeing', 'on', true);
            DELETE FROM pgagent.pga_jobagent WHERE jagpid = p_agent_id;
        EXCEPTION WHEN OTHERS THEN
            told := told || pgagent.pga_agent_tell(NULL::integer, NULL::bigint,
                format('agent %s on %s is gone (%s), but its row can''t be deleted: %s',
                       p_agent_id, v_agent.jagstation, p_reason, SQLERRM));
        END;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury(integer, text, timestamptz) IS
'Aborts the runs of an agent, for this reason, and deletes its row, unless somebody has locked a job of it. One run that can''t be aborted keeps no other from being. Returns the number of runs aborted, whether some are left because it is later than p_until, and what was done to which job.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury_job(
    p_agent_id integer, p_job_id integer, p_killed boolean, p_reason text,
    OUT buried integer, OUT is_locked boolean, OUT told jsonb
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    is_locked := false;
    BEGIN
        buried := 0;
        told := '[]';
        PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id AND j.jobagentid = p_agent_id FOR NO KEY UPDATE;
        IF FOUND THEN
            SELECT b.* INTO buried, told FROM pgagent.pga_agent_bury_run(p_job_id, p_killed, p_reason) AS b;
            -- Claimed, but died before it could log the run, or somebody has deleted that.
            IF pgagent.pga_agent_free(p_job_id, p_agent_id) THEN
                told := told || pgagent.pga_agent_tell(p_job_id, NULL::bigint, 'freed: its agent is gone, and no run of it was under way'::text);
            END IF;
        END IF;
        RETURN;
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            is_locked := true;
        WHEN OTHERS THEN
            told := pgagent.pga_agent_tell(p_job_id, NULL::bigint, format('its run can''t be closed: %s', SQLERRM));
    END;
    buried := 0;
    IF is_locked THEN
        told := '[]';
        RETURN;
    END IF;
    BEGIN
        PERFORM pgagent.pga_agent_free(p_job_id, p_agent_id);
    EXCEPTION WHEN OTHERS THEN
        told := told || pgagent.pga_agent_tell(p_job_id, NULL::bigint, format('it can''t be freed: %s', SQLERRM));
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury_job(integer, integer, boolean, text) IS
'Aborts the runs of a job that this agent holds, and frees the job, whatever becomes of the runs; unless somebody has locked it. Returns how many runs were aborted, and what was done.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury_run(
    p_job_id integer, p_killed boolean, p_reason text, OUT buried integer, OUT told jsonb
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deaths integer;
    v_reason text := p_reason;
    v_promised bigint[];
    v_count integer;
    v_run_id bigint;
BEGIN
    buried := 0;
    told := '[]';
    IF p_killed THEN
        PERFORM set_config('pgagent.freeing', 'on', true);     -- triggers ask who does this
        UPDATE pgagent.pga_job SET jobdeaths = jobdeaths + 1
        WHERE jobid = p_job_id RETURNING jobdeaths INTO v_deaths;
        IF v_deaths >= 3 THEN
            v_reason := format('%s; its runner has died %s times in a row while it was running: the job has been disabled',
                               p_reason, v_deaths);
            -- Those who wait for a run find it in the log: it would have killed the next runner.
            v_promised := ARRAY(
                SELECT w.run_id FROM pgagent.pga_job AS j, LATERAL pgagent.pga_wishes(j) AS w WHERE j.jobid = p_job_id
            );
            INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgmessage, jlgduration, jlgstartedby, jlgstartedvia, jlgrestartof)
            SELECT w.run_id, p_job_id, 'd', 'aborted before it began: the job has been disabled, since it has killed its runners',
                   interval '0', w.asked_by, w.via, w.restart_of
            FROM pgagent.pga_job AS j, LATERAL pgagent.pga_wishes(j) AS w WHERE j.jobid = p_job_id;
            GET DIAGNOSTICS v_count = ROW_COUNT;
            PERFORM pgagent.pga_wish_withdraw(p.run_id) FROM unnest(v_promised) AS p (run_id);
            UPDATE pgagent.pga_job AS j
            SET jobenabled = false, jobdeaths = 0, jobaborted = least(j.jobaborted, 9223372036854775807 - v_count) + v_count,
                jobfailures = least(j.jobfailures, 2147483647 - v_count) + v_count
            WHERE j.jobid = p_job_id;
        END IF;
    END IF;
    FOR v_run_id IN
        SELECT l.jlgid FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = p_job_id AND l.jlgstatus = 'r'
    LOOP
        IF pgagent.pga_run_abort(v_run_id, v_reason) > 0 THEN
            buried := buried + 1;
            told := told || pgagent.pga_agent_tell(p_job_id, v_run_id, NULL::text);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury_run(integer, boolean, text) IS
'Aborts the runs of a job, which the caller has locked, for this reason; the third time in a row that its runner was killed it disables the job. Returns how many runs that were, and what was done.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_free(p_job_id integer, p_agent_id integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('pgagent.freeing', 'on', true);
    -- A next run that was set while the job was held is somebody's wish, and stays.
    UPDATE pgagent.pga_job AS j
    SET jobagentid = NULL,
        jobnextrun = CASE WHEN j.jobrunid IS NOT NULL OR j.jobnextrun > j.joblastrun THEN j.jobnextrun END
    WHERE j.jobid = p_job_id AND j.jobagentid = p_agent_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_free(integer, integer) IS
'Frees a job that this agent holds, of which no run is open. Returns whether it did hold it.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_clear(
    p_job_id integer, p_agent_id integer, p_run_id bigint, p_reason text, p_is_under_way boolean,
    OUT buried integer, OUT told jsonb
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    buried := 0;
    told := '[]';
    IF p_run_id IS NULL THEN
        IF pgagent.pga_agent_free(p_job_id, p_agent_id) THEN
            told := pgagent.pga_agent_tell(p_job_id, NULL::bigint, p_reason);
        END IF;
        RETURN;
    ELSIF p_is_under_way THEN
        buried := pgagent.pga_run_close_row(p_run_id, p_reason);
    ELSE
        buried := pgagent.pga_run_abort(p_run_id, p_reason);
    END IF;
    IF buried > 0 THEN
        told := pgagent.pga_agent_tell(p_job_id, p_run_id, NULL::text);
    END IF;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        buried := 0;
        told := '[]';
    WHEN OTHERS THEN
        buried := 0;
        told := pgagent.pga_agent_tell(p_job_id, p_run_id, format('nobody executes it, but it can''t be cleared: %s', SQLERRM));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_clear(integer, integer, bigint, text, boolean) IS
'Closes an open run that nobody executes, or frees a job that is held without one; if another run of the job is under way, the job stays held. Refused, it changes nothing. Returns how many runs were closed, and what was done.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_close_row(p_run_id bigint, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM pgagent.pga_job AS j
    WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id)
    FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM set_config('pgagent.freeing', 'on', true);
    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = 'd', jslduration = greatest(clock_timestamp() - s.jslstart, interval '0'),
        jsloutput = concat_ws(E'\n', s.jsloutput, p_reason)
    WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r';
    UPDATE pgagent.pga_joblog AS l
    SET jlgstatus = 'd', jlgmessage = p_reason,
        jlgduration = greatest(clock_timestamp() - l.jlgstart, interval '0')
    WHERE l.jlgid = p_run_id;
    PERFORM pgagent.pga_run_salvage_count(l.jlgid, l.jlgjobid, 'd'::text) FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id;
    RETURN 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_close_row(bigint, text) IS
'Closes a run that is none, because another run of its job is under way: its job stays held, and counts it, if that is not refused. Returns how many runs that were, 0 or 1.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_tell(p_job_id integer, p_run_id bigint, p_text text)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_array(jsonb_build_object(
        'job_id', p_job_id,
        'job', (SELECT left(j.jobname, 1000) FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id),
        'run_id', p_run_id,
        'text', left(COALESCE(
            p_text,
            (SELECT l.jlgmessage FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id),
            'its last step had committed: it has succeeded'
        ), 1000)
    ))
$$;
COMMENT ON FUNCTION pgagent.pga_agent_tell(integer, bigint, text) IS
'What was done to a job or a run, for the log of the runner that did it: this text, or what the run''s row says.';
