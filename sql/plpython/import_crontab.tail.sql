return answer(read_crontab, p_crontab, p_database)
$python$;
COMMENT ON FUNCTION pgagent.pga_read_crontab(text, text) IS
'What each line of a crontab becomes, as pga_import() takes it, for pga_answer().';

CREATE OR REPLACE FUNCTION pgagent.import_crontab(
    crontab text, database text DEFAULT NULL, dry_run boolean DEFAULT true
)
RETURNS TABLE (line integer, job_name text, schedule text, kind text, command text, action text, problem text)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM pgagent.pga_import(
        pgagent.pga_answer(pgagent.pga_read_crontab(COALESCE($1, ''), $2)), $3
    )
$$;
COMMENT ON FUNCTION pgagent.import_crontab(text, text, boolean) IS
'Reads a user''s crontab and says what each line becomes: a job of one batch step, with the variables, the time zone (CRON_TZ, TZ) and the standard input (%) that cron would give it. With a database, commands that are nothing but psql -c become SQL steps, there if they name no other. Creates the jobs with dry_run => false: all of them, or raises 22023 and none. Example: SELECT line, action, schedule, command, problem FROM pgagent.import_crontab(''30 2 * * 1-5 /usr/local/bin/backup'').';
REVOKE ALL ON FUNCTION pgagent.import_crontab(text, text, boolean) FROM PUBLIC;

