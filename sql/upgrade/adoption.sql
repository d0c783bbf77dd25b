-- adoption.sql: before what CREATE EXTENSION has not made becomes an extension's.

-- The owner of a table can have his own code called whenever it is written to.
DO $$
DECLARE
    v_found text;
BEGIN
    SELECT string_agg(format('%s of %s', c.oid::regclass, c.relowner::regrole), ', ' ORDER BY c.relname)
    INTO v_found
    FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relname LIKE 'pga_%' AND c.relkind IN ('r', 'S', 'v', 'p', 'm', 'f')
          AND NOT r.rolsuper AND r.rolname <> current_user;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: other roles own tables in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'They could have their own code called by whoever writes to them.',
                  HINT = 'Let their owner adopt them: SET ROLE.';
    END IF;
END;
$$;

