-- pg_cron.sql: taking over the jobs of the extension pg_cron.

CREATE FUNCTION pgagent.import_pg_cron(dry_run boolean DEFAULT true, all_users boolean DEFAULT false)
RETURNS TABLE (cron_jobid bigint, job text, schedule text, database text, result text)
LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include ask.py
-- include pg_cron.py
return import_pg_cron(dry_run, all_users)
$python$;
REVOKE ALL ON FUNCTION pgagent.import_pg_cron(boolean, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_pg_cron(boolean, boolean) IS
'Takes over the jobs of pg_cron in this database: cron.job, with their schedules in the zone of cron.timezone. Returns what each becomes, and what is different; a dry run, the default, makes nothing. Jobs of other users are left alone, for they would run with the login of the runner, unless all_users is true; a job of another server is made disabled. A job is named as it was (with its user, where two users had one name), and one whose name exists already is left alone too, so that a second call doubles nothing; pg_cron''s own jobs are not touched: unschedule them when all is well. Raises 42P01 if there is no pg_cron, 22023 if a job can''t be taken over; then none is. Not for PUBLIC. Example: SELECT * FROM pgagent.import_pg_cron().';
