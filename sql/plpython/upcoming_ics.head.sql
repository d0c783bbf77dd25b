-- upcoming_ics: the coming runs for calendar programs.

CREATE OR REPLACE FUNCTION pgagent.pga_write_calendar(p_events jsonb)
RETURNS jsonb LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
