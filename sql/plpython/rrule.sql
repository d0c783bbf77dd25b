-- rrule.sql: recurrence rules of calendars.

CREATE FUNCTION pgagent.schedule_from_rrule(
    rrule text, OUT schedule text, OUT timezone text, OUT start_at text, OUT end_at text
)
RETURNS record LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
-- include refusal.py
-- include rrule.py
try:
    return schedule_of(rrule)
except RefusalError as e:
    plpy.error(f"pgagent: recurrence rule: {e}", detail=e.detail, sqlstate="22023")
$python$;
COMMENT ON FUNCTION pgagent.schedule_from_rrule(text) IS
'The schedule, as add_schedule() takes it, that an RRULE of RFC 5545 stands for, with the time zone and start of its DTSTART (a second line) and the end of its UNTIL, NULL if it has none; start and end are local times, unless they end in Z. What DTSTART fixes and the rule leaves open is taken from it. Raises 22023 for what a schedule can''t express: COUNT, BYSETPOS, every second week and the like. Example: SELECT schedule FROM pgagent.schedule_from_rrule(''FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=30'').';

