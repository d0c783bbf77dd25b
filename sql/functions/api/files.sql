-- files.sql: jobs as a document that can be kept in a file, compared, and taken elsewhere.
--
-- A row of a table and what a document says of it are compared in one form: an object of all
-- its attributes under their public names (pga_file_of(), pga_file_schedule()). The same
-- spelling of a value is the same value then. pga_file_attributes() is all that has to be
-- extended when a table gets another column that belongs to a definition.

-- PL/pgSQL for the sake of its plan cache: everything here asks for it.
-- kind: of what form the value is (pga_file_value()). fallback: what it is where it is left
-- out; NULL: it is never left out by export_jobs().
CREATE OR REPLACE FUNCTION pgagent.pga_file_attributes()
RETURNS TABLE (place integer, object text, attribute text, column_name text, kind text, allowed text, fallback jsonb)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY VALUES
    (1, 'definition'::text, 'format'::text, ''::text, 'integer'::text, ''::text, NULL::jsonb),
    (2, 'definition', 'set', '', 'text', '', NULL),
    (3, 'definition', 'classes', '', 'list', '', NULL),
    (4, 'definition', 'jobs', '', 'list', '', NULL),

    (1, 'class', 'name', 'jclname', 'name', '', NULL),
    (2, 'class', 'limit', 'jcllimit', 'count', '', 'null'),

    (1, 'job', 'name', 'jobname', 'name', '', NULL),
    (2, 'job', 'description', 'jobdesc', 'text', '', '""'),
    (3, 'job', 'class', 'jobjclid', 'class', '', '"Miscellaneous"'),
    (4, 'job', 'host', 'jobhostagent', 'text', '', '""'),
    (5, 'job', 'enabled', 'jobenabled', 'boolean', '', 'true'),
    (6, 'job', 'owner', 'jobowner', 'role', '', '""'),
    (7, 'job', 'timeout', 'jobtimeout', 'limit', '', 'null'),
    (8, 'job', 'overlap', 'joboverlap', 'word', 'skip queue', '"skip"'),
    (9, 'job', 'missed', 'jobmissed', 'word', 'latest skip all', '"latest"'),
    (10, 'job', 'missed_limit', 'jobmissedlimit', 'limit', '', 'null'),
    (11, 'job', 'keep_for', 'jobkeepfor', 'limit', '', '"30 days"'),
    (12, 'job', 'keep_runs', 'jobkeepruns', 'count', '', '10000'),
    (13, 'job', 'steps', '', 'list', '', '[]'),
    (14, 'job', 'schedules', '', 'list', '', '[]'),

    (1, 'step', 'name', 'jstname', 'name', '', NULL),
    (2, 'step', 'description', 'jstdesc', 'text', '', '""'),
    (3, 'step', 'enabled', 'jstenabled', 'boolean', '', 'true'),
    (4, 'step', 'kind', 'jstkind', 'letter', 'sql batch', '"sql"'),
    (5, 'step', 'database', 'jstdbname', 'database', '', '""'),
    (6, 'step', 'conninfo', 'jstconnstr', 'conninfo', '', '""'),
    (7, 'step', 'run_as', 'jstrunas', 'role', '', '""'),
    (8, 'step', 'mode', 'jstmode', 'word', 'single autocommit atomic', '"single"'),
    (9, 'step', 'on_error', 'jstonerror', 'letter', 'fail success ignore', '"fail"'),
    (10, 'step', 'timeout', 'jsttimeout', 'limit', '', 'null'),
    (11, 'step', 'retries', 'jstretries', 'integer', '', '0'),
    (12, 'step', 'retry_delay', 'jstretrydelay', 'span', '', '"00:00:10"'),
    (13, 'step', 'retry_backoff', 'jstretrybackoff', 'number', '', '2'),
    (14, 'step', 'retry_on', 'jstretryon', 'texts', '', 'null'),
    (15, 'step', 'command', 'jstcode', 'text', '', NULL),

    (1, 'schedule', 'name', 'jscname', 'name', '', NULL),
    (2, 'schedule', 'description', 'jscdesc', 'text', '', '""'),
    (3, 'schedule', 'enabled', 'jscenabled', 'boolean', '', 'true'),
    (4, 'schedule', 'schedule', '', 'text', '', 'null'),
    (5, 'schedule', 'every', 'jscevery', 'span', '', 'null'),
    (6, 'schedule', 'at', 'jscat', 'instant', '', 'null'),
    (7, 'schedule', 'timezone', 'jsctimezone', 'zone', '', NULL),
    (8, 'schedule', 'start_at', 'jscstart', 'instant', '', 'null'),
    (9, 'schedule', 'end_at', 'jscend', 'instant', '', 'null'),
    (10, 'schedule', 'exceptions', '', 'list', '', '[]'),

    (1, 'exception', 'date', 'jexdate', 'date', '', 'null'),
    (2, 'exception', 'time', 'jextime', 'time', '', 'null');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_attributes() IS
'All that may stand in a document of jobs: of which object, the column that it is kept in, its form, the words that are allowed, and its value where it is left out.';

-- Reading: what a document says, in the form in which it is compared.

CREATE OR REPLACE FUNCTION pgagent.pga_file_cast(p_kind text, p_text text)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE p_kind
        WHEN 'limit' THEN CASE WHEN p_text::interval = interval '0' THEN 'null'
                               WHEN p_text::interval > interval '0' THEN to_jsonb(p_text::interval) END
        WHEN 'span' THEN CASE WHEN p_text::interval >= interval '0' THEN to_jsonb(p_text::interval) END
        WHEN 'number' THEN to_jsonb(p_text::double precision)
        WHEN 'date' THEN CASE WHEN isfinite(p_text::date) THEN to_jsonb(p_text::date) END
        WHEN 'time' THEN CASE WHEN p_text::time < '24:00' THEN to_jsonb(date_trunc('minute', p_text::time)::time) END
        -- Without an offset it is one in the zone of the schedule, which is not known here.
        WHEN 'instant' THEN CASE WHEN p_text::timestamptz IS NOT NULL AND p_text ~ ('^([0-9]{4,6}-[0-9]{2}-[0-9]{2}'
            '([ Tt][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?( *([Zz]|[+-][0-9]{1,2}(:?[0-9]{2}){0,2}))?)?( BC)?|-?infinity)$')
            THEN to_jsonb(p_text) END
    END;
EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow
    OR invalid_text_representation OR numeric_value_out_of_range OR invalid_parameter_value
    OR invalid_time_zone_displacement_value THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_cast(text, text) IS
'A value of a document in its only spelling, by its kind; NULL if it is none of that kind.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_value(p_where text, p_kind text, p_allowed text, p_value jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text CONSTANT text := p_value #>> '{}';
    v_type CONSTANT text := jsonb_typeof(p_value);
    v_value jsonb;
BEGIN
    v_value := CASE
        -- The tables take names that are blank, and so they may stand in an export.
        WHEN p_kind IN ('name', 'text', 'class', 'conninfo', 'zone') AND v_type = 'string'
             OR p_kind IN ('role', 'database') AND v_type = 'string' AND octet_length(v_text) <= 63
             OR p_kind = 'boolean' AND v_type = 'boolean'
             OR p_kind = 'list' AND v_type = 'array' THEN p_value
        WHEN p_kind IN ('word', 'letter') AND v_type = 'string' THEN
            CASE WHEN lower(v_text) = ANY (string_to_array(p_allowed, ' ')) THEN to_jsonb(lower(v_text)) END
        WHEN p_kind IN ('integer', 'count') AND v_type = 'number' THEN
            CASE WHEN p_kind = 'count' AND v_text = '0' THEN 'null' WHEN v_text ~ '^[0-9]{1,9}$' THEN p_value END
        WHEN p_kind = 'texts' AND v_type = 'array' THEN (
            SELECT COALESCE(jsonb_agg(e.value ORDER BY e.place), '[]')
            FROM jsonb_array_elements_text(p_value) WITH ORDINALITY AS e (value, place))
        WHEN p_kind IN ('limit', 'span') AND v_type IN ('string', 'number') OR p_kind = 'number' AND v_type = 'number'
             OR p_kind IN ('instant', 'date', 'time') AND v_type = 'string' THEN pgagent.pga_file_cast(p_kind, v_text)
    END;
    IF v_value IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where, format('%s is not allowed', left(p_value::text, 200)), format('Wanted is %s.', CASE p_kind
            WHEN 'role' THEN 'the name of a role, of 63 bytes at most, or an empty text'
            WHEN 'database' THEN 'the name of a database, of 63 bytes at most'
            WHEN 'boolean' THEN 'true or false'
            WHEN 'integer' THEN 'a whole number'
            WHEN 'count' THEN 'a whole number; 0 stands for no limit'
            WHEN 'number' THEN 'a number'
            WHEN 'limit' THEN 'a span of time, such as "90 seconds"; "0" stands for no limit'
            WHEN 'span' THEN 'a span of time, such as "90 seconds"'
            WHEN 'instant' THEN 'a point in time, such as "2031-05-01 09:00:00+02:00"'
            WHEN 'date' THEN 'a date, such as "2031-12-25"'
            WHEN 'time' THEN 'a time of day, such as "12:30"'
            WHEN 'texts' THEN 'a list of texts'
            WHEN 'list' THEN 'a list'
            WHEN 'word' THEN 'one of ' || replace(p_allowed, ' ', ', ')
            WHEN 'letter' THEN 'one of ' || replace(p_allowed, ' ', ', ')
            ELSE 'a text' END));
    ELSIF p_kind = 'zone' THEN
        PERFORM pgagent.pga_check_timezone(v_text, p_where);
    END IF;
    RETURN v_value;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_value(text, text, text, jsonb) IS
'What stands for an attribute in a document, in its only spelling. Raises 22023, for the place p_where, for what is not of this kind.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_part(p_where text, p_object text, p_part jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_part jsonb;
    v_wrong text;
BEGIN
    IF jsonb_typeof(p_part) IS DISTINCT FROM 'object' THEN
        PERFORM pgagent.pga_refuse(p_where, format('%s is not allowed', left(COALESCE(p_part::text, 'NULL'), 200)), 'Wanted is a table of names and values.'::text);
    END IF;
    v_part := jsonb_strip_nulls(p_part);
    SELECT k.key INTO v_wrong FROM jsonb_object_keys(v_part) AS k (key)
    WHERE NOT EXISTS (SELECT FROM pgagent.pga_file_attributes() AS a WHERE a.object = p_object AND a.attribute = k.key)
    ORDER BY k.key LIMIT 1;
    IF FOUND THEN
        PERFORM pgagent.pga_refuse(p_where, format('"%s" is not known', left(v_wrong, 200)), format('Known are %s.', (
            SELECT string_agg(a.attribute, ', ' ORDER BY a.place) FROM pgagent.pga_file_attributes() AS a WHERE a.object = p_object)));
    END IF;
    SELECT r.attribute INTO v_wrong
    FROM (VALUES ('definition', 'format'), ('class', 'name'), ('job', 'name'), ('step', 'name'), ('step', 'command')) AS r (object, attribute)
    WHERE r.object = p_object AND NOT v_part ? r.attribute LIMIT 1;
    IF FOUND THEN
        PERFORM pgagent.pga_refuse(format('%s, %s', p_where, v_wrong), 'is missing'::text, 'It can''t be left out.'::text);
    END IF;
    RETURN (
        SELECT COALESCE(jsonb_object_agg(a.attribute, pgagent.pga_file_value(
            format('%s, %s', p_where, a.attribute), a.kind, a.allowed, v_part -> a.attribute)), '{}')
        FROM pgagent.pga_file_attributes() AS a WHERE a.object = p_object AND v_part ? a.attribute
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_part(text, text, jsonb) IS
'A table of a document with its values in their only spelling, without what is NULL. Raises 22023 for what is not known there, what is missing, and values that are not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_raise(p_where text, p_state text, p_message text, p_detail text, p_hint text)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_column CONSTANT text[] := regexp_match(p_message, '^pgagent: pga_[a-z]+[.]([a-z]+): (.*)$');
    v_attribute CONSTANT text := (SELECT a.attribute FROM pgagent.pga_file_attributes() AS a WHERE a.column_name = v_column[1]);
BEGIN
    RAISE EXCEPTION USING
        MESSAGE = format('pgagent: %s%s', p_where, COALESCE(', ' || v_attribute || ': ' || v_column[2],
                                                            ': ' || regexp_replace(p_message, '^pgagent: ', ''))),
        ERRCODE = p_state,
        DETAIL = concat_ws(' ', nullif(p_detail, ''), nullif(p_hint, ''), 'Nothing was changed.');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_raise(text, text, text, text, text) IS
'Raises an error that something else has raised, with the place in the document, and the attribute in place of the column.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_server_default(p_column text)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_query text;
    v_value jsonb;
BEGIN
    FOREACH v_query IN ARRAY ARRAY(
        SELECT format('SELECT to_jsonb(%s)', pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = 'pgagent.pga_job'::regclass AND a.attname = p_column
    ) LOOP
        EXECUTE v_query INTO v_value;
    END LOOP;
    RETURN COALESCE(v_value, 'null');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_server_default(text) IS
'The default of a column of pga_job, which an administrator may have changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_defaults(p_object text)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(a.attribute, CASE WHEN a.attribute IN ('keep_for', 'keep_runs')
            THEN pgagent.pga_file_server_default(a.column_name) ELSE COALESCE(a.fallback, 'null') END)
        FROM pgagent.pga_file_attributes() AS a WHERE a.object = p_object AND a.kind <> 'list'
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_defaults(text) IS
'The attributes of an object of which a document says nothing.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_columns(p_object text, p_attributes jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(a.column_name, CASE a.kind
            WHEN 'class' THEN (SELECT to_jsonb(c.jclid) FROM pgagent.pga_jobclass AS c WHERE c.jclname = p_attributes ->> a.attribute)
            WHEN 'letter' THEN to_jsonb(left(p_attributes ->> a.attribute, 1))
            WHEN 'role' THEN to_jsonb(nullif(p_attributes ->> a.attribute, ''))
            ELSE p_attributes -> a.attribute END)
        FROM pgagent.pga_file_attributes() AS a
        WHERE a.object = p_object AND a.column_name <> '' AND p_attributes ? a.attribute
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_columns(text, jsonb) IS
'The columns that go with the attributes of a class, a job or a step.';

-- What the table holds, in the form in which it is compared.

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

-- Export.

CREATE OR REPLACE FUNCTION pgagent.pga_file_shown(p_object text, p_attributes jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_defaults CONSTANT jsonb := pgagent.pga_file_defaults(p_object);
BEGIN
    RETURN (
        SELECT jsonb_object_agg(a.attribute, CASE WHEN p_attributes -> a.attribute <> 'null' THEN p_attributes -> a.attribute
                                                  WHEN a.kind = 'count' THEN '0' ELSE '"0"' END)
        FROM pgagent.pga_file_attributes() AS a
        WHERE a.object = p_object AND p_attributes ? a.attribute
              -- Said as well where another server would take another value.
              AND (a.fallback IS NULL OR p_attributes -> a.attribute <> a.fallback OR v_defaults -> a.attribute <> a.fallback)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_shown(text, jsonb) IS
'Of these attributes those that are not what they would be if nothing were said.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_says(p_text text, p_timezone text)
RETURNS SETOF text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF length(p_text) > 1000 OR p_text !~ '^[[:space:]]*[0-9*@]' THEN
        RETURN;     -- mostly a name that was given
    END IF;
    RETURN QUERY
    SELECT pgagent.pga_file_schedule_text(s) FROM pgagent.pga_schedule_parsed(p_text, p_timezone, now()) AS s
    WHERE s.jsctimezone = p_timezone;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_says(text, text) IS
'The schedules, in their only spelling, that this text is in this time zone; nothing if it is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedules(p_job_id integer)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH part AS MATERIALIZED (
            SELECT row_number() OVER () AS place, p.name, p.nth, p.attributes,
                   (SELECT jsonb_agg(DISTINCT e.exception) FROM pgagent.pga_file_exceptions(p.id) AS e) AS exceptions
            FROM pgagent.pga_file_parts(p_job_id, 'schedule'::text) AS p
        ), named AS (
            -- All of one name: its rows may be those that one text, their name, stands for.
            SELECT p.name,
                   array_agg(p.attributes ->> 'schedule' ORDER BY p.nth)
                       = ARRAY(SELECT pgagent.pga_file_says(p.name, min(p.attributes ->> 'timezone')))
                   AND count(DISTINCT p.attributes - 'schedule') = 1
                   AND count(DISTINCT COALESCE(p.exceptions, '[]')) = 1 AS is_said
            FROM part AS p GROUP BY p.name
        )
        SELECT jsonb_agg(
            CASE WHEN n.is_said THEN s.shown - 'name' || jsonb_build_object('schedule', p.name) ELSE s.shown END
            -- The text of one time names the zone.
            - CASE WHEN p.attributes ->> 'schedule' LIKE '@at %' AND NOT n.is_said
                        AND right(p.attributes ->> 'schedule', 1) <> 'Z' THEN 'timezone' ELSE '' END
            || CASE WHEN p.exceptions IS NULL THEN '{}' ELSE jsonb_build_object('exceptions', (
                SELECT jsonb_agg(e.value ORDER BY e.value ->> 'date', e.value ->> 'time') FROM jsonb_array_elements(p.exceptions) AS e)) END
            ORDER BY p.place)
        FROM part AS p JOIN named AS n ON n.name = p.name
        CROSS JOIN LATERAL pgagent.pga_file_shown('schedule'::text, p.attributes) AS s (shown)
        WHERE p.nth = 1 OR NOT n.is_said
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedules(integer) IS
'The schedules of a job as a document has them; NULL if there are none.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_steps(p_job pgagent.pga_job)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_steps jsonb := '[]'::jsonb;
    v_step record;
BEGIN
    FOR v_step IN SELECT p.name, p.attributes, p.image ->> 'jstconnstr' AS conninfo FROM pgagent.pga_file_parts(p_job.jobid, 'step'::text) AS p LOOP
        IF v_step.attributes ->> 'conninfo' <> v_step.conninfo THEN
            RAISE NOTICE 'pgagent: the password of step "%" of job "%" is not exported', left(v_step.name, 100), left(p_job.jobname, 100)
                USING DETAIL = 'apply_jobs() keeps the one that is there. Where there is none, enter it in pga_jobstep.jstconnstr, or have the runner find it: in .pgpass, a service (service=NAME), or a file (passfile=secrets/NAME).';
        END IF;
        v_steps := v_steps || (pgagent.pga_file_shown('step'::text, v_step.attributes)
            -- Its database is always that of the jobs, whatever its name is.
            - CASE v_step.attributes ->> 'mode' WHEN 'atomic' THEN 'database' ELSE '' END);
    END LOOP;
    RETURN nullif(v_steps, '[]');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_steps(pgagent.pga_job) IS
'The steps of a job as a document has them, with a NOTICE for each that has a password; NULL if there are none.';

CREATE OR REPLACE FUNCTION pgagent.export_jobs(jobs text[] DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_missing CONSTANT text := (
        SELECT min(n.name) FROM unnest(jobs) AS n (name)
        WHERE NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = n.name)
    );
    v_jobs jsonb := '[]'::jsonb;
    v_classes jsonb;
    v_sets text[] := ARRAY[]::text[];
    v_job pgagent.pga_job;
BEGIN
    IF v_missing IS NOT NULL THEN
        PERFORM pgagent.pga_job_id(v_missing);      -- says that there is none, and which there are
    END IF;
    FOR v_job IN
        SELECT j.* FROM pgagent.pga_job AS j WHERE jobs IS NULL OR j.jobname = ANY (jobs) ORDER BY j.jobname COLLATE "C", j.jobid
    LOOP
        v_sets := v_sets || COALESCE(v_job.jobset, '');
        v_jobs := v_jobs || (
            pgagent.pga_file_shown('job'::text, pgagent.pga_file_of('job'::text, to_jsonb(v_job)))
            || jsonb_strip_nulls(jsonb_build_object('steps', pgagent.pga_file_steps(v_job), 'schedules', pgagent.pga_file_schedules(v_job.jobid)))
        );
    END LOOP;
    SELECT jsonb_agg(pgagent.pga_file_shown('class'::text, pgagent.pga_file_of('class'::text, to_jsonb(c))) ORDER BY c.jclname COLLATE "C") INTO v_classes
    FROM pgagent.pga_jobclass AS c
    -- Every server has the others.
    WHERE (c.jclname NOT IN ('Routine Maintenance', 'Data Import', 'Data Export', 'Data Summarisation', 'Miscellaneous')
           OR to_jsonb(c) ->> 'jcllimit' IS NOT NULL)
          AND (jobs IS NULL OR EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobjclid = c.jclid AND j.jobname = ANY (jobs)));
    RETURN jsonb_build_object('format', 1, 'jobs', v_jobs)
           || CASE WHEN v_classes IS NULL THEN '{}' ELSE jsonb_build_object('classes', v_classes) END
           || CASE WHEN v_sets[1] <> '' AND v_sets[1] = ALL (v_sets) THEN jsonb_build_object('set', v_sets[1]) ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION pgagent.export_jobs(text[]) IS
'The definitions of these jobs, or of all that the caller may see, as a document that apply_jobs() takes, here or on another server: classes, jobs, steps, schedules and exceptions, without ids, log and passwords; the latter with a NOTICE for each step. Attributes that have their defaults are left out (docs/files.md). Raises 42704 if there is no job of one of these names. Example: SELECT jsonb_pretty(pgagent.export_jobs(''{etl}'')).';

-- Apply.

CREATE OR REPLACE FUNCTION pgagent.pga_file_step_check(p_where text, p_image jsonb)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    PERFORM pgagent.pga_check_attempts(jsonb_populate_record(NULL::pgagent.pga_jobstep, p_image));
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    PERFORM pgagent.pga_file_raise(p_where, v_state, v_message, v_detail, v_hint);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_step_check(text, jsonb) IS
'Raises what the table would raise for the retries, the mode and the timeout of a step, with the place in the document.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_step_wanted(p_where text, p_step jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_given CONSTANT jsonb := pgagent.pga_file_part(p_where, 'step'::text, p_step);
    v_where CONSTANT text := format('%s "%s"', p_where, left(v_given ->> 'name', 100));
    v_wants jsonb := pgagent.pga_file_defaults('step'::text) || v_given;
    v_is_sql CONSTANT boolean := v_wants ->> 'kind' = 'sql';
    v_image jsonb;
BEGIN
    IF NOT v_is_sql AND (v_wants ->> 'database' <> '' OR v_wants ->> 'conninfo' <> '') THEN
        PERFORM pgagent.pga_refuse(v_where || ', database, conninfo', format('a %s step has no database', v_wants ->> 'kind'), 'Leave both out.'::text);
    ELSIF v_wants ->> 'database' <> '' AND v_wants ->> 'conninfo' <> '' THEN
        PERFORM pgagent.pga_refuse(v_where || ', database, conninfo', 'one of the two is wanted'::text, 'The connection string names the database: dbname=...'::text);
    ELSIF v_is_sql AND v_wants ->> 'database' = '' AND v_wants ->> 'conninfo' = '' THEN
        v_wants := v_wants || jsonb_build_object('database', current_database());
    END IF;
    v_image := pgagent.pga_file_columns('step'::text, v_wants);
    PERFORM pgagent.pga_file_step_check(v_where, v_image);
    RETURN jsonb_build_object('where', v_where, 'name', v_given -> 'name', 'attributes', v_wants, 'image', v_image);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_step_wanted(text, jsonb) IS
'What a document says of a step: its attributes and columns. Raises 22023 for what is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_instant(p_text text, p_timezone text)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN p_text ~ 'infinity' OR p_text ~ ':[0-9.]+ *([Zz]|[+-][0-9:]+)( BC)?$' THEN p_text::timestamptz
                ELSE pgagent.pga_zone_instant(p_timezone, p_text::timestamp) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_instant(text, text) IS
'The point in time that a document names, in this time zone unless it has an offset.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedule_rows(p_where text, p_given jsonb)
RETURNS SETOF pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text CONSTANT text := p_given ->> 'schedule';
    v_zone CONSTANT text := COALESCE(p_given ->> 'timezone', pgagent.pga_default_timezone());
    v_start CONSTANT timestamptz := COALESCE(pgagent.pga_file_instant(p_given ->> 'start_at', v_zone), date_trunc('second', now()));
    v_end CONSTANT timestamptz := pgagent.pga_file_instant(p_given ->> 'end_at', v_zone);
    v_row pgagent.pga_schedule;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    IF num_nonnulls(v_text, p_given ->> 'every', p_given ->> 'at') <> 1 THEN
        PERFORM pgagent.pga_refuse(p_where, 'one of schedule, every and at is wanted'::text,
            'The text of a schedule says nearly all; "every" is for intervals of months or fractions, "at" for times that text can''t say.'::text);
    ELSIF (p_given ->> 'every')::interval < interval '1 second' THEN
        PERFORM pgagent.pga_refuse(p_where || ', every', format('"%s" is not allowed', p_given ->> 'every'), 'Wanted is one second at least.'::text);
    ELSIF p_given ? 'start_at' AND v_end < v_start AND v_end >= '0002-01-01 00:00:00+00' THEN
        PERFORM pgagent.pga_refuse(p_where || ', end_at', 'end before start'::text, format('The end is %s, the start %s.', v_end, v_start));
    END IF;
    FOR v_row IN
        SELECT p.* FROM pgagent.pga_schedule_parsed(COALESCE(v_text, '@reboot'), p_given ->> 'timezone', v_start) AS p
    LOOP
        IF v_text IS NULL THEN
            v_row := jsonb_populate_record(v_row, jsonb_build_object(
                'jscreboot', false, 'jscevery', p_given -> 'every', 'jscat', pgagent.pga_file_instant(p_given ->> 'at', v_zone)));
        END IF;
        v_row := jsonb_populate_record(v_row, jsonb_build_object(
            'jscname', COALESCE(p_given ->> 'name', btrim(v_text), '@every ' || (p_given ->> 'every'), '@at ' || (p_given ->> 'at')),
            'jscdesc', COALESCE(p_given -> 'description', '""'), 'jscenabled', COALESCE(p_given -> 'enabled', 'true'), 'jscend', v_end));
        RETURN NEXT v_row;
    END LOOP;
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    IF starts_with(v_message, 'pgagent: ' || p_where) THEN
        RAISE;
    END IF;
    PERFORM pgagent.pga_file_raise(p_where, v_state, v_message, v_detail, v_hint);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedule_rows(text, jsonb) IS
'The rows of pga_schedule that a schedule of a document stands for: one, or two where cron means either of two days. Raises 22023 for what is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_exceptions_wanted(p_where text, p_list jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found jsonb := '[]'::jsonb;
    v_exception jsonb;
BEGIN
    FOR i IN 1..COALESCE(jsonb_array_length(p_list), 0) LOOP
        v_exception := pgagent.pga_file_part(format('%s, exceptions[%s]', p_where, i), 'exception'::text, p_list -> (i - 1));
        IF v_exception = '{}' THEN
            PERFORM pgagent.pga_refuse(format('%s, exceptions[%s]', p_where, i), 'date or time wanted'::text,
                'An exception is a date, a time of day or both.'::text);
        END IF;
        v_found := CASE WHEN v_found @> jsonb_build_array(v_exception) AND v_exception IN (SELECT e.value FROM jsonb_array_elements(v_found) AS e)
                        THEN v_found ELSE v_found || v_exception END;
    END LOOP;
    RETURN v_found;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_exceptions_wanted(text, jsonb) IS
'The exceptions that a document has for a schedule, each once. Raises 22023 for what is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedule_wanted(p_where text, p_schedule jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_given CONSTANT jsonb := pgagent.pga_file_part(p_where, 'schedule'::text, p_schedule);
    v_where CONSTANT text := p_where || COALESCE(' "' || left(v_given ->> 'name', 100) || '"', '');
BEGIN
    RETURN (
        SELECT jsonb_agg(jsonb_build_object(
            'where', v_where, 'name', s.jscname, 'has_start', v_given ? 'start_at', 'attributes', pgagent.pga_file_schedule(s),
            'image', to_jsonb(s), 'exceptions', pgagent.pga_file_exceptions_wanted(v_where, v_given -> 'exceptions')))
        FROM pgagent.pga_file_schedule_rows(v_where, v_given) AS s
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedule_wanted(text, jsonb) IS
'What a document says of a schedule: a list of one or two, their attributes, columns and exceptions. Raises 22023 for what is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_job_wanted(p_where text, p_job jsonb, p_classes text[])
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_given CONSTANT jsonb := pgagent.pga_file_part(p_where, 'job'::text, p_job);
    v_where CONSTANT text := format('%s "%s"', p_where, left(v_given ->> 'name', 100));
    v_wants CONSTANT jsonb := pgagent.pga_file_defaults('job'::text) || (v_given - ARRAY['steps', 'schedules']);
    v_steps jsonb;
    v_schedules jsonb := '[]'::jsonb;
BEGIN
    IF v_wants ->> 'class' <> ALL (p_classes)
       AND NOT EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclname = v_wants ->> 'class') THEN
        RAISE EXCEPTION 'pgagent: %, class: there is no job class "%"', v_where, v_wants ->> 'class' USING ERRCODE = 'undefined_object',
            DETAIL = 'Neither the table pgagent.pga_jobclass nor the list of classes of the document has it.';
    END IF;
    SELECT jsonb_agg(pgagent.pga_file_step_wanted(format('%s, steps[%s]', v_where, s.place), s.value) ORDER BY s.place) INTO v_steps
    FROM jsonb_array_elements(v_given -> 'steps') WITH ORDINALITY AS s (value, place);
    FOR i IN 1..COALESCE(jsonb_array_length(v_given -> 'schedules'), 0) LOOP
        v_schedules := v_schedules || pgagent.pga_file_schedule_wanted(format('%s, schedules[%s]', v_where, i), v_given -> 'schedules' -> (i - 1));
    END LOOP;
    RETURN jsonb_build_object(
        'where', v_where, 'name', v_given -> 'name',
        -- A job that is there keeps its owner where nothing is said of one: it would have more
        -- rights without. A new one has what the defaults of the table say.
        'attributes', v_wants - CASE WHEN v_given ? 'owner' THEN '' ELSE 'owner' END,
        'unsaid', (SELECT COALESCE(jsonb_agg(u.attribute), '[]') FROM unnest('{keep_for,keep_runs}'::text[]) AS u (attribute) WHERE NOT v_given ? u.attribute),
        'step', COALESCE(v_steps, '[]'), 'schedule', v_schedules
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_job_wanted(text, jsonb, text[]) IS
'What a document, which has these classes, says of a job and its parts. Raises 22023 for what is not allowed, 42704 for a class that there is nowhere.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_with_password(p_conninfo text, p_now text)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_empty text := E'((?:^|\\s)%s\\s*=)\\s*''''(?=\\s|$)';
    v_full text := E'(?:^|\\s)%s\\s*=\\s*(''(?:\\\\.|[^\\\\''])*''|(?:\\\\.|[^\\s\\\\''])(?:\\\\.|[^\\s\\\\])*)';
    v_conninfo text := p_conninfo;
    v_name text;
    v_secret text;
BEGIN
    IF pgagent.pga_file_conninfo(p_now) = pgagent.pga_file_conninfo(p_conninfo) AND NOT pgagent.pga_has_password(p_conninfo) THEN
        RETURN p_now;
    ELSIF p_conninfo ~ '^postgres(ql)?://' THEN
        IF p_conninfo ~ '^postgres(ql)?://[^:@/]*:@' THEN
            v_secret := (regexp_match(p_now, '^postgres(?:ql)?://[^:@/]*:([^@/]+)@'))[1];
            v_conninfo := overlay(p_conninfo PLACING COALESCE(v_secret, '')
                FROM length((regexp_match(p_conninfo, '^postgres(?:ql)?://[^:@/]*:'))[1]) + 1 FOR 0);
        END IF;
        v_empty := '([?&]%s=)(?=&|$)';
        v_full := '^postgres(?:ql)?://.*[?&]%s=([^&]+)';
    END IF;
    FOR v_name IN
        SELECT m.found[2] FROM regexp_matches(p_conninfo, format(v_empty, '([a-z_]+)'), 'g') AS m (found)
        WHERE m.found[2] ~ 'password|secret|scram_|token'       -- as pga_change_connection() has it
    LOOP
        v_secret := (regexp_match(p_now, format(v_full, v_name)))[1];
        IF v_secret IS NOT NULL THEN
            v_conninfo := regexp_replace(v_conninfo, format(v_empty, v_name), E'\\1' || replace(v_secret, E'\\', E'\\\\'));
        END IF;
    END LOOP;
    RETURN v_conninfo;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_with_password(text, text) IS
'A connection string of a document, in which the places of passwords are empty, with those of the one that is there now.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_settle(p_object text, p_wanted jsonb, p_is jsonb, p_image jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wants jsonb := p_wanted -> 'attributes';
    v_conninfo text;
BEGIN
    IF p_object = 'step' THEN
        IF v_wants ->> 'conninfo' = '***' AND p_is ->> 'conninfo' IS DISTINCT FROM '***' THEN
            PERFORM pgagent.pga_refuse((p_wanted ->> 'where') || ', conninfo', 'the connection string is not in the document'::text,
                'What in it is a password could not be told. Write it anew.'::text);
        ELSIF p_is IS NULL AND v_wants ->> 'conninfo' ~ E'(password\\s*=\\s*''''|^[a-z]+://[^@/:]*:@)' THEN
            RAISE NOTICE 'pgagent: the password of step "%" is not in the document', left(p_wanted ->> 'name', 100)
                USING DETAIL = 'Enter it in pga_jobstep.jstconnstr, or have the runner find it: in .pgpass, a service (service=NAME), or a file (passfile=secrets/NAME).';
        END IF;
        v_conninfo := CASE WHEN p_is IS NULL THEN v_wants ->> 'conninfo'
            ELSE pgagent.pga_file_with_password(v_wants ->> 'conninfo', p_image ->> 'jstconnstr') END;
        v_wants := v_wants || jsonb_build_object('conninfo', pgagent.pga_file_conninfo(v_conninfo)
            || CASE WHEN v_conninfo <> p_image ->> 'jstconnstr' AND pgagent.pga_file_conninfo(v_conninfo) = p_is ->> 'conninfo'
                    THEN ' (another password)' ELSE '' END);
        RETURN p_wanted || jsonb_build_object('attributes', v_wants, 'image', (p_wanted -> 'image') || jsonb_build_object('jstconnstr', v_conninfo));
    ELSIF p_object = 'schedule' THEN
        IF NOT (p_wanted ->> 'has_start')::boolean THEN
            -- Without a start it begins when it is made, and so does one that has not begun.
            v_wants := v_wants || jsonb_build_object('start_at', CASE WHEN (p_is ->> 'start_at')::timestamptz <= now() THEN p_is ->> 'start_at' END);
        END IF;
        IF (p_image ->> 'jscat')::timestamptz <= now() AND p_is -> 'enabled' = 'false'
           AND p_is -> 'schedule' = v_wants -> 'schedule' AND p_is -> 'at' = v_wants -> 'at' THEN
            v_wants := v_wants || '{"enabled": false}';      -- it has run, or never will
        END IF;
        RETURN p_wanted || jsonb_build_object('attributes', v_wants);
    END IF;
    RETURN p_wanted;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_settle(text, jsonb, jsonb, jsonb) IS
'What is wanted of a step or schedule, with what is as it is now where the document leaves that open: passwords, a start. p_is and p_image: its attributes and its row today, NULL if there is none. Raises 22023 if the document lacks a connection string.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_difference(p_object text, p_is jsonb, p_wants jsonb)
RETURNS TABLE (attribute text, old text, new text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_was CONSTANT jsonb := COALESCE(p_is, pgagent.pga_file_defaults(p_object));
BEGIN
    RETURN QUERY
    SELECT a.attribute, p_is ->> a.attribute, p_wants ->> a.attribute
    FROM pgagent.pga_file_attributes() AS a
    WHERE a.object = p_object AND p_wants ? a.attribute AND a.attribute <> 'name'
          AND p_wants -> a.attribute IS DISTINCT FROM v_was -> a.attribute
    ORDER BY a.place;
    IF NOT FOUND AND p_is IS NULL THEN
        RETURN QUERY SELECT NULL::text, NULL::text, NULL::text;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_difference(text, jsonb, jsonb) IS
'The attributes in which what is wanted is not what there is; of what is to be made, those that are not as if nothing were said, or a row of NULLs.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_changes(p_object text, p_wanted jsonb, p_is jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wants CONSTANT jsonb := p_wanted -> 'attributes';
    v_image CONSTANT jsonb := p_wanted -> 'image';
    -- Fields that are but an image of something else are written by the table's trigger.
    v_by_fields CONSTANT boolean := num_nonnulls(v_image ->> 'jscevery', v_image ->> 'jscat', nullif(v_image ->> 'jscreboot', 'false')) = 0;
    v_changed text[];
BEGIN
    SELECT array_agg(a.attribute) INTO v_changed FROM pgagent.pga_file_attributes() AS a
    WHERE a.object = p_object AND v_wants ? a.attribute AND (p_is IS NULL OR p_is -> a.attribute <> v_wants -> a.attribute)
          AND NOT (p_is IS NULL AND COALESCE(p_wanted -> 'unsaid', '[]') ? a.attribute);
    RETURN (
        SELECT COALESCE(jsonb_object_agg(c.key, c.value), '{}') FROM jsonb_each(v_image) AS c
        WHERE EXISTS (SELECT FROM pgagent.pga_file_attributes() AS a
                      WHERE a.object = p_object AND a.column_name = c.key AND a.attribute = ANY (v_changed))
              OR p_object = 'schedule' AND v_changed && '{schedule,every,at}' AND (
                  c.key IN ('jscevery', 'jscat', 'jscreboot')
                  OR v_by_fields AND c.key IN ('jscminutes', 'jschours', 'jscweekdays', 'jscmonthdays', 'jscmonths'))
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_changes(text, jsonb, jsonb) IS
'The columns, with their new values, that have to be written for what is wanted to be.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_write(p_where text, p_object text, p_id integer, p_values jsonb)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table CONSTANT text := CASE p_object WHEN 'step' THEN 'pga_jobstep' WHEN 'class' THEN 'pga_jobclass' ELSE 'pga_' || p_object END;
    v_key CONSTANT text := CASE p_object WHEN 'job' THEN 'jobid' WHEN 'step' THEN 'jstid' WHEN 'schedule' THEN 'jscid'
                                         WHEN 'exception' THEN 'jexid' ELSE 'jclid' END;
    v_columns text;
    v_id integer;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    IF p_values IS NULL THEN
        CASE p_object
            WHEN 'job' THEN DELETE FROM pgagent.pga_job WHERE jobid = p_id;
            WHEN 'step' THEN DELETE FROM pgagent.pga_jobstep WHERE jstid = p_id;
            WHEN 'schedule' THEN DELETE FROM pgagent.pga_schedule WHERE jscid = p_id;
            ELSE DELETE FROM pgagent.pga_exception WHERE jexid = p_id;
        END CASE;
        RETURN NULL;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute AS a
    WHERE a.attrelid = format('pgagent.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND p_values ? a.attname::text;
    IF p_id IS NULL THEN
        EXECUTE format('INSERT INTO pgagent.%1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1) RETURNING %3$I', v_table, v_columns, v_key)
        INTO v_id USING p_values;
        RETURN v_id;
    ELSIF v_columns IS NOT NULL THEN
        EXECUTE format('UPDATE pgagent.%1$I SET (%2$s) = (SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1)) WHERE %3$I = $2', v_table, v_columns, v_key)
        USING p_values, p_id;
    END IF;
    RETURN p_id;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    PERFORM pgagent.pga_file_raise(p_where, v_state, v_message, v_detail, v_hint);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_write(text, text, integer, jsonb) IS
'Inserts or updates a row of a class, job, step, schedule or exception, or, if p_values is NULL, deletes it. Returns the id. Raises whatever is raised, with the place in the document.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_exceptions(p_wanted jsonb, p_id integer, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_exception record;
BEGIN
    FOR v_exception IN
        SELECT e.id, COALESCE(w.value, e.exception) AS is_about, w.value IS NOT NULL AS is_wanted
        FROM jsonb_array_elements(p_wanted -> 'exceptions') AS w (value)
        FULL JOIN pgagent.pga_file_exceptions(p_id) AS e ON e.exception = w.value
        WHERE w.value IS NULL OR e.exception IS NULL
        ORDER BY w.value IS NULL, COALESCE(w.value, e.exception) ->> 'date', COALESCE(w.value, e.exception) ->> 'time'
    LOOP
        RETURN QUERY
        SELECT format('exception %s of schedule %s', concat_ws(' ', v_exception.is_about ->> 'date', left(v_exception.is_about ->> 'time', 5)), p_wanted ->> 'name'),
               CASE WHEN v_exception.is_wanted THEN 'create' ELSE 'drop' END, NULL::text, NULL::text, NULL::text;
        IF p_writes THEN
            PERFORM pgagent.pga_file_write((p_wanted ->> 'where') || ', exceptions', 'exception'::text, v_exception.id, CASE WHEN v_exception.is_wanted
                THEN jsonb_build_object('jexscid', p_id, 'jexdate', v_exception.is_about -> 'date', 'jextime', v_exception.is_about -> 'time') END);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_exceptions(jsonb, integer, boolean) IS
'What has to be done for a schedule to have the exceptions that are wanted; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_part(p_object text, p_wanted jsonb, p_now jsonb, p_job_id integer, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is CONSTANT jsonb := p_now -> 'attributes';
    v_wanted jsonb;
    v_values jsonb;
    v_id integer := (p_now ->> 'id')::integer;
BEGIN
    v_wanted := pgagent.pga_file_settle(p_object, p_wanted, v_is, p_now -> 'image');
    v_values := pgagent.pga_file_changes(p_object, v_wanted, v_is);
    RETURN QUERY
    SELECT format('%s %s', p_object, p_wanted ->> 'name'), CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
    FROM pgagent.pga_file_difference(p_object, v_is, v_wanted -> 'attributes') AS d;
    IF v_values ->> 'jstrunas' IS NOT NULL THEN
        PERFORM pgagent.pga_role_id((p_wanted ->> 'where') || ', run_as', (v_values ->> 'jstrunas')::name, NULL::name, NULL::oid);
    END IF;
    IF p_writes AND v_values <> '{}' THEN
        v_id := pgagent.pga_file_write(p_wanted ->> 'where', p_object, v_id, v_values || CASE WHEN v_is IS NULL
            THEN jsonb_build_object(CASE p_object WHEN 'step' THEN 'jstjobid' ELSE 'jscjobid' END, p_job_id) ELSE '{}' END);
    END IF;
    IF p_object = 'schedule' THEN
        RETURN QUERY SELECT e.* FROM pgagent.pga_file_apply_exceptions(p_wanted, v_id, p_writes) AS e;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_part(text, jsonb, jsonb, integer, boolean) IS
'What has to be done for a step or schedule to be what is wanted; p_now: what it is, NULL if there is none; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_job(p_wanted jsonb, p_job_id integer, p_set text, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is CONSTANT jsonb := (SELECT pgagent.pga_file_of('job'::text, to_jsonb(j)) FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id);
    v_values jsonb := pgagent.pga_file_changes('job'::text, p_wanted || jsonb_build_object('image', pgagent.pga_file_columns('job'::text, p_wanted -> 'attributes')), v_is);
    v_id integer := p_job_id;
    v_part record;
BEGIN
    RETURN QUERY
    SELECT 'job', CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
    FROM pgagent.pga_file_difference('job'::text, v_is, p_wanted -> 'attributes') AS d;
    IF v_values ->> 'jobowner' IS NOT NULL THEN
        PERFORM pgagent.pga_role_id((p_wanted ->> 'where') || ', owner', (v_values ->> 'jobowner')::name, NULL::name, NULL::oid);
    END IF;
    IF v_is IS NULL AND p_set IS NOT NULL THEN
        v_values := v_values || jsonb_build_object('jobset', p_set);
    END IF;
    IF p_writes AND v_values <> '{}' THEN
        v_id := pgagent.pga_file_write(p_wanted ->> 'where', 'job'::text, p_job_id, v_values);
    END IF;
    FOR v_part IN
        SELECT o.object, p.* FROM (VALUES (1, 'step'::text), (2, 'schedule')) AS o (place, object)
        CROSS JOIN LATERAL (
            SELECT w.value AS wanted, n.id, to_jsonb(n) AS now, n.name, w.place
            FROM (SELECT e.value, e.place, e.value ->> 'name' AS name, row_number() OVER (PARTITION BY e.value ->> 'name' ORDER BY e.place) AS nth
                  FROM jsonb_array_elements(p_wanted -> o.object) WITH ORDINALITY AS e (value, place)) AS w
            FULL JOIN pgagent.pga_file_parts(p_job_id, o.object) AS n ON (n.name, n.nth) = (w.name, w.nth)
        ) AS p
        ORDER BY o.place, p.place IS NULL, p.place, p.id
    LOOP
        IF v_part.wanted IS NOT NULL THEN
            RETURN QUERY
            SELECT a.* FROM pgagent.pga_file_apply_part(v_part.object, v_part.wanted, nullif(v_part.now, '{}'), v_id, p_writes) AS a;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT format('%s %s', v_part.object, v_part.name), 'drop', NULL::text, NULL::text, NULL::text;
        IF p_writes THEN
            PERFORM pgagent.pga_file_write(p_wanted ->> 'where', v_part.object, v_part.id, NULL::jsonb);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_job(jsonb, integer, text, boolean) IS
'What has to be done for a job, with all its parts, to be what is wanted; p_job_id: NULL if it has to be made, as one of the set p_set; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_lock(p_job_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(p_job_id::bigint);
    -- In the order in which those who edit parts lock: the part, then the job.
    PERFORM FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id ORDER BY s.jstid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id ORDER BY s.jscid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id FOR NO KEY UPDATE;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_lock(integer) IS
'Has nobody else change this job or its steps and schedules. Raises 42501 if the caller may not, 42704 if the job is gone.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_classes(p_classes jsonb, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_where text;
    v_names text[] := ARRAY[]::text[];
    v_given jsonb;
    v_wants jsonb;
    v_class pgagent.pga_jobclass;
    v_is jsonb;
    v_values jsonb;
BEGIN
    FOR i IN 1..COALESCE(jsonb_array_length(p_classes), 0) LOOP
        v_where := format('classes[%s]', i);
        v_given := pgagent.pga_file_part(v_where, 'class'::text, p_classes -> (i - 1));
        v_where := format('%s "%s"', v_where, left(v_given ->> 'name', 100));
        IF v_given ->> 'name' = ANY (v_names) THEN
            PERFORM pgagent.pga_refuse(v_where, 'is in the list already'::text, 'A class has one name and one limit.'::text);
        END IF;
        v_names := v_names || (v_given ->> 'name');
        v_wants := pgagent.pga_file_defaults('class'::text) || v_given;
        SELECT c.* INTO v_class FROM pgagent.pga_jobclass AS c WHERE c.jclname = v_given ->> 'name';
        v_is := CASE WHEN FOUND THEN pgagent.pga_file_of('class'::text, to_jsonb(v_class)) END;
        v_values := pgagent.pga_file_changes('class'::text, jsonb_build_object('attributes', v_wants, 'image', pgagent.pga_file_columns('class'::text, v_wants)), v_is);
        RETURN QUERY
        SELECT format('class %s', v_given ->> 'name'), CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
        FROM pgagent.pga_file_difference('class'::text, v_is, v_wants) AS d;
        IF p_writes AND v_values <> '{}' THEN
            PERFORM pgagent.pga_file_write(v_where, 'class'::text, v_class.jclid, v_values);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_classes(jsonb, boolean) IS
'What has to be done for there to be these classes; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.apply_jobs(definition jsonb, prune boolean DEFAULT false, dry_run boolean DEFAULT false)
RETURNS TABLE (job text, object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_writes CONSTANT boolean := dry_run IS NOT TRUE;
    v_given CONSTANT jsonb := pgagent.pga_file_part('apply_jobs(definition)'::text, 'definition'::text, definition);
    v_set CONSTANT text := nullif(v_given ->> 'set', '');
    v_classes text[];
    v_job record;
BEGIN
    IF v_given -> 'format' <> '1' THEN
        PERFORM pgagent.pga_refuse('apply_jobs(definition), format'::text, format('%s is not known', v_given ->> 'format'), 'Known is 1.'::text);
    ELSIF prune AND v_set IS NULL THEN
        PERFORM pgagent.pga_refuse('apply_jobs(prune)'::text, 'the definition names no set'::text,
            'What may be deleted are jobs that a definition of the same set has made: set = "...".'::text);
    END IF;
    IF v_writes THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('pgagent.apply_jobs', 0));
    END IF;
    RETURN QUERY SELECT NULL::text, c.* FROM pgagent.pga_file_apply_classes(v_given -> 'classes', v_writes) AS c;
    v_classes := ARRAY(SELECT c.value ->> 'name' FROM jsonb_array_elements(v_given -> 'classes') AS c);

    FOR v_job IN
        SELECT w.wanted, w.wanted ->> 'name' AS name, (
            SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobname = w.wanted ->> 'name' ORDER BY j.jobid OFFSET w.nth - 1 LIMIT 1
        ) AS id
        FROM (
            -- Names need not be unique: jobs of one name are told by their order.
            SELECT e.place, row_number() OVER (PARTITION BY e.value ->> 'name' ORDER BY e.place) AS nth,
                   pgagent.pga_file_job_wanted(format('jobs[%s]', e.place), e.value, v_classes) AS wanted
            FROM jsonb_array_elements(v_given -> 'jobs') WITH ORDINALITY AS e (value, place)
        ) AS w
        ORDER BY w.place
    LOOP
        -- Whoever has nothing to change locks nothing.
        IF v_writes AND v_job.id IS NOT NULL AND EXISTS (SELECT FROM pgagent.pga_file_apply_job(v_job.wanted, v_job.id, v_set, false)) THEN
            PERFORM pgagent.pga_file_lock(v_job.id);
        END IF;
        RETURN QUERY SELECT v_job.name, a.* FROM pgagent.pga_file_apply_job(v_job.wanted, v_job.id, v_set, v_writes) AS a;
        -- Where nothing differs, the two definitions agree.
        IF FOUND AND v_set IS NOT NULL AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = v_job.id AND j.jobset <> v_set) THEN
            RAISE NOTICE 'pgagent: job "%" was made by a definition of another set', left(v_job.name, 100)
                USING DETAIL = format('Its set is "%s"; that of this definition is "%s".', (SELECT j.jobset FROM pgagent.pga_job AS j WHERE j.jobid = v_job.id), v_set);
        END IF;
    END LOOP;

    FOR v_job IN
        SELECT o.jobid AS id, o.jobname AS name
        FROM (SELECT j.jobid, j.jobname, j.jobset, row_number() OVER (PARTITION BY j.jobname ORDER BY j.jobid) AS nth FROM pgagent.pga_job AS j) AS o
        WHERE prune AND o.jobset = v_set
              AND o.nth > (SELECT count(*) FROM jsonb_array_elements(v_given -> 'jobs') AS e WHERE e.value ->> 'name' = o.jobname)
        ORDER BY o.jobname COLLATE "C", o.jobid
    LOOP
        IF v_writes THEN
            PERFORM pgagent.pga_file_lock(v_job.id),
                    pgagent.pga_file_write(format('job "%s"', left(v_job.name, 100)), 'job'::text, v_job.id, NULL::jsonb);
        END IF;
        RETURN QUERY SELECT v_job.name, 'job', 'drop', NULL::text, NULL::text, NULL::text;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.apply_jobs(jsonb, boolean, boolean) IS
'Has jobs be what a document of export_jobs(), or one that people have written (docs/files.md), says: makes, changes and drops classes, jobs and their parts, all or nothing. Jobs are told by their names. A job of the document is a whole: steps, schedules and exceptions that it does not have are dropped, what it leaves out gets its default. Jobs that it does not have stay; prune: but for those that a definition of the same set has made. Nothing is written that is so already; ids, log and passwords stay. dry_run: does nothing. Returns what is done: job, object (job, step ..., schedule ..., exception ..., class ...), action (create, alter or drop), and the attributes with their values before and after. Raises 22023, with the place and what is allowed, for what can''t be; 42704 if there is no such class or role; 42501 for what the caller may not change. Example: SELECT * FROM pgagent.apply_jobs(''{"format": 1, "jobs": [{"name": "new", "steps": [{"name": "1 load", "command": "CALL load()"}], "schedules": [{"schedule": "@daily"}]}]}'').';
