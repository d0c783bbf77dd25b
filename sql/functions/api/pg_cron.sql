-- pg_cron.sql: what scripts for pg_cron read and call: its functions, by their exact
-- signatures, and its two tables, as views.
--
-- Its functions have fewer arguments than ours of the same names. Two functions that differ
-- only in arguments that have defaults can't be called: PostgreSQL can't choose between them.
-- So the larger one has its first arguments of types pga_text, pga_boolean and pga_bigint,
-- which take the same values. Where a call suits both, PostgreSQL prefers text to a domain
-- over text, and boolean to one over boolean: pg_cron's function is called, and a script
-- that was granted that one needs no other.

-- Scheduling.

CREATE OR REPLACE FUNCTION pgagent.pga_cron_schedule(
    p_job_name text, p_schedule text, p_command text, p_database text, p_timezone text, p_active boolean
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Migrations are often executed by several at once: of those the first makes the job.
    v_job_id CONSTANT bigint := pgagent.pga_job_conflict(p_job_name, 'nothing'::text);
BEGIN
    IF v_job_id IS NOT NULL THEN
        PERFORM pgagent.pga_job_alter(
            v_job_id, p_schedule, p_command, COALESCE(p_database, current_database()::text), NULL::text, p_active,
            NULL::text, NULL::text, NULL::text, NULL::text, p_timezone, NULL::interval,
            NULL::text, NULL::text, NULL::interval, NULL::interval, NULL::integer,
            NULL::interval, NULL::interval, NULL::double precision, NULL::integer, NULL::text
        );
        RETURN v_job_id;
    END IF;
    RETURN pgagent.pga_job_make(
        p_job_name, p_schedule, 'sql'::text, p_command, p_database, p_timezone, COALESCE(p_active, true)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_schedule(text, text, text, text, text, boolean) IS
'Makes a job of one SQL command, or gives the one that has this name another schedule, command and database; p_active NULL: enabled, if it is new, else as it is. Returns its id. Raises what schedule() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_unnamed(
    p_schedule text, p_command text, p_database text, p_active boolean
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id CONSTANT bigint := pgagent.pga_cron_schedule(
        format('job %s', gen_random_uuid()), p_schedule, p_command, p_database, NULL::text, p_active
    );
BEGIN
    PERFORM pgagent.pga_job_alter(
        v_job_id, NULL::text, NULL::text, NULL::text, NULL::text, NULL::boolean,
        format('job %s', v_job_id), NULL::text, NULL::text, NULL::text, NULL::text, NULL::interval,
        NULL::text, NULL::text, NULL::interval, NULL::interval, NULL::integer,
        NULL::interval, NULL::interval, NULL::double precision, NULL::integer, NULL::text
    );
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_unnamed(text, text, text, boolean) IS
'Makes a job of one SQL command, named after its id, which it returns. Raises what schedule() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_own(p_where text, p_job_id bigint, p_username text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT text := pgagent.pga_owner_given(p_where, NULL::text, p_username);
BEGIN
    UPDATE pgagent.pga_job SET jobowner = nullif(v_owner, '') WHERE jobid = p_job_id AND v_owner IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_own(text, bigint, text) IS
'Gives a job the owner that pg_cron''s username names; NULL for no change. Raises what pga_owner_given() and the trigger of pga_job do.';

CREATE OR REPLACE FUNCTION pgagent.schedule(schedule text, command text)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_cron_unnamed($1, $2, NULL::text, true) $$;
COMMENT ON FUNCTION pgagent.schedule(text, text) IS
'Makes a job of one SQL command, named after its id: "job 12". Returns the id. Raises 22023 if the schedule can''t be read, 42710 if another job has that name. Example: SELECT pgagent.schedule(''30 seconds'', ''CALL refresh()'').';

CREATE OR REPLACE FUNCTION pgagent.schedule(job_name text, schedule text, command text)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_cron_schedule($1, $2, $3, NULL::text, NULL::text, NULL::boolean) $$;
COMMENT ON FUNCTION pgagent.schedule(text, text, text) IS
'Makes a job of one SQL command in this database, or gives the one that has this name another schedule and command; whether that is active, and its exceptions, stay. Returns the job''s id. Raises 22023 if the schedule can''t be read. Example: SELECT pgagent.schedule(''nightly-vacuum'', ''30 2 * * *'', ''VACUUM'').';

CREATE OR REPLACE FUNCTION pgagent.schedule(
    job_name pgagent.pga_text, schedule pgagent.pga_text, command pgagent.pga_text,
    database text DEFAULT NULL, timezone text DEFAULT NULL, active boolean DEFAULT NULL
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_cron_schedule($1::text, $2::text, $3::text, $4, $5, $6) $$;
COMMENT ON FUNCTION pgagent.schedule(pgagent.pga_text, pgagent.pga_text, pgagent.pga_text, text, text, boolean) IS
'Does what schedule() does, with what pg_cron does not take there: the database, by default the current one, the time zone, by default that of the job''s schedule or of all schedules, and whether the job is active, by default as it is. Example: SELECT pgagent.schedule(''report'', ''0 9 * * mon'', ''CALL report()'', timezone => ''Europe/Berlin'').';

CREATE OR REPLACE FUNCTION pgagent.schedule_in_database(
    job_name text, schedule text, command text, database text,
    username text DEFAULT NULL, active boolean DEFAULT true
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- As in pg_cron a job that is there and not active stays so: nobody can tell whether
    -- true was given, or is the default.
    v_job_id CONSTANT bigint := pgagent.pga_cron_schedule(
        job_name, schedule, command, database, NULL::text, nullif(active, true)
    );
BEGIN
    PERFORM pgagent.pga_cron_own('schedule_in_database'::text, v_job_id, username);
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.schedule_in_database(text, text, text, text, text, boolean) IS
'As schedule(), in another database of the same server; made for scripts that use pg_cron. username: the owner of the job, that its command runs as (allow_run_as()). A job that is there already is made inactive by active => false, and not active by true. Raises 42704 if there is no such role, 42501 if the current user may not become it. Example: SELECT pgagent.schedule_in_database(''vacuum-app'', ''0 3 * * *'', ''VACUUM'', ''app'').';

-- Changing.

CREATE OR REPLACE FUNCTION pgagent.pga_enabled_given(p_active boolean, p_enabled boolean)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_active <> p_enabled THEN
        PERFORM pgagent.pga_refuse('alter_job(active, enabled)'::text, 'one is true, the other false'::text,
            'They are one thing: active is pg_cron''s word for it, and one of the two is enough.'::text);
    END IF;
    RETURN COALESCE(p_enabled, p_active);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_enabled_given(boolean, boolean) IS
'Whether a job is to be enabled, NULL if neither argument says so. Raises 22023 if one says the contrary of the other.';

CREATE OR REPLACE FUNCTION pgagent.alter_job(
    job_id bigint, schedule text DEFAULT NULL, command text DEFAULT NULL,
    database text DEFAULT NULL, username text DEFAULT NULL, active boolean DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN num_nonnulls($2, $3, $4, $5, $6) = 0
        THEN pgagent.pga_refuse('alter_job'::text, 'nothing is to be changed'::text, 'All arguments but job_id are NULL.'::text)
        ELSE pgagent.pga_job_alter($1, $2, $3, $4, $5, $6, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
                                   NULL::interval, NULL::text, NULL::text, NULL::interval, NULL::interval, NULL::integer,
                                   NULL::interval, NULL::interval, NULL::double precision, NULL::integer, NULL::text) END
$$;
COMMENT ON FUNCTION pgagent.alter_job(bigint, text, text, text, text, boolean) IS
'As alter_job() with more arguments, for what pg_cron''s function changes: schedule, command and database, the owner (username), and whether the job is active. Raises 22023 if all of them are NULL. Example: SELECT pgagent.alter_job(42, schedule => ''@hourly'', active => false).';

CREATE OR REPLACE FUNCTION pgagent.alter_job(
    job_id pgagent.pga_bigint, schedule pgagent.pga_text DEFAULT NULL, command pgagent.pga_text DEFAULT NULL,
    database pgagent.pga_text DEFAULT NULL, username pgagent.pga_text DEFAULT NULL, active pgagent.pga_boolean DEFAULT NULL,
    name text DEFAULT NULL, description text DEFAULT NULL, class text DEFAULT NULL,
    host text DEFAULT NULL, timezone text DEFAULT NULL, timeout interval DEFAULT NULL,
    overlap text DEFAULT NULL, missed text DEFAULT NULL, missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL, late_after interval DEFAULT NULL,
    long_after interval DEFAULT NULL, long_factor double precision DEFAULT NULL, disable_after integer DEFAULT NULL,
    owner text DEFAULT NULL, enabled boolean DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_job_alter($1::bigint, $2::text, $3::text, $4::text, $5::text,
                                 pgagent.pga_enabled_given($6::boolean, $23), $7, $8, $9, $10, $11,
                                 $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
$$;
COMMENT ON FUNCTION pgagent.alter_job(pgagent.pga_bigint, pgagent.pga_text, pgagent.pga_text, pgagent.pga_text, pgagent.pga_text, pgagent.pga_boolean, text, text, text, text, text, interval, text, text, interval, interval, integer, interval, interval, double precision, integer, text, boolean) IS
'Changes whatever is not NULL: the job''s schedule (all its schedules are replaced; exceptions stay), the command and database of its only step, whether it is enabled (active is pg_cron''s word for that), its name, description, class and host, the time zone of its schedules, and what create_job() describes: timeout, overlap, missed, missed_limit, keep_for, keep_runs, late_after, long_after, long_factor, disable_after, where 0 takes a limit away, and owner, where '''' stands for none; username, as pg_cron has it, is the owner, too. Raises 42704 if there is no such job, class or role, 22023 for a wrong schedule or zone, 42710 if the new name is taken, 55000 if the job has several steps, 42501 for an owner that the current user may not become. Example: SELECT pgagent.alter_job(42, timeout => ''1 hour'', class => ''Data Import'').';

CREATE OR REPLACE FUNCTION pgagent.alter_job(
    job_name text, schedule text DEFAULT NULL, command text DEFAULT NULL,
    database text DEFAULT NULL, username text DEFAULT NULL, active boolean DEFAULT NULL,
    name text DEFAULT NULL, description text DEFAULT NULL, class text DEFAULT NULL,
    host text DEFAULT NULL, timezone text DEFAULT NULL, timeout interval DEFAULT NULL,
    overlap text DEFAULT NULL, missed text DEFAULT NULL, missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL, late_after interval DEFAULT NULL,
    long_after interval DEFAULT NULL, long_factor double precision DEFAULT NULL, disable_after integer DEFAULT NULL,
    owner text DEFAULT NULL, enabled boolean DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_job_alter(pgagent.pga_job_id($1), $2, $3, $4, $5, pgagent.pga_enabled_given($6, $23), $7, $8, $9, $10, $11,
                                 $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
$$;
COMMENT ON FUNCTION pgagent.alter_job(text, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer, interval, interval, double precision, integer, text, boolean) IS
'As alter_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_job(''nightly-vacuum'', enabled => false).';

-- Strict, as pg_cron's: scripts ask for a job that may not be there in a subquery.
CREATE OR REPLACE FUNCTION pgagent.unschedule(job_id bigint)
RETURNS boolean LANGUAGE sql STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.drop_job($1, false); SELECT true $$;
COMMENT ON FUNCTION pgagent.unschedule(bigint) IS
'drop_job() under the name that pg_cron gives it. Returns true; NULL for NULL. Example: SELECT pgagent.unschedule(42).';

CREATE OR REPLACE FUNCTION pgagent.unschedule(job_name text)
RETURNS boolean LANGUAGE sql STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.drop_job($1, false); SELECT true $$;
COMMENT ON FUNCTION pgagent.unschedule(text) IS
'drop_job() under the name that pg_cron gives it. Returns true; NULL for NULL. Example: SELECT pgagent.unschedule(''nightly-vacuum'').';

CREATE OR REPLACE FUNCTION pgagent.unschedule(job_name name)
RETURNS boolean LANGUAGE sql STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.unschedule($1::text) $$;
COMMENT ON FUNCTION pgagent.unschedule(name) IS
'The same as pg_cron 1.3 and 1.4 declare it. Example: SELECT pgagent.unschedule(''nightly-vacuum''::name).';

CREATE OR REPLACE FUNCTION pgagent.job_cache_invalidate()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.job_cache_invalidate() IS
'Trigger: does nothing, for there is no cache of jobs here. Scripts that grant all of pg_cron name it. Example: GRANT EXECUTE ON FUNCTION pgagent.job_cache_invalidate() TO CURRENT_USER.';

-- Its tables. Views read with the rights of their owner, and show one's own jobs while the
-- catalogue is isolated. A row of job is written by the functions above, with the rights of
-- whoever writes it; deleted, or a row of the log written, with those of the view's owner:
-- triggers of meta/policies.sql see to it that it is one's own.

CREATE OR REPLACE FUNCTION pgagent.pga_cron_texts(p_schedules pgagent.pga_schedule[])
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name record;
    v_as_written boolean;
    v_texts text[] := ARRAY[]::text[];
BEGIN
    FOR v_name IN
        SELECT s.jscname AS name, min(s.jsctimezone) AS timezone, count(*) AS rows,
               string_agg(pgagent.pga_schedule_text(s), '; ' ORDER BY s.jscid) AS text
        FROM unnest(p_schedules) AS s
        GROUP BY s.jscname ORDER BY min(s.jscid)
    LOOP
        v_as_written := false;
        IF v_name.name <> v_name.text AND v_name.name ~ '^([^[:space:]]+[[:space:]]+){4}[^[:space:]]+$|^[0-9]+ *[A-Za-z]|^@' THEN
            BEGIN
                SELECT count(*) = v_name.rows AND bool_and(EXISTS (
                    SELECT FROM unnest(p_schedules) AS s
                    WHERE s.jscname = v_name.name
                          AND (s.jscevery, s.jscat, s.jscreboot) IS NOT DISTINCT FROM (p.every, p.at, p.reboot)
                          -- The fields of these hold an image.
                          AND (num_nonnulls(p.every, p.at) > 0 OR p.reboot
                               OR (s.jscminutes, s.jschours, s.jscweekdays, s.jscmonthdays, s.jscmonths)
                                  = (p.minutes, p.hours, p.weekdays, p.monthdays, p.months))
                ))
                INTO v_as_written
                FROM pgagent.pga_schedule_parse(v_name.name, v_name.timezone) AS p;
            EXCEPTION WHEN invalid_parameter_value THEN
                v_as_written := false;
            END;
        END IF;
        v_texts := v_texts || CASE WHEN v_as_written THEN v_name.name ELSE v_name.text END;
    END LOOP;
    RETURN nullif(array_to_string(v_texts, '; '), '');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_texts(pgagent.pga_schedule[]) IS
'Schedules of a job as pg_cron would show them: as they were written, which is how they are named, if they still are what that says. NULL if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_connection_items(p_connection text)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_item CONSTANT text := E'\\s*([a-z_]+)\\s*=\\s*(''(?:\\\\.|[^\\\\''])*''|(?:\\\\.|[^\\s\\\\''])(?:\\\\.|[^\\s\\\\])*|)';
BEGIN
    IF p_connection !~ format(E'^(?:%s(?!\\S))*\\s*$', v_item) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT COALESCE(jsonb_object_agg(i.found[1], regexp_replace(
                   regexp_replace(i.found[2], E'^''(.*)''$', E'\\1'), E'\\\\(.)', E'\\1', 'g'
               )), '{}')
        FROM regexp_matches(p_connection, v_item, 'g') AS i (found)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_connection_items(text) IS
'The keywords and values of a connection string; NULL if it is a URI, or none.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_connection(p_node text, p_port integer, p_database text, p_user text)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (COALESCE(p_node, '') IN ('', 'localhost', '127.0.0.1', '::1') OR p_node LIKE '/%')
       AND COALESCE(p_port, 0) IN (0, current_setting('port')::integer, pgagent.pga_server_port()) THEN
        RETURN '';
    END IF;
    RETURN (
        SELECT string_agg(format('%s=''%s''', i.keyword, regexp_replace(i.value, E'([\\\\''])', E'\\\\\\1', 'g')), ' ' ORDER BY i.place)
        FROM (VALUES (1, 'host'::text, nullif(p_node, '')), (2, 'port', p_port::text), (3, 'dbname', p_database), (4, 'user', p_user))
            AS i (place, keyword, value)
        WHERE i.value IS NOT NULL
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_connection(text, integer, text, text) IS
'How a step reaches what pg_cron calls a node: a connection string; '''' if that is this server.';

CREATE OR REPLACE VIEW pgagent.job AS
SELECT j.jobid::bigint AS jobid,
       (SELECT pgagent.pga_cron_texts(array_agg(s ORDER BY s.jscid))
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled) AS schedule,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       (SELECT COALESCE(nullif(s.jstdbname::text, ''), pgagent.pga_connection_items(s.jstconnstr) ->> 'dbname', '')
        FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       j.jobenabled AS active, j.jobname,
       COALESCE(j.jobowner, (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c
                             WHERE c.oid = 'pgagent.pga_job'::regclass))::text AS username,
       (SELECT CASE WHEN s.jstconnstr = '' THEN 'localhost' ELSE pgagent.pga_connection_items(s.jstconnstr) ->> 'host' END
        FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS nodename,
       (SELECT CASE WHEN s.jstconnstr = '' THEN current_setting('port'::text)
                    ELSE substring(pgagent.pga_connection_items(s.jstconnstr) ->> 'port' FROM '^[0-9]{1,5}$') END::integer
        FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS nodeport
FROM pgagent.pga_job AS j
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.job IS
'The jobs as pg_cron shows them, with the command of the first SQL step. username is the owner; a job without one, which runs with the login of the runner, is shown as that of the owner of the tables. nodename and nodeport: where the command runs. Rows can be inserted, updated and deleted. Example: SELECT jobid, schedule, command, active FROM pgagent.job.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_insert()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_database CONSTANT text := COALESCE(NEW.database, current_database()::text);
    v_connection CONSTANT text := pgagent.pga_cron_connection(NEW.nodename, NEW.nodeport, v_database, NEW.username);
BEGIN
    IF NEW.jobid IS NOT NULL THEN
        PERFORM pgagent.pga_refuse('job(jobid)'::text, format('%s was given', NEW.jobid), 'Ids are given by pgagent: leave it out.'::text);
    END IF;
    NEW.active := COALESCE(NEW.active, true);
    NEW.database := v_database;
    IF NEW.jobname IS NULL THEN
        NEW.jobid := pgagent.pga_cron_unnamed(NEW.schedule, NEW.command, v_database, NEW.active);
        NEW.jobname := format('job %s', NEW.jobid);
    ELSE
        NEW.jobid := pgagent.pga_job_make(
            NEW.jobname, NEW.schedule, 'sql'::text, NEW.command, v_database, NULL::text, NEW.active
        );
    END IF;
    IF v_connection <> '' THEN
        UPDATE pgagent.pga_jobstep SET jstdbname = '', jstconnstr = v_connection WHERE jstjobid = NEW.jobid;
    ELSE
        PERFORM pgagent.pga_cron_own('job'::text, NEW.jobid, NEW.username);
        NEW.nodename := 'localhost';
        NEW.nodeport := current_setting('port'::text)::integer;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_insert() IS
'Trigger of the view job: makes a job. On another node (nodename, nodeport) its command runs by a connection string, as username there; here username is the owner. Raises 22023 for an id, 42710 for a name that is there, and what schedule() does.';

DROP TRIGGER IF EXISTS pga_cron_insert ON pgagent.job;
CREATE TRIGGER pga_cron_insert INSTEAD OF INSERT ON pgagent.job
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_cron_insert();
COMMENT ON TRIGGER pga_cron_insert ON pgagent.job IS 'Makes a job.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_move(
    p_job_id bigint, p_node text, p_port integer, p_database text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT text[] := ARRAY(SELECT s.jstconnstr FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id);
    v_items CONSTANT jsonb := pgagent.pga_connection_items(v_old[1]);
    v_new CONSTANT text := pgagent.pga_cron_connection(p_node, p_port, p_database, v_items ->> 'user');
BEGIN
    IF v_old[1] = v_new AND cardinality(v_old) = 1 THEN
        RETURN;
    ELSIF cardinality(v_old) <> 1 OR (v_items - '{host,port,dbname,user}'::text[] = '{}') IS NOT TRUE THEN
        RAISE EXCEPTION 'pgagent: job(nodename, nodeport): job % has several steps, or a connection string that says more', p_job_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'They are for jobs of one step that is connected by host, port, dbname and user only; change pga_jobstep.jstconnstr instead.';
    END IF;
    UPDATE pgagent.pga_jobstep
    SET jstconnstr = v_new, jstdbname = CASE WHEN v_new = '' THEN p_database ELSE '' END
    WHERE jstjobid = p_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_move(bigint, text, integer, text) IS
'Has the only step of a job run in this database of this node. Raises 55000 if it has several, or one with a connection string that says more.';

CREATE OR REPLACE FUNCTION pgagent.pga_cron_update()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_null CONSTANT text := (
        SELECT string_agg(c.name, ', ') FROM (VALUES
            ('schedule'::text, NEW.schedule IS NULL AND OLD.schedule IS NOT NULL),
            ('command', NEW.command IS NULL AND OLD.command IS NOT NULL),
            ('database', NEW.database IS NULL AND OLD.database IS NOT NULL),
            ('active', NEW.active IS NULL), ('jobname', NEW.jobname IS NULL)
        ) AS c (name, is_taken_away) WHERE c.is_taken_away
    );
BEGIN
    IF NEW.jobid IS DISTINCT FROM OLD.jobid THEN
        PERFORM pgagent.pga_refuse('job(jobid)'::text, format('%s was to become %s', OLD.jobid, COALESCE(NEW.jobid::text, 'NULL')), 'Ids are given by pgagent, and stay.'::text);
    ELSIF v_null <> '' THEN
        PERFORM pgagent.pga_refuse(format('job(%s)', v_null), 'NULL was given'::text, 'A value is wanted.'::text);
    END IF;
    PERFORM pgagent.pga_job_to_write(OLD.jobid);
    PERFORM pgagent.pga_job_alter(
        OLD.jobid,
        CASE WHEN NEW.schedule IS DISTINCT FROM OLD.schedule THEN NEW.schedule END,
        CASE WHEN NEW.command IS DISTINCT FROM OLD.command THEN NEW.command END,
        CASE WHEN NEW.database IS DISTINCT FROM OLD.database THEN NEW.database END,
        CASE WHEN NEW.username IS DISTINCT FROM OLD.username THEN COALESCE(NEW.username, '') END,
        CASE WHEN NEW.active IS DISTINCT FROM OLD.active THEN NEW.active END,
        CASE WHEN NEW.jobname IS DISTINCT FROM OLD.jobname THEN NEW.jobname END,
        NULL::text, NULL::text, NULL::text, NULL::text, NULL::interval, NULL::text, NULL::text, NULL::interval, NULL::interval,
        NULL::integer, NULL::interval, NULL::interval, NULL::double precision, NULL::integer, NULL::text
    );
    IF (NEW.nodename, NEW.nodeport) IS DISTINCT FROM (OLD.nodename, OLD.nodeport)
       OR NEW.database IS DISTINCT FROM OLD.database THEN
        PERFORM pgagent.pga_cron_move(OLD.jobid, NEW.nodename, NEW.nodeport, NEW.database);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_cron_update() IS
'Trigger of the view job: changes a job as alter_job() does. Raises what that does, and 22023 for another id and for NULL.';

DROP TRIGGER IF EXISTS pga_cron_update ON pgagent.job;
CREATE TRIGGER pga_cron_update INSTEAD OF UPDATE ON pgagent.job
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_cron_update();
COMMENT ON TRIGGER pga_cron_update ON pgagent.job IS 'Changes a job.';

CREATE OR REPLACE VIEW pgagent.job_run_details AS
SELECT l.jlgjobid::bigint AS jobid, l.jlgid AS runid, l.jlgagentid AS job_pid,
       (SELECT s.jstdbname::text FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       CASE l.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded'
            WHEN 'i' THEN 'succeeded' ELSE 'failed' END AS status,
       COALESCE(l.jlgmessage, (
           SELECT s.jsloutput FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = l.jlgid
           ORDER BY s.jslid DESC LIMIT 1
       )) AS return_message,
       l.jlgstart AS start_time,
       CASE WHEN l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
            THEN l.jlgstart + pgagent.pga_span(l.jlgduration) END AS end_time,
       COALESCE((SELECT j.jobowner FROM pgagent.pga_job AS j WHERE j.jobid = l.jlgjobid),
                (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c
                 WHERE c.oid = 'pgagent.pga_job'::regclass))::text AS username
FROM pgagent.pga_joblog AS l
WHERE (SELECT pgagent.pga_sees_all()) OR EXISTS (
    SELECT FROM pgagent.pga_job AS j WHERE j.jobid = l.jlgjobid AND pgagent.pga_may_see(j.jobowner, j.jobownerid)
);
COMMENT ON VIEW pgagent.job_run_details IS
'The runs as pg_cron shows them, with the command of the job''s first SQL step, and username as the view job has it. Rows can be deleted. Example: DELETE FROM pgagent.job_run_details WHERE end_time < now() - interval ''7 days''.';
