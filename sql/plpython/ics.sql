-- ics.sql: the coming runs, for calendar programs.

CREATE FUNCTION pgagent.upcoming_ics(
    job text DEFAULT NULL, until timestamptz DEFAULT now() + interval '7 days',
    max_rows integer DEFAULT 100
)
RETURNS text LANGUAGE plpython3u STABLE
SET search_path = pg_catalog, pg_temp
AS $python$
-- include ics.py
if job is not None:     # refuse an unknown one even if no job is enabled
    plpy.execute(plpy.prepare("SELECT pgagent.pga_job_id($1)", ["text"]), [job])
plpy.execute(plpy.prepare("SELECT pgagent.pga_check_max_rows($1)", ["integer"]), [max_rows])
runs = plpy.execute(plpy.prepare("""
    SELECT j.jobid, left(j.jobname, 200) AS jobname,
           left(concat_ws(E'\\n', nullif(left(j.jobdesc, 200), ''), left(n.schedule_name, 200), n.note), 1000) AS what,
           to_char(n.run_at AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') AS run_at
    FROM pgagent.pga_job AS j, pgagent.next_runs(j.jobid::bigint, now(), $2, $3) AS n
    WHERE j.jobenabled AND ($1 IS NULL OR j.jobid = pgagent.pga_job_id($1))
    ORDER BY n.run_at, j.jobid LIMIT $3""", ["text", "timestamptz", "integer"]), [job, until, max_rows])
(now,) = plpy.execute(
    "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"') AS stamp, current_database() AS host")
events = [(r["jobid"], r["jobname"], r["what"], r["run_at"]) for r in runs]
return calendar(events, now["stamp"], now["host"] + ".pgagent")
$python$;
REVOKE ALL ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) IS
'The coming runs of a job, or of all enabled jobs (NULL), as an iCalendar (RFC 5545), up to "until" and at most max_rows; an event has the same UID each time. Raises what next_runs() does. Not for PUBLIC. Example: SELECT pgagent.upcoming_ics().';

