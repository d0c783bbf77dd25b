-- ics.sql: the coming runs, for calendar programs.

CREATE FUNCTION pgagent.upcoming_ics(
    job text DEFAULT NULL, until timestamptz DEFAULT now() + interval '7 days',
    max_rows integer DEFAULT 100
)
RETURNS text LANGUAGE plpython3u STABLE
SET search_path = pg_catalog, pg_temp
AS $python$
-- include ask.py
-- include ics.py
return upcoming_ics(job, until, max_rows)
$python$;
REVOKE ALL ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) IS
'The coming runs of a job, or of all enabled jobs (NULL), as an iCalendar (RFC 5545), up to "until" and at most max_rows; an event has the same UID each time. Raises what next_runs() does. Not for PUBLIC. Example: SELECT pgagent.upcoming_ics().';

