-- plain--adopted.sql: make what `pgagent init` has created members of the extension. The
-- build writes in the version, and the names of what is ours: what people have put into
-- the schema beside it stays theirs.

SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    v_version CONSTANT text := (
        SELECT substring(p.prosrc FROM '[0-9]+[.][0-9.]+') FROM pg_proc AS p
        WHERE p.oid = to_regprocedure('pgagent.pgagent_version()')
    );
    v_object record;
BEGIN
    IF v_version IS DISTINCT FROM '@VERSION@' THEN
        RAISE EXCEPTION 'the schema "pgagent" is of version %, this extension is %', COALESCE(v_version, 'unknown'), '@VERSION@'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Only a catalogue of the same version becomes the extension; `pgagent update` brings it there.';
    END IF;
    FOR v_object IN
        SELECT CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE 'SEQUENCE' END AS kind,
               c.oid::regclass::text AS name
        FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace AND (
            c.relkind IN ('r', 'v') AND c.relname = ANY ('{@RELATIONS@}'::name[])
            OR c.relkind = 'S' AND EXISTS (
                SELECT FROM pg_depend AS d JOIN pg_class AS t ON t.oid = d.refobjid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
                      AND t.relnamespace = c.relnamespace AND t.relname = ANY ('{@RELATIONS@}'::name[])
            )
        )
        UNION ALL
        SELECT 'DOMAIN', t.oid::regtype::text
        FROM pg_type AS t
        WHERE t.typnamespace = 'pgagent'::regnamespace AND t.typtype = 'd' AND t.typname = ANY ('{@DOMAINS@}'::name[])
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname = ANY ('{@FUNCTIONS@}'::name[])
    LOOP
        EXECUTE format('ALTER EXTENSION pgagent ADD %s %s', v_object.kind, v_object.name);
    END LOOP;
END;
$$;

