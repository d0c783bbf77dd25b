-- run_as.sql: as which roles steps may run. An administrator says so, who may make roles, and
-- give membership in the one that it is about.

CREATE OR REPLACE FUNCTION pgagent.pga_login_clear(p_login name)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = p_login);
    v_holder name;
    v_strangers text;
    v_refusal text;
BEGIN
    IF v_id IS NULL THEN
        RETURN;
    ELSIF EXISTS (SELECT FROM pgagent.pga_run_as AS a WHERE a.raslogin = p_login AND a.rasloginid = v_id) THEN
        -- Ours: it is taken from those to whom a step has given it.
        FOR v_holder IN
            SELECT r.rolname FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
            WHERE m.roleid = v_id AND NOT r.rolsuper
                  AND (pgagent.pga_may_become(r.oid, v_id) OR pg_has_role(r.oid, v_id, 'USAGE'))
        LOOP
            EXECUTE format('REVOKE %I FROM %I', p_login, v_holder);
        END LOOP;
        RETURN;
    END IF;

    -- Anybody who may make roles could have made it, to know its password, to have a session
    -- of it, or to be a member of it when it is made a member of the role.
    BEGIN
        EXECUTE format('DROP ROLE %I', p_login);
        RETURN;
    EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use THEN
        v_refusal := SQLERRM;
    END;
    -- What disallow_run_as() could not drop is nobody's.
    SELECT string_agg(quote_ident(r.rolname), ', ') INTO v_strangers
    FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
    WHERE m.roleid = v_id AND NOT r.rolsuper AND r.rolname <> current_user AND r.oid <> (
        SELECT p.proowner FROM pg_proc AS p WHERE p.oid = 'pgagent.pga_login_ticket(bigint, name, text)'::regprocedure
    );
    IF v_strangers IS NOT NULL OR (SELECT r.rolcanlogin FROM pg_roles AS r WHERE r.oid = v_id)
       OR EXISTS (SELECT FROM pg_stat_activity AS s WHERE s.usesysid = v_id) THEN
        RAISE EXCEPTION 'pgagent: allow_run_as(by): the role "%" is there, and was not made by allow_run_as()', p_login
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Steps become a role by this login, which must be nobody else''s%s. It can''t be dropped: %s.',
                                  COALESCE(', and is in the hands of ' || v_strangers, ''), v_refusal),
                  HINT = format('Find out who has made it and why; then DROP OWNED BY %1$I, DROP ROLE %1$I.', p_login);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_clear(name) IS
'Sees to it that a login by which steps are to become a role is nobody else''s: drops a role of this name that allow_run_as() has not made, and takes one that it has made from those to whom a step has given it. Raises 55000 if somebody else''s can''t be dropped.';

CREATE OR REPLACE FUNCTION pgagent.pga_login_make(p_role name, p_role_id oid)
RETURNS name LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_login CONSTANT name := format('pgagent_as_%s_%s', p_role_id,
        (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))::name;
    v_is_16 CONSTANT boolean := current_setting('server_version_num')::integer >= 160000;
    v_problem CONSTANT text := pgagent.pga_ticket_problem(NULL::oid);
    v_owner pg_roles;
    v_setting record;
BEGIN
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: allow_run_as(by): there are no tickets here' USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('For %s. Without tickets a role logs in itself: allow_run_as(%L, by => ''login'').', v_problem, p_role);
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = current_user AND (r.rolsuper OR r.rolcreaterole)) THEN
        RAISE EXCEPTION 'pgagent: allow_run_as(by): "%" may not make a login', current_user USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'That takes CREATEROLE, and the right to grant the role.';
    END IF;
    IF v_is_16 THEN
        -- Whoever makes it is to be no member of it.
        PERFORM set_config('createrole_self_grant'::text, ''::text, true);
    END IF;
    PERFORM pgagent.pga_login_clear(v_login);
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = v_login) THEN
        EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', v_login);
    ELSE
        EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT PASSWORD NULL', v_login);
        -- What steps have set for it, which could hinder later ones.
        FOR v_setting IN
            SELECT d.datname FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole AND r.rolname = v_login
            LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
        LOOP
            EXECUTE format('ALTER ROLE %I %s RESET ALL', v_login, CASE WHEN v_setting.datname IS NOT NULL THEN format('IN DATABASE %I', v_setting.datname) END);
        END LOOP;
    END IF;
    IF NOT pgagent.pga_may_become((SELECT r.oid FROM pg_roles AS r WHERE r.rolname = v_login), p_role_id) THEN
        EXECUTE format('GRANT %I TO %I %s', p_role, v_login, CASE WHEN v_is_16 THEN 'WITH INHERIT FALSE, SET TRUE' ELSE '' END);
    END IF;
    SELECT r.* INTO v_owner FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE p.oid = 'pgagent.pga_login_ticket(bigint, name, text)'::regprocedure;
    IF v_is_16 AND NOT v_owner.rolsuper
       AND NOT pg_has_role(v_owner.rolname, v_login, 'MEMBER WITH ADMIN OPTION') THEN
        EXECUTE format('GRANT %I TO %I %s', v_login, v_owner.rolname, 'WITH ADMIN TRUE, INHERIT FALSE, SET FALSE');
    END IF;
    EXECUTE format('COMMENT ON ROLE %I IS %L', v_login,
                   format('pgagent: by this login steps of jobs in database "%s" become "%s"', current_database(), p_role));
    RETURN v_login;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_make(name, oid) IS
'Makes the login by which steps in this database become this role, and which can do nothing else; mends it if it is there. Returns its name. Raises 42501 if tickets can''t be given here, or the current user may not make it, 55000 if there is one that is somebody else''s.';

CREATE OR REPLACE FUNCTION pgagent.pga_login_drop(p_login name, p_id oid)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pid integer;
    v_left integer[];
    v_detail text;
BEGIN
    -- Never a role that somebody else has made, nor the login of a database of which this is
    -- a copy.
    IF p_login !~ '^pgagent_as_[0-9]+_[0-9]+$' OR pgagent.pga_role_problem(p_login, p_id) IS NOT NULL OR EXISTS (
        SELECT FROM pg_database AS d
        WHERE d.oid::text = substring(p_login FROM '[0-9]+$') AND d.datname <> current_database()
    ) THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', p_login);
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'pgagent: the login "%" stays as it is', p_login
            USING DETAIL = format('%s. It is of no use to runners any more.', SQLERRM);
        RETURN;
    END;
    FOR v_pid IN SELECT s.pid FROM pg_stat_activity AS s WHERE s.usesysid = p_id LOOP
        BEGIN
            PERFORM pg_terminate_backend(v_pid);
        EXCEPTION WHEN insufficient_privilege THEN
            v_left := v_left || v_pid;
        END;
    END LOOP;
    IF v_left IS NOT NULL THEN
        RAISE WARNING 'pgagent: sessions of the login "%" go on', p_login
            USING DETAIL = format('"%s" may not end them; their process ids are %s.', current_user, array_to_string(v_left, ', '));
    END IF;
    BEGIN
        EXECUTE format('DROP ROLE %I', p_login);
    EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use THEN
        GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
        RAISE WARNING 'pgagent: the login "%" stays, and can''t log in any more', p_login
            USING DETAIL = concat_ws(E'\n', SQLERRM, nullif(v_detail, '')),
                  HINT = format('DROP OWNED BY %I in each database that is named, then DROP ROLE %I.', p_login, p_login);
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_login_drop(name, oid) IS
'Ends the sessions of a login that pga_login_make() has made, and drops it; with a WARNING where that can''t be done. Any other role is left alone, and so is a login that was made for another database.';

CREATE OR REPLACE FUNCTION pgagent.allow_run_as(role text, by text DEFAULT 'ticket')
RETURNS name LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_by CONSTANT text := lower(allow_run_as.by);
    v_role pg_roles;
    v_before pgagent.pga_run_as;
    v_after pgagent.pga_run_as;
    v_problem text;
BEGIN
    IF v_by IS NULL OR v_by NOT IN ('ticket', 'login') THEN
        PERFORM pgagent.pga_refuse('allow_run_as(by)'::text, format('"%s" is not known', allow_run_as.by), 'Known are ticket and login.'::text);
    END IF;
    SELECT r.* INTO v_role FROM pg_roles AS r WHERE r.rolname::text = allow_run_as.role;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: allow_run_as(role): there is no role "%"', allow_run_as.role USING ERRCODE = 'undefined_object',
            DETAIL = 'The name of a role of this server is wanted, in the case that it has.';
    ELSIF pgagent.pga_is_mighty(v_role.oid) THEN
        PERFORM pgagent.pga_refuse('allow_run_as(role)'::text, format('"%s" is a superuser, or a member of one', v_role.rolname),
            'Whoever may write its jobs could do anything.'::text);
    ELSIF v_role.rolname ~ '^pgagent_as_' THEN
        PERFORM pgagent.pga_refuse('allow_run_as(role)'::text, format('"%s" is a login of pgagent', v_role.rolname),
            'Wanted is the role that steps become by it.'::text);
    ELSIF v_by = 'login' AND NOT v_role.rolcanlogin THEN
        PERFORM pgagent.pga_refuse('allow_run_as(by)'::text, format('"%s" may not log in', v_role.rolname),
            'ALTER ROLE ... LOGIN lets it, or ticket is wanted.'::text);
    END IF;

    SELECT a.* INTO v_before FROM pgagent.pga_run_as AS a WHERE a.rasrole = v_role.rolname FOR UPDATE;
    INSERT INTO pgagent.pga_run_as AS a (rasrole, rasby, raslogin)
    VALUES (v_role.rolname, v_by, CASE v_by WHEN 'login' THEN v_role.rolname ELSE pgagent.pga_login_make(v_role.rolname, v_role.oid) END)
    ON CONFLICT (rasrole) DO UPDATE
    SET rasby = EXCLUDED.rasby, raslogin = EXCLUDED.raslogin, rasallowedat = now(), rasallowedby = current_user
    RETURNING a.* INTO v_after;
    IF v_before.raslogin <> v_after.raslogin THEN
        PERFORM pgagent.pga_login_drop(v_before.raslogin, v_before.rasloginid);
    END IF;
    v_problem := pgagent.pga_login_problem(v_after);
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: allow_run_as(role): no runner could become "%"', v_role.rolname
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('For %s.', v_problem);
    END IF;
    RETURN v_after.raslogin;
END;
$$;
COMMENT ON FUNCTION pgagent.allow_run_as(text, text) IS
'Lets steps run as this role: those of jobs that it owns, and those that are to run as it. by: ticket (through a login that is made for this, can do nothing but become the role, and has a password for seconds only when a step needs it) or login (the role logs in itself: the runner has means to, such as a certificate, a line of .pgpass, or a map of pg_ident.conf). Called again it changes that, and mends what is amiss. Returns the login. For those who may write pga_run_as; ticket takes CREATEROLE and the right to grant the role as well. Raises 42704 if there is no such role, 22023 if it is a superuser or by is not known, 42501 if that is not permitted, 55000 if no runner could become the role. Example: SELECT pgagent.allow_run_as(''reporting'').';

CREATE OR REPLACE FUNCTION pgagent.disallow_run_as(role text)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row pgagent.pga_run_as;
BEGIN
    DELETE FROM pgagent.pga_run_as AS a WHERE a.rasrole::text = disallow_run_as.role RETURNING a.* INTO v_row;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: disallow_run_as(role): no step may run as "%" anyway', disallow_run_as.role USING ERRCODE = 'undefined_object',
            DETAIL = 'The view pgagent.run_as_roles lists the roles as which steps may run.';
    END IF;
    IF v_row.rasby = 'ticket' THEN
        PERFORM pgagent.pga_login_drop(v_row.raslogin, v_row.rasloginid);
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.disallow_run_as(text) IS
'Takes back what allow_run_as() has allowed: steps that are to run as this role, which may be gone by now, fail from now on. Ends the sessions of the login that was made for it, and drops that, with a WARNING where it can''t. Returns true. Raises 42704 if steps may not run as this role. Example: SELECT pgagent.disallow_run_as(''reporting'').';

CREATE OR REPLACE VIEW pgagent.run_as_roles AS
SELECT a.rasrole AS role, a.rasby AS by, a.raslogin AS login, a.rasallowedat AS allowed_at,
       a.rasallowedby AS allowed_by, pgagent.pga_login_problem(a) AS problem
FROM pgagent.pga_run_as AS a;
COMMENT ON VIEW pgagent.run_as_roles IS
'The roles as which steps may run: by which means and login a runner becomes them, since when, who has allowed it, and what is in the way, NULL for nothing. Example: SELECT role, by, problem FROM pgagent.run_as_roles.';
