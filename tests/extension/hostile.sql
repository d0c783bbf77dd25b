-- hostile.sql: what the owner of a database can plant in a schema for the code of others
-- to stumble over: functions, operators and types that match a call better than those of
-- PostgreSQL, or as well. Each raises when it is used.

CREATE FUNCTION public.trap() RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'caught by a trap'; END $$;

CREATE FUNCTION public.plant_function(p_name text, p_arguments text, p_result text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    EXECUTE format(
        'CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION $m$caught by a trap$m$; END''',
        p_name, p_arguments, p_result);
EXCEPTION WHEN duplicate_function THEN
    NULL;       -- two polymorphic functions, one shadow
END;
$$;

-- Returns the names of the functions that have got a shadow.
CREATE FUNCTION public.plant_functions(p_schema text, p_names text[])
RETURNS SETOF text LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    v_element text;
    v_function record;
BEGIN
    FOREACH v_element IN ARRAY ARRAY['boolean', 'text', 'integer', 'date'] LOOP
        FOR v_function IN
            SELECT p.proname AS name, s[1] AS arguments, s[2] AS result
            FROM pg_proc AS p
            CROSS JOIN regexp_split_to_array(replace(regexp_replace(regexp_replace(
                pg_get_function_identity_arguments(p.oid) || '=>' || pg_get_function_result(p.oid),
                'any(compatible)?array', v_element || '[]', 'g'),
                'any(element|compatible)', v_element, 'g'),
                '"any"', 'text[]'), '=>') AS s
            WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
                  AND p.proname = ANY (p_names) AND concat(s) !~ 'any|record|internal|cstring|OUT'
        LOOP
            PERFORM public.plant_function(format('%I.%I', p_schema, v_function.name),
                                          v_function.arguments, v_function.result);
            RETURN NEXT v_function.name;
        END LOOP;
    END LOOP;
END;
$$;

CREATE FUNCTION public.plant_operators(p_schema text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    v_types CONSTANT oid[] := ARRAY['bool', '"char"', 'int2', 'int4', 'int8', 'float8', 'numeric', 'text',
        'bpchar', 'name', 'date', 'time', 'timestamp', 'timestamptz', 'interval', 'oid']::regtype[];
    v_operator record;
    v_function text;
BEGIN
    FOR v_operator IN
        SELECT o.oid, o.oprname AS name, o.oprleft::regtype AS left, o.oprright::regtype AS right,
               o.oprresult::regtype AS result
        FROM pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace
              AND o.oprleft = ANY (v_types) AND o.oprright = ANY (v_types)
              AND o.oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '/', '%', '||', '~')
    LOOP
        v_function := format('%I.shadow_%s', p_schema, v_operator.oid);
        PERFORM public.plant_function(
            v_function, format('%s, %s', v_operator.left, v_operator.right), v_operator.result::text);
        EXECUTE format('CREATE OPERATOR %I.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %s)', p_schema,
                       v_operator.name, v_operator.left, v_operator.right, v_function);
    END LOOP;
END;
$$;

CREATE FUNCTION public.plant_types(p_schema text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    v_type text;
BEGIN
    FOREACH v_type IN ARRAY ARRAY['text', 'name', 'date', 'timestamptz', 'oid', 'regclass'] LOOP
        EXECUTE format('CREATE DOMAIN %I.%I AS pg_catalog.%I CHECK (public.trap())', p_schema, v_type, v_type);
    END LOOP;
END;
$$;

-- Returns a statement for each overload that could match a call of the function better
-- than the function does: shorter by arguments that have defaults, or with other types.
CREATE FUNCTION public.overloads(p_function oid, p_ours text[])
RETURNS SETOF text LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    v_alternatives CONSTANT jsonb := '{
        "text": ["varchar", "name", "bpchar", "\"char\"", "anyelement"],
        "bigint": ["integer", "smallint", "numeric", "text", "anyelement"],
        "integer": ["smallint", "bigint", "numeric", "text", "anyelement"],
        "double precision": ["integer", "numeric", "text", "real"],
        "timestamp with time zone": ["timestamp", "date", "text"],
        "timestamp without time zone": ["timestamptz", "date", "text"],
        "date": ["timestamp", "timestamptz", "text"],
        "time without time zone": ["interval", "timetz", "text"],
        "text[]": ["varchar[]", "name[]", "text", "anyarray"],
        "bigint[]": ["integer[]", "smallint[]", "text", "text[]", "anyarray"],
        "integer[]": ["smallint[]", "bigint[]", "text", "text[]", "anyarray"],
        "boolean[]": ["text", "text[]", "anyarray"],
        "smallint": ["integer", "text"]
    }';
    v_result CONSTANT text := pg_get_function_result(p_function);
    v_function pg_proc;
    v_count integer;
    v_required integer;
    v_types text[];
    v_places integer[];
    v_some text[];
    v_type text;
BEGIN
    SELECT p.* INTO v_function FROM pg_proc AS p WHERE p.oid = p_function;
    v_count := v_function.pronargs;
    v_required := v_count - v_function.pronargdefaults;
    v_types := ARRAY(SELECT t::regtype::text FROM unnest(v_function.proargtypes) WITH ORDINALITY AS u (t, n) ORDER BY n);
    FOR v_places IN
        -- The first arguments, and those without a default with one or two of the others.
        SELECT ARRAY(SELECT generate_series(1, k)) FROM generate_series(v_required, v_count) AS k
        UNION
        SELECT ARRAY(SELECT i FROM generate_series(1, v_count) AS i WHERE i <= v_required OR i IN (j, k))
        FROM generate_series(1, v_count) AS j, generate_series(1, v_count) AS k
        WHERE j >= k AND v_required < v_count
    LOOP
        v_some := ARRAY(SELECT v_types[i] FROM unnest(v_places) AS i);
        IF NOT array_to_string(v_some, ', ') = ANY (p_ours) THEN
            RETURN NEXT format('CREATE FUNCTION pgagent.%I(%s) RETURNS %s', v_function.proname, (
                SELECT string_agg(format('%I %s', COALESCE(v_function.proargnames[i], 'a' || i), v_types[i]), ', ')
                FROM unnest(v_places) AS i), v_result);
        END IF;
    END LOOP;
    -- All, or those without a default, one of another type; then all that can be of text.
    FOR k IN v_required .. v_count LOOP
        CONTINUE WHEN k NOT IN (v_required, v_count);
        FOR i IN 1..k LOOP
            FOR v_type IN SELECT jsonb_array_elements_text(COALESCE(v_alternatives -> v_types[i], '["text"]')) LOOP
                v_some := v_types[1:k];
                v_some[i] := v_type;
                IF NOT array_to_string(v_some, ', ') = ANY (p_ours) THEN
                    RETURN NEXT format('CREATE FUNCTION pgagent.%I(%s) RETURNS %s', v_function.proname, array_to_string(v_some, ', '), v_result);
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
    v_some := array_fill('text'::text, ARRAY[v_count]);
    IF NOT array_to_string(v_some, ', ') = ANY (p_ours) THEN
        RETURN NEXT format('CREATE FUNCTION pgagent.%I(%s) RETURNS %s', v_function.proname, array_to_string(v_some, ', '), v_result);
    END IF;
END;
$$;

CREATE FUNCTION public.plant_overloads(p_statements text[])
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    v_statement text;
    v_planted integer := 0;
BEGIN
    FOREACH v_statement IN ARRAY p_statements LOOP
        BEGIN
            EXECUTE v_statement || ' LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION $m$caught by a trap$m$; END''';
            v_planted := v_planted + 1;
        -- Rows of a table that is not there yet can't be taken by anybody's function.
        EXCEPTION WHEN duplicate_function OR invalid_function_definition OR datatype_mismatch OR undefined_object THEN
            NULL;
        END;
    END LOOP;
    RETURN v_planted;
END;
$$;
