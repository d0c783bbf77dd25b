-- restore.sql: how triggers know that rows come from a dump.

-- pg_dump's scripts begin with these two settings, whatever the format, and nothing
-- else sets both: see _doSetFixedOutputState() in PostgreSQL's pg_backup_archiver.c.
-- Settings of a database or a role do not count. To see that takes a
-- millisecond, so a transaction that restores remembers it: triggers ask for each row.
-- PL/pgSQL for the sake of its plan cache: triggers ask at every statement.
CREATE OR REPLACE FUNCTION pgagent.pga_restoring()
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_transaction text;     -- which nobody can know beforehand
BEGIN
    IF current_setting('check_function_bodies')::boolean OR current_setting('row_security')::boolean THEN
        RETURN false;
    END IF;
    -- Anybody can make these settings. Whoever restores jobs writes all their columns, which
    -- nobody may who was granted no more than to define some.
    IF NOT has_column_privilege('pgagent.pga_job'::regclass, 'jobagentid'::text, 'INSERT'::text) THEN
        RETURN false;
    END IF;
    v_transaction := pg_backend_pid()::text || now()::text;
    IF current_setting('pgagent.restoring', true) = v_transaction THEN
        RETURN true;
    ELSIF (
        SELECT count(*) = 2 FROM pg_settings AS s
        WHERE s.name IN ('row_security', 'check_function_bodies') AND s.source = 'session'
    ) THEN
        PERFORM set_config('pgagent.restoring', v_transaction, true);
        RETURN true;
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restoring() IS
'Whether this session restores a dump, by the settings that it has made itself, and by what it may write: an editor''s does not. Triggers then store rows as they were: no check of old schedules, no next run computed anew; but claims and running runs of the dumped server are closed.';

