-- schedule_from_rrule: recurrence rules of calendars as schedules.

CREATE OR REPLACE FUNCTION pgagent.pga_read_rrule(p_rrule text, p_timezone text)
RETURNS jsonb LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
