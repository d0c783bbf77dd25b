-- deliver.sql: handing messages to those who send them. Writes pga_alertevent.
--
-- A message is all events of an alert that were pending when it was first claimed; it is
-- named by the first of them, and stays what it is however often it is sent. A sender has it
-- for as long as its lease lasts; after that another one may have it. So it is sent at least
-- once, by the same name.

CREATE OR REPLACE FUNCTION pgagent.pga_alert_take(p_channels text[], p_lease interval)
RETURNS uuid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unarmed CONSTANT boolean := pgagent.pga_unarmed() IS NOT NULL;
    v_one record;
    v_message uuid;
    v_events uuid[];
BEGIN
    FOR v_one IN
        SELECT e.alemessage AS message, e.alealtid AS alert_id, min(COALESCE(e.alelease, e.aledue)) AS due
        FROM pgagent.pga_alertevent AS e
        JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid AND a.altenabled AND a.altchannel = ANY (p_channels)
        WHERE e.alestate IN ('pending', 'sending') AND COALESCE(e.alelease, e.aledue) <= now()
              -- What was to be told where this copy was made is told there.
              AND (NOT v_unarmed OR e.aleevent IN ('unarmed', 'test'))
        GROUP BY e.alemessage, e.alealtid
        -- What a receiver does not take, again and again, keeps nothing else from it.
        ORDER BY min(e.aleattempts) > 0, 3, 1, 2
    LOOP
        IF v_one.message IS NOT NULL THEN
            SELECT e.aleid INTO v_message FROM pgagent.pga_alertevent AS e
            WHERE e.aleid = v_one.message AND e.alestate IN ('pending', 'sending') AND COALESCE(e.alelease, e.aledue) <= now()
            FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            v_events := ARRAY(SELECT e.aleid FROM pgagent.pga_alertevent AS e WHERE e.alemessage = v_message);
        ELSE
            -- One after the other: who comes second finds that nothing is left.
            PERFORM FROM pgagent.pga_alert AS a WHERE a.altid = v_one.alert_id FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            v_events := ARRAY(
                SELECT e.aleid FROM pgagent.pga_alertevent AS e
                WHERE e.alealtid = v_one.alert_id AND e.alestate = 'pending' AND e.alemessage IS NULL
                      AND (NOT v_unarmed OR e.aleevent IN ('unarmed', 'test'))
                ORDER BY e.aleat, e.aleid LIMIT 1000
            );
            v_message := v_events[1];
            CONTINUE WHEN v_message IS NULL;
        END IF;
        UPDATE pgagent.pga_alertevent AS e
        SET alestate = 'sending', alemessage = v_message, aleattempts = e.aleattempts + 1, alelease = now() + p_lease,
            aleerror = CASE e.alestate WHEN 'sending' THEN 'its sender has not said what became of it' ELSE e.aleerror END
        WHERE e.aleid = ANY (v_events);
        RETURN v_message;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_take(text[], interval) IS
'Takes the message that has been due longest for one of these channels, new ones before those that have failed, for as long as the lease lasts. Returns its id; NULL if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_event(p_event pgagent.pga_alertevent, p_output integer)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_event.aledata || jsonb_strip_nulls((
        SELECT jsonb_build_object(
            'event', p_event.aleevent, 'event_id', p_event.aleid, 'at', p_event.aleat,
            'job_id', p_event.alejobid, 'job', COALESCE(left(j.jobname, 1000), p_event.alejob), 'run_id', p_event.alerunid,
            'scheduled', CASE WHEN isfinite(l.jlgscheduled) THEN l.jlgscheduled END,
            'started', CASE WHEN isfinite(l.jlgstart) THEN l.jlgstart END,
            'duration_s', round(extract(epoch FROM l.jlgduration)::numeric, 3), 'station', left(l.jlgstation, 1000),
            'message', CASE WHEN p_event.aleevent IN ('failed', 'aborted', 'disabled') THEN left(nullif(l.jlgmessage, ''), 2000) END,
            'step', left(s.name, 1000), 'output', nullif(right(s.output, p_output), ''),
            'last_success', CASE WHEN isfinite(j.joblastsuccess) THEN j.joblastsuccess END,
            'next_run', CASE WHEN isfinite(j.jobnextrun) THEN j.jobnextrun END)
        FROM (SELECT) AS one
        LEFT JOIN pgagent.pga_job AS j ON j.jobid = p_event.alejobid
        LEFT JOIN pgagent.pga_joblog AS l ON l.jlgid = p_event.alerunid AND l.jlgjobid = p_event.alejobid
        LEFT JOIN LATERAL (
            SELECT t.jstname AS name, o.jsloutput AS output
            FROM pgagent.pga_jobsteplog AS o LEFT JOIN pgagent.pga_jobstep AS t ON t.jstid = o.jsljstid
            WHERE o.jsljlgid = l.jlgid AND o.jslstatus IN ('f', 'd') ORDER BY o.jslid DESC LIMIT 1
        ) AS s ON l.jlgstatus IN ('f', 'd')
    ));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_event(pgagent.pga_alertevent, integer) IS
'What is to be said of an event: event, event_id, at, job_id, job, run_id, since, failures, message, step, output (its last p_output characters), scheduled, started, duration_s, station, last_success, next_run, repeats, changes and now of what is flapping, ended of what has recovered; keys that do not apply are absent.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_events(p_message uuid)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The output of some will do.
    SELECT jsonb_agg(pgagent.pga_alert_event(o.e, CASE WHEN o.place <= 20 THEN 2000 ELSE 0 END) ORDER BY o.place)
    FROM (
        SELECT e, row_number() OVER (ORDER BY e.aleat, e.aleid) AS place
        FROM pgagent.pga_alertevent AS e WHERE e.alemessage = $1
    ) AS o
$$;
COMMENT ON FUNCTION pgagent.pga_alert_events(uuid) IS
'The events of a message, in order, as pga_alert_event() tells them.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_claim(p_channels text[], p_lease interval DEFAULT '1 minute')
RETURNS TABLE (message uuid, attempt integer, alert text, channel text, events jsonb) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_lease <= interval '0' OR p_lease > interval '1 day' THEN
        PERFORM pgagent.pga_refuse('pga_alert_claim(p_lease)'::text, format('"%s" is out of range', p_lease),
            'Wanted is for how long nobody else is to have the message: a day at most.'::text);
    END IF;
    message := pgagent.pga_alert_take(
        ARRAY(SELECT c.name FROM unnest(p_channels) AS c (name) WHERE c.name NOT IN ('notify', 'job')), p_lease);
    IF message IS NOT NULL THEN
        SELECT e.aleattempts, a.altname, a.altchannel INTO attempt, alert, channel
        FROM pgagent.pga_alertevent AS e JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid WHERE e.aleid = message;
        events := pgagent.pga_alert_events(message);
        RETURN NEXT;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_claim(text[], interval) IS
'For whoever sends: takes one message that is due for one of these channels, which nobody else gets as long as the lease lasts: its id, the how manieth attempt this is, the names of the alert and the channel, and its events, an array of objects. No row if there is none. Say with pga_alert_sent() what became of it. Raises 22023 for a lease that is not above 0, or beyond a day.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_sent(p_message uuid, p_attempt integer, p_error text DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first pgagent.pga_alertevent;
    v_is_old boolean;
BEGIN
    SELECT e.* INTO v_first FROM pgagent.pga_alertevent AS e
    WHERE e.aleid = p_message AND e.alemessage = p_message FOR UPDATE;
    IF p_error IS NULL THEN
        -- However late, and whoever has it now: it has arrived.
        UPDATE pgagent.pga_alertevent
        SET alestate = 'sent', alesent = now(), alelease = NULL, aledue = NULL, aleerror = NULL
        WHERE alemessage = p_message AND alestate <> 'sent' AND p_attempt BETWEEN 1 AND v_first.aleattempts;
        RETURN FOUND;
    END IF;
    v_is_old := NOT EXISTS (
        SELECT FROM pgagent.pga_alertevent AS e WHERE e.alemessage = p_message AND e.aleat >= now() - interval '3 days');
    UPDATE pgagent.pga_alertevent
    SET alestate = CASE WHEN v_is_old THEN 'failed' ELSE 'pending' END,
        aledue = CASE WHEN v_is_old THEN NULL
                 ELSE now() + least(10 * 2.0 ^ (least(p_attempt, 20) - 1), 3600) * interval '1 second' END,
        alelease = NULL, aleerror = left(p_error, 10000)
    -- Whoever was late has failed at what another one is doing now.
    WHERE alemessage = p_message AND alestate = 'sending' AND aleattempts = p_attempt;
    IF FOUND THEN
        PERFORM pg_notify('pgagent', 'alert');
        RETURN true;
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_sent(uuid, integer, text) IS
'For whoever sends: that this attempt at a message has succeeded (no p_error), or why not: then it is due again after 10 seconds, and after each further attempt twice as long, an hour at most; three days after the last event that it tells it is given up. Returns whether that counts: a failure does not if another sender has taken the message since, nor anything of a message that is sent or not there.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_notify(p_message uuid)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_isolated CONSTANT boolean := EXISTS (SELECT FROM pgagent.pga_isolation);
    v_event pgagent.pga_alertevent;
    v_told jsonb;
    v_length integer;
BEGIN
    FOR v_event IN
        SELECT e.* FROM pgagent.pga_alertevent AS e WHERE e.alemessage = p_message ORDER BY e.aleat, e.aleid
    LOOP
        v_told := pgagent.pga_alert_event(v_event, 2000) || jsonb_build_object('alert', v_event.alealert);
        -- Everybody may listen.
        IF v_isolated THEN
            v_told := jsonb_strip_nulls(jsonb_build_object(
                'event', v_told -> 'event', 'event_id', v_told -> 'event_id', 'job_id', v_told -> 'job_id',
                'run_id', v_told -> 'run_id', 'at', v_told -> 'at'));
        END IF;
        -- What is long is shortened: the end of the output, the beginning of the rest.
        v_length := 2000;
        WHILE octet_length(v_told::text) > 7900 AND v_length > 0 LOOP
            v_length := v_length / 2;
            v_told := v_told || (
                SELECT jsonb_object_agg(t.key, CASE t.key WHEN 'output' THEN right(t.value, v_length) ELSE left(t.value, v_length) END)
                FROM jsonb_each_text(v_told) AS t
                WHERE jsonb_typeof(v_told -> t.key) = 'string' AND t.key NOT IN ('event', 'event_id', 'at'));
        END LOOP;
        PERFORM pg_notify('pgagent_event', v_told::text);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_notify(uuid) IS
'Notifies pgagent_event of each event of a message, as JSON of 7,900 bytes at most.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_start(p_message uuid)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
    v_told jsonb;
    v_events jsonb;
BEGIN
    SELECT a.* INTO v_alert FROM pgagent.pga_alertevent AS e JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid
    WHERE e.aleid = p_message;
    IF v_alert.altstartjobid IS NULL THEN
        RAISE EXCEPTION 'pgagent: the job that alert "%" starts was dropped', v_alert.altname USING ERRCODE = 'undefined_object',
            DETAIL = 'alter_alert(channel => ''job:NAME'') gives it another one.';
    END IF;
    v_events := pgagent.pga_alert_events(p_message);
    v_told := jsonb_build_object('event', v_events -> 0 -> 'event', 'event_id', p_message, 'alert', v_alert.altname, 'events', v_events);
    -- There is a limit to what a wish takes along. Outputs go first, then the ends of long
    -- messages, then what has happened last.
    IF pgagent.pga_input_size(v_told) > 100000 THEN
        SELECT v_told || jsonb_build_object(
            'events', COALESCE(jsonb_agg(s.event ORDER BY s.place) FILTER (WHERE s.up_to <= 80000), '[]'),
            'events_left_out', count(*) FILTER (WHERE s.up_to > 80000)) INTO v_told
        FROM (
            SELECT e.place, e.event, sum(pgagent.pga_input_size(e.event) + 2) OVER (ORDER BY e.place) AS up_to
            FROM (
                SELECT o.place, o.event - 'output' || CASE WHEN o.event ? 'message'
                    THEN jsonb_build_object('message', left(o.event ->> 'message', 300)) ELSE '{}' END AS event
                FROM jsonb_array_elements(v_events) WITH ORDINALITY AS o (event, place)
            ) AS e
        ) AS s;
    END IF;
    INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqinput) VALUES (v_alert.altstartjobid, 'alert', v_told);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_start(uuid) IS
'Has the job of an alert run, with the message as what the wish takes along: event (of its first event), event_id (of the message), alert, events; where that is more than 100 kB, without their outputs and the ends of their messages, and events_left_out says how many events there were beyond these. Raises 42704 if the job was dropped.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_check_start(p_alert pgagent.pga_alert)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job text;
BEGIN
    -- The job may have become somebody else's since the alert was written.
    SELECT j.jobname INTO v_job FROM pgagent.pga_job AS j
    WHERE j.jobid = p_alert.altstartjobid AND EXISTS (SELECT FROM pgagent.pga_isolation) AND NOT EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.rolname = p_alert.altby AND (
            r.rolsuper
            OR j.jobowner IS NULL AND has_function_privilege(r.oid, 'pgagent.pga_may_use_runner_login()'::regprocedure, 'EXECUTE'::text)
            OR j.jobowner IS NOT NULL AND has_function_privilege(r.oid, 'pgagent.pga_may_edit_all()'::regprocedure, 'EXECUTE'::text)
            OR pg_get_userbyid(j.jobownerid) = j.jobowner AND pg_has_role(r.oid, j.jobownerid, 'USAGE'::text)));
    IF FOUND THEN
        RAISE EXCEPTION 'pgagent: "%", who has last changed alert "%", may not start job "%"', p_alert.altby, p_alert.altname, v_job
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'The catalogue is isolated. Whoever may start the job can call alter_alert(channel => ...).';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_check_start(pgagent.pga_alert) IS
'Raises 42501 if whoever has last changed this alert may not start the job that it starts (any more).';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_deliver()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_message uuid;
    v_first record;
    v_error text;
BEGIN
    FOR i IN 1..100 LOOP
        v_message := pgagent.pga_alert_take(ARRAY['notify', 'job'], interval '1 minute');
        EXIT WHEN v_message IS NULL;
        SELECT e.aleattempts AS attempt, a.altchannel AS channel INTO v_first
        FROM pgagent.pga_alertevent AS e JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid WHERE e.aleid = v_message;
        BEGIN
            v_error := NULL;
            IF v_first.channel = 'notify' THEN
                PERFORM pgagent.pga_alert_notify(v_message);
            ELSE
                PERFORM pgagent.pga_alert_check_start(a)
                FROM pgagent.pga_alertevent AS e JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid WHERE e.aleid = v_message;
                PERFORM pgagent.pga_alert_start(v_message);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            v_error := SQLERRM;
        END;
        PERFORM pgagent.pga_alert_sent(v_message, v_first.attempt, v_error);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_deliver() IS
'Delivers what is due by the channels that need no sender: notify and job.';

CREATE OR REPLACE FUNCTION pgagent.pga_log_prune_alerts(p_rows integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest_kept CONSTANT timestamptz := greatest(now() - interval '30 days', (
        SELECT e.aleat FROM pgagent.pga_alertevent AS e ORDER BY e.aleat DESC OFFSET 99999 LIMIT 1));
BEGIN
    IF EXISTS (SELECT FROM pgagent.pga_alertevent AS e WHERE e.aleat < v_oldest_kept) THEN
        -- What is still to be sent is given up before it is that old, unless there are very many.
        DELETE FROM pgagent.pga_alertevent WHERE aleid IN (
            SELECT e.aleid FROM pgagent.pga_alertevent AS e
            WHERE e.aleat < v_oldest_kept AND e.alestate NOT IN ('pending', 'sending') ORDER BY e.aleat LIMIT p_rows);
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_alertstate AS s WHERE s.alsended < now() - interval '1 hour') THEN
        DELETE FROM pgagent.pga_alertstate
        WHERE alsended < now() - interval '1 hour' AND (alshour > now() - interval '1 hour' OR alschanges <> '{}') IS NOT TRUE;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_log_prune_alerts(integer) IS
'Deletes what need not be kept of what alerts have told: events longer than 30 days ago, or beyond the latest 100,000, p_rows of them at most; and what has been over for an hour.';
