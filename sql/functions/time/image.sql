-- image.sql: what the five fields hold of a schedule that does not go by them.
--
-- pgAdmin and whatever else was made for pgAgent 4.2 know nothing but the fields, start and
-- end, show them, and copy them: five empty fields are a job of every minute. So such a
-- schedule has fields, and where one time or none is meant an end, that start a job at
-- most as often as the schedule itself does. Nothing here ever raises an error: rows of
-- any kind may come from a dump.

CREATE OR REPLACE FUNCTION pgagent.pga_field_image(p_size integer, p_element integer, p_step integer)
RETURNS boolean[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(p_step > 1 AND (i - p_element) % p_step = 0 ORDER BY i) FROM generate_series(1, p_size) AS i
$$;
COMMENT ON FUNCTION pgagent.pga_field_image(integer, integer, integer) IS
'A field of p_size elements in which p_element is selected, and every p_step''th before and after it; none, which stands for all, if p_step is 1.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_image(p_schedule pgagent.pga_schedule)
RETURNS pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hour CONSTANT double precision := 3600::double precision;
    v_day CONSTANT double precision := 86400::double precision;
    v_year CONSTANT interval := interval '8640 hours';   -- not quite, and the same in every time zone
    v_apart double precision := extract(epoch FROM p_schedule.jscevery)::double precision;
    v_first timestamptz := COALESCE(p_schedule.jscat, greatest(p_schedule.jscstart, '2000-01-01 00:00 UTC'));
    v_local timestamp;
    v_bounds jsonb;
BEGIN
    IF pgagent.pga_schedule_kind(p_schedule) IS NULL THEN
        RETURN p_schedule;
    ELSIF p_schedule.jscat IS NOT NULL THEN
        v_apart := 365 * v_day;
    ELSIF p_schedule.jscreboot OR v_apart < 1 THEN
        v_apart := double precision 'infinity';
    END IF;
    IF NOT isfinite(v_first) THEN
        v_first := timestamptz '2000-01-01 00:00 UTC';
    END IF;
    v_local := COALESCE(pgagent.pga_local_time(p_schedule.jsctimezone, v_first), v_first AT TIME ZONE 'UTC');

    v_bounds := CASE
        WHEN p_schedule.jscat IS NOT NULL THEN jsonb_build_object(
            'jscstart', greatest(p_schedule.jscstart, CASE WHEN p_schedule.jscat >= '0002-01-01 00:00 UTC'
                -- The fields name no year.
                THEN least(p_schedule.jscat - v_year, '9999-12-31 00:00 UTC') END),
            'jscend', v_first
        )
        -- 4.2 looks at it before the fields, and can't find 30 February.
        WHEN p_schedule.jscreboot THEN jsonb_build_object('jscend', v_first)
        ELSE '{}'::jsonb
    END;
    RETURN jsonb_populate_record(p_schedule, v_bounds || jsonb_build_object(
        'jscminutes', pgagent.pga_field_image(60, extract(minute FROM v_local)::integer + 1, COALESCE((
            SELECT min(m) FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30]) AS m WHERE v_apart <= m * 60
        ), 60)),
        'jschours', pgagent.pga_field_image(24, extract(hour FROM v_local)::integer + 1, COALESCE((
            SELECT min(h) FROM unnest(ARRAY[1, 2, 3, 4, 6, 8, 12]) AS h WHERE v_apart <= h * v_hour
        ), 24)),
        'jscweekdays', pgagent.pga_field_image(7, extract(dow FROM v_local)::integer + 1,
            CASE WHEN v_apart > v_day AND v_apart <= 7 * v_day THEN 7 ELSE 1 END),
        -- 29 February comes in four years, 30 February never.
        'jscmonthdays', pgagent.pga_field_image(32, CASE
            WHEN p_schedule.jscat IS NOT NULL THEN extract(day FROM v_local)::integer
            WHEN v_apart <= 365 * v_day THEN least(extract(day FROM v_local)::integer, 28)
            WHEN v_apart <= 1460 * v_day THEN 29 ELSE 30
        END, CASE WHEN v_apart <= 7 * v_day THEN 1 ELSE 32 END),
        -- So many days have the shortest of successive months at least.
        'jscmonths', pgagent.pga_field_image(12,
            CASE WHEN v_apart <= 365 * v_day THEN extract(month FROM v_local)::integer ELSE 2 END,
            CASE WHEN v_apart <= 28 * v_day THEN 1 WHEN v_apart <= 59 * v_day THEN 2
                 WHEN v_apart <= 89 * v_day THEN 3 WHEN v_apart <= 120 * v_day THEN 4
                 WHEN v_apart <= 181 * v_day THEN 6 ELSE 12 END)
    ));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_image(pgagent.pga_schedule) IS
'The same schedule with an image of itself in its fields, for programs that know nothing else: by them it starts the job at most as often as it really does. An interval becomes the next longer distance that fields can express, one time (@at) that time with a start and an end, @reboot a date that never comes. A schedule that goes by its fields is returned as it is.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_wished(p_schedule pgagent.pga_schedule)
RETURNS pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_populate_record(p_schedule,
        CASE WHEN (p_schedule.jscat IS NOT NULL OR p_schedule.jscreboot)
                  AND p_schedule.jscend = (pgagent.pga_schedule_image(p_schedule)).jscend
             THEN '{"jscend": null}'::jsonb ELSE '{}'::jsonb END
        || CASE WHEN p_schedule.jscat IS NOT NULL AND p_schedule.jscstart = (
                    pgagent.pga_schedule_image(jsonb_populate_record(p_schedule, '{"jscstart": "-infinity"}'))
                ).jscstart THEN jsonb_build_object('jscstart', date_trunc('second', now())) ELSE '{}'::jsonb END
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_wished(pgagent.pga_schedule) IS
'The same schedule with the start and end that it would have without an image: those that are only part of one are nobody''s wish, and no matter when it becomes one of another kind.';
