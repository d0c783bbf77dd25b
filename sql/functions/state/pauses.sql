-- pauses.sql: jobs that do not start for now (pga_jobpause). Whoever claims asks; what is
-- under way goes on. When a pause ends, times that have passed in it are made up for as if
-- no runner had been there (make_up.sql).

CREATE OR REPLACE FUNCTION pgagent.pga_paused_until(p_job_id integer)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT max(p.jpsuntil) FROM pgagent.pga_jobpause AS p
        WHERE p.jpsuntil > now() AND (p.jpsjobid = p_job_id OR p.jpsjobid IS NULL)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_paused_until(integer) IS
'Until when this job is paused, by itself or with all; infinity: until somebody ends it. NULL: it is not. NULL instead of an id: until when all jobs are.';

CREATE OR REPLACE FUNCTION pgagent.pga_pause_note(p_job_id integer, p_at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN p.jpsjobid IS NULL THEN 'all jobs were paused' ELSE 'the job was paused' END
               || COALESCE(format(' (%s)', nullif(left(p.jpsreason, 1000), '')), '')
        FROM pgagent.pga_jobpause AS p
        WHERE (p.jpsjobid = p_job_id OR p.jpsjobid IS NULL) AND p.jpssince <= p_at AND p.jpsuntil > p_at
        ORDER BY p.jpsjobid LIMIT 1
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_pause_note(integer, timestamptz) IS
'That this job was paused at this time, as far as that is known, and why; NULL: it was not.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobpause_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        -- A job, and all of them, may have a pause already.
        DELETE FROM pgagent.pga_jobpause AS p WHERE p.jpsjobid IS NOT DISTINCT FROM NEW.jpsjobid;
        RETURN NEW;
    END IF;
    PERFORM pgagent.pga_check_size('pga_jobpause.jpsreason'::text, length(NEW.jpsreason), 10000, 'characters'::text);
    -- Whoever ends a pause has not paused.
    NEW.jpsby := CASE WHEN TG_OP = 'UPDATE' AND NEW.jpsuntil <= now() THEN OLD.jpsby ELSE current_user END;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobpause_trigger() IS
'Trigger: says who pauses, whatever is written there; rows from a dump stay as they are, and take the place of those that are there. Refuses a reason of more than 10,000 characters with 22023.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobpause_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('pgagent', '');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobpause_changed() IS
'Trigger: tells runners that pauses have changed.';

DROP TRIGGER IF EXISTS pga_jobpause_trigger ON pgagent.pga_jobpause;
CREATE TRIGGER pga_jobpause_trigger BEFORE INSERT OR UPDATE ON pgagent.pga_jobpause
    FOR EACH ROW EXECUTE FUNCTION pgagent.pga_jobpause_trigger();
COMMENT ON TRIGGER pga_jobpause_trigger ON pgagent.pga_jobpause IS 'Says who pauses.';

DROP TRIGGER IF EXISTS pga_jobpause_changed ON pgagent.pga_jobpause;
CREATE TRIGGER pga_jobpause_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgagent.pga_jobpause
    FOR EACH STATEMENT EXECUTE FUNCTION pgagent.pga_jobpause_changed();
COMMENT ON TRIGGER pga_jobpause_changed ON pgagent.pga_jobpause IS 'Tells runners that pauses have changed.';
