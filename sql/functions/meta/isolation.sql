-- isolation.sql: teams that share a catalogue, each with its own jobs.
--
-- What somebody may do beyond the jobs of his own roles is the right to execute one of five
-- functions that do nothing: rights that GRANT, REVOKE, \df+ and pg_dump know. PUBLIC has all
-- five, and no table has row security enabled, until isolate(): so it was in pgAgent.
--
-- The policies are always there. pg_dump does not keep those of an extension's tables, nor
-- that row security is enabled; so each installation has them, and that it was isolated is
-- a row of pga_isolation.
--
-- Privileges on the tables say what somebody may do, policies to which rows:
--   a job that is owned:   its owner's members may write it, and who may edit all
--   a job without owner:   who may use the runner's login, since that is what its steps do
--   to see a job takes one of these, or the right to see all.
-- Parts of a job go with it. An owner counts only as a pair of name and object id.

CREATE OR REPLACE FUNCTION pgagent.pga_may_use_runner_login()
RETURNS void LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION pgagent.pga_may_use_runner_login() IS
'Does nothing. The right to execute it is the right to jobs without an owner, whose steps run with the login of the runner. PUBLIC has it until isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_may_edit_all()
RETURNS void LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION pgagent.pga_may_edit_all() IS
'Does nothing. The right to execute it is the right to edit the jobs of all owners, as far as privileges on the tables go. PUBLIC has it until isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_may_see_all()
RETURNS void LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION pgagent.pga_may_see_all() IS
'Does nothing. The right to execute it is the right to see all jobs, as far as privileges on tables and views go. PUBLIC has it until isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_may_use_batch()
RETURNS void LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION pgagent.pga_may_use_batch() IS
'Does nothing. The right to execute it is the right to write batch steps, which run on the host of the runner. PUBLIC has it until isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_may_use_conninfo()
RETURNS void LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION pgagent.pga_may_use_conninfo() IS
'Does nothing. The right to execute it is the right to write steps with a connection string, which the host of the runner connects by. PUBLIC has it until isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_default_owner()
RETURNS name LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN NOT has_function_privilege('pgagent.pga_may_use_runner_login()'::regprocedure, 'EXECUTE'::text)
        THEN current_user END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_default_owner() IS
'The owner of a job that is made without saying whose it is: the current user; none if he may use the login of the runner.';

-- In a view there is (SELECT pga_sees_all()) before it: asked once, not for each row.
CREATE OR REPLACE FUNCTION pgagent.pga_sees_all()
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NOT row_security_active('pgagent.pga_job'::regclass)
           OR has_function_privilege('pgagent.pga_may_see_all()'::regprocedure, 'EXECUTE'::text);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_sees_all() IS
'Whether the current user may see all jobs: everybody may where nothing is isolated.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_edit(p_owner name, p_owner_id oid)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NOT row_security_active('pgagent.pga_job'::regclass)
           OR CASE WHEN p_owner IS NULL
              THEN has_function_privilege('pgagent.pga_may_use_runner_login()'::regprocedure, 'EXECUTE'::text)
              ELSE has_function_privilege('pgagent.pga_may_edit_all()'::regprocedure, 'EXECUTE'::text)
                   OR COALESCE(pg_get_userbyid(p_owner_id) = p_owner AND pg_has_role(p_owner_id, 'USAGE'::text), false) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_edit(name, oid) IS
'Whether policies let the current user write a job with this owner, name and object id: always where nothing is isolated. Privileges on the tables come on top.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_see(p_owner name, p_owner_id oid)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgagent.pga_sees_all() OR pgagent.pga_may_edit(p_owner, p_owner_id);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_see(name, oid) IS
'Whether policies let the current user see a job with this owner, name and object id. For views, which read the tables with the rights of the extension''s owner.';

CREATE OR REPLACE FUNCTION pgagent.pga_refuse_row(p_what text, p_owner name)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'pgagent: %', CASE
            WHEN p_what IS NOT NULL THEN format('%s is not a job of "%s", or there is none', p_what, current_user)
            WHEN p_owner IS NULL THEN format('"%s" may not have a job without an owner', current_user)
            ELSE format('"%s" may not have a job of "%s"', current_user, p_owner) END
        USING ERRCODE = 'insufficient_privilege', DETAIL = 'The catalogue is isolated. ' || CASE
            WHEN p_what IS NULL AND p_owner IS NULL
            THEN 'Steps of such a job run with the login of the runner: that takes the right to execute pgagent.pga_may_use_runner_login().'
            ELSE 'One may change jobs of the roles that one is a member of; those of others take the right to execute pgagent.pga_may_edit_all(), and those without an owner pgagent.pga_may_use_runner_login().' END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_refuse_row(text, name) IS
'For policies: raises 42501 for a row that the current user may not write, because of the job that p_what names, or if that is NULL, because of the owner that a job would have.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_pause_all()
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('pgagent.pga_job'::regclass)
       AND NOT (has_function_privilege('pgagent.pga_may_use_runner_login()'::regprocedure, 'EXECUTE'::text)
                AND has_function_privilege('pgagent.pga_may_edit_all()'::regprocedure, 'EXECUTE'::text)) THEN
        RAISE EXCEPTION 'pgagent: "%" may not pause all jobs, nor end that', current_user USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated: that takes the rights to execute pgagent.pga_may_edit_all() and pgagent.pga_may_use_runner_login(). pause_job() pauses jobs of one''s own.';
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_pause_all() IS
'True, or raises 42501 if policies do not let the current user write the pause of all jobs.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_to_write(p_job_id bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := pgagent.pga_job_name(p_job_id);
BEGIN
    IF NOT (SELECT pgagent.pga_may_edit(j.jobowner, j.jobownerid) FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id) THEN
        PERFORM pgagent.pga_refuse_row(format('"%s"', v_name), NULL::name);
    END IF;
    RETURN v_name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_to_write(bigint) IS
'The name of the job with this id, for a function that changes it. Raises 42704 if there is none that the current user sees, 42501 if policies do not let him write it: they pass over a row without a word.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_isolated()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_may_edit(OLD.jobowner, OLD.jobownerid) THEN
        PERFORM pgagent.pga_refuse_row(format('"%s"', OLD.jobname), NULL::name);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_isolated() IS
'Trigger: a job that is written through a view, with the rights of the view''s owner, is not subject to policies; if they would not let the current user write it, this refuses it with 42501.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_isolated()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pgagent.pga_job AS j
        WHERE j.jobid = OLD.jlgjobid AND pgagent.pga_may_edit(j.jobowner, j.jobownerid)
    ) THEN
        PERFORM pgagent.pga_refuse_row(format('the job of run %s', OLD.jlgid), NULL::name);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_isolated() IS
'Trigger: the same for a run.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_write_step(
    p_job_id integer, p_kind text, p_has_conninfo boolean, p_run_as name, p_run_as_id oid
)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_user CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user);
    v_owner name;
BEGIN
    IF p_kind = 'b' AND NOT has_function_privilege('pgagent.pga_may_use_batch()'::regprocedure, 'EXECUTE'::text) THEN
        RAISE EXCEPTION 'pgagent: "%" may not write batch steps', current_user USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated. Batch steps run on the host of the runner: that takes the right to execute pgagent.pga_may_use_batch().';
    ELSIF p_has_conninfo AND NOT has_function_privilege('pgagent.pga_may_use_conninfo()'::regprocedure, 'EXECUTE'::text) THEN
        RAISE EXCEPTION 'pgagent: "%" may not write steps with a connection string', current_user USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated. The host of the runner connects by it: that takes the right to execute pgagent.pga_may_use_conninfo().';
    ELSIF has_function_privilege('pgagent.pga_may_edit_all()'::regprocedure, 'EXECUTE'::text) THEN
        RETURN true;
    ELSIF p_run_as IS NOT NULL
          AND NOT COALESCE(pg_get_userbyid(p_run_as_id) = p_run_as AND pgagent.pga_may_become(v_user, p_run_as_id), false) THEN
        RAISE EXCEPTION 'pgagent: "%" may not write a step that runs as "%"', current_user, p_run_as USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated. One may write steps that run as roles that one may become by SET ROLE; others take the right to execute pgagent.pga_may_edit_all().';
    END IF;
    -- To inherit a role's rights, and so to see its jobs, is less than to be that role.
    SELECT j.jobowner INTO v_owner FROM pgagent.pga_job AS j
    WHERE j.jobid = p_job_id AND j.jobowner IS NOT NULL AND NOT pgagent.pga_may_become(v_user, j.jobownerid);
    IF FOUND THEN
        RAISE EXCEPTION 'pgagent: "%" may not write steps of a job of "%"', current_user, v_owner USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated. Steps run as the owner of the job: one has to be able to become that role by SET ROLE; others take the right to execute pgagent.pga_may_edit_all().';
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_write_step(integer, text, boolean, name, oid) IS
'For policies: true, or raises 42501 if the current user may not write a step of this kind, with a connection string, or that runs as this role or as the owner of this job, which he may see and change.';

-- The switch.

CREATE OR REPLACE FUNCTION pgagent.pga_isolated_tables()
RETURNS SETOF regclass LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(ARRAY[
        'pgagent.pga_alert', 'pgagent.pga_alertevent', 'pgagent.pga_alertstate', 'pgagent.pga_exception', 'pgagent.pga_job', 'pgagent.pga_jobaside', 'pgagent.pga_jobchange', 'pgagent.pga_joblog',
        'pgagent.pga_jobpause', 'pgagent.pga_jobrequest', 'pgagent.pga_jobsilence', 'pgagent.pga_jobskip', 'pgagent.pga_jobstep', 'pgagent.pga_jobsteplog', 'pgagent.pga_schedule'
    ]::regclass[])
$$;
COMMENT ON FUNCTION pgagent.pga_isolated_tables() IS
'The tables whose rows are somebody''s: those that have policies.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolated_views()
RETURNS SETOF regclass LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass FROM pg_class AS c
    JOIN pg_class AS j ON j.oid = 'pgagent.pga_job'::regclass AND j.relowner = c.relowner
    WHERE c.relnamespace = j.relnamespace AND c.relkind = 'v' AND EXISTS (
        SELECT FROM pg_rewrite AS w
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_proc'::regclass
        JOIN pg_proc AS p ON p.oid = d.refobjid AND p.proname = 'pga_may_see' AND p.pronamespace = c.relnamespace
        WHERE w.ev_class = c.oid
    )
    ORDER BY c.relname
$$;
COMMENT ON FUNCTION pgagent.pga_isolated_views() IS
'The views that ask pga_may_see() which rows to show. While the catalogue is isolated they are security barriers: no condition of a query is asked about a row before that.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_rights()
RETURNS SETOF regprocedure LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(ARRAY[
        'pgagent.pga_may_use_runner_login()', 'pgagent.pga_may_edit_all()', 'pgagent.pga_may_see_all()',
        'pgagent.pga_may_use_batch()', 'pgagent.pga_may_use_conninfo()'
    ]::regprocedure[])
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_rights() IS
'The functions that the right to execute is all about.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_lock(p_attempts integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    -- All or none: runners lock some of them in another order.
    FOR i IN 1..p_attempts LOOP
        BEGIN
            FOR v_table IN SELECT pgagent.pga_isolated_tables() LOOP
                EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', v_table);
            END LOOP;
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.005);
        END;
    END LOOP;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_lock(integer) IS
'Locks all tables that have policies, or none of them; returns whether it could.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_relations(p_on boolean)
RETURNS TABLE (object text, change text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation regclass;
BEGIN
    -- One after the other.
    LOCK TABLE pgagent.pga_isolation IN SHARE ROW EXCLUSIVE MODE;
    FOR v_relation IN SELECT pgagent.pga_isolated_tables() LOOP
        object := format('table %s', v_relation);
        change := format('row security %s', CASE WHEN p_on THEN 'enabled' ELSE 'disabled' END);
        IF (SELECT c.relrowsecurity FROM pg_class AS c WHERE c.oid = v_relation) = p_on THEN
            change := change || ' already';
        ELSE
            EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', v_relation, CASE WHEN p_on THEN 'ENABLE' ELSE 'DISABLE' END);
        END IF;
        RETURN NEXT;
    END LOOP;

    FOR v_relation IN SELECT pgagent.pga_isolated_views() LOOP
        object := format('view %s', v_relation);
        change := CASE WHEN p_on THEN 'a security barrier' ELSE 'no security barrier' END;
        IF (SELECT COALESCE('security_barrier=true' = ANY (c.reloptions), false) FROM pg_class AS c WHERE c.oid = v_relation) = p_on THEN
            change := change || ' already';
        ELSE
            EXECUTE format('ALTER VIEW %s %s', v_relation,
                           CASE WHEN p_on THEN 'SET (security_barrier = true)' ELSE 'RESET (security_barrier)' END);
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_relations(boolean) IS
'Enables or disables row security on the tables that have policies, and makes the views of them security barriers, or not. Returns what, and whether it was so already.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_revoke(p_on boolean)
RETURNS TABLE (object text, change text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
    v_role name;
BEGIN
    -- One after the other.
    LOCK TABLE pgagent.pga_isolation IN SHARE ROW EXCLUSIVE MODE;
    FOR v_function IN SELECT pgagent.pga_isolation_rights() LOOP
        object := format('function %s', v_function);
        change := CASE WHEN p_on THEN 'revoked from PUBLIC' ELSE 'granted to PUBLIC' END;
        IF EXISTS (
            SELECT FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE p.oid = v_function AND a.grantee = 0
        ) <> p_on THEN
            change := change || ' already';
        ELSIF p_on THEN
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
        ELSE
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', v_function);
        END IF;
        RETURN NEXT;
        -- A runner is there for all jobs. With this it can go on; as a runner it could do
        -- everything before.
        FOR v_role IN
            SELECT r.rolname FROM pg_proc AS p, aclexplode(p.proacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
            WHERE p.oid = 'pgagent.pga_agent_register(text, interval, boolean, uuid)'::regprocedure
                  AND a.grantee <> p.proowner AND a.privilege_type = 'EXECUTE'
                  AND p_on AND NOT has_function_privilege(a.grantee, v_function, 'EXECUTE')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function, v_role);
            change := format('granted to "%s", which may register as a runner', v_role);
            RETURN NEXT;
        END LOOP;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_revoke(boolean) IS
'Takes the rights of pga_isolation_rights() from PUBLIC, and grants them to whoever may register as a runner; or gives them back to PUBLIC. Returns what, and whether it was so already.';

CREATE OR REPLACE FUNCTION pgagent.isolate(isolated boolean DEFAULT true)
RETURNS TABLE (object text, change text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass);
    v_count bigint;
BEGIN
    IF isolated IS NULL THEN
        PERFORM pgagent.pga_refuse('isolate(isolated)'::text, 'is NULL'::text, 'Wanted is true or false.'::text);
    ELSIF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'pgagent: "%" may not isolate the catalogue, nor end that', current_user
            USING ERRCODE = 'insufficient_privilege', DETAIL = format('That is for the owner of its tables, "%s".', v_owner);
    END IF;
    IF NOT pgagent.pga_isolation_lock(1000) THEN
        RAISE EXCEPTION 'pgagent: the tables are locked by others' USING ERRCODE = 'lock_not_available',
            DETAIL = 'For five seconds there was none in which nobody used them. Nothing was changed.',
            HINT = 'The view pg_locks tells who uses them: try again then.';
    END IF;
    RETURN QUERY SELECT r.object, r.change FROM pgagent.pga_isolation_relations(isolated) AS r;
    RETURN QUERY SELECT r.object, r.change FROM pgagent.pga_isolation_revoke(isolated) AS r;

    object := 'pgagent.pga_isolation';
    IF isolated THEN
        INSERT INTO pgagent.pga_isolation DEFAULT VALUES ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM pgagent.pga_isolation;
    END IF;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    change := CASE WHEN isolated THEN 'isolated' ELSE 'not isolated' END || CASE v_count WHEN 0 THEN ' already' ELSE '' END;
    RETURN NEXT;

    SELECT count(*) INTO v_count FROM pgagent.pga_job AS j WHERE j.jobowner IS NULL;
    IF isolated AND v_count > 0 THEN
        object := format('%s %s without an owner', v_count, CASE v_count WHEN 1 THEN 'job' ELSE 'jobs' END);
        change := 'left to those who may execute pga_may_use_runner_login(), and to be seen by those who may see all';
        RETURN NEXT;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.isolate(boolean) IS
'Keeps those who share the catalogue apart: from now on everybody sees and changes the jobs of the roles that he is a member of. What goes beyond that are rights to execute pga_may_use_runner_login(), pga_may_edit_all(), pga_may_see_all(), pga_may_use_batch() and pga_may_use_conninfo(), which PUBLIC has no longer. Runners go on: who may register gets all five. isolate(false) takes it back: PUBLIC has all five again. Can be repeated. Returns what it did, row by row. Raises 42501 for others than the owner of the tables, 55P03 if the tables are in use all the time. Example: SELECT * FROM pgagent.isolate().';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_broken()
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_open text;
BEGIN
    IF NOT EXISTS (SELECT FROM pgagent.pga_isolation) THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) INTO v_open
    FROM pgagent.pga_isolated_tables() AS t JOIN pg_class AS c ON c.oid = t
    WHERE NOT c.relrowsecurity;
    RETURN CASE WHEN v_open IS NOT NULL THEN format(
        'the catalogue was isolated where it was dumped, and is not here: row security is not enabled on %s. No job that has an owner is started until the owner of the tables, %I, calls pgagent.isolate(), or pgagent.isolate(false)',
        v_open, (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass)) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_broken() IS
'Why no job with an owner is started, and what to do: the catalogue is isolated by pga_isolation, and row security is off, such as after a restore by a role that may not enable it. NULL if that is not so.';

CREATE OR REPLACE FUNCTION pgagent.pga_isolation_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        -- Jobs alone are restored into a catalogue that is isolated.
        RETURN CASE WHEN NOT EXISTS (SELECT FROM pgagent.pga_isolation) THEN NEW END;
    ELSIF EXISTS (SELECT FROM pgagent.pga_isolation) AND (
        SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass
    ) THEN
        -- Others who restore the same dump at once may be at work on these tables.
        IF pgagent.pga_isolation_lock(600) THEN
            PERFORM pgagent.pga_isolation_relations(true);
            PERFORM pgagent.pga_isolation_revoke(true);
        END IF;
    END IF;
    IF pgagent.pga_isolation_broken() IS NOT NULL THEN
        RAISE WARNING 'pgagent: %', pgagent.pga_isolation_broken();
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_isolation_trigger() IS
'Trigger: what was isolated where it was dumped is isolated where it is restored, if whoever restores it is the tables'' owner.';

