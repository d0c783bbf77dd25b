-- wanted.sql: what a document wants, checked, in the form in which it is compared.

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
        'unsaid', (SELECT COALESCE(jsonb_agg(u.attribute), '[]') FROM unnest('{keep_for,keep_runs,late_after}'::text[]) AS u (attribute) WHERE NOT v_given ? u.attribute),
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
