-- prune.sql: deleting what need not be kept in the log any longer. Writes pga_joblog, whose
-- steps go with it, pga_jobskip, pga_jobaside, pga_jobpause, pga_jobcaution, pga_jobchange,
-- pga_jobsilence, pga_alertevent and pga_alertstate.

CREATE OR REPLACE FUNCTION pgagent.pga_log_prune(
    p_after integer, p_jobs integer, p_runs integer, OUT last_job_id integer, OUT deleted integer
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job record;
    v_oldest_kept bigint;
    v_deleted integer;
BEGIN
    deleted := 0;
    FOR v_job IN
        SELECT j.jobid, j.jobkeepruns,
               pgagent.pga_span(j.jobkeepfor) AS jobkeepfor
        FROM pgagent.pga_job AS j
        -- From 1 on, and then whatever ids there are below.
        WHERE CASE WHEN p_after >= 0 THEN j.jobid > p_after OR j.jobid <= 0
                   ELSE j.jobid > p_after AND j.jobid <= 0 END
              AND num_nonnulls(j.jobkeepfor, j.jobkeepruns) > 0
        ORDER BY j.jobid <= 0, j.jobid LIMIT p_jobs
    LOOP
        SELECT l.jlgid INTO v_oldest_kept FROM pgagent.pga_joblog AS l
        WHERE l.jlgjobid = v_job.jobid AND v_job.jobkeepruns IS NOT NULL
        ORDER BY l.jlgid DESC OFFSET v_job.jobkeepruns - 1 LIMIT 1;
        -- From the oldest on, and only as far as there is something to delete.
        DELETE FROM pgagent.pga_joblog WHERE jlgid IN (
            SELECT o.jlgid
            FROM (SELECT l.jlgid, l.jlgstart, l.jlgstatus FROM pgagent.pga_joblog AS l
                  WHERE l.jlgjobid = v_job.jobid ORDER BY l.jlgid LIMIT p_runs - deleted) AS o
            WHERE o.jlgstatus <> 'r'
                  AND (o.jlgid < v_oldest_kept OR o.jlgstart < now() - v_job.jobkeepfor)
        );
        GET DIAGNOSTICS v_deleted = ROW_COUNT;
        deleted := deleted + v_deleted;
        IF deleted >= p_runs THEN
            last_job_id := COALESCE(last_job_id, p_after);
            RETURN;     -- this job may have more: it is the first one next time
        END IF;
        DELETE FROM pgagent.pga_jobskip
        WHERE jskjobid = v_job.jobid AND jsklogged < now() - v_job.jobkeepfor;
        last_job_id := nullif(v_job.jobid, 0);     -- which is the last of all
    END LOOP;
    IF last_job_id IS NULL THEN
        PERFORM pgagent.pga_log_prune_changes(10 * p_runs);
        PERFORM pgagent.pga_log_prune_cautions();
        PERFORM pgagent.pga_log_prune_alerts(10 * p_runs);
    END IF;
    -- A job that is due is tried again within a minute: these are not due any more.
    IF EXISTS (SELECT FROM pgagent.pga_jobaside AS s WHERE s.jsauntil < now() - interval '1 day') THEN
        DELETE FROM pgagent.pga_jobaside WHERE jsauntil < now() - interval '1 day';
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil < now() - interval '1 day') THEN
        DELETE FROM pgagent.pga_jobpause WHERE jpsuntil < now() - interval '1 day';
    END IF;
    IF EXISTS (SELECT FROM pgagent.pga_jobsilence AS s WHERE s.jsiuntil < now() - interval '1 day') THEN
        DELETE FROM pgagent.pga_jobsilence WHERE jsiuntil < now() - interval '1 day';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_log_prune(integer, integer, integer) IS
'Deletes, of the next p_jobs jobs after the id p_after (0: of the first), at most p_runs runs that are beyond the latest jobkeepruns or began longer than jobkeepfor ago; never a running one. After the last job, what need not be kept of pga_jobchange, and of what alerts have told. Returns the last job that is done with, to go on from (NULL when there is no further one), and how many runs were deleted.';

