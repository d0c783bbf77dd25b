-- Upgrades the extension pgagent. Built from sql/ by `make`; do not edit.
\echo Use "ALTER EXTENSION pgagent UPDATE" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

-- A function of somebody else in the schema could be called in place of one of ours.
DO $$
DECLARE
    v_found text;
BEGIN
    SELECT string_agg(format('%s of %s', p.oid::regprocedure, p.proowner::regrole), ', ' ORDER BY p.oid)
    INTO v_found
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgagent'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend AS d
                          WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
          AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = p.proowner AND r.rolsuper)
          AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgagent' AND e.extowner = p.proowner);
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: functions of other roles are in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'They could be called in place of the extension''s own.',
                  HINT = 'Look at them, and drop them or ALTER FUNCTION ... SET SCHEMA.';
    END IF;
END;
$$;

