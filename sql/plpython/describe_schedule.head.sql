-- describe_schedule: a schedule in plain English.

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_facts(p_schedule pgagent.pga_schedule)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH local AS (
        SELECT CASE WHEN date_trunc('minute', t.at) = t.at THEN 'YYYY-MM-DD HH24:MI'
                    ELSE 'YYYY-MM-DD HH24:MI:SS' END AS format, t.at, t.what
        FROM (VALUES
            ('at', p_schedule.jscat AT TIME ZONE p_schedule.jsctimezone),
            ('start', CASE WHEN p_schedule.jscstart > now() THEN p_schedule.jscstart END
                      AT TIME ZONE p_schedule.jsctimezone),
            ('end', p_schedule.jscend AT TIME ZONE p_schedule.jsctimezone)
        ) AS t (what, at)
    )
    SELECT jsonb_build_object(
        'minutes', p_schedule.jscminutes, 'hours', p_schedule.jschours,
        'weekdays', p_schedule.jscweekdays, 'monthdays', p_schedule.jscmonthdays,
        'months', p_schedule.jscmonths,
        'every', extract(epoch FROM p_schedule.jscevery)::double precision,
        'reboot', p_schedule.jscreboot, 'timezone', p_schedule.jsctimezone,
        'enabled', p_schedule.jscenabled,
        'exceptions', (SELECT count(*) FROM pgagent.pga_exception AS e
                       WHERE e.jexscid = p_schedule.jscid)
    ) || (SELECT jsonb_object_agg(l.what, to_char(l.at, l.format)) FROM local AS l)
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_facts(pgagent.pga_schedule) IS
'A row of pga_schedule as pga_describe() takes it: every in seconds, at, start (while it is to come) and end in local time, and how many exceptions it has.';

CREATE OR REPLACE FUNCTION pgagent.pga_describe(p_schedules jsonb)
RETURNS jsonb LANGUAGE plpython3u IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $python$
