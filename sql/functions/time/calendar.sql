-- calendar.sql: date arithmetic in local time. Knows no time zone and reads no table.
--
-- A schedule's fields are arrays of booleans: minutes 0-59, hours 0-23, weekdays
-- (Sunday first), days of the month 1-31 and "the last day" as the 32nd, months.
-- Element n + 1 stands for minute, hour or weekday n. All fields must match.

-- A stored span may be any interval. '5000000 years -1826000000 days' is less than a year,
-- and yet no date survives it.
CREATE OR REPLACE FUNCTION pgagent.pga_span(p_span interval)
RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_span BETWEEN interval '-1000 years' AND interval '1000 years'
                     AND extract(year FROM p_span) BETWEEN -1000 AND 1000
                     AND extract(day FROM p_span) BETWEEN -366000 AND 366000
                THEN p_span END
$$;
COMMENT ON FUNCTION pgagent.pga_span(interval) IS
'This span of time if it can be added to and subtracted from a date of our age; NULL if it is more than a thousand years, or made up of parts that are.';

-- A field in its normal form has one dimension, elements 1 to n, and one of them is true.

CREATE OR REPLACE FUNCTION pgagent.pga_calendar_field(p_field boolean[], p_size integer)
RETURNS boolean[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field boolean[] := p_field;
BEGIN
    IF array_ndims(v_field) > 1 THEN
        v_field := ARRAY(SELECT unnest(v_field));
    END IF;
    v_field := ARRAY(SELECT v_field[i] FROM generate_series(1, p_size) AS i);
    IF array_position(v_field, true) IS NULL THEN
        RETURN array_fill(true, ARRAY[p_size]);
    END IF;
    RETURN v_field;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_calendar_field(boolean[], integer) IS
'The field p_field of a schedule in its normal form, whatever shape it was stored in: one dimension, elements 1 to p_size, and where nothing is selected everything is. NULL counts as false.';

CREATE OR REPLACE FUNCTION pgagent.pga_calendar_never(
    p_minutes boolean[], p_hours boolean[], p_monthdays boolean[], p_months boolean[],
    p_except_times time[]
)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first_day CONSTANT integer := array_position(p_monthdays, true);
BEGIN
    -- A day that none of the months has: 30 February, or the 31st of short months.
    IF v_first_day = 30 AND p_monthdays[32] IS NOT TRUE
           AND array_positions(p_months, true) <@ ARRAY[2]
       OR v_first_day = 31 AND p_monthdays[32] IS NOT TRUE
           AND array_positions(p_months, true) <@ ARRAY[2, 4, 6, 9, 11] THEN
        RETURN true;
    END IF;

    -- Every time of day excepted on every day.
    RETURN p_except_times IS NOT NULL AND (
        SELECT count(DISTINCT t) = cardinality(array_positions(p_hours, true))
                                   * cardinality(array_positions(p_minutes, true))
        FROM unnest(p_except_times) AS t
        WHERE p_hours[extract(hour FROM t)::integer + 1]
              AND p_minutes[extract(minute FROM t)::integer + 1]
              AND extract(second FROM t) = 0
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_calendar_never(boolean[], boolean[], boolean[], boolean[], time[]) IS
'Whether no date and time can ever match these fields, each in its normal form, without the excepted times of day.';

CREATE OR REPLACE FUNCTION pgagent.pga_calendar_time(
    p_minutes boolean[], p_hours boolean[], p_from integer, p_except_times time[]
)
RETURNS integer LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hour integer := p_from / 60 + 1;
    v_minute integer := p_from % 60 + 1;
    v_found integer;
BEGIN
    LOOP
        v_found := array_position(p_hours, true, v_hour);
        EXIT WHEN v_found IS NULL;
        IF v_found > v_hour THEN
            v_hour := v_found;
            v_minute := 1;
        END IF;

        v_minute := array_position(p_minutes, true, v_minute);
        IF v_minute IS NULL THEN
            v_hour := v_hour + 1;
            v_minute := 1;
        ELSIF p_except_times IS NULL
              OR make_time(v_hour - 1, v_minute - 1, 0) <> ALL (p_except_times) THEN
            RETURN (v_hour - 1) * 60 + v_minute - 1;
        ELSE
            v_minute := v_minute + 1;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_calendar_time(boolean[], boolean[], integer, time[]) IS
'The first selected time of day at or after p_from that is not excepted, in minutes since midnight; NULL if none is left in the day.';

CREATE OR REPLACE FUNCTION pgagent.pga_calendar_next(
    p_minutes boolean[], p_hours boolean[], p_weekdays boolean[], p_monthdays boolean[],
    p_months boolean[], p_from timestamp, p_until timestamp,
    p_except_dates date[], p_except_times time[], p_except_slots timestamp[]
)
RETURNS timestamp LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_year integer := extract(year FROM p_from)::integer;
    v_month integer := extract(month FROM p_from)::integer;
    v_day integer := extract(day FROM p_from)::integer;
    v_last_year CONSTANT integer := extract(year FROM p_until)::integer;
    v_length integer;               -- of the month, in days
    v_date date;
    v_time integer;                 -- minutes since midnight, like the next two
    v_first_time integer;           -- of a whole day; computed once
    v_last_time integer;            -- of a whole day; used at an excepted slot only
    v_slot timestamp;
    v_found integer;
    v_next_date integer := 1;       -- into p_except_dates, ascending like the search
    v_next_slot integer := 1;       -- into p_except_slots
BEGIN
    IF p_except_slots IS NOT NULL THEN
        v_last_time := (SELECT max(h) * 60 - 60 FROM unnest(array_positions(p_hours, true)) AS h)
                       + (SELECT max(m) - 1 FROM unnest(array_positions(p_minutes, true)) AS m);
    END IF;
    <<months>>
    WHILE v_year <= v_last_year LOOP
        v_found := array_position(p_months, true, v_month);
        IF v_found IS NULL THEN
            v_year := v_year + 1;
            v_month := 1;
            v_day := 1;
            CONTINUE;
        ELSIF v_found > v_month THEN
            v_month := v_found;
            v_day := 1;
        END IF;
        v_length := CASE
            WHEN v_month IN (4, 6, 9, 11) THEN 30
            WHEN v_month <> 2 THEN 31
            WHEN v_year % 4 = 0 AND (v_year % 100 <> 0 OR v_year % 400 = 0) THEN 29
            ELSE 28
        END;

        LOOP
            v_found := array_position(p_monthdays, true, v_day);
            IF v_day > v_length THEN
                EXIT;
            ELSIF v_found <= v_length THEN
                v_day := v_found;
            ELSIF p_monthdays[32] THEN
                v_day := v_length;
            ELSE
                EXIT;
            END IF;

            v_date := make_date(v_year, v_month, v_day);
            v_found := extract(dow FROM v_date)::integer + 1;
            IF p_weekdays[v_found] IS NOT TRUE THEN
                -- Straight to the next selected weekday, next week's if need be.
                v_day := v_day - v_found + COALESCE(
                    array_position(p_weekdays, true, v_found),
                    array_position(p_weekdays, true) + 7
                );
                CONTINUE;
            END IF;

            WHILE p_except_dates[v_next_date] < v_date LOOP
                v_next_date := v_next_date + 1;
            END LOOP;
            IF p_except_dates[v_next_date] = v_date THEN
                v_day := v_day + 1;
                CONTINUE;
            END IF;

            IF v_date = p_from::date THEN
                v_time := pgagent.pga_calendar_time(p_minutes, p_hours,
                    (extract(hour FROM p_from) * 60 + extract(minute FROM p_from))::integer, p_except_times);
            ELSE
                v_first_time := COALESCE(v_first_time,
                    pgagent.pga_calendar_time(p_minutes, p_hours, 0, p_except_times));
                v_time := v_first_time;
            END IF;
            WHILE v_time IS NOT NULL LOOP
                v_slot := v_date + make_interval(mins => v_time);
                EXIT months WHEN v_slot > p_until;
                WHILE p_except_slots[v_next_slot] < v_slot LOOP
                    v_next_slot := v_next_slot + 1;
                END LOOP;
                IF p_except_slots[v_next_slot] = v_slot THEN
                    v_time := CASE WHEN v_time < v_last_time THEN
                        pgagent.pga_calendar_time(p_minutes, p_hours, v_time + 1, p_except_times)
                    END;
                ELSE
                    RETURN v_slot;
                END IF;
            END LOOP;
            v_day := v_day + 1;
        END LOOP;

        v_month := v_month + 1;
        v_day := 1;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_calendar_next(boolean[], boolean[], boolean[], boolean[], boolean[], timestamp, timestamp, date[], time[], timestamp[]) IS
'The first local date and time from p_from to p_until, both inclusive and whole minutes, that matches all fields, each in its normal form, and no exception: not on an excepted date, not at an excepted time, not an excepted date and time. The dates and slots must be sorted. NULL if there is none.';

