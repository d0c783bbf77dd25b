-- stored.sql: what the tables hold, in the form in which it is compared with a document.

CREATE OR REPLACE FUNCTION pgagent.pga_file_conninfo(p_conninfo text)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kept CONSTANT jsonb := pgagent.pga_change_connection(p_conninfo);
BEGIN
    RETURN CASE jsonb_typeof(v_kept) WHEN 'string' THEN v_kept #>> '{}' ELSE COALESCE(v_kept ->> 'without_password', '***') END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_conninfo(text) IS
'A connection string with nothing for its password; *** for one in which it can''t be told what is a password.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_of(p_object text, p_row jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(a.attribute, COALESCE(CASE a.kind
            WHEN 'class' THEN (SELECT to_jsonb(c.jclname) FROM pgagent.pga_jobclass AS c WHERE c.jclid::text = p_row ->> a.column_name)
            WHEN 'letter' THEN (SELECT to_jsonb(w.word) FROM unnest(string_to_array(a.allowed, ' ')) AS w (word)
                                WHERE left(w.word, 1) = p_row ->> a.column_name)
            WHEN 'role' THEN to_jsonb(COALESCE(p_row ->> a.column_name, ''))
            WHEN 'conninfo' THEN to_jsonb(pgagent.pga_file_conninfo(p_row ->> a.column_name))
            ELSE p_row -> a.column_name END, 'null'))
        FROM pgagent.pga_file_attributes() AS a WHERE a.object = p_object AND a.column_name <> ''
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_of(text, jsonb) IS
'The attributes of a class, a job or a step, from its row.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_field(p_field boolean[], p_low integer)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A field in which all is selected means what one does in which nothing is, which * makes.
    RETURN CASE WHEN true = ALL (p_field) THEN format('%s-%s', p_low, p_low + cardinality(p_field) - 1)
                ELSE pgagent.pga_cron_text(p_field, p_low) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_field(boolean[], integer) IS
'A field of a schedule as text from which the very same field is made.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_at(p_schedule text, p_timezone text)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgagent.pga_at_parse(p_schedule, p_timezone);
EXCEPTION WHEN invalid_parameter_value OR datetime_field_overflow THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_at(text, text) IS
'The instant that "@at ..." names; NULL if it can''t be read.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedule_text(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plain CONSTANT text := pgagent.pga_schedule_text(p_schedule);
    v_seconds CONSTANT numeric := extract(epoch FROM p_schedule.jscevery)::numeric;
    v_days text;
    v_weekdays text;
BEGIN
    IF p_schedule.jscevery IS NOT NULL THEN
        -- A month and a day are no fixed number of seconds.
        RETURN CASE WHEN v_seconds BETWEEN 1 AND 366 * 86400 AND v_seconds = trunc(v_seconds)
                         AND make_interval(secs => v_seconds::double precision)::text = p_schedule.jscevery::text THEN v_plain END;
    ELSIF p_schedule.jscat IS NOT NULL THEN
        RETURN (
            SELECT t.said FROM (VALUES (1, v_plain), (2, to_char(p_schedule.jscat AT TIME ZONE 'UTC', '"@at" YYYY-MM-DD HH24:MI:SS"Z"'))) AS t (place, said)
            WHERE pgagent.pga_file_at(t.said, p_schedule.jsctimezone) = p_schedule.jscat ORDER BY t.place LIMIT 1
        );
    ELSIF p_schedule.jscreboot THEN
        RETURN v_plain;
    ELSIF (
        array_dims(p_schedule.jscminutes), array_dims(p_schedule.jschours), array_dims(p_schedule.jscweekdays),
        array_dims(p_schedule.jscmonthdays), array_dims(p_schedule.jscmonths)
    ) IS DISTINCT FROM ('[1:60]', '[1:24]', '[1:7]', '[1:32]', '[1:12]') THEN
        -- A dump may bring arrays of any shape.
        p_schedule.jscminutes := pgagent.pga_calendar_field(p_schedule.jscminutes, 60);
        p_schedule.jschours := pgagent.pga_calendar_field(p_schedule.jschours, 24);
        p_schedule.jscweekdays := pgagent.pga_calendar_field(p_schedule.jscweekdays, 7);
        p_schedule.jscmonthdays := pgagent.pga_calendar_field(p_schedule.jscmonthdays, 32);
        p_schedule.jscmonths := pgagent.pga_calendar_field(p_schedule.jscmonths, 12);
    END IF;
    v_days := concat_ws(',',
        CASE WHEN array_position(p_schedule.jscmonthdays[1:31], true) IS NOT NULL
             THEN pgagent.pga_file_field(p_schedule.jscmonthdays[1:31], 1) END,
        CASE WHEN p_schedule.jscmonthdays[32] THEN 'L' END
    );
    v_weekdays := pgagent.pga_file_field(p_schedule.jscweekdays, 0);
    RETURN concat_ws(' ',
        pgagent.pga_file_field(p_schedule.jscminutes, 0), pgagent.pga_file_field(p_schedule.jschours, 0),
        CASE v_days WHEN '' THEN '*' ELSE v_days END, pgagent.pga_file_field(p_schedule.jscmonths, 1),
        CASE WHEN v_days <> '' AND v_weekdays <> '*' THEN '&' ELSE '' END || v_weekdays
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedule_text(pgagent.pga_schedule) IS
'A schedule as text from which the very same schedule is made, in the only spelling; NULL for an interval or a time that no text can say.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedule(p_schedule pgagent.pga_schedule)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text CONSTANT text := pgagent.pga_file_schedule_text(p_schedule);
    v_is_once CONSTANT boolean := p_schedule.jscat IS NOT NULL;
BEGIN
    RETURN jsonb_build_object(
        'name', p_schedule.jscname, 'description', p_schedule.jscdesc, 'enabled', p_schedule.jscenabled,
        'schedule', v_text, 'timezone', p_schedule.jsctimezone,
        'every', CASE WHEN v_text IS NULL THEN p_schedule.jscevery END,
        'at', CASE WHEN v_text IS NULL THEN p_schedule.jscat END,
        -- A start that is over matters to an interval, which counts from it. What @at and
        -- @reboot have for an end is part of their image in the fields.
        -- A dump may bring a start or an end that no table takes otherwise: both mean never.
        'start_at', CASE WHEN NOT v_is_once AND (p_schedule.jscevery IS NOT NULL OR p_schedule.jscstart > now())
                         THEN least(p_schedule.jscstart, '9999-12-31 23:59:59+00') END,
        'end_at', CASE WHEN v_is_once OR p_schedule.jscreboot THEN NULL WHEN p_schedule.jscend = '-infinity'
                       THEN timestamptz '0001-01-01 00:00:00+00' ELSE p_schedule.jscend END
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedule(pgagent.pga_schedule) IS
'The attributes of a schedule, from its row.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_exceptions(p_schedule_id integer)
RETURNS TABLE (id integer, exception jsonb) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.jexid, jsonb_strip_nulls(jsonb_build_object('date', e.jexdate, 'time', date_trunc('minute', e.jextime)::time))
    FROM pgagent.pga_exception AS e
    -- Others except nothing; only a dump can have brought them.
    WHERE e.jexscid = p_schedule_id AND num_nonnulls(e.jexdate, e.jextime) > 0
          AND COALESCE(isfinite(e.jexdate), true) AND COALESCE(e.jextime < '24:00', true)
    ORDER BY e.jexdate, e.jextime, e.jexid;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_exceptions(integer) IS
'The exceptions of a schedule as a document has them.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_parts(p_job_id integer, p_object text)
RETURNS TABLE (id integer, name text, nth bigint, attributes jsonb, image jsonb) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Names need not be unique: parts of one name are told by their order.
    IF p_object = 'step' THEN
        RETURN QUERY
        SELECT s.jstid, s.jstname, row_number() OVER (PARTITION BY s.jstname ORDER BY s.jstid),
               pgagent.pga_file_of('step'::text, to_jsonb(s)), to_jsonb(s)
        FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id
        ORDER BY s.jstname COLLATE "C", s.jstid;
    ELSE
        RETURN QUERY
        SELECT s.jscid, s.jscname, row_number() OVER (PARTITION BY s.jscname ORDER BY s.jscid),
               pgagent.pga_file_schedule(s), to_jsonb(s)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id
        ORDER BY s.jscname COLLATE "C", s.jscid;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_parts(integer, text) IS
'The steps, or the schedules, of a job: their attributes and rows, and their numbers among those of the same name.';
