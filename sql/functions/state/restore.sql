-- restore.sql: how triggers know that rows come from a dump.

-- pg_dump's scripts begin with these two settings, whatever the format, and nothing
-- else sets both: see _doSetFixedOutputState() in PostgreSQL's pg_backup_archiver.c.
-- PL/pgSQL for the sake of its plan cache: triggers ask at every statement.
CREATE OR REPLACE FUNCTION pgagent.pga_restoring()
RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN NOT current_setting('check_function_bodies')::boolean
           AND NOT current_setting('row_security')::boolean;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_restoring() IS
'Whether this session restores a dump. Triggers then store rows as they were: no check of old schedules, no next run computed anew; but claims and running runs of the dumped server are closed.';

