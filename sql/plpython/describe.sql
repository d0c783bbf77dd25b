-- describe.sql: what a schedule means, in plain English.

CREATE FUNCTION pgagent.pga_describe(
    minutes boolean[], hours boolean[], weekdays boolean[], monthdays boolean[], months boolean[],
    every double precision, at text, reboot boolean, timezone text
)
RETURNS text LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
-- include describe.py
return describe(minutes, hours, weekdays, monthdays, months, every, at, reboot, timezone)
$python$;
REVOKE ALL ON FUNCTION pgagent.pga_describe(boolean[], boolean[], boolean[], boolean[], boolean[], double precision, text, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_describe(boolean[], boolean[], boolean[], boolean[], boolean[], double precision, text, boolean, text) IS
'A schedule in plain English: its fields, each in the form of pga_schedule, or its interval in seconds, or its one local time, or whether it waits for a runner to start.';

CREATE FUNCTION pgagent.pga_describe(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A schedule that it has no words for is described by its text.
    SELECT CASE WHEN pgagent.pga_schedule_kind(p_schedule) !~ '^@(every|at|reboot)'
        THEN pgagent.pga_schedule_text(p_schedule) ELSE pgagent.pga_describe(
        p_schedule.jscminutes, p_schedule.jschours, p_schedule.jscweekdays,
        p_schedule.jscmonthdays, p_schedule.jscmonths,
        extract(epoch FROM p_schedule.jscevery)::double precision,
        to_char(COALESCE(pgagent.pga_local_time(p_schedule.jsctimezone, p_schedule.jscat),
                         p_schedule.jscat AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI:SS'),
        p_schedule.jscreboot, p_schedule.jsctimezone
    ) END
$$;
REVOKE ALL ON FUNCTION pgagent.pga_describe(pgagent.pga_schedule) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.pga_describe(pgagent.pga_schedule) IS
'A row of pga_schedule in plain English, without its start, end and exceptions.';

CREATE FUNCTION pgagent.describe_schedule(schedule text, timezone text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(pgagent.pga_describe(p), '; and ')
    FROM pgagent.pga_schedule_parsed($1, $2, now()) AS p
$$;
REVOKE ALL ON FUNCTION pgagent.describe_schedule(text, text) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.describe_schedule(text, text) IS
'What the text of a schedule means, in plain English. Raises 22023 if it can''t be read. Example: SELECT pgagent.describe_schedule(''30 2 * * mon-fri'', ''Europe/Berlin'').';

CREATE FUNCTION pgagent.describe_schedule(schedule_id bigint)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_describe(s) FROM pgagent.pga_schedule AS s WHERE s.jscid = $1 $$;
REVOKE ALL ON FUNCTION pgagent.describe_schedule(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.describe_schedule(bigint) IS
'What a stored schedule means, in plain English; NULL if there is none with this id. Example: SELECT jscname, pgagent.describe_schedule(jscid) FROM pgagent.pga_schedule.';

