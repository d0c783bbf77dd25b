-- crontab.sql: taking over the jobs of cron(8).

CREATE FUNCTION pgagent.import_crontab(
    crontab text, dry_run boolean DEFAULT true, timezone text DEFAULT NULL,
    prefix text DEFAULT 'crontab'
)
RETURNS TABLE (line integer, entry text, job text, schedule text, result text) LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include python/src/pgagent_runner/sending/refusal.py
-- include ask.py
-- include python/src/pgagent_runner/verbs/imports/crontab_lines.py
-- include crontab.py
return import_crontab(crontab, dry_run, timezone, prefix)
$python$;
REVOKE ALL ON FUNCTION pgagent.import_crontab(text, boolean, text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.import_crontab(text, boolean, text, text) IS
'Takes over a user''s crontab (a line with a user''s name, as in /etc/crontab, is refused in words): each line becomes a job with a batch step, named by the prefix and the number of its line; variables are set in the scripts, CRON_TZ is heeded, % begins the standard input. Returns what each line becomes; a dry run, the default, makes nothing. A job whose name exists already is left alone, and it is said if that does something else. Raises 22023 if a line can''t be taken over; then no job is made; and for more than a million characters. Not for PUBLIC. Example: SELECT * FROM pgagent.import_crontab(''30 2 * * 1-5 /usr/local/bin/backup'').';

