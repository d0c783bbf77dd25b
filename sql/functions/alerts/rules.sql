-- rules.sql: what may stand in pga_alert, and which alerts tell of what.
--
-- Alerts are decided here and nowhere else, each event once: tell.sql writes it down,
-- runs.sql calls that in the transaction that closes a run, watch.sql for what comes with
-- time, deliver.sql hands messages to those who send them.

CREATE OR REPLACE FUNCTION pgagent.pga_events_known()
RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY['failed', 'recovered', 'aborted', 'late', 'skipped', 'long', 'disabled', 'no_runner', 'unarmed', 'set_aside']
$$;
COMMENT ON FUNCTION pgagent.pga_events_known() IS
'The events that an alert can tell.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_alert(
    p_where text, p_name text, p_channel text, p_events text[], p_after_failures integer, p_repeat_every interval
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unknown text;
BEGIN
    IF btrim(p_name) = '' THEN
        PERFORM pgagent.pga_refuse(p_where || '(name)', 'is empty'::text, 'A name is wanted: it is how the other functions find the alert.'::text);
    ELSIF length(p_name) > 500 THEN
        PERFORM pgagent.pga_refuse(p_where || '(name)', format('has %s characters', length(p_name)), 'Allowed are 500 at most.'::text);
    ELSIF p_channel !~ '^[A-Za-z0-9_.-]{1,63}$' AND p_channel NOT LIKE 'job:_%' THEN
        PERFORM pgagent.pga_refuse(p_where || '(channel)', format('"%s" is no channel', left(p_channel, 70)),
            'Wanted is notify, job:NAME, or the name of a channel in pgagent.toml: letters, digits, "_", "." and "-", 63 at most. Addresses belong in that file.'::text);
    ELSIF p_channel = 'job' THEN
        PERFORM pgagent.pga_refuse(p_where || '(channel)', 'says of no job'::text, 'Wanted is the name of the job that is to be started: job:NAME.'::text);
    ELSIF cardinality(p_events) = 0 THEN
        PERFORM pgagent.pga_refuse(p_where || '(events)', 'is empty'::text,
            format('Known are %s.', array_to_string(pgagent.pga_events_known(), ', ')));
    ELSIF p_after_failures < 1 THEN
        PERFORM pgagent.pga_refuse(p_where || '(after_failures)', format('%s is out of range', p_after_failures),
            'Wanted is at how many failures in a row it tells: 1 or more.'::text);
    END IF;
    SELECT min(COALESCE(e.event, 'NULL')) INTO v_unknown FROM unnest(p_events) AS e (event)
    WHERE (e.event = ANY (pgagent.pga_events_known())) IS NOT TRUE;
    IF v_unknown IS NOT NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(events)', format('"%s" is not known', left(v_unknown, 70)),
            format('Known are %s.', array_to_string(pgagent.pga_events_known(), ', ')));
    END IF;
    PERFORM pgagent.pga_check_span(p_where || '(repeat_every)', p_repeat_every);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_alert(text, text, text, text[], integer, interval) IS
'Raises 22023 for any attribute of an alert that is not allowed; NULL always is.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgagent.pga_restoring() THEN
        DELETE FROM pgagent.pga_alert AS a WHERE a.altname = NEW.altname;
        NEW.alttest := NULL;
        RETURN NEW;
    END IF;
    PERFORM pgagent.pga_check_alert('pga_alert'::text, NEW.altname, CASE WHEN NEW.altchannel = 'job' THEN 'job:it' ELSE NEW.altchannel END,
                                    NEW.altevents, NEW.altafterfailures, NEW.altrepeatevery);
    IF NEW.altchannel LIKE 'job:%' THEN
        PERFORM pgagent.pga_refuse('pga_alert.altchannel'::text, format('"%s" is no channel', left(NEW.altchannel, 70)),
            'To start a job it is job, with the id of that job in altstartjobid.'::text);
    ELSIF NEW.altchannel <> 'job' THEN
        NEW.altstartjobid := NULL;
    ELSIF NEW.altstartjobid IS NULL AND TG_OP = 'INSERT' THEN
        PERFORM pgagent.pga_refuse('pga_alert.altstartjobid'::text, 'is NULL'::text, 'Wanted is the id of the job that is to be started.'::text);
    ELSIF NEW.altstartjobid = NEW.altjobid THEN
        PERFORM pgagent.pga_refuse('pga_alert.altstartjobid'::text, 'is the job that it is of'::text, 'A job is not started when it fails itself.'::text);
    ELSIF NEW.altstartjobid IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.altstartjobid IS DISTINCT FROM OLD.altstartjobid) THEN
        -- Whoever has it started has to be allowed to start it.
        PERFORM pgagent.pga_job_to_write(NEW.altstartjobid::bigint);
    END IF;
    NEW.altcreated := now();
    NEW.altby := current_user;
    IF TG_OP = 'UPDATE' THEN
        NEW.altcreated := OLD.altcreated;
        -- That the job which it starts is dropped changes nothing else.
        NEW.altby := CASE WHEN NEW.altstartjobid IS NULL AND OLD.altstartjobid IS NOT NULL AND NEW.altchannel = 'job'
            THEN OLD.altby ELSE current_user END;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_trigger() IS
'Trigger: says who writes an alert, whatever is written there, and refuses what is not allowed with 22023, a job that its writer may not start with 42501; rows from a dump stay as they are, and take the place of those of the same name.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_changed()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('pgagent', 'alert');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_changed() IS
'Trigger: tells runners that alerts have changed.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_discard()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_discard() IS
'Trigger: what was to be told where the database was dumped is not to be told here.';

DROP TRIGGER IF EXISTS pga_alert_trigger ON pgagent.pga_alert;
-- Not of alttest, which a watch writes.
CREATE TRIGGER pga_alert_trigger
    BEFORE INSERT OR UPDATE OF altname, altchannel, altevents, altjobid, altclassid, altstartjobid, altafterfailures,
        altrepeatevery, altenabled, altcreated, altby
    ON pgagent.pga_alert FOR EACH ROW EXECUTE FUNCTION pgagent.pga_alert_trigger();
COMMENT ON TRIGGER pga_alert_trigger ON pgagent.pga_alert IS 'Refuses a malformed alert, in words.';

DROP TRIGGER IF EXISTS pga_alert_changed ON pgagent.pga_alert;
CREATE TRIGGER pga_alert_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgagent.pga_alert
    FOR EACH STATEMENT EXECUTE FUNCTION pgagent.pga_alert_changed();
COMMENT ON TRIGGER pga_alert_changed ON pgagent.pga_alert IS 'Tells runners that alerts have changed.';

DROP TRIGGER IF EXISTS pga_alert_discard ON pgagent.pga_alertevent;
CREATE TRIGGER pga_alert_discard BEFORE INSERT ON pgagent.pga_alertevent
    FOR EACH ROW WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_alert_discard();
COMMENT ON TRIGGER pga_alert_discard ON pgagent.pga_alertevent IS 'Leaves out events that come from a dump.';

DROP TRIGGER IF EXISTS pga_alert_discard ON pgagent.pga_alertstate;
CREATE TRIGGER pga_alert_discard BEFORE INSERT ON pgagent.pga_alertstate
    FOR EACH ROW WHEN (pgagent.pga_restoring()) EXECUTE FUNCTION pgagent.pga_alert_discard();
COMMENT ON TRIGGER pga_alert_discard ON pgagent.pga_alertstate IS 'Leaves out what lasted where a dump was made.';
