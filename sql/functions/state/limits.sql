-- limits.sql: how many jobs of a class run at once, over all runners (pga_jobclass.jcllimit).
-- Writes nothing; locks rows of pga_jobclass.
--
-- Whoever claims a job of a class that has a limit locks the class first, and counts in a
-- statement of its own, which sees what others have committed before it got the lock. A
-- class without a limit is neither locked nor counted.

CREATE OR REPLACE FUNCTION pgagent.pga_class_held(p_class_id integer)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A run that nobody holds any more may not have ended: it counts until it is closed.
    RETURN (
        SELECT count(*) FROM pgagent.pga_job AS j WHERE j.jobagentid IS NOT NULL AND j.jobjclid = p_class_id
    ) + (
        SELECT count(DISTINCT l.jlgjobid)
        FROM pgagent.pga_joblog AS l JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[l.jlgjobid])
        WHERE l.jlgstatus = 'r' AND j.jobagentid IS NULL AND j.jobjclid = p_class_id
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_held(integer) IS
'How many jobs of a class are under way, whoever executes them, as of the statement that asks.';

CREATE OR REPLACE FUNCTION pgagent.pga_class_lock(p_class_id integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10ms'
AS $$
BEGIN
    -- With one snapshot for all of a transaction nobody can count after the lock; who may
    -- not lock it leaves its jobs to others.
    IF current_setting('transaction_isolation'::text) <> 'read committed'
       OR NOT has_any_column_privilege('pgagent.pga_jobclass', 'UPDATE') THEN
        RETURN false;
    END IF;
    PERFORM FROM pgagent.pga_jobclass AS c WHERE c.jclid = p_class_id FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN true;
    END IF;
    -- Another claim takes a few milliseconds; others, who edit the class, may take for ever.
    BEGIN
        PERFORM FROM pgagent.pga_jobclass AS c WHERE c.jclid = p_class_id FOR NO KEY UPDATE;
        RETURN FOUND;
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_lock(integer) IS
'Locks a class, so that nobody else starts a job of it before this transaction ends. Returns whether it could be had, within ten milliseconds.';

CREATE OR REPLACE FUNCTION pgagent.pga_class_take(p_class_id integer)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limit CONSTANT integer := (SELECT c.jcllimit FROM pgagent.pga_jobclass AS c WHERE c.jclid = p_class_id);
BEGIN
    IF v_limit IS NULL THEN
        RETURN true;
    ELSIF NOT pgagent.pga_class_lock(p_class_id) THEN
        RETURN false;
    END IF;
    RETURN pgagent.pga_class_held(p_class_id) < v_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_take(integer) IS
'Whether one more job of this class may start now; then nobody else starts one before this transaction ends. For those that claim without pga_run_claim().';

CREATE OR REPLACE FUNCTION pgagent.pga_class_places(
    p_station text, OUT classes integer[], OUT places integer[], OUT full_classes integer[]
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class record;
    v_places integer;
BEGIN
    -- In the order of ids, for whoever locks several.
    FOR v_class IN
        SELECT c.jclid, c.jcllimit FROM pgagent.pga_jobclass AS c WHERE c.jcllimit IS NOT NULL ORDER BY c.jclid
    LOOP
        v_places := 0;
        -- A class that is full, or of which nothing is due, need not be locked.
        IF EXISTS (
            SELECT FROM pgagent.pga_job AS j
            WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobjclid = v_class.jclid
                  AND j.jobhostagent IN ('', p_station)
        ) AND pgagent.pga_class_held(v_class.jclid) < v_class.jcllimit THEN
            IF pgagent.pga_class_lock(v_class.jclid) THEN
                v_places := greatest(v_class.jcllimit - pgagent.pga_class_held(v_class.jclid)::integer, 0);
            END IF;
        END IF;
        classes := classes || v_class.jclid;
        places := places || v_places;
        IF v_places = 0 THEN
            full_classes := full_classes || v_class.jclid;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_places(text) IS
'The classes that have a limit, how many further jobs of each may start now, and those of which none may: they are full, or another claim has them, or nothing of them is due that an agent on this host may claim. Those with places are locked until this transaction ends. NULLs if no class has a limit.';

CREATE OR REPLACE FUNCTION pgagent.pga_classes_full()
RETURNS integer[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT c.jclid FROM pgagent.pga_jobclass AS c
        WHERE c.jcllimit IS NOT NULL AND pgagent.pga_class_held(c.jclid) >= c.jcllimit
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_classes_full() IS
'The classes of which as many jobs are under way as may be. A hint: nothing is locked.';

-- A runner that waits for a place in a class does not look before it is told. Who has just
-- made one looks itself, but may lack workers, or be on another host. Jobs that fall due
-- before its transaction ends are told of as well.
CREATE OR REPLACE FUNCTION pgagent.pga_class_leave(p_class_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclid = p_class_id AND c.jcllimit IS NOT NULL) AND EXISTS (
        SELECT FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun < clock_timestamp() + interval '10 seconds' AND j.jobjclid = p_class_id
    ) THEN
        PERFORM pg_notify('pgagent', '');
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_leave(integer) IS
'Tells runners that a job of this class is not under way any more, if it has a limit and others may be waiting for that.';

CREATE OR REPLACE FUNCTION pgagent.pga_class_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('pgagent', '');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_changed() IS
'Trigger: tells runners that more jobs may start than before: the limit of a class has changed, or a job under way is gone.';

DROP TRIGGER IF EXISTS pga_class_changed ON pgagent.pga_jobclass;
CREATE TRIGGER pga_class_changed AFTER UPDATE OF jcllimit ON pgagent.pga_jobclass
    FOR EACH ROW WHEN (NEW.jcllimit IS DISTINCT FROM OLD.jcllimit) EXECUTE FUNCTION pgagent.pga_class_changed();
COMMENT ON TRIGGER pga_class_changed ON pgagent.pga_jobclass IS 'Tells runners that the limit of a class has changed.';

DROP TRIGGER IF EXISTS pga_class_changed ON pgagent.pga_job;
CREATE TRIGGER pga_class_changed AFTER DELETE ON pgagent.pga_job
    FOR EACH ROW WHEN (OLD.jobagentid IS NOT NULL) EXECUTE FUNCTION pgagent.pga_class_changed();
COMMENT ON TRIGGER pga_class_changed ON pgagent.pga_job IS 'A job under way that is deleted makes room for another one of its class.';
