-- schedules.sql: the schedules of a job, by their names or ids. A text of which cron means
-- either of two days is two rows of one name, and one schedule.

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_parsed(
    p_schedule text, p_timezone text, p_start timestamptz
)
RETURNS SETOF pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem text;
    v_detail text;
    v_hint text;
BEGIN
    RETURN QUERY
    SELECT r.* FROM pgagent.pga_schedule_parse(p_schedule, p_timezone) AS p,
    LATERAL jsonb_populate_record(NULL::pgagent.pga_schedule, jsonb_build_object(
        'jscid', 0,     -- which has no exceptions
        'jscname', btrim(p_schedule), 'jscdesc', '', 'jscenabled', true, 'jscstart', p_start,
        'jscminutes', p.minutes, 'jschours', p.hours, 'jscweekdays', p.weekdays,
        'jscmonthdays', p.monthdays, 'jscmonths', p.months,
        'jscevery', p.every, 'jscat', p.at, 'jscreboot', p.reboot, 'jsctimezone', p.timezone
    )) AS r;
EXCEPTION WHEN invalid_parameter_value THEN
    -- Raised from here, it does not come with the text of the functions that have found it.
    GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    IF v_hint = '' THEN
        RAISE EXCEPTION USING MESSAGE = v_problem, ERRCODE = 'invalid_parameter_value', DETAIL = v_detail;
    END IF;
    RAISE EXCEPTION USING MESSAGE = v_problem, ERRCODE = 'invalid_parameter_value', DETAIL = v_detail, HINT = v_hint;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_parsed(text, text, timestamptz) IS
'The rows of pga_schedule that the text of a schedule stands for, without ids and job. Raises what pga_schedule_parse() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_named(p_job_id bigint, p_schedule text)
RETURNS bigint[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT s.jscid::bigint FROM pgagent.pga_schedule AS s
        WHERE s.jscjobid = $1 AND s.jscname = COALESCE($2, s.jscname) ORDER BY s.jscid
    )
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_named(bigint, text) IS
'The rows of pga_schedule of a job that have this name, or all of them if it is NULL.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_one(p_job_id bigint, p_schedule text, p_ids bigint[])
RETURNS bigint[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(p_ids) > 1 AND NOT (
        SELECT count(*) = 2 AND count(DISTINCT (s.jscminutes, s.jschours, s.jscmonths, s.jsctimezone)) = 1
               AND bool_and(pgagent.pga_schedule_kind(s) IS NULL
                            AND (true = ANY (s.jscweekdays)) <> (true = ANY (s.jscmonthdays)))
               AND count(*) FILTER (WHERE true = ANY (s.jscweekdays)) = 1
        FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (p_ids)
    ) THEN
        RAISE EXCEPTION 'pgagent: % schedules of job "%" have the name "%"', cardinality(p_ids), pgagent.pga_job_name(p_job_id), p_schedule
            USING ERRCODE = 'ambiguous_alias',
                  DETAIL = format('Their ids are %s; use the id.', array_to_string(p_ids, ', '));
    END IF;
    RETURN p_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_one(bigint, text, bigint[]) IS
'The rows p_ids of pga_schedule, which have the name p_schedule. Raises 42P09 if they are not one schedule: a row, or the two of a text in which cron means either of two days.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_found(p_job_id bigint, p_schedule text, p_if_exists boolean)
RETURNS bigint[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT bigint[] := pgagent.pga_schedules_named(p_job_id, COALESCE(p_schedule, ''));
BEGIN
    IF v_ids <> '{}' OR p_job_id IS NULL THEN
        RETURN pgagent.pga_schedules_one(p_job_id, p_schedule, v_ids);
    ELSIF p_if_exists THEN
        RAISE NOTICE 'pgagent: job "%" has no schedule "%", skipping', pgagent.pga_job_name(p_job_id), p_schedule;
        RETURN v_ids;
    END IF;
    RAISE EXCEPTION 'pgagent: job "%" has no schedule "%"', pgagent.pga_job_name(p_job_id), p_schedule
        USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its schedules are ' || (
            SELECT string_agg(DISTINCT format('"%s"', s.jscname), ', ')
            FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id) || '.', 'It has no schedules.');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_found(bigint, text, boolean) IS
'The rows of the schedule of a job that has this name; if there is none, and p_if_exists is true, none and a NOTICE. None if the job is NULL. Raises else 42704 if there is none, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_found(p_job_id bigint, p_schedule_id bigint, p_if_exists boolean)
RETURNS bigint[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_job_id IS NULL THEN
        RETURN ARRAY[]::bigint[];
    ELSIF EXISTS (SELECT FROM pgagent.pga_schedule AS s WHERE s.jscid = p_schedule_id AND s.jscjobid = p_job_id) THEN
        RETURN ARRAY[p_schedule_id];
    ELSIF p_if_exists THEN
        RAISE NOTICE 'pgagent: job "%" has no schedule with the id %, skipping', pgagent.pga_job_name(p_job_id), p_schedule_id;
        RETURN ARRAY[]::bigint[];
    END IF;
    RAISE EXCEPTION 'pgagent: job "%" has no schedule with the id %', pgagent.pga_job_name(p_job_id), p_schedule_id
        USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its schedules are ' || (
            SELECT string_agg(format('%s "%s"', s.jscid, s.jscname), ', ' ORDER BY s.jscid)
            FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id) || '.', 'It has no schedules.');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_found(bigint, bigint, boolean) IS
'The row of a schedule, if it is one of this job; if not, and p_if_exists is true, none and a NOTICE. None if the job is NULL. Raises else 42704.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_write(p_schedule_id bigint, p_new pgagent.pga_schedule)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old pgagent.pga_schedule;
    v_new pgagent.pga_schedule;
BEGIN
    SELECT s.* INTO v_old FROM pgagent.pga_schedule AS s WHERE s.jscid = p_schedule_id;
    v_new := CASE
        WHEN pgagent.pga_schedule_kind(p_new) IS NULL
        THEN jsonb_populate_record(p_new, jsonb_build_object('jscid', v_old.jscid, 'jscjobid', v_old.jscjobid))
        -- What its fields hold is for the trigger to say: others would take over from its kind.
        ELSE jsonb_populate_record(v_old, jsonb_build_object(
            'jscname', p_new.jscname, 'jscdesc', p_new.jscdesc, 'jscenabled', p_new.jscenabled,
            'jscstart', p_new.jscstart, 'jscend', p_new.jscend, 'jscevery', p_new.jscevery, 'jscat', p_new.jscat,
            'jscreboot', p_new.jscreboot, 'jsctimezone', p_new.jsctimezone
        )) END;
    IF pgagent.pga_schedule_image(v_new) IS NOT DISTINCT FROM v_old THEN
        RETURN;
    END IF;
    UPDATE pgagent.pga_schedule AS s
    SET jscname = v_new.jscname, jscdesc = v_new.jscdesc, jscenabled = v_new.jscenabled, jscstart = v_new.jscstart,
        jscend = v_new.jscend, jscminutes = v_new.jscminutes, jschours = v_new.jschours, jscweekdays = v_new.jscweekdays,
        jscmonthdays = v_new.jscmonthdays, jscmonths = v_new.jscmonths, jscevery = v_new.jscevery, jscat = v_new.jscat,
        jscreboot = v_new.jscreboot, jsctimezone = v_new.jsctimezone
    WHERE s.jscid = p_schedule_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_write(bigint, pgagent.pga_schedule) IS
'Has the schedule of this id be as given. Writes nothing if nothing differs.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_put(p_job_id bigint, p_old bigint[], p_text text, p_new pgagent.pga_schedule[])
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_new pgagent.pga_schedule;
    v_schedule_id bigint;
    v_ids bigint[] := ARRAY[]::bigint[];
BEGIN
    FOR i IN 1..cardinality(p_new) LOOP
        v_new := p_new[i];
        IF v_new.jscat <= now()
           AND NOT EXISTS (SELECT FROM pgagent.pga_schedule AS s WHERE s.jscid = p_old[i] AND s.jscat = v_new.jscat) THEN
            PERFORM pgagent.pga_refuse_schedule(p_text, 'the time'::text, 'lies in the past'::text,
                format('It is %s now. run_job() starts a job at once.', now()));
        END IF;
        IF i <= cardinality(p_old) THEN
            v_schedule_id := p_old[i];
            PERFORM pgagent.pga_schedule_write(v_schedule_id, v_new);
        ELSE
            INSERT INTO pgagent.pga_schedule (
                jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours,
                jscweekdays, jscmonthdays, jscmonths, jscevery, jscat, jscreboot, jsctimezone
            ) VALUES (
                p_job_id, v_new.jscname, v_new.jscdesc, v_new.jscenabled, v_new.jscstart, v_new.jscend, v_new.jscminutes,
                v_new.jschours, v_new.jscweekdays, v_new.jscmonthdays, v_new.jscmonths, v_new.jscevery, v_new.jscat,
                v_new.jscreboot, v_new.jsctimezone
            ) RETURNING jscid::bigint INTO v_schedule_id;
            INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
            SELECT v_schedule_id, e.jexdate, e.jextime FROM pgagent.pga_exception AS e WHERE e.jexscid = p_old[1] ORDER BY e.jexid;
        END IF;
        v_ids := v_ids || v_schedule_id;
    END LOOP;
    DELETE FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (p_old[cardinality(p_new) + 1:]);
    RETURN v_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_put(bigint, bigint[], text, pgagent.pga_schedule[]) IS
'Has the rows p_old of pga_schedule, one schedule of a job, be p_new, what p_text stands for: rows that are wanting are added with its exceptions, others are deleted. Returns their ids. Raises 22023 for a new time that lies in the past.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_period(p_where text, p_start timestamptz, p_end timestamptz)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_end < p_start THEN
        PERFORM pgagent.pga_refuse(p_where || '(end_at)', 'end before start'::text, format('The end is %s, the start %s.', p_end, p_start));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_period(text, timestamptz, timestamptz) IS
'Raises 22023 for an end of a schedule that is before its start.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_base(p_old pgagent.pga_schedule, p_new pgagent.pga_schedule)
RETURNS pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN pgagent.pga_schedule_kind(p_old) IS DISTINCT FROM pgagent.pga_schedule_kind(p_new)
                THEN pgagent.pga_schedule_wished(p_old) ELSE p_old END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_base(pgagent.pga_schedule, pgagent.pga_schedule) IS
'The schedule p_old, whose start and end p_new is to keep, without what it has of its kind, if that changes.';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_id bigint, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT '', on_conflict text DEFAULT 'error'
)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('add_schedule'::text, on_conflict);
    v_name CONSTANT text := COALESCE(name, btrim(schedule));
    v_start CONSTANT timestamptz := COALESCE(start_at, date_trunc('second', now()));
    v_old bigint[];
    v_first pgagent.pga_schedule;
    v_row pgagent.pga_schedule;
    v_rows pgagent.pga_schedule[] := ARRAY[]::pgagent.pga_schedule[];
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id);
    IF btrim(name) = '' THEN
        PERFORM pgagent.pga_refuse('add_schedule(name)'::text, 'is empty'::text, 'A name is wanted; NULL stands for the text of the schedule.'::text);
    END IF;
    IF v_conflict = 'error' OR pgagent.pga_schedules_named(job_id, v_name) = '{}' THEN
        PERFORM pgagent.pga_job_lock(job_id);
    END IF;
    v_old := CASE WHEN v_name IS NULL THEN ARRAY[]::bigint[] ELSE pgagent.pga_schedules_named(job_id, v_name) END;
    SELECT s.* INTO v_first FROM pgagent.pga_schedule AS s WHERE s.jscid = v_old[1];
    FOR v_row IN SELECT * FROM pgagent.pga_schedule_parsed(schedule, timezone, v_start) LOOP
        v_row := jsonb_populate_record(v_row, jsonb_build_object(
            'jscname', v_name, 'jscdesc', COALESCE(description, ''), 'jscend', nullif(end_at, 'infinity'),
            -- Otherwise an interval that is replayed would begin anew, and one time that has passed be enabled again.
            'jscstart', CASE WHEN start_at IS NULL AND v_old <> '{}'
                THEN (pgagent.pga_schedule_base(v_first, v_row)).jscstart ELSE v_start END,
            'jscenabled', CASE WHEN v_row.jscat <= now() AND v_row.jscat = v_first.jscat
                THEN v_first.jscenabled ELSE COALESCE(enabled, true) END
        ));
        PERFORM pgagent.pga_check_period('add_schedule'::text, v_row.jscstart, v_row.jscend);
        v_rows := v_rows || v_row;
    END LOOP;
    IF v_old = '{}' OR v_conflict = 'replace' THEN
        RETURN pgagent.pga_schedules_put(job_id, pgagent.pga_schedules_one(job_id, v_name, v_old), schedule, v_rows);
    ELSIF v_conflict = 'error' THEN
        RAISE EXCEPTION 'pgagent: job "%" has a schedule "%" already', pgagent.pga_job_name(job_id), v_name
            USING ERRCODE = 'duplicate_object', DETAIL = format('Its rows in pga_schedule are %s.', array_to_string(v_old, ', '));
    END IF;
    RETURN v_old;
END;
$$;
COMMENT ON FUNCTION pgagent.add_schedule(bigint, text, text, text, timestamptz, timestamptz, boolean, text, text) IS
'Adds a schedule to a job: a crontab line, @daily and the like, "30 seconds", "@at 2031-05-01 09:00", @reboot. By default its name is its text, and its start, from which intervals count, is now; end_at: infinity is no end. on_conflict: if the job has a schedule of this name, error; nothing: it stays as it is; or replace: it becomes what is given, and the defaults where nothing is, but keeps its start unless one is given, and its exceptions. Returns the ids of its rows in pga_schedule: one, or two where cron means either of two days. Raises 42704 if there is no such job, 42710 if it has a schedule of this name, 42P09 if it has several, 22023 if the schedule can''t be read, lies in the past or ends before it starts. Example: SELECT pgagent.add_schedule(42, ''0 9 * * mon-fri'', timezone => ''Europe/Berlin'').';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_name text, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT '', on_conflict text DEFAULT 'error'
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.add_schedule(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8, $9) $$;
COMMENT ON FUNCTION pgagent.add_schedule(text, text, text, text, timestamptz, timestamptz, boolean, text, text) IS
'As add_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_schedule(''etl'', ''@every 90 seconds'', name => ''often'', on_conflict => ''replace'').';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_replace(
    p_job_id bigint, p_schedule text, p_timezone text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT bigint[] := pgagent.pga_schedules_named(p_job_id, NULL::text);
    v_zone CONSTANT text := COALESCE(p_timezone, (
        SELECT s.jsctimezone FROM pgagent.pga_schedule AS s WHERE s.jscid = v_old[1]
    ));
    v_exceptions CONSTANT pgagent.pga_exception[] := ARRAY(
        SELECT x FROM pgagent.pga_exception AS x WHERE x.jexscid = ANY (v_old) ORDER BY x.jexid
    );
    v_first pgagent.pga_schedule;
    v_row pgagent.pga_schedule;
    v_rows pgagent.pga_schedule[] := ARRAY[]::pgagent.pga_schedule[];
    v_new bigint[];
BEGIN
    SELECT s.* INTO v_first FROM pgagent.pga_schedule AS s WHERE s.jscid = v_old[1];
    FOR v_row IN SELECT * FROM pgagent.pga_schedule_parsed(p_schedule, v_zone, date_trunc('second', now())) LOOP
        -- Otherwise an interval that is replayed would begin anew, and one time that has passed be enabled again.
        v_rows := v_rows || jsonb_populate_record(v_row, jsonb_build_object(
            'jscstart', CASE WHEN v_row.jscevery IS NOT DISTINCT FROM v_first.jscevery AND v_first.jscstart <= now()
                THEN (pgagent.pga_schedule_base(v_first, v_row)).jscstart ELSE v_row.jscstart END,
            'jscenabled', CASE WHEN v_row.jscat <= now() AND v_row.jscat = v_first.jscat
                THEN v_first.jscenabled ELSE v_row.jscenabled END
        ));
    END LOOP;
    v_new := pgagent.pga_schedules_put(p_job_id, v_old, p_schedule, v_rows);
    -- The exceptions of all old schedules are meant for the new one.
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT DISTINCT n.id, e.jexdate, e.jextime
    FROM unnest(v_new) AS n (id) CROSS JOIN unnest(v_exceptions) AS e
    WHERE NOT EXISTS (
        SELECT FROM pgagent.pga_exception AS x
        WHERE x.jexscid = n.id AND (x.jexdate, x.jextime) IS NOT DISTINCT FROM (e.jexdate, e.jextime)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_replace(bigint, text, text) IS
'Puts one schedule in the place of all those of a job, with their exceptions and, if p_timezone is NULL, their time zone. Writes nothing if that is what the job has.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_alter(
    p_job_id bigint, p_ids bigint[], p_schedule text, p_timezone text, p_start timestamptz, p_end timestamptz,
    p_enabled boolean, p_description text, p_name text
)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first pgagent.pga_schedule;
    v_base pgagent.pga_schedule;
    v_row pgagent.pga_schedule;
    v_rows pgagent.pga_schedule[] := ARRAY[]::pgagent.pga_schedule[];
BEGIN
    SELECT s.* INTO v_first FROM pgagent.pga_schedule AS s WHERE s.jscid = p_ids[1];
    PERFORM pgagent.pga_check_timezone(p_timezone, 'alter_schedule(timezone)'::text);
    IF p_name <> v_first.jscname THEN
        PERFORM pgagent.pga_job_lock(p_job_id);
        PERFORM pgagent.pga_check_new_name('alter_schedule(name)'::text, p_name, pgagent.pga_schedules_named(p_job_id, p_name) <> '{}');
    END IF;
    FOR v_row IN
        SELECT * FROM pgagent.pga_schedule_parsed(p_schedule, COALESCE(p_timezone, v_first.jsctimezone), v_first.jscstart)
        WHERE p_schedule IS NOT NULL
        UNION ALL
        (SELECT s.* FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (p_ids) AND p_schedule IS NULL ORDER BY s.jscid)
    LOOP
        v_base := CASE WHEN p_schedule IS NULL THEN v_row ELSE pgagent.pga_schedule_base(v_first, v_row) END;
        v_row := jsonb_populate_record(v_row, jsonb_build_object(
            'jscname', COALESCE(p_name, v_base.jscname), 'jscdesc', COALESCE(p_description, v_base.jscdesc),
            'jscenabled', COALESCE(p_enabled, v_base.jscenabled), 'jscstart', COALESCE(p_start, v_base.jscstart),
            'jscend', nullif(COALESCE(p_end, v_base.jscend), 'infinity'),
            'jsctimezone', CASE WHEN p_schedule IS NULL THEN COALESCE(p_timezone, v_row.jsctimezone) ELSE v_row.jsctimezone END
        ));
        IF num_nonnulls(p_start, p_end) > 0 THEN
            PERFORM pgagent.pga_check_period('alter_schedule'::text, v_row.jscstart, v_row.jscend);
        END IF;
        v_rows := v_rows || v_row;
    END LOOP;
    RETURN pgagent.pga_schedules_put(p_job_id, p_ids, p_schedule, v_rows);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_alter(bigint, bigint[], text, text, timestamptz, timestamptz, boolean, text, text) IS
'Changes whatever is not NULL of a schedule, the rows p_ids of pga_schedule, as alter_schedule() says.';

CREATE OR REPLACE FUNCTION pgagent.alter_schedule(
    job_id bigint, schedule_name text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT NULL, description text DEFAULT NULL, name text DEFAULT NULL
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_alter(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3, $4, $5, $6, $7, $8, $9)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_schedule(bigint, text, text, text, timestamptz, timestamptz, boolean, text, text) IS
'Changes whatever is not NULL of a schedule of a job, as add_schedule() describes it; the rest stays, and so do its exceptions. A new text has the time zone of the old one unless it names another. A start_at of -infinity takes away the start, an end_at of infinity the end, an empty string the description. Returns the ids of its rows in pga_schedule, as add_schedule() does. Raises 42704 if there is no such job or schedule, 42P09 if several have the name, 42710 if the new name is taken, 22023 if the schedule can''t be read, lies in the past or ends before it starts. Example: SELECT pgagent.alter_schedule(42, ''@daily'', ''30 4 * * *'', timezone => ''Europe/Berlin'').';

CREATE OR REPLACE FUNCTION pgagent.alter_schedule(
    job_id bigint, schedule_id bigint, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT NULL, description text DEFAULT NULL, name text DEFAULT NULL
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_alter(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3, $4, $5, $6, $7, $8, $9)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_schedule(bigint, bigint, text, text, timestamptz, timestamptz, boolean, text, text) IS
'As alter_schedule() with the schedule''s name, for one row of pga_schedule. Example: SELECT pgagent.alter_schedule(jscjobid, jscid, enabled => false) FROM pgagent.pga_schedule WHERE jscname = ''@daily''.';

CREATE OR REPLACE FUNCTION pgagent.alter_schedule(
    job_name text, schedule_name text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT NULL, description text DEFAULT NULL, name text DEFAULT NULL
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_alter(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3, $4, $5, $6, $7, $8, $9)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_schedule(text, text, text, text, timestamptz, timestamptz, boolean, text, text) IS
'As alter_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_schedule(''etl'', ''@daily'', end_at => ''2040-01-01'').';

CREATE OR REPLACE FUNCTION pgagent.alter_schedule(
    job_name text, schedule_id bigint, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT NULL, description text DEFAULT NULL, name text DEFAULT NULL
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_alter(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3, $4, $5, $6, $7, $8, $9)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.alter_schedule(text, bigint, text, text, timestamptz, timestamptz, boolean, text, text) IS
'As alter_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_schedule(''etl'', jscid, ''@hourly'') FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid WHERE jobname = ''etl''.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_rename(p_job_id bigint, p_ids bigint[], p_new_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_lock(p_job_id);
    PERFORM pgagent.pga_check_new_name('rename_schedule(new_name)'::text, p_new_name, EXISTS (
        SELECT FROM pgagent.pga_schedule AS s
        WHERE s.jscjobid = p_job_id AND s.jscname = p_new_name AND s.jscid <> ALL (p_ids)));
    UPDATE pgagent.pga_schedule AS s SET jscname = p_new_name WHERE s.jscid = ANY (p_ids) AND s.jscname <> p_new_name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_rename(bigint, bigint[], text) IS
'Gives the rows p_ids of pga_schedule another name, as rename_schedule() says.';

CREATE OR REPLACE FUNCTION pgagent.rename_schedule(job_id bigint, schedule_name text, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_rename(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.rename_schedule(bigint, text, text) IS
'Gives a schedule of a job another name; when the job runs does not change. Raises 42704 if there is no such job or schedule, 42P09 if several have the name, 42710 if the new name is taken, 22023 if it is empty. Example: SELECT pgagent.rename_schedule(42, ''@daily'', ''at midnight'').';

CREATE OR REPLACE FUNCTION pgagent.rename_schedule(job_id bigint, schedule_id bigint, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_rename(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.rename_schedule(bigint, bigint, text) IS
'As rename_schedule() with the schedule''s name, for one row of pga_schedule. Example: SELECT pgagent.rename_schedule(jscjobid, jscid, ''at night'') FROM pgagent.pga_schedule WHERE jscname = ''30 2 * * *''.';

CREATE OR REPLACE FUNCTION pgagent.rename_schedule(job_name text, schedule_name text, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_rename(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.rename_schedule(text, text, text) IS
'As rename_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.rename_schedule(''nightly-vacuum'', ''30 2 * * *'', ''at night'').';

CREATE OR REPLACE FUNCTION pgagent.rename_schedule(job_name text, schedule_id bigint, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_rename(j.id, pgagent.pga_schedules_found(j.id, $2, false), $3)
    FROM pgagent.pga_job_found($1, false) AS j (id)
$$;
COMMENT ON FUNCTION pgagent.rename_schedule(text, bigint, text) IS
'As rename_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.rename_schedule(''nightly-vacuum'', jscid, ''at night'') FROM pgagent.pga_schedule WHERE jscname = ''30 2 * * *''.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_drop(p_ids bigint[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (p_ids);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_drop(bigint[]) IS
'Deletes these rows of pga_schedule.';

CREATE OR REPLACE FUNCTION pgagent.drop_schedule(job_id bigint, schedule_name text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_drop(pgagent.pga_schedules_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_schedule(bigint, text, boolean) IS
'Deletes a schedule of a job with its exceptions. Raises 42704 if there is no such job or schedule; a NOTICE, if if_exists is true. Raises 42P09 if several have the name. Example: SELECT pgagent.drop_schedule(42, ''@daily'').';

CREATE OR REPLACE FUNCTION pgagent.drop_schedule(job_id bigint, schedule_id bigint, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_drop(pgagent.pga_schedules_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_schedule(bigint, bigint, boolean) IS
'As drop_schedule() with the schedule''s name, for one row of pga_schedule. Example: SELECT pgagent.drop_schedule(jscjobid, jscid) FROM pgagent.pga_schedule WHERE jscname = ''@daily''.';

CREATE OR REPLACE FUNCTION pgagent.drop_schedule(job_name text, schedule_name text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_drop(pgagent.pga_schedules_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_schedule(text, text, boolean) IS
'As drop_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_schedule(''etl'', ''@hourly'', if_exists => true).';

CREATE OR REPLACE FUNCTION pgagent.drop_schedule(job_name text, schedule_id bigint, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_schedules_drop(pgagent.pga_schedules_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_schedule(text, bigint, boolean) IS
'As drop_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_schedule(''nightly-vacuum'', jscid) FROM pgagent.pga_schedule WHERE jscname = ''30 2 * * *''.';

