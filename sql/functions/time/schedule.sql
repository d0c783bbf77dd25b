-- schedule.sql: when a schedule, of whatever kind, starts its job next. Writes nothing.

CREATE OR REPLACE FUNCTION pgagent.pga_interval_next(
    p_schedule pgagent.pga_schedule, p_after timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Counted from one anchor, so that no run is late by what the run before it took.
    v_anchor CONSTANT timestamptz := greatest(p_schedule.jscstart, '2000-01-01 00:00 UTC');
    v_every CONSTANT double precision := extract(epoch FROM p_schedule.jscevery)::double precision;
    v_after timestamptz := p_after;
    v_next timestamptz;
    v_local timestamp;
BEGIN
    IF v_every < 1 THEN
        RETURN NULL;    -- of parts that cancel each other out, such as -1 year and 365 days
    END IF;
    -- Each round passes over a whole excepted day or minute.
    FOR i IN 1..10000 LOOP
        v_next := v_anchor + p_schedule.jscevery * greatest(
            floor(extract(epoch FROM v_after - v_anchor)::double precision / v_every) + 1, 0
        );
        IF v_next > p_schedule.jscend THEN
            RETURN NULL;
        END IF;
        v_local := v_next AT TIME ZONE p_schedule.jsctimezone;
        IF EXISTS (SELECT FROM pgagent.pga_exception AS e
                   WHERE e.jexscid = p_schedule.jscid AND e.jexdate = v_local::date
                         AND e.jextime IS NULL) THEN
            v_after := pgagent.pga_zone_instant(p_schedule.jsctimezone, v_local::date + interval '1 day');
        ELSIF EXISTS (SELECT FROM pgagent.pga_exception AS e
                      WHERE e.jexscid = p_schedule.jscid
                            AND COALESCE(e.jexdate = v_local::date, true)
                            AND e.jextime < '24:00'
                            AND date_trunc('minute', e.jextime) = date_trunc('minute', v_local::time)) THEN
            v_after := date_trunc('minute', v_next, 'UTC') + interval '1 minute';
        ELSE
            RETURN v_next;
        END IF;
        v_after := v_after - interval '1 microsecond';
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN invalid_parameter_value OR datetime_field_overflow THEN
    RETURN NULL;    -- a zone that the server no longer knows, or the end of time
END;
$$;
COMMENT ON FUNCTION pgagent.pga_interval_next(pgagent.pga_schedule, timestamptz) IS
'The first instant after p_after at which a schedule with jscevery runs: its start plus a multiple of the interval, on no excepted date and in no excepted minute. NULL if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_zone_is_unknown(p_schedule pgagent.pga_schedule)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Neither one time nor the start of a runner lies in a zone.
    SELECT p_schedule.jscat IS NULL AND NOT p_schedule.jscreboot
           AND pgagent.pga_local_time(p_schedule.jsctimezone, now()) IS NULL
$$;
COMMENT ON FUNCTION pgagent.pga_zone_is_unknown(pgagent.pga_schedule) IS
'Whether a schedule can''t start its job because the server does not know its time zone: it may have been renamed, or not be installed.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_kind(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN p_schedule.jscevery IS NOT NULL THEN '@every ' || p_schedule.jscevery
        WHEN p_schedule.jscat IS NOT NULL THEN '@at ' || p_schedule.jscat
        WHEN p_schedule.jscreboot THEN '@reboot'
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_kind(pgagent.pga_schedule) IS
'The kind of a schedule that does not go by its fields, with its value; NULL if it does.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_by_fields(p_schedule pgagent.pga_schedule)
RETURNS pgagent.pga_schedule LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_populate_record(p_schedule, '{"jscevery": null, "jscat": null, "jscreboot": false}')
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_by_fields(pgagent.pga_schedule) IS
'The same schedule, going by its fields.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_next(
    p_schedule pgagent.pga_schedule, p_after timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_schedule.jscevery IS NOT NULL THEN
        RETURN pgagent.pga_interval_next(p_schedule, p_after);
    ELSIF p_schedule.jscat IS NOT NULL THEN
        RETURN CASE WHEN p_schedule.jscat > p_after THEN p_schedule.jscat END;
    ELSIF p_schedule.jscreboot THEN
        RETURN NULL;        -- pga_agent_register() starts these
    END IF;
    RETURN pgagent.pga_next_run(
        p_schedule.jscid, p_schedule.jscstart, p_schedule.jscend, p_schedule.jscminutes,
        p_schedule.jschours, p_schedule.jscweekdays, p_schedule.jscmonthdays,
        p_schedule.jscmonths, p_schedule.jsctimezone, p_after
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_next(pgagent.pga_schedule, timestamptz) IS
'The first instant after p_after (for the fields: after its minute) at which this schedule starts its job, enabled or not; NULL if there is none.';

-- PL/pgSQL for the sake of its plan cache: this is called whenever a run ends. A plan that
-- a session has made while there were few schedules must not read all of many.
CREATE OR REPLACE FUNCTION pgagent.pga_job_next_run(
    p_job_id integer, p_after timestamptz DEFAULT now()
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    RETURN (
        SELECT min(pgagent.pga_schedule_next(s, p_after))
        FROM pgagent.pga_schedule AS s
        WHERE s.jscjobid = p_job_id AND s.jscenabled
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_next_run(integer, timestamptz) IS
'When the job with this id runs next after p_after by all its enabled schedules together; NULL if by none.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_text(p_field boolean[], p_low integer)
RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field boolean[] := p_field;
    v_at integer[];
BEGIN
    IF array_ndims(p_field) > 1 THEN
        v_field := ARRAY(SELECT unnest(p_field));
    END IF;
    v_at := array_positions(v_field, true);
    -- Most fields are one of these.
    IF COALESCE(cardinality(v_at), 0) IN (0, cardinality(p_field)) THEN
        RETURN '*';
    ELSIF cardinality(v_at) = 1 THEN
        RETURN (v_at[1] - 1 + p_low)::text;
    END IF;
    RETURN (
        SELECT string_agg(
            CASE r.last - r.first WHEN 0 THEN r.first::text WHEN 1 THEN r.first || ',' || r.last
                 ELSE r.first || '-' || r.last END,
            ',' ORDER BY r.first
        )
        FROM (
            SELECT min(v.value) AS first, max(v.value) AS last
            FROM (
                SELECT i - 1 + p_low AS value, i - row_number() OVER (ORDER BY i) AS island FROM unnest(v_at) AS i
            ) AS v
            GROUP BY v.island
        ) AS r
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_text(boolean[], integer) IS
'A field of a schedule as crontab writes it; its first element stands for p_low.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_text(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A dump may bring arrays of any shape.
    v_field CONSTANT boolean[] := CASE WHEN array_dims(p_schedule.jscmonthdays) = '[1:32]'
        THEN p_schedule.jscmonthdays ELSE pgagent.pga_calendar_field(p_schedule.jscmonthdays, 32) END;
    v_days CONSTANT text := pgagent.pga_cron_text(v_field[1:31], 1);
    v_last CONSTANT text := CASE WHEN v_field[32] THEN 'L' END;
    v_weekdays CONSTANT text := pgagent.pga_cron_text(p_schedule.jscweekdays, 0);
    v_monthdays text;
BEGIN
    IF p_schedule.jscevery IS NOT NULL THEN
        RETURN format('@every %s seconds', trim_scale(extract(epoch FROM p_schedule.jscevery)::numeric));
    ELSIF p_schedule.jscat IS NOT NULL THEN
        RETURN COALESCE(
            to_char(pgagent.pga_local_time(p_schedule.jsctimezone, p_schedule.jscat), '"@at" YYYY-MM-DD HH24:MI:SS ')
                || p_schedule.jsctimezone,
            to_char(p_schedule.jscat AT TIME ZONE 'UTC', '"@at" YYYY-MM-DD HH24:MI:SS"Z"')
        );
    ELSIF p_schedule.jscreboot THEN
        RETURN '@reboot';
    END IF;
    v_monthdays := CASE WHEN v_last IS NULL THEN v_days
                        WHEN array_position(v_field[1:31], true) IS NULL THEN v_last
                        WHEN v_days = '*' THEN '1-31'
                        ELSE v_days || ',' || v_last END;
    RETURN concat_ws(' ',
        pgagent.pga_cron_text(p_schedule.jscminutes, 0), pgagent.pga_cron_text(p_schedule.jschours, 0),
        v_monthdays, pgagent.pga_cron_text(p_schedule.jscmonths, 1),
        CASE WHEN v_monthdays <> '*' AND v_weekdays <> '*' THEN '&' ELSE '' END || v_weekdays
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_text(pgagent.pga_schedule) IS
'The schedule as text that pga_schedule_parse() reads; its start, end, zone and exceptions are not in it.';

