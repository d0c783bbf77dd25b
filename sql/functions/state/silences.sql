-- silences.sql: jobs of which nobody is told for now (pga_jobsilence). They run as ever.
-- What happens meanwhile is in alert_log; what still lasts when a silence ends is told then.

CREATE OR REPLACE FUNCTION pgagent.pga_silenced_until(p_job_id integer)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT max(s.jsiuntil) FROM pgagent.pga_jobsilence AS s
        WHERE s.jsiuntil > now() AND (s.jsijobid = p_job_id OR s.jsijobid IS NULL)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_silenced_until(integer) IS
'Until when nobody is told of this job, because of its own silence or that of all; infinity: until somebody ends it. NULL: it is not silenced. NULL instead of an id: until when all are.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobsilence_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        -- A job, and all of them, may have a silence already.
        DELETE FROM pgagent.pga_jobsilence AS s WHERE s.jsijobid IS NOT DISTINCT FROM NEW.jsijobid;
        RETURN NEW;
    END IF;
    PERFORM pgagent.pga_check_size('pga_jobsilence.jsireason'::text, length(NEW.jsireason), 10000, 'characters'::text);
    -- Whoever ends a silence has not silenced.
    NEW.jsiby := CASE WHEN TG_OP = 'UPDATE' AND NEW.jsiuntil <= now() THEN OLD.jsiby ELSE current_user END;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobsilence_trigger() IS
'Trigger: says who silences, whatever is written there; rows from a dump stay as they are, and take the place of those that are there. Refuses a reason of more than 10,000 characters with 22023.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobsilence_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('pgagent', 'alert');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobsilence_changed() IS
'Trigger: tells runners that silences have changed: what lasts is to be told after them.';

DROP TRIGGER IF EXISTS pga_jobsilence_trigger ON pgagent.pga_jobsilence;
CREATE TRIGGER pga_jobsilence_trigger BEFORE INSERT OR UPDATE ON pgagent.pga_jobsilence
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobsilence_trigger();
COMMENT ON TRIGGER pga_jobsilence_trigger ON pgagent.pga_jobsilence IS 'Says who silences.';

DROP TRIGGER IF EXISTS pga_jobsilence_changed ON pgagent.pga_jobsilence;
CREATE TRIGGER pga_jobsilence_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgagent.pga_jobsilence
    FOR EACH STATEMENT EXECUTE FUNCTION pgagent.pga_jobsilence_changed();
COMMENT ON TRIGGER pga_jobsilence_changed ON pgagent.pga_jobsilence IS 'Tells runners that silences have changed.';
