-- access.sql: who may do what. A level is a list of grants, and all lists are one table of
-- data, pga_access_rules(). Whoever holds a level is known by one right that nothing else
-- needs, EXECUTE on a function pgagent.pga_level_...(), or for a runner the right to
-- register: PostgreSQL and pg_dump keep that, also through DROP ROLE and ALTER ROLE ... RENAME.

CREATE OR REPLACE FUNCTION pgagent.pga_level_reader()
RETURNS void LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS '';
COMMENT ON FUNCTION pgagent.pga_level_reader() IS
'Does nothing: whoever was granted EXECUTE on it, other than PUBLIC, holds the level reader.';

CREATE OR REPLACE FUNCTION pgagent.pga_level_operator()
RETURNS void LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS '';
COMMENT ON FUNCTION pgagent.pga_level_operator() IS
'Does nothing: whoever was granted EXECUTE on it, other than PUBLIC, holds the level operator.';

CREATE OR REPLACE FUNCTION pgagent.pga_level_editor()
RETURNS void LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS '';
COMMENT ON FUNCTION pgagent.pga_level_editor() IS
'Does nothing: whoever was granted EXECUTE on it, other than PUBLIC, holds the level editor.';

CREATE OR REPLACE FUNCTION pgagent.pga_level_admin()
RETURNS void LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS '';
COMMENT ON FUNCTION pgagent.pga_level_admin() IS
'Does nothing: whoever was granted EXECUTE on it, other than PUBLIC, holds the level admin.';

-- The data: for which levels, what, on which objects. Names are a regular expression;
-- columns are those that count, or after a minus those that don't, or all if there are none.
CREATE OR REPLACE FUNCTION pgagent.pga_access_rules()
RETURNS TABLE (levels text, privileges text, kind text, names text, columns text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
    -- To look.
    ('reader operator editor admin runner'::text, 'USAGE'::text, 'SCHEMA'::text, 'pgagent'::text, ''::text),
    ('reader operator editor admin runner', 'SELECT', 'VIEW', '.*', ''),
    ('reader operator editor admin runner', 'SELECT', 'TABLE', '(?!pga_jobstep$|pga_access$).*', ''),
    ('reader operator', 'SELECT', 'TABLE', 'pga_jobstep', '- jstconnstr'),
    ('editor admin runner', 'SELECT', 'TABLE', 'pga_jobstep', ''),
    -- To run and to stop.
    ('operator editor admin', 'UPDATE', 'TABLE', 'pga_job', 'jobnextrun jobrunid jobfromstep jobchanged'),
    ('operator editor admin', 'UPDATE', 'TABLE', 'pga_joblog', 'jlgcancel'),
    ('operator editor admin runner', 'INSERT DELETE', 'TABLE', 'pga_jobrequest', ''),
    ('operator editor admin', 'USAGE', 'SEQUENCE', 'pga_joblog_jlgid_seq', ''),
    ('operator editor admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_jobpause', ''),
    ('operator editor admin runner', 'INSERT', 'TABLE', 'pga_jobcaution', ''),
    ('operator editor admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_jobsilence', ''),
    -- To define jobs: nothing that frees what a runner holds, or that lets one pose as a runner.
    -- With an id, and the time of its creation, a job comes back that was deleted: see revert_job().
    ('editor admin', 'INSERT', 'TABLE', 'pga_job',
        'jobid jobcreated jobjclid jobname jobdesc jobhostagent jobenabled jobtimeout joboverlap jobmissed jobmissedlimit jobkeepfor jobkeepruns jobowner jobset joblateafter joblongafter joblongfactor jobdisableafter'),
    ('editor admin', 'UPDATE', 'TABLE', 'pga_job',
        'jobjclid jobname jobdesc jobhostagent jobenabled jobtimeout joboverlap jobmissed jobmissedlimit jobkeepfor jobkeepruns jobowner jobset joblateafter joblongafter joblongfactor jobdisableafter'),
    ('editor admin', 'DELETE', 'TABLE', 'pga_job', ''),
    ('editor admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_jobstep|pga_schedule|pga_exception', ''),
    ('editor admin', 'USAGE', 'SEQUENCE', 'pga_job_jobid_seq|pga_jobstep_jstid_seq|pga_schedule_jscid_seq|pga_exception_jexid_seq', ''),
    ('editor admin runner', 'INSERT', 'TABLE', 'pga_jobchange', ''),
    ('editor admin', 'USAGE', 'SEQUENCE', 'pga_jobchange_jchid_seq', ''),
    ('editor admin', 'INSERT UPDATE DELETE', 'VIEW', 'job', ''),
    ('editor admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_alert', ''),
    -- To look after all of it.
    ('admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_jobclass', ''),
    ('admin', 'USAGE', 'SEQUENCE', 'pga_jobclass_jclid_seq', ''),
    ('admin', 'INSERT UPDATE DELETE', 'TABLE', 'pga_run_as', ''),
    ('admin', 'DELETE', 'TABLE', 'pga_joblog', ''),
    ('admin', 'EXECUTE', 'FUNCTION', '(dis)?allow_run_as|pga_login_(make|clear|drop)', ''),
    -- To execute jobs.
    ('runner', 'INSERT UPDATE DELETE', 'TABLE', 'pga_jobagent|pga_jobsession|pga_joblog|pga_jobskip|pga_jobaside|pga_arming', ''),
    ('runner', 'INSERT UPDATE', 'TABLE', 'pga_jobsteplog', ''),
    ('runner', 'DELETE', 'TABLE', 'pga_jobchange|pga_jobpause|pga_jobcaution|pga_jobsilence', ''),
    -- Which lets it lock a class.
    ('runner', 'UPDATE', 'TABLE', 'pga_jobclass', 'jcllimit'),
    ('runner', 'UPDATE', 'TABLE', 'pga_job', 'jobagentid jobnextrun joblastrun jobchanged jobrunid jobfromstep jobdeaths jobenabled jobfailures joblastsuccess jobsucceeded jobfailed jobaborted jobempty'),
    ('runner', 'UPDATE', 'TABLE', 'pga_schedule', 'jscenabled'),
    ('runner', 'USAGE UPDATE', 'SEQUENCE', '.*', ''),
    ('runner', 'EXECUTE', 'FUNCTION',
        '(?!pga_run_note$|pga_step_refusal$)pga_(agent|run|step|log)_.*|pga_look_again|pga_seconds_until_due|pga_login_ticket'
        '|pga_job_(skip|passed|latest|make_up|after_run|set_aside|review)', ''),
    -- To tell what happens.
    ('admin runner', 'INSERT UPDATE DELETE', 'TABLE', 'pga_alertstate|pga_alertevent', ''),
    ('runner', 'UPDATE', 'TABLE', 'pga_alert', 'alttest'),
    ('admin runner', 'EXECUTE', 'FUNCTION', 'pga_alert_(?!(trigger|changed|discard)$).*', ''),
    -- Whose jobs: PUBLIC has these until isolate().
    ('reader admin runner', 'EXECUTE', 'FUNCTION', 'pga_may_see_all', ''),
    ('admin runner', 'EXECUTE', 'FUNCTION', 'pga_may_(edit_all|use_runner_login|use_batch|use_conninfo)', ''),
    -- By these a level is known.
    ('reader', 'EXECUTE', 'FUNCTION', 'pga_level_reader', ''),
    ('operator', 'EXECUTE', 'FUNCTION', 'pga_level_operator', ''),
    ('editor', 'EXECUTE', 'FUNCTION', 'pga_level_editor', ''),
    ('admin', 'EXECUTE', 'FUNCTION', 'pga_level_admin', '')
$$;
COMMENT ON FUNCTION pgagent.pga_access_rules() IS
'What each level is granted, on which objects: names is a regular expression, columns a list, after a minus a list of those that are left out. All that grants or revokes a level lives by these rows.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_objects()
RETURNS TABLE (class_id oid, object_id oid, kind text, name text, owner_id oid, acl aclitem[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'pg_namespace'::regclass::oid, n.oid, 'SCHEMA'::text, n.nspname::text, n.nspowner, n.nspacl
    FROM pg_namespace AS n WHERE n.oid = 'pgagent'::regnamespace
    UNION ALL
    SELECT o.* FROM (
        SELECT 'pg_class'::regclass::oid AS class_id, c.oid AS object_id,
               CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE 'SEQUENCE' END,
               c.relname::text, c.relowner AS owner_id, c.relacl
        FROM pg_class AS c WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'v', 'S')
        UNION ALL
        SELECT 'pg_proc'::regclass::oid, p.oid, 'FUNCTION', p.proname::text, p.proowner,
               COALESCE(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc AS p WHERE p.pronamespace = 'pgagent'::regnamespace
    ) AS o
    -- Where there is no extension, what else may be in the schema is not the owner's.
    WHERE CASE WHEN EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgagent')
        THEN EXISTS (
            SELECT FROM pg_depend AS d
            JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pgagent'
            WHERE d.classid = o.class_id AND d.objid = o.object_id
                  AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        )
        ELSE o.owner_id = (SELECT t.relowner FROM pg_class AS t WHERE t.oid = 'pgagent.pga_job'::regclass) END
$$;
COMMENT ON FUNCTION pgagent.pga_access_objects() IS
'The schema, and our tables, views, sequences and functions in it, with their privileges.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_grants(p_role_id oid, p_levels text[])
RETURNS TABLE (class_id oid, object_id oid, kind text, part smallint, part_name text, privilege text, is_held boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH wanted AS (
        SELECT DISTINCT o.class_id, o.object_id, o.kind, COALESCE(a.attnum, 0::smallint) AS part, a.attname,
               w.privilege, CASE WHEN a.attnum IS NULL THEN o.acl ELSE a.attacl END AS acl
        FROM pgagent.pga_access_rules() AS r
        CROSS JOIN LATERAL unnest(string_to_array(r.privileges, ' ')) AS w (privilege)
        JOIN pgagent.pga_access_objects() AS o ON o.kind = r.kind AND o.name ~ format('^(%s)$', r.names)
        LEFT JOIN pg_attribute AS a
            ON r.columns <> '' AND o.kind = 'TABLE' AND a.attrelid = o.object_id AND a.attnum > 0 AND NOT a.attisdropped
               AND (a.attname = ANY (string_to_array(r.columns, ' '))) = (r.columns NOT LIKE '- %')
        WHERE string_to_array(r.levels, ' ') && p_levels AND (r.columns = '' OR a.attnum IS NOT NULL)
    )
    SELECT w.class_id, w.object_id, w.kind, w.part, w.attname::text, w.privilege, EXISTS (
        SELECT FROM aclexplode(w.acl) AS g WHERE g.grantee = p_role_id AND g.privilege_type = w.privilege
    )
    FROM wanted AS w
$$;
COMMENT ON FUNCTION pgagent.pga_access_grants(oid, text[]) IS
'All that these levels together are granted, a row for each privilege on an object, or on a column of a table, and whether this role itself holds it.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_difference(
    p_role_id oid, p_levels text[], p_kept text[], p_is_held boolean
)
RETURNS SETOF text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s%s ON %s %s', a.privilege,
        COALESCE(' (' || string_agg(quote_ident(a.part_name), ', ' ORDER BY a.part) || ')', ''),
        CASE a.kind WHEN 'VIEW' THEN 'TABLE' ELSE a.kind END,
        CASE a.kind WHEN 'FUNCTION' THEN a.object_id::regprocedure::text
             WHEN 'SCHEMA' THEN 'pgagent' ELSE a.object_id::regclass::text END)
    FROM pgagent.pga_access_grants(p_role_id, p_levels) AS a
    WHERE a.is_held = p_is_held AND NOT EXISTS (
        SELECT FROM pgagent.pga_access_grants(p_role_id, p_kept) AS k
        WHERE (k.class_id, k.object_id, k.part, k.privilege) = (a.class_id, a.object_id, a.part, a.privilege)
    )
    GROUP BY a.class_id, a.object_id, a.kind, a.privilege, a.part = 0
    ORDER BY a.class_id, a.object_id, 1
$$;
COMMENT ON FUNCTION pgagent.pga_access_difference(oid, text[], text[], boolean) IS
'What the first of these levels are granted and the others are not, and this role itself holds, or does not hold: as GRANT and REVOKE name it.';

CREATE OR REPLACE VIEW pgagent.access_levels AS
SELECT pg_get_userbyid(g.grantee) AS role, m.level
FROM (VALUES ('reader'::text, 'pga_level_reader'::text), ('operator', 'pga_level_operator'), ('editor', 'pga_level_editor'),
             ('runner', 'pga_agent_register'), ('admin', 'pga_level_admin')) AS m (level, mark)
JOIN pgagent.pga_access_objects() AS o ON o.kind = 'FUNCTION' AND o.name = m.mark
CROSS JOIN LATERAL aclexplode(o.acl) AS g
WHERE g.grantee <> 0 AND g.grantee <> o.owner_id AND g.privilege_type = 'EXECUTE';
COMMENT ON VIEW pgagent.access_levels IS
'The roles that were granted a level of access. Example: SELECT role, level FROM pgagent.access_levels ORDER BY role.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_role(p_where text, p_level text, p_role text)
RETURNS oid LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT oid := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass);
    v_role CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = p_role);
BEGIN
    IF p_level IN ('reader', 'operator', 'editor', 'runner', 'admin') IS NOT TRUE THEN
        PERFORM pgagent.pga_refuse(p_where || '(level)', format('"%s" is not known', p_level),
            'Known are reader, operator, editor, runner and admin.'::text);
    ELSIF v_role IS NULL THEN
        RAISE EXCEPTION 'pgagent: %: there is no role "%"', p_where, p_role USING ERRCODE = 'undefined_object',
            DETAIL = 'The view pg_roles lists the roles of this server; CREATE ROLE makes one.';
    ELSIF v_role = v_owner THEN
        PERFORM pgagent.pga_refuse(p_where, format('"%s" owns the tables', p_role),
            'Their owner may do everything in any case.'::text);
    ELSIF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'pgagent: %: only the owner of the tables may do that: "%"', p_where, pg_get_userbyid(v_owner)
            USING ERRCODE = 'insufficient_privilege', DETAIL = 'Superusers and members of that role may, too.';
    END IF;
    RETURN v_role;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_access_role(text, text, text) IS
'The id of a role that is to be granted a level, or to lose it. Raises 22023 for a level that is not known and for the owner of the tables, 42704 if there is no such role, 42501 unless the caller is a member of the owner.';

CREATE OR REPLACE FUNCTION pgagent.grant_access(level text, to_role text)
RETURNS SETOF text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT oid := pgagent.pga_access_role('grant_access'::text, level, to_role);
    v_what text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pgagent.grant_access', 0));
    FOREACH v_what IN ARRAY ARRAY(SELECT pgagent.pga_access_difference(v_role, ARRAY[level], ARRAY[]::text[], false)) LOOP
        v_what := format('GRANT %s TO %I', v_what, to_role);
        EXECUTE v_what;
        RETURN NEXT v_what;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.grant_access(text, text) IS
'Grants a role a level of access: reader (sees jobs and runs, no connection string), operator (also starts and cancels runs, and pauses jobs), editor (also defines jobs), runner (is the login of a runner), admin (an editor whom isolate() does not restrict). Returns the statements that it has executed: none if the role has all of it already. An update grants whoever has a level what is new in it. Raises 22023 for a level that is not known, 42704 if there is no such role, 42501 unless the caller is a member of the owner of the tables. Example: SELECT pgagent.grant_access(''reader'', to_role => ''pg_monitor'').';

CREATE OR REPLACE FUNCTION pgagent.revoke_access(level text, from_role text)
RETURNS SETOF text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT oid := pgagent.pga_access_role('revoke_access'::text, level, from_role);
    v_kept CONSTANT text[] := ARRAY(
        SELECT a.level FROM pgagent.access_levels AS a
        WHERE a.role = from_role AND a.level <> revoke_access.level ORDER BY 1
    );
    v_what text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('pgagent.grant_access', 0));
    FOREACH v_what IN ARRAY ARRAY(SELECT pgagent.pga_access_difference(v_role, ARRAY[level], v_kept, true)) LOOP
        v_what := format('REVOKE %s FROM %I', v_what, from_role);
        EXECUTE v_what;
        RETURN NEXT v_what;
    END LOOP;
    -- With a right on a table go those on its columns.
    FOREACH v_what IN ARRAY ARRAY(SELECT pgagent.pga_access_difference(v_role, v_kept, ARRAY[]::text[], false)) LOOP
        v_what := format('GRANT %s TO %I', v_what, from_role);
        EXECUTE v_what;
        RETURN NEXT v_what;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.revoke_access(text, text) IS
'Takes a level of access from a role: all that the level is granted, also if the role had only a part of it or was granted it by hand, except for what its other levels (access_levels) are granted too. Rights that are in no level stay, and so do those by membership in other roles. Returns the statements that it has executed. Raises what grant_access() does. Example: SELECT pgagent.revoke_access(''reader'', from_role => ''pg_monitor'').';

-- What an update brings.

CREATE OR REPLACE FUNCTION pgagent.pga_access_followers()
RETURNS SETOF text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Tables that triggers and functions write with the rights of whoever may do the like
    -- with an older table, by grants from before there were levels: as long as nobody was
    -- granted anything on the new one. A column: a right on it will do; '': on the whole
    -- table only; NULL: on any column.
    SELECT DISTINCT format('%s ON %s pgagent.%I TO %s', f.privilege, n.kind, n.name,
                           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
    FROM (VALUES
        ('pga_jobaside'::text, 'SELECT'::text, 'pga_jobskip'::text, 'SELECT'::text, NULL::text),
        ('pga_jobaside', 'INSERT', 'pga_jobskip', 'INSERT', NULL), ('pga_jobaside', 'UPDATE', 'pga_jobskip', 'UPDATE', NULL),
        ('pga_jobaside', 'DELETE', 'pga_jobskip', 'DELETE', NULL),
        ('pga_arming', 'SELECT', 'pga_job', 'SELECT', ''), ('pga_arming', 'SELECT', 'pga_jobagent', 'INSERT', ''),
        ('pga_arming', 'INSERT', 'pga_jobagent', 'INSERT', ''), ('pga_arming', 'UPDATE', 'pga_jobagent', 'INSERT', ''),
        ('pga_arming', 'DELETE', 'pga_jobagent', 'INSERT', ''),
        ('pga_jobchange', 'SELECT', 'pga_jobstep', 'SELECT', ''), ('pga_jobchange', 'DELETE', 'pga_jobskip', 'DELETE', NULL),
        ('pga_jobchange', 'INSERT', 'pga_job|pga_jobstep|pga_schedule|pga_exception', 'INSERT|UPDATE|DELETE', NULL),
        ('pga_jobchange_jchid_seq', 'USAGE', 'pga_job|pga_jobstep|pga_schedule|pga_exception', 'INSERT|UPDATE|DELETE', NULL),
        ('pga_jobcaution', 'SELECT', 'pga_jobskip', 'SELECT', ''), ('pga_jobcaution', 'INSERT', 'pga_job', 'UPDATE', 'jobrunid'),
        ('pga_jobcaution', 'INSERT', 'pga_jobclass|pga_jobskip', 'INSERT|UPDATE', NULL),
        ('pga_jobcaution', 'DELETE', 'pga_jobskip', 'DELETE', NULL),
        ('pga_jobpause', 'SELECT', 'pga_jobskip', 'SELECT', ''), ('pga_jobpause', 'INSERT', 'pga_job', 'UPDATE', 'jobrunid'),
        ('pga_jobpause', 'UPDATE', 'pga_job', 'UPDATE', 'jobrunid'), ('pga_jobpause', 'DELETE', 'pga_jobskip', 'DELETE', NULL),
        ('pga_alert', 'SELECT', 'pga_jobskip', 'SELECT', ''), ('pga_alertstate', 'SELECT', 'pga_jobskip', 'SELECT', ''),
        ('pga_alertevent', 'SELECT', 'pga_jobskip', 'SELECT', ''), ('pga_jobsilence', 'SELECT', 'pga_jobskip', 'SELECT', ''),
        ('pga_jobsilence', 'INSERT', 'pga_job', 'UPDATE', 'jobrunid'), ('pga_jobsilence', 'UPDATE', 'pga_job', 'UPDATE', 'jobrunid'),
        ('pga_jobsilence', 'DELETE', 'pga_jobskip', 'DELETE', NULL),
        ('pga_jobrequest', 'SELECT', 'pga_jobskip', 'SELECT', ''), ('pga_jobrequest', 'SELECT', 'pga_job', 'UPDATE', 'jobrunid'),
        ('pga_jobrequest', 'INSERT', 'pga_job', 'UPDATE', 'jobrunid'), ('pga_jobrequest', 'DELETE', 'pga_job', 'UPDATE', 'jobrunid')
    ) AS f (follower, privilege, leader, led_by, led_column)
    JOIN pgagent.pga_access_objects() AS n ON n.name = f.follower AND n.kind IN ('TABLE', 'SEQUENCE')
    JOIN pgagent.pga_access_objects() AS o ON o.kind = 'TABLE' AND o.name ~ format('^(%s)$', f.leader)
    CROSS JOIN LATERAL (
        SELECT a.grantee, a.privilege_type FROM aclexplode(o.acl) AS a
        UNION
        SELECT a.grantee, a.privilege_type
        FROM pg_attribute AS c, aclexplode(c.attacl) AS a
        WHERE c.attrelid = o.object_id AND c.attname = COALESCE(f.led_column, c.attname)
    ) AS g
    WHERE g.grantee <> o.owner_id AND g.privilege_type ~ format('^(%s)$', f.led_by)
          AND NOT EXISTS (SELECT FROM aclexplode(n.acl) AS a WHERE a.grantee NOT IN (0, n.owner_id))
$$;
COMMENT ON FUNCTION pgagent.pga_access_followers() IS
'What has to be granted, after an update, to those who were granted the like by hand before it, as GRANT names it.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_renewal()
RETURNS SETOF text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_access_followers()
    UNION ALL
    SELECT format('%s TO %I', d.what, r.rolname)
    FROM (SELECT a.role, array_agg(a.level) AS levels FROM pgagent.access_levels AS a GROUP BY a.role) AS h
    JOIN pg_roles AS r ON r.rolname = h.role
    CROSS JOIN LATERAL pgagent.pga_access_difference(r.oid, h.levels, ARRAY[]::text[], false) AS d (what)
$$;
COMMENT ON FUNCTION pgagent.pga_access_renewal() IS
'What is to be granted to those who hold a level, since an update has brought it, as GRANT names it.';

CREATE OR REPLACE FUNCTION pgagent.pga_access_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT oid := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass);
    v_what text;
BEGIN
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE WARNING 'pgagent: what the update has brought is not granted to those who hold a level of access'
            USING DETAIL = format('Only "%s" may grant it: call pgagent.grant_access() again as that role.', pg_get_userbyid(v_owner));
        RETURN NULL;
    END IF;
    FOREACH v_what IN ARRAY ARRAY(SELECT pgagent.pga_access_renewal()) LOOP
        EXECUTE 'GRANT ' || v_what;
    END LOOP;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_access_trigger() IS
'Grants, at the end of a transaction with an update, what is new to those who hold a level.';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'pgagent.pga_access'::regclass AND t.tgname = 'pga_access_trigger') THEN
        CREATE CONSTRAINT TRIGGER pga_access_trigger AFTER INSERT ON pgagent.pga_access
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pgagent.pga_access_trigger();
    END IF;
END;
$$;
COMMENT ON TRIGGER pga_access_trigger ON pgagent.pga_access IS
'Deferred: what the script of an extension grants, pg_dump takes for part of the extension.';
