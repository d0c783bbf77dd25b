return answer(calendar, p_events)
$python$;
COMMENT ON FUNCTION pgagent.pga_write_calendar(jsonb) IS
'An iCalendar of these runs, for pga_answer().';

CREATE OR REPLACE FUNCTION pgagent.upcoming_ics(
    job text DEFAULT NULL, until timestamptz DEFAULT now() + interval '30 days',
    max_events integer DEFAULT 1000
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_format CONSTANT text := 'YYYYMMDD"T"HH24MISS"Z"';
    v_job_id CONSTANT bigint := CASE WHEN job IS NOT NULL THEN pgagent.pga_job_id(job) END;
    v_runs jsonb;
BEGIN
    PERFORM pgagent.pga_check_max_rows(max_events);
    SELECT jsonb_agg(e.run ORDER BY e.run_at, e.job_id) INTO v_runs
    FROM (
        SELECT n.run_at, j.jobid AS job_id, jsonb_build_object(
            'job_id', j.jobid, 'job', j.jobname, 'description', j.jobdesc,
            'schedule', n.schedule_name, 'note', n.note,
            'run_at', to_char(n.run_at AT TIME ZONE 'UTC', v_format)
        ) AS run
        FROM pgagent.pga_job AS j
        CROSS JOIN LATERAL pgagent.next_runs(j.jobid, until => upcoming_ics.until, max_rows => max_events) AS n
        WHERE j.jobenabled AND j.jobid = COALESCE(v_job_id, j.jobid)
        ORDER BY n.run_at, j.jobid LIMIT max_events
    ) AS e;
    RETURN pgagent.pga_answer(pgagent.pga_write_calendar(jsonb_build_object(
        'database', current_database(), 'runs', COALESCE(v_runs, '[]'),
        'now', to_char(now() AT TIME ZONE 'UTC', v_format)
    ))) #>> '{}';
END;
$$;
COMMENT ON FUNCTION pgagent.upcoming_ics(text, timestamptz, integer) IS
'The runs of a job, or of all enabled jobs, from now until then, the first max_events of them, as an iCalendar (RFC 5545) for any calendar program. Raises 42704 or 42P09 if there is no or more than one job of this name, 22023 unless max_events is from 1 to 100000. Example: SELECT pgagent.upcoming_ics(until => now() + interval ''7 days'').';

