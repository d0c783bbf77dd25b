-- runs.sql: what is decided about alerts in the transaction in which a run ends, a job is
-- disabled by the scheduler, or times of it are left out. Nothing that stands in the way of that
-- may keep a run from being closed: then the next watch finds what was left undone.

CREATE OR REPLACE FUNCTION pgagent.pga_alert_failed_run(p_job_id integer)
RETURNS SETOF pgagent.pga_joblog LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- That failures are few would have the planner read all runs of the job; COALESCE keeps it
    -- from that.
    RETURN QUERY
    SELECT l.* FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = p_job_id AND COALESCE(l.jlgstatus IN ('f', 'd'), false) ORDER BY l.jlgid DESC LIMIT 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_failed_run(integer) IS
'The latest run of a job that has failed, or was aborted; no row if the log has none.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_failed(p_alert pgagent.pga_alert, p_job pgagent.pga_job)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
    v_event text;
BEGIN
    SELECT r.* INTO v_run FROM pgagent.pga_alert_failed_run(p_job.jobid) AS r;
    v_event := CASE v_run.jlgstatus WHEN 'd' THEN 'aborted' ELSE 'failed' END;
    IF v_event <> ALL (p_alert.altevents) THEN
        RETURN;
    END IF;
    PERFORM pgagent.pga_alert_begin(
        p_alert, p_job.jobid, 'failed'::text, v_event, v_run.jlgid,
        -- The first of them in a row.
        COALESCE((
            SELECT min(f.jlgstart) FROM (
                SELECT l.jlgstart FROM pgagent.pga_joblog AS l
                WHERE l.jlgjobid = p_job.jobid AND COALESCE(l.jlgstatus IN ('f', 'd'), false)
                ORDER BY l.jlgid DESC LIMIT least(p_job.jobfailures, 1000)
            ) AS f), now()),
        v_run.jlgmessage, jsonb_build_object('failures', p_job.jobfailures));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_failed(pgagent.pga_alert, pgagent.pga_job) IS
'Tells that a job has failed, or was aborted, by what its latest such run says, if the alert tells of that.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_run(p_old pgagent.pga_job, p_new pgagent.pga_job)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
    v_one record;
BEGIN
    IF p_new.jobfailures > p_old.jobfailures THEN
        FOR v_alert IN
            SELECT a.* FROM pgagent.pga_alert AS a
            WHERE a.altenabled AND a.altafterfailures <= p_new.jobfailures
                  AND COALESCE(a.altjobid, p_new.jobid) = p_new.jobid AND COALESCE(a.altclassid, p_new.jobjclid) = p_new.jobjclid
                  AND NOT EXISTS (
                      SELECT FROM pgagent.pga_alertstate AS s
                      WHERE s.alsaltid = a.altid AND s.alsjobid = p_new.jobid AND s.alskind = 'failed' AND s.alsended IS NULL)
            ORDER BY a.altid
        LOOP
            PERFORM pgagent.pga_alert_failed(v_alert, p_new);
        END LOOP;
    ELSIF p_new.jobfailures = 0 THEN
        FOR v_one IN
            SELECT a AS alert, s.alsid FROM pgagent.pga_alertstate AS s JOIN pgagent.pga_alert AS a ON a.altid = s.alsaltid
            WHERE s.alsjobid = p_new.jobid AND s.alskind = 'failed' AND s.alsended IS NULL
            ORDER BY a.altid
        LOOP
            -- A job that is enabled again has not succeeded yet.
            PERFORM pgagent.pga_alert_end(v_one.alert, v_one.alsid, p_new.jobsucceeded > p_old.jobsucceeded, (
                SELECT l.jlgid FROM pgagent.pga_joblog AS l
                WHERE l.jlgjobid = p_new.jobid AND l.jlgstatus = 's' ORDER BY l.jlgid DESC LIMIT 1));
        END LOOP;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_run(pgagent.pga_job, pgagent.pga_job) IS
'Tells that a job has failed, or succeeds again, by what has changed of its row.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_once(
    p_event text, p_job pgagent.pga_job, p_run_id bigint, p_message text, p_data jsonb
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
BEGIN
    FOR v_alert IN
        SELECT a.* FROM pgagent.pga_alert AS a
        WHERE a.altenabled AND p_event = ANY (a.altevents)
              AND COALESCE(a.altjobid, p_job.jobid) = p_job.jobid AND COALESCE(a.altclassid, p_job.jobjclid) = p_job.jobjclid
        ORDER BY a.altid
    LOOP
        PERFORM pgagent.pga_alert_begin(v_alert, p_job.jobid, p_event, p_event, p_run_id, now(), p_message, p_data);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_once(text, pgagent.pga_job, bigint, text, jsonb) IS
'Tells what does not last: skipped, disabled.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_settle()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deferred name;
BEGIN
    FOR v_deferred IN
        SELECT t.tgname FROM pg_trigger AS t
        WHERE t.tgrelid IN ('pgagent.pga_alertstate'::regclass, 'pgagent.pga_alertevent'::regclass)
              AND t.tgdeferrable AND NOT t.tgisinternal
    LOOP
        EXECUTE format('SET CONSTRAINTS pgagent.%I IMMEDIATE', v_deferred);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_settle() IS
'Has deferred triggers of somebody''s on the tables of alerts object now, rather than at the commit.';

CREATE OR REPLACE FUNCTION pgagent.pga_told()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $$
BEGIN
    -- Of many runs that one transaction closes only the first waits for a lock.
    IF current_setting('pgagent.untold', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_alert) THEN
        IF TG_ARGV[0] = 'run' THEN
            PERFORM pgagent.pga_alert_run(OLD, NEW);
        ELSE
            PERFORM pgagent.pga_alert_once(
                'disabled'::text, NEW, (SELECT max(l.jlgid) FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = NEW.jobid),
                CASE WHEN OLD.jobdeaths > NEW.jobdeaths
                    THEN format('its runner has died %s times in a row while it was running: the job has been disabled', OLD.jobdeaths)
                    ELSE format('it was failure %s in a row: the job has been disabled', NEW.jobfailures) END,
                jsonb_build_object('failures', NEW.jobfailures));
        END IF;
        PERFORM pgagent.pga_alert_settle();
    END IF;
    RETURN NULL;
EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
    RAISE LOG 'pgagent: alerts: %', SQLERRM;
    PERFORM set_config('pgagent.untold', 'on', true), pg_notify('pgagent', 'alert');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_told() IS
'Trigger: decides, in a subtransaction, which alerts tell that a job fails or succeeds again (its argument is run), or that it was disabled, and waits hardly at all. What is refused, or locked, the next watch makes up for.';

CREATE OR REPLACE FUNCTION pgagent.pga_told_skip()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $$
BEGIN
    IF current_setting('pgagent.untold', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_alert AS a WHERE 'skipped' = ANY (a.altevents)) THEN
        PERFORM pgagent.pga_alert_once('skipped'::text, j, NULL::bigint, NEW.jskreason,
            jsonb_build_object('scheduled', NEW.jskfrom, 'until', NEW.jskuntil))
        FROM pgagent.pga_job AS j WHERE j.jobid = NEW.jskjobid;
        PERFORM pgagent.pga_alert_settle();
    END IF;
    RETURN NULL;
EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
    RAISE LOG 'pgagent: alerts: %', SQLERRM;
    PERFORM set_config('pgagent.untold', 'on', true);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_told_skip() IS
'Trigger: decides, in a subtransaction, which alerts tell that times of a job were left out, and waits hardly at all. What is refused, or locked, is not told.';

-- Every run that ends names the first column, and one that succeeds as ever does not change it;
-- to enable a job empties it.
DROP TRIGGER IF EXISTS pga_told ON pgagent.pga_job;
CREATE TRIGGER pga_told AFTER UPDATE OF jobfailures, jobenabled ON pgagent.pga_job
    FOR EACH ROW WHEN (OLD.jobfailures IS DISTINCT FROM NEW.jobfailures)
    EXECUTE FUNCTION pgagent.pga_told('run');
COMMENT ON TRIGGER pga_told ON pgagent.pga_job IS 'Tells that the job fails, or succeeds again.';

DROP TRIGGER IF EXISTS pga_told_disabled ON pgagent.pga_job;
CREATE TRIGGER pga_told_disabled AFTER UPDATE OF jobenabled ON pgagent.pga_job
    FOR EACH ROW WHEN (OLD.jobenabled AND NOT NEW.jobenabled AND current_setting('pgagent.freeing', true) = 'on')
    EXECUTE FUNCTION pgagent.pga_told('disabled');
COMMENT ON TRIGGER pga_told_disabled ON pgagent.pga_job IS 'Tells that the scheduler has disabled the job.';

-- Rows of a dump are older.
DROP TRIGGER IF EXISTS pga_told ON pgagent.pga_jobskip;
CREATE TRIGGER pga_told AFTER INSERT ON pgagent.pga_jobskip
    FOR EACH ROW WHEN (NEW.jsklogged = now()) EXECUTE FUNCTION pgagent.pga_told_skip();
COMMENT ON TRIGGER pga_told ON pgagent.pga_jobskip IS 'Tells that times were left out.';
