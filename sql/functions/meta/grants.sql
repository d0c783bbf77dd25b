-- grants.sql: who may call what.
--
-- Anybody may ask what a schedule means, and define jobs as far as they may write the
-- tables: functions and triggers act with the rights of their caller. Functions that move
-- jobs from state to state are for the owner, and those who are granted them by a level of
-- access: pga_access_rules() tells them by their names, and so any new one. The functions
-- pga_may_...() are PUBLIC's until isolate(). To fire a trigger takes no privilege, to
-- create one does.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    -- Only where PUBLIC has it: after a REVOKE in an extension's script pg_dump takes the
    -- function's privileges for the extension's own, and leaves out what users granted.
    FOR v_function IN
        SELECT o.object_id
        FROM pgagent.pga_access_objects() AS o
        JOIN pg_proc AS p ON o.kind = 'FUNCTION' AND p.oid = o.object_id
        WHERE p.prorettype = 'trigger'::regtype OR EXISTS (
            SELECT FROM pgagent.pga_access_rules() AS r
            WHERE r.kind = 'FUNCTION' AND r.names NOT LIKE 'pga~_may~_%' ESCAPE '~' AND p.proname ~ format('^(%s)$', r.names)
        )
    LOOP
        IF EXISTS (
            SELECT FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE p.oid = v_function AND a.grantee = 0
        ) THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        END IF;
    END LOOP;
    -- Whoever holds a level goes on after an update, which brings what nobody could be
    -- granted before.
    IF EXISTS (SELECT FROM pgagent.pga_access_renewal()) THEN
        SET CONSTRAINTS pgagent.pga_access_trigger DEFERRED;
        INSERT INTO pgagent.pga_access (accversion) VALUES (pgagent.pgagent_version());
    END IF;
END;
$$;

