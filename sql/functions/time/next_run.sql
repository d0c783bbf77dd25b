-- next_run.sql: from a schedule's local times to the instant at which it runs next.
-- Reads pga_schedule and pga_exception; writes nothing.
--
-- The rule for the nights on which clocks change, that of Vixie's cron (Debian's cron(8)):
--   * A schedule that names its hours runs once for each of its local times: at the
--     first instant after the gap if clocks skip it, at the first of the two if it comes
--     twice.
--   * A schedule of every hour follows the clock: nothing in a gap, both times in an
--     overlap.
-- Exceptions, weekday, day and month are judged on the schedule's own local time, also
-- when the run itself is shifted out of a gap.

CREATE OR REPLACE FUNCTION pgagent.pga_default_timezone()
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substring(pg_get_expr(d.adbin, d.adrelid) FROM '^''([^'']*)''')
    FROM pg_attrdef AS d
    JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = 'pgagent.pga_schedule'::regclass AND a.attname = 'jsctimezone'
$$;
COMMENT ON FUNCTION pgagent.pga_default_timezone() IS
'The time zone of schedules that name none: the default of the column pga_schedule.jsctimezone. Another one: ALTER TABLE pgagent.pga_schedule ALTER COLUMN jsctimezone SET DEFAULT ''Europe/Berlin''.';

CREATE OR REPLACE FUNCTION pgagent.pga_local_time(p_timezone text, p_instant timestamptz)
RETURNS timestamp LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_instant AT TIME ZONE p_timezone;
EXCEPTION WHEN invalid_parameter_value OR datetime_field_overflow THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_local_time(text, timestamptz) IS
'What clocks in the zone show at an instant; NULL if the server does not know the zone, or can''t count so far.';

CREATE OR REPLACE FUNCTION pgagent.pga_zone_change(
    p_timezone text, p_low timestamptz, p_high timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_low timestamptz := p_low;
    v_high timestamptz := p_high;
    v_middle timestamptz;
BEGIN
    WHILE v_high - v_low > interval '1 second' LOOP
        v_middle := date_trunc('second', v_low + (v_high - v_low) / 2, 'UTC');
        IF (v_middle AT TIME ZONE p_timezone) - (v_high AT TIME ZONE p_timezone)
           = v_middle - v_high THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle;
        END IF;
    END LOOP;
    RETURN v_high;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_zone_change(text, timestamptz, timestamptz) IS
'The first instant after p_low, to the second, from which on the zone has the offset to UTC that it has at p_high. The offsets of the two must differ.';

CREATE OR REPLACE FUNCTION pgagent.pga_zone_instant(p_timezone text, p_local timestamp)
RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- In a gap PostgreSQL counts with the offset before it, in an overlap with the one after.
    v_instant CONSTANT timestamptz := p_local AT TIME ZONE p_timezone;
    v_day_before CONSTANT timestamptz := v_instant - interval '24 hours';
    v_earlier timestamptz;
BEGIN
    IF v_instant AT TIME ZONE p_timezone <> p_local THEN
        RETURN pgagent.pga_zone_change(p_timezone, v_day_before, v_instant);
    ELSIF v_day_before AT TIME ZONE p_timezone = p_local - interval '24 hours' THEN
        RETURN v_instant;
    END IF;
    v_earlier := v_day_before + (p_local - (v_day_before AT TIME ZONE p_timezone));
    RETURN CASE
        WHEN v_earlier < v_instant AND v_earlier AT TIME ZONE p_timezone = p_local THEN v_earlier
        ELSE v_instant
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_zone_instant(text, timestamp) IS
'The first instant at which clocks in the zone show p_local, or have passed it: the end of the gap where they skip it.';

CREATE OR REPLACE FUNCTION pgagent.pga_zone_local(p_timezone text, p_instant timestamptz)
RETURNS timestamp LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_local CONSTANT timestamp := p_instant AT TIME ZONE p_timezone;
    v_day_before CONSTANT timestamptz := p_instant - interval '24 hours';
    v_change timestamptz;
    v_skipped interval;             -- by clocks, at the change; negative where set back
BEGIN
    v_skipped := (v_local - (v_day_before AT TIME ZONE p_timezone)) - interval '24 hours';
    IF v_skipped = interval '0' THEN
        RETURN v_local;
    END IF;
    v_change := pgagent.pga_zone_change(p_timezone, v_day_before, p_instant);
    IF v_skipped > interval '0' AND v_change = p_instant THEN
        RETURN v_local - v_skipped;
    ELSIF v_skipped < interval '0' AND p_instant < v_change - v_skipped THEN
        RETURN (v_change AT TIME ZONE p_timezone) - v_skipped;
    END IF;
    RETURN v_local;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_zone_local(text, timestamptz) IS
'The first local time whose pga_zone_instant() is not before p_instant: its inverse.';

CREATE OR REPLACE FUNCTION pgagent.pga_zone_next(
    p_minutes boolean[], p_hours boolean[], p_weekdays boolean[], p_monthdays boolean[],
    p_months boolean[], p_timezone text, p_low timestamptz, p_until timestamp,
    p_except_dates date[], p_except_times time[], p_except_slots timestamp[]
)
RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_every_hour CONSTANT boolean := cardinality(array_positions(p_hours, true)) = 24;
    v_low timestamptz := p_low;
    v_from timestamp;
    v_slot timestamp;
    v_next timestamptz;
    v_day_after timestamptz;
BEGIN
    LOOP
        v_from := v_low AT TIME ZONE p_timezone;
        IF NOT v_every_hour
           AND (v_low - interval '24 hours') AT TIME ZONE p_timezone <> v_from - interval '24 hours' THEN
            v_from := pgagent.pga_zone_local(p_timezone, v_low);
        END IF;
        v_slot := pgagent.pga_calendar_next(
            p_minutes, p_hours, p_weekdays, p_monthdays, p_months, v_from, p_until,
            p_except_dates, p_except_times, p_except_slots
        );
        IF NOT v_every_hour THEN
            RETURN pgagent.pga_zone_instant(p_timezone, v_slot);
        END IF;

        -- Local times come in the order of instants up to the next change of clocks only.
        v_next := v_low + (v_slot - v_from);
        v_day_after := v_low + interval '24 hours';
        IF v_day_after AT TIME ZONE p_timezone <> v_from + interval '24 hours' THEN
            v_low := pgagent.pga_zone_change(p_timezone, v_low, v_day_after);
            CONTINUE WHEN v_next IS NULL OR v_next >= v_low;
        ELSIF v_next > v_day_after THEN
            v_next := pgagent.pga_zone_instant(p_timezone, v_slot);
            v_low := v_next;
            CONTINUE WHEN v_next AT TIME ZONE p_timezone <> v_slot;     -- a gap
        END IF;
        RETURN v_next;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_zone_next(boolean[], boolean[], boolean[], boolean[], boolean[], text, timestamptz, timestamp, date[], time[], timestamp[]) IS
'The first instant from p_low on at which these fields, each in its normal form, match in the zone, without the exceptions, by the rule for changes of clocks; NULL if no local time up to p_until does.';

CREATE OR REPLACE FUNCTION pgagent.pga_next_run(
    p_schedule_id integer, p_start timestamptz, p_end timestamptz,
    p_minutes boolean[], p_hours boolean[], p_weekdays boolean[], p_monthdays boolean[],
    p_months boolean[], p_timezone text, p_after timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_minutes CONSTANT boolean[] := CASE
        WHEN array_dims(p_minutes) IS DISTINCT FROM '[1:60]'
        THEN pgagent.pga_calendar_field(p_minutes, 60)
        WHEN array_position(p_minutes, true) IS NULL THEN array_fill(true, ARRAY[60])
        ELSE p_minutes
    END;
    v_hours CONSTANT boolean[] := CASE
        WHEN array_dims(p_hours) IS DISTINCT FROM '[1:24]'
        THEN pgagent.pga_calendar_field(p_hours, 24)
        WHEN array_position(p_hours, true) IS NULL THEN array_fill(true, ARRAY[24])
        ELSE p_hours
    END;
    v_weekdays CONSTANT boolean[] := CASE
        WHEN array_dims(p_weekdays) IS DISTINCT FROM '[1:7]'
        THEN pgagent.pga_calendar_field(p_weekdays, 7)
        WHEN array_position(p_weekdays, true) IS NULL THEN array_fill(true, ARRAY[7])
        ELSE p_weekdays
    END;
    v_monthdays CONSTANT boolean[] := CASE
        WHEN array_dims(p_monthdays) IS DISTINCT FROM '[1:32]'
        THEN pgagent.pga_calendar_field(p_monthdays, 32)
        WHEN array_position(p_monthdays, true) IS NULL THEN array_fill(true, ARRAY[32])
        ELSE p_monthdays
    END;
    v_months CONSTANT boolean[] := CASE
        WHEN array_dims(p_months) IS DISTINCT FROM '[1:12]'
        THEN pgagent.pga_calendar_field(p_months, 12)
        WHEN array_position(p_months, true) IS NULL THEN array_fill(true, ARRAY[12])
        ELSE p_months
    END;
    v_low CONSTANT timestamptz := greatest(
        date_trunc('minute', p_start, 'UTC'),
        date_trunc('minute', least(p_after, '9999-12-31 00:00 UTC') + interval '1 minute', 'UTC'),
        '0001-01-03 00:00 UTC'
    );
    v_end CONSTANT timestamptz := least(p_end, '9999-12-30 00:00 UTC');
    v_from timestamp;
    v_until timestamp;
    v_next timestamptz;
    v_dates date[];
    v_times time[];
    v_slots timestamp[];
    v_last_exception date;
BEGIN
    IF p_start IS NULL OR p_after IS NULL OR v_low > v_end THEN
        RETURN NULL;
    END IF;
    BEGIN
        v_from := v_low AT TIME ZONE p_timezone;
    EXCEPTION WHEN invalid_parameter_value THEN
        RETURN NULL;    -- a zone that the server's time zone data no longer has
    END;

    IF EXISTS (SELECT FROM pgagent.pga_exception AS e WHERE e.jexscid = p_schedule_id) THEN
        SELECT array_agg(e.jexdate ORDER BY e.jexdate) FILTER (WHERE e.jextime IS NULL),
               array_agg(date_trunc('minute', e.jextime)::time) FILTER (WHERE e.jexdate IS NULL AND e.jextime IS NOT NULL),
               array_agg(e.jexdate + date_trunc('minute', e.jextime)::time ORDER BY e.jexdate, e.jextime)
                   FILTER (WHERE e.jexdate IS NOT NULL AND e.jextime IS NOT NULL),
               max(e.jexdate)
        INTO v_dates, v_times, v_slots, v_last_exception
        FROM pgagent.pga_exception AS e
        WHERE e.jexscid = p_schedule_id
              AND (e.jexdate IS NULL OR e.jexdate BETWEEN v_from::date - 2 AND '9999-12-31')
              AND (e.jextime IS NULL OR e.jextime < '24:00');
    END IF;

    IF (v_times IS NOT NULL OR array_position(v_monthdays, true) >= 30)
       AND pgagent.pga_calendar_never(v_minutes, v_hours, v_monthdays, v_months, v_times) THEN
        RETURN NULL;
    END IF;

    -- 29 February falls on a given weekday once in 40 years at the latest.
    v_until := least(
        v_end AT TIME ZONE 'UTC' + interval '1 day',
        greatest(v_from, v_last_exception) + interval '41 years'
    );

    v_next := pgagent.pga_zone_next(
        v_minutes, v_hours, v_weekdays, v_monthdays, v_months, p_timezone, v_low, v_until,
        v_dates, v_times, v_slots
    );
    RETURN CASE WHEN v_next <= v_end THEN v_next END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_next_run(integer, timestamptz, timestamptz, boolean[], boolean[], boolean[], boolean[], boolean[], text, timestamptz) IS
'The first instant, a whole minute, at which a schedule with these fields runs: not before p_start, after the minute of p_after, not after p_end (NULL: no end), in the zone p_timezone, without the exceptions of schedule p_schedule_id. NULL if there is none; a zone that the server does not know has none. Raises nothing, whatever the arrays hold, and does not depend on the session''s settings.';

CREATE OR REPLACE FUNCTION pgagent.pga_next_schedule(
    integer, timestamptz, timestamptz, boolean[], boolean[], boolean[], boolean[], boolean[]
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone text;
BEGIN
    SELECT s.jsctimezone INTO v_zone FROM pgagent.pga_schedule AS s WHERE s.jscid = $1;
    RETURN pgagent.pga_next_run(
        $1, $2, $3, $4, $5, $6, $7, $8, COALESCE(v_zone, pgagent.pga_default_timezone()), now()
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_next_schedule(integer, timestamptz, timestamptz, boolean[], boolean[], boolean[], boolean[], boolean[]) IS
'When a schedule runs next: its id, start, end, minutes, hours, weekdays, days of the month and months. Kept from pgAgent 4.2; the time zone is that of the schedule with this id, or the default of new schedules if there is none. Returns what pga_next_run() does for now().';

