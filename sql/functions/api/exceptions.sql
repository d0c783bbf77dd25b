-- exceptions.sql: dates and times at which schedules don't start their job. One is known
-- by what it is: its schedule, date and time.

CREATE OR REPLACE FUNCTION pgagent.pga_minute(p_time time)
RETURNS time LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN $1 < '24:00' THEN date_trunc('minute', $1)::time ELSE $1 END $$;
COMMENT ON FUNCTION pgagent.pga_minute(time) IS
'The minute that an exception of this time stands for.';

CREATE OR REPLACE FUNCTION pgagent.pga_excepting(p_schedules bigint[], p_date date, p_time time)
RETURNS SETOF pgagent.pga_exception LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.* FROM pgagent.pga_exception AS e
    WHERE e.jexscid = ANY ($1)
          AND (e.jexdate, pgagent.pga_minute(e.jextime)) IS NOT DISTINCT FROM ($2, pgagent.pga_minute($3))
$$;
COMMENT ON FUNCTION pgagent.pga_excepting(bigint[], date, time) IS
'The exceptions of these schedules for this date and time: NULL is every date, and the whole day.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_words(p_date date, p_time time)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(' ', COALESCE(CASE WHEN isfinite($1) THEN to_char($1, 'YYYY-MM-DD') ELSE $1::text END,
                                   CASE WHEN $2 IS NOT NULL THEN 'every day' END), to_char($2, 'HH24:MI'))
$$;
COMMENT ON FUNCTION pgagent.pga_exception_words(date, time) IS
'The date and time of an exception, in words.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_excepted(p_job_id bigint, p_schedule text, p_if_exists boolean)
RETURNS bigint[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT bigint[] := pgagent.pga_schedules_named(p_job_id, p_schedule);
BEGIN
    IF v_ids = '{}' AND p_if_exists IS NOT TRUE AND p_job_id IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: job "%" has no schedule%', pgagent.pga_job_name(p_job_id), COALESCE(' "' || p_schedule || '"', '')
            USING ERRCODE = 'undefined_object', DETAIL = COALESCE(
                'Its schedules are ' || (SELECT string_agg(DISTINCT format('"%s"', s.jscname), ', ') FROM pgagent.pga_schedule AS s
                                         WHERE s.jscjobid = p_job_id) || '.', 'An exception belongs to a schedule.');
    END IF;
    RETURN v_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_excepted(bigint, text, boolean) IS
'The schedules of a job that an exception is about: all, or those of this name. Raises 42704 if there is none, unless p_if_exists is true.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_add(p_job_id bigint, p_schedules bigint[], p_date date, p_time time, p_on_conflict text)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('add_exception'::text, p_on_conflict);
    v_there bigint[];
    v_added integer;
BEGIN
    PERFORM pgagent.pga_job_lock(p_job_id);
    v_there := ARRAY(SELECT DISTINCT e.jexscid::bigint FROM pgagent.pga_excepting(p_schedules, p_date, p_time) AS e ORDER BY 1);
    IF v_conflict = 'error' AND v_there <> '{}' THEN
        RAISE EXCEPTION 'pgagent: job "%" has the exception % already', pgagent.pga_job_name(p_job_id), pgagent.pga_exception_words(p_date, p_time)
            USING ERRCODE = 'duplicate_object', DETAIL = 'Schedules that have it are ' || (
                SELECT string_agg(DISTINCT format('"%s"', s.jscname), ', ')
                FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (v_there)) || '.';
    END IF;
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT s.id, p_date, p_time FROM unnest(p_schedules) AS s (id) WHERE s.id <> ALL (v_there);
    GET DIAGNOSTICS v_added = ROW_COUNT;
    RETURN v_added;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_add(bigint, bigint[], date, time, text) IS
'Adds an exception to these schedules of a job, as add_exception() says. Returns to how many.';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_id bigint, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL, on_conflict text DEFAULT 'error'
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_add(j.id, pgagent.pga_schedules_excepted(j.id, $4, false), $2, $3, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.add_exception(bigint, date, time, text, text) IS
'Excepts a date, a time of every day, or a time on a date from all schedules of a job, or from those with this name. on_conflict: if a schedule has this exception, error, or nothing or replace, which come to the same here. Returns to how many it was added. Raises 42704 if there is no such job or schedule, 42710 if one has the exception, 22023 if neither date nor time is given. Example: SELECT pgagent.add_exception(42, on_date => ''2030-12-25'').';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_id bigint, on_date date, at_time time, schedule_id bigint, on_conflict text DEFAULT 'error'
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_add(j.id, pgagent.pga_schedules_found(j.id, $4, false), $2, $3, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.add_exception(bigint, date, time, bigint, text) IS
'As add_exception() with the id of one row of pga_schedule; date and time have to be given, NULL for none. Example: SELECT pgagent.add_exception(jscjobid, ''2030-12-25'', NULL, jscid) FROM pgagent.pga_schedule WHERE jscname = ''@daily''.';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_name text, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL, on_conflict text DEFAULT 'error'
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_add(j.id, pgagent.pga_schedules_excepted(j.id, $4, false), $2, $3, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.add_exception(text, date, time, text, text) IS
'As add_exception() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_exception(''etl'', at_time => ''12:00'', on_conflict => ''nothing'').';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_name text, on_date date, at_time time, schedule_id bigint, on_conflict text DEFAULT 'error'
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_add(j.id, pgagent.pga_schedules_found(j.id, $4, false), $2, $3, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.add_exception(text, date, time, bigint, text) IS
'As add_exception() with the id of one row of pga_schedule; date and time have to be given, NULL for none. Example: SELECT pgagent.add_exception(''etl'', ''2030-12-25'', NULL, jscid) FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid WHERE jobname = ''etl''.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_found(
    p_where text, p_job_id bigint, p_schedules bigint[], p_date date, p_time time, p_if_exists boolean
)
RETURNS integer[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT integer[] := ARRAY(SELECT e.jexid FROM pgagent.pga_excepting(p_schedules, p_date, p_time) AS e ORDER BY e.jexid);
BEGIN
    IF num_nonnulls(p_date, p_time) = 0 THEN
        PERFORM pgagent.pga_refuse(p_where || '(on_date, at_time)', 'date or time wanted'::text,
            'An exception is known by its date, its time of day, or both; here both are NULL.'::text);
    ELSIF v_ids = '{}' AND p_if_exists AND p_job_id IS NOT NULL THEN
        RAISE NOTICE 'pgagent: job "%" has no exception %, skipping', pgagent.pga_job_name(p_job_id), pgagent.pga_exception_words(p_date, p_time);
    ELSIF v_ids = '{}' AND p_job_id IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: job "%" has no exception %', pgagent.pga_job_name(p_job_id), pgagent.pga_exception_words(p_date, p_time)
            USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Exceptions are ' || (
                SELECT string_agg(DISTINCT pgagent.pga_exception_words(e.jexdate, e.jextime), ', ')
                FROM pgagent.pga_exception AS e WHERE e.jexscid = ANY (p_schedules)) || '.', 'There are no exceptions.');
    END IF;
    RETURN v_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_found(text, bigint, bigint[], date, time, boolean) IS
'The ids of the exceptions of these schedules for this date and time; if there is none, and p_if_exists is true, none and a NOTICE. Raises else 42704; 22023 if neither date nor time is given.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_drop(p_ids integer[])
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_dropped integer;
BEGIN
    DELETE FROM pgagent.pga_exception AS e WHERE e.jexid = ANY (p_ids);
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    RETURN v_dropped;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_drop(integer[]) IS
'Deletes these exceptions. Returns how many there were.';

CREATE OR REPLACE FUNCTION pgagent.drop_exception(
    job_id bigint, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL, if_exists boolean DEFAULT false
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_drop(pgagent.pga_exception_found('drop_exception'::text, j.id, pgagent.pga_schedules_excepted(j.id, $4, $5), $2, $3, $5))
    FROM pgagent.pga_job_found($1, $5) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.drop_exception(bigint, date, time, text, boolean) IS
'Takes an exception, known by its date, its time of every day, or both, from all schedules of a job, or from those with this name. Returns from how many. Raises 42704 if none has it, or if there is no such job or schedule; a NOTICE, if if_exists is true. Raises 22023 if neither date nor time is given. Example: SELECT pgagent.drop_exception(42, on_date => ''2030-12-25'', if_exists => true).';

CREATE OR REPLACE FUNCTION pgagent.drop_exception(
    job_id bigint, on_date date, at_time time, schedule_id bigint, if_exists boolean DEFAULT false
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_drop(pgagent.pga_exception_found('drop_exception'::text, j.id, pgagent.pga_schedules_found(j.id, $4, $5), $2, $3, $5))
    FROM pgagent.pga_job_found($1, $5) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.drop_exception(bigint, date, time, bigint, boolean) IS
'As drop_exception() with the id of one row of pga_schedule; date and time have to be given, NULL for none. Example: SELECT pgagent.drop_exception(jscjobid, ''2030-12-25'', NULL, jscid, if_exists => true) FROM pgagent.pga_schedule WHERE jscname = ''@daily''.';

CREATE OR REPLACE FUNCTION pgagent.drop_exception(
    job_name text, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL, if_exists boolean DEFAULT false
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_drop(pgagent.pga_exception_found('drop_exception'::text, j.id, pgagent.pga_schedules_excepted(j.id, $4, $5), $2, $3, $5))
    FROM pgagent.pga_job_found($1, $5) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.drop_exception(text, date, time, text, boolean) IS
'As drop_exception() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_exception(''etl'', at_time => ''12:00'', if_exists => true).';

CREATE OR REPLACE FUNCTION pgagent.drop_exception(
    job_name text, on_date date, at_time time, schedule_id bigint, if_exists boolean DEFAULT false
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_drop(pgagent.pga_exception_found('drop_exception'::text, j.id, pgagent.pga_schedules_found(j.id, $4, $5), $2, $3, $5))
    FROM pgagent.pga_job_found($1, $5) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.drop_exception(text, date, time, bigint, boolean) IS
'As drop_exception() with the id of one row of pga_schedule; date and time have to be given, NULL for none. Example: SELECT pgagent.drop_exception(''etl'', ''2030-12-25'', NULL, jscid, if_exists => true) FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid WHERE jobname = ''etl''.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_alter(
    p_job_id bigint, p_schedules bigint[], p_date date, p_time time, p_new_date date, p_new_time time
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT integer[] := pgagent.pga_exception_found('alter_exception'::text, p_job_id, p_schedules, p_date, p_time, false);
    v_date CONSTANT date := nullif(COALESCE(p_new_date, p_date), 'infinity');
    v_time CONSTANT time := nullif(COALESCE(p_new_time, p_time), '24:00');
BEGIN
    PERFORM pgagent.pga_job_lock(p_job_id);
    IF EXISTS (
        SELECT FROM pgagent.pga_excepting(ARRAY(
            SELECT e.jexscid::bigint FROM pgagent.pga_exception AS e WHERE e.jexid = ANY (v_ids)
        ), v_date, v_time) AS o WHERE o.jexid <> ALL (v_ids)
    ) THEN
        RAISE EXCEPTION 'pgagent: job "%" has the exception % already', pgagent.pga_job_name(p_job_id), pgagent.pga_exception_words(v_date, v_time)
            USING ERRCODE = 'duplicate_object', DETAIL = 'drop_exception() takes away the other one.';
    END IF;
    UPDATE pgagent.pga_exception AS e SET jexdate = v_date, jextime = v_time
    WHERE e.jexid = ANY (v_ids) AND (e.jexdate, e.jextime) IS DISTINCT FROM (v_date, pgagent.pga_minute(v_time));
    RETURN cardinality(v_ids);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_alter(bigint, bigint[], date, time, date, time) IS
'Gives an exception of these schedules another date and time, as alter_exception() says. Returns of how many.';

CREATE OR REPLACE FUNCTION pgagent.alter_exception(
    job_id bigint, on_date date DEFAULT NULL, at_time time DEFAULT NULL,
    new_date date DEFAULT NULL, new_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_alter(j.id, pgagent.pga_schedules_excepted(j.id, $6, false), $2, $3, $4, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_exception(bigint, date, time, date, time, text) IS
'Moves an exception, known by its date, its time of every day, or both, in all schedules of a job that have it, or in those with this name. What is NULL of the new date and time stays; a new_date of infinity makes it one of every day, a new_time of 24:00 one of the whole day. Returns in how many. Raises 42704 if none has it, or if there is no such job or schedule, 42710 if one has the new one already, 22023 if neither date nor time is given. Example: SELECT pgagent.alter_exception(jscjobid, jexdate, jextime, new_date => jexdate + 1) FROM pgagent.pga_exception JOIN pgagent.pga_schedule ON jscid = jexscid WHERE jexdate = ''2030-12-25''.';

CREATE OR REPLACE FUNCTION pgagent.alter_exception(
    job_id bigint, on_date date, at_time time,
    new_date date, new_time time, schedule_id bigint
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_alter(j.id, pgagent.pga_schedules_found(j.id, $6, false), $2, $3, $4, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_exception(bigint, date, time, date, time, bigint) IS
'As alter_exception() with the id of one row of pga_schedule; dates and times have to be given, NULL for none. Example: SELECT pgagent.alter_exception(jscjobid, jexdate, jextime, NULL, ''12:00'', jscid) FROM pgagent.pga_exception JOIN pgagent.pga_schedule ON jscid = jexscid.';

CREATE OR REPLACE FUNCTION pgagent.alter_exception(
    job_name text, on_date date DEFAULT NULL, at_time time DEFAULT NULL,
    new_date date DEFAULT NULL, new_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_alter(j.id, pgagent.pga_schedules_excepted(j.id, $6, false), $2, $3, $4, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_exception(text, date, time, date, time, text) IS
'As alter_exception() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_exception(jobname, jexdate, jextime, new_time => ''12:00'') FROM pgagent.pga_exception JOIN pgagent.pga_schedule ON jscid = jexscid JOIN pgagent.pga_job ON jobid = jscjobid.';

CREATE OR REPLACE FUNCTION pgagent.alter_exception(
    job_name text, on_date date, at_time time,
    new_date date, new_time time, schedule_id bigint
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_exception_alter(j.id, pgagent.pga_schedules_found(j.id, $6, false), $2, $3, $4, $5)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_exception(text, date, time, date, time, bigint) IS
'As alter_exception() with the id of one row of pga_schedule; dates and times have to be given, NULL for none. Example: SELECT pgagent.alter_exception(jobname, jexdate, jextime, NULL, ''12:00'', jscid) FROM pgagent.pga_exception JOIN pgagent.pga_schedule ON jscid = jexscid JOIN pgagent.pga_job ON jobid = jscjobid.';

