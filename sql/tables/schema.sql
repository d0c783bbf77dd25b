-- schema.sql: the ground that the rest stands on.
--
-- Everything below is resolved in pg_catalog alone: objects that somebody put into
-- another schema beforehand can't be mistaken for PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

-- CREATE EXTENSION takes a schema pgagent that is already there. Whoever owns it could
-- drop the scheduler; whatever is in it, or is put into it, could be called in place of
-- what is meant. So all of that is refused, even from the owner of the database.
--
-- pg_dump brings a schema, without grants, that belongs to whom it belonged to where it was
-- dumped, and is empty but for what other extensions have in it: that was put there when
-- this one was, and is tolerated as far as it is a superuser's. Its scripts begin with two settings; only what this very session
-- has set counts, for others can prescribe settings to a database or a role. (Within an
-- extension's script check_function_bodies is off in any case.)
DO $$
DECLARE
    v_schema pg_namespace;
    v_found text;
    v_restoring boolean;
BEGIN
    SELECT n.* INTO v_schema FROM pg_namespace AS n WHERE n.nspname = 'pgagent';

    SELECT count(*) = 2 INTO v_restoring FROM pg_settings AS s
    WHERE s.name IN ('row_security', 'check_function_bodies') AND s.setting = 'off' AND s.source = 'session';

    SELECT string_agg(f.object, ', ' ORDER BY f.object) INTO v_found FROM (
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS object
        FROM pg_depend AS d
        WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = v_schema.oid
              AND NOT EXISTS (SELECT FROM pg_extension AS e
                              WHERE d.classid = 'pg_extension'::regclass AND e.oid = d.objid
                                    AND (e.extname = 'pgagent' OR v_restoring))
              AND NOT (v_restoring AND EXISTS (
                  SELECT FROM pg_depend AS m
                  WHERE m.classid = d.classid AND m.objid = d.objid AND m.deptype = 'e'
              ) AND NOT EXISTS (
                  -- Of the superuser who has made the server nothing is noted.
                  SELECT FROM pg_shdepend AS o
                  WHERE o.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
                        AND o.classid = d.classid AND o.objid = d.objid AND o.deptype = 'o'
                        AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = o.refobjid AND r.rolsuper)
              ))
        LIMIT 5
    ) AS f;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: schema "pgagent" is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It holds %s. What is in it could be called in place of the extension''s own.', v_found),
                  HINT = 'Look at what it holds; DROP SCHEMA pgagent CASCADE if that is of no value, and let CREATE EXTENSION make it.';
    END IF;

    IF NOT v_restoring AND NOT EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.oid = v_schema.nspowner AND (r.rolsuper OR r.rolname = current_user)
    ) THEN
        RAISE EXCEPTION 'pgagent: schema "pgagent" belongs to another role: %', v_schema.nspowner::regrole
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Its owner could drop the scheduler and every job, and put functions into it that are called in place of the extension''s own.',
                  HINT = 'DROP SCHEMA pgagent, and let CREATE EXTENSION make it.';
    END IF;

    SELECT string_agg(g.name, ', ' ORDER BY g.name) INTO v_found FROM (
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name
        FROM aclexplode(v_schema.nspacl) AS a
        WHERE a.privilege_type = 'CREATE' AND a.grantee <> v_schema.nspowner
              AND NOT EXISTS (SELECT FROM pg_roles AS r
                              WHERE r.oid = a.grantee AND (r.rolsuper OR r.rolname = current_user))
    ) AS g;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: others may create objects in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'What they put into it could be called in place of the extension''s own.',
                  HINT = 'DROP SCHEMA pgagent, and let CREATE EXTENSION make it; or REVOKE CREATE ON SCHEMA pgagent from them.';
    END IF;
END;
$$;

COMMENT ON SCHEMA pgagent IS 'pgAgent job scheduler';

-- What tells arguments that only we have from those of pg_cron's functions of the same name:
-- see api/pg_cron.sql.
CREATE DOMAIN pgagent.pga_text AS text;
CREATE DOMAIN pgagent.pga_boolean AS boolean;
CREATE DOMAIN pgagent.pga_bigint AS bigint;
COMMENT ON DOMAIN pgagent.pga_text IS 'Text, for arguments: a function that takes text itself comes first.';
COMMENT ON DOMAIN pgagent.pga_boolean IS 'The same of boolean.';
COMMENT ON DOMAIN pgagent.pga_bigint IS 'The same of bigint.';
