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
