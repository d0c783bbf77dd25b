-- grants.sql: who may call what.
--
-- Anybody may ask what a schedule means, and define jobs as far as they may write the
-- tables: functions and triggers act with the rights of their caller. Functions that move
-- jobs from state to state are for the owner, and those who are granted them
-- (docs/security.md). These are told by their names, and so is any new one. To fire a
-- trigger takes no privilege, to create one does.
DO $$
DECLARE
    v_function regprocedure;
    v_runner name;
BEGIN
    -- Only where PUBLIC has it: after a REVOKE in an extension's script pg_dump takes the
    -- function's privileges for the extension's own, and leaves out what users granted.
    -- Where there is no extension, what else may be in the schema is not the owner's.
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgagent'::regnamespace
              AND (p.prorettype = 'trigger'::regtype
                   OR p.proname ~ '^pga_(agent|run|step|log)_' AND p.proname NOT IN ('pga_run_note', 'pga_step_refusal')
                   OR p.proname IN ('pga_look_again', 'pga_seconds_until_due', 'pga_job_skip', 'pga_job_passed',
                                    'pga_job_latest', 'pga_job_make_up', 'pga_job_after_run', 'pga_job_set_aside', 'pga_job_review',
                                    'pga_login_ticket', 'pga_login_make', 'pga_login_drop', 'allow_run_as', 'disallow_run_as'))
              AND CASE WHEN EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgagent')
                  THEN EXISTS (
                      SELECT FROM pg_depend AS d
                      JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pgagent'
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                            AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                  )
                  ELSE pg_has_role(p.proowner, 'USAGE') END
    LOOP
        IF EXISTS (
            SELECT FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE p.oid = v_function AND a.grantee = 0
        ) THEN
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        END IF;
        -- Whoever may register goes on as a runner after an update, which brings functions
        -- that nobody could be granted before.
        FOR v_runner IN
            SELECT r.rolname FROM pg_proc AS p, aclexplode(p.proacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
            WHERE p.oid = 'pgagent.pga_agent_register(text, interval, boolean, uuid)'::regprocedure
                  AND a.grantee <> p.proowner AND a.privilege_type = 'EXECUTE'
                  AND NOT has_function_privilege(a.grantee, v_function, 'EXECUTE')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function, v_runner);
        END LOOP;
    END LOOP;
END;
$$;

