-- owners.sql: whose a job is, as which role a step runs, and how a runner becomes that role.
-- Writes pga_run_as, and the passwords of logins that are made for nothing else.
--
-- A role is kept as a pair, its name and its object id, which counts only while the role of
-- that name has that id: a name alone may be a stranger's after the role was dropped, or
-- after a restore elsewhere; an id alone may be after a restore. Triggers write the ids.
--
-- A step that SET ROLE has turned into another role turns itself back with RESET ROLE. So a
-- runner logs in as a login that can do nothing but become that one role, with a password
-- that is good for seconds: by a ticket. docs/security.md says why that is safe.

CREATE OR REPLACE FUNCTION pgagent.pga_role_problem(p_role name, p_id oid)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = p_role);
    v_now CONSTANT name := (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = p_id);
BEGIN
    RETURN CASE
        WHEN p_role IS NULL OR v_id = p_id THEN NULL
        WHEN v_now IS NOT NULL THEN format('the role "%s" is called "%s" now', p_role, v_now)
        WHEN v_id IS NULL THEN format('there is no role "%s"', p_role)
        ELSE format('the role "%s" is not the one that was meant: it has been made since', p_role) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_role_problem(name, oid) IS
'Why this pair of name and object id does not stand for a role, in words; NULL if it does, or if there is no name.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_become(p_role oid, p_target oid)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- From 16 on a membership may be one without SET ROLE, to administer or to inherit only.
    RETURN pg_has_role(p_role, p_target,
        CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_become(oid, oid) IS
'Whether a role may become another one by SET ROLE: a superuser may always.';

CREATE OR REPLACE FUNCTION pgagent.pga_is_mighty(p_role oid)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Without memberships there is no need to look through all roles.
    RETURN CASE
        WHEN p_role IS NULL THEN false
        WHEN (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = p_role) THEN true
        WHEN EXISTS (SELECT FROM pg_auth_members AS m WHERE m.member = p_role) THEN
            EXISTS (SELECT FROM pg_roles AS r WHERE r.rolsuper AND pg_has_role(p_role, r.oid, 'MEMBER'))
        ELSE false END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_is_mighty(oid) IS
'Whether a role is a superuser, or a member of one.';

CREATE OR REPLACE FUNCTION pgagent.pga_has_right(p_role oid, p_function text)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN has_function_privilege(p_role, p_function, 'EXECUTE');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_has_right(oid, text) IS
'Whether a role may execute this function, one of those that do nothing.';

CREATE OR REPLACE FUNCTION pgagent.pga_ticket_problem(p_login oid)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner pg_roles;
BEGIN
    SELECT r.* INTO v_owner FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE p.oid = 'pgagent.pga_login_ticket(bigint, name, text)'::regprocedure;
    RETURN CASE
        WHEN v_owner.rolsuper THEN NULL
        WHEN NOT v_owner.rolcreaterole THEN
            format('"%s", the owner of pgagent.pga_login_ticket(), is neither a superuser nor has CREATEROLE, and can''t set passwords', v_owner.rolname)
        -- From 16 on CREATEROLE alone is not enough.
        WHEN current_setting('server_version_num')::integer >= 160000 AND p_login IS NOT NULL
             AND NOT pg_has_role(v_owner.oid, p_login, 'MEMBER WITH ADMIN OPTION') THEN
            format('"%s", the owner of pgagent.pga_login_ticket(), has no ADMIN OPTION on "%s"', v_owner.rolname, pg_get_userbyid(p_login))
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_ticket_problem(oid) IS
'Why no tickets can be given, here at all or for this login, in words; NULL if they can.';

CREATE OR REPLACE FUNCTION pgagent.pga_login_holders(p_login oid)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
        FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
        WHERE m.roleid = p_login AND NOT r.rolsuper
              AND (pgagent.pga_may_become(r.oid, p_login) OR pg_has_role(r.oid, p_login, 'USAGE'))
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_holders(oid) IS
'The roles, other than superusers, that were given this login, and so can be the role that steps become by it; NULL if there are none. Up to PostgreSQL 14 a session can give away its own login.';

CREATE OR REPLACE FUNCTION pgagent.pga_login_problem(p_allowed pgagent.pga_run_as)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem CONSTANT text := COALESCE(
        pgagent.pga_role_problem(p_allowed.rasrole, p_allowed.rasroleid),
        pgagent.pga_role_problem(p_allowed.raslogin, p_allowed.rasloginid)
    );
    v_login pg_roles;
BEGIN
    IF v_problem IS NOT NULL THEN
        RETURN v_problem;
    ELSIF pgagent.pga_is_mighty(p_allowed.rasroleid) THEN
        RETURN format('"%s" is a superuser, or a member of one', p_allowed.rasrole);
    END IF;
    SELECT r.* INTO v_login FROM pg_roles AS r WHERE r.oid = p_allowed.rasloginid;
    IF NOT v_login.rolcanlogin THEN
        RETURN format('"%s" may not log in', p_allowed.raslogin);
    ELSIF p_allowed.rasby = 'login' THEN
        RETURN CASE WHEN p_allowed.rasloginid <> p_allowed.rasroleid THEN format('"%s" is not the role itself', p_allowed.raslogin) END;
    -- A password is set for this login: it must be none that is anybody's.
    ELSIF p_allowed.raslogin !~ '^pgagent_as_[0-9]+_[0-9]+$' OR v_login.rolsuper OR v_login.rolinherit OR v_login.rolcreaterole
          OR v_login.rolcreatedb OR v_login.rolreplication OR v_login.rolbypassrls THEN
        RETURN format('the login "%s" has rights of its own', p_allowed.raslogin);
    ELSIF ARRAY(SELECT DISTINCT m.roleid FROM pg_auth_members AS m WHERE m.member = p_allowed.rasloginid)
          IS DISTINCT FROM ARRAY[p_allowed.rasroleid] OR NOT pgagent.pga_may_become(p_allowed.rasloginid, p_allowed.rasroleid) THEN
        RETURN format('the login "%s" is not a member of "%s" alone', p_allowed.raslogin, p_allowed.rasrole);
    ELSIF pgagent.pga_login_holders(p_allowed.rasloginid) IS NOT NULL THEN
        RETURN format('the login "%s" was given to %s', p_allowed.raslogin, pgagent.pga_login_holders(p_allowed.rasloginid));
    END IF;
    RETURN pgagent.pga_ticket_problem(p_allowed.rasloginid);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_problem(pgagent.pga_run_as) IS
'Why a runner can''t become a role as it was allowed, in words; NULL if it can.';

CREATE OR REPLACE FUNCTION pgagent.pga_role_refusal(
    p_owner name, p_owner_id oid, p_run_as name, p_run_as_id oid,
    p_kind text, p_has_conninfo boolean, p_mode text, p_allowed pgagent.pga_run_as
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT name := COALESCE(p_run_as, p_owner);
    v_problem text;
BEGIN
    IF v_role IS NULL THEN
        RETURN NULL;
    -- Each claim asks this of each step: as a rule there is nothing to be said, which is
    -- found out at once. What this does not know for certain is looked at one by one.
    ELSIF (p_kind = 's' AND NOT p_has_conninfo AND p_mode <> 'atomic' AND p_allowed.rasrole = v_role
        AND CASE WHEN p_owner IS NULL THEN p_owner_id IS NULL
            ELSE EXISTS (SELECT FROM pg_roles AS o WHERE o.rolname = p_owner AND o.oid = p_owner_id)
                 AND (p_run_as IS NULL OR pgagent.pga_may_become(p_owner_id, p_run_as_id)) END
        AND EXISTS (
            SELECT FROM pg_roles AS r
            JOIN pg_roles AS l ON l.rolname = p_allowed.raslogin AND l.oid = p_allowed.rasloginid
            WHERE r.rolname = v_role AND r.oid = p_allowed.rasroleid
                  AND r.oid = CASE WHEN p_run_as IS NULL THEN p_owner_id ELSE p_run_as_id END
                  AND l.rolcanlogin AND CASE WHEN p_allowed.rasby = 'login' THEN l.oid = r.oid
                      ELSE p_allowed.rasby = 'ticket' AND l.rolname ~ '^pgagent_as_[0-9]+_[0-9]+$'
                           AND NOT (l.rolinherit OR l.rolcreaterole OR l.rolcreatedb OR l.rolreplication OR l.rolbypassrls)
                           AND ARRAY(SELECT DISTINCT m.roleid FROM pg_auth_members AS m WHERE m.member = l.oid) = ARRAY[r.oid]
                           AND pg_has_role(l.oid, r.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                                              THEN 'SET' ELSE 'MEMBER' END)
                           AND NOT EXISTS (SELECT FROM pg_auth_members AS h WHERE h.roleid = l.oid)
                           AND EXISTS (SELECT FROM pg_proc AS f JOIN pg_roles AS d ON d.oid = f.proowner
                                       WHERE f.oid = 'pgagent.pga_login_ticket(bigint, name, text)'::regprocedure AND d.rolsuper) END
        )
        AND NOT EXISTS (
            SELECT FROM pg_roles AS s
            WHERE s.rolsuper AND (pg_has_role(p_allowed.rasloginid, s.oid, 'MEMBER') OR pg_has_role(p_allowed.rasroleid, s.oid, 'MEMBER')
                                  OR p_owner_id <> p_allowed.rasroleid AND pg_has_role(p_owner_id, s.oid, 'MEMBER'))
        )) THEN
        RETURN NULL;
    END IF;
    v_problem := CASE WHEN p_owner IS NOT NULL THEN pgagent.pga_role_problem(p_owner, p_owner_id) END;
    IF v_problem IS NOT NULL THEN
        RETURN format('nothing of this job runs, because of its owner: %s; alter_job(..., owner => ...) sets it anew', v_problem);
    END IF;
    v_problem := CASE
        WHEN p_run_as IS NOT NULL AND pgagent.pga_role_problem(p_run_as, p_run_as_id) IS NOT NULL THEN
            format('the step does not run, for %s; write anew as whom it is to run (jstrunas)', pgagent.pga_role_problem(p_run_as, p_run_as_id))
        WHEN p_has_conninfo AND p_run_as IS NOT NULL THEN
            format('the step has a connection string, which says as whom it runs: it can''t run as "%s", too', p_run_as)
        WHEN pgagent.pga_is_mighty(p_owner_id) THEN
            format('the owner "%s" of the job is a superuser, or a member of one: nothing runs as such', p_owner)
        WHEN p_run_as IS NOT NULL AND pgagent.pga_is_mighty(p_run_as_id) THEN
            format('"%s" is a superuser, or a member of one: nothing runs as such', p_run_as)
        WHEN p_run_as IS NOT NULL AND NOT pgagent.pga_may_become(p_owner_id, p_run_as_id) THEN
            format('the owner "%s" of the job may not become "%s", as whom the step is to run', p_owner, p_run_as)
        WHEN p_kind = 'b' AND NOT pgagent.pga_has_right(COALESCE(p_owner_id, p_run_as_id), 'pgagent.pga_may_use_batch()'::text) THEN
            format('"%s" may not have batch steps: that takes the right to execute pgagent.pga_may_use_batch()', COALESCE(p_owner, p_run_as))
        WHEN p_has_conninfo AND NOT pgagent.pga_has_right(COALESCE(p_owner_id, p_run_as_id), 'pgagent.pga_may_use_conninfo()'::text) THEN
            format('"%s" may not have steps with a connection string: that takes the right to execute pgagent.pga_may_use_conninfo()', COALESCE(p_owner, p_run_as))
        WHEN p_kind = 's' AND NOT p_has_conninfo AND p_mode = 'atomic' THEN
            format('an atomic step can''t run as "%s": its transaction is the one of its log row, which the runner writes', v_role)
    END;
    IF v_problem IS NOT NULL OR p_kind <> 's' OR p_has_conninfo THEN
        RETURN v_problem;
    ELSIF p_allowed.rasrole IS DISTINCT FROM v_role THEN
        RETURN format('no step may run as "%s" yet: an administrator allows it by SELECT pgagent.allow_run_as(%L)', v_role, v_role);
    END IF;
    v_problem := pgagent.pga_login_problem(p_allowed);
    RETURN CASE WHEN v_problem IS NOT NULL THEN
        format('the runner can''t become "%s", for %s; an administrator mends that by SELECT pgagent.allow_run_as(%L)', v_role, v_problem, v_role) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_role_refusal(name, oid, name, oid, text, boolean, text, pgagent.pga_run_as) IS
'Why a step must not run, in one sentence: by the owner of its job and the role that it is to run as, each with its object id, its kind, whether it has a connection string, its mode, and the row of pga_run_as of that role, or of the owner if there is none; NULL if it may.';

-- Not a part of the statement that claims: a runner needs the right to read pga_run_as for
-- jobs of roles only.
CREATE OR REPLACE FUNCTION pgagent.pga_step_refusal(
    p_owner name, p_owner_id oid, p_run_as name, p_run_as_id oid,
    p_kind text, p_has_conninfo boolean, p_mode text
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nonnulls(p_owner, p_run_as) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN pgagent.pga_role_refusal(
        p_owner, p_owner_id, p_run_as, p_run_as_id, p_kind, p_has_conninfo, p_mode,
        (SELECT a FROM pgagent.pga_run_as AS a WHERE a.rasrole = COALESCE(p_run_as, p_owner))
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_refusal(name, oid, name, oid, text, boolean, text) IS
'What pga_role_refusal() says of a step, by what administrators have allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_step_refusal(p_job pgagent.pga_job, p_step pgagent.pga_jobstep)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_step_refusal(
        p_job.jobowner, p_job.jobownerid, p_step.jstrunas, p_step.jstrunasid,
        p_step.jstkind::text, p_step.jstconnstr <> '', p_step.jstmode
    )
$$;
COMMENT ON FUNCTION pgagent.pga_step_refusal(pgagent.pga_job, pgagent.pga_jobstep) IS
'Why a step must not run because of the owner of its job, or the role that it is to run as, in one sentence; NULL if it may.';

-- The only function with rights other than its caller's. It trusts nothing that is written
-- in tables but the names of roles: whether the login is powerless is looked up anew. And it
-- reads no table, and calls no function, whose owner could have his code called by that.
CREATE OR REPLACE FUNCTION pgagent.pga_login_ticket(
    p_run_id bigint, p_role name, p_verifier text, OUT login name, OUT rasby text
)
RETURNS record LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id integer;
    v_owner name;
    v_owner_id oid;
    v_run_as name;
    v_run_as_id oid;
    v_allowed pgagent.pga_run_as;
    v_refusal text;
    v_foreign text;
    v_setting record;
BEGIN
    -- The verifier of SCRAM, and nothing that could be taken for a password or for SQL.
    IF (p_verifier ~ '^SCRAM-SHA-256[$][1-9][0-9]{3,6}:[A-Za-z0-9+/]{16,200}={0,2}[$][A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$') IS NOT TRUE THEN
        RAISE EXCEPTION 'pgagent: the verifier of a password is wanted' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It is one of SCRAM-SHA-256, as libpq computes it.';
    END IF;

    v_foreign := (
        SELECT pg_describe_object(o.catalog, o.id, 0)
        FROM (
            SELECT 'pg_class'::regclass AS catalog, c.oid AS id, c.relowner AS owner
            FROM pg_class AS c
            WHERE c.relnamespace = 'pgagent'::regnamespace
                  AND c.relname IN ('pga_job', 'pga_jobstep', 'pga_joblog', 'pga_jobagent', 'pga_run_as')
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, p.proowner FROM pg_proc AS p WHERE p.pronamespace = 'pgagent'::regnamespace
            UNION ALL
            SELECT 'pg_namespace'::regclass, n.oid, n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'pgagent'
            UNION ALL
            SELECT 'pg_namespace'::regclass, n.oid, a.grantee FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
            WHERE n.nspname = 'pgagent' AND a.privilege_type = 'CREATE'
        ) AS o
        WHERE o.owner <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
              AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = o.owner AND r.rolsuper)
        LIMIT 1
    );
    IF v_foreign IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: no tickets while others could have their code called by them' USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Neither a superuser''s nor of "%s", the owner of pga_login_ticket(), is alone: %s.', current_user, v_foreign);
    END IF;

    -- A run that is under way, of an agent whose session belongs to the caller's login.
    SELECT j.jobid, j.jobowner, j.jobownerid INTO v_job_id, v_owner, v_owner_id
    FROM pgagent.pga_joblog AS l
    JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid AND j.jobagentid = l.jlgagentid
    JOIN pgagent.pga_jobagent AS a ON a.jagpid = l.jlgagentid
    JOIN pg_stat_get_activity(a.jagpid) AS s ON s.pid = a.jagpid
    JOIN pg_database AS d ON d.oid = s.datid AND d.datname = current_database()
    JOIN pg_roles AS r ON r.oid = s.usesysid AND r.rolname = session_user
    WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r' AND a.jagunarmed IS NULL
          AND COALESCE(s.backend_start = a.jagbackendstart, true);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: run % is not under way with an agent of "%"', p_run_id, session_user
            USING ERRCODE = 'PGA01', DETAIL = 'A ticket is for a step of a run that the caller executes.';
    END IF;
    SELECT t.jstrunas, t.jstrunasid INTO v_run_as, v_run_as_id
    FROM pgagent.pga_jobstep AS t
    WHERE t.jstjobid = v_job_id AND COALESCE(t.jstrunas, v_owner) = p_role
    ORDER BY t.jstrunas IS NOT NULL, pgagent.pga_role_problem(t.jstrunas, t.jstrunasid) IS NOT NULL LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: no step of run % runs as "%"', p_run_id, p_role USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Steps of job %s run as the role that they name, or its owner.', v_job_id);
    END IF;

    -- The lock lets two runners give a login its password one after the other.
    SELECT a.* INTO v_allowed FROM pgagent.pga_run_as AS a WHERE a.rasrole = p_role FOR NO KEY UPDATE;
    v_refusal := pgagent.pga_role_refusal(v_owner, v_owner_id, v_run_as, v_run_as_id, 's'::text, false, 'single'::text, v_allowed);
    IF v_refusal IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: %', v_refusal USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('It is about run %s of job %s.', p_run_id, v_job_id);
    END IF;
    login := v_allowed.raslogin;
    rasby := v_allowed.rasby;
    IF v_allowed.rasby = 'ticket' THEN
        -- What a step has set for its login is not for those of others who become the same role.
        FOR v_setting IN
            SELECT d.datname FROM pg_db_role_setting AS s LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
            WHERE s.setrole = v_allowed.rasloginid
        LOOP
            EXECUTE format('ALTER ROLE %I %s RESET ALL', login,
                           CASE WHEN v_setting.datname IS NOT NULL THEN format('IN DATABASE %I', v_setting.datname) END);
        END LOOP;
        EXECUTE format('ALTER ROLE %I PASSWORD %L VALID UNTIL %L', login, p_verifier,
                       to_char((clock_timestamp() + interval '30 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00');
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_ticket(bigint, name, text) IS
'How a runner becomes the role p_role for a step of the run p_run_id, which an agent of its login executes: the login, and by what means. By "ticket": the login has the password now that p_verifier, of SCRAM-SHA-256, is of, for 30 seconds; by "login": the runner has means of its own. Acts with the rights of the owner of this function; not for PUBLIC. Raises 22023 for another verifier, PGA01 unless the run is under way and the caller''s, 42501 if no step of its job runs as this role, or why it must not.';

-- Triggers: they complete the pairs. Nobody is made to run as what he could not become
-- himself.

CREATE OR REPLACE FUNCTION pgagent.pga_role_id(p_where text, p_role name, p_old_role name, p_old_id oid)
RETURNS oid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = p_role);
    v_user CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user);
    v_table CONSTANT pg_class := (SELECT c FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass);
BEGIN
    IF p_role IS NULL OR p_role = p_old_role AND v_id = p_old_id
       -- Anybody can make the settings of a restore, but only he who owns the rows loads them.
       OR pgagent.pga_restoring() AND pgagent.pga_may_become(v_user, v_table.relowner) THEN
        RETURN v_id;
    ELSIF v_id IS NULL THEN
        RAISE EXCEPTION 'pgagent: %: there is no role "%"', p_where, p_role USING ERRCODE = 'undefined_object',
            DETAIL = 'The name of a role of this server is wanted, in the case that it has.';
    ELSIF pgagent.pga_is_mighty(v_id) THEN
        PERFORM pgagent.pga_refuse(p_where, format('"%s" is a superuser, or a member of one', p_role),
            'As such nothing runs; without an owner and a role to run as, steps run with the login of the runner.'::text);
    ELSIF NOT pgagent.pga_may_become(v_user, v_id)
          AND NOT (v_table.relrowsecurity AND pgagent.pga_has_right(v_user, 'pgagent.pga_may_edit_all()'::text)) THEN
        RAISE EXCEPTION 'pgagent: %: "%" is no member of "%"', p_where, current_user, p_role
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Steps can run as roles that one may become by SET ROLE.';
    END IF;
    RETURN v_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_role_id(text, name, name, oid) IS
'The object id that goes with a role that is written into p_where, in the place of the pair p_old_role and p_old_id. Raises 42704 if there is no such role, 22023 if it is a superuser, 42501 if the current user may not become it. While the owner of the tables restores a dump nothing is raised, and it is NULL for a role that is missing.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_own()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.jobownerid := pgagent.pga_role_id('pga_job.jobowner'::text, NEW.jobowner, OLD.jobowner, OLD.jobownerid);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_own() IS
'Trigger: completes the owner of a job by the object id, and refuses a role that the current user may not become. Raises what pga_role_id() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_run_as()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.jstrunasid := pgagent.pga_role_id('pga_jobstep.jstrunas'::text, NEW.jstrunas, OLD.jstrunas, OLD.jstrunasid);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_run_as() IS
'Trigger: completes the role of a step by the object id, and refuses one that the current user may not become. Raises what pga_role_id() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_as_complete()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.rasroleid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.rasrole);
    NEW.rasloginid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.raslogin);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_as_complete() IS
'Trigger: completes role and login by their object ids, NULL for what is missing.';

-- Before pga_job_trigger and pga_jobstep_check, by their names. A runner writes none of
-- these columns.
DROP TRIGGER IF EXISTS pga_job_own ON pgagent.pga_job;
CREATE TRIGGER pga_job_own BEFORE INSERT OR UPDATE OF jobowner, jobownerid ON pgagent.pga_job
    FOR EACH ROW WHEN (num_nonnulls(NEW.jobowner, NEW.jobownerid) > 0) EXECUTE FUNCTION pgagent.pga_job_own();
COMMENT ON TRIGGER pga_job_own ON pgagent.pga_job IS 'Completes the owner by the object id.';

DROP TRIGGER IF EXISTS pga_jobstep_as ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_as BEFORE INSERT OR UPDATE OF jstrunas, jstrunasid ON pgagent.pga_jobstep
    FOR EACH ROW WHEN (num_nonnulls(NEW.jstrunas, NEW.jstrunasid) > 0) EXECUTE FUNCTION pgagent.pga_jobstep_run_as();
COMMENT ON TRIGGER pga_jobstep_as ON pgagent.pga_jobstep IS 'Completes the role by the object id.';

DROP TRIGGER IF EXISTS pga_run_as_complete ON pgagent.pga_run_as;
CREATE TRIGGER pga_run_as_complete BEFORE INSERT OR UPDATE OF rasrole, rasroleid, raslogin, rasloginid ON pgagent.pga_run_as
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_run_as_complete();
COMMENT ON TRIGGER pga_run_as_complete ON pgagent.pga_run_as IS 'Completes role and login by their object ids.';
