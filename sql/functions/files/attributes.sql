-- attributes.sql: all that a document of jobs may say, and how its values are read.
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
    (13, 'job', 'late_after', 'joblateafter', 'limit', '', '"00:05:00"'),
    (14, 'job', 'long_after', 'joblongafter', 'limit', '', 'null'),
    (15, 'job', 'long_factor', 'joblongfactor', 'factor', '', 'null'),
    (16, 'job', 'disable_after', 'jobdisableafter', 'count', '', 'null'),
    (17, 'job', 'steps', '', 'list', '', '[]'),
    (18, 'job', 'schedules', '', 'list', '', '[]'),

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
        WHEN 'factor' THEN CASE WHEN p_text::double precision = 0 THEN 'null'
                                WHEN p_text::double precision >= 1 THEN to_jsonb(p_text::double precision) END
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
        WHEN p_kind IN ('limit', 'span') AND v_type IN ('string', 'number') OR p_kind IN ('number', 'factor') AND v_type = 'number'
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
            WHEN 'factor' THEN 'a number from 1 on; 0 stands for no limit'
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
        SELECT jsonb_object_agg(a.attribute, CASE WHEN a.attribute IN ('keep_for', 'keep_runs', 'late_after')
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
