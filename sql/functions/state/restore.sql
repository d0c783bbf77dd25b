-- restore.sql: how triggers know that rows come from a dump.

-- pg_dump's scripts begin with these two settings, whatever the format, and nothing
-- else sets both: see _doSetFixedOutputState() in PostgreSQL's pg_backup_archiver.c.
-- What is prescribed to a database or a role does not count: that is asked last, since
-- pg_settings is slow.
-- PL/pgSQL for the sake of its plan cache: triggers ask at every statement.
CREATE OR REPLACE FUNCTION pgagent.pga_restoring()
RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('check_function_bodies')::boolean OR current_setting('row_security')::boolean THEN
        RETURN false;
    END IF;
    RETURN (
        SELECT count(*) = 2 FROM pg_settings AS s
        WHERE s.name IN ('row_security', 'check_function_bodies') AND s.source = 'session'
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restoring() IS
'Whether this session restores a dump, by the settings that it has made itself. Triggers then store rows as they were: no check of old schedules, no next run computed anew; but claims and running runs of the dumped server are closed.';

