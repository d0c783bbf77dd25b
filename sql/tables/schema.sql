-- schema.sql: the ground that the rest stands on.
--
-- Everything below is resolved in pg_catalog alone: objects that somebody put into
-- another schema beforehand can't be mistaken for PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

-- CREATE EXTENSION takes a schema pgagent that is already there. Its owner could drop
-- what is in it, so a stranger's is refused; a dump brings the one it had.
DO $$
DECLARE
    v_owner oid;
BEGIN
    SELECT n.nspowner INTO v_owner FROM pg_namespace AS n WHERE n.nspname = 'pgagent';

    IF NOT EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.oid = v_owner AND (r.rolsuper OR r.rolname = current_user)
    ) AND v_owner <> (SELECT d.datdba FROM pg_database AS d WHERE d.datname = current_database())
      AND current_setting('row_security')::boolean THEN
        RAISE EXCEPTION 'schema "pgagent" belongs to another role: %', v_owner::regrole
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Its owner could drop the scheduler and every job.',
                  HINT = 'Drop the schema, or ALTER SCHEMA pgagent OWNER TO CURRENT_USER.';
    END IF;
END;
$$;

