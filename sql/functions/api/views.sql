-- views.sql: jobs and runs in words. A view reads with the rights of the extension's
-- owner, and is granted like a table. So row security does not count here, and a view
-- asks itself whose jobs to show.

CREATE OR REPLACE VIEW pgagent.agents AS
SELECT a.jagpid AS agent_id, a.jagstation AS station, a.jaglogintime AS since,
       pgagent.pga_why_dead(a) IS NULL AS alive,
       a.jaglease AS lease_until,
       (SELECT count(*) FROM pgagent.pga_job AS j WHERE j.jobagentid = a.jagpid) AS running
FROM pgagent.pga_jobagent AS a;
COMMENT ON VIEW pgagent.agents IS
'The runners: host, since when, whether alive, and how many jobs each runs. Example: SELECT station, alive, running FROM pgagent.agents.';

CREATE OR REPLACE VIEW pgagent.run_history AS
SELECT l.jlgid AS run_id, l.jlgjobid AS job_id, j.jobname AS job,
       CASE l.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
            WHEN 'i' THEN 'nothing to do' WHEN 'd' THEN 'aborted' END AS status,
       l.jlgscheduled AS scheduled, l.jlgstart AS started, CASE WHEN isfinite(l.jlgstart) AND isfinite(l.jlgscheduled) THEN l.jlgstart - l.jlgscheduled END AS delay,
       l.jlgduration AS duration, l.jlgstation AS station, l.jlgmessage AS message,
       s.jslid AS step_log_id, t.jstname AS step,
       CASE s.jslstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
            WHEN 'i' THEN 'ignored' WHEN 'd' THEN 'aborted' END AS step_status,
       s.jslstart AS step_started, s.jslduration AS step_duration, s.jslresult AS result,
       s.jsloutput AS output, s.jslattempt AS attempt, s.jslcpu AS step_cpu,
       s.jslmemory AS step_memory, l.jlgchangeid AS change_id, l.jlgstartedby AS started_by,
       l.jlgstartedvia AS started_via, l.jlgrestartof AS restart_of
FROM pgagent.pga_joblog AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
LEFT JOIN pgagent.pga_jobsteplog AS s ON s.jsljlgid = l.jlgid
LEFT JOIN pgagent.pga_jobstep AS t ON t.jstid = s.jsljstid
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.run_history IS
'Every run with its steps, one row a step, in words; what started it (schedule, run_job, or jobnextrun: somebody set that column, as pgAdmin does), and who. Example: SELECT started, status, step, step_status, output FROM pgagent.run_history WHERE job = ''etl'' ORDER BY run_id DESC, step_log_id LIMIT 10.';

CREATE OR REPLACE VIEW pgagent.running AS
SELECT l.jlgid AS run_id, l.jlgjobid AS job_id, j.jobname AS job, l.jlgstart AS started,
       CASE WHEN isfinite(l.jlgstart) THEN clock_timestamp() - l.jlgstart END AS running_for,
       l.jlgstation AS station, t.jstname AS step, s.jslstart AS step_started, s.jslattempt AS attempt,
       l.jlgcancel AS cancelled,
       CASE WHEN l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
            THEN l.jlgstart + pgagent.pga_span(j.jobtimeout) END AS time_limit,
       l.jlgstartedby AS started_by, l.jlgstartedvia AS started_via
FROM pgagent.pga_joblog AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
LEFT JOIN pgagent.pga_jobsteplog AS s ON s.jsljlgid = l.jlgid
LEFT JOIN pgagent.pga_jobstep AS t ON t.jstid = s.jsljstid
WHERE l.jlgstatus = 'r' AND (s.jslid IS NULL OR s.jslstatus = 'r')
      AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid));
COMMENT ON VIEW pgagent.running IS
'What runs right now: job, since when, where, in which step, at which attempt, who has asked for it to be cancelled, until when it may run, and what and who started it. Example: SELECT job, running_for, step FROM pgagent.running.';

CREATE OR REPLACE VIEW pgagent.steps AS
SELECT j.jobid AS job_id, j.jobname AS job, t.jstid AS step_id, t.jstname AS step, t.jstenabled AS enabled,
       CASE t.jstkind WHEN 's' THEN 'sql' ELSE 'batch' END AS kind, t.jstmode AS mode, t.jstcode AS code,
       t.jstdbname AS database, t.jstconnstr <> '' AS has_conninfo, t.jstrunas AS run_as, t.jstrunasid AS run_as_id
FROM pgagent.pga_jobstep AS t
JOIN pgagent.pga_job AS j ON j.jobid = t.jstjobid
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.steps IS
'The steps of each job, for those, too, who may not read connection strings: only whether there is one. Example: SELECT step, kind, database, run_as FROM pgagent.steps WHERE job = ''etl'' ORDER BY step, step_id.';

CREATE OR REPLACE VIEW pgagent.skipped_runs AS
SELECT s.jskjobid AS job_id, j.jobname AS job, s.jskfrom AS first_time, s.jskuntil AS until,
       s.jskreason AS reason, s.jsklogged AS decided
FROM pgagent.pga_jobskip AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jskjobid
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.skipped_runs IS
'When jobs were due and did not run, and why: all times of the job from first_time to until; next_runs(job, after, until) lists them. Example: SELECT first_time, until, reason FROM pgagent.skipped_runs WHERE job = ''etl'' ORDER BY decided DESC LIMIT 10.';

-- For everybody who may look, whosever the jobs are: figures only.
CREATE OR REPLACE VIEW pgagent.classes AS
SELECT c.jclid AS class_id, c.jclname AS class, c.jcllimit AS "limit",
       (SELECT count(*) FROM pgagent.pga_job AS j WHERE j.jobjclid = c.jclid AND j.jobagentid IS NOT NULL)
       + (SELECT count(DISTINCT j.jobid)
          FROM pgagent.pga_joblog AS l JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
          WHERE l.jlgstatus = 'r' AND j.jobjclid = c.jclid AND j.jobagentid IS NULL) AS running,
       (SELECT count(*) FROM pgagent.pga_job AS j
        WHERE j.jobjclid = c.jclid AND j.jobagentid IS NULL AND j.jobnextrun <= now()) AS due
FROM pgagent.pga_jobclass AS c;
COMMENT ON VIEW pgagent.classes IS
'The classes of jobs: how many of its jobs may run at once, over all runners (NULL: as many as there are), how many do, and how many are due and have not started. Example: SELECT class, "limit", running, due FROM pgagent.classes ORDER BY class.';

-- Of what is not asked for, nothing is computed: a join that only some columns need is one of
-- which the server knows that it adds no row, or a query in its column.
CREATE OR REPLACE VIEW pgagent.job_status AS
WITH full_classes AS MATERIALIZED (
    SELECT c.class_id FROM pgagent.classes AS c WHERE c.running >= c."limit"
)
SELECT j.jobid AS job_id, j.jobname AS job, j.jobenabled AS enabled,
       CASE WHEN j.jobagentid IS NOT NULL THEN 'running'
            WHEN j.jobnextrun IS NOT NULL AND (SELECT pgagent.pga_unarmed()) IS NOT NULL THEN 'unarmed'
            WHEN j.jobnextrun IS NOT NULL AND p.until IS NOT NULL THEN 'paused'
            WHEN j.jobnextrun <= now() AND EXISTS (SELECT FROM pgagent.pga_jobaside AS x WHERE x.jsajobid = j.jobid) THEN 'set aside'
            WHEN j.jobnextrun <= now() AND j.jobjclid IN (SELECT c.class_id FROM full_classes AS c) THEN 'class full'
            WHEN j.jobnextrun <= now() THEN 'due'
            WHEN j.jobnextrun IS NOT NULL THEN 'waiting' WHEN NOT j.jobenabled THEN 'disabled'
            WHEN l.status IS NOT NULL AND EXISTS (
                SELECT FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscat <= now()
            ) AND NOT EXISTS (
                SELECT FROM pgagent.pga_schedule AS s
                WHERE s.jscjobid = j.jobid AND s.jscenabled AND s.jscat IS NULL
                      AND (s.jscreboot OR COALESCE(s.jscend > now(), true))
            ) THEN 'done'
            ELSE 'never due' END AS state,
       j.jobnextrun AS next_run, j.joblastrun AS last_run, l.status AS last_status,
       l.message AS last_message, l.duration AS last_duration,
       j.jobfailures::bigint AS consecutive_failures, f.recent_runs,
       d.p50 AS duration_p50, d.p95 AS duration_p95,
       (SELECT string_agg(pgagent.pga_schedule_text(s), '; ' ORDER BY s.jscid)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled) AS schedule,
       o.problem,
       CASE WHEN j.jobrunid IS NOT NULL THEN
           j.jobrunid || ARRAY(SELECT r.jrqid FROM pgagent.pga_jobrequest AS r
                               WHERE r.jrqjobid = j.jobid AND r.jrqid <> j.jobrunid ORDER BY r.jrqat, r.jrqid)
           END AS promised,
       p.until IS NOT NULL AS paused, CASE WHEN isfinite(p.until) THEN p.until END AS paused_until
FROM pgagent.pga_job AS j
LEFT JOIN LATERAL (
    SELECT max(u.jpsuntil) AS until FROM (
        SELECT o.jpsuntil FROM pgagent.pga_jobpause AS o WHERE o.jpsjobid = j.jobid
        UNION ALL SELECT (SELECT a.jpsuntil FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL)
    ) AS u WHERE u.jpsuntil > now()
) AS p ON true
LEFT JOIN LATERAL (
    SELECT CASE r.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
                WHEN 'i' THEN 'nothing to do' WHEN 'd' THEN 'aborted' END AS status,
           r.jlgmessage AS message, r.jlgduration AS duration
    FROM pgagent.pga_joblog AS r WHERE r.jlgjobid = j.jobid
    ORDER BY r.jlgid DESC LIMIT 1
) AS l ON true
-- Of the latest hundred runs: a long history must not make the view slow.
LEFT JOIN LATERAL (
    SELECT count(*) AS recent_runs
    FROM (SELECT FROM pgagent.pga_joblog AS x WHERE x.jlgjobid = j.jobid ORDER BY x.jlgid DESC LIMIT 100) AS r
) AS f ON true
LEFT JOIN LATERAL (
    SELECT min(u.p50) AS p50, min(u.p95) AS p95 FROM pgagent.pga_usual AS u WHERE u.job_id = j.jobid
) AS d ON true
LEFT JOIN (
    SELECT b.job_id, string_agg(b.detail, '; ' ORDER BY b.problem DESC) AS problem
    FROM pgagent.pga_obstacle AS b GROUP BY b.job_id
) AS o ON o.job_id = j.jobid
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.job_status IS
'Each job: state (unarmed: no job starts in this copy of a database until pgagent.arm(), running, paused, due, set aside, class full: it is due, and as many jobs of its class as may are running, waiting, disabled, done: it was for one run, which is over, never due), next and last run, how the last one ended; how many runs have failed in a row, and of its latest hundred runs the median and 95th percentile of the duration of the successful ones; its schedules as text; what keeps it from running, if something does that will not pass by itself; the ids of the runs that are promised and have not begun, in order; whether it is paused, and until when (NULL: until somebody ends that). Example: SELECT job, state, next_run, last_status FROM pgagent.job_status.';

