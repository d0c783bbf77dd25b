-- Upgrades the extension pgagent. Built from sql/ by `make`; do not edit.
\echo Use "ALTER EXTENSION pgagent UPDATE" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

-- trust.sql: the first thing in every update and adoption. Whoever runs one has the code
-- called that the owners of the tables have hung on them, so it must be theirs.

DO $$
DECLARE
    v_found text;
BEGIN
    -- The owner of a relation can have his own code called by triggers, rules, constraints
    -- and defaults whenever it is changed or written to.
    SELECT string_agg(format('%s of %s', o.relation, o.owner), ', ' ORDER BY o.place)
               || CASE WHEN max(o.total) > 5 THEN format(' and %s more', max(o.total) - 5) ELSE '' END
    INTO v_found
    FROM (
        SELECT c.oid::regclass AS relation, c.relowner::regrole AS owner,
               row_number() OVER (ORDER BY c.relname) AS place, count(*) OVER () AS total
        FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              AND NOT EXISTS (SELECT FROM pg_roles AS r
                              WHERE r.oid = c.relowner AND (r.rolsuper OR r.rolname = current_user))
    ) AS o
    WHERE o.place <= 5;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: other roles own tables in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('Their triggers, rules and constraints would be called with the rights of %I.', current_user),
                  HINT = 'Do this as their owner, in a session of the owner''s own. SET ROLE is not enough: what the owner has hung on a table could take it back.';
    END IF;

    -- A function of somebody else in the schema could be called in place of one of ours,
    -- and would stay its owner's when it is replaced; one that a trigger calls is called.
    SELECT string_agg(format('%s of %s', o.function, o.owner), ', ' ORDER BY o.place)
               || CASE WHEN max(o.total) > 5 THEN format(' and %s more', max(o.total) - 5) ELSE '' END
    INTO v_found
    FROM (
        SELECT p.oid::regprocedure AS function, p.proowner::regrole AS owner,
               row_number() OVER (ORDER BY p.oid) AS place, count(*) OVER () AS total
        FROM pg_proc AS p
        WHERE (p.pronamespace = 'pgagent'::regnamespace
               OR EXISTS (SELECT FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
                          WHERE t.tgfoid = p.oid AND c.relnamespace = 'pgagent'::regnamespace))
              AND NOT EXISTS (SELECT FROM pg_roles AS r
                              WHERE r.oid = p.proowner AND (r.rolsuper OR r.rolname = current_user))
    ) AS o
    WHERE o.place <= 5;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: functions of other roles are in schema "pgagent", or called by triggers in it: %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'They could be called in place of pgagent''s own, or by what is done here.',
                  HINT = 'Look at them, and drop them or ALTER FUNCTION ... SET SCHEMA.';
    END IF;
END;
$$;

-- 4.2--5.0.0.sql: from the tables of pgAgent 3.4 to 4.2, which are the same, to those of 5.0.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Rows are changed here without the triggers of either version looking on.
ALTER TABLE pgagent.pga_job DISABLE TRIGGER pga_job_trigger;

ALTER TABLE pgagent.pga_jobagent
    ADD COLUMN jagbackendstart timestamptz,
    ADD COLUMN jaglease timestamptz,
    ADD COLUMN jagrunner uuid;

ALTER TABLE pgagent.pga_job
    ADD COLUMN jobrunid bigint,
    ADD COLUMN jobfromstep integer,
    ADD COLUMN jobtimeout interval
        CONSTRAINT pga_job_jobtimeout_check CHECK (jobtimeout > interval '0'),
    ADD COLUMN joboverlap text NOT NULL DEFAULT 'skip'
        CONSTRAINT pga_job_joboverlap_check CHECK (joboverlap IN ('skip', 'queue')),
    ADD COLUMN jobmissed text NOT NULL DEFAULT 'latest'
        CONSTRAINT pga_job_jobmissed_check CHECK (jobmissed IN ('latest', 'skip', 'all')),
    ADD COLUMN jobmissedlimit interval
        CONSTRAINT pga_job_jobmissedlimit_check CHECK (jobmissedlimit > interval '0'),
    ADD COLUMN jobdeaths integer NOT NULL DEFAULT 0,
    ADD COLUMN jobkeepfor interval
        CONSTRAINT pga_job_jobkeepfor_check CHECK (jobkeepfor > interval '0'),
    ADD COLUMN jobkeepruns integer
        CONSTRAINT pga_job_jobkeepruns_check CHECK (jobkeepruns > 0);
ALTER TABLE pgagent.pga_jobstep
    ADD COLUMN jsttimeout interval
        CONSTRAINT pga_jobstep_jsttimeout_check CHECK (jsttimeout > interval '0'),
    ADD COLUMN jstretries integer NOT NULL DEFAULT 0
        CONSTRAINT pga_jobstep_jstretries_check CHECK (jstretries BETWEEN 0 AND 1000),
    ADD COLUMN jstretrydelay interval NOT NULL DEFAULT '10 seconds'
        CONSTRAINT pga_jobstep_jstretrydelay_check CHECK (jstretrydelay >= interval '0'),
    ADD COLUMN jstretrybackoff double precision NOT NULL DEFAULT 2
        CONSTRAINT pga_jobstep_jstretrybackoff_check CHECK (jstretrybackoff BETWEEN 1 AND 100),
    ADD COLUMN jstretryon text[],
    ADD COLUMN jstmode text NOT NULL DEFAULT 'single'
        CONSTRAINT pga_jobstep_jstmode_check CHECK (
            jstmode = 'single' OR (jstmode IN ('autocommit', 'atomic') AND jstkind = 's')
        );

ALTER TABLE pgagent.pga_schedule
    ADD COLUMN jscevery interval
        CONSTRAINT pga_schedule_jscevery_check CHECK (jscevery >= interval '1 second'),
    ADD COLUMN jscat timestamptz
        CONSTRAINT pga_schedule_jscat_check CHECK (isfinite(jscat)),
    ADD COLUMN jscreboot boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT pga_schedule_kind_check
        CHECK (num_nonnulls(jscevery, jscat, nullif(jscreboot, false)) <= 1);

ALTER TABLE pgagent.pga_joblog
    ALTER COLUMN jlgid TYPE bigint,
    ADD COLUMN jlgagentid integer,
    ADD COLUMN jlgstation text,
    ADD COLUMN jlgscheduled timestamptz,
    ADD COLUMN jlgmessage text,
    ADD COLUMN jlgcancel text;
ALTER TABLE pgagent.pga_jobsteplog SET (fillfactor = 85);
ALTER TABLE pgagent.pga_jobsteplog
    ALTER COLUMN jslid TYPE bigint,
    ALTER COLUMN jsljlgid TYPE bigint,
    ADD COLUMN jslattempt integer NOT NULL DEFAULT 1;
ALTER SEQUENCE pgagent.pga_joblog_jlgid_seq AS bigint;
ALTER SEQUENCE pgagent.pga_jobsteplog_jslid_seq AS bigint;

CREATE INDEX pga_job_due ON pgagent.pga_job (jobnextrun, jobid)
    WHERE jobagentid IS NULL AND jobnextrun IS NOT NULL;
CREATE INDEX pga_job_agent ON pgagent.pga_job (jobagentid) WHERE jobagentid IS NOT NULL;
DROP INDEX pgagent.pga_exception_datetime;
CREATE UNIQUE INDEX pga_exception_datetime ON pgagent.pga_exception (jexscid, jexdate, jextime);
DROP INDEX pgagent.pga_joblog_jobid;
CREATE INDEX pga_joblog_jobid ON pgagent.pga_joblog (jlgjobid, jlgid DESC) INCLUDE (jlgstatus);
CREATE INDEX pga_joblog_running ON pgagent.pga_joblog (jlgjobid) WHERE jlgstatus = 'r';
CREATE INDEX pga_jobsteplog_jstid ON pgagent.pga_jobsteplog (jsljstid, jslid DESC);

-- A daemon of 4.2 may be running right now: its runs stay its own, under its full identity.
UPDATE pgagent.pga_jobagent AS a SET jagbackendstart = s.backend_start
FROM pg_stat_activity AS s WHERE s.pid = a.jagpid;
UPDATE pgagent.pga_joblog AS l
SET jlgagentid = a.jagpid, jlgstation = a.jagstation, jlgscheduled = j.jobnextrun
FROM pgagent.pga_job AS j JOIN pgagent.pga_jobagent AS a ON a.jagpid = j.jobagentid
WHERE l.jlgstatus = 'r' AND j.jobid = l.jlgjobid;

-- From now on a next run of a disabled job is a wish.
UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE NOT jobenabled AND jobnextrun IS NOT NULL;

-- 4.2 did not dump the sequences: after a restore they lag behind.
SELECT setval(format('pgagent.%s_%s_seq', t.name, t.id), t.latest)
FROM (
    SELECT 'pga_jobclass', 'jclid', max(jclid)::bigint FROM pgagent.pga_jobclass
    UNION ALL SELECT 'pga_job', 'jobid', max(jobid) FROM pgagent.pga_job
    UNION ALL SELECT 'pga_jobstep', 'jstid', max(jstid) FROM pgagent.pga_jobstep
    UNION ALL SELECT 'pga_schedule', 'jscid', max(jscid) FROM pgagent.pga_schedule
    UNION ALL SELECT 'pga_exception', 'jexid', max(jexid) FROM pgagent.pga_exception
    UNION ALL SELECT 'pga_joblog', 'jlgid', max(jlgid) FROM pgagent.pga_joblog
    UNION ALL SELECT 'pga_jobsteplog', 'jslid', max(jslid) FROM pgagent.pga_jobsteplog
) AS t (name, id, latest)
WHERE t.latest > COALESCE(
    pg_sequence_last_value(format('pgagent.%s_%s_seq', t.name, t.id)::regclass), 0
);

ALTER TABLE pgagent.pga_job ENABLE TRIGGER pga_job_trigger;

-- The time zone of schedules, as sql/tables/timezone.sql has it for new installations.
DO $$
DECLARE
    v_zone text;
BEGIN
    SELECT regexp_replace(c, '^[^=]*=', '') INTO v_zone
    FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c
    WHERE s.setrole = 0 AND c ILIKE 'timezone=%' AND s.setdatabase IN (
        0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    )
    ORDER BY s.setdatabase DESC LIMIT 1;

    IF v_zone IS NULL AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') THEN
        SELECT f.setting INTO v_zone
        FROM pg_show_all_file_settings() AS f
        WHERE lower(f.name) = 'timezone' AND f.applied
        ORDER BY f.seqno DESC LIMIT 1;
    END IF;

    v_zone := COALESCE(v_zone, (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone'));

    -- AT TIME ZONE takes these names for abbreviations: one offset all the year round.
    v_zone := COALESCE((
        SELECT z.name FROM (VALUES
            ('CET', 'Europe/Brussels'), ('MET', 'Europe/Brussels'), ('EET', 'Europe/Athens'),
            ('WET', 'Europe/Lisbon'), ('EST', 'America/Panama'), ('MST', 'America/Phoenix'),
            ('HST', 'Pacific/Honolulu')
        ) AS z (abbreviation, name)
        WHERE z.abbreviation = upper(v_zone)
    ), v_zone);

    EXECUTE format(
        'ALTER TABLE pgagent.pga_schedule ADD COLUMN jsctimezone text NOT NULL DEFAULT %L',
        v_zone
    );
END;
$$;

CREATE TABLE pgagent.pga_jobsession (
    jsspid integer NOT NULL PRIMARY KEY,
    jssagentid integer NOT NULL
        REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jssbackendstart timestamptz NOT NULL
);
CREATE INDEX pga_jobsession_agentid ON pgagent.pga_jobsession (jssagentid);

CREATE TABLE pgagent.pga_jobskip (
    jskid bigserial NOT NULL PRIMARY KEY,
    jskjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jskfrom timestamptz NOT NULL,
    jskuntil timestamptz NOT NULL,
    jskreason text NOT NULL,
    jsklogged timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX pga_jobskip_jobid ON pgagent.pga_jobskip (jskjobid, jskid DESC);

-- version.sql: what a client asks first.

CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version()
RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 4::smallint $$;
COMMENT ON FUNCTION pgagent.pgagent_schema_version() IS
'The layout of the tables that pgAgent''s own daemon 4.x asks for before it starts: 4. It is not the version of this extension.';

CREATE OR REPLACE FUNCTION pgagent.pga_is_leap_year(smallint)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT $1 % 4 = 0 AND ($1 % 100 <> 0 OR $1 % 400 = 0) $$;
COMMENT ON FUNCTION pgagent.pga_is_leap_year(smallint) IS
'Whether the year $1 of the Gregorian calendar is a leap year. Kept from pgAgent 4.2.';

-- calendar.sql: date arithmetic in local time. Knows no time zone and reads no table.
--
-- A schedule's fields are arrays of booleans: minutes 0-59, hours 0-23, weekdays
-- (Sunday first), days of the month 1-31 and "the last day" as the 32nd, months.
-- Element n + 1 stands for minute, hour or weekday n. All fields must match.

-- What is stored may be any interval. '5000000 years -1826000000 days' is less than a year,
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
               array_agg(e.jextime) FILTER (WHERE e.jexdate IS NULL AND e.jextime IS NOT NULL),
               array_agg(e.jexdate + e.jextime ORDER BY e.jexdate, e.jextime)
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

-- grammar.sql: the text in which people write schedules.
--
--   30 2 * * mon-fri          five fields as in crontab(5); L or $ is the last day
--   @daily                    and @hourly, @weekly, @monthly, @yearly, @midnight, @annually
--   @every 90 seconds         or just: 90 seconds
--   @at 2031-05-01 09:00 Europe/Berlin
--   @reboot                   when an agent starts
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
    IF v_value IS NULL AND p_value ~ '^[0-9]{1,4}$' THEN
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
        v_step := CASE WHEN v_parts[3] ~ '^[0-9]{1,4}$' THEN v_parts[3]::integer
                       WHEN v_parts[3] IS NULL THEN 1 ELSE 0 END;
        IF v_first > v_last THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('the range "%s" runs backwards', v_item),
                'The first value of a range must not be greater than the last; write two ranges.'::text);
        ELSIF v_step NOT BETWEEN 1 AND p_high THEN
            PERFORM pgagent.pga_refuse_schedule(p_schedule, p_where, format('the step of "%s" is not allowed', v_item),
                format('A step is a whole number from 1 to %s.', p_high));
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
        '^[[:space:]]*@at[[:space:]]+([0-9]{4})-([0-9]{2})-([0-9]{2})[ tT][[:space:]]*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?'
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
'The instant that "@at ..." names; a local time is one in the zone that it names, else in p_timezone. Raises 22023 if it can''t be read.';

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
    reboot := v_text = '@reboot';
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
            CASE WHEN v_text ~ '^@(hourly|daily|midnight|weekly|monthly|yearly|annually|reboot)[[:space:]]'
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
                            AND e.jextime = date_trunc('minute', v_local)::time) THEN
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
RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN COALESCE(sum(r.size), 0) IN (0, cardinality(p_field)) THEN '*' ELSE string_agg(
        CASE r.last - r.first WHEN 0 THEN r.first::text WHEN 1 THEN r.first || ',' || r.last
             ELSE r.first || '-' || r.last END,
        ',' ORDER BY r.first
    ) END
    FROM (
        SELECT min(v.value) AS first, max(v.value) AS last, count(*) AS size
        FROM (
            SELECT i - 1 + p_low AS value, i - row_number() OVER (ORDER BY i) AS island
            FROM unnest(CASE WHEN array_ndims(p_field) > 1
                THEN array_positions(ARRAY(SELECT unnest(p_field)), true)
                ELSE array_positions(p_field, true) END) AS i
        ) AS v
        GROUP BY v.island
    ) AS r
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

-- restore.sql: how triggers know that rows come from a dump.

-- pg_dump's scripts begin with these two settings, whatever the format, and nothing
-- else sets both: see _doSetFixedOutputState() in PostgreSQL's pg_backup_archiver.c.
-- What is prescribed to a database or a role does not count. To see that takes a
-- millisecond, so a transaction that restores remembers it: triggers ask for each row.
-- PL/pgSQL for the sake of its plan cache: triggers ask at every statement.
CREATE OR REPLACE FUNCTION pgagent.pga_restoring()
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_transaction text;     -- which nobody can know beforehand
BEGIN
    IF current_setting('check_function_bodies')::boolean OR current_setting('row_security')::boolean THEN
        RETURN false;
    END IF;
    v_transaction := pg_backend_pid()::text || now()::text;
    IF current_setting('pgagent.restoring', true) = v_transaction THEN
        RETURN true;
    ELSIF (
        SELECT count(*) = 2 FROM pg_settings AS s
        WHERE s.name IN ('row_security', 'check_function_bodies') AND s.source = 'session'
    ) THEN
        PERFORM set_config('pgagent.restoring', v_transaction, true);
        RETURN true;
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restoring() IS
'Whether this session restores a dump, by the settings that it has made itself. Triggers then store rows as they were: no check of old schedules, no next run computed anew; but claims and running runs of the dumped server are closed.';

-- make_up.sql: times of a job that have passed without a run, and what becomes of them.
-- Writes pga_jobskip.
--
-- A time passes because no runner took it in time (pga_job.jobmissed says whether runs are
-- made up for) or because the run before was still under way (pga_job.joboverlap).

CREATE OR REPLACE FUNCTION pgagent.pga_job_skip(
    p_job_id integer, p_from timestamptz, p_until timestamptz, p_reason text
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason)
    VALUES (p_job_id, p_from, p_until, p_reason)
$$;
COMMENT ON FUNCTION pgagent.pga_job_skip(integer, timestamptz, timestamptz, text) IS
'Records that a job does not run at its times from p_from, the first of them, to p_until, and why.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_passed(
    p_job_id integer, p_after timestamptz, p_until timestamptz, p_limit integer
)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_slot timestamptz := p_after;
BEGIN
    FOR i IN 0..p_limit - 1 LOOP
        v_slot := pgagent.pga_job_next_run(p_job_id, v_slot);
        IF v_slot IS NULL OR v_slot > p_until THEN
            RETURN i;
        END IF;
    END LOOP;
    RETURN p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_passed(integer, timestamptz, timestamptz, integer) IS
'How many times of a job lie after p_after and not after p_until; p_limit at most.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_latest(
    p_job_id integer, p_after timestamptz, p_count integer
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_low timestamptz := p_after;
    v_high timestamptz := now();
    v_middle timestamptz;
BEGIN
    IF pgagent.pga_job_passed(p_job_id, v_low, now(), p_count) < p_count THEN
        RETURN v_low;
    END IF;
    WHILE v_high - v_low > interval '1 second' LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        IF pgagent.pga_job_passed(p_job_id, v_middle, now(), p_count) < p_count THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle;
        END IF;
    END LOOP;
    RETURN v_high;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_latest(integer, timestamptz, integer) IS
'An instant, p_after or later, after which fewer than p_count times of the job have passed.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_make_up(p_job pgagent.pga_job)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_due CONSTANT timestamptz := p_job.jobnextrun;
    v_limit CONSTANT interval := CASE
        WHEN p_job.jobmissedlimit IS NOT NULL THEN pgagent.pga_span(p_job.jobmissedlimit)
        WHEN p_job.jobmissed = 'skip' THEN interval '1 minute'
    END;
    v_after timestamptz := v_due;
    v_reason text;
    v_first timestamptz;
BEGIN
    -- A run that somebody has asked for is at no time of a schedule, and is not left out.
    -- No schedule has a time before our era, where dates end soon.
    IF v_due < '0001-01-01 00:00 UTC'
       OR pgagent.pga_job_next_run(p_job.jobid, v_due - interval '1 microsecond')
          IS DISTINCT FROM v_due THEN
        RETURN v_due;
    END IF;
    IF now() - v_due > v_limit THEN
        v_after := now() - v_limit;
        v_reason := format('no runner took the job within %s', v_limit);
    ELSIF p_job.jobmissed = 'all' OR p_job.joboverlap = 'queue' THEN
        v_after := pgagent.pga_job_latest(p_job.jobid, v_due, 100);
        v_reason := 'more than 100 runs were due';
    END IF;
    IF v_after = v_due THEN
        RETURN v_due;
    END IF;
    v_first := pgagent.pga_job_next_run(p_job.jobid, v_after);
    PERFORM pgagent.pga_job_skip(p_job.jobid, v_due, v_after, v_reason);
    RETURN v_first;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_make_up(pgagent.pga_job) IS
'The time for which a late job is to run: the one at which it fell due, or a later one, possibly still to come, if it is too late for that; NULL for none. Records what is left out. A job with jobmissed ''skip'' is too late after a minute, unless jobmissedlimit says otherwise; of times that are made up for one by one only the latest hundred are.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_after_run(
    p_job pgagent.pga_job, p_run_id bigint, p_scheduled timestamptz, p_started timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next timestamptz;
    v_busy_until timestamptz := p_started;      -- by the run before this one
BEGIN
    IF NOT p_job.jobenabled THEN
        RETURN NULL;
    END IF;
    v_next := pgagent.pga_job_next_run(p_job.jobid,
        CASE WHEN isfinite(p_scheduled) THEN p_scheduled ELSE p_started END);
    IF v_next IS NULL OR v_next > now() THEN
        RETURN v_next;
    END IF;

    IF p_job.joboverlap = 'queue' THEN
        SELECT l.jlgstart + l.jlgduration INTO v_busy_until
        FROM pgagent.pga_joblog AS l
        WHERE l.jlgjobid = p_job.jobid AND l.jlgid < p_run_id ORDER BY l.jlgid DESC LIMIT 1;
        IF v_next <= v_busy_until OR v_next > p_started THEN
            RETURN v_next;
        END IF;
    END IF;
    IF v_next <= p_started THEN
        IF p_job.jobmissed = 'all' THEN
            RETURN v_next;
        END IF;
        PERFORM pgagent.pga_job_skip(p_job.jobid, v_next, p_started,
            format('no runner took the job in time; run %s made up for it', p_run_id));
        v_next := pgagent.pga_job_next_run(p_job.jobid, p_started);
    END IF;
    IF v_next <= now() AND p_job.joboverlap = 'skip' THEN
        PERFORM pgagent.pga_job_skip(p_job.jobid, v_next, now(),
            format('run %s was still under way', p_run_id));
        v_next := pgagent.pga_job_next_run(p_job.jobid, now());
    END IF;
    RETURN v_next;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz) IS
'When a job runs next after a run for the time p_scheduled that began at p_started: at its next time, or at one that has passed if it is to be made up for. Records the times that are left out.';

-- refuse.sql: what may be written into the tables that people edit.
--
-- The essence of an error stands in MESSAGE and DETAIL: pgAdmin shows no HINT.
--
-- What refuses is STABLE: so what calls it can be, and no call is made beforehand, as one of
-- an IMMUTABLE function with constants would.

CREATE OR REPLACE FUNCTION pgagent.pga_refuse(p_where text, p_problem text, p_detail text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = format('pgagent: %s: %s', p_where, p_problem),
        ERRCODE = 'invalid_parameter_value', DETAIL = p_detail;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_refuse(text, text, text) IS
'Raises 22023 (invalid_parameter_value): pgagent: TABLE.COLUMN: PROBLEM, with the detail.';

-- A runner deals with all jobs that are due in one statement. PostgreSQL refuses one with a
-- row, or an array, of more than a gigabyte: one job could hold up all others.
CREATE OR REPLACE FUNCTION pgagent.pga_check_size(
    p_where text, p_size integer, p_limit integer, p_unit text
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_size > p_limit THEN
        PERFORM pgagent.pga_refuse(p_where, format('has %s %s', p_size, p_unit),
            format('Allowed are %s at most.', p_limit));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_size(text, integer, integer, text) IS
'Raises 22023 if what stands in p_where is longer, in characters or bytes, than p_limit.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_field(
    p_column text, p_field boolean[], p_size integer
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_where CONSTANT text := 'pga_schedule.' || p_column;
BEGIN
    IF p_field IS NULL THEN
        RETURN;     -- the column's NOT NULL says it
    ELSIF array_ndims(p_field) > 1 THEN
        PERFORM pgagent.pga_refuse(v_where, 'must be one-dimensional, has ' || array_ndims(p_field) || ' dimensions',
            format('%s booleans in one dimension are wanted.', p_size));
    ELSIF cardinality(p_field) <> p_size THEN
        PERFORM pgagent.pga_refuse(v_where, format('has %s elements, %s wanted', cardinality(p_field), p_size),
            format('The value is %s, with the lower bound %s.', p_field, COALESCE(array_lower(p_field, 1), 1)));
    ELSIF array_lower(p_field, 1) <> 1 THEN
        PERFORM pgagent.pga_refuse(v_where, 'lower bound must be 1, is ' || array_lower(p_field, 1),
            'Elements are numbered from 1.'::text);
    ELSIF array_position(p_field, NULL) IS NOT NULL THEN
        PERFORM pgagent.pga_refuse(v_where, format('element %s is NULL', array_position(p_field, NULL)),
            format('%s booleans, true or false, are wanted.', p_size));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_field(text, boolean[], integer) IS
'Raises 22023 unless the array in column p_column of pga_schedule has p_size elements, numbered from 1, none NULL.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_timezone(
    p_timezone text, p_where text DEFAULT 'pga_schedule.jsctimezone'
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known boolean := true;
BEGIN
    IF upper(p_timezone) IN ('UTC', 'GMT', 'UCT', 'ZULU')
       OR strpos(p_timezone, '/') = 0 AND p_timezone = pgagent.pga_default_timezone() THEN
        RETURN;     -- the default was the administrator's choice
    END IF;
    -- PostgreSQL also takes POSIX specifications, in which UTC+3 lies west of Greenwich.
    -- They have a digit; of the names few do, and listing those takes 30 ms.
    IF p_timezone ~ '[^A-Za-z_/+-]' THEN
        v_known := length(p_timezone) <= 100
                   AND EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = p_timezone);
    ELSE
        BEGIN
            PERFORM now() AT TIME ZONE p_timezone;
        EXCEPTION WHEN invalid_parameter_value THEN
            v_known := false;
        END;
    END IF;

    IF NOT v_known THEN
        PERFORM pgagent.pga_refuse(p_where, format('unknown time zone "%s"', left(p_timezone, 200)),
            'A name of the IANA time zone database is wanted, such as Europe/Berlin or UTC; the view pg_timezone_names lists them.'::text);
    ELSIF strpos(p_timezone, '/') = 0 AND EXISTS (
        SELECT FROM pg_timezone_abbrevs AS a WHERE a.abbrev = upper(p_timezone)
    ) THEN
        PERFORM pgagent.pga_refuse(p_where,
            format('"%s" is an abbreviation: one offset all the year round', p_timezone),
            'A name of the IANA time zone database is wanted, such as Europe/Berlin, which knows when clocks change.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_timezone(text, text) IS
'Raises 22023, for the place p_where, unless this is a name in the server''s IANA time zone database.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NEW;
    END IF;
    PERFORM pgagent.pga_check_size('pga_schedule.jscname'::text,
                CASE WHEN NEW.jscname IS DISTINCT FROM OLD.jscname THEN length(NEW.jscname) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_schedule.jscdesc'::text,
                CASE WHEN NEW.jscdesc IS DISTINCT FROM OLD.jscdesc THEN length(NEW.jscdesc) END, 1000000, 'characters'::text);
    IF cardinality(NEW.jscmonthdays) = 31 AND array_ndims(NEW.jscmonthdays) = 1 THEN
        NEW.jscmonthdays := NEW.jscmonthdays || false;     -- pgAdmin 8.5 left out the last day
    END IF;
    IF (array_dims(NEW.jscminutes), array_dims(NEW.jschours), array_dims(NEW.jscweekdays),
        array_dims(NEW.jscmonthdays), array_dims(NEW.jscmonths))
       IS DISTINCT FROM ('[1:60]', '[1:24]', '[1:7]', '[1:32]', '[1:12]')
       OR array_position(NEW.jscminutes || NEW.jschours || NEW.jscweekdays || NEW.jscmonthdays
                         || NEW.jscmonths, NULL) IS NOT NULL THEN
        PERFORM pgagent.pga_check_field('jscminutes'::text, NEW.jscminutes, 60),
                pgagent.pga_check_field('jschours'::text, NEW.jschours, 24),
                pgagent.pga_check_field('jscweekdays'::text, NEW.jscweekdays, 7),
                pgagent.pga_check_field('jscmonthdays'::text, NEW.jscmonthdays, 32),
                pgagent.pga_check_field('jscmonths'::text, NEW.jscmonths, 12);
    END IF;

    -- If somebody edits the fields, as pgAdmin does, they are to count.
    IF TG_OP = 'UPDATE' AND (NEW.jscevery, NEW.jscat, NEW.jscreboot)
           IS NOT DISTINCT FROM (OLD.jscevery, OLD.jscat, OLD.jscreboot)
       AND (NEW.jscminutes, NEW.jschours, NEW.jscweekdays, NEW.jscmonthdays, NEW.jscmonths)
           IS DISTINCT FROM
           (OLD.jscminutes, OLD.jschours, OLD.jscweekdays, OLD.jscmonthdays, OLD.jscmonths) THEN
        NEW.jscevery := NULL;
        NEW.jscat := NULL;
        NEW.jscreboot := false;
    END IF;

    IF NEW.jscstart >= '10000-01-01 00:00 UTC' THEN
        PERFORM pgagent.pga_refuse('pga_schedule.jscstart'::text,
            CASE WHEN isfinite(NEW.jscstart) THEN 'start later than the year 9999' ELSE 'start must be finite' END,
            format('The value is %s.', NEW.jscstart));
    ELSIF NEW.jscend = '-infinity' THEN
        PERFORM pgagent.pga_refuse('pga_schedule.jscend'::text, 'end before start'::text,
            format('The end is %s, the start %s.', NEW.jscend, NEW.jscstart));
    END IF;
    IF TG_OP = 'INSERT' OR NEW.jsctimezone IS DISTINCT FROM OLD.jsctimezone THEN
        PERFORM pgagent.pga_check_timezone(NEW.jsctimezone, 'pga_schedule.jsctimezone'::text);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_check() IS
'Trigger: refuses a malformed or oversized schedule with 22023; pads the 31 days of the month that pgAdmin 8.5 sends to 32.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NEW;
    ELSIF NEW.jexdate IS NULL AND NEW.jextime IS NULL THEN
        PERFORM pgagent.pga_refuse('pga_exception'::text, 'date or time wanted'::text,
            'An exception is a date (jexdate), a time of day (jextime) or both; here both are NULL.'::text);
    ELSIF NOT isfinite(NEW.jexdate) THEN
        PERFORM pgagent.pga_refuse('pga_exception.jexdate'::text, 'date must be finite'::text,
            format('The value is %s.', NEW.jexdate));
    ELSIF NEW.jextime = '24:00' THEN
        PERFORM pgagent.pga_refuse('pga_exception.jextime'::text, 'time out of range: 24:00:00'::text,
            'Midnight is 00:00; times go up to 23:59.'::text);
    ELSIF NEW.jextime <> date_trunc('minute', NEW.jextime)::time THEN
        RAISE NOTICE 'pgagent: pga_exception.jextime: % is taken as %, schedules have no seconds',
            NEW.jextime, date_trunc('minute', NEW.jextime)::time;
        NEW.jextime := date_trunc('minute', NEW.jextime)::time;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_check() IS
'Trigger: refuses an exception that excepts nothing or no day of the calendar with 22023; cuts off seconds with a NOTICE.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_attempts(p_step pgagent.pga_jobstep)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wrong text;
BEGIN
    IF array_ndims(p_step.jstretryon) > 1 OR cardinality(p_step.jstretryon) > 100 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretryon'::text,
            format('has %s dimensions and %s elements', array_ndims(p_step.jstretryon), cardinality(p_step.jstretryon)),
            'Wanted are 100 reasons at most, in one dimension, such as {40001,connection}.'::text);
    END IF;
    SELECT r INTO v_wrong FROM unnest(p_step.jstretryon) AS r
    WHERE r IS NULL OR r !~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|-?[0-9]{1,3}|connection|timeout|any)$' LIMIT 1;
    IF FOUND THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretryon'::text, format('"%s" is no reason to try again', left(v_wrong, 200)),
            'Wanted are SQLSTATEs (40001) or their classes (40), exit codes (75, -9), connection, timeout, any.'::text);
    ELSIF p_step.jstmode NOT IN ('single', 'autocommit', 'atomic') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, format('unknown mode "%s"', p_step.jstmode),
            'single, autocommit or atomic is wanted.'::text);
    ELSIF p_step.jstmode <> 'single' AND p_step.jstkind = 'b' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, format('a batch step can''t be %s', p_step.jstmode),
            'autocommit and atomic are for SQL steps.'::text);
    ELSIF p_step.jstmode = 'atomic' AND (p_step.jstconnstr <> '' OR p_step.jstdbname <> current_database()) THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstmode'::text, 'an atomic step runs in the database of the jobs'::text,
            format('Its log row is in "%s", the step would be in "%s".', current_database(),
                   CASE p_step.jstconnstr WHEN '' THEN p_step.jstdbname::text ELSE 'another connection' END));
    ELSIF p_step.jstretries NOT BETWEEN 0 AND 1000 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretries'::text, format('%s is out of range', p_step.jstretries),
            'Allowed are 0 to 1000.'::text);
    ELSIF p_step.jstretrybackoff NOT BETWEEN 1 AND 100 THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstretrybackoff'::text, format('%s is out of range', p_step.jstretrybackoff),
            'Allowed are 1 (always the same delay) to 100.'::text);
    ELSIF p_step.jsttimeout <= interval '0' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jsttimeout'::text, format('"%s" is not a span of time', p_step.jsttimeout),
            'Wanted is how long, such as 90 seconds, or NULL for no limit.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_attempts(pgagent.pga_jobstep) IS
'Raises 22023 unless mode, timeout and retries of this step are allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_check()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NEW;
    END IF;
    PERFORM pgagent.pga_check_size('pga_jobstep.jstname'::text,
                CASE WHEN NEW.jstname IS DISTINCT FROM OLD.jstname THEN length(NEW.jstname) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_jobstep.jstdesc'::text,
                CASE WHEN NEW.jstdesc IS DISTINCT FROM OLD.jstdesc THEN length(NEW.jstdesc) END, 1000000, 'characters'::text),
            pgagent.pga_check_size('pga_jobstep.jstcode'::text,
                CASE WHEN NEW.jstcode IS DISTINCT FROM OLD.jstcode THEN octet_length(NEW.jstcode) END, 67108864, 'bytes'::text),
            pgagent.pga_check_size('pga_jobstep.jstconnstr'::text,
                CASE WHEN NEW.jstconnstr IS DISTINCT FROM OLD.jstconnstr THEN length(NEW.jstconnstr) END, 100000, 'characters'::text);
    IF NEW.jstkind NOT IN ('s', 'b') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstkind'::text, format('unknown kind "%s"', NEW.jstkind),
            's (SQL) or b (batch) is wanted.'::text);
    ELSIF NEW.jstonerror NOT IN ('f', 's', 'i') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep.jstonerror'::text, format('unknown answer to an error, "%s"', NEW.jstonerror),
            'f (fail), s (success) or i (ignore) is wanted.'::text);
    ELSIF NEW.jstkind = 's' AND NEW.jstdbname = '' AND NEW.jstconnstr = '' THEN
        PERFORM pgagent.pga_refuse('pga_jobstep'::text, 'database or connection string wanted'::text,
            format('The SQL step "%s" names neither (jstdbname, jstconnstr).', NEW.jstname));
    ELSIF NEW.jstkind = 'b' AND (NEW.jstdbname <> '' OR NEW.jstconnstr <> '') THEN
        PERFORM pgagent.pga_refuse('pga_jobstep'::text, 'a batch step has no database'::text,
            format('The step "%s" is of kind b, yet jstdbname is "%s" and jstconnstr has %s characters.',
                   NEW.jstname, NEW.jstdbname, length(NEW.jstconnstr)));
    END IF;
    PERFORM pgagent.pga_check_attempts(NEW);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_check() IS
'Trigger: refuses a malformed or oversized step, with 22023.';

-- triggers.sql: keep jobnextrun true, in the transaction that changes what it depends on,
-- and tell runners. They write pga_job only, only the row of the job concerned, and never
-- in a subtransaction: pgAdmin finds the row that it has just inserted by its xmin.

CREATE OR REPLACE FUNCTION pgagent.pga_job_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF pgagent.pga_restoring() THEN
            NEW.jobagentid := NULL;     -- the agent was one of the dumped server's
        ELSE
            PERFORM pgagent.pga_check_size('pga_job.jobname'::text, length(NEW.jobname), 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobdesc'::text, length(NEW.jobdesc), 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobhostagent'::text, length(NEW.jobhostagent), 1000000, 'characters'::text);
        END IF;
    ELSIF OLD.jobagentid IS NULL AND NEW.jobagentid IS NOT NULL THEN
        -- A claim. pgAgent's daemon works off a list that may be out of date.
        IF OLD.jobnextrun <= now() THEN
            RETURN NEW;
        END IF;
        RETURN NULL;
    ELSE
        IF OLD.jobenabled AND NOT NEW.jobenabled THEN
            NEW.jobnextrun := NULL;
        ELSIF NEW.jobenabled AND NEW.jobnextrun IS NULL THEN
            NEW.jobnextrun := pgagent.pga_job_next_run(NEW.jobid, now());
        END IF;
        -- Whoever asks for a run gets an id that is nobody else's.
        IF NEW.jobrunid IS NOT NULL AND NEW.jobrunid IS DISTINCT FROM OLD.jobrunid THEN
            NEW.jobrunid := nextval('pgagent.pga_joblog_jlgid_seq');
        END IF;
        IF (NEW.jobname, NEW.jobdesc, NEW.jobjclid, NEW.jobhostagent, NEW.jobenabled)
           IS DISTINCT FROM (OLD.jobname, OLD.jobdesc, OLD.jobjclid, OLD.jobhostagent, OLD.jobenabled) THEN
            -- What a dump has brought may stay as it is.
            PERFORM pgagent.pga_check_size('pga_job.jobname'::text,
                        CASE WHEN NEW.jobname <> OLD.jobname THEN length(NEW.jobname) END, 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobdesc'::text,
                        CASE WHEN NEW.jobdesc <> OLD.jobdesc THEN length(NEW.jobdesc) END, 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobhostagent'::text,
                        CASE WHEN NEW.jobhostagent <> OLD.jobhostagent THEN length(NEW.jobhostagent) END, 1000000, 'characters'::text);
            NEW.jobchanged := now();
        END IF;
        IF OLD.jobagentid IS NOT NULL
           OR (NEW.jobnextrun, NEW.jobhostagent) IS NOT DISTINCT FROM (OLD.jobnextrun, OLD.jobhostagent) THEN
            RETURN NEW;     -- nothing to wake a runner for: it has just finished this job itself
        END IF;
    END IF;

    IF NEW.jobnextrun IS NOT NULL THEN
        PERFORM pg_notify('pgagent', '');
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_trigger() IS
'Trigger: computes jobnextrun where it is NULL, empties it when the job is disabled, keeps jobchanged, draws the id of a run that is asked for, notifies channel pgagent, and refuses the claim of a job that is not due (no row is updated). A jobnextrun that is set on a disabled job stays: it asks for one run. Refuses oversized texts with 22023.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_recompute(p_job_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    -- A job under way gets its next run when it has finished; so does one that
    -- run_job() is just starting.
    UPDATE pgagent.pga_job
    SET jobnextrun = CASE
            WHEN jobenabled AND jobagentid IS NULL AND jobrunid IS NULL THEN NULL
            ELSE jobnextrun
        END,
        jobchanged = now()
    WHERE jobid = p_job_id
$$;
COMMENT ON FUNCTION pgagent.pga_job_recompute(integer) IS
'Has the trigger of pga_job compute the next run of this job anew, because a part of it has changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.jscname, NEW.jscdesc) IS DISTINCT FROM (OLD.jscname, OLD.jscdesc) THEN
        -- A new name does not change when the job runs, nor that it may be due right now.
        OLD.jscname := NEW.jscname;
        OLD.jscdesc := NEW.jscdesc;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            UPDATE pgagent.pga_job SET jobchanged = now() WHERE jobid = NEW.jscjobid;
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pgagent.pga_job_recompute(OLD.jscjobid);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.jscjobid <> OLD.jscjobid) THEN
        PERFORM pgagent.pga_job_recompute(NEW.jscjobid);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.jscenabled THEN
        PERFORM pgagent.pga_schedule_warn(NEW.jscid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_trigger() IS
'Trigger: computes the job''s next run again whenever a schedule changes.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schedules integer[];
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;
    END IF;
    v_schedules := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.jexscid]
        WHEN 'DELETE' THEN ARRAY[OLD.jexscid]
        ELSE ARRAY[OLD.jexscid, NEW.jexscid]
    END;
    PERFORM pgagent.pga_job_recompute(j.jscjobid) FROM (
        SELECT DISTINCT s.jscjobid FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (v_schedules)
    ) AS j;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pgagent.pga_schedule_warn(NEW.jexscid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_trigger() IS
'Trigger: computes the job''s next run again whenever an exception changes.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_warn(p_schedule_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT s.jscname INTO v_name
    FROM pgagent.pga_schedule AS s
    WHERE s.jscid = p_schedule_id AND s.jscenabled
          AND NOT s.jscreboot AND pgagent.pga_schedule_next(s, now()) IS NULL;
    IF FOUND THEN
        RAISE NOTICE 'pgagent: schedule "%" never runs from now on', v_name
            USING DETAIL = 'No date and time after now and up to its end matches all its fields and none of its exceptions.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_warn(integer) IS
'Raises a NOTICE if this schedule is enabled and never runs (again).';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_restoring() THEN
        UPDATE pgagent.pga_job SET jobchanged = now()
        WHERE jobid = CASE TG_OP WHEN 'DELETE' THEN OLD.jstjobid ELSE NEW.jstjobid END;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_trigger() IS
'Trigger: the job has changed when one of its steps has.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobagent_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;    -- no agent of the dumped server is one of this server
    END IF;
    SELECT s.backend_start INTO NEW.jagbackendstart
    FROM pg_stat_activity AS s WHERE s.pid = NEW.jagpid;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobagent_trigger() IS
'Trigger: completes the identity of an agent, whichever program registers: process ids are used again.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobclass_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A dump brings all classes; CREATE EXTENSION has made the five stock ones already,
    -- one of which may have been renamed.
    IF pgagent.pga_restoring() THEN
        DELETE FROM pgagent.pga_jobclass AS c
        WHERE c.jclname = NEW.jclname AND c.jclid <> NEW.jclid
              AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobjclid = c.jclid);
        UPDATE pgagent.pga_jobclass SET jclname = NEW.jclname WHERE jclid = NEW.jclid;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobclass_trigger() IS
'Trigger: a class from a dump takes the place of the stock class with its id or name.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
BEGIN
    IF pgagent.pga_restoring() THEN
        IF NEW.jlgstatus = 'r' THEN
            NEW.jlgstatus := 'd';
            NEW.jlgmessage := 'was running when the database was dumped';
        END IF;
        RETURN NEW;
    END IF;

    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = NEW.jlgjobid;
    -- The row that pgAgent's daemon writes when another agent was faster is not a run.
    IF NEW.jlgstatus = 'i' AND (v_job.jobagentid IS NOT NULL OR COALESCE(v_job.jobnextrun > now(), true)) THEN
        RETURN NULL;
    END IF;
    NEW.jlgagentid := v_job.jobagentid;
    NEW.jlgscheduled := v_job.jobnextrun;
    SELECT a.jagstation INTO NEW.jlgstation
    FROM pgagent.pga_jobagent AS a WHERE a.jagpid = v_job.jobagentid;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_trigger() IS
'Trigger: adds what pgAgent''s daemon does not log: the agent, its host and the time at which the run was due; drops the row that it writes after losing a race.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobsteplog_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.jslstatus := 'd';
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobsteplog_trigger() IS
'Trigger: a step that was running when the database was dumped was aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_restore_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'SELECT setval(%1$L, max(%2$I)) FROM pgagent.%3$I
         HAVING max(%2$I) > COALESCE(pg_sequence_last_value(%1$L::regclass), 0)',
        format('pgagent.%s_%s_seq', TG_TABLE_NAME, TG_ARGV[0]), TG_ARGV[0], TG_TABLE_NAME
    );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restore_trigger() IS
'Trigger: has the sequence of a restored table go on after its largest id; dumps of pgAgent 4.2 do not hold the sequences. Its argument is the column.';

-- Made anew rather than replaced: PostgreSQL 13 has no CREATE OR REPLACE TRIGGER.
DROP TRIGGER IF EXISTS pga_job_trigger ON pgagent.pga_job;
CREATE TRIGGER pga_job_trigger BEFORE INSERT OR UPDATE ON pgagent.pga_job
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger();
COMMENT ON TRIGGER pga_job_trigger ON pgagent.pga_job IS 'Keeps the job''s next run true.';

DROP TRIGGER IF EXISTS pga_jobstep_check ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_check BEFORE INSERT OR UPDATE ON pgagent.pga_jobstep
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobstep_check();
COMMENT ON TRIGGER pga_jobstep_check ON pgagent.pga_jobstep IS 'Refuses a malformed step, in words.';

DROP TRIGGER IF EXISTS pga_jobstep_trigger ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_jobstep
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobstep_trigger();
COMMENT ON TRIGGER pga_jobstep_trigger ON pgagent.pga_jobstep IS 'Keeps the job''s jobchanged true.';

DROP TRIGGER IF EXISTS pga_schedule_check ON pgagent.pga_schedule;
CREATE TRIGGER pga_schedule_check BEFORE INSERT OR UPDATE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_check();
COMMENT ON TRIGGER pga_schedule_check ON pgagent.pga_schedule IS 'Refuses a malformed schedule.';

DROP TRIGGER IF EXISTS pga_schedule_trigger ON pgagent.pga_schedule;
CREATE TRIGGER pga_schedule_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_trigger();
COMMENT ON TRIGGER pga_schedule_trigger ON pgagent.pga_schedule IS
'Computes the job''s next run anew whenever a schedule changes.';

DROP TRIGGER IF EXISTS pga_exception_check ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_check BEFORE INSERT OR UPDATE ON pgagent.pga_exception
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_check();
COMMENT ON TRIGGER pga_exception_check ON pgagent.pga_exception IS 'Refuses a malformed exception.';

DROP TRIGGER IF EXISTS pga_exception_trigger ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_trigger();
COMMENT ON TRIGGER pga_exception_trigger ON pgagent.pga_exception IS
'Computes the job''s next run anew whenever an exception changes.';

DROP TRIGGER IF EXISTS pga_jobagent_trigger ON pgagent.pga_jobagent;
CREATE TRIGGER pga_jobagent_trigger BEFORE INSERT ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobagent_trigger();
COMMENT ON TRIGGER pga_jobagent_trigger ON pgagent.pga_jobagent IS 'Completes an agent''s identity.';

DROP TRIGGER IF EXISTS pga_jobclass_trigger ON pgagent.pga_jobclass;
CREATE TRIGGER pga_jobclass_trigger BEFORE INSERT ON pgagent.pga_jobclass
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobclass_trigger();
COMMENT ON TRIGGER pga_jobclass_trigger ON pgagent.pga_jobclass IS
'Lets a dump''s classes take the place of the stock ones.';

-- A run that starts in this very transaction does not come from a dump: no function is
-- called for a runner's rows, which are many.
DROP TRIGGER IF EXISTS pga_joblog_trigger ON pgagent.pga_joblog;
CREATE TRIGGER pga_joblog_trigger BEFORE INSERT ON pgagent.pga_joblog
    FOR EACH ROW
    WHEN (NEW.jlgagentid IS NULL OR NEW.jlgstart <> now() AND pgagent.pga_restoring())
    EXECUTE FUNCTION pgagent.pga_joblog_trigger();
COMMENT ON TRIGGER pga_joblog_trigger ON pgagent.pga_joblog IS
'Completes what pgAgent''s daemon logs, and closes runs that come from a dump.';

DROP TRIGGER IF EXISTS pga_jobsteplog_trigger ON pgagent.pga_jobsteplog;
CREATE TRIGGER pga_jobsteplog_trigger BEFORE INSERT ON pgagent.pga_jobsteplog
    FOR EACH ROW
    WHEN (NEW.jslstatus = 'r' AND NEW.jslstart <> now() AND pgagent.pga_restoring())
    EXECUTE FUNCTION pgagent.pga_jobsteplog_trigger();
COMMENT ON TRIGGER pga_jobsteplog_trigger ON pgagent.pga_jobsteplog IS
'Closes steps that come from a dump.';

DO $$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN
        SELECT t.name, t.id FROM (VALUES
            ('pga_jobclass', 'jclid'), ('pga_job', 'jobid'), ('pga_jobstep', 'jstid'),
            ('pga_schedule', 'jscid'), ('pga_exception', 'jexid'),
            ('pga_joblog', 'jlgid'), ('pga_jobsteplog', 'jslid'), ('pga_jobskip', 'jskid')
        ) AS t (name, id)
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS pga_restore_trigger ON pgagent.%I', v_table.name);
        EXECUTE format(
            'CREATE TRIGGER pga_restore_trigger AFTER INSERT ON pgagent.%I FOR EACH STATEMENT
             WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_restore_trigger(%L)',
            v_table.name, v_table.id
        );
        EXECUTE format(
            'COMMENT ON TRIGGER pga_restore_trigger ON pgagent.%I IS %L',
            v_table.name, 'Puts the sequence right after a restore.'
        );
    END LOOP;
END;
$$;

-- agent.sql: agents come, stay alive, and go. Writes pga_jobagent and pga_jobsession;
-- closes the runs of the dead by way of record.sql.
--
-- An agent is alive while its session, known by process id and start time, is connected
-- and its lease, on this server's clock, has not run out. pgAgent's own daemon has no
-- lease. Any agent that finds another one dead buries it: there is no leader.
--
-- docs/design.md has the order in which all functions take their locks.

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
    -- Whoever had this process id before us is gone.
    PERFORM pgagent.pga_agent_bury(pg_backend_pid(), 'its process id belongs to another session now'::text);
    -- It lives, whatever has become of its earlier sessions.
    UPDATE pgagent.pga_jobagent SET jagrunner = NULL WHERE jagrunner = p_runner;
    INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease, jagrunner)
    VALUES (pg_backend_pid(), p_station, clock_timestamp() + p_lease, p_runner);
    IF p_starting THEN
        UPDATE pgagent.pga_job AS j SET jobnextrun = now()
        WHERE j.jobenabled AND j.jobagentid IS NULL AND j.jobhostagent IN ('', p_station)
              AND EXISTS (SELECT FROM pgagent.pga_schedule AS s
                          WHERE s.jscjobid = j.jobid AND s.jscenabled AND s.jscreboot);
    END IF;
    RETURN pg_backend_pid();
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_register(text, interval, boolean, uuid) IS
'Makes this session an agent for jobs of host p_station (and for those of any host), alive until the lease has run out; if it is starting, and not just reconnecting, jobs with a schedule @reboot are due. p_runner names the process: one that registers again has not been killed by the jobs that it had. Returns its id, the session''s process id. Raises 25006 on a standby.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_heartbeat(
    p_agent_id integer, p_lease interval,
    OUT swept integer, OUT dying integer, OUT cancelled bigint[], OUT reasons text[]
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobagent SET jaglease = clock_timestamp() + p_lease
    WHERE jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;
    SELECT array_agg(l.jlgid), array_agg(left(l.jlgcancel, 1000)) INTO cancelled, reasons
    FROM pgagent.pga_joblog AS l
    WHERE l.jlgstatus = 'r' AND l.jlgagentid = p_agent_id AND l.jlgcancel IS NOT NULL;
    BEGIN
        -- The sign of life must not wait for somebody's lock on pga_job.
        PERFORM set_config('lock_timeout', '1s', true);
        SELECT s.swept, s.dying INTO swept, dying FROM pgagent.pga_agent_sweep() AS s;
    EXCEPTION WHEN lock_not_available THEN
        swept := 0;
        dying := 0;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_heartbeat(integer, interval) IS
'Renews the lease of this agent and sweeps. Returns what pga_agent_sweep() does, and the runs of this agent that cancel_run() has asked to stop, with who asked. Raises PGA03 if the agent is not registered (any more).';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_leave(p_agent_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_agent_bury(p_agent_id, 'it was stopped'::text) $$;
COMMENT ON FUNCTION pgagent.pga_agent_leave(integer) IS
'Ends an agent; what it has not finished is aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_session(p_agent_id integer, p_pid integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgagent.pga_jobsession (jsspid, jssagentid, jssbackendstart)
    SELECT s.pid, p_agent_id, s.backend_start FROM pg_stat_activity AS s
    WHERE s.pid = p_pid AND s.backend_start IS NOT NULL
    ON CONFLICT (jsspid) DO UPDATE
    SET jssagentid = EXCLUDED.jssagentid, jssbackendstart = EXCLUDED.jssbackendstart
$$;
COMMENT ON FUNCTION pgagent.pga_agent_session(integer, integer) IS
'Notes that the session with process id p_pid executes SQL steps for this agent, before it does: when the agent dies, it is ended. A session whose start time is hidden from the caller is not noted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_end_sessions(p_agent_id integer)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT count(pg_terminate_backend(s.pid))::integer
        FROM pgagent.pga_jobsession AS x
        JOIN pg_stat_activity AS s ON s.pid = x.jsspid AND s.backend_start = x.jssbackendstart
        WHERE x.jssagentid = p_agent_id
    );
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 0;       -- it belongs to a role that is not ours to end
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_end_sessions(integer) IS
'Terminates the sessions in which this agent executes SQL steps. Returns how many are still there.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_sweep(OUT swept integer, OUT dying integer)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent record;
    v_run record;
BEGIN
    swept := 0;
    dying := 0;
    FOR v_agent IN
        SELECT a.jagpid, COALESCE(s.pid, 0) <> 0 AS connected
        FROM pgagent.pga_jobagent AS a
        -- Another role's start time is hidden from us: then the process id has to do.
        LEFT JOIN pg_stat_activity AS s
            ON s.pid = a.jagpid AND COALESCE(s.backend_start = a.jagbackendstart, true)
        WHERE s.pid IS NULL OR a.jaglease < clock_timestamp()
        FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        -- What it executes must have ended before anybody starts its jobs again.
        IF pgagent.pga_agent_end_sessions(v_agent.jagpid) > 0 THEN
            dying := dying + 1;
            CONTINUE;
        END IF;
        swept := swept + pgagent.pga_agent_bury(v_agent.jagpid, CASE
            WHEN v_agent.connected THEN 'it has not shown a sign of life for too long'
            ELSE 'its connection to the database ended'
        END);
    END LOOP;

    -- Runs that nobody holds: their claim was taken away by hand, or with an agent's row.
    FOR v_run IN
        SELECT l.jlgid
        FROM pgagent.pga_joblog AS l
        JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
        WHERE l.jlgstatus = 'r' AND j.jobagentid IS DISTINCT FROM l.jlgagentid
    LOOP
        swept := swept + pgagent.pga_run_abort(v_run.jlgid, 'aborted: no agent held it any more'::text);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_sweep() IS
'Declares dead every agent whose session or lease has ended, terminates the sessions of its steps, and when those are gone aborts the runs that it, or nobody, holds: status d, the reason in jlgmessage, the job free for its next run. Safe to call by any number of agents at any time. Returns the number of runs aborted, and of dead agents whose sessions have not ended yet: sweep again soon.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury(p_agent_id integer, p_reason text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_agent pgagent.pga_jobagent;
    v_job_id integer;
    v_buried integer := 0;
    v_killed boolean;
BEGIN
    SELECT a.* INTO v_agent FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    -- Was it the job that killed it? Not if the server was restarted meanwhile, nor if
    -- the process has come back.
    v_killed := v_agent.jagrunner IS NOT NULL AND p_reason LIKE 'its connection%'
                AND v_agent.jagbackendstart > pg_postmaster_start_time();
    FOR v_job_id IN
        SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobagentid = p_agent_id
        ORDER BY j.jobid FOR NO KEY UPDATE
    LOOP
        v_buried := v_buried + pgagent.pga_agent_bury_run(v_job_id, v_killed,
            format('aborted: agent %s on %s is gone: %s', p_agent_id, v_agent.jagstation, p_reason));
        -- Claimed, but died before it could log the run.
        UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL
        WHERE jobid = v_job_id AND jobagentid = p_agent_id;
    END LOOP;
    DELETE FROM pgagent.pga_jobagent WHERE jagpid = p_agent_id;
    RETURN v_buried;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury(integer, text) IS
'Deletes an agent and aborts its runs, for this reason. Returns the number of runs aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_bury_run(
    p_job_id integer, p_killed boolean, p_reason text
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deaths integer;
    v_reason text := p_reason;
    v_aborted integer;
BEGIN
    IF p_killed THEN
        UPDATE pgagent.pga_job SET jobdeaths = jobdeaths + 1
        WHERE jobid = p_job_id RETURNING jobdeaths INTO v_deaths;
        IF v_deaths >= 3 THEN
            v_reason := format('%s; its runner has died %s times in a row while it was running: the job has been disabled',
                               p_reason, v_deaths);
            UPDATE pgagent.pga_job SET jobenabled = false, jobdeaths = 0 WHERE jobid = p_job_id;
        END IF;
    END IF;
    SELECT COALESCE(sum(pgagent.pga_run_abort(l.jlgid, v_reason)), 0)::integer INTO v_aborted
    FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = p_job_id AND l.jlgstatus = 'r';
    RETURN v_aborted;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_bury_run(integer, boolean, text) IS
'Aborts the runs of a job, which the caller has locked, for this reason; the third time in a row that its runner was killed it disables the job. Returns how many runs that were.';

-- claim.sql: claiming the jobs that are due: a job is claimed while pga_job.jobagentid is
-- set. Writes pga_job, and opens runs in pga_joblog and pga_jobsteplog.

CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(p_agent_id integer, p_limit integer)
RETURNS TABLE (
    run_id bigint, job_id integer, job_name text, job_timeout double precision, step_log_id bigint,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text, step_mode text,
    step_timeout double precision, step_retries integer, step_retry_delay double precision,
    step_retry_backoff double precision, step_retry_on text[]
) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
BEGIN
    SELECT a.jagstation INTO v_station FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;

    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- A disabled job has a next run only if somebody asked for one.
        SELECT j AS job
        FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobhostagent IN ('', v_station)
        ORDER BY j.jobnextrun, j.jobid
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), timely AS MATERIALIZED (
        SELECT (d.job).jobid, (d.job).jobrunid, (d.job).jobfromstep, CASE
            WHEN (d.job).jobrunid IS NULL AND (
                (d.job).jobnextrun < now() - CASE
                    WHEN (d.job).jobmissedlimit IS NOT NULL THEN pgagent.pga_span((d.job).jobmissedlimit) END
                OR ((d.job).jobmissed <> 'latest' OR (d.job).joboverlap = 'queue')
                   AND (d.job).jobnextrun < now() - interval '1 minute'
            ) THEN pgagent.pga_job_make_up(d.job)
            ELSE (d.job).jobnextrun END AS due
        FROM due AS d
    ), claimed AS (
        -- The ids are drawn here, so the rest need not be joined with what it inserts.
        -- record.sql says what "= ANY (ARRAY[...])" is for.
        UPDATE pgagent.pga_job AS j
        SET jobagentid = CASE WHEN t.due <= now() THEN p_agent_id END, jobnextrun = t.due,
            joblastrun = CASE WHEN t.due <= now() THEN now() ELSE j.joblastrun END,
            jobrunid = NULL, jobfromstep = NULL
        FROM timely AS t WHERE j.jobid = ANY (ARRAY[t.jobid])
        RETURNING j.jobid, j.jobname, j.jobtimeout, t.due, t.jobfromstep,
                  CASE WHEN j.jobagentid IS NOT NULL THEN
                      COALESCE(t.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')) END AS run_id,
                  CASE WHEN j.jobagentid IS NOT NULL THEN
                      nextval('pgagent.pga_jobsteplog_jslid_seq') END AS step_log_id
    ), opened AS (
        INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgagentid, jlgstation, jlgscheduled)
        SELECT c.run_id, c.jobid, p_agent_id, v_station, c.due
        FROM claimed AS c WHERE c.run_id IS NOT NULL
    ), step AS MATERIALIZED (
        SELECT c.jobid, c.jobname, c.jobtimeout, c.due, c.run_id,
               CASE WHEN s.jstid IS NOT NULL THEN c.step_log_id END AS step_log_id, s.*,
               row_number() OVER (PARTITION BY c.run_id ORDER BY s.jstname, s.jstid) AS place
        FROM claimed AS c
        LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = ANY (ARRAY[c.jobid]) AND s.jstenabled
            AND (c.jobfromstep IS NULL OR (s.jstname, s.jstid) >= (
                SELECT f.jstname, f.jstid FROM pgagent.pga_jobstep AS f WHERE f.jstid = c.jobfromstep
            ))
        WHERE c.run_id IS NOT NULL
    ), started AS (
        INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid)
        SELECT s.step_log_id, s.run_id, s.jstid FROM step AS s
        WHERE s.place = 1 AND s.step_log_id IS NOT NULL
    )
    SELECT s.run_id, s.jobid, s.jobname, extract(epoch FROM s.jobtimeout)::double precision,
           s.step_log_id, s.jstid, s.jstname, s.jstkind::text, s.jstcode,
           s.jstdbname::text, s.jstconnstr, s.jstonerror::text, s.jstmode,
           extract(epoch FROM s.jsttimeout)::double precision, s.jstretries,
           extract(epoch FROM s.jstretrydelay)::double precision, s.jstretrybackoff, s.jstretryon
    FROM step AS s
    ORDER BY s.due, s.run_id, s.place;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer) IS
'Claims up to p_limit due jobs for this agent, the longest due first, opens a run for each and starts its first step. Jobs that another transaction holds are passed over, not waited for; jobs that are too late by their own rule are put off. Returns the runs with their enabled steps in order of execution, as they stand now, one row a step, times in seconds; a run without steps is one row with NULLs. step_log_id is the row of the first step. Raises PGA03 if the agent is not registered.';

CREATE OR REPLACE FUNCTION pgagent.pga_seconds_until_due(p_station text)
RETURNS double precision LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN isfinite(j.jobnextrun)
        THEN greatest(extract(epoch FROM j.jobnextrun - clock_timestamp())::double precision, 0)
    END
    FROM pgagent.pga_job AS j
    WHERE j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobhostagent IN ('', p_station)
    ORDER BY j.jobnextrun LIMIT 1
$$;
COMMENT ON FUNCTION pgagent.pga_seconds_until_due(text) IS
'How long, by this server''s clock, until the next job that an agent on this host may claim is due; 0 if one is, NULL if none ever is.';

-- record.sql: how steps and runs go on and end. Writes pga_joblog, pga_jobsteplog, pga_job.
--
-- A run is open while pga_joblog.jlgstatus is 'r', and only then is anything recorded of
-- it: the run's id is the fence. A run whose agent was declared dead is closed, and nobody
-- who still holds its id can write to it or free the job. It is no error to record again
-- what has been recorded already: a runner that lost a commit's answer does so.
--
-- A session keeps its plans, perhaps from a time when the log was empty, so they must look
-- each row up by its key whatever the statistics say. By "=" a join could also walk through
-- a whole index, and by "jlgstatus = 'r'" through that of the open runs; by
-- "= ANY (ARRAY[...])", and compared with a variable, it can't.

CREATE OR REPLACE FUNCTION pgagent.pga_run_record(
    p_run_ids bigint[], p_step_log_ids bigint[], p_step_statuses text[], p_results integer[],
    p_outputs text[], p_next_step_ids integer[], p_attempts integer[],
    p_run_statuses text[], p_messages text[]
)
RETURNS TABLE (place integer, step_log_id bigint, refusal text, reason text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_held bigint[];        -- those of the runs to be closed whose jobs could be locked
BEGIN
    -- The order of locks is in docs/design.md: the job comes first.
    -- A job that somebody else has locked is passed over: nobody may wait for one job
    -- while holding the locks of others.
    IF array_remove(p_run_statuses, NULL) <> ARRAY[]::text[] THEN
        v_held := ARRAY(
            SELECT r.run_id
            FROM unnest(p_run_ids, p_run_statuses) AS r (run_id, run_status),
            LATERAL (
                SELECT FROM pgagent.pga_job AS j
                WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = r.run_id)
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS j
            WHERE r.run_status IS NOT NULL
        );
    END IF;

    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = r.step_status, jslresult = r.result, jsloutput = r.output,
        jslduration = clock_timestamp() - s.jslstart
    FROM unnest(p_run_ids, p_step_log_ids, p_step_statuses, p_results, p_outputs, p_run_statuses)
         AS r (run_id, step_log_id, step_status, result, output, run_status)
    WHERE s.jslid = ANY (ARRAY[r.step_log_id]) AND s.jslstatus = 'r'
          AND (r.run_status IS NULL OR r.run_id = ANY (v_held));

    IF v_held <> ARRAY[]::bigint[] THEN
        PERFORM pgagent.pga_run_close(v_held, p_run_ids, p_run_statuses, p_messages);
    END IF;
    RETURN QUERY
    SELECT r.place::integer, n.step_log_id, n.refusal, n.reason
    FROM unnest(p_run_ids, p_next_step_ids, p_attempts, p_run_statuses, p_messages)
         WITH ORDINALITY AS r (run_id, next_step_id, attempt, run_status, message, place),
    LATERAL (
        -- An open run goes on, and a run that was to be closed has been.
        SELECT NULL::bigint AS step_log_id, NULL::text AS refusal, NULL::text AS reason
        FROM pgagent.pga_joblog AS l
        WHERE r.next_step_id IS NULL AND l.jlgid = r.run_id
              AND (l.jlgstatus, CASE WHEN r.run_status IS NOT NULL THEN l.jlgmessage END)
                  IS NOT DISTINCT FROM (COALESCE(r.run_status, 'r'), r.message)
        UNION ALL
        SELECT a.* FROM pgagent.pga_step_advance(r.run_id, r.next_step_id, r.attempt) AS a
        WHERE r.next_step_id IS NOT NULL
        UNION ALL
        SELECT NULL, a.refusal, a.reason FROM pgagent.pga_run_refusal(r.run_id, v_held) AS a
        WHERE r.next_step_id IS NULL
        LIMIT 1
    ) AS n;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_record(bigint[], bigint[], text[], integer[], text[], integer[], integer[], text[], text[]) IS
'Records, for each run of p_run_ids, in one transaction, how its step ended (row p_step_log_ids of pga_jobsteplog, NULL if none was under way; status s, f, i or d, result, output), and then that its next step starts (p_next_step_ids, attempt number p_attempts), or nothing more, or how the run ended (p_run_statuses s, f, i or d, and a sentence why, NULL for none), which frees its job. Returns a row for each, in the order of the arrays: the row of the step that has started, NULL if that step was deleted; or a refusal, for which nothing was written: PGA01 the run is not running (any more), 55P03 another transaction has locked the job. What is recorded already is not refused.';

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
    PERFORM FROM pgagent.pga_joblog AS l
    WHERE l.jlgid = p_run_id AND l.jlgstatus = v_running FOR KEY SHARE;
    IF NOT FOUND THEN
        SELECT r.refusal, r.reason INTO refusal, reason
        FROM pgagent.pga_run_refusal(p_run_id, NULL::bigint[]) AS r;
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
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_advance(bigint, integer, integer) IS
'Logs that attempt p_attempt at a step of a running run starts, unless that is logged already. Returns its row in pga_jobsteplog, NULL if the step was deleted; or why the run is refused.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_refusal(
    p_run_id bigint, p_held bigint[], OUT refusal text, OUT reason text
)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id;
    IF v_run.jlgstatus = 'r' AND (p_run_id = ANY (p_held)) IS NOT TRUE THEN
        refusal := '55P03';
        reason := format('job %s is locked by another transaction', v_run.jlgjobid);
        RETURN;
    END IF;
    refusal := 'PGA01';
    reason := format('run %s is not running (%s)', p_run_id, CASE
        WHEN v_run.jlgid IS NULL THEN 'It is not in the log: its job was deleted.'
        ELSE format('Its status is %s: %s.', v_run.jlgstatus, COALESCE(v_run.jlgmessage, 'no reason was given'))
    END);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_refusal(bigint, bigint[]) IS
'Why nothing can be recorded of a run now: the SQLSTATE, and a sentence. p_held are the runs whose jobs could be locked.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_close(
    p_held bigint[], p_run_ids bigint[], p_statuses text[], p_messages text[]
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_running CONSTANT character := character 'r';
BEGIN
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
            jlgduration = clock_timestamp() - l.jlgstart
        FROM unnest(p_run_ids, p_statuses, p_messages) AS r (run_id, status, message)
        WHERE l.jlgid = ANY (ARRAY[r.run_id]) AND l.jlgstatus = v_running
              AND r.status IS NOT NULL AND r.run_id = ANY (p_held)
        RETURNING l.jlgid, l.jlgjobid, l.jlgagentid, l.jlgscheduled, l.jlgstart, l.jlgstatus
    )
    -- A next run that was set while the job ran is somebody's wish, and stays.
    UPDATE pgagent.pga_job AS j
    SET jobagentid = NULL,
        jobdeaths = CASE WHEN c.jlgstatus = 'd' THEN j.jobdeaths ELSE 0 END,
        jobnextrun = CASE WHEN j.jobnextrun IS DISTINCT FROM c.jlgscheduled THEN j.jobnextrun
            ELSE pgagent.pga_job_after_run(j, c.jlgid, c.jlgscheduled, c.jlgstart) END
    FROM closed AS c
    WHERE j.jobid = ANY (ARRAY[c.jlgjobid]) AND (j.jobagentid = c.jlgagentid) IS TRUE;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_close(bigint[], bigint[], text[], text[]) IS
'Closes those of the running runs p_run_ids that are in p_held, whose jobs the caller has locked, each with its status and a sentence why; frees their jobs and sets their next runs.';

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
BEGIN
    PERFORM FROM pgagent.pga_job AS j
    WHERE j.jobid = (SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id)
    FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 0;       -- somebody else was faster
    END IF;

    -- An atomic step commits by itself. If it was the last one, all was done.
    IF pgagent.pga_run_is_complete(p_run_id) THEN
        PERFORM pgagent.pga_run_close(ARRAY[p_run_id], ARRAY[p_run_id], ARRAY['s'], ARRAY[NULL]);
        RETURN 1;
    END IF;
    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = 'd', jslduration = clock_timestamp() - s.jslstart,
        jsloutput = concat_ws(E'\n', s.jsloutput, p_reason)
    WHERE s.jsljlgid = p_run_id AND s.jslstatus = 'r';
    PERFORM pgagent.pga_run_close(ARRAY[p_run_id], ARRAY[p_run_id], ARRAY['d'], ARRAY[p_reason]);
    RETURN 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_abort(bigint, text) IS
'Closes a run and its running steps with status d and the reason, if it is still running; with s if its last step, an atomic one, has committed. Returns how many runs that were, 0 or 1.';

CREATE OR REPLACE FUNCTION pgagent.pga_step_finish(
    p_step_log_id bigint, p_result integer, p_output text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobsteplog AS s
    SET jslstatus = 's', jslresult = p_result, jsloutput = p_output,
        jslduration = clock_timestamp() - s.jslstart
    WHERE s.jslid = p_step_log_id AND s.jslstatus = 'r';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'step log row % is not running', p_step_log_id
            USING ERRCODE = 'PGA02', DETAIL = 'The run was aborted, or the step or its job was deleted.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_finish(bigint, integer, text) IS
'Closes a running step as succeeded, in the transaction of the step itself: for steps of mode atomic. Raises PGA02, so that the step''s effect is rolled back, if the step is not running (any more).';

-- prune.sql: deleting what need not be kept in the log any longer. Writes pga_joblog, whose
-- steps go with it, and pga_jobskip.

CREATE OR REPLACE FUNCTION pgagent.pga_log_prune(
    p_after integer, p_jobs integer, p_runs integer, OUT last_job_id integer, OUT deleted integer
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job record;
    v_oldest_kept bigint;
    v_deleted integer;
BEGIN
    deleted := 0;
    FOR v_job IN
        SELECT j.jobid, j.jobkeepruns,
               pgagent.pga_span(j.jobkeepfor) AS jobkeepfor
        FROM pgagent.pga_job AS j
        -- From 1 on, and then whatever ids there are below.
        WHERE CASE WHEN p_after >= 0 THEN j.jobid > p_after OR j.jobid <= 0
                   ELSE j.jobid > p_after AND j.jobid <= 0 END
              AND num_nonnulls(j.jobkeepfor, j.jobkeepruns) > 0
        ORDER BY j.jobid <= 0, j.jobid LIMIT p_jobs
    LOOP
        SELECT l.jlgid INTO v_oldest_kept FROM pgagent.pga_joblog AS l
        WHERE l.jlgjobid = v_job.jobid AND v_job.jobkeepruns IS NOT NULL
        ORDER BY l.jlgid DESC OFFSET v_job.jobkeepruns - 1 LIMIT 1;
        -- From the oldest on, and only as far as there is something to delete.
        DELETE FROM pgagent.pga_joblog WHERE jlgid IN (
            SELECT o.jlgid
            FROM (SELECT l.jlgid, l.jlgstart, l.jlgstatus FROM pgagent.pga_joblog AS l
                  WHERE l.jlgjobid = v_job.jobid ORDER BY l.jlgid LIMIT p_runs - deleted) AS o
            WHERE o.jlgstatus <> 'r'
                  AND (o.jlgid < v_oldest_kept OR o.jlgstart < now() - v_job.jobkeepfor)
        );
        GET DIAGNOSTICS v_deleted = ROW_COUNT;
        deleted := deleted + v_deleted;
        IF deleted >= p_runs THEN
            last_job_id := COALESCE(last_job_id, p_after);
            RETURN;     -- this job may have more: it is the first one next time
        END IF;
        DELETE FROM pgagent.pga_jobskip
        WHERE jskjobid = v_job.jobid AND jsklogged < now() - v_job.jobkeepfor;
        last_job_id := nullif(v_job.jobid, 0);     -- which is the last of all
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_log_prune(integer, integer, integer) IS
'Deletes, of the next p_jobs jobs after the id p_after (0: of the first), at most p_runs runs that are beyond the latest jobkeepruns or began longer than jobkeepfor ago; never a running one. Returns the last job that is done with, to go on from (NULL when there is no further one), and how many runs were deleted.';

-- views.sql: jobs and runs in words. A view reads with the rights of the extension's
-- owner, and is granted like a table.

CREATE OR REPLACE VIEW pgagent.agents AS
SELECT a.jagpid AS agent_id, a.jagstation AS station, a.jaglogintime AS since,
       s.pid IS NOT NULL AND COALESCE(a.jaglease > clock_timestamp(), true) AS alive,
       a.jaglease AS lease_until,
       (SELECT count(*) FROM pgagent.pga_job AS j WHERE j.jobagentid = a.jagpid) AS running
FROM pgagent.pga_jobagent AS a
LEFT JOIN pg_stat_activity AS s
    ON s.pid = a.jagpid AND COALESCE(s.backend_start = a.jagbackendstart, true);
COMMENT ON VIEW pgagent.agents IS
'The runners: host, since when, whether alive, and how many jobs each runs. Example: SELECT station, alive, running FROM pgagent.agents.';

CREATE OR REPLACE VIEW pgagent.run_history AS
SELECT l.jlgid AS run_id, l.jlgjobid AS job_id, j.jobname AS job,
       CASE l.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
            WHEN 'i' THEN 'nothing to do' WHEN 'd' THEN 'aborted' END AS status,
       l.jlgscheduled AS scheduled, l.jlgstart AS started, CASE WHEN isfinite(l.jlgstart) AND isfinite(l.jlgscheduled) THEN l.jlgstart - l.jlgscheduled END AS delay,
       l.jlgduration AS duration, l.jlgstation AS station, l.jlgmessage AS message,
       s.jslid AS step_log_id, t.jstname AS step,
       CASE s.jslstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
            WHEN 'i' THEN 'ignored' WHEN 'd' THEN 'aborted' END AS step_status,
       s.jslstart AS step_started, s.jslduration AS step_duration, s.jslresult AS result,
       s.jsloutput AS output, s.jslattempt AS attempt
FROM pgagent.pga_joblog AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
LEFT JOIN pgagent.pga_jobsteplog AS s ON s.jsljlgid = l.jlgid
LEFT JOIN pgagent.pga_jobstep AS t ON t.jstid = s.jsljstid;
COMMENT ON VIEW pgagent.run_history IS
'Every run with its steps, one row a step, in words. Example: SELECT started, status, step, step_status, output FROM pgagent.run_history WHERE job = ''etl'' ORDER BY run_id DESC, step_log_id LIMIT 10.';

CREATE OR REPLACE VIEW pgagent.running AS
SELECT h.run_id, h.job_id, h.job, h.started, CASE WHEN isfinite(h.started) THEN clock_timestamp() - h.started END AS running_for,
       h.station, h.step, h.step_started, h.attempt, l.jlgcancel AS cancelled,
       CASE WHEN l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
            THEN l.jlgstart + pgagent.pga_span(j.jobtimeout) END AS time_limit
FROM pgagent.pga_joblog AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
JOIN pgagent.run_history AS h ON h.run_id = l.jlgid
WHERE l.jlgstatus = 'r' AND (h.step_log_id IS NULL OR h.step_status = 'running');
COMMENT ON VIEW pgagent.running IS
'What runs right now: job, since when, where, in which step, at which attempt, who has asked for it to be cancelled, and until when it may run. Example: SELECT job, running_for, step FROM pgagent.running.';

CREATE OR REPLACE VIEW pgagent.skipped_runs AS
SELECT s.jskjobid AS job_id, j.jobname AS job, s.jskfrom AS first_time, s.jskuntil AS until,
       s.jskreason AS reason, s.jsklogged AS decided
FROM pgagent.pga_jobskip AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jskjobid;
COMMENT ON VIEW pgagent.skipped_runs IS
'When jobs were due and did not run, and why: all times of the job from first_time to until; next_runs(job, after, until) lists them. Example: SELECT first_time, until, reason FROM pgagent.skipped_runs WHERE job = ''etl'' ORDER BY decided DESC LIMIT 10.';

CREATE OR REPLACE VIEW pgagent.job_status AS
SELECT j.jobid AS job_id, j.jobname AS job, j.jobenabled AS enabled,
       CASE WHEN j.jobagentid IS NOT NULL THEN 'running' WHEN j.jobnextrun <= now() THEN 'due'
            WHEN j.jobnextrun IS NOT NULL THEN 'waiting' WHEN j.jobenabled THEN 'never due'
            ELSE 'disabled' END AS state,
       j.jobnextrun AS next_run, j.joblastrun AS last_run, l.status AS last_status,
       l.message AS last_message, l.duration AS last_duration,
       f.consecutive_failures, f.recent_runs, d.p50 AS duration_p50, d.p95 AS duration_p95,
       (SELECT string_agg(pgagent.pga_schedule_text(s), '; ' ORDER BY s.jscid)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled) AS schedule
FROM pgagent.pga_job AS j
LEFT JOIN LATERAL (
    SELECT CASE r.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
                WHEN 'i' THEN 'nothing to do' WHEN 'd' THEN 'aborted' END AS status,
           r.jlgmessage AS message, r.jlgduration AS duration
    FROM pgagent.pga_joblog AS r WHERE r.jlgjobid = j.jobid
    ORDER BY r.jlgid DESC LIMIT 1
) AS l ON true
-- Of the latest hundred runs: a long history must not make the view slow.
LEFT JOIN LATERAL (
    SELECT count(*) AS recent_runs,
           count(*) FILTER (WHERE r.failed AND NOT r.succeeded_since) AS consecutive_failures
    FROM (
        SELECT h.jlgstatus IN ('f', 'd') AS failed,
               bool_or(h.jlgstatus = 's') OVER (ORDER BY h.jlgid DESC) AS succeeded_since
        FROM (SELECT x.jlgid, x.jlgstatus FROM pgagent.pga_joblog AS x
              WHERE x.jlgjobid = j.jobid ORDER BY x.jlgid DESC LIMIT 100) AS h
    ) AS r
) AS f ON true
LEFT JOIN LATERAL (
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY h.jlgduration) AS p50,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY h.jlgduration) AS p95
    FROM (SELECT x.jlgduration FROM pgagent.pga_joblog AS x
          WHERE x.jlgjobid = j.jobid AND x.jlgstatus = 's' ORDER BY x.jlgid DESC LIMIT 100) AS h
) AS d ON true;
COMMENT ON VIEW pgagent.job_status IS
'Each job: state, next and last run, how the last one ended; of its latest hundred runs how many failed since the last success, and the median and 95th percentile of the duration of the successful ones; its schedules as text. Example: SELECT job, state, next_run, last_status FROM pgagent.job_status.';

-- pg_cron.sql: the names that scripts for pg_cron read: jobs and their runs. Views of one
-- table each, so rows can be deleted and jobs switched off, as in pg_cron.

CREATE OR REPLACE VIEW pgagent.job AS
SELECT j.jobid::bigint AS jobid,
       (SELECT string_agg(pgagent.pga_schedule_text(s), '; ' ORDER BY s.jscid)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled) AS schedule,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       (SELECT s.jstdbname::text FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       j.jobenabled AS active, j.jobname
FROM pgagent.pga_job AS j;
COMMENT ON VIEW pgagent.job IS
'The jobs as pg_cron shows them, with the command of the first SQL step. Example: SELECT jobid, schedule, command, active FROM pgagent.job.';

CREATE OR REPLACE VIEW pgagent.job_run_details AS
SELECT l.jlgjobid::bigint AS jobid, l.jlgid AS runid, l.jlgagentid AS job_pid,
       (SELECT s.jstdbname::text FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       CASE l.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded'
            WHEN 'i' THEN 'succeeded' ELSE 'failed' END AS status,
       COALESCE(l.jlgmessage, (
           SELECT s.jsloutput FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = l.jlgid
           ORDER BY s.jslid DESC LIMIT 1
       )) AS return_message,
       l.jlgstart AS start_time, l.jlgstart + l.jlgduration AS end_time
FROM pgagent.pga_joblog AS l;
COMMENT ON VIEW pgagent.job_run_details IS
'The runs as pg_cron shows them, with the command of the job''s first SQL step. Example: DELETE FROM pgagent.job_run_details WHERE end_time < now() - interval ''7 days''.';
-- job.sql: defining jobs in SQL. A job is named by its name or by its id.
--
-- schedule(), schedule_in_database(), unschedule() and alter_job() take what pg_cron's
-- functions of these names take.

CREATE OR REPLACE FUNCTION pgagent.pga_job_id(p_job text)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT bigint[] := ARRAY(
        SELECT j.jobid::bigint FROM pgagent.pga_job AS j WHERE j.jobname = p_job ORDER BY j.jobid
    );
BEGIN
    IF cardinality(v_ids) = 0 THEN
        RAISE EXCEPTION 'pgagent: there is no job "%"', p_job USING ERRCODE = 'undefined_object',
            DETAIL = COALESCE('Jobs of this database are ' || (
                SELECT string_agg(format('"%s"', n.jobname), ', ') FROM (
                    SELECT j.jobname FROM pgagent.pga_job AS j ORDER BY j.jobname LIMIT 10
                ) AS n
            ) || '.', 'This database has no jobs.');
    ELSIF cardinality(v_ids) > 1 THEN
        RAISE EXCEPTION 'pgagent: % jobs have the name "%"', cardinality(v_ids), p_job
            USING ERRCODE = 'ambiguous_alias',
                  DETAIL = format('Their ids are %s; use the id.', array_to_string(v_ids, ', '));
    END IF;
    RETURN v_ids[1];
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_id(text) IS
'The id of the job of this name. Raises 42704 if there is none, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_name(p_job_id bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT j.jobname INTO v_name FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no job with the id %', p_job_id USING ERRCODE = 'undefined_object',
            DETAIL = 'The table pgagent.pga_job lists the jobs of this database.';
    END IF;
    RETURN v_name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_name(bigint) IS
'The name of the job with this id. Raises 42704 if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_refuse_username(p_username text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_username <> current_user THEN
        RAISE EXCEPTION 'pgagent: username: a job can''t run as "%": it runs with the login of the runner', p_username
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'A step can have a connection string with a user of its own: add_step(..., conninfo => ''dbname=... user=...'').';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_refuse_username(text) IS
'Raises 0A000 for a username, as pg_cron takes it, that is neither NULL nor the current user.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_span(p_where text, p_span interval)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_span < interval '0' THEN
        PERFORM pgagent.pga_refuse(p_where, format('"%s" is not a span of time', p_span),
            'Wanted is how long, such as ''90 seconds''; 0 stands for no limit.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_span(text, interval) IS
'Raises 22023 for a span of time that is negative.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_set(
    p_job_id bigint, p_timeout interval, p_overlap text, p_missed text, p_missed_limit interval,
    p_keep_for interval, p_keep_runs integer
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_check_span('timeout'::text, p_timeout),
            pgagent.pga_check_span('missed_limit'::text, p_missed_limit),
            pgagent.pga_check_span('keep_for'::text, p_keep_for);
    IF p_overlap NOT IN ('skip', 'queue') THEN
        PERFORM pgagent.pga_refuse('overlap'::text, format('"%s" is not known', p_overlap), 'Known are skip and queue.'::text);
    ELSIF p_missed NOT IN ('latest', 'skip', 'all') THEN
        PERFORM pgagent.pga_refuse('missed'::text, format('"%s" is not known', p_missed), 'Known are latest, skip and all.'::text);
    ELSIF p_keep_runs < 0 THEN
        PERFORM pgagent.pga_refuse('keep_runs'::text, format('%s is out of range', p_keep_runs), 'Wanted is a number of runs; 0 stands for all.'::text);
    END IF;
    UPDATE pgagent.pga_job AS j
    SET jobtimeout = nullif(COALESCE(p_timeout, j.jobtimeout), interval '0'),
        joboverlap = COALESCE(p_overlap, j.joboverlap),
        jobmissed = COALESCE(p_missed, j.jobmissed),
        jobmissedlimit = nullif(COALESCE(p_missed_limit, j.jobmissedlimit), interval '0'),
        jobkeepfor = nullif(COALESCE(p_keep_for, j.jobkeepfor), interval '0'),
        jobkeepruns = nullif(COALESCE(p_keep_runs, j.jobkeepruns), 0)
    WHERE j.jobid = p_job_id
          AND num_nonnulls(p_timeout, p_overlap, p_missed, p_missed_limit, p_keep_for, p_keep_runs) > 0;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_set(bigint, interval, text, text, interval, interval, integer) IS
'Sets those of a job''s rules that are not NULL; 0 takes a limit away. Raises 22023 for anything that is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.create_job(
    name text, description text DEFAULT '', class text DEFAULT 'Miscellaneous',
    host text DEFAULT '', enabled boolean DEFAULT true, timeout interval DEFAULT NULL,
    overlap text DEFAULT 'skip', missed text DEFAULT 'latest', missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    IF btrim(name) = '' OR name IS NULL THEN
        PERFORM pgagent.pga_refuse('create_job(name)'::text, 'is empty'::text, 'A name is wanted: it is how the other functions find the job.'::text);
    END IF;
    SELECT j.jobid::bigint INTO v_job_id FROM pgagent.pga_job AS j WHERE j.jobname = create_job.name;
    IF FOUND THEN
        RAISE EXCEPTION 'pgagent: there is a job "%" already', name USING ERRCODE = 'duplicate_object',
            DETAIL = format('Its id is %s.', v_job_id);
    END IF;
    INSERT INTO pgagent.pga_job (jobname, jobdesc, jobjclid, jobhostagent, jobenabled)
    VALUES (name, COALESCE(description, ''), pgagent.pga_class_id(class), COALESCE(host, ''), COALESCE(enabled, true))
    RETURNING jobid::bigint INTO v_job_id;
    PERFORM pgagent.pga_job_set(v_job_id, timeout, overlap, missed, missed_limit, keep_for, keep_runs);
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.create_job(text, text, text, text, boolean, interval, text, text, interval, interval, integer) IS
'Creates a job without steps and schedules. host: the only host whose runner may execute it, empty for any. timeout: how long a run may take. overlap: what becomes of times that pass while it runs, skip or queue. missed: of those that pass while no runner can take it, latest (one run makes up for all), skip or all; missed_limit: how late a run may begin. keep_for, keep_runs: how long, and how many of, its runs are kept in the log. Returns its id. Raises 42710 if there is a job of this name, 42704 if there is no such class, 22023 for anything that is not allowed. Example: SELECT pgagent.create_job(''etl'', class => ''Data Import'').';

CREATE OR REPLACE FUNCTION pgagent.pga_class_id(p_class text)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class_id integer;
BEGIN
    SELECT c.jclid INTO v_class_id FROM pgagent.pga_jobclass AS c WHERE c.jclname = p_class;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no job class "%"', p_class USING ERRCODE = 'undefined_object',
            DETAIL = 'Classes are ' || (SELECT string_agg(format('"%s"', c.jclname), ', ' ORDER BY c.jclid)
                                        FROM pgagent.pga_jobclass AS c) || '.';
    END IF;
    RETURN v_class_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_id(text) IS
'The id of the job class of this name. Raises 42704 if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_make(
    p_name text, p_schedule text, p_kind text, p_command text, p_database text, p_timezone text,
    p_active boolean
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    v_job_id := pgagent.create_job(
        p_name, ''::text, 'Miscellaneous'::text, ''::text, p_active, NULL::interval,
        'skip'::text, 'latest'::text, NULL::interval, NULL::interval, NULL::integer
    );
    PERFORM pgagent.add_step(
        v_job_id, 'command'::text, p_command, p_kind, p_database, NULL::text, 'fail'::text, true, ''::text,
        'single'::text, NULL::interval, 0, NULL::interval, NULL::double precision, NULL::text[]
    );
    PERFORM pgagent.add_schedule(
        v_job_id, p_schedule, NULL::text, p_timezone, NULL::timestamptz, NULL::timestamptz, true, ''::text
    );
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_make(text, text, text, text, text, text, boolean) IS
'Makes a job of one command, of kind sql or batch, and one schedule. Returns its id. Raises what create_job(), add_step() and add_schedule() do.';

CREATE OR REPLACE FUNCTION pgagent.schedule(
    job_name text, schedule text, command text, database text DEFAULT NULL,
    timezone text DEFAULT NULL, active boolean DEFAULT true
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    IF EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = job_name) THEN
        v_job_id := pgagent.pga_job_id(job_name);
        PERFORM pgagent.alter_job(
            v_job_id, schedule, command, COALESCE(database, current_database()::text), NULL::text, active,
            NULL::text, NULL::text, NULL::text, NULL::text, timezone, NULL::interval,
            NULL::text, NULL::text, NULL::interval, NULL::interval, NULL::integer
        );
        RETURN v_job_id;
    END IF;
    RETURN pgagent.pga_job_make(job_name, schedule, 'sql'::text, command, database, timezone, active);
END;
$$;
COMMENT ON FUNCTION pgagent.schedule(text, text, text, text, text, boolean) IS
'Makes a job of one SQL command, or replaces schedule and command of the one that has this name. The database is the current one by default, the time zone the default of schedules. Returns the job''s id. Raises 22023 if the schedule can''t be read. Example: SELECT pgagent.schedule(''nightly-vacuum'', ''30 2 * * *'', ''VACUUM'').';

CREATE OR REPLACE FUNCTION pgagent.schedule(schedule text, command text)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    v_job_id := pgagent.schedule(
        format('job %s', gen_random_uuid()), schedule, command, NULL::text, NULL::text, true
    );
    PERFORM pgagent.alter_job(
        v_job_id, NULL::text, NULL::text, NULL::text, NULL::text, NULL::boolean,
        format('job %s', v_job_id), NULL::text, NULL::text, NULL::text, NULL::text, NULL::interval,
        NULL::text, NULL::text, NULL::interval, NULL::interval, NULL::integer
    );
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.schedule(text, text) IS
'Makes a job of one SQL command, named after its id: "job 12". Returns the id. Raises 22023 if the schedule can''t be read, 42710 if another job has that name. Example: SELECT pgagent.schedule(''30 seconds'', ''CALL refresh()'').';

CREATE OR REPLACE FUNCTION pgagent.schedule_in_database(
    job_name text, schedule text, command text, database text,
    username text DEFAULT NULL, active boolean DEFAULT true
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_refuse_username(username);
    RETURN pgagent.schedule(job_name, schedule, command, database, NULL::text, active);
END;
$$;
COMMENT ON FUNCTION pgagent.schedule_in_database(text, text, text, text, text, boolean) IS
'As schedule(), in another database of the same server; made for scripts that use pg_cron. Raises 0A000 for another username than the current user''s. Example: SELECT pgagent.schedule_in_database(''vacuum-app'', ''0 3 * * *'', ''VACUUM'', ''app'').';

CREATE OR REPLACE FUNCTION pgagent.alter_job(
    job_id bigint, schedule text DEFAULT NULL, command text DEFAULT NULL,
    database text DEFAULT NULL, username text DEFAULT NULL, active boolean DEFAULT NULL,
    name text DEFAULT NULL, description text DEFAULT NULL, class text DEFAULT NULL,
    host text DEFAULT NULL, timezone text DEFAULT NULL, timeout interval DEFAULT NULL,
    overlap text DEFAULT NULL, missed text DEFAULT NULL, missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_steps CONSTANT bigint := (SELECT count(*) FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id);
BEGIN
    PERFORM pgagent.pga_job_name(job_id), pgagent.pga_refuse_username(username),
            pgagent.pga_check_timezone(timezone, 'alter_job(timezone)'::text);
    IF btrim(name) = '' THEN
        PERFORM pgagent.pga_refuse('alter_job(name)'::text, 'is empty'::text, 'A name is wanted: it is how the other functions find the job.'::text);
    ELSIF btrim(command) = '' THEN
        PERFORM pgagent.pga_refuse('alter_job(command)'::text, 'is empty'::text, 'SQL commands or a script are wanted.'::text);
    ELSIF octet_length(database) > 63 THEN
        PERFORM pgagent.pga_refuse('alter_job(database)'::text, format('"%s" is too long', left(database, 70)), 'Names of databases have 63 bytes at most.'::text);
    ELSIF name <> pgagent.pga_job_name(job_id)
       AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = alter_job.name) THEN
        RAISE EXCEPTION 'pgagent: there is a job "%" already', name USING ERRCODE = 'duplicate_object',
            DETAIL = 'The functions find a job by its name.';
    ELSIF (command IS NOT NULL OR database IS NOT NULL) AND v_steps <> 1 THEN
        RAISE EXCEPTION 'pgagent: job % has % steps: which one is to get the command?', job_id, v_steps
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'command and database are for jobs of one step; change the rows of pga_jobstep instead.';
    END IF;

    UPDATE pgagent.pga_job AS j
    SET jobname = COALESCE(alter_job.name, j.jobname), jobdesc = COALESCE(description, j.jobdesc),
        jobjclid = CASE WHEN class IS NULL THEN j.jobjclid ELSE pgagent.pga_class_id(class) END,
        jobhostagent = COALESCE(host, j.jobhostagent), jobenabled = COALESCE(active, j.jobenabled)
    WHERE j.jobid = job_id
          AND num_nonnulls(alter_job.name, description, class, host, active) > 0;
    PERFORM pgagent.pga_job_set(job_id, timeout, overlap, missed, missed_limit, keep_for, keep_runs);
    UPDATE pgagent.pga_jobstep AS s
    SET jstcode = COALESCE(command, s.jstcode),
        jstdbname = CASE WHEN s.jstkind = 's' AND s.jstconnstr = '' THEN COALESCE(database, s.jstdbname)
                         ELSE s.jstdbname END
    WHERE s.jstjobid = job_id AND num_nonnulls(command, database) > 0;
    IF schedule IS NOT NULL THEN
        PERFORM pgagent.pga_schedule_replace(job_id, schedule, timezone);
    ELSIF timezone IS NOT NULL THEN
        UPDATE pgagent.pga_schedule SET jsctimezone = timezone WHERE jscjobid = job_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.alter_job(bigint, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer) IS
'Changes whatever is not NULL: the job''s schedule (all its schedules are replaced; exceptions stay), the command and database of its only step, whether it is active, its name, description, class and host, the time zone of its schedules, and what create_job() describes: timeout, overlap, missed, missed_limit, keep_for, keep_runs, where 0 takes a limit away. Raises 42704 if there is no such job or class, 22023 for a wrong schedule or zone, 42710 if the new name is taken, 55000 if the job has several steps, 0A000 for another username. Example: SELECT pgagent.alter_job(42, schedule => ''@hourly'', active => false).';

CREATE OR REPLACE FUNCTION pgagent.alter_job(
    job_name text, schedule text DEFAULT NULL, command text DEFAULT NULL,
    database text DEFAULT NULL, username text DEFAULT NULL, active boolean DEFAULT NULL,
    name text DEFAULT NULL, description text DEFAULT NULL, class text DEFAULT NULL,
    host text DEFAULT NULL, timezone text DEFAULT NULL, timeout interval DEFAULT NULL,
    overlap text DEFAULT NULL, missed text DEFAULT NULL, missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.alter_job(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                             $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.alter_job(text, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer) IS
'As alter_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_job(''nightly-vacuum'', active => false).';

CREATE OR REPLACE FUNCTION pgagent.drop_job(job_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    DELETE FROM pgagent.pga_job AS j WHERE j.jobid = drop_job.job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.drop_job(bigint) IS
'Deletes a job with its steps, schedules and log. Raises 42704 if there is none. Example: SELECT pgagent.drop_job(42).';

CREATE OR REPLACE FUNCTION pgagent.drop_job(job_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.drop_job(pgagent.pga_job_id($1)) $$;
COMMENT ON FUNCTION pgagent.drop_job(text) IS
'As drop_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_job(''nightly-vacuum'').';

CREATE OR REPLACE FUNCTION pgagent.unschedule(job_id bigint)
RETURNS boolean LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.drop_job($1); SELECT true $$;
COMMENT ON FUNCTION pgagent.unschedule(bigint) IS
'drop_job() under the name that pg_cron gives it. Returns true. Example: SELECT pgagent.unschedule(42).';

CREATE OR REPLACE FUNCTION pgagent.unschedule(job_name text)
RETURNS boolean LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.drop_job($1); SELECT true $$;
COMMENT ON FUNCTION pgagent.unschedule(text) IS
'drop_job() under the name that pg_cron gives it. Returns true. Example: SELECT pgagent.unschedule(''nightly-vacuum'').';

-- parts.sql: steps, schedules and exceptions of a job, in SQL.

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_id bigint, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind CONSTANT text := (ARRAY['s', 's', 'b', 'b'])[array_position('{sql,s,batch,b}', lower(kind))];
    v_on_error CONSTANT text := (ARRAY['f', 'f', 's', 's', 'i', 'i'])[
        array_position('{fail,f,success,s,ignore,i}', lower(on_error))];
    v_step_id bigint;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF v_kind IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(kind)'::text, format('"%s" is not known', kind), 'Kinds are sql and batch.'::text);
    ELSIF v_on_error IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(on_error)'::text, format('"%s" is not known', on_error), 'What a failing step can do is fail (the job), success (count as succeeded) and ignore.'::text);
    ELSIF octet_length(database) > 63 THEN
        PERFORM pgagent.pga_refuse('add_step(database)'::text, format('"%s" is too long', left(database, 70)), 'Names of databases have 63 bytes at most.'::text);
    ELSIF v_kind = 'b' AND num_nonnulls(nullif(database, ''), nullif(conninfo, '')) > 0 THEN
        PERFORM pgagent.pga_refuse('add_step(database, conninfo)'::text, 'a batch step has no database'::text, 'Leave both out.'::text);
    ELSIF nullif(database, '') IS NOT NULL AND nullif(conninfo, '') IS NOT NULL THEN
        PERFORM pgagent.pga_refuse('add_step(database, conninfo)'::text, 'one of the two is wanted'::text, 'The connection string names the database: dbname=...'::text);
    ELSIF btrim(command) = '' OR command IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(command)'::text, 'is empty'::text, 'SQL commands or a script are wanted.'::text);
    ELSIF btrim(name) = '' OR name IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(name)'::text, 'is empty'::text, 'A name is wanted: steps run in the order of their names.'::text);
    END IF;
    PERFORM pgagent.pga_check_span('add_step(timeout)'::text, timeout),
            pgagent.pga_check_span('add_step(retry_delay)'::text, retry_delay);
    INSERT INTO pgagent.pga_jobstep (
        jstjobid, jstname, jstcode, jstkind, jstdbname, jstconnstr, jstonerror, jstenabled, jstdesc,
        jstmode, jsttimeout, jstretries, jstretrydelay, jstretrybackoff, jstretryon
    ) VALUES (
        job_id, name, command, v_kind,
        CASE WHEN v_kind = 'b' OR nullif(conninfo, '') IS NOT NULL THEN ''
             ELSE COALESCE(nullif(database, ''), current_database()) END,
        COALESCE(conninfo, ''), v_on_error, COALESCE(enabled, true), COALESCE(description, ''),
        COALESCE(lower(mode), 'single'), nullif(timeout, interval '0'), COALESCE(retries, 0),
        COALESCE(retry_delay, interval '10 seconds'), COALESCE(retry_backoff, 2), retry_on
    ) RETURNING jstid::bigint INTO v_step_id;
    RETURN v_step_id;
END;
$$;
COMMENT ON FUNCTION pgagent.add_step(bigint, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[]) IS
'Adds a step to a job: kind sql (in a database of the runner''s server, by default this one, or anywhere by a connection string) or batch (a script). Steps run in the order of their names. on_error: fail, success or ignore. mode, for SQL: single (one query), autocommit (statement by statement: VACUUM, CREATE INDEX CONCURRENTLY) or atomic (in one transaction with its log row: exactly once). timeout: how long it may take. retries: how often it is tried again after one of retry_on (SQLSTATEs, exit codes, connection, timeout, any), first after retry_delay, then retry_backoff times as long. Returns the step''s id. Raises 42704 if there is no such job, 22023 for anything that is not allowed. Example: SELECT pgagent.add_step(42, ''2 report'', ''df -h'', kind => ''batch'', on_error => ''ignore'').';

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_name text, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.add_step(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8, $9,
                            $10, $11, $12, $13, $14, $15)
$$;
COMMENT ON FUNCTION pgagent.add_step(text, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[]) IS
'As add_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_step(''etl'', ''1 load'', ''CALL load()'').';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_parsed(
    p_schedule text, p_timezone text, p_start timestamptz
)
RETURNS SETOF pgagent.pga_schedule LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.* FROM pgagent.pga_schedule_parse(p_schedule, p_timezone) AS p,
    LATERAL jsonb_populate_record(NULL::pgagent.pga_schedule, jsonb_build_object(
        'jscid', 0,     -- which has no exceptions
        'jscname', btrim(p_schedule), 'jscdesc', '', 'jscenabled', true, 'jscstart', p_start,
        'jscminutes', p.minutes, 'jschours', p.hours, 'jscweekdays', p.weekdays,
        'jscmonthdays', p.monthdays, 'jscmonths', p.months,
        'jscevery', p.every, 'jscat', p.at, 'jscreboot', p.reboot, 'jsctimezone', p.timezone
    )) AS r
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_parsed(text, text, timestamptz) IS
'The rows of pga_schedule that the text of a schedule stands for, without ids and job. Raises what pga_schedule_parse() does.';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_id bigint, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT ''
)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_start CONSTANT timestamptz := COALESCE(start_at, date_trunc('second', now()));
    v_row pgagent.pga_schedule;
    v_schedule_id bigint;
    v_ids bigint[] := ARRAY[]::bigint[];
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF end_at < v_start THEN
        PERFORM pgagent.pga_refuse('add_schedule(end_at)'::text, 'end before start'::text, format('The end is %s, the start %s.', end_at, v_start));
    END IF;
    FOR v_row IN SELECT * FROM pgagent.pga_schedule_parsed(schedule, timezone, v_start) LOOP
        IF v_row.jscat <= now() THEN
            PERFORM pgagent.pga_refuse_schedule(schedule, 'the time'::text, 'lies in the past'::text,
                format('It is %s now. run_job() starts a job at once.', now()));
        END IF;
        INSERT INTO pgagent.pga_schedule (
            jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours,
            jscweekdays, jscmonthdays, jscmonths, jscevery, jscat, jscreboot, jsctimezone
        ) VALUES (
            job_id, COALESCE(name, v_row.jscname), COALESCE(description, ''), COALESCE(enabled, true),
            v_start, end_at, v_row.jscminutes, v_row.jschours, v_row.jscweekdays,
            v_row.jscmonthdays, v_row.jscmonths, v_row.jscevery, v_row.jscat, v_row.jscreboot,
            v_row.jsctimezone
        ) RETURNING jscid::bigint INTO v_schedule_id;
        v_ids := v_ids || v_schedule_id;
    END LOOP;
    RETURN v_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.add_schedule(bigint, text, text, text, timestamptz, timestamptz, boolean, text) IS
'Adds a schedule to a job: a crontab line, @daily and the like, "30 seconds", "@at 2031-05-01 09:00", @reboot. By default its name is its text, and its start, from which intervals count, is now. Returns the ids of its rows in pga_schedule: one, or two where cron means either of two days. Raises 42704 if there is no such job, 22023 if the schedule can''t be read, lies in the past or ends before it starts. Example: SELECT pgagent.add_schedule(42, ''0 9 * * mon-fri'', timezone => ''Europe/Berlin'').';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_name text, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT ''
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.add_schedule(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8) $$;
COMMENT ON FUNCTION pgagent.add_schedule(text, text, text, text, timestamptz, timestamptz, boolean, text) IS
'As add_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_schedule(''etl'', ''@every 90 seconds'').';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_replace(
    p_job_id bigint, p_schedule text, p_timezone text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT bigint[] := ARRAY(
        SELECT s.jscid::bigint FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id ORDER BY s.jscid
    );
    v_zone CONSTANT text := COALESCE(p_timezone, (
        SELECT s.jsctimezone FROM pgagent.pga_schedule AS s WHERE s.jscid = v_old[1]
    ));
    v_new bigint[];
BEGIN
    v_new := pgagent.add_schedule(
        p_job_id, p_schedule, NULL::text, v_zone, NULL::timestamptz, NULL::timestamptz, true, ''::text
    );
    -- The exceptions of the old schedules are meant for the new one.
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT n.id, e.jexdate, e.jextime
    FROM unnest(v_new) AS n (id)
    CROSS JOIN (SELECT DISTINCT x.jexdate, x.jextime FROM pgagent.pga_exception AS x
                WHERE x.jexscid = ANY (v_old)) AS e;
    DELETE FROM pgagent.pga_schedule WHERE jscid = ANY (v_old);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_replace(bigint, text, text) IS
'Puts one schedule in the place of all those of a job, with their exceptions and, if p_timezone is NULL, their time zone.';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_id bigint, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_added integer;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF NOT EXISTS (SELECT FROM pgagent.pga_schedule AS s
                   WHERE s.jscjobid = job_id AND s.jscname = COALESCE(schedule, s.jscname)) THEN
        RAISE EXCEPTION 'pgagent: job % has no schedule%', job_id, COALESCE(' "' || schedule || '"', '')
            USING ERRCODE = 'undefined_object', DETAIL = COALESCE(
                'Its schedules are ' || (SELECT string_agg(format('"%s"', s.jscname), ', ') FROM pgagent.pga_schedule AS s
                                         WHERE s.jscjobid = job_id) || '.', 'An exception belongs to a schedule.');
    END IF;
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT s.jscid, on_date, at_time
    FROM pgagent.pga_schedule AS s
    WHERE s.jscjobid = job_id AND s.jscname = COALESCE(schedule, s.jscname)
          AND NOT EXISTS (SELECT FROM pgagent.pga_exception AS e
                          WHERE e.jexscid = s.jscid
                                AND (e.jexdate, e.jextime) IS NOT DISTINCT FROM (on_date, at_time));
    GET DIAGNOSTICS v_added = ROW_COUNT;
    RETURN v_added;
END;
$$;
COMMENT ON FUNCTION pgagent.add_exception(bigint, date, time, text) IS
'Excepts a date, a time of every day, or a time on a date from all schedules of a job, or from those with this name. Returns to how many it was added. Raises 42704 if there is no such job or schedule, 22023 if neither date nor time is given. Example: SELECT pgagent.add_exception(42, on_date => ''2030-12-25'').';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_name text, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.add_exception(pgagent.pga_job_id($1), $2, $3, $4) $$;
COMMENT ON FUNCTION pgagent.add_exception(text, date, time, text) IS
'As add_exception() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_exception(''etl'', at_time => ''12:00'').';

-- run.sql: starting a job by hand, and looking ahead.

CREATE OR REPLACE FUNCTION pgagent.run_job(job_id bigint, from_step text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
    v_step_id integer;
    v_run_id bigint;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = job_id FOR NO KEY UPDATE;
    IF from_step IS NOT NULL THEN
        SELECT s.jstid INTO v_step_id FROM pgagent.pga_jobstep AS s
        WHERE s.jstjobid = job_id AND s.jstname = from_step ORDER BY s.jstid LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'pgagent: job "%" has no step "%"', v_job.jobname, from_step
                USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its steps are ' || (
                    SELECT string_agg(format('"%s"', s.jstname), ', ' ORDER BY s.jstname)
                    FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id) || '.', 'It has no steps.');
        END IF;
    END IF;

    IF v_job.jobagentid IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: job "%" is already running', v_job.jobname USING ERRCODE = 'object_in_use',
            DETAIL = (SELECT format('It is run %s, since %s, on host "%s".', l.jlgid, l.jlgstart, l.jlgstation)
                      FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = job_id AND l.jlgstatus = 'r'
                      ORDER BY l.jlgid DESC LIMIT 1);
    ELSIF v_job.jobrunid IS NOT NULL THEN
        IF v_job.jobfromstep IS DISTINCT FROM v_step_id THEN
            RAISE EXCEPTION 'pgagent: job "%" is about to run, from another step', v_job.jobname
                USING ERRCODE = 'object_in_use', DETAIL = format('It will be run %s.', v_job.jobrunid);
        END IF;
        RETURN v_job.jobrunid;
    END IF;

    IF NOT EXISTS (SELECT FROM pgagent.agents AS a WHERE a.alive AND v_job.jobhostagent IN ('', a.station)) THEN
        RAISE WARNING 'pgagent: no runner for job "%" is alive; it will run as soon as one is', v_job.jobname
            USING DETAIL = CASE v_job.jobhostagent WHEN '' THEN 'Any host will do.'
                                ELSE format('Only host "%s" may run it.', v_job.jobhostagent) END;
    END IF;
    UPDATE pgagent.pga_job
    SET jobnextrun = now(), jobrunid = 0, jobfromstep = v_step_id    -- the trigger draws the id
    WHERE jobid = job_id
    RETURNING jobrunid INTO v_run_id;
    RETURN v_run_id;
END;
$$;
COMMENT ON FUNCTION pgagent.run_job(bigint, text) IS
'Has a job run at once, even a disabled one, from its first step or from the one of this name. Returns the id that the run will have in pga_joblog; asked again before it starts, the same id. Raises 55006 if the job is running already, 42704 if there is no such job or step; warns if no runner is alive. Example: SELECT pgagent.run_job(42, from_step => ''2 report'').';

CREATE OR REPLACE FUNCTION pgagent.run_job(job_name text, from_step text DEFAULT NULL)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.run_job(pgagent.pga_job_id($1), $2) $$;
COMMENT ON FUNCTION pgagent.run_job(text, text) IS
'As run_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.run_job(''etl'').';

CREATE OR REPLACE FUNCTION pgagent.cancel_run(run_id bigint)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
BEGIN
    -- One that run_job() has promised and that has not begun.
    UPDATE pgagent.pga_job SET jobrunid = NULL, jobfromstep = NULL, jobnextrun = NULL
    WHERE jobrunid = run_id AND jobagentid IS NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    UPDATE pgagent.pga_joblog AS l
    SET jlgcancel = COALESCE(l.jlgcancel, format('cancelled by %s at %s', current_user, date_trunc('second', now())))
    WHERE l.jlgid = run_id AND l.jlgstatus = 'r';
    IF FOUND THEN
        PERFORM pg_notify('pgagent', 'cancel');
        RETURN true;
    END IF;
    SELECT l.jlgstatus::text INTO v_status FROM pgagent.pga_joblog AS l WHERE l.jlgid = run_id;
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'pgagent: there is no run %', run_id USING ERRCODE = 'undefined_object',
            DETAIL = 'The view pgagent.running lists the runs under way.';
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.cancel_run(bigint) IS
'Has a run stopped: a statement is cancelled, a script''s processes are ended; the run ends as aborted. A run that run_job() has promised does not begin if it has not yet. Returns whether there was anything to stop: false if the run has ended already. pgAgent''s own daemon takes no notice. Raises 42704 if there is no such run. Example: SELECT pgagent.cancel_run(run_id) FROM pgagent.running WHERE job = ''etl''.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_note(
    p_schedule pgagent.pga_schedule, p_after timestamptz, p_run timestamptz
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone CONSTANT text := p_schedule.jsctimezone;
    v_local CONSTANT timestamp := pgagent.pga_local_time(v_zone, p_run);
    -- The same schedule without its exceptions: what would have been first?
    v_planned CONSTANT timestamptz := pgagent.pga_schedule_next(
        jsonb_populate_record(p_schedule, '{"jscid": 0}'), p_after
    );
    v_notes text[] := ARRAY[]::text[];
BEGIN
    IF v_planned < p_run THEN
        v_notes := v_notes || format('an exception leaves out %s',
            to_char(v_planned AT TIME ZONE v_zone, 'YYYY-MM-DD HH24:MI'));
    END IF;
    IF p_schedule.jscevery IS NULL AND p_schedule.jscat IS NULL THEN
        IF pgagent.pga_zone_local(v_zone, p_run) < v_local
           AND NOT (pgagent.pga_calendar_field(p_schedule.jschours, 24))[extract(hour FROM v_local)::integer + 1]
           OR pgagent.pga_zone_local(v_zone, p_run) < v_local
           AND NOT (pgagent.pga_calendar_field(p_schedule.jscminutes, 60))[extract(minute FROM v_local)::integer + 1] THEN
            v_notes := v_notes || format('clocks go forward: its time %s to %s does not exist',
                to_char(pgagent.pga_zone_local(v_zone, p_run), 'HH24:MI'), to_char(v_local, 'HH24:MI'));
        ELSIF (p_run + interval '24 hours') AT TIME ZONE v_zone <> v_local + interval '24 hours'
              AND pgagent.pga_zone_instant(v_zone, v_local) <> v_local AT TIME ZONE v_zone THEN
            v_notes := v_notes || CASE pgagent.pga_zone_instant(v_zone, v_local)
                WHEN p_run THEN 'clocks go back: this local time comes twice, this is the first' END;
        ELSIF pgagent.pga_zone_instant(v_zone, v_local) < p_run THEN
            v_notes := v_notes || 'clocks have gone back: this local time comes twice, this is the second'::text;
        END IF;
    END IF;
    RETURN nullif(array_to_string(v_notes, '; '), '');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_note(pgagent.pga_schedule, timestamptz, timestamptz) IS
'What is special about the run p_run of a schedule, the first after p_after: an exception before it, a change of clocks; NULL if nothing is.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_next(
    p_schedules pgagent.pga_schedule[], p_after timestamptz, p_until timestamptz, p_max_rows integer
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next timestamptz[] := ARRAY(
        SELECT pgagent.pga_schedule_next(p_schedules[i], p_after)
        FROM generate_subscripts(p_schedules, 1) AS i ORDER BY i
    );
    v_after timestamptz := p_after;
    v_first integer;
BEGIN
    FOR i IN 1..p_max_rows LOOP
        SELECT n.place::integer, n.run INTO v_first, run_at
        FROM unnest(v_next) WITH ORDINALITY AS n (run, place)
        WHERE n.run IS NOT NULL ORDER BY n.run, n.place LIMIT 1;
        EXIT WHEN NOT FOUND OR run_at > p_until;

        local_time := pgagent.pga_local_time((p_schedules[v_first]).jsctimezone, run_at);
        schedule_name := (p_schedules[v_first]).jscname;
        note := pgagent.pga_run_note(p_schedules[v_first], v_after, run_at);
        RETURN NEXT;
        v_after := run_at;
        FOR k IN 1..cardinality(v_next) LOOP
            IF v_next[k] <= run_at THEN
                v_next[k] := pgagent.pga_schedule_next(p_schedules[k], run_at);
            END IF;
        END LOOP;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_next(pgagent.pga_schedule[], timestamptz, timestamptz, integer) IS
'The instants after p_after, up to p_until, at which any of these schedules starts its job: at most p_max_rows, in order, each once.';

CREATE OR REPLACE FUNCTION pgagent.next_runs(
    job_id bigint, after timestamptz DEFAULT now(), until timestamptz DEFAULT NULL,
    max_rows integer DEFAULT 10
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    PERFORM pgagent.pga_check_max_rows(max_rows);
    IF after IS NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(after)'::text, 'is NULL'::text, 'A point in time is wanted.'::text);
    END IF;
    RETURN QUERY SELECT n.* FROM pgagent.pga_schedules_next(
        ARRAY(SELECT s FROM pgagent.pga_schedule AS s
              WHERE s.jscjobid = job_id AND s.jscenabled ORDER BY s.jscid),
        after, until, max_rows
    ) AS n;
END;
$$;
COMMENT ON FUNCTION pgagent.next_runs(bigint, timestamptz, timestamptz, integer) IS
'The instants after "after", up to "until" (NULL: no limit), at which the enabled schedules of a job start it, at most max_rows; with the local time and name of the schedule and a note where clocks change or an exception has removed one. Raises 42704 if there is no such job, 22023 unless max_rows is from 1 to 100000. Example: SELECT * FROM pgagent.next_runs(42, max_rows => 3).';

CREATE OR REPLACE FUNCTION pgagent.next_runs(
    job text DEFAULT NULL, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    after timestamptz DEFAULT now(), until timestamptz DEFAULT NULL, max_rows integer DEFAULT 10
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nonnulls(job, schedule) <> 1 THEN
        PERFORM pgagent.pga_refuse('next_runs(job, schedule)'::text, 'one of the two is wanted'::text,
            'Name a job, or give the text of a schedule: next_runs(schedule => ''0 9 * * mon'').'::text);
    ELSIF after IS NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(after)'::text, 'is NULL'::text, 'A point in time is wanted.'::text);
    ELSIF job IS NOT NULL AND timezone IS NOT NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(timezone)'::text, 'is for the text of a schedule'::text, 'The schedules of a job have time zones of their own.'::text);
    ELSIF job IS NOT NULL THEN
        RETURN QUERY SELECT n.* FROM pgagent.next_runs(pgagent.pga_job_id(job), after, until, max_rows) AS n;
    ELSE
        PERFORM pgagent.pga_check_max_rows(max_rows);
        RETURN QUERY SELECT n.* FROM pgagent.pga_schedules_next(
            ARRAY(SELECT p FROM pgagent.pga_schedule_parsed(schedule, timezone, after) AS p),
            after, until, max_rows
        ) AS n;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.next_runs(text, text, text, timestamptz, timestamptz, integer) IS
'As next_runs() with a job''s id, for the job of this name, or for the text of a schedule in a time zone (NULL: the default of schedules); an interval counts from "after". Raises 22023 if the schedule can''t be read, 42704 or 42P09 if there is no or more than one job of this name. Example: SELECT * FROM pgagent.next_runs(schedule => ''30 2 * * *'', timezone => ''Europe/Berlin'', after => ''2031-03-29'', max_rows => 2).';

CREATE OR REPLACE FUNCTION pgagent.pga_check_max_rows(p_max_rows integer)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_max_rows IS NULL OR p_max_rows NOT BETWEEN 1 AND 100000 THEN
        PERFORM pgagent.pga_refuse('next_runs(max_rows)'::text, format('%s is out of range', COALESCE(p_max_rows::text, 'NULL')),
            'Allowed are 1 to 100000.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_max_rows(integer) IS
'Raises 22023 unless this is a sensible number of rows.';

-- explain.sql: why does a job run, or not?

CREATE OR REPLACE FUNCTION pgagent.pga_explain_schedule(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next CONSTANT timestamptz := pgagent.pga_schedule_next(p_schedule, now());
    v_bare CONSTANT pgagent.pga_schedule := jsonb_populate_record(p_schedule, '{"jscid": 0}');
    v_endless CONSTANT pgagent.pga_schedule := jsonb_populate_record(v_bare, '{"jscend": null}');
BEGIN
    IF NOT p_schedule.jscenabled AND p_schedule.jscat <= now() THEN
        RETURN format('was for one run at %s, which is over', p_schedule.jscat);
    ELSIF NOT p_schedule.jscenabled THEN
        RETURN 'is disabled';
    ELSIF p_schedule.jscreboot THEN
        RETURN 'waits for a runner to start';
    ELSIF v_next IS NOT NULL THEN
        RETURN format('matches next at %s%s', v_next,
            COALESCE(' (' || pgagent.pga_run_note(p_schedule, now(), v_next) || ')', ''))
            || CASE WHEN p_schedule.jscstart > now() THEN format('; it starts at %s', p_schedule.jscstart) ELSE '' END;
    ELSIF p_schedule.jscend < now() THEN
        RETURN format('ended at %s', p_schedule.jscend);
    ELSIF p_schedule.jscend < p_schedule.jscstart THEN
        RETURN format('ends at %s, before it starts at %s', p_schedule.jscend, p_schedule.jscstart);
    ELSIF NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE lower(z.name) = lower(p_schedule.jsctimezone)) THEN
        RETURN format('is in a time zone that this server does not know: %s', p_schedule.jsctimezone);
    END IF;
    IF pgagent.pga_schedule_next(v_bare, now()) IS NOT NULL THEN
        RETURN 'matches only times that its exceptions leave out';
    ELSIF pgagent.pga_schedule_next(v_endless, now()) IS NOT NULL THEN
        RETURN format('matches no time before its end at %s', p_schedule.jscend);
    END IF;
    RETURN 'matches no date of the calendar';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_schedule(pgagent.pga_schedule) IS
'What a schedule will do, or why it will not do anything, in words.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_agent(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alive CONSTANT text[] := ARRAY(SELECT DISTINCT a.station FROM pgagent.agents AS a WHERE a.alive ORDER BY 1);
BEGIN
    ok := CASE p_job.jobhostagent WHEN '' THEN cardinality(v_alive) > 0 ELSE p_job.jobhostagent = ANY (v_alive) END;
    detail := CASE
        WHEN cardinality(v_alive) = 0 THEN 'no runner is alive: start one with "pgagent run"'
        WHEN NOT ok THEN format('no runner on host "%s" is alive, only on %s', p_job.jobhostagent,
                                (SELECT string_agg(format('"%s"', s), ', ') FROM unnest(v_alive) AS s))
        ELSE format('alive on %s', (SELECT string_agg(format('"%s"', s), ', ') FROM unnest(v_alive) AS s))
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_agent(pgagent.pga_job) IS
'Whether a runner that may execute this job is alive.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_claim(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = p_job.jobid AND l.jlgstatus = 'r' ORDER BY l.jlgid DESC LIMIT 1;
    ok := p_job.jobagentid IS NULL;
    IF p_job.jobagentid IS NULL THEN
        detail := 'not running';
    ELSIF EXISTS (SELECT FROM pgagent.agents AS a WHERE a.agent_id = p_job.jobagentid AND a.alive) THEN
        detail := format('run %s is under way since %s on host "%s"; the next one waits for it',
                         v_run.jlgid, v_run.jlgstart, v_run.jlgstation);
    ELSE
        detail := format('claimed by agent %s, which is dead; any runner will free it within seconds', p_job.jobagentid);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_claim(pgagent.pga_job) IS
'Whether a run of this job is under way, or held by an agent that is dead.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_due(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    ok := p_job.jobnextrun <= now() AND p_job.jobagentid IS NULL;
    IF p_job.jobagentid IS NOT NULL THEN
        detail := 'the next run is computed when the one under way ends';
    ELSIF p_job.jobnextrun IS NULL THEN
        detail := CASE WHEN p_job.jobenabled THEN 'no schedule starts the job' ELSE 'the job is disabled' END
                  || '; run_job() runs it once';
    ELSIF NOT ok THEN
        detail := format('due at %s%s', p_job.jobnextrun, CASE WHEN isfinite(p_job.jobnextrun)
            THEN format(', in %s', date_trunc('second', p_job.jobnextrun - now())) ELSE '' END);
    ELSE
        detail := format('due since %s', p_job.jobnextrun);
        BEGIN
            PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = p_job.jobid FOR NO KEY UPDATE NOWAIT;
            detail := detail || '; the next runner with a free worker takes it';
        EXCEPTION
            WHEN lock_not_available THEN
                ok := false;
                detail := detail || '; but another transaction has locked the job''s row: runners pass it over';
            WHEN insufficient_privilege OR read_only_sql_transaction THEN
                NULL;
        END;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_due(pgagent.pga_job) IS
'Whether this job is due, and whether it can be claimed.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_last(p_job_id bigint, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = p_job_id AND l.jlgstatus <> 'r' ORDER BY l.jlgid DESC LIMIT 1;
    IF NOT FOUND THEN
        detail := 'has not run yet';
        RETURN;
    END IF;
    ok := v_run.jlgstatus = 's';
    detail := format('run %s, at %s, %s%s', v_run.jlgid, v_run.jlgstart,
        CASE v_run.jlgstatus WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
             WHEN 'i' THEN 'had nothing to do' ELSE 'was aborted' END,
        COALESCE(': ' || v_run.jlgmessage, ''));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_last(bigint) IS
'How the last run of this job ended, and why; ok is NULL if there was none.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_rules(p_job pgagent.pga_job)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws('; ',
        CASE p_job.joboverlap WHEN 'queue' THEN 'times that pass while it runs are made up for'
            ELSE 'times that pass while it runs are left out' END,
        CASE p_job.jobmissed WHEN 'all' THEN 'all that no runner takes in time are made up for'
            WHEN 'skip' THEN 'those that no runner takes in time are left out'
            ELSE 'one run makes up for those that no runner takes in time' END,
        'a run may begin ' || COALESCE(p_job.jobmissedlimit,
            CASE p_job.jobmissed WHEN 'skip' THEN interval '1 minute' END) || ' late',
        'a run may take ' || p_job.jobtimeout
    )
$$;
COMMENT ON FUNCTION pgagent.pga_explain_rules(pgagent.pga_job) IS
'What becomes of times that a job misses, and how long a run may take, in words.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_enabled(p_job pgagent.pga_job)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_job.jobenabled THEN 'the job is enabled'
        WHEN p_job.jobnextrun IS NOT NULL THEN 'the job is disabled, but somebody has asked for one run'
        ELSE 'the job is disabled: its schedules do not start it' || COALESCE((
            SELECT format('; run %s says: %s', l.jlgid, l.jlgmessage)
            FROM (SELECT r.jlgid, r.jlgmessage FROM pgagent.pga_joblog AS r
                  WHERE r.jlgjobid = p_job.jobid ORDER BY r.jlgid DESC LIMIT 1) AS l
            WHERE l.jlgmessage LIKE '%the job has been disabled'
        ), '') END
$$;
COMMENT ON FUNCTION pgagent.pga_explain_enabled(pgagent.pga_job) IS
'Whether this job is enabled, and whether it was disabled for killing its runners.';

CREATE OR REPLACE FUNCTION pgagent.explain_job(job_id bigint)
RETURNS TABLE (gate text, ok boolean, detail text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
    v_schedule pgagent.pga_schedule;
    v_steps bigint;
    v_enabled_steps bigint;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = job_id;
    RETURN QUERY SELECT 'enabled', v_job.jobenabled, pgagent.pga_explain_enabled(v_job);

    SELECT count(*), count(*) FILTER (WHERE s.jstenabled) INTO v_steps, v_enabled_steps
    FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id;
    RETURN QUERY SELECT 'steps', v_enabled_steps > 0, CASE
        WHEN v_steps = 0 THEN 'the job has no steps: runs end at once with nothing to do'
        WHEN v_enabled_steps = 0 THEN format('all %s steps are disabled: runs end at once with nothing to do', v_steps)
        ELSE format('%s of %s steps are enabled', v_enabled_steps, v_steps) END;

    IF NOT EXISTS (SELECT FROM pgagent.pga_schedule AS s WHERE s.jscjobid = job_id) THEN
        RETURN QUERY SELECT 'schedule', false, 'the job has no schedules: it runs only when somebody starts it';
    END IF;
    FOR v_schedule IN SELECT s.* FROM pgagent.pga_schedule AS s WHERE s.jscjobid = job_id ORDER BY s.jscid LOOP
        RETURN QUERY SELECT format('schedule "%s"', v_schedule.jscname),
            v_schedule.jscenabled AND (v_schedule.jscreboot OR pgagent.pga_schedule_next(v_schedule, now()) IS NOT NULL),
            format('%s in %s %s', pgagent.pga_schedule_text(v_schedule), v_schedule.jsctimezone,
                   pgagent.pga_explain_schedule(v_schedule));
    END LOOP;
    RETURN QUERY SELECT 'running', e.ok, e.detail FROM pgagent.pga_explain_claim(v_job) AS e;
    RETURN QUERY SELECT 'due', e.ok, e.detail FROM pgagent.pga_explain_due(v_job) AS e;
    RETURN QUERY SELECT 'runner', e.ok, e.detail FROM pgagent.pga_explain_agent(v_job) AS e;
    RETURN QUERY SELECT 'rules', NULL::boolean, pgagent.pga_explain_rules(v_job);
    RETURN QUERY SELECT 'last run', e.ok, e.detail FROM pgagent.pga_explain_last(job_id) AS e;
    RETURN QUERY
    SELECT 'left out', NULL::boolean,
           format('its times from %s to %s did not run: %s', s.jskfrom, s.jskuntil, s.jskreason)
    FROM pgagent.pga_jobskip AS s WHERE s.jskjobid = explain_job.job_id ORDER BY s.jskid DESC LIMIT 1;
END;
$$;
COMMENT ON FUNCTION pgagent.explain_job(bigint) IS
'Why a job runs, or why not: each condition, whether it holds (NULL where that does not apply), and a sentence. Raises 42704 if there is no such job. Example: SELECT * FROM pgagent.explain_job(42).';

CREATE OR REPLACE FUNCTION pgagent.explain_job(job_name text)
RETURNS TABLE (gate text, ok boolean, detail text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM pgagent.explain_job(pgagent.pga_job_id($1)) $$;
COMMENT ON FUNCTION pgagent.explain_job(text) IS
'As explain_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT * FROM pgagent.explain_job(''etl'').';

-- grants.sql: who may call what.
--
-- Anybody may ask what a schedule means, and define jobs as far as they may write the
-- tables: functions and triggers act with the rights of their caller. Functions that move
-- jobs from state to state are for the owner, and those who are granted them
-- (docs/security.md).
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    -- Only where PUBLIC has it: after a REVOKE in an extension's script pg_dump takes the
    -- function's privileges for the extension's own, and leaves out what users granted.
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE a.grantee = 0 AND p.oid = ANY (ARRAY[
            'pgagent.pga_agent_register(text, interval, boolean, uuid)',
            'pgagent.pga_agent_heartbeat(integer, interval)',
            'pgagent.pga_agent_leave(integer)',
            'pgagent.pga_agent_sweep()',
            'pgagent.pga_agent_bury(integer, text)',
            'pgagent.pga_run_claim(integer, integer)',
            'pgagent.pga_run_record(bigint[], bigint[], text[], integer[], text[], integer[], integer[], text[], text[])',
            'pgagent.pga_run_close(bigint[], bigint[], text[], text[])',
            'pgagent.pga_run_refusal(bigint, bigint[])',
            'pgagent.pga_run_is_complete(bigint)',
            'pgagent.pga_agent_session(integer, integer)',
            'pgagent.pga_agent_end_sessions(integer)',
            'pgagent.pga_agent_bury_run(integer, boolean, text)',
            'pgagent.pga_job_skip(integer, timestamptz, timestamptz, text)',
            'pgagent.pga_job_passed(integer, timestamptz, timestamptz, integer)',
            'pgagent.pga_job_latest(integer, timestamptz, integer)',
            'pgagent.pga_job_make_up(pgagent.pga_job)',
            'pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz)',
            'pgagent.pga_log_prune(integer, integer, integer)',
            'pgagent.pga_run_abort(bigint, text)',
            'pgagent.pga_seconds_until_due(text)',
            'pgagent.pga_step_advance(bigint, integer, integer)',
            'pgagent.pga_step_finish(bigint, integer, text)',
            -- To fire a trigger takes no privilege, to create one does.
            'pgagent.pga_job_trigger()',
            'pgagent.pga_schedule_trigger()',
            'pgagent.pga_exception_trigger()',
            'pgagent.pga_jobstep_trigger()',
            'pgagent.pga_jobagent_trigger()',
            'pgagent.pga_jobclass_trigger()',
            'pgagent.pga_joblog_trigger()',
            'pgagent.pga_jobsteplog_trigger()',
            'pgagent.pga_restore_trigger()',
            'pgagent.pga_schedule_check()',
            'pgagent.pga_exception_check()',
            'pgagent.pga_jobstep_check()'
        ]::regprocedure[])
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END;
$$;

-- pg_dump.sql: what pg_dump keeps of the tables and sequences: everything but the agents
-- and their sessions, which are those of the server that was dumped.
DO $$
DECLARE
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY[
        'pga_jobclass', 'pga_jobclass_jclid_seq', 'pga_job', 'pga_job_jobid_seq',
        'pga_jobstep', 'pga_jobstep_jstid_seq', 'pga_schedule', 'pga_schedule_jscid_seq',
        'pga_exception', 'pga_exception_jexid_seq', 'pga_joblog', 'pga_joblog_jlgid_seq',
        'pga_jobsteplog', 'pga_jobsteplog_jslid_seq', 'pga_jobskip', 'pga_jobskip_jskid_seq'
    ] LOOP
        PERFORM pg_extension_config_dump(format('pgagent.%I', v_name)::regclass, '');
    END LOOP;
    PERFORM pg_extension_config_dump('pgagent.pga_jobagent', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_jobsession', 'WHERE false');
END;
$$;

-- comments.sql: what each table and column is, and those indexes and constraints whose
-- definition does not say what they are for.

COMMENT ON SCHEMA pgagent IS 'pgAgent job scheduler';

COMMENT ON TABLE pgagent.pga_jobagent IS
'The agents that are running: one row for each, written and deleted by themselves or by those that find them dead.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagpid IS 'Process id of the agent''s session on this server; what pga_job.jobagentid refers to.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglogintime IS 'When the agent registered.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagstation IS 'Host name of the agent: it executes jobs whose jobhostagent is this name or empty.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagbackendstart IS 'When the agent''s session began: with jagpid its identity, since process ids are used again. NULL if unknown.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglease IS 'Until when the agent counts as alive unless it renews this; NULL for pgAgent''s own daemon, which has no lease.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagrunner IS 'Names the process, whose sessions come and go; NULL for pgAgent''s own daemon, and when the process has registered anew: then it is not dead, only this session is.';

COMMENT ON TABLE pgagent.pga_jobsession IS
'The sessions on this server in which agents execute SQL steps; whoever finds an agent dead ends them.';
COMMENT ON COLUMN pgagent.pga_jobsession.jsspid IS 'Process id of the session.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssagentid IS 'The agent.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssbackendstart IS 'When the session began: with jsspid its identity.';

COMMENT ON TABLE pgagent.pga_jobclass IS
'Classes of jobs, by which people sort them; the scheduler treats all classes alike.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclid IS 'Id of the class.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclname IS 'Its name, unique.';

COMMENT ON TABLE pgagent.pga_job IS
'Jobs: what runs at the times of its schedules, step by step.';
COMMENT ON COLUMN pgagent.pga_job.jobid IS 'Id of the job.';
COMMENT ON COLUMN pgagent.pga_job.jobjclid IS 'Its class.';
COMMENT ON COLUMN pgagent.pga_job.jobname IS 'Its name; need not be unique.';
COMMENT ON COLUMN pgagent.pga_job.jobdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_job.jobhostagent IS 'Host name of the only agent that may execute the job, exactly as in pga_jobagent.jagstation; empty: any.';
COMMENT ON COLUMN pgagent.pga_job.jobenabled IS 'Whether schedules start the job. A disabled job still runs once when jobnextrun is set.';
COMMENT ON COLUMN pgagent.pga_job.jobcreated IS 'When the job was created.';
COMMENT ON COLUMN pgagent.pga_job.jobchanged IS 'When the job, a step, a schedule or an exception of it was last changed.';
COMMENT ON COLUMN pgagent.pga_job.jobagentid IS 'Agent that currently executes this job; NULL: none. Written by agents only.';
COMMENT ON COLUMN pgagent.pga_job.jobnextrun IS 'When the job is due, kept by triggers. Set it to now() to run the job at once, to NULL to have it computed from the schedules.';
COMMENT ON COLUMN pgagent.pga_job.joblastrun IS 'When the last run began.';
COMMENT ON COLUMN pgagent.pga_job.jobrunid IS 'The id that run_job() has promised for the next run; NULL: none.';
COMMENT ON COLUMN pgagent.pga_job.jobfromstep IS 'The step from which the next run begins, if run_job() was told so; NULL: the first.';
COMMENT ON COLUMN pgagent.pga_job.jobtimeout IS 'How long a run may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_job.joboverlap IS 'What becomes of a time of its schedules that passes while the job is running: skip=it is left out, queue=the job runs again when it has ended.';
COMMENT ON COLUMN pgagent.pga_job.jobmissed IS 'What becomes of the times that pass while no runner can take the job: latest=one run makes up for all, skip=they are left out, all=a run for each of the latest hundred.';
COMMENT ON COLUMN pgagent.pga_job.jobmissedlimit IS 'How late a run may begin: a time longer ago than this is left out. NULL: as late as need be; a minute where jobmissed is skip.';
COMMENT ON COLUMN pgagent.pga_job.jobdeaths IS 'How many runners in a row have died while they executed this job; three disable it.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepfor IS 'How long its runs are kept in the log; NULL: for ever.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepruns IS 'How many of its latest runs are kept in the log; NULL: all.';
COMMENT ON INDEX pgagent.pga_job_due IS 'The due jobs, in the order in which they fell due.';
COMMENT ON CONSTRAINT pga_job_jobagentid_fkey ON pgagent.pga_job IS 'An agent''s jobs are free when its row is deleted.';

COMMENT ON TABLE pgagent.pga_jobstep IS
'Steps of jobs, executed in the order of their names.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstid IS 'Id of the step.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstjobid IS 'The job it belongs to.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstname IS 'Its name: steps are executed in the order of names, those of one name in the order of ids.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstenabled IS 'Whether it is executed.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstkind IS 'Kind of step: s=SQL, b=batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstcode IS 'SQL commands, sent as one query; or a script, run by the interpreter that its first line names (#!), else by /bin/sh.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstconnstr IS 'For SQL: a libpq connection string to any database; empty: jstdbname says where. It takes precedence over jstdbname.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdbname IS 'For SQL: a database on the agent''s own server; empty: jstconnstr says where.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstonerror IS 'What a failure does: f=the job fails and stops, s=the step counts as succeeded, i=the failure is logged and ignored.';
COMMENT ON COLUMN pgagent.pga_jobstep.jscnextrun IS 'Not used; pgAdmin reads it.';
COMMENT ON COLUMN pgagent.pga_jobstep.jsttimeout IS 'How long the step may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretries IS 'How many more times the step is tried if it fails for a reason in jstretryon.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrydelay IS 'How long to wait before the first retry.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrybackoff IS 'How many times longer to wait before each further retry: 1=always the same, 2=twice as long.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretryon IS 'After what to try again: SQLSTATEs or their first two characters, exit codes, ''connection'', ''timeout'', ''any''. NULL: lost connections, 40001, 40P01, 55P03 and 57P01 to 57P03 for SQL; any exit code for batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstmode IS 'How an SQL step is sent: single=as one query, in one transaction unless it says otherwise; autocommit=statement by statement, each on its own; atomic=in one transaction with its own log row, in the database of the jobs only.';
COMMENT ON CONSTRAINT pga_jobstep_check ON pgagent.pga_jobstep IS 'Only SQL steps have a connection string, and they have it or a database.';
COMMENT ON CONSTRAINT pga_jobstep_check1 ON pgagent.pga_jobstep IS 'Only SQL steps have a database, and they have it or a connection string.';

COMMENT ON TABLE pgagent.pga_schedule IS
'Schedules of jobs: a job runs at the times of all its enabled schedules. A time matches if minute, hour, weekday, day and month all do; a field in which nothing is selected always matches.';
COMMENT ON COLUMN pgagent.pga_schedule.jscid IS 'Id of the schedule.';
COMMENT ON COLUMN pgagent.pga_schedule.jscjobid IS 'The job that it starts.';
COMMENT ON COLUMN pgagent.pga_schedule.jscname IS 'Its name.';
COMMENT ON COLUMN pgagent.pga_schedule.jscdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_schedule.jscenabled IS 'Whether it starts the job.';
COMMENT ON COLUMN pgagent.pga_schedule.jscstart IS 'It does not start the job before this time; -infinity: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscend IS 'It does not start the job after this time; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscminutes IS 'The minutes of the hour, 0 to 59.';
COMMENT ON COLUMN pgagent.pga_schedule.jschours IS 'The hours of the day, 0 to 23. A schedule that selects all or none follows the clock when it is put forward or back; one that names its hours runs once for each.';
COMMENT ON COLUMN pgagent.pga_schedule.jscweekdays IS 'The days of the week, Sunday first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonthdays IS 'The days of the month, 1 to 31; the 32nd is the last day, whichever it is.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonths IS 'The months, January first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscevery IS 'If set, the schedule starts the job at jscstart and then at this interval, whatever the fields select; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscat IS 'If set, the schedule starts the job once, at this time, and is then disabled; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscreboot IS 'If true, the schedule starts the job whenever an agent starts; a change of the fields resets it.';
COMMENT ON COLUMN pgagent.pga_schedule.jsctimezone IS 'The IANA time zone in which the fields and the exceptions are meant. The default was taken from the database''s setting when this column was created.';
COMMENT ON CONSTRAINT pga_schedule_kind_check ON pgagent.pga_schedule IS 'Fields, an interval, one time or the start of an agent: a schedule is of one kind.';

COMMENT ON TABLE pgagent.pga_exception IS
'Exceptions: when a schedule does not start its job although its fields match.';
COMMENT ON COLUMN pgagent.pga_exception.jexid IS 'Id of the exception.';
COMMENT ON COLUMN pgagent.pga_exception.jexscid IS 'The schedule.';
COMMENT ON COLUMN pgagent.pga_exception.jexdate IS 'The date, in the schedule''s time zone; NULL: every day.';
COMMENT ON COLUMN pgagent.pga_exception.jextime IS 'The time of day, to the minute; NULL: the whole day.';
COMMENT ON INDEX pgagent.pga_exception_datetime IS 'No exception twice in one schedule; two schedules may have the same one.';

COMMENT ON TABLE pgagent.pga_joblog IS
'Runs of jobs, past and present.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgid IS 'Id of the run.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstatus IS 'Status of the run: r=running, s=successfully finished, f=failed, i=no steps to execute, d=aborted.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstart IS 'When the run began.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgagentid IS 'The agent that executed it: its pga_jobagent.jagpid at that time.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstation IS 'The host of that agent.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgscheduled IS 'When the run was due.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgmessage IS 'One sentence why the run ended as it did; NULL after success.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgcancel IS 'Who has asked for the run to be stopped, and when; NULL: nobody.';
COMMENT ON INDEX pgagent.pga_joblog_jobid IS 'The runs of a job, the latest first, with their status.';

COMMENT ON TABLE pgagent.pga_jobsteplog IS
'Steps of runs, past and present.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljlgid IS 'The run.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljstid IS 'The step.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstatus IS 'Status of the step: r=running, s=successfully finished, f=failed stopping job, i=ignored failure, d=aborted.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslresult IS 'Return code of the step: for SQL the number of rows that the last command touched, -1 after an error; for batch the exit code of the script, -N if signal N killed it.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstart IS 'When the step began.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsloutput IS 'For SQL the notices, the result of each command and the error; for batch what the script wrote.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslattempt IS 'The number of this attempt at the step in this run, from 1.';

COMMENT ON TABLE pgagent.pga_jobskip IS
'Times of jobs that have passed without a run, and why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskfrom IS 'The first time that was left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskuntil IS 'All its times up to here were left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskreason IS 'One sentence why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jsklogged IS 'When that was decided.';

