-- problems.sql: what is wrong now. Whoever tells of it, be it alerts, metrics or health, reads
-- it here: nothing of it is computed a second time.
--
-- Times in tables may be infinite, or such that no program can read them: they are compared,
-- hardly ever computed with, and left out where they would be shown.

CREATE OR REPLACE VIEW pgagent.problems AS
WITH found AS (
    SELECT f.job_id, f.problem, f.since, f.detail FROM pgagent.pga_failing AS f
    UNION ALL
    SELECT g.job_id, 'disabled' AS problem, g.since,
           left(pgagent.pga_explain_run(g.run), 10000) || '; alter_job(..., enabled => true) enables it' AS detail
    FROM pgagent.pga_given_up AS g
    UNION ALL
    SELECT w.job_id, 'late' AS problem, w.since,
           format('due since %s, which is longer ago than late_after (%s): %s', date_trunc('second', w.since), w.late_after, w.reason) AS detail
    FROM pgagent.pga_waiting AS w WHERE w.late
    UNION ALL
    SELECT l.job_id, l.problem, l.since, l.detail FROM pgagent.pga_taking_long AS l
    UNION ALL
    SELECT o.job_id, o.problem, o.since, o.detail
    FROM pgagent.pga_obstacle AS o
    JOIN pgagent.pga_job AS j ON j.jobid = o.job_id
    LEFT JOIN pgagent.pga_jobpause AS p ON p.jpsjobid = j.jobid
    WHERE (j.jobenabled OR j.jobnextrun IS NOT NULL) AND NOT (o.problem = 'set_aside' AND (
        (p.jpsuntil > now()) IS TRUE
        OR EXISTS (SELECT FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL AND a.jpsuntil > now())))
    UNION ALL
    SELECT NULL AS job_id, t.problem, t.since, t.detail FROM pgagent.pga_trouble AS t
)
SELECT p.job_id, j.jobname AS job, p.problem,
       CASE WHEN p.since BETWEEN '0001-01-02 00:00 UTC' AND '9999-12-30 00:00 UTC' THEN p.since END AS since, p.detail
FROM (
    SELECT f.job_id, f.problem, f.since, f.detail FROM found AS f WHERE (SELECT pgagent.pga_unarmed()) IS NULL
    UNION ALL
    SELECT NULL AS job_id, u.problem, u.since, u.detail FROM pgagent.pga_unarmed_jobs AS u
) AS p
LEFT JOIN pgagent.pga_job AS j ON j.jobid = p.job_id
-- As each part does; here for the name of the job, and what a query asks of it.
WHERE j.jobid IS NULL OR (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.problems IS
'What is wrong now, a row for each problem: of a job, or of all (job_id and job are NULL). failed, aborted: the last run that ended has; late: the job is due, and has waited for longer than its late_after, though it is neither paused nor set aside; long: a run takes longer than long_after, or than long_factor times what it usually takes; disabled: for its failures, not by somebody; set_aside: it can''t be started; role, time_zone: it can''t run, because of a role or of a schedule''s time zone; no_runner: none is alive, and a job has been due for a minute, or a runner that died has not come back for a minute; isolation: the catalogue was isolated where it was dumped, and is not here; alert: what an alert is to tell has not been sent for five minutes; unarmed: this is a copy, no job starts, and some would be due (then that is the only problem). since is when that began, as far as is known; detail is a sentence. Example: SELECT job, problem, since, detail FROM pgagent.problems ORDER BY since.';
