-- grammar.sql: the text in which people write schedules.
--
--   30 2 * * mon-fri          five fields as in crontab(5); L or $ is the last day
--   @daily                    and @hourly, @weekly, @monthly, @yearly, @midnight, @annually
--   @every 90 seconds         or just: 90 seconds
--   @at 2031-05-01 09:00 Europe/Berlin
--   @reboot, @restart         when an agent starts
--
-- As in cron, a restricted day of the month and a restricted weekday mean either of them;
-- a weekday that is written with & means both: 0 9 1-7 * &mon is the first Monday.

CREATE OR REPLACE FUNCTION pgagent.pga_refuse_schedule(
    p_schedule text, p_where text, p_problem text, p_allowed text
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        MESSAGE = format('pgagent: schedule "%s": %s: %s', left(p_schedule, 200), p_where, p_problem),
        ERRCODE = 'invalid_parameter_value', DETAIL = p_allowed,
        HINT = 'Examples: "30 2 * * mon-fri", "@daily", "@every 90 seconds", "@at 2031-05-01 09:00 Europe/Berlin", "@reboot".';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_refuse_schedule(text, text, text, text) IS
'Raises 22023 (invalid_parameter_value) for the text of a schedule: where in it, what is wrong, and what is allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_length(p_schedule text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Nobody writes as much by hand, and patterns take longer than their text.
    IF length(p_schedule) > 1000 THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'as a whole'::text,
            format('has %s characters', length(p_schedule)), 'Allowed are 1000 at most.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_length(text) IS
'Raises 22023 if this is too long for the text of a schedule.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_value(
    p_schedule text, p_where text, p_value text, p_low integer, p_high integer, p_names text[]
)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value integer := array_position(p_names, lower(p_value)) - 1 + p_low;
BEGIN
    IF v_value IS NULL AND p_value ~ '^0*[0-9]{1,4}$' THEN
        v_value := p_value::integer;
    END IF;
    IF v_value IS NULL OR v_value NOT BETWEEN p_low AND p_high THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where,
            format('"%s" is not allowed', p_value),
            format('Allowed are %s to %s%s, *, lists (1,3), ranges (1-5) and steps (*/5, 10-40/5)%s.', p_low, p_high,
                   CASE WHEN p_names IS NOT NULL
                   THEN format(', %s to %s', p_names[1], p_names[cardinality(p_names)]) ELSE '' END,
                   CASE WHEN p_high = 31 THEN '; L, the last day, stands alone or in a list' ELSE '' END));
    END IF;
    RETURN v_value;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_value(text, text, text, integer, integer, text[]) IS
'One number, or name, of a field of a crontab line. Raises 22023 if it is not from p_low to p_high.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_field(
    p_schedule text, p_where text, p_field text, p_low integer, p_high integer, p_names text[]
)
RETURNS boolean[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_selected boolean[] := array_fill(false, ARRAY[p_high - p_low + 1]);
    v_item text;
    v_parts text[];
    v_first integer;
    v_last integer;
    v_step integer;
BEGIN
    PERFORM pgagent.pga_check_length(p_field);
    IF p_field = '*' THEN
        RETURN v_selected;      -- nothing selected is everything, and pgAdmin shows it so
    END IF;
    IF p_field ~ '^$|^,|,,|,$' THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('a value is missing in "%s"', p_field),
            'Items of a list are separated by single commas.'::text);
    END IF;
    FOREACH v_item IN ARRAY string_to_array(p_field, ',') LOOP
        v_parts := regexp_match(v_item, '^([^-/]*)(?:-([^-/]*))?(?:/(.*))?$');
        IF v_parts[1] = '' OR v_parts[2] = '' THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where,
                format('a value is missing in "%s"', v_item),
                'Allowed are numbers, *, lists (1,3), ranges (1-5) and steps (*/5, 10-40/5).'::text);
        ELSIF v_parts IS NULL THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('"%s" can''t be read', v_item),
                'Allowed are numbers, *, lists (1,3), ranges (1-5) and steps (*/5, 10-40/5).'::text);
        END IF;

        IF v_parts[1] = '*' AND v_parts[2] IS NULL THEN
            v_first := p_low;
            v_last := p_high;
        ELSE
            v_first := pgagent.pga_cron_value(p_schedule, p_where, v_parts[1], p_low, p_high, p_names);
            v_last := CASE
                WHEN v_parts[2] IS NOT NULL
                THEN pgagent.pga_cron_value(p_schedule, p_where, v_parts[2], p_low, p_high, p_names)
                WHEN v_parts[3] IS NOT NULL THEN p_high
                ELSE v_first
            END;
        END IF;
        IF p_high = 7 AND v_last = 0 AND v_first > 0 THEN
            v_last := 7;        -- sat-sun
        END IF;
        -- One that leads beyond the last value selects the first alone: */60 is 0.
        v_step := CASE WHEN v_parts[3] ~ '^0*[0-9]{1,9}$' THEN v_parts[3]::integer
                       WHEN v_parts[3] IS NULL THEN 1 ELSE 0 END;
        IF v_first > v_last THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('the range "%s" runs backwards', v_item),
                'The first value of a range must not be greater than the last; write two ranges.'::text);
        ELSIF v_step < 1 THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('the step of "%s" is not allowed', v_item),
                'A step is a whole number, 1 or more.'::text);
        END IF;
        FOR i IN v_first..v_last BY v_step LOOP
            v_selected[i - p_low + 1] := true;
        END LOOP;
    END LOOP;
    RETURN v_selected;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_field(text, text, text, integer, integer, text[]) IS
'The values that a field of a crontab line selects, from p_low to p_high; all false for *. Raises 22023 if it can''t be read.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_parse(
    p_schedule text,
    OUT minutes boolean[], OUT hours boolean[], OUT weekdays boolean[], OUT monthdays boolean[],
    OUT months boolean[]
)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fields text[];
    v_last_day boolean := false;
    v_days text;
    v_either boolean;
BEGIN
    PERFORM pgagent.pga_check_length(p_schedule);
    v_fields := regexp_split_to_array(btrim(p_schedule, E' \t\r\n'), '[[:space:]]+');
    IF cardinality(v_fields) <> 5 THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'as a whole'::text, format('has %s fields, 5 wanted', cardinality(v_fields)),
            'The fields are minute, hour, day of the month, month and weekday; for seconds there is "30 seconds".'::text);
    END IF;
    minutes := pgagent.pga_cron_field(p_schedule, 'field 1 (minute)'::text, v_fields[1], 0, 59, NULL::text[]);
    hours := pgagent.pga_cron_field(p_schedule, 'field 2 (hour)'::text, v_fields[2], 0, 23, NULL::text[]);
    months := pgagent.pga_cron_field(p_schedule, 'field 4 (month)'::text, v_fields[4], 1, 12,
        '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'::text[]);
    weekdays := pgagent.pga_cron_field(p_schedule, 'field 5 (weekday)'::text,
        CASE WHEN v_fields[5] LIKE '&_%' THEN substr(v_fields[5], 2) ELSE v_fields[5] END, 0, 7,
        '{sun,mon,tue,wed,thu,fri,sat}'::text[]);
    weekdays := (weekdays[1] OR weekdays[8]) || weekdays[2:7];

    v_days := array_to_string(ARRAY(
        SELECT d FROM regexp_split_to_table(v_fields[3], ',') AS d WHERE upper(d) NOT IN ('L', '$')
    ), ',');
    v_last_day := v_days <> v_fields[3];
    monthdays := CASE
        WHEN v_fields[3] ~ '^[Ll$](,[Ll$])*$' THEN array_fill(false, ARRAY[31])
        WHEN v_days ~ '^$|^,|,,|,$' THEN
            pgagent.pga_cron_field(p_schedule, 'field 3 (day of the month)'::text, v_fields[3], 1, 31, NULL::text[])
        WHEN v_last_day AND v_days = '*' THEN array_fill(true, ARRAY[31])
        ELSE pgagent.pga_cron_field(p_schedule, 'field 3 (day of the month)'::text, v_days, 1, 31, NULL::text[])
    END || v_last_day;

    v_either := v_fields[3] !~ '^[*]' AND v_fields[5] !~ '^[*&]';
    IF NOT v_either THEN
        RETURN NEXT;
        RETURN;
    END IF;
    weekdays := array_fill(false, ARRAY[7]);
    RETURN NEXT;
    SELECT w.weekdays INTO weekdays FROM pgagent.pga_cron_parse(
        format('* * * * %s', v_fields[5])
    ) AS w;
    monthdays := array_fill(false, ARRAY[32]);
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_parse(text) IS
'The fields of a crontab line as pga_schedule has them: one row, or two where either of a restricted day of the month and a restricted weekday will do. Raises 22023 if it can''t be read.';

CREATE OR REPLACE FUNCTION pgagent.pga_interval_parse(p_schedule text)
RETURNS interval LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text text;
    v_unit CONSTANT text := '([0-9]{1,9})[[:space:]]*(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)';
    v_part text[];
    v_seconds numeric := 0::numeric;
BEGIN
    PERFORM pgagent.pga_check_length(p_schedule);
    v_text := lower(btrim(regexp_replace(p_schedule, '^[[:space:]]*@every[[:space:]]*', '', 'i'), E' \t\r\n'));
    IF v_text !~ ('^(' || v_unit || '[[:space:]]*)+$') THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'the interval'::text,
            CASE WHEN v_text = '' THEN 'is missing' ELSE format('"%s" can''t be read', v_text) END,
            'Allowed are whole numbers of seconds, minutes, hours, days and weeks, such as "90 seconds" or "1 hour 30 minutes".'::text);
    END IF;
    FOR v_part IN SELECT regexp_matches(v_text, v_unit, 'g') LOOP
        v_seconds := v_seconds + v_part[1]::numeric * CASE left(v_part[2], 1)
            WHEN 'w' THEN 604800 WHEN 'd' THEN 86400 WHEN 'h' THEN 3600 WHEN 'm' THEN 60 ELSE 1
        END;
    END LOOP;
    IF v_seconds NOT BETWEEN 1 AND 366 * 86400 THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'the interval'::text, format('%s seconds is out of range', v_seconds),
            'An interval is one second at least and 366 days at most.'::text);
    END IF;
    RETURN make_interval(secs => v_seconds::double precision);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_interval_parse(text) IS
'The interval that the text of a schedule names, with or without @every. Raises 22023 if it can''t be read, or is not from one second to 366 days.';

CREATE OR REPLACE FUNCTION pgagent.pga_at_parse(p_schedule text, p_timezone text)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parts text[];
    v_zone text;
    v_local timestamp;
    v_offset interval;
BEGIN
    PERFORM pgagent.pga_check_length(p_schedule);
    v_parts := regexp_match(p_schedule,
        '^[[:space:]]*@at[[:space:]]+([0-9]{4})-([0-9]{2})-([0-9]{2})[ tT][[:space:]]*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:[.][0-9]+)?))?'
        '[[:space:]]*([zZ]|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?[[:space:]]*([A-Za-z][A-Za-z0-9_/+-]*)?[[:space:]]*$');
    v_zone := COALESCE(v_parts[8], p_timezone);
    IF v_parts IS NULL OR (v_parts[7] IS NOT NULL AND v_parts[8] IS NOT NULL) THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'the time'::text,
            COALESCE('"' || (regexp_match(p_schedule, '^[[:space:]]*@at[[:space:]]+(.*[^[:space:]])', 'i'))[1] || '" can''t be read', 'is missing'),
            'Wanted is @at YYYY-MM-DD HH:MM[:SS], then an offset to UTC (+02:00, Z), a time zone (Europe/Berlin), or nothing.'::text);
    END IF;
    BEGIN
        v_local := make_timestamp(v_parts[1]::integer, v_parts[2]::integer, v_parts[3]::integer,
            v_parts[4]::integer, v_parts[5]::integer, COALESCE(v_parts[6], '0')::double precision);
        -- What now() shows has a fraction.
        v_local := date_trunc('second', v_local + interval '0.5 seconds');
    EXCEPTION WHEN datetime_field_overflow THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'the time'::text, 'there is no such date and time'::text,
            format('The parts are %s-%s-%s %s:%s:%s.', v_parts[1], v_parts[2], v_parts[3], v_parts[4], v_parts[5], COALESCE(v_parts[6], '00')));
    END;
    IF v_parts[7] IS NULL THEN
        PERFORM pgagent.pga_check_timezone(v_zone, format('schedule "%s": the time zone', left(p_schedule, 200)));
        RETURN pgagent.pga_zone_instant(v_zone, v_local);
    END IF;
    v_offset := CASE WHEN upper(v_parts[7]) = 'Z' THEN interval '0'
                     ELSE (left(v_parts[7], 3) || ':' || COALESCE(nullif(right(replace(v_parts[7], ':', ''), -3), ''), '00'))::interval
                END;
    RETURN (v_local - v_offset) AT TIME ZONE 'UTC';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_at_parse(text, text) IS
'The instant that "@at ..." names; a local time is one in the zone that it names, else in p_timezone. Fractions of a second are rounded. Raises 22023 if it can''t be read.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_parse(
    p_schedule text, p_timezone text DEFAULT NULL,
    OUT minutes boolean[], OUT hours boolean[], OUT weekdays boolean[], OUT monthdays boolean[],
    OUT months boolean[], OUT every interval, OUT at timestamptz, OUT reboot boolean,
    OUT timezone text
)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text text;
    v_cron text;
BEGIN
    PERFORM pgagent.pga_check_length(p_schedule);
    v_text := lower(btrim(p_schedule, E' \t\r\n'));
    v_cron := CASE v_text
        WHEN '@hourly' THEN '0 * * * *'
        WHEN '@daily' THEN '0 0 * * *'
        WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@monthly' THEN '0 0 1 * *'
        WHEN '@yearly' THEN '0 0 1 1 *'
        WHEN '@annually' THEN '0 0 1 1 *'
    END;
    minutes := array_fill(false, ARRAY[60]);
    hours := array_fill(false, ARRAY[24]);
    weekdays := array_fill(false, ARRAY[7]);
    monthdays := array_fill(false, ARRAY[32]);
    months := array_fill(false, ARRAY[12]);
    reboot := v_text IN ('@reboot', '@restart');
    timezone := COALESCE(p_timezone, pgagent.pga_default_timezone());
    PERFORM pgagent.pga_check_timezone(p_timezone, 'timezone'::text);
    IF v_text IS NULL OR v_text = '' THEN
        PERFORM pgagent.pga_refuse_schedule(COALESCE(p_schedule, ''), 'as a whole'::text, 'is empty'::text, 'A schedule is wanted.'::text);
    ELSIF reboot THEN
        RETURN NEXT;
    ELSIF v_text ~ '^@at([^[:alnum:]_]|$)' THEN
        timezone := COALESCE((regexp_match(p_schedule, '[[:space:]]([A-Za-z][A-Za-z0-9_/+-]+)[[:space:]]*$'))[1], timezone);
        at := pgagent.pga_at_parse(p_schedule, timezone);
        RETURN NEXT;
    ELSIF v_text ~ '^@every([^[:alnum:]_]|$)' OR v_text ~ '^[0-9]+[[:space:]]*[a-z]' THEN
        every := pgagent.pga_interval_parse(p_schedule);
        RETURN NEXT;
    ELSIF v_text ~ '^@' AND v_cron IS NULL THEN
        PERFORM pgagent.pga_refuse_schedule(p_schedule, 'as a whole'::text,
            CASE WHEN v_text ~ '^@(hourly|daily|midnight|weekly|monthly|yearly|annually|reboot|restart)[[:space:]]'
                 THEN format('nothing may follow "%s"', (regexp_match(v_text, '^@[[:alnum:]_]+'))[1])
                 ELSE format('"%s" is not known', (regexp_match(v_text, '^[^[:space:]]+'))[1]) END,
            'Known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, @every, @at and @reboot.'::text);
    ELSE
        FOR minutes, hours, weekdays, monthdays, months IN
            SELECT c.minutes, c.hours, c.weekdays, c.monthdays, c.months
            FROM pgagent.pga_cron_parse(COALESCE(v_cron, p_schedule)) AS c
        LOOP
            RETURN NEXT;
        END LOOP;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_parse(text, text) IS
'What the text of a schedule means, in terms of pga_schedule: the five fields, jscevery, jscat, jscreboot and jsctimezone (the one that the text names, else p_timezone, else the default). One row; two where cron means either of two days. Raises 22023, with what, where and what is allowed, if it can''t be read. Example: SELECT * FROM pgagent.pga_schedule_parse(''30 2 * * mon-fri'').';

