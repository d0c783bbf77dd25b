-- tell.sql: writing down, once, that something has begun or ended of which an alert tells.
-- Writes pga_alertstate and pga_alertevent.
--
-- A row of pga_alertstate is what lasts (an incident). Whoever opens it tells, whoever finds
-- it open does not; so any number of sessions decide once. Of one thing there are two
-- messages an hour at most: what is beyond that is counted, and summed up when that hour is
-- over (flapping).

CREATE OR REPLACE FUNCTION pgagent.pga_alert_write(
    p_alert pgagent.pga_alert, p_job_id integer, p_event text, p_run_id bigint, p_state text, p_data jsonb
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alejobid, alejob, alerunid, aledata, alestate, aledue)
    SELECT p_event, p_alert.altid, p_alert.altname, p_job_id,
           (SELECT left(j.jobname, 1000) FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id),
           -- The id outlives the job here: as a reference it would not.
           p_run_id, jsonb_strip_nulls(p_data || jsonb_build_object('job_id', p_job_id)), p_state,
           -- What has the same cause comes a little later, and is told together.
           CASE p_state WHEN 'pending' THEN now() + interval '5 seconds' END;
    IF NOT FOUND THEN
        PERFORM pgagent.pga_run_left('pgagent.pga_alertevent'::regclass);
    ELSIF p_state = 'pending' THEN
        PERFORM pg_notify('pgagent', 'alert');
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_write(pgagent.pga_alert, integer, text, bigint, text, jsonb) IS
'Logs an event: pending, to be sent, or silenced. Raises PGA04 if a trigger of somebody''s kept its row out.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_tell(
    p_alert pgagent.pga_alert, p_state pgagent.pga_alertstate, p_event text, p_data jsonb
)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Whether it failed or was aborted: a summary tells how often either has happened.
    v_name CONSTANT text := CASE p_event WHEN 'aborted' THEN 'failed' ELSE p_event END;
    v_data CONSTANT jsonb := jsonb_build_object('since', p_state.alssince, 'message', p_state.alsmessage) || p_data;
    v_count integer;
BEGIN
    -- A job that is started when others fail is not started for its own sake.
    IF p_alert.altchannel = 'job' AND (p_state.alsjobid = p_alert.altstartjobid OR EXISTS (
        SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_state.alsrunid AND l.jlgstartedvia = 'alert'
    )) THEN
        RETURN false;
    ELSIF pgagent.pga_silenced_until(p_state.alsjobid) IS NOT NULL THEN
        PERFORM pgagent.pga_alert_write(p_alert, p_state.alsjobid, p_event, p_state.alsrunid, 'silenced'::text, v_data);
        RETURN false;
    END IF;
    UPDATE pgagent.pga_alertstate AS s
    SET alshour = CASE WHEN n.is_first THEN now() ELSE s.alshour END,
        alscount = CASE WHEN n.is_first THEN 1 ELSE s.alscount + 1 END,
        alschanges = CASE WHEN n.is_first OR s.alscount < 2 THEN s.alschanges
            ELSE s.alschanges || jsonb_build_object(v_name, COALESCE((s.alschanges ->> v_name)::integer, 0) + 1) END
    FROM (
        SELECT o.alsid, (o.alshour BETWEEN now() - interval '1 hour' AND now() + interval '1 hour' OR o.alschanges <> '{}') IS NOT TRUE AS is_first
        FROM pgagent.pga_alertstate AS o WHERE o.alsid = p_state.alsid
    ) AS n
    WHERE s.alsid = n.alsid
    RETURNING s.alscount INTO v_count;
    IF v_count > 2 THEN
        RETURN false;
    END IF;
    PERFORM pgagent.pga_alert_write(p_alert, p_state.alsjobid, p_event, p_state.alsrunid, 'pending'::text, v_data);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_tell(pgagent.pga_alert, pgagent.pga_alertstate, text, jsonb) IS
'Tells an event of what p_state is about, unless it is silenced, which is logged, or there have been two messages of it within the hour: then it is counted. Returns whether it will be sent. The caller has just written, and so locked, p_state.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_begin(
    p_alert pgagent.pga_alert, p_job_id integer, p_kind text, p_event text, p_run_id bigint, p_since timestamptz,
    p_message text, p_data jsonb
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ended CONSTANT timestamptz := CASE WHEN p_kind IN ('skipped', 'disabled') THEN now() END;
    v_state pgagent.pga_alertstate;
BEGIN
    UPDATE pgagent.pga_alertstate AS s
    SET alssince = p_since, alsended = v_ended, alsevent = p_event, alsrunid = p_run_id, alsmessage = left(p_message, 2000),
        alstold = NULL, alsrepeats = 0
    -- By its id, for IS NOT DISTINCT FROM uses no index, and there may be a row for each job.
    WHERE s.alsid = (
              SELECT o.alsid FROM pgagent.pga_alertstate AS o
              WHERE o.alsaltid = p_alert.altid AND o.alsjobid = p_job_id AND o.alskind = p_kind
              UNION ALL
              SELECT o.alsid FROM pgagent.pga_alertstate AS o
              WHERE p_job_id IS NULL AND o.alsaltid = p_alert.altid AND o.alsjobid IS NULL AND o.alskind = p_kind)
          AND s.alsended IS NOT NULL
    RETURNING s.* INTO v_state;
    IF NOT FOUND THEN
        INSERT INTO pgagent.pga_alertstate AS s (alsaltid, alsjobid, alskind, alssince, alsended, alsevent, alsrunid, alsmessage)
        VALUES (p_alert.altid, p_job_id, p_kind, p_since, v_ended, p_event, p_run_id, left(p_message, 2000))
        ON CONFLICT DO NOTHING RETURNING s.* INTO v_state;
        IF NOT FOUND THEN
            RETURN;     -- somebody else was faster
        END IF;
    END IF;
    IF pgagent.pga_alert_tell(p_alert, v_state, p_event, p_data) THEN
        UPDATE pgagent.pga_alertstate SET alstold = now() WHERE alsid = v_state.alsid;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_begin(pgagent.pga_alert, integer, text, text, bigint, timestamptz, text, jsonb) IS
'Notes that something has begun, p_kind, of a job or of all (NULL), and tells the event, unless it has been going on already.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_end(p_alert pgagent.pga_alert, p_state_id uuid, p_is_told boolean, p_run_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_state pgagent.pga_alertstate;
BEGIN
    UPDATE pgagent.pga_alertstate AS s
    SET alsended = now(), alsrunid = COALESCE(p_run_id, s.alsrunid), alsmessage = NULL
    WHERE s.alsid = p_state_id AND s.alsended IS NULL RETURNING s.* INTO v_state;
    -- What nobody has heard of does not end for anybody; but if it was counted, so is this.
    IF NOT FOUND OR NOT p_is_told OR NOT p_alert.altenabled OR 'recovered' <> ALL (p_alert.altevents)
       OR v_state.alstold IS NULL AND v_state.alschanges = '{}' THEN
        RETURN;
    END IF;
    PERFORM pgagent.pga_alert_tell(p_alert, v_state, 'recovered'::text,
        jsonb_build_object('ended', v_state.alsevent, 'repeats', nullif(v_state.alsrepeats, 0)));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_end(pgagent.pga_alert, uuid, boolean, bigint) IS
'Notes that what lasted has ended, unless that is noted, and tells so, if p_is_told and it had been told itself; p_run_id: the run that has ended it.';
