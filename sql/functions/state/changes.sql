-- changes.sql: the history of definitions: triggers write into pga_jobchange what was changed
-- in jobs, steps, schedules and exceptions.
--
-- A change of a job or of a part of it gives the job a new pga_job.jobchangeid: triggers of
-- its parts write jobchanged, upon which its own draws the id. The row in pga_jobchange has
-- that id, which only somebody who may change the job can have given it. Nothing here is
-- called when a run begins or ends.
--
-- Only the row of pga_jobchange is written in a subtransaction: pgAdmin finds the job that it
-- has just inserted by its xmin. Whatever keeps that row from being written, a trigger of
-- somebody or a full disk, draws a WARNING; the job is changed.

CREATE OR REPLACE FUNCTION pgagent.pga_change_restored()
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Others could make these settings to leave no trace.
    RETURN pgagent.pga_restoring() AND (
        SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = 'pgagent.pga_job'::regclass
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_restored() IS
'Whether the owner of the tables is restoring a dump, which brings its history along.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_short(p_image jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_column_size(p_image) <= 1048576 THEN
        RETURN p_image;
    END IF;
    RETURN (
        SELECT jsonb_object_agg(e.key, CASE
            WHEN jsonb_typeof(e.value) = 'string' AND octet_length(e.value #>> '{}') > 1048576
            THEN pgagent.pga_change_stand_in(e.value #>> '{}') ELSE e.value END)
        FROM jsonb_each(p_image) AS e
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_short(jsonb) IS
'The columns of a row with a stand-in for each text of more than 1 MB: a history of such would be larger than all else.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_stand_in(p_text text)
RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT jsonb_build_object('bytes', octet_length($1), 'hash', hashtextextended($1, 0)) $$;
COMMENT ON FUNCTION pgagent.pga_change_stand_in(text) IS
'What the history keeps of a text that is too long: enough to tell whether another one is the same.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_connection(p_connection text)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_secret CONSTANT text := '(?i)password|secret|scram_|token';
    v_item CONSTANT text := E'\\s*([^\\s=]+)\\s*=\\s*(''(?:\\\\.|[^\\\\''])*''|(?:\\\\.|[^\\s\\\\''])(?:\\\\.|[^\\s\\\\])*|)';
    v_kept text;
    v_nested boolean;
BEGIN
    IF p_connection ~ '^postgres(ql)?://' THEN
        v_kept := regexp_replace(p_connection, '^([^:]*://[^:@/]*):[^@/]*@', E'\\1:@');
        v_kept := regexp_replace(v_kept, '([?&][^=&]*(?:password|secret|scram_|token)[^=&]*)=[^&]*', E'\\1=', 'gi');
        -- A name in which characters are encoded can't be told, nor the end of a password that has
        -- an "@" or "/" of its own, though it should not.
        v_nested := v_kept ~ '[?&][^=&]*%[^=&]*=' OR v_kept ~ '^[^?]*@[^?]*@' OR v_kept ~ '^[^:]*://[^?@]*/[^?]*@';
    ELSIF p_connection ~ format(E'^(?:%s(?!\\S))*\\s*$', v_item) THEN
        SELECT string_agg(CASE WHEN i.found[1] ~ v_secret THEN i.found[1] || '='''''
                               ELSE i.found[1] || '=' || i.found[2] END, ' ' ORDER BY i.place),
               bool_or(i.found[1] !~ v_secret AND (i.found[2] ~* 'password|://' OR i.found[1] ~ E'\\\\'))
        INTO v_kept, v_nested
        FROM regexp_matches(p_connection, v_item, 'g') WITH ORDINALITY AS i (found, place);
        IF p_connection !~ v_secret THEN
            v_kept := p_connection;
        END IF;
    ELSE
        v_nested := true;
    END IF;
    IF v_nested THEN
        RETURN jsonb_build_object('without_password', NULL);
    ELSIF v_kept = p_connection OR p_connection = '' THEN
        RETURN to_jsonb(p_connection);
    END IF;
    RETURN jsonb_build_object('without_password', v_kept);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_connection(text) IS
'What the history keeps of a connection string: the string; if it has a password, {"without_password": what remains without}, or NULL there if what is a password in it can''t be told.';

-- The settings are those in which a value reads the same whoever has changed it, and when.
CREATE OR REPLACE FUNCTION pgagent.pga_change_job(p_job pgagent.pga_job)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
BEGIN
    RETURN pgagent.pga_change_short(to_jsonb(p_job) - ARRAY[
        'jobid', 'jobchanged', 'jobagentid', 'jobnextrun', 'joblastrun', 'jobrunid', 'jobfromstep',
        'jobdeaths', 'jobownerid', 'jobchangeid', 'jobaskedby', 'jobfailures', 'joblastsuccess', 'jobsucceeded', 'jobfailed',
        'jobaborted', 'jobempty'
    ]);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_job(pgagent.pga_job) IS
'The definition of a job for the history: all columns but its id and those that change when it runs.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_step(p_step pgagent.pga_jobstep)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_connection CONSTANT jsonb := pgagent.pga_change_connection(p_step.jstconnstr);
    v_code jsonb;
BEGIN
    p_step.jstconnstr := '';
    IF octet_length(p_step.jstcode) > 1048576 THEN
        v_code := pgagent.pga_change_stand_in(p_step.jstcode);
        p_step.jstcode := '';
    END IF;
    RETURN pgagent.pga_change_short(to_jsonb(p_step) - ARRAY['jstid', 'jstjobid', 'jscnextrun', 'jstrunasid'])
           || jsonb_build_object('jstconnstr', v_connection)
           || CASE WHEN v_code IS NULL THEN '{}' ELSE jsonb_build_object('jstcode', v_code) END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_step(pgagent.pga_jobstep) IS
'The definition of a step for the history, without passwords.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_schedule(p_schedule pgagent.pga_schedule)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
BEGIN
    RETURN pgagent.pga_change_short(to_jsonb(p_schedule) - ARRAY['jscid', 'jscjobid']);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_schedule(pgagent.pga_schedule) IS
'The definition of a schedule for the history, without its exceptions.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_with_exceptions(p_schedule pgagent.pga_schedule)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_change_schedule($1) || COALESCE((
        SELECT jsonb_build_object('exceptions', jsonb_agg(to_jsonb(e) ORDER BY e.jexid))
        FROM pgagent.pga_exception AS e WHERE e.jexscid = $1.jscid HAVING count(*) > 0
    ), '{}')
$$;
COMMENT ON FUNCTION pgagent.pga_change_with_exceptions(pgagent.pga_schedule) IS
'The definition of a schedule that is being deleted, with that of its exceptions.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_exception(p_exception pgagent.pga_exception)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_jsonb(p_exception) - 'jexid';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_exception(pgagent.pga_exception) IS
'The definition of an exception for the history.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_record(
    p_job_id integer, p_object text, p_object_id integer, p_name text, p_old jsonb, p_new jsonb,
    p_also text[]
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old jsonb := p_old;
    v_new jsonb := p_new;
    v_id bigint;
BEGIN
    IF p_old IS NOT NULL AND p_new IS NOT NULL THEN
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, p_new -> o.key) INTO v_old, v_new
        FROM jsonb_each(p_old) AS o
        WHERE o.value IS DISTINCT FROM p_new -> o.key OR o.key = ANY (p_also);
        IF v_old IS NULL THEN
            RETURN;     -- nothing was changed but what stands in no history
        END IF;
    END IF;
    SELECT j.jobchangeid INTO v_id FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id;
    IF NOT FOUND THEN
        RETURN;     -- it goes with its job, whose trigger has recorded it
    END IF;
    INSERT INTO pgagent.pga_jobchange (jchid, jchjobid, jchobject, jchobjectid, jchaction, jchname, jchold, jchnew)
    VALUES (v_id, p_job_id, p_object, p_object_id,
            CASE WHEN p_old IS NULL THEN 'insert' WHEN p_new IS NULL THEN 'delete' ELSE 'update' END,
            left(p_name, 1000), v_old, v_new);
EXCEPTION WHEN assert_failure OR OTHERS THEN
    RAISE WARNING 'pgagent: a change of job % is not in its history', p_job_id
        USING DETAIL = format('The %s %s has been changed; the row of pga_jobchange could not be written: %s', p_object, p_object_id, SQLERRM);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_record(integer, text, integer, text, jsonb, jsonb, text[]) IS
'Writes a row of pga_jobchange, for triggers: what differs between p_old and p_new, and p_also; nothing if nothing does. A WARNING says that it could not be written.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_drop(p_job pgagent.pga_job)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO pgagent.pga_jobchange (jchjobid, jchdropped, jchobject, jchobjectid, jchaction, jchname, jchold)
    SELECT p_job.jobid, true, o.object, o.id, 'delete', left(o.name, 1000), o.image
    FROM (
        SELECT 1 AS place, 'step' AS object, s.jstid AS id, s.jstname AS name, pgagent.pga_change_step(s) AS image
        FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job.jobid
        UNION ALL
        SELECT 2, 'schedule', s.jscid, s.jscname, pgagent.pga_change_with_exceptions(s)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job.jobid
        UNION ALL
        SELECT 3, 'job', p_job.jobid, p_job.jobname, pgagent.pga_change_job(p_job)
    ) AS o
    ORDER BY o.place, o.id;
EXCEPTION WHEN assert_failure OR OTHERS THEN
    RAISE WARNING 'pgagent: that job % is deleted is not in its history', p_job.jobid
        USING DETAIL = format('The rows of pga_jobchange could not be written: %s', SQLERRM);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_drop(pgagent.pga_job) IS
'Writes into pga_jobchange what goes with a job that is deleted. A WARNING says that it could not be written.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobchange_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Nobody can know it before the transaction; whoever makes it up in it gains nothing.
    v_transaction CONSTANT text := pg_backend_pid()::text || now()::text;
    v_since CONSTANT text := split_part(current_setting('pgagent.changing'::text, true), '@', 2);
BEGIN
    IF pgagent.pga_change_restored() THEN
        -- As with the owner of a job: the role of this name is meant, if there is one.
        NEW.jchownerid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.jchowner);
        RETURN NEW;
    END IF;
    -- Nobody takes an id that a change of somebody else is going to have.
    IF NEW.jchdropped THEN
        NEW.jchid := nextval('pgagent.pga_jobchange_jchid_seq');
    END IF;
    -- Who may lock the row of the job may change it. It is there still when the job is deleted.
    SELECT j.jobowner, j.jobownerid INTO NEW.jchowner, NEW.jchownerid FROM pgagent.pga_job AS j
    WHERE j.jobid = NEW.jchjobid AND (j.jobchangeid = NEW.jchid OR NEW.jchdropped AND NEW.jchaction = 'delete')
    FOR NO KEY UPDATE;
    IF NOT FOUND OR pg_trigger_depth() < 2
       OR jsonb_typeof(NEW.jchold) <> 'object' OR jsonb_typeof(NEW.jchnew) <> 'object' THEN
        RAISE EXCEPTION 'pgagent: pga_jobchange is written by triggers only' USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'It has the history of jobs: change those.';
    END IF;
    NEW.jchby := current_user;
    NEW.jchlogin := session_user;
    -- One time for all changes of a transaction: going back to one undoes all of it, or nothing.
    NEW.jchat := clock_timestamp();
    IF split_part(current_setting('pgagent.changing'::text, true), '@', 1) = v_transaction AND v_since ~ '^[0-9]{1,17}$'
       AND timestamptz 'epoch' + v_since::bigint * interval '1 microsecond' BETWEEN now() AND NEW.jchat THEN
        NEW.jchat := timestamptz 'epoch' + v_since::bigint * interval '1 microsecond';
    ELSE
        PERFORM set_config('pgagent.changing'::text, v_transaction || '@'
                           || (extract(epoch FROM NEW.jchat) * 1000000)::bigint::text, true);
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobchange_trigger() IS
'Trigger: says itself when a change was made, by whom and of whose job, and raises 42501 unless a trigger writes it, of a job that the writer may change and that was just changed, or is about to be deleted.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_change_id()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR NOT pgagent.pga_change_restored() THEN
        NEW.jobchangeid := nextval('pgagent.pga_jobchange_jchid_seq');
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_change_id() IS
'Trigger: draws the id of a change of a job, or of one of its parts, whose triggers write jobchanged.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_change_restored() THEN
        PERFORM pgagent.pga_change_record(
            NEW.jobid, 'job'::text, NEW.jobid, NEW.jobname,
            CASE WHEN TG_OP = 'UPDATE' THEN pgagent.pga_change_job(OLD) END, pgagent.pga_change_job(NEW), NULL::text[]);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_changed() IS
'Trigger: records that a job was created or changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_dropped()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_change_restored() THEN
        PERFORM pgagent.pga_change_drop(OLD);
    END IF;
    RETURN OLD;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_dropped() IS
'Trigger: records what goes with a job that is deleted.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_also text[];
BEGIN
    IF pgagent.pga_change_restored() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.jstjobid = OLD.jstjobid AND NEW.jstid = OLD.jstid THEN
        IF NEW.jstconnstr <> OLD.jstconnstr THEN
            v_also := '{jstconnstr}';      -- though it be the password alone
        END IF;
        IF NEW.jstcode = OLD.jstcode THEN
            NEW.jstcode := '';
            OLD.jstcode := '';
        END IF;
        PERFORM pgagent.pga_change_record(
            NEW.jstjobid, 'step'::text, NEW.jstid, NEW.jstname,
            pgagent.pga_change_step(OLD), pgagent.pga_change_step(NEW), v_also);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pgagent.pga_change_record(
            OLD.jstjobid, 'step'::text, OLD.jstid, OLD.jstname, pgagent.pga_change_step(OLD), NULL::jsonb, NULL::text[]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pgagent.pga_change_record(
            NEW.jstjobid, 'step'::text, NEW.jstid, NEW.jstname, NULL::jsonb, pgagent.pga_change_step(NEW), NULL::text[]);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_changed() IS
'Trigger: records that a step was added, changed or deleted.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_change_restored() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.jscjobid = OLD.jscjobid AND NEW.jscid = OLD.jscid THEN
        -- That its one time has passed is no change of what was defined, and not to be undone.
        IF OLD.jscenabled AND NOT NEW.jscenabled AND NEW.jscat <= clock_timestamp() THEN
            OLD.jscenabled := false;
        END IF;
        IF NEW IS DISTINCT FROM OLD THEN
            PERFORM pgagent.pga_change_record(
                NEW.jscjobid, 'schedule'::text, NEW.jscid, NEW.jscname,
                pgagent.pga_change_schedule(OLD), pgagent.pga_change_schedule(NEW), NULL::text[]);
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        PERFORM pgagent.pga_change_record(
            OLD.jscjobid, 'schedule'::text, OLD.jscid, OLD.jscname,
            pgagent.pga_change_with_exceptions(OLD), NULL::jsonb, NULL::text[]);
    END IF;
    PERFORM pgagent.pga_change_record(
        NEW.jscjobid, 'schedule'::text, NEW.jscid, NEW.jscname,
        NULL::jsonb, pgagent.pga_change_schedule(NEW), NULL::text[]);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_changed() IS
'Trigger: records that a schedule was added or changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_deleted()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_change_restored() THEN
        RETURN OLD;
    END IF;
    -- The trigger that does so for other reasons comes too late.
    UPDATE pgagent.pga_job SET jobchanged = now() WHERE jobid = OLD.jscjobid;
    IF FOUND THEN
        PERFORM pgagent.pga_change_record(
            OLD.jscjobid, 'schedule'::text, OLD.jscid, OLD.jscname,
            pgagent.pga_change_with_exceptions(OLD), NULL::jsonb, NULL::text[]);
    END IF;
    RETURN OLD;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_deleted() IS
'Trigger: records that a schedule was deleted, with its exceptions.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from CONSTANT record := pgagent.pga_change_place(CASE WHEN TG_OP <> 'INSERT' THEN OLD.jexscid END);
    v_to CONSTANT record := pgagent.pga_change_place(CASE WHEN TG_OP <> 'DELETE' THEN NEW.jexscid END);
BEGIN
    IF pgagent.pga_change_restored() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND v_from.job_id = v_to.job_id AND NEW.jexid = OLD.jexid THEN
        PERFORM pgagent.pga_change_record(
            v_to.job_id, 'exception'::text, NEW.jexid, v_to.schedule_name,
            pgagent.pga_change_exception(OLD), pgagent.pga_change_exception(NEW), NULL::text[]);
        RETURN NULL;
    END IF;
    -- Without a schedule it goes with that, whose trigger has recorded it.
    IF TG_OP <> 'INSERT' AND v_from.job_id IS NOT NULL THEN
        PERFORM pgagent.pga_change_record(
            v_from.job_id, 'exception'::text, OLD.jexid, v_from.schedule_name,
            pgagent.pga_change_exception(OLD), NULL::jsonb, NULL::text[]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pgagent.pga_change_record(
            v_to.job_id, 'exception'::text, NEW.jexid, v_to.schedule_name,
            NULL::jsonb, pgagent.pga_change_exception(NEW), NULL::text[]);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_changed() IS
'Trigger: records that an exception was added, changed or deleted.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_place(p_schedule_id integer, OUT job_id integer, OUT schedule_name text)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT s.jscjobid, s.jscname INTO job_id, schedule_name FROM pgagent.pga_schedule AS s WHERE s.jscid = p_schedule_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_place(integer) IS
'The job and the name of the schedule with this id; NULL if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_log_prune_changes(p_limit integer)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_keep_for interval := interval '1 year';
    v_deleted integer;
BEGIN
    -- A runner's login of before 5.1 may not.
    IF NOT (has_table_privilege('pgagent.pga_jobchange', 'SELECT') AND has_table_privilege('pgagent.pga_jobchange', 'DELETE')) THEN
        RETURN 0;
    END IF;
    BEGIN
        v_keep_for := COALESCE(nullif(current_setting('pgagent.keep_changes'::text, true), '')::interval, v_keep_for);
    EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
        RAISE WARNING 'pgagent: the setting pgagent.keep_changes is no span of time'
            USING DETAIL = format('It is "%s"; changes are kept for a year.', left(current_setting('pgagent.keep_changes'::text, true), 200));
    END;
    v_keep_for := pgagent.pga_span(greatest(v_keep_for, interval '0'));
    -- The last change of a job that there is says who has left it as it is.
    DELETE FROM pgagent.pga_jobchange WHERE jchid IN (
        SELECT c.jchid FROM pgagent.pga_jobchange AS c
        WHERE c.jchat < now() - v_keep_for
              AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = c.jchjobid AND j.jobchangeid = c.jchid)
        ORDER BY c.jchat LIMIT p_limit
    ) OR jchid IN (
        SELECT o.jchid
        FROM (SELECT c.jchjobid FROM pgagent.pga_jobchange AS c GROUP BY c.jchjobid HAVING count(*) > 10000) AS b,
        LATERAL (
            SELECT c.jchid FROM pgagent.pga_jobchange AS c
            WHERE c.jchjobid = b.jchjobid ORDER BY c.jchid DESC OFFSET 10000
        ) AS o LIMIT p_limit
    );
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_log_prune_changes(integer) IS
'Deletes at most about so many changes from pga_jobchange: those older than a year, or than the setting pgagent.keep_changes, and those before the latest 10,000 of a job; never the last one of a job that there is. Returns how many. A WARNING if the setting can''t be read.';

-- Definitions and jobchanged: no statement of a runner names one when a run begins or ends.
DROP TRIGGER IF EXISTS pga_job_change_id ON pgagent.pga_job;
CREATE TRIGGER pga_job_change_id
    BEFORE INSERT OR UPDATE OF jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobcreated, jobtimeout, joboverlap,
        jobmissed, jobmissedlimit, jobkeepfor, jobkeepruns, jobowner, jobset, joblateafter, joblongafter, joblongfactor, jobdisableafter, jobchanged
    ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_change_id();
COMMENT ON TRIGGER pga_job_change_id ON pgagent.pga_job IS 'Draws the id of a change.';

DROP TRIGGER IF EXISTS pga_job_changed ON pgagent.pga_job;
CREATE TRIGGER pga_job_changed
    AFTER INSERT OR UPDATE OF jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobcreated, jobtimeout, joboverlap,
        jobmissed, jobmissedlimit, jobkeepfor, jobkeepruns, jobowner, jobset, joblateafter, joblongafter, joblongfactor, jobdisableafter
    ON pgagent.pga_job FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_changed();
COMMENT ON TRIGGER pga_job_changed ON pgagent.pga_job IS 'Records changes of jobs.';

-- Before it is deleted, all that goes with it can still be read, also where row security lets
-- nobody see a part without its job.
DROP TRIGGER IF EXISTS pga_job_trigger_dropped ON pgagent.pga_job;
CREATE TRIGGER pga_job_trigger_dropped BEFORE DELETE ON pgagent.pga_job
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_dropped();
COMMENT ON TRIGGER pga_job_trigger_dropped ON pgagent.pga_job IS 'Records what goes with a job, before it goes.';

DROP TRIGGER IF EXISTS pga_schedule_trigger_deleted ON pgagent.pga_schedule;
CREATE TRIGGER pga_schedule_trigger_deleted BEFORE DELETE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_deleted();
COMMENT ON TRIGGER pga_schedule_trigger_deleted ON pgagent.pga_schedule IS 'Records what goes with a schedule, before it goes.';

-- After "pga_..._trigger", which has the job's id drawn.
DROP TRIGGER IF EXISTS pga_jobstep_trigger_changed ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_trigger_changed AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_jobstep
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobstep_changed();
COMMENT ON TRIGGER pga_jobstep_trigger_changed ON pgagent.pga_jobstep IS 'Records changes of steps.';

DROP TRIGGER IF EXISTS pga_schedule_trigger_changed ON pgagent.pga_schedule;
CREATE TRIGGER pga_schedule_trigger_changed AFTER INSERT OR UPDATE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_changed();
COMMENT ON TRIGGER pga_schedule_trigger_changed ON pgagent.pga_schedule IS 'Records changes of schedules.';

DROP TRIGGER IF EXISTS pga_exception_trigger_changed ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_trigger_changed AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_changed();
COMMENT ON TRIGGER pga_exception_trigger_changed ON pgagent.pga_exception IS 'Records changes of exceptions.';

DROP TRIGGER IF EXISTS pga_jobchange_trigger ON pgagent.pga_jobchange;
CREATE TRIGGER pga_jobchange_trigger BEFORE INSERT ON pgagent.pga_jobchange
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobchange_trigger();
COMMENT ON TRIGGER pga_jobchange_trigger ON pgagent.pga_jobchange IS 'Says who has changed a job, and when, and lets nobody else do so.';
