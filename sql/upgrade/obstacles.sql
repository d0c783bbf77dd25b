-- obstacles.sql: before an update changes anything, it names all that people have made
-- around the tables that stops it, and what will behave differently. The build writes in
-- what the versions have brought (dev/changes).

-- An event of a deferred trigger that is still pending keeps a table from being altered.
SET CONSTRAINTS ALL IMMEDIATE;

DO $$
DECLARE
    -- Not asked of pgagent_version(): it could be anybody's.
    v_before CONSTANT integer[] := string_to_array(COALESCE(
        (SELECT substring(p.prosrc FROM '[0-9]+[.][0-9.]*[0-9]') FROM pg_proc AS p
         WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname = 'pgagent_version' AND p.pronargs = 0),
        (SELECT '5.0.0' FROM pg_proc AS p
         WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname = 'pga_agent_register' LIMIT 1),
        '4.2'
    ), '.')::integer[];
    v_found text[];
BEGIN
    WITH brought AS (
        SELECT b.kind, to_regclass('pgagent.' || nullif(b.of, '')) AS of, b.name
        FROM (VALUES
@CHANGES@
        ) AS b (since, kind, of, name)
        -- From 5.0 on nobody can tell whose a view or function is, if there is no extension.
        WHERE string_to_array(COALESCE(nullif(b.since, ''), '5.0.0'), '.')::integer[] > v_before
    ), retyped AS (
        SELECT b.of, a.attnum, b.name
        FROM brought AS b JOIN pg_attribute AS a ON a.attrelid = b.of AND a.attname = b.name
        WHERE b.kind = 'type'
    ), obstacle AS (
        SELECT format('column %s of %s is yours: rename or drop it', b.name, b.of) AS text
        FROM brought AS b JOIN pg_attribute AS a ON a.attrelid = b.of AND a.attname = b.name
        WHERE b.kind = 'column' AND NOT a.attisdropped
        UNION
        SELECT format('%s is yours: rename or drop it', pg_describe_object('pg_class'::regclass, c.oid, 0))
        FROM brought AS b JOIN pg_class AS c ON c.relname = b.name AND c.relnamespace = 'pgagent'::regnamespace
        WHERE b.kind = 'relation'
        UNION
        SELECT format('function %s is yours: rename or drop it', p.oid::regprocedure)
        FROM brought AS b JOIN pg_proc AS p ON p.oid = to_regprocedure(CASE WHEN b.kind = 'function' AND NOT EXISTS (
            -- A function of rows of a table that is not there yet can't be there either.
            SELECT FROM regexp_matches(b.name, '[(, ](pgagent[.][a-z_]+)', 'g') AS t WHERE to_regtype(t[1]) IS NULL
        ) THEN b.name END)
        WHERE p.proname NOT IN (
            'pgagent_schema_version', 'pga_next_schedule', 'pga_is_leap_year',
            'pga_job_trigger', 'pga_schedule_trigger', 'pga_exception_trigger'
        )
        UNION
        SELECT format('%s uses %s, which goes: drop it',
                      pg_describe_object(d.classid, d.objid, d.objsubid), d.refobjid::regprocedure)
        FROM brought AS b
        JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass
             AND d.refobjid = to_regprocedure(CASE b.kind WHEN 'dropped' THEN b.name END)
        WHERE d.deptype = 'n'
        UNION
        -- What PostgreSQL can't bring along when the type of a column changes.
        SELECT format('%s uses %s of %s, whose type changes: drop it, and make it again after the update',
                      CASE WHEN w.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, w.ev_class, 0)
                           ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, r.name, r.of)
        FROM retyped AS r
        JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.of AND d.refobjsubid = r.attnum
        LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
        LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
        WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                            'pg_proc'::regclass, 'pg_publication_rel'::regclass)
              -- The default of another column is that of a generated one.
              OR (f.adrelid, f.adnum) <> (r.of, r.attnum)
        UNION
        SELECT format('column %s of %s holds rows of %s, which changes: drop it, and make it again after the update',
                      a.attname, c.oid::regclass, b.of)
        FROM brought AS b
        JOIN pg_class AS t ON t.oid = b.of
        JOIN pg_type AS y ON y.oid = t.reltype
        JOIN pg_attribute AS a ON a.atttypid IN (y.oid, y.typarray) AND NOT a.attisdropped
        JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'm', 'p')
        WHERE b.kind IN ('type', 'filled')
    )
    SELECT array_agg(o.text ORDER BY o.text COLLATE "C") INTO v_found FROM obstacle AS o;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: the update is stopped by % of yours, and nothing was changed',
                        CASE array_length(v_found, 1) WHEN 1 THEN 'an object' ELSE array_length(v_found, 1) || ' objects' END
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = array_to_string(v_found[:50], E'\n')
                      || CASE WHEN array_length(v_found, 1) > 50 THEN E'\n...' ELSE '' END;
    END IF;
END;
$$;

-- What is hung on the tables is called with the search_path of whoever writes them. The
-- daemon of 4.2 did that with its login's; the functions of 5 have one without users' schemas.
DO $$
DECLARE
    v_found text[];
BEGIN
    WITH hung AS (
        SELECT 'pg_trigger'::regclass AS class, t.oid, t.tgrelid AS relation FROM pg_trigger AS t WHERE NOT t.tgisinternal
        UNION ALL SELECT 'pg_constraint'::regclass, c.oid, c.conrelid FROM pg_constraint AS c
        UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid FROM pg_attrdef AS d
        UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, i.indrelid FROM pg_index AS i
        UNION ALL SELECT 'pg_policy'::regclass, p.oid, p.polrelid FROM pg_policy AS p
        UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, w.ev_class FROM pg_rewrite AS w WHERE w.rulename <> '_RETURN'
    )
    SELECT array_agg(DISTINCT format(
               'ALTER FUNCTION %s SET search_path = %s;  -- %s', p.oid::regprocedure,
               COALESCE(nullif((SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'search_path'), ''), 'pg_catalog'),
               pg_describe_object(h.class, h.oid, 0)))
    INTO v_found
    FROM hung AS h
    JOIN pg_class AS c ON c.oid = h.relation AND c.relnamespace = 'pgagent'::regnamespace
    JOIN pg_depend AS d ON d.classid = h.class AND d.objid = h.oid AND d.refclassid = 'pg_proc'::regclass
    JOIN pg_proc AS p ON p.oid = d.refobjid
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
    WHERE NOT EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE starts_with(s, 'search_path='))
          -- The functions of 4.2 are replaced by ones that have it.
          AND NOT (p.pronamespace = 'pgagent'::regnamespace AND starts_with(p.proname, 'pga_'));
    IF v_found IS NOT NULL THEN
        RAISE WARNING 'pgagent: functions without a search_path of their own are called by what is hung on the tables: %', array_length(v_found, 1)
            USING DETAIL = E'pgagent calls them with search_path = pg_catalog, pg_temp: names without a schema are not found then. If they have such names:\n'
                      || array_to_string(v_found[:50], E'\n')
                      || CASE WHEN array_length(v_found, 1) > 50 THEN E'\n...' ELSE '' END;
    END IF;
END;
$$;

