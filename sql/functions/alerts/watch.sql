-- watch.sql: what comes with time. Any number of sessions may watch at any time: each change
-- is guarded by what it changes, so that one of them makes it. What is late, long and so on
-- says the view problems.

CREATE OR REPLACE FUNCTION pgagent.pga_alert_tests()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
BEGIN
    FOR v_alert IN SELECT a.* FROM pgagent.pga_alert AS a WHERE a.alttest IS NOT NULL AND a.altenabled ORDER BY a.altid LOOP
        -- It is of the alert's job, if any: whoever sees that sees what becomes of it.
        INSERT INTO pgagent.pga_alertevent (aleid, aleevent, alealtid, alealert, alejobid, alejob, aledata, aledue)
        VALUES (v_alert.alttest, 'test', v_alert.altid, v_alert.altname, v_alert.altjobid,
                (SELECT left(j.jobname, 1000) FROM pgagent.pga_job AS j WHERE j.jobid = v_alert.altjobid),
                '{"message": "this is a test"}', now())
        ON CONFLICT DO NOTHING;
        UPDATE pgagent.pga_alert SET alttest = NULL WHERE altid = v_alert.altid AND alttest = v_alert.alttest;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_tests() IS
'Has the events that test_alert() has asked for sent.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_clock()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Nothing is ever to be sent, or with a sender, for longer than this: see pga_alert_write()
    -- and pga_alert_sent(). What a sender has was due when it took it.
    UPDATE pgagent.pga_alertevent AS e
    SET aledue = now(), alelease = CASE WHEN e.alelease > now() THEN now() ELSE e.alelease END
    WHERE e.alestate IN ('pending', 'sending')
          AND e.aledue > now() + interval '1 minute' + CASE WHEN e.alestate = 'pending' AND e.aleattempts > 0
              THEN least(10 * 2.0 ^ (least(e.aleattempts, 20) - 1), 3600) ELSE 0 END * interval '1 second';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_clock() IS
'Has that sent now which would be due much later than can be: the server''s clock has been set back.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_problems(p_unarmed boolean, p_limit integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_all CONSTANT bigint := -1000000000000;   -- no id of a job; IS NOT DISTINCT FROM can't be hashed
    v_one record;
    v_count integer := 0;
BEGIN
    -- Of others' jobs, which one does not see, nothing has ended.
    IF NOT pgagent.pga_sees_all() THEN
        RETURN false;
    END IF;
    FOR v_one IN
        WITH problem AS MATERIALIZED (
            SELECT p.job_id, p.problem, COALESCE(p.since, now()) AS since, p.detail FROM pgagent.problems AS p
            WHERE p.problem IN ('late', 'long', 'no_runner', 'unarmed', 'set_aside')
        )
        SELECT a AS alert, p.job_id, p.problem, p.since, p.detail, NULL::uuid AS state_id
        FROM problem AS p
        LEFT JOIN pgagent.pga_job AS j ON j.jobid = p.job_id
        JOIN pgagent.pga_alert AS a
            ON a.altenabled AND p.problem = ANY (a.altevents)
               AND (a.altjobid = p.job_id OR a.altjobid IS NULL) AND (a.altclassid = j.jobjclid OR a.altclassid IS NULL)
        WHERE NOT EXISTS (
            SELECT FROM pgagent.pga_alertstate AS s
            WHERE s.alsaltid = a.altid AND COALESCE(s.alsjobid, v_all) = COALESCE(p.job_id, v_all) AND s.alskind = p.problem AND s.alsended IS NULL)
        UNION ALL
        SELECT a, s.alsjobid, s.alskind, NULL, NULL, s.alsid
        FROM pgagent.pga_alertstate AS s JOIN pgagent.pga_alert AS a ON a.altid = s.alsaltid
        WHERE s.alsended IS NULL AND s.alskind <> 'failed' AND (NOT p_unarmed OR s.alskind = 'unarmed')
              AND NOT EXISTS (SELECT FROM problem AS p WHERE p.problem = s.alskind AND COALESCE(p.job_id, v_all) = COALESCE(s.alsjobid, v_all))
        ORDER BY 2, 3, 6 LIMIT p_limit
    LOOP
        v_count := v_count + 1;
        IF v_one.state_id IS NOT NULL THEN
            PERFORM pgagent.pga_alert_end(v_one.alert, v_one.state_id, true, NULL::bigint);
        ELSE
            PERFORM pgagent.pga_alert_begin(
                v_one.alert, v_one.job_id, v_one.problem, v_one.problem, (
                    SELECT l.jlgid FROM pgagent.pga_joblog AS l
                    WHERE v_one.problem = 'long' AND l.jlgjobid = v_one.job_id AND l.jlgstatus = 'r' ORDER BY l.jlgid LIMIT 1
                ), v_one.since, v_one.detail, '{}'::jsonb);
        END IF;
    END LOOP;
    RETURN v_count >= p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_problems(boolean, integer) IS
'Tells what is late, long, set_aside, no_runner or unarmed now, and what is not any more; in an unarmed copy (p_unarmed) nothing else has ended. Returns whether there may be more than p_limit of that.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_runs(p_limit integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_one record;
    v_failing integer := 0;
    v_well integer := 0;
BEGIN
    FOR v_one IN
        SELECT a AS alert, j AS job
        FROM pgagent.pga_job AS j
        JOIN pgagent.pga_alert AS a
            ON a.altenabled AND a.altevents && ARRAY['failed', 'aborted'] AND a.altafterfailures <= j.jobfailures
               AND (a.altjobid = j.jobid OR a.altjobid IS NULL) AND (a.altclassid = j.jobjclid OR a.altclassid IS NULL)
        WHERE j.jobfailures > 0 AND NOT EXISTS (
            SELECT FROM pgagent.pga_alertstate AS s
            WHERE s.alsaltid = a.altid AND s.alsjobid = j.jobid AND s.alskind = 'failed' AND s.alsended IS NULL)
              -- Not what was so before somebody wanted to know. Whatever is found here is told, so
              -- that it does not come again and again, and keeps others out.
              AND EXISTS (
                  SELECT FROM pgagent.pga_alert_failed_run(j.jobid) AS r
                  WHERE a.altcreated <= r.jlgstart
                        AND CASE r.jlgstatus WHEN 'd' THEN 'aborted' ELSE 'failed' END = ANY (a.altevents))
        ORDER BY j.jobid, a.altid LIMIT p_limit
    LOOP
        v_failing := v_failing + 1;
        PERFORM pgagent.pga_alert_failed(v_one.alert, v_one.job);
    END LOOP;
    FOR v_one IN
        SELECT a AS alert, s.alsid, j.joblastsuccess >= s.alssince AS has_succeeded, (
            SELECT l.jlgid FROM pgagent.pga_joblog AS l
            WHERE l.jlgjobid = j.jobid AND l.jlgstatus = 's' ORDER BY l.jlgid DESC LIMIT 1) AS run_id
        FROM pgagent.pga_alertstate AS s
        JOIN pgagent.pga_alert AS a ON a.altid = s.alsaltid
        JOIN pgagent.pga_job AS j ON j.jobid = s.alsjobid AND j.jobfailures = 0
        WHERE s.alskind = 'failed' AND s.alsended IS NULL
        ORDER BY j.jobid, a.altid LIMIT p_limit
    LOOP
        v_well := v_well + 1;
        PERFORM pgagent.pga_alert_end(v_one.alert, v_one.alsid, (v_one.has_succeeded) IS TRUE, v_one.run_id);
    END LOOP;
    RETURN greatest(v_failing, v_well) >= p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_runs(integer) IS
'Tells that jobs fail, or succeed again, where something has kept the transaction from it that closed the run. Returns whether there may be more than p_limit of either.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_disabled(p_limit integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_one record;
    v_count integer := 0;
BEGIN
    FOR v_one IN
        SELECT a AS alert, j AS job, g.since, (g.run).jlgid AS run_id
        FROM pgagent.pga_given_up AS g
        JOIN pgagent.pga_job AS j ON j.jobid = g.job_id
        JOIN pgagent.pga_alert AS a
            ON a.altenabled AND 'disabled' = ANY (a.altevents) AND a.altcreated <= g.since
               AND (a.altjobid = j.jobid OR a.altjobid IS NULL) AND (a.altclassid = j.jobjclid OR a.altclassid IS NULL)
        -- What was told of it may be forgotten later.
        WHERE g.since > now() - interval '1 day' AND NOT pgagent.pga_alert_has_told(a.altid, j.jobid, g.since)
        ORDER BY j.jobid, a.altid LIMIT p_limit
    LOOP
        v_count := v_count + 1;
        -- Of those who look at the same time the second one finds that it was told.
        PERFORM FROM pgagent.pga_alert AS a WHERE a.altid = (v_one.alert).altid FOR NO KEY UPDATE;
        IF NOT pgagent.pga_alert_has_told((v_one.alert).altid, (v_one.job).jobid, v_one.since) THEN
            PERFORM pgagent.pga_alert_begin(
                v_one.alert, (v_one.job).jobid, 'disabled'::text, 'disabled'::text, v_one.run_id, now(),
                format('it was failure %s in a row: the job has been disabled', (v_one.job).jobfailures),
                jsonb_build_object('failures', (v_one.job).jobfailures));
        END IF;
    END LOOP;
    RETURN v_count >= p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_disabled(integer) IS
'Tells that jobs were disabled for their failures, or deaths, within the last day, where something has kept the transaction from it that did it. Returns whether there may be more than p_limit of them.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_has_told(p_alert_id uuid, p_job_id integer, p_since timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A transaction has begun before the change that it makes.
    RETURN EXISTS (
        SELECT FROM pgagent.pga_alertstate AS s
        WHERE s.alsaltid = p_alert_id AND s.alsjobid = p_job_id AND s.alskind = 'disabled' AND s.alssince > p_since - interval '1 minute'
    ) OR EXISTS (
        SELECT FROM pgagent.pga_alertevent AS e
        WHERE e.alealtid = p_alert_id AND e.alejobid = p_job_id AND e.aleevent IN ('disabled', 'flapping') AND e.aleat > p_since - interval '1 minute');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_has_told(uuid, integer, timestamptz) IS
'Whether an alert knows that a job was disabled then.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_again(p_unarmed boolean)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_one record;
    v_state pgagent.pga_alertstate;
    v_run pgagent.pga_joblog;
BEGIN
    FOR v_one IN
        SELECT a AS alert, s.alsid, s.alstold, s.alskind, s.alsjobid
        FROM pgagent.pga_alertstate AS s
        LEFT JOIN pgagent.pga_job AS j ON j.jobid = s.alsjobid
        -- It may have been changed since.
        JOIN pgagent.pga_alert AS a
            ON a.altid = s.alsaltid AND a.altenabled AND s.alsevent = ANY (a.altevents)
               AND (a.altjobid = s.alsjobid OR a.altjobid IS NULL) AND (a.altclassid = j.jobjclid OR a.altclassid IS NULL)
        WHERE s.alsended IS NULL AND (NOT p_unarmed OR s.alskind = 'unarmed')
              AND (s.alstold <= now() - pgagent.pga_span(a.altrepeatevery)
                   OR s.alstold > now() + interval '1 minute' AND a.altrepeatevery IS NOT NULL
                   OR s.alstold IS NULL AND s.alschanges = '{}')
              AND pgagent.pga_silenced_until(s.alsjobid) IS NULL
        ORDER BY s.alsjobid, a.altid, s.alskind
    LOOP
        UPDATE pgagent.pga_alertstate AS s
        SET alstold = now(), alsrepeats = s.alsrepeats + (s.alstold IS NOT NULL)::integer
        WHERE s.alsid = v_one.alsid AND s.alsended IS NULL AND s.alstold IS NOT DISTINCT FROM v_one.alstold
        RETURNING s.* INTO v_state;
        CONTINUE WHEN NOT FOUND;
        IF v_one.alstold IS NULL THEN
            -- It has begun in a silence.
            IF NOT pgagent.pga_alert_tell(v_one.alert, v_state, v_state.alsevent, '{}'::jsonb) THEN
                UPDATE pgagent.pga_alertstate SET alstold = NULL WHERE alsid = v_one.alsid;
            END IF;
            CONTINUE;
        END IF;
        IF v_one.alskind = 'failed' THEN
            SELECT r.* INTO v_run FROM pgagent.pga_alert_failed_run(v_one.alsjobid) AS r;
        ELSE
            v_run := NULL;
        END IF;
        PERFORM pgagent.pga_alert_write(
            v_one.alert, v_one.alsjobid, CASE v_run.jlgstatus WHEN 'd' THEN 'aborted' WHEN 'f' THEN 'failed' ELSE v_state.alsevent END,
            COALESCE(v_run.jlgid, v_state.alsrunid), 'pending'::text,
            jsonb_build_object('since', v_state.alssince, 'message', COALESCE(left(v_run.jlgmessage, 2000), v_state.alsmessage),
                               'repeats', v_state.alsrepeats, 'failures', (
                                   SELECT j.jobfailures FROM pgagent.pga_job AS j
                                   WHERE j.jobid = v_one.alsjobid AND v_one.alskind = 'failed')));
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_again(boolean) IS
'Tells again what lasts, and what has begun in a silence that is over; in an unarmed copy (p_unarmed) only that it is one.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_sum_up(p_unarmed boolean)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_one record;
    v_is_silenced boolean;
BEGIN
    FOR v_one IN
        SELECT a AS alert, a.altenabled, s.*, j.jobfailures
        FROM pgagent.pga_alertstate AS s
        JOIN pgagent.pga_alert AS a ON a.altid = s.alsaltid
        LEFT JOIN pgagent.pga_job AS j ON j.jobid = s.alsjobid AND s.alskind = 'failed'
        WHERE s.alschanges <> '{}' AND s.alshour NOT BETWEEN now() - interval '1 hour' AND now() + interval '1 hour' AND (NOT p_unarmed OR s.alskind = 'unarmed')
        ORDER BY s.alsjobid, a.altid, s.alskind
    LOOP
        v_is_silenced := pgagent.pga_silenced_until(v_one.alsjobid) IS NOT NULL;
        SELECT s.alschanges, s.alsended INTO v_one.alschanges, v_one.alsended FROM pgagent.pga_alertstate AS s
        WHERE s.alsid = v_one.alsid AND s.alshour = v_one.alshour AND s.alschanges <> '{}' FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        -- It is the first message of another hour.
        UPDATE pgagent.pga_alertstate AS s
        SET alshour = now(), alscount = 1, alschanges = '{}',
            alstold = CASE WHEN s.alsended IS NULL AND NOT v_is_silenced THEN now() END
        WHERE s.alsid = v_one.alsid;
        CONTINUE WHEN NOT v_one.altenabled;
        PERFORM pgagent.pga_alert_write(
            v_one.alert, v_one.alsjobid, 'flapping'::text, v_one.alsrunid, CASE WHEN v_is_silenced THEN 'silenced' ELSE 'pending' END,
            jsonb_build_object(
                'since', v_one.alshour, 'message', v_one.alsmessage, 'failures', v_one.jobfailures,
                'changes', CASE v_one.alskind WHEN 'failed' THEN '{"failed": 0, "recovered": 0}'::jsonb ELSE '{}' END || v_one.alschanges,
                'now', CASE WHEN v_one.alskind IN ('skipped', 'disabled') OR v_one.alsended IS NULL
                    THEN v_one.alsevent ELSE 'recovered' END));
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_sum_up(boolean) IS
'Sums up what was only counted, when the hour is over; in an unarmed copy (p_unarmed) nothing but what concerns that.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_give_up(p_unarmed boolean)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_alertevent AS e
    SET alestate = CASE o.error WHEN 'copy' THEN 'silenced' ELSE 'failed' END, aledue = NULL, alelease = NULL,
        aleerror = CASE o.error
            WHEN 'copy' THEN 'it is told where this copy was made'
            WHEN 'late' THEN 'given up after three days: ' || COALESCE(e.aleerror, 'no sender knows its channel')
            ELSE o.error END
    FROM (
        SELECT p.aleid, CASE
            WHEN p_unarmed AND p.aleevent NOT IN ('unarmed', 'test') THEN 'copy'
            WHEN a.altid IS NULL THEN 'its alert was dropped'
            WHEN NOT a.altenabled THEN 'its alert was disabled'
            -- A message is sent, or given up, as a whole.
            WHEN p.aleat < now() - interval '3 days' AND NOT EXISTS (
                SELECT FROM pgagent.pga_alertevent AS n WHERE n.alemessage = p.alemessage AND n.aleat >= now() - interval '3 days'
            ) THEN 'late' END AS error
        FROM pgagent.pga_alertevent AS p LEFT JOIN pgagent.pga_alert AS a ON a.altid = p.alealtid
        -- What a sender has it tells.
        WHERE p.alestate = 'pending' OR p.alestate = 'sending' AND p.alelease <= now()
    ) AS o
    WHERE e.aleid = o.aleid AND o.error IS NOT NULL AND (e.alestate = 'pending' OR e.alestate = 'sending' AND e.alelease <= now());
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_give_up(boolean) IS
'Gives up events whose alert was dropped or disabled, or messages whose last event is three days old; in an unarmed copy (p_unarmed) those that were pending when it was made.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_watch(OUT claimable integer, OUT look_again double precision)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms'
SET client_min_messages = 'warning'
SET enable_hashjoin = on
SET jit = off
AS $$
DECLARE
    v_unarmed CONSTANT boolean := pgagent.pga_unarmed() IS NOT NULL;
    -- What is decided is seen, and sent, when this is over, and locked until then.
    v_limit CONSTANT integer := 1000;
    v_step text;
    v_is_more boolean := false;
    v_next timestamptz;
BEGIN
    claimable := 0;
    look_again := 60;
    IF NOT EXISTS (SELECT FROM pgagent.pga_alert) AND NOT EXISTS (
        SELECT FROM pgagent.pga_alertevent AS e WHERE e.alestate IN ('pending', 'sending')
    ) THEN
        RETURN;
    ELSIF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'pgagent: this server is a standby: it can decide nothing about alerts' USING ERRCODE = 'read_only_sql_transaction',
            DETAIL = 'The primary does. A connection string with several hosts finds it by target_session_attrs=read-write.';
    END IF;
    FOREACH v_step IN ARRAY ARRAY['clock', 'tests', 'problems', 'runs', 'disabled', 'again', 'sum_up', 'give_up', 'deliver'] LOOP
        -- What is refused, or locked, keeps nothing else from being told.
        BEGIN
            CASE v_step
                WHEN 'clock' THEN PERFORM pgagent.pga_alert_clock();
                WHEN 'tests' THEN PERFORM pgagent.pga_alert_tests();
                WHEN 'problems' THEN v_is_more := pgagent.pga_alert_problems(v_unarmed, v_limit) OR v_is_more;
                WHEN 'runs' THEN v_is_more := (NOT v_unarmed AND pgagent.pga_alert_runs(v_limit)) OR v_is_more;
                WHEN 'disabled' THEN v_is_more := (NOT v_unarmed AND pgagent.pga_alert_disabled(v_limit)) OR v_is_more;
                WHEN 'again' THEN PERFORM pgagent.pga_alert_again(v_unarmed);
                WHEN 'sum_up' THEN PERFORM pgagent.pga_alert_sum_up(v_unarmed);
                WHEN 'give_up' THEN PERFORM pgagent.pga_alert_give_up(v_unarmed);
                ELSE PERFORM pgagent.pga_alert_deliver();
            END CASE;
            PERFORM pgagent.pga_alert_settle();
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'pgagent: what alerts are to tell can''t be decided: %', SQLERRM
                USING DETAIL = format('It is tried again in a few seconds (%s).', v_step);
            look_again := 5;
        END;
    END LOOP;
    SELECT (count(DISTINCT COALESCE(e.alemessage, e.alealtid)) FILTER (WHERE d.due <= now() AND a.altchannel NOT IN ('notify', 'job')))::integer,
           min(d.due) FILTER (WHERE d.due > now())
    INTO claimable, v_next
    FROM pgagent.pga_alertevent AS e
    JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid AND a.altenabled
    CROSS JOIN LATERAL (SELECT COALESCE(e.alelease, e.aledue) AS due) AS d
    WHERE e.alestate IN ('pending', 'sending');
    SELECT least(v_next, min(s.alstold + pgagent.pga_span(a.altrepeatevery)) FILTER (WHERE s.alsended IS NULL),
                 min(s.alshour + interval '1 hour') FILTER (WHERE s.alschanges <> '{}'),
                 (SELECT min(i.jsiuntil) FROM pgagent.pga_jobsilence AS i WHERE i.jsiuntil > now()))
    INTO v_next
    FROM pgagent.pga_alertstate AS s JOIN pgagent.pga_alert AS a ON a.altid = s.alsaltid AND a.altenabled;
    look_again := least(look_again, CASE WHEN v_is_more THEN 1 END, CASE WHEN v_next < now() + interval '1 minute'
        THEN greatest(extract(epoch FROM v_next - now())::double precision, 1) END);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_watch() IS
'For whoever sends, any number of them at any time: decides what is to be told, and delivers what takes no sender. Returns how many messages wait for one (pga_alert_claim), and in how many seconds to call this again at the latest: from 1 to 60. Warns of what is refused or locked; raises 55P03 if all of a table is, 25006 on a standby where there are alerts.';
