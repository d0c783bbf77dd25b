-- rrule.sql: recurrence rules of calendars.

CREATE FUNCTION pgagent.schedule_from_rrule(
    rrule text, OUT schedule text, OUT timezone text, OUT start_at timestamptz, OUT end_at timestamptz
)
RETURNS record LANGUAGE plpython3u STABLE
SET search_path = pg_catalog, pg_temp
AS $python$
-- include python/src/pgagent_runner/sending/refusal.py
-- include ask.py
-- include rrule.py
return schedule_from_rrule(rrule)
$python$;
REVOKE ALL ON FUNCTION pgagent.schedule_from_rrule(text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.schedule_from_rrule(text) IS
'The schedule, as add_schedule() takes it, that an RRULE of RFC 5545 stands for, with the time zone and start of its DTSTART (a second line) and the end of its UNTIL, NULL if it has none; a time without a zone is one in the default zone of schedules. What DTSTART fixes and the rule leaves open is taken from it. Raises 22023 for what a schedule can''t express: COUNT, BYSETPOS, every second week and the like, and for a zone that is not known. Not for PUBLIC. Example: SELECT schedule FROM pgagent.schedule_from_rrule(''FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=30'').';

