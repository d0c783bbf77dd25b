-- log.sql: deleting runs from the log by hand. What is kept anyway, and for how long, is for
-- keep_for and keep_runs of each job: state/prune.sql.

CREATE OR REPLACE FUNCTION pgagent.delete_log(
    job_id bigint, before timestamptz DEFAULT now(), keep_runs integer DEFAULT 0,
    max_rows integer DEFAULT NULL, dry_run boolean DEFAULT false
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_oldest_kept bigint;
    v_ids bigint[];
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id);
    IF before IS NULL THEN
        PERFORM pgagent.pga_refuse('delete_log(before)'::text, 'is NULL'::text, 'A point in time is wanted; now() stands for all runs.'::text);
    ELSIF keep_runs < 0 OR keep_runs IS NULL THEN
        PERFORM pgagent.pga_refuse('delete_log(keep_runs)'::text, format('%s is out of range', COALESCE(keep_runs::text, 'NULL')), 'Wanted is how many of the latest runs stay.'::text);
    ELSIF max_rows < 1 THEN
        PERFORM pgagent.pga_refuse('delete_log(max_rows)'::text, format('%s is out of range', max_rows), 'Wanted is how many runs to delete at most; NULL stands for all.'::text);
    END IF;
    SELECT l.jlgid INTO v_oldest_kept FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = job_id AND keep_runs > 0
    ORDER BY l.jlgid DESC OFFSET greatest(keep_runs - 1, 0) LIMIT 1;
    v_ids := ARRAY(
        SELECT l.jlgid FROM pgagent.pga_joblog AS l
        WHERE l.jlgjobid = job_id AND l.jlgstatus <> 'r' AND l.jlgstart < before
              AND (keep_runs = 0 OR l.jlgid < v_oldest_kept)
        ORDER BY l.jlgid LIMIT max_rows
    );
    IF NOT COALESCE(dry_run, false) THEN
        DELETE FROM pgagent.pga_joblog AS l WHERE l.jlgid = ANY (v_ids);
    END IF;
    RETURN cardinality(v_ids)::bigint;
END;
$$;
COMMENT ON FUNCTION pgagent.delete_log(bigint, timestamptz, integer, integer, boolean) IS
'Deletes the runs of a job that began before a point in time, with the output of their steps, but not one that is under way, nor the latest keep_runs; at most max_rows, the oldest first. dry_run: counts them only. Returns how many they are. Raises 42704 if there is no such job, 42501 for whoever may not edit it, 22023 for anything that is not allowed. Example: SELECT pgagent.delete_log(42, before => now() - interval ''90 days'', keep_runs => 10).';

CREATE OR REPLACE FUNCTION pgagent.delete_log(
    job_name text, before timestamptz DEFAULT now(), keep_runs integer DEFAULT 0,
    max_rows integer DEFAULT NULL, dry_run boolean DEFAULT false
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.delete_log(pgagent.pga_job_id($1), $2, $3, $4, $5) $$;
COMMENT ON FUNCTION pgagent.delete_log(text, timestamptz, integer, integer, boolean) IS
'As delete_log() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.delete_log(''etl'', before => now() - interval ''90 days'').';
