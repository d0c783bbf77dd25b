-- triggers.sql: keep jobnextrun true, in the transaction that changes what it depends on,
-- and tell runners. They write pga_job only, only the row of the job concerned, and never
-- in a subtransaction: pgAdmin finds the row that it has just inserted by its xmin. The one
-- exception: whoever takes away a job that a runner is executing asks for its run to be stopped.

CREATE OR REPLACE FUNCTION pgagent.pga_job_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('pgagent.restorer'::text, true) <> '' AND NOT pgagent.pga_restoring() THEN
        PERFORM pgagent.pga_restore_end();
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF pgagent.pga_restoring() THEN
            NEW.jobagentid := NULL;     -- the agent was one of the dumped server's
        ELSE
            PERFORM pgagent.pga_arming_begin();
            PERFORM pgagent.pga_check_id('pga_job.jobid'::text, NEW.jobid, 'pgagent.pga_job_jobid_seq'::text);
            NEW.jobaskedby := CASE WHEN NEW.jobnextrun IS NOT NULL THEN current_user END;
            IF NEW.jobrunid IS NOT NULL THEN
                NEW.jobrunid := pgagent.pga_free_run_id(NEW.jobid);
            END IF;
            PERFORM pgagent.pga_check_size('pga_job.jobname'::text, length(NEW.jobname), 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobdesc'::text, length(NEW.jobdesc), 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobhostagent'::text, length(NEW.jobhostagent), 1000000, 'characters'::text);
        END IF;
    ELSIF OLD.jobagentid IS NULL AND NEW.jobagentid IS NOT NULL THEN
        -- A claim. pgAgent's daemon works off a list that may be out of date.
        IF (OLD.jobnextrun <= now()) IS NOT TRUE THEN
            RETURN NULL;
        ELSIF current_setting('pgagent.claims'::text, true) = NEW.jobagentid::text THEN
            -- pga_run_claim says that it knows what 4.2 does not, for all jobs of a claim at once.
            IF NEW.jobaskedby IS NOT NULL THEN
                NEW.jobaskedby := NULL;
            END IF;
            RETURN NEW;
        ELSIF NOT EXISTS (SELECT FROM pgagent.pga_jobagent AS a WHERE a.jagpid = NEW.jobagentid) THEN
            RAISE EXCEPTION 'agent % is not registered', NEW.jobagentid
                USING ERRCODE = 'PGA03',
                      DETAIL = 'Its row in pga_jobagent lives no longer than the session that it names: an agent keeps that open.';
        ELSIF NEW.jobrunid IS NOT NULL OR pgagent.pga_job_gate(NEW) IS NOT NULL THEN
            RETURN NULL;        -- 4.2 would run it under another id, and from its first step
        ELSIF NOT pgagent.pga_class_take(NEW.jobjclid) THEN
            RETURN NULL;
        END IF;
        RETURN NEW;
    ELSE
        IF OLD.jobagentid IS NOT NULL AND NEW.jobagentid IS DISTINCT FROM OLD.jobagentid
           AND current_setting('pgagent.freeing', true) IS DISTINCT FROM 'on'
           AND pgagent.pga_job_stop(OLD.jobid, OLD.jobagentid) THEN
            NEW.jobagentid := OLD.jobagentid;
        END IF;
        IF NEW.jobnextrun IS DISTINCT FROM OLD.jobnextrun AND (
            NEW.jobaskedby IS NOT NULL OR current_setting('pgagent.freeing', true) IS DISTINCT FROM 'on'
            OR NEW.jobagentid IS NOT DISTINCT FROM OLD.jobagentid
        ) THEN
            -- Our own functions say so, if it is them: anybody can make these settings, to have it
            -- look as if a schedule had started the job; but only a runner may claim or free it.
            NEW.jobaskedby := CASE
                WHEN NEW.jobnextrun IS NULL THEN NULL
                WHEN current_setting('pgagent.freeing', true) IS DISTINCT FROM 'on'
                     AND COALESCE(current_setting('pgagent.claims', true), '') = '' THEN current_user
                WHEN NEW.jobagentid IS NOT DISTINCT FROM OLD.jobagentid
                     AND NOT has_column_privilege('pgagent.pga_job'::regclass, 'jobagentid'::text, 'UPDATE'::text) THEN current_user END;
        END IF;
        IF OLD.jobenabled AND NOT NEW.jobenabled THEN
            NEW.jobnextrun := NULL;
            NEW.jobaskedby := NULL;
        ELSIF NEW.jobenabled AND NEW.jobnextrun IS NULL THEN
            NEW.jobnextrun := pgagent.pga_job_next_run(NEW.jobid, now());
        END IF;
        IF NEW.jobrunid IS NOT NULL OR OLD.jobrunid IS NOT NULL THEN
            NEW := pgagent.pga_job_wish(OLD, NEW);
        END IF;
        IF (NEW.jobname, NEW.jobdesc, NEW.jobjclid, NEW.jobhostagent, NEW.jobenabled)
           IS DISTINCT FROM (OLD.jobname, OLD.jobdesc, OLD.jobjclid, OLD.jobhostagent, OLD.jobenabled) THEN
            -- Values that a dump has brought may stay as they are.
            PERFORM pgagent.pga_check_size('pga_job.jobname'::text,
                        CASE WHEN NEW.jobname <> OLD.jobname THEN length(NEW.jobname) END, 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobdesc'::text,
                        CASE WHEN NEW.jobdesc <> OLD.jobdesc THEN length(NEW.jobdesc) END, 1000000, 'characters'::text),
                    pgagent.pga_check_size('pga_job.jobhostagent'::text,
                        CASE WHEN NEW.jobhostagent <> OLD.jobhostagent THEN length(NEW.jobhostagent) END, 1000000, 'characters'::text);
            NEW.jobchanged := now();
            IF NEW.jobenabled AND NOT OLD.jobenabled THEN
                NEW.jobfailures := 0;       -- jobdisableafter begins anew
            END IF;
        END IF;
        IF OLD.jobagentid IS NOT NULL AND (NEW.jobagentid IS NULL OR NEW.jobjclid <> OLD.jobjclid) THEN
            IF (SELECT c.jcafor FROM pgagent.pga_jobcaution AS c LIMIT 1) IS NOT NULL THEN
                PERFORM pgagent.pga_class_leave(OLD.jobjclid);
            END IF;
        END IF;
        IF OLD.jobagentid IS NOT NULL AND NOT (NEW.jobagentid IS NULL AND NEW.jobrunid IS NOT NULL)
           OR (NEW.jobnextrun, NEW.jobhostagent, NEW.jobjclid)
              IS NOT DISTINCT FROM (OLD.jobnextrun, OLD.jobhostagent, OLD.jobjclid) THEN
            RETURN NEW;     -- nothing to wake a runner for: it has just finished this job itself
        END IF;
    END IF;

    IF NEW.jobnextrun IS NOT NULL THEN
        PERFORM pg_notify('pgagent', '');
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_trigger() IS
'Trigger: computes jobnextrun where it is NULL, empties it when the job is disabled, keeps jobchanged and jobaskedby, has a job that is enabled again begin with no failures, has a promised run be due as pga_job_wish() says, notifies channel pgagent, refuses the claim of a job that is not due, or that is promised to run, or that pga_job_gate() or the limit of its class keeps from those that claim without pga_run_claim() (no row is updated), tells runners when a class with a limit has a place again, or by an agent that is not registered (PGA03), and has a job that is taken away from a runner that executes it stay held until the run has been stopped. A jobnextrun that is set on a disabled job stays: it asks for one run. Refuses oversized texts with 22023.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_stop(p_job_id integer, p_agent_id integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM pgagent.pga_jobagent AS a
    WHERE a.jagpid = p_agent_id AND a.jaglease IS NOT NULL AND pgagent.pga_why_dead(a) IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE pgagent.pga_joblog AS l
    SET jlgcancel = COALESCE(l.jlgcancel, format('its job was freed by %s at %s', current_user, date_trunc('second', now())))
    WHERE l.jlgjobid = p_job_id AND l.jlgstatus = 'r';
    PERFORM pg_notify('pgagent', 'cancel');
    RAISE NOTICE 'pgagent: job % is being executed: its run is stopped first', p_job_id
        USING DETAIL = format('Agent %s holds it, and is alive. The job is free as soon as the run has ended.', p_agent_id);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_stop(integer, integer) IS
'Asks for the run of a job to be stopped if this agent, which holds the job, has a lease and is alive. Returns whether it is.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_recompute(p_job_id integer)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    -- A job under way gets its next run when it has finished; so does one that
    -- run_job() is just starting.
    UPDATE pgagent.pga_job
    SET jobnextrun = CASE
            WHEN jobenabled AND jobagentid IS NULL AND jobrunid IS NULL THEN NULL
            ELSE jobnextrun
        END,
        jobchanged = now()
    WHERE jobid = p_job_id
$$;
COMMENT ON FUNCTION pgagent.pga_job_recompute(integer) IS
'Has the trigger of pga_job compute the next run of this job anew, because a part of it has changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.jscname, NEW.jscdesc) IS DISTINCT FROM (OLD.jscname, OLD.jscdesc) THEN
        -- A new name does not change when the job runs, nor that it may be due right now.
        OLD.jscname := NEW.jscname;
        OLD.jscdesc := NEW.jscdesc;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            UPDATE pgagent.pga_job SET jobchanged = now() WHERE jobid = NEW.jscjobid;
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pgagent.pga_job_recompute(OLD.jscjobid);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.jscjobid <> OLD.jscjobid) THEN
        PERFORM pgagent.pga_job_recompute(NEW.jscjobid);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.jscenabled THEN
        PERFORM pgagent.pga_schedule_warn(NEW.jscid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_trigger() IS
'Trigger: computes the job''s next run again whenever a schedule changes.';

CREATE OR REPLACE FUNCTION pgagent.pga_exception_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schedules integer[];
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;
    END IF;
    v_schedules := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.jexscid]
        WHEN 'DELETE' THEN ARRAY[OLD.jexscid]
        ELSE ARRAY[OLD.jexscid, NEW.jexscid]
    END;
    PERFORM pgagent.pga_job_recompute(j.jscjobid) FROM (
        SELECT DISTINCT s.jscjobid FROM pgagent.pga_schedule AS s WHERE s.jscid = ANY (v_schedules)
    ) AS j;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pgagent.pga_schedule_warn(NEW.jexscid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_exception_trigger() IS
'Trigger: computes the job''s next run again whenever an exception changes.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_warn(p_schedule_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schedule pgagent.pga_schedule;
BEGIN
    SELECT s.* INTO v_schedule
    FROM pgagent.pga_schedule AS s
    WHERE s.jscid = p_schedule_id AND s.jscenabled
          AND NOT s.jscreboot AND pgagent.pga_schedule_next(s, now()) IS NULL;
    IF NOT FOUND THEN
        RETURN;
    ELSIF pgagent.pga_zone_is_unknown(v_schedule) THEN
        RAISE NOTICE 'pgagent: schedule "%" never runs as long as this server does not know its time zone', v_schedule.jscname
            USING DETAIL = format('The time zone is %s; the view pg_timezone_names lists those that are known.', v_schedule.jsctimezone);
    ELSE
        RAISE NOTICE 'pgagent: schedule "%" never runs from now on', v_schedule.jscname
            USING DETAIL = 'No date and time after now and up to its end matches all its fields and none of its exceptions.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_warn(integer) IS
'Raises a NOTICE if this schedule is enabled and never runs (again), or not before the server knows its time zone.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_restoring() THEN
        UPDATE pgagent.pga_job SET jobchanged = now() WHERE jobid IN (OLD.jstjobid, NEW.jstjobid);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_trigger() IS
'Trigger: the job has changed when one of its steps has.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobagent_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        RETURN NULL;    -- no agent of the dumped server is one of this server
    END IF;
    SELECT s.backend_start INTO NEW.jagbackendstart
    FROM pg_stat_activity AS s WHERE s.pid = NEW.jagpid AND s.datname = current_database();
    NEW.jagaddress := pgagent.pga_server_address();
    NEW.jagport := pgagent.pga_server_port();
    NEW.jagunarmed := pgagent.pga_arming_judge(NEW);
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobagent_trigger() IS
'Trigger: completes the identity of an agent, whichever program registers: process ids are used again; and says whether it may start jobs here.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobagent_delete()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.jagpid = pg_backend_pid() OR current_setting('pgagent.freeing', true) = 'on'
       OR pgagent.pga_why_dead(OLD) IS NOT NULL THEN
        RETURN OLD;
    END IF;
    RAISE WARNING 'pgagent: agent % on host "%" is alive: its row stays', OLD.jagpid, OLD.jagstation
        USING DETAIL = 'Without it, other agents would start its jobs although they are being executed.',
              HINT = 'Stop the runner, or end its session: the row goes by itself.';
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobagent_delete() IS
'Trigger: keeps the row of an agent that has a lease and is alive, with a WARNING.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_count(p_run pgagent.pga_joblog)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_count(p_run.jlgid, p_run.jlgjobid, p_run.jlgstatus::text);
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'pgagent: run % of job % has ended, but could not be counted', p_run.jlgid, p_run.jlgjobid
        USING DETAIL = SQLERRM;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_count(pgagent.pga_joblog) IS
'Counts a run that has ended, as pga_job_count() does, for triggers: a WARNING says that it could not be counted, for what is written to the log stands.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_closed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_joblog_count(NEW);
    -- pgAgent's own daemon closes its runs itself, and listens to nobody.
    IF EXISTS (SELECT FROM pgagent.pga_jobagent AS a
               WHERE a.jagpid = OLD.jlgagentid AND a.jaglease IS NOT NULL) THEN
        PERFORM pg_notify('pgagent', 'cancel');
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_closed() IS
'Trigger: counts a run that no function of ours has closed among those of its job, and tells its runner.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_cancel()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.jlgcancel := COALESCE(OLD.jlgcancel, format('cancelled by %s at %s', current_user, date_trunc('second', now())));
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_cancel() IS
'Trigger: says who asks for a run to be stopped, whatever is written there, and keeps the first.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobclass_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A dump brings all classes; CREATE EXTENSION has made the five stock ones already,
    -- one of which may have been renamed.
    IF pgagent.pga_restoring() THEN
        DELETE FROM pgagent.pga_jobclass AS c
        WHERE c.jclname = NEW.jclname AND c.jclid <> NEW.jclid
              AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobjclid = c.jclid);
        UPDATE pgagent.pga_jobclass SET jclname = NEW.jclname, jcllimit = NEW.jcllimit WHERE jclid = NEW.jclid;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobclass_trigger() IS
'Trigger: a class from a dump takes the place of the stock class with its id or name.';

CREATE OR REPLACE FUNCTION pgagent.pga_joblog_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
BEGIN
    IF pgagent.pga_restoring() THEN
        IF NEW.jlgstatus = 'r' THEN
            NEW.jlgstatus := 'd';
            NEW.jlgmessage := 'was running when the database was dumped';
            UPDATE pgagent.pga_arming SET armrestored = now() WHERE armrestored IS NULL;
        END IF;
        RETURN NEW;
    END IF;

    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = NEW.jlgjobid;
    -- The row that pgAgent's daemon writes when another agent was faster is not a run.
    IF NEW.jlgstatus = 'i' AND (v_job.jobagentid IS NOT NULL OR COALESCE(v_job.jobnextrun > now(), true)
                                OR v_job.jobrunid IS NOT NULL
                                OR pgagent.pga_job_gate(v_job) IS NOT NULL
                                OR EXISTS (SELECT FROM pgagent.pga_jobclass AS c
                                           WHERE c.jclid = v_job.jobjclid AND c.jcllimit IS NOT NULL)) THEN
        RETURN NULL;
    END IF;
    NEW.jlgagentid := v_job.jobagentid;
    NEW.jlgscheduled := v_job.jobnextrun;
    NEW.jlgchangeid := v_job.jobchangeid;
    SELECT a.jagstation INTO NEW.jlgstation
    FROM pgagent.pga_jobagent AS a WHERE a.jagpid = v_job.jobagentid;
    IF v_job.jobagentid IS NOT NULL AND NEW.jlgstartedvia IS NULL THEN
        NEW.jlgstartedby := v_job.jobaskedby;
        NEW.jlgstartedvia := CASE WHEN v_job.jobaskedby IS NULL AND v_job.jobenabled THEN 'schedule' ELSE 'jobnextrun' END;
    END IF;
    -- What somebody brings from elsewhere did not run here.
    IF NEW.jlgstatus <> 'r' AND NEW.jlgstart >= now() AND current_setting('pgagent.freeing', true) IS DISTINCT FROM 'on' THEN
        PERFORM pgagent.pga_joblog_count(NEW);
        IF v_job.jobenabled AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = NEW.jlgjobid AND NOT j.jobenabled) THEN
            NEW.jlgmessage := concat_ws('; ', nullif(NEW.jlgmessage, ''), format(
                'it was failure %s in a row: the job has been disabled', v_job.jobfailures + 1));
        END IF;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_joblog_trigger() IS
'Trigger: adds what pgAgent''s daemon does not log: the agent, its host, the time at which the run was due, what has started it, and the state of the job; counts a run that has ended already, unless it began before; drops the row that it writes after a claim that was lost or refused.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobsteplog_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.jslstatus := 'd';
    NEW.jslresult := -1;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobsteplog_trigger() IS
'Trigger: a step that was running when the database was dumped was aborted.';

CREATE OR REPLACE FUNCTION pgagent.pga_restore_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'SELECT setval(%1$L, max(%2$I)) FROM pgagent.%3$I
         HAVING max(%2$I) > COALESCE(pg_sequence_last_value(%1$L::regclass), 0)',
        format('pgagent.%s_%s_seq', TG_TABLE_NAME, TG_ARGV[0]), TG_ARGV[0], TG_TABLE_NAME
    );
    -- Single rows may come from a dump, too, beside jobs that are to go on.
    IF TG_TABLE_NAME = 'pga_job' AND NOT EXISTS (
        SELECT FROM pgagent.pga_job AS j WHERE j.xmin <> pg_current_xact_id()::xid
    ) THEN
        PERFORM pgagent.pga_restore_begin();
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restore_trigger() IS
'Trigger: has the sequence of a restored table go on after its largest id; dumps of pgAgent 4.2 do not hold the sequences; and notes that jobs are being restored. Its argument is the column.';

-- Made anew rather than replaced: PostgreSQL 13 has no CREATE OR REPLACE TRIGGER.
DROP TRIGGER IF EXISTS pga_job_trigger ON pgagent.pga_job;
CREATE TRIGGER pga_job_trigger BEFORE INSERT OR UPDATE ON pgagent.pga_job
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_job_trigger();
COMMENT ON TRIGGER pga_job_trigger ON pgagent.pga_job IS 'Keeps the job''s next run true.';

DROP TRIGGER IF EXISTS pga_jobstep_check ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_check BEFORE INSERT OR UPDATE ON pgagent.pga_jobstep
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobstep_check();
COMMENT ON TRIGGER pga_jobstep_check ON pgagent.pga_jobstep IS 'Refuses a malformed step, in words.';

DROP TRIGGER IF EXISTS pga_jobstep_trigger ON pgagent.pga_jobstep;
CREATE TRIGGER pga_jobstep_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_jobstep
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobstep_trigger();
COMMENT ON TRIGGER pga_jobstep_trigger ON pgagent.pga_jobstep IS 'Keeps the job''s jobchanged true.';

DROP TRIGGER IF EXISTS pga_schedule_check ON pgagent.pga_schedule;
DROP TRIGGER IF EXISTS pga_schedule_trigger ON pgagent.pga_schedule;
DROP TRIGGER IF EXISTS pga_schedule_trigger_changed ON pgagent.pga_schedule;     -- made in changes.sql
-- Schedules of 5.0 have no image of themselves in their fields.
UPDATE pgagent.pga_schedule AS s
SET (jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths, jscstart, jscend) = (
    SELECT i.jscminutes, i.jschours, i.jscweekdays, i.jscmonthdays, i.jscmonths, i.jscstart, i.jscend
    FROM pgagent.pga_schedule_image(s) AS i
)
WHERE pgagent.pga_schedule_kind(s) IS NOT NULL AND pgagent.pga_schedule_image(s) IS DISTINCT FROM s;
CREATE TRIGGER pga_schedule_check BEFORE INSERT OR UPDATE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_check();
COMMENT ON TRIGGER pga_schedule_check ON pgagent.pga_schedule IS 'Refuses a malformed schedule.';

CREATE TRIGGER pga_schedule_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_schedule
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_schedule_trigger();
COMMENT ON TRIGGER pga_schedule_trigger ON pgagent.pga_schedule IS
'Computes the job''s next run anew whenever a schedule changes.';

DROP TRIGGER IF EXISTS pga_exception_check ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_check BEFORE INSERT OR UPDATE ON pgagent.pga_exception
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_check();
COMMENT ON TRIGGER pga_exception_check ON pgagent.pga_exception IS 'Refuses a malformed exception.';

DROP TRIGGER IF EXISTS pga_exception_trigger ON pgagent.pga_exception;
CREATE TRIGGER pga_exception_trigger AFTER INSERT OR UPDATE OR DELETE ON pgagent.pga_exception
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_exception_trigger();
COMMENT ON TRIGGER pga_exception_trigger ON pgagent.pga_exception IS
'Computes the job''s next run anew whenever an exception changes.';

DROP TRIGGER IF EXISTS pga_jobagent_trigger ON pgagent.pga_jobagent;
CREATE TRIGGER pga_jobagent_trigger BEFORE INSERT ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobagent_trigger();
COMMENT ON TRIGGER pga_jobagent_trigger ON pgagent.pga_jobagent IS 'Completes an agent''s identity.';

DROP TRIGGER IF EXISTS pga_jobagent_delete ON pgagent.pga_jobagent;
CREATE TRIGGER pga_jobagent_delete BEFORE DELETE ON pgagent.pga_jobagent
    FOR EACH ROW WHEN (OLD.jaglease IS NOT NULL) EXECUTE FUNCTION pgagent.pga_jobagent_delete();
COMMENT ON TRIGGER pga_jobagent_delete ON pgagent.pga_jobagent IS 'Keeps the rows of agents that are alive.';

DROP TRIGGER IF EXISTS pga_jobclass_trigger ON pgagent.pga_jobclass;
CREATE TRIGGER pga_jobclass_trigger BEFORE INSERT ON pgagent.pga_jobclass
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobclass_trigger();
COMMENT ON TRIGGER pga_jobclass_trigger ON pgagent.pga_jobclass IS
'Lets a dump''s classes take the place of the stock ones.';

DROP TRIGGER IF EXISTS pga_jobrequest_draw ON pgagent.pga_jobrequest;
CREATE TRIGGER pga_jobrequest_draw BEFORE INSERT ON pgagent.pga_jobrequest
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobrequest_draw();
COMMENT ON TRIGGER pga_jobrequest_draw ON pgagent.pga_jobrequest IS 'Draws the id of the run.';

DROP TRIGGER IF EXISTS pga_jobrequest_trigger ON pgagent.pga_jobrequest;
CREATE TRIGGER pga_jobrequest_trigger AFTER INSERT ON pgagent.pga_jobrequest
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobrequest_trigger();
COMMENT ON TRIGGER pga_jobrequest_trigger ON pgagent.pga_jobrequest IS 'Promises the run to the job.';

-- A run that starts in this very transaction does not come from a dump: no function is
-- called for a runner's rows, which are many.
DROP TRIGGER IF EXISTS pga_joblog_trigger ON pgagent.pga_joblog;
CREATE TRIGGER pga_joblog_trigger BEFORE INSERT ON pgagent.pga_joblog
    FOR EACH ROW
    WHEN (NEW.jlgagentid IS NULL OR NEW.jlgstart <> now() AND pgagent.pga_restoring())
    EXECUTE FUNCTION pgagent.pga_joblog_trigger();
COMMENT ON TRIGGER pga_joblog_trigger ON pgagent.pga_joblog IS
'Completes what pgAgent''s daemon logs, and closes runs that come from a dump.';

-- The notification is a hint, as all are: its runner would hear of it at the next heartbeat.
DROP TRIGGER IF EXISTS pga_joblog_closed ON pgagent.pga_joblog;
CREATE TRIGGER pga_joblog_closed AFTER UPDATE OF jlgstatus ON pgagent.pga_joblog
    FOR EACH ROW
    WHEN (OLD.jlgstatus = 'r' AND NEW.jlgstatus <> 'r'
          AND current_setting('pgagent.freeing', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pgagent.pga_joblog_closed();
COMMENT ON TRIGGER pga_joblog_closed ON pgagent.pga_joblog IS
'Counts a run that a person or pgAgent''s own daemon has closed, and tells its runner.';

-- Of a runner's statements none names this column.
DROP TRIGGER IF EXISTS pga_joblog_cancel ON pgagent.pga_joblog;
CREATE TRIGGER pga_joblog_cancel BEFORE UPDATE OF jlgcancel ON pgagent.pga_joblog
    FOR EACH ROW
    WHEN (NEW.jlgcancel IS DISTINCT FROM OLD.jlgcancel
          AND NOT has_column_privilege('pgagent.pga_joblog'::regclass, 'jlgstatus'::text, 'UPDATE'::text))
    EXECUTE FUNCTION pgagent.pga_joblog_cancel();
COMMENT ON TRIGGER pga_joblog_cancel ON pgagent.pga_joblog IS
'Has jlgcancel say who asks for a run to be stopped.';

DROP TRIGGER IF EXISTS pga_jobsteplog_trigger ON pgagent.pga_jobsteplog;
CREATE TRIGGER pga_jobsteplog_trigger BEFORE INSERT ON pgagent.pga_jobsteplog
    FOR EACH ROW
    WHEN (NEW.jslstatus = 'r' AND NEW.jslstart <> now() AND pgagent.pga_restoring())
    EXECUTE FUNCTION pgagent.pga_jobsteplog_trigger();
COMMENT ON TRIGGER pga_jobsteplog_trigger ON pgagent.pga_jobsteplog IS
'Closes steps that come from a dump.';

DO $$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN
        SELECT t.name, t.id FROM (VALUES
            ('pga_jobclass', 'jclid'), ('pga_job', 'jobid'), ('pga_jobstep', 'jstid'),
            ('pga_schedule', 'jscid'), ('pga_exception', 'jexid'),
            ('pga_joblog', 'jlgid'), ('pga_jobsteplog', 'jslid'), ('pga_jobskip', 'jskid'),
            ('pga_jobchange', 'jchid')
        ) AS t (name, id)
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS pga_restore_trigger ON pgagent.%I', v_table.name);
        EXECUTE format(
            'CREATE TRIGGER pga_restore_trigger AFTER INSERT ON pgagent.%I FOR EACH STATEMENT
             WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_restore_trigger(%L)',
            v_table.name, v_table.id
        );
        EXECUTE format(
            'COMMENT ON TRIGGER pga_restore_trigger ON pgagent.%I IS %L',
            v_table.name, 'Puts the sequence right after a restore.'
        );
    END LOOP;
END;
$$;

