-- zones.sql: jobs whose time zones the server does not know, and knows again. Writes pga_job.
--
-- Time zones belong to the server's operating system. One may be renamed, or missing where a
-- database has been moved to; nothing tells a database when it is there again.

CREATE OR REPLACE FUNCTION pgagent.pga_job_review(p_unknown integer[])
RETURNS TABLE (schedule_id integer, schedule_name text, schedule_zone text, job_id integer, job_name text, is_unknown boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id integer;
BEGIN
    -- A job without a next run gets one, and so does one that has had less than its due.
    FOR v_job_id IN
        SELECT j.jobid FROM pgagent.pga_job AS j
        WHERE j.jobenabled AND j.jobagentid IS NULL AND j.jobrunid IS NULL
              AND CASE WHEN j.jobnextrun IS NOT NULL THEN j.jobnextrun > now() AND EXISTS (
                  SELECT FROM pgagent.pga_schedule AS s
                  WHERE s.jscid = ANY (p_unknown) AND s.jscjobid = j.jobid AND s.jscenabled
                        AND NOT pgagent.pga_zone_is_unknown(s)
                        AND pgagent.pga_schedule_next(s, now()) < j.jobnextrun
              ) ELSE EXISTS (
                  SELECT FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled
                        AND pgagent.pga_schedule_next(s, now()) IS NOT NULL
              ) END
        ORDER BY j.jobid LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        BEGIN
            UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid = v_job_id;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'pgagent: the next run of job % could not be set: %', v_job_id, SQLERRM;
        END;
    END LOOP;

    RETURN QUERY
    SELECT s.jscid, left(s.jscname, 1000), left(s.jsctimezone, 1000), j.jobid, left(j.jobname, 1000),
           pgagent.pga_zone_is_unknown(s)
    FROM pgagent.pga_schedule AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jscjobid
    WHERE s.jscenabled AND j.jobenabled AND (s.jscid = ANY (p_unknown) OR pgagent.pga_zone_is_unknown(s))
    ORDER BY s.jscid;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_review(integer[]) IS
'Sets the next runs of jobs that have none although a schedule has one, and of those with one of the schedules p_unknown if the server knows its time zone again. Returns these schedules, and those whose zones the server does not know.';
