-- import_crontab: the lines of a user's crontab as jobs.

CREATE OR REPLACE FUNCTION pgagent.pga_read_crontab(p_crontab text, p_database text)
RETURNS jsonb LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
