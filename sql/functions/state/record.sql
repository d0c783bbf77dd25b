-- record.sql: how steps and runs go on and end. Writes pga_joblog, pga_jobsteplog, pga_job.
--
-- A run is open while pga_joblog.jlgstatus is 'r', and only then is anything recorded of
-- it: the run's id is the fence. A run whose agent was declared dead is closed, and nobody
-- who still holds its id can write to it or free a job for it. It is no error to record
-- again what has been recorded already: a runner that lost a commit's answer does so.
--
-- Users hang triggers, rules, policies and constraints on these tables. What they refuse is
-- an error of the whole call, and so is, as PGA04, what they leave as it was without a
-- word. Then salvage.sql records what can be.
--
-- A session keeps its plans, perhaps from a time when the log was empty, so they must look
-- each row up by its key whatever the statistics say. By "=" a join could also walk through
-- a whole index, and by "jlgstatus = 'r'" through that of the open runs; by
-- "= ANY (ARRAY[...])", and compared with a variable, it can't.

CREATE OR REPLACE FUNCTION pgagent.pga_run_record(p_agent_id integer, p_entries json)
RETURNS TABLE (
    place integer, step_log_id bigint, refusal text, reason text, look_again double precision
) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_held bigint[];        -- those of the runs to be closed whose jobs could be locked
    v_ended bigint[];       -- steps
    v_to_end bigint[];
    v_run_ids bigint[];
    v_job_ids integer[];
    v_next_step_ids integer[];
    v_attempts integer[];
    v_run_statuses text[];
    v_messages text[];
BEGIN
    WITH entry AS MATERIALIZED (
        SELECT r.* FROM json_to_recordset(p_entries) AS r (
            run_id bigint, step_log_id bigint, step_status text, result integer, output text,
            cpu double precision, memory bigint, next_step_id integer, attempt integer,
            run_status text, message text, job_id integer
        )
    ), held AS MATERIALIZED (
        -- The order of locks is in docs/design.md: the job comes first.
        -- A job that somebody else has locked is passed over: nobody may wait for one job
        -- while holding the locks of others.
        SELECT e.run_id
        FROM entry AS e,
        LATERAL (
            SELECT FROM pgagent.pga_job AS j
            WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = e.run_id)
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS j
        WHERE e.run_status IS NOT NULL
    ), ended AS (
        UPDATE pgagent.pga_jobsteplog AS s
        SET jslstatus = e.step_status, jslresult = e.result, jsloutput = e.output,
            jslcpu = e.cpu * interval '1 second', jslmemory = e.memory,
            jslduration = CASE WHEN isfinite(s.jslstart)
                THEN greatest(clock_timestamp() - s.jslstart, interval '0') END
        FROM entry AS e
        WHERE s.jslid = ANY (ARRAY[e.step_log_id]) AND s.jslstatus = 'r'
              AND (e.run_status IS NULL OR e.run_id = ANY (ARRAY(SELECT h.run_id FROM held AS h)))
        RETURNING s.jslid
    )
    SELECT ARRAY(SELECT h.run_id FROM held AS h), ARRAY(SELECT d.jslid FROM ended AS d),
           array_agg(e.step_log_id) FILTER (
               WHERE e.run_status IS NULL OR e.run_id = ANY (ARRAY(SELECT h.run_id FROM held AS h))),
           array_agg(e.run_id), array_agg(e.job_id), array_agg(e.next_step_id),
           array_agg(e.attempt), array_agg(e.run_status), array_agg(e.message)
    INTO v_held, v_ended, v_to_end,
         v_run_ids, v_job_ids, v_next_step_ids, v_attempts, v_run_statuses, v_messages
    FROM entry AS e;

    -- Most others were deleted, or have been recorded before.
    IF cardinality(v_ended) < cardinality(v_to_end) AND EXISTS (
        SELECT FROM pgagent.pga_jobsteplog AS s WHERE s.jslid = ANY (v_to_end) AND s.jslstatus = 'r'
    ) THEN
        PERFORM pgagent.pga_run_left('pgagent.pga_jobsteplog'::regclass);
    END IF;
    IF v_held <> ARRAY[]::bigint[] THEN
        PERFORM pgagent.pga_run_close(v_held, v_run_ids, v_run_statuses, v_messages);
    END IF;
    RETURN QUERY
    SELECT r.place::integer, n.step_log_id, n.refusal, n.reason, NULL::double precision
    FROM unnest(v_run_ids, v_job_ids, v_next_step_ids, v_attempts, v_run_statuses, v_messages)
         WITH ORDINALITY AS r (run_id, job_id, next_step_id, attempt, run_status, message, place),
    LATERAL (
        -- An open run goes on, and a run that was to be closed has been.
        SELECT NULL::bigint AS step_log_id, NULL::text AS refusal, NULL::text AS reason
        FROM pgagent.pga_joblog AS l
        WHERE r.next_step_id IS NULL AND l.jlgid = r.run_id AND l.jlgstatus = COALESCE(r.run_status, 'r')
              AND (CASE WHEN r.run_status IS NOT NULL THEN l.jlgmessage END IS NOT DISTINCT FROM r.message
                   OR pgagent.pga_run_says(l.jlgmessage, r.run_status, r.message))
        UNION ALL
        SELECT a.* FROM pgagent.pga_step_advance(r.run_id, r.next_step_id, r.attempt) AS a
        WHERE r.next_step_id IS NOT NULL AND a.refusal IS NULL
        UNION ALL
        SELECT NULL, a.refusal, a.reason
        FROM pgagent.pga_run_refusal(r.run_id, v_held, p_agent_id, r.job_id) AS a
        LIMIT 1
    ) AS n;

    SELECT pgagent.pga_look_again(a.jagstation, NULL::integer[], NULL::boolean) INTO look_again
    FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_record(integer, json) IS
'Records in one transaction what became of runs. p_entries is an array of objects, one for each run_id, whose other keys may be absent or null: its job (job_id), how its step ended (row step_log_id of pga_jobsteplog; step_status s, f, i or d, result, output, of a script cpu in seconds and memory in bytes), and then that its next step starts (next_step_id, attempt), or nothing more, or how the run ended (run_status s, f, i or d, and in message one sentence why), which frees its job. Returns a row for each, in their order: the row of the step that has started, NULL if that step was deleted; or a refusal, for which nothing was written: PGA01 the run is not running (any more), and if the agent held its job for no other run, that is free now; 55P03 another transaction has locked the job. What is recorded already is not refused. Raises PGA04 if a trigger, rule or policy of somebody''s kept a row as it was, and whatever these raise: then nothing is recorded. A last row has only look_again: how many seconds after the beginning of this statement the next job is due that this agent may claim, 0 if one was then; NULL if none ever is, or the agent is not registered.';

CREATE OR REPLACE FUNCTION pgagent.pga_step_advance(
    p_run_id bigint, p_step_id integer, p_attempt integer,
    OUT step_log_id bigint, OUT refusal text, OUT reason text
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_running CONSTANT character := character 'r';
BEGIN
    -- Whoever is aborting the run may be waiting for the step that has just been ended.
    PERFORM FROM pgagent.pga_joblog AS l
    WHERE l.jlgid = p_run_id AND l.jlgstatus = v_running FOR KEY SHARE SKIP LOCKED;
    IF NOT FOUND THEN
        refusal := 'PGA01';
        reason := 'it is not running, or being closed';
        RETURN;
    END IF;
    SELECT s.jslid INTO step_log_id FROM pgagent.pga_jobsteplog AS s
    WHERE s.jsljlgid = p_run_id
          -- Never by the index of all that has been logged of this step.
          AND (s.jsljstid, s.jslattempt, s.jslstatus)
              IS NOT DISTINCT FROM (p_step_id, p_attempt, v_running);
    IF NOT FOUND THEN
        INSERT INTO pgagent.pga_jobsteplog AS s (jsljlgid, jsljstid, jslattempt)
        SELECT p_run_id, t.jstid, p_attempt FROM pgagent.pga_jobstep AS t WHERE t.jstid = p_step_id
        RETURNING s.jslid INTO step_log_id;
        IF NOT FOUND AND EXISTS (SELECT FROM pgagent.pga_jobstep AS t WHERE t.jstid = p_step_id) THEN
            PERFORM pgagent.pga_run_left('pgagent.pga_jobsteplog'::regclass);
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_advance(bigint, integer, integer) IS
'Logs that attempt p_attempt at a step of a running run starts, unless that is logged already. Returns its row in pga_jobsteplog, NULL if the step was deleted; or the refusal PGA01. Raises PGA04 if the new row was refused without a word.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_left(p_table regclass)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'pgagent: a row of % was left as it was', p_table::text
        USING ERRCODE = 'PGA04', DETAIL = 'A trigger, rule or policy of somebody''s has refused the change without a word.';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_left(regclass) IS
'Raises PGA04: something that is not ours has kept a row of this table as it was.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_refusal(
    p_run_id bigint, p_held bigint[], p_agent_id integer, p_job_id integer,
    OUT refusal text, OUT reason text
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
    v_job_id integer := p_job_id;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id;
    v_job_id := COALESCE(v_run.jlgjobid, p_job_id);
    -- Whoever is told that a run is over does nothing more for it: a job that he holds for
    -- no other run would never be free again.
    IF v_run.jlgstatus IS DISTINCT FROM 'r' THEN
        PERFORM FROM pgagent.pga_job AS j
        WHERE j.jobid = v_job_id AND j.jobagentid = p_agent_id FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM pgagent.pga_run_release(p_agent_id, p_run_id, v_job_id);
            IF pgagent.pga_run_is_held(p_agent_id, p_run_id, v_job_id) THEN
                PERFORM pgagent.pga_run_left('pgagent.pga_job'::regclass);
            END IF;
        END IF;
    END IF;
    IF (p_run_id = ANY (p_held)) IS NOT TRUE AND (
        v_run.jlgstatus = 'r' OR pgagent.pga_run_is_held(p_agent_id, p_run_id, v_job_id)
    ) THEN
        refusal := '55P03';
        reason := format('job %s is locked by another transaction', v_job_id);
        RETURN;
    END IF;
    refusal := 'PGA01';
    reason := format('run %s is not running (%s)', p_run_id, CASE
        WHEN v_run.jlgid IS NULL THEN 'It is not in the log: it was deleted, or its job was.'
        ELSE format('Its status is %s: %s.', v_run.jlgstatus, COALESCE(v_run.jlgmessage, 'no reason was given'))
    END);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_refusal(bigint, bigint[], integer, integer) IS
'Why nothing can be recorded of a run now: the SQLSTATE, and a sentence. p_held are the runs whose jobs could be locked. If the run is over, the job that this agent holds for it is freed, or is locked by somebody.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_is_held(p_agent_id integer, p_run_id bigint, p_job_id integer)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgagent.pga_job AS j
        WHERE j.jobid = p_job_id AND j.jobagentid = p_agent_id
              AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l
                              WHERE l.jlgjobid = j.jobid AND l.jlgstatus = 'r'
                                    AND l.jlgagentid = j.jobagentid AND l.jlgid <> p_run_id)
    )
$$;
COMMENT ON FUNCTION pgagent.pga_run_is_held(integer, bigint, integer) IS
'Whether this agent holds the job, and for no other run than this one.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_release(p_agent_id integer, p_run_id bigint, p_job_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('pgagent.freeing', 'on', true);     -- the trigger of pga_job asks
    -- The row of the run may be gone. It began when the job did for the last time, and was
    -- due before; a next run that lies after its beginning is somebody's wish, and stays.
    PERFORM set_config('pgagent.freeing', 'on', true);     -- the trigger of pga_job asks
    UPDATE pgagent.pga_job AS j
    SET jobagentid = NULL,
        jobnextrun = CASE WHEN j.jobnextrun > j.joblastrun THEN j.jobnextrun
            ELSE pgagent.pga_job_after_run(j, p_run_id, j.jobnextrun, j.joblastrun, now()) END
    WHERE j.jobid = p_job_id AND pgagent.pga_run_is_held(p_agent_id, p_run_id, p_job_id);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_release(integer, bigint, integer) IS
'Frees a job, which the caller has locked, that this agent holds for a run that is over or not in the log any more, and for no other run; sets its next run.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_close(
    p_held bigint[], p_run_ids bigint[], p_statuses text[], p_messages text[]
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_running CONSTANT character := character 'r';
    v_closed bigint[];
    v_counted bigint[];     -- runs whose jobs have been freed, unless they are held for another one
    v_last_straws bigint[];     -- those of them that were one failure in a row too many
BEGIN
    PERFORM set_config('pgagent.freeing', 'on', true);     -- the trigger of pga_job asks
    -- A schedule that was to start the job once has done so.
    UPDATE pgagent.pga_schedule AS s SET jscenabled = false
    FROM unnest(p_held) AS r (run_id),
    LATERAL (
        SELECT l.jlgjobid, l.jlgstart FROM pgagent.pga_joblog AS l
        WHERE l.jlgid = r.run_id AND l.jlgstatus = v_running LIMIT 1
    ) AS l
    WHERE s.jscjobid = ANY (ARRAY[l.jlgjobid]) AND s.jscenabled AND s.jscat <= l.jlgstart;

    WITH closed AS (
        UPDATE pgagent.pga_joblog AS l
        SET jlgstatus = r.status, jlgmessage = r.message,
            jlgduration = CASE WHEN isfinite(l.jlgstart)
                THEN greatest(clock_timestamp() - l.jlgstart, interval '0') END
        FROM unnest(p_run_ids, p_statuses, p_messages) AS r (run_id, status, message)
        WHERE l.jlgid = ANY (ARRAY[r.run_id]) AND l.jlgstatus = v_running
              AND r.status IS NOT NULL AND r.run_id = ANY (p_held)
        RETURNING l.jlgid, l.jlgjobid, l.jlgagentid, l.jlgscheduled, l.jlgstart, l.jlgstatus
    ), freed AS (
        -- A next run that was set while the job ran is somebody's wish, and stays.
        UPDATE pgagent.pga_job AS j
        SET jobagentid = CASE WHEN EXISTS (
                -- The job is held for another run, too.
                SELECT FROM pgagent.pga_joblog AS o
                WHERE o.jlgjobid = j.jobid AND o.jlgstatus = 'r'
                      AND o.jlgagentid = c.jlgagentid AND o.jlgid <> ALL (p_held)
            ) THEN j.jobagentid END,
            jobdeaths = CASE WHEN c.jlgstatus = 'd' THEN j.jobdeaths ELSE 0 END,
            jobfailures = CASE c.jlgstatus WHEN 's' THEN 0 WHEN 'i' THEN j.jobfailures
                ELSE least(j.jobfailures, 2147483646) + 1 END,
            joblastsuccess = CASE WHEN c.jlgstatus = 's' THEN clock_timestamp() ELSE j.joblastsuccess END,
            jobsucceeded = CASE WHEN c.jlgstatus = 's' THEN least(j.jobsucceeded, 9223372036854775806) + 1 ELSE j.jobsucceeded END,
            jobfailed = CASE WHEN c.jlgstatus = 'f' THEN least(j.jobfailed, 9223372036854775806) + 1 ELSE j.jobfailed END,
            jobaborted = CASE WHEN c.jlgstatus = 'd' THEN least(j.jobaborted, 9223372036854775806) + 1 ELSE j.jobaborted END,
            jobempty = CASE WHEN c.jlgstatus = 'i' THEN least(j.jobempty, 9223372036854775806) + 1 ELSE j.jobempty END,
            jobnextrun = CASE WHEN j.jobnextrun IS DISTINCT FROM c.jlgscheduled THEN j.jobnextrun
                ELSE pgagent.pga_job_after_run(j, c.jlgid, c.jlgscheduled, c.jlgstart, now()) END
        FROM closed AS c
        WHERE j.jobid = ANY (ARRAY[c.jlgjobid]) AND (j.jobagentid = c.jlgagentid) IS TRUE
        RETURNING c.jlgid, c.jlgstatus IN ('f', 'd') AND j.jobenabled AND j.jobfailures >= j.jobdisableafter AS is_last_straw
    )
    SELECT ARRAY(SELECT c.jlgid FROM closed AS c), ARRAY(SELECT f.jlgid FROM freed AS f),
           ARRAY(SELECT f.jlgid FROM freed AS f WHERE f.is_last_straw)
    INTO v_closed, v_counted, v_last_straws;
    -- Others have mostly been closed before, or belong to nobody.
    IF cardinality(v_closed) < cardinality(p_held) AND EXISTS (
        SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = ANY (p_held) AND l.jlgstatus = v_running
    ) THEN
        PERFORM pgagent.pga_run_left('pgagent.pga_joblog'::regclass);
    END IF;
    IF cardinality(v_counted) < cardinality(v_closed) THEN
        IF EXISTS (
            SELECT FROM pgagent.pga_joblog AS l
            WHERE l.jlgid = ANY (p_held) AND pgagent.pga_run_is_held(l.jlgagentid, l.jlgid, l.jlgjobid)
        ) THEN
            PERFORM pgagent.pga_run_left('pgagent.pga_job'::regclass);
        END IF;
        -- Two of one job, or somebody has taken the job from its agent.
        PERFORM pgagent.pga_job_count(l.jlgid, l.jlgjobid, l.jlgstatus::text)
        FROM (SELECT r.jlgid, r.jlgjobid, r.jlgstatus FROM pgagent.pga_joblog AS r
              WHERE r.jlgid = ANY (v_closed) AND r.jlgid <> ALL (v_counted) ORDER BY r.jlgid) AS l;
    END IF;
    IF v_last_straws <> ARRAY[]::bigint[] THEN
        PERFORM pgagent.pga_job_give_up(l.jlgid, l.jlgjobid)
        FROM pgagent.pga_joblog AS l WHERE l.jlgid = ANY (v_last_straws);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_close(bigint[], bigint[], text[], text[]) IS
'Closes those of the running runs p_run_ids that are in p_held, whose jobs the caller has locked, each with its status and a sentence why; sets the next runs of their jobs, counts them there, and frees those that are not held for another run as well. A job that has failed too often in a row is disabled (pga_job_give_up). Raises PGA04 if a trigger, rule or policy of somebody''s kept a row as it was.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_is_complete(p_run_id bigint)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgagent.pga_jobsteplog AS l JOIN pgagent.pga_jobstep AS s ON s.jstid = l.jsljstid
        WHERE l.jsljlgid = p_run_id AND l.jslstatus = 's' AND s.jstmode = 'atomic'
              AND l.jslid = (SELECT max(x.jslid) FROM pgagent.pga_jobsteplog AS x
                             WHERE x.jsljlgid = p_run_id)
              AND NOT EXISTS (SELECT FROM pgagent.pga_jobstep AS n
                              WHERE n.jstjobid = s.jstjobid AND n.jstenabled
                                    AND (n.jstname, n.jstid) > (s.jstname, s.jstid))
    )
$$;
COMMENT ON FUNCTION pgagent.pga_run_is_complete(bigint) IS
'Whether the last step of a job, an atomic one, has succeeded in this run: then it only remains to say so.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_abort(p_run_id bigint, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status text := 'd';
    v_message text := p_reason;
    v_context text;
BEGIN
    PERFORM FROM pgagent.pga_job AS j
    WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id)
    FOR NO KEY UPDATE;
    -- A step that is being started now is one of those that are to be closed below.
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;       -- somebody else was faster
    END IF;

    -- An atomic step commits by itself. If it was the last one, all was done.
    IF pgagent.pga_run_is_complete(p_run_id) THEN
        v_status := 's';
        v_message := NULL;
    END IF;
    BEGIN
        UPDATE pgagent.pga_jobsteplog AS s
        SET jslstatus = 'd', jslresult = -1, jsloutput = concat_ws(E'\n', s.jsloutput, p_reason),
            jslduration = CASE WHEN isfinite(s.jslstart)
                THEN greatest(clock_timestamp() - s.jslstart, interval '0') END
        WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r';
        -- An attempt was to be followed by another: now it has failed for good.
        UPDATE pgagent.pga_jobsteplog AS s SET jslresult = -1
        WHERE s.jslid = (SELECT max(x.jslid) FROM pgagent.pga_jobsteplog AS x WHERE x.jsljlgid = p_run_id)
              AND s.jslstatus = 'f' AND s.jslresult IS NULL;
        PERFORM pgagent.pga_run_close(ARRAY[p_run_id], ARRAY[p_run_id], ARRAY[v_status], ARRAY[v_message]);
        SET CONSTRAINTS ALL IMMEDIATE;
        IF EXISTS (SELECT FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r') THEN
            PERFORM pgagent.pga_run_left('pgagent.pga_jobsteplog'::regclass);
        END IF;
        RETURN 1;
    EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
        GET STACKED DIAGNOSTICS v_context = PG_EXCEPTION_CONTEXT;
        -- A lock, a deadlock or a cancellation passes, unless a trigger makes them.
        IF SQLSTATE IN ('55P03', '40P01', '40001', '57014') AND pgagent.pga_run_culprit(v_context) IS NULL THEN
            RAISE;
        END IF;
    END;
    PERFORM pgagent.pga_run_salvage_end(p_run_id, v_status, nullif(concat_ws('; ', v_message, (
        SELECT string_agg(pgagent.pga_run_salvage_step(s.jslid, 'd'::text, -1,
                              concat_ws(E'\n', s.jsloutput, p_reason), NULL::interval, NULL::bigint), '; ')
        FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r'
    )), ''));
    RETURN 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_abort(bigint, text) IS
'Closes a run and its running steps with status d and the reason, if it is still running; with s if its last step, an atomic one, has committed. What triggers, constraints or rules refuse is left out, as pga_run_salvage() does. Returns how many runs that were, 0 or 1.';

CREATE OR REPLACE FUNCTION pgagent.pga_step_finish(
    p_step_log_id bigint, p_result integer, p_output text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = 's', jslresult = p_result, jsloutput = p_output,
        jslduration = CASE WHEN isfinite(s.jslstart)
            THEN greatest(clock_timestamp() - s.jslstart, interval '0') END
    WHERE s.jslid = p_step_log_id AND s.jslstatus = 'r';
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM pgagent.pga_jobsteplog AS s WHERE s.jslid = p_step_log_id AND s.jslstatus = 'r') THEN
            PERFORM pgagent.pga_run_left('pgagent.pga_jobsteplog'::regclass);
        END IF;
        RAISE EXCEPTION 'step log row % is not running', p_step_log_id
            USING ERRCODE = 'PGA02', DETAIL = 'The run was aborted, or the step or its job was deleted.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_finish(bigint, integer, text) IS
'Closes a running step as succeeded, in the transaction of the step itself: for steps of mode atomic. Raises PGA02, so that the step''s effect is rolled back, if the step is not running (any more), PGA04 if a trigger, rule or policy of somebody''s kept its row as it was.';

