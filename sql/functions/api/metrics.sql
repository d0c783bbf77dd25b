-- metrics.sql: figures of the whole database, for monitors. One row is one sample as
-- Prometheus has it. A runner's own figures are its own business (`pgagent run --listen`);
-- these can be had without any runner.
--
-- Each name is one part of the UNION, so that a monitor that asks for one name only (WHERE
-- name = '...') has the others left out by the planner, and rows of one name come together.

CREATE OR REPLACE VIEW pgagent.metrics AS
WITH job AS (
    SELECT j.jobid, jsonb_build_object('job', j.jobname, 'job_id', j.jobid::text) AS labels,
           j.jobenabled, j.jobagentid IS NOT NULL AS is_running,
           EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now() AND p.jpsjobid IS NULL)
           OR j.jobid IN (SELECT p.jpsjobid FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now() AND p.jpsjobid IS NOT NULL) AS is_paused,
           date_part('epoch', j.jobnextrun) AS next_run, date_part('epoch', j.joblastrun) AS last_run,
           date_part('epoch', j.joblastsuccess) AS last_success, j.jobfailures,
           j.jobsucceeded, j.jobfailed, j.jobaborted, j.jobempty
    FROM pgagent.pga_job AS j
    WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid)
), waiting AS (
    SELECT w.job_id, date_part('epoch', now()) - date_part('epoch', w.since) AS seconds FROM pgagent.pga_waiting AS w
), problem AS (
    SELECT p.problem, p.job, p.job_id, date_part('epoch', min(p.since)) AS since
    FROM pgagent.problems AS p GROUP BY p.problem, p.job, p.job_id
)
SELECT 'pgagent_info'::text AS name, 'gauge'::text AS type, 'The version of the catalogue; always 1.'::text AS help,
       jsonb_build_object('version', pgagent.pgagent_version()) AS labels, 1::double precision AS value
UNION ALL
SELECT 'pgagent_armed' AS name, 'gauge' AS type, 'Whether jobs start in this database: 0 in a copy of another one, until arm().' AS help,
       '{}' AS labels, ((SELECT pgagent.pga_unarmed()) IS NULL)::integer AS value
UNION ALL
SELECT 'pgagent_runners' AS name, 'gauge' AS type, 'How many runners are alive.' AS help,
       '{}' AS labels, count(*) AS value FROM pgagent.agents AS a WHERE a.alive
UNION ALL
SELECT 'pgagent_runner_up' AS name, 'gauge' AS type, 'Whether a runner of this host is alive, of those that are registered: one that was stopped is none.' AS help,
       jsonb_build_object('station', a.station) AS labels, bool_or(a.alive)::integer AS value FROM pgagent.agents AS a GROUP BY a.station
UNION ALL
SELECT 'pgagent_runner_running' AS name, 'gauge' AS type, 'How many jobs the runners of this host are running.' AS help,
       jsonb_build_object('station', a.station) AS labels, sum(a.running) AS value FROM pgagent.agents AS a GROUP BY a.station
UNION ALL
SELECT 'pgagent_class_limit' AS name, 'gauge' AS type, 'How many jobs of a class may run at once, over all runners; only classes that have a limit.' AS help,
       jsonb_build_object('class', c.class) AS labels, c."limit" AS value FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_class_running' AS name, 'gauge' AS type, 'How many jobs of a class are running; only classes that have a limit.' AS help,
       jsonb_build_object('class', c.class) AS labels, c.running AS value FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_class_due' AS name, 'gauge' AS type, 'How many jobs of a class are due and have not started; only classes that have a limit.' AS help,
       jsonb_build_object('class', c.class) AS labels, c.due AS value FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_log_bytes' AS name, 'gauge' AS type, 'How much room a table of the log takes on disk, with its indexes.' AS help,
       jsonb_build_object('table', t.name) AS labels, pg_total_relation_size(t.id) AS value
FROM (VALUES ('pga_joblog'::text, 'pgagent.pga_joblog'::regclass), ('pga_jobsteplog', 'pgagent.pga_jobsteplog'::regclass)) AS t (name, id)
UNION ALL
SELECT 'pgagent_problems' AS name, 'gauge' AS type, 'How many problems of a kind there are now, as the view problems has them.' AS help,
       jsonb_build_object('problem', k.kind) AS labels, (SELECT count(*) FROM problem AS p WHERE p.problem = k.kind) AS value
FROM (VALUES ('failed'::text), ('aborted'), ('late'), ('long'), ('disabled'), ('set_aside'), ('role'), ('time_zone'),
             ('no_runner'), ('isolation'), ('unarmed'), ('alert')) AS k (kind)
UNION ALL
SELECT 'pgagent_problem_since_timestamp_seconds' AS name, 'gauge' AS type, 'Since when a job has a problem, or all have it, which is NaN if that is not known; absent where there is none.' AS help,
       jsonb_strip_nulls(jsonb_build_object('problem', p.problem, 'job', p.job, 'job_id', p.job_id::text)) AS labels, COALESCE(p.since, 'NaN') AS value FROM problem AS p
UNION ALL
SELECT 'pgagent_alerts_pending' AS name, 'gauge' AS type, 'How many events of an alert wait to be sent.' AS help,
       jsonb_build_object('alert', a.alert) AS labels, a.pending AS value FROM pgagent.alerts AS a
UNION ALL
SELECT 'pgagent_alerts_oldest_pending_seconds' AS name, 'gauge' AS type, 'For how long the event that has waited longest waits to be sent by an alert; 0 if none does.' AS help,
       '{}' AS labels, COALESCE(date_part('epoch', now()) - date_part('epoch', min(l.at)), 0) AS value
FROM pgagent.alert_log AS l WHERE l.state IN ('pending', 'sending')
UNION ALL
SELECT 'pgagent_oldest_due_seconds' AS name, 'gauge' AS type, 'For how long the job that has waited longest has been due without having started; 0 if none is.' AS help,
       '{}' AS labels, COALESCE(max(w.seconds), 0) AS value FROM waiting AS w
UNION ALL
SELECT 'pgagent_job_enabled' AS name, 'gauge' AS type, 'Whether schedules start the job.' AS help,
       j.labels, j.jobenabled::integer AS value FROM job AS j
UNION ALL
SELECT 'pgagent_job_paused' AS name, 'gauge' AS type, 'Whether the job is paused, by itself or with all jobs.' AS help,
       j.labels, j.is_paused::integer AS value FROM job AS j
UNION ALL
SELECT 'pgagent_job_running' AS name, 'gauge' AS type, 'Whether a runner holds the job.' AS help,
       j.labels, j.is_running::integer AS value FROM job AS j
UNION ALL
SELECT 'pgagent_job_running_seconds' AS name, 'gauge' AS type, 'For how long the run under way has run; absent if there is none.' AS help,
       j.labels, greatest(date_part('epoch', now()) - date_part('epoch', r.started), 0) AS value
FROM (SELECT l.jlgjobid, min(l.jlgstart) AS started FROM pgagent.pga_joblog AS l WHERE l.jlgstatus = 'r' GROUP BY l.jlgjobid) AS r
JOIN job AS j ON j.jobid = r.jlgjobid
UNION ALL
SELECT 'pgagent_job_late_seconds' AS name, 'gauge' AS type, 'For how long the job has been due without having started; 0 if it is not due, or is paused or set aside.' AS help,
       j.labels, COALESCE(w.seconds, 0) AS value FROM job AS j LEFT JOIN waiting AS w ON w.job_id = j.jobid
UNION ALL
SELECT 'pgagent_job_next_run_timestamp_seconds' AS name, 'gauge' AS type, 'When the job is due next; absent if that is never.' AS help,
       j.labels, j.next_run AS value FROM job AS j WHERE j.next_run IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_run_timestamp_seconds' AS name, 'gauge' AS type, 'When the last run of the job began; absent if none has.' AS help,
       j.labels, j.last_run AS value FROM job AS j WHERE j.last_run IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_success_timestamp_seconds' AS name, 'gauge' AS type, 'When the last run that succeeded ended; absent if none is known.' AS help,
       j.labels, j.last_success AS value FROM job AS j WHERE j.last_success IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_duration_seconds' AS name, 'gauge' AS type, 'How long the last run that has ended took; absent if the log has none.' AS help,
       j.labels, date_part('epoch', l.duration) AS value
FROM job AS j
CROSS JOIN LATERAL (
    SELECT r.jlgduration AS duration FROM pgagent.pga_joblog AS r
    WHERE r.jlgjobid = j.jobid AND r.jlgstatus <> 'r' ORDER BY r.jlgid DESC LIMIT 1
) AS l
WHERE l.duration IS NOT NULL
UNION ALL
SELECT 'pgagent_job_consecutive_failures' AS name, 'gauge' AS type, 'How many of the latest runs of the job have failed, or were aborted, in a row.' AS help,
       j.labels, j.jobfailures AS value FROM job AS j
UNION ALL
SELECT 'pgagent_job_runs_total' AS name, 'counter' AS type, 'How many runs of the job have ended so, whether they are still in the log or not.' AS help,
       j.labels || s.label AS labels, s.count AS value
FROM job AS j
CROSS JOIN LATERAL (
    VALUES ('{"status": "succeeded"}'::jsonb, j.jobsucceeded), ('{"status": "failed"}', j.jobfailed),
           ('{"status": "aborted"}', j.jobaborted), ('{"status": "nothing to do"}', j.jobempty)
) AS s (label, count)
UNION ALL
SELECT 'pgagent_job_skipped_runs_total' AS name, 'counter' AS type, 'How many times of the job have passed without a run, by the rules for missed runs and for overlaps, or by a pause.' AS help,
       j.labels, COALESCE(s.total, 0) AS value
FROM job AS j
LEFT JOIN LATERAL (
    SELECT k.jsktotal AS total FROM pgagent.pga_jobskip AS k WHERE k.jskjobid = j.jobid ORDER BY k.jskid DESC LIMIT 1
) AS s ON true;
COMMENT ON VIEW pgagent.metrics IS
'Figures for monitors, a row for each sample: name, type (gauge or counter) and help as Prometheus has them, labels, value. `pgagent metrics` prints them in its text format. Example: SELECT labels->>''job'' AS job, value FROM pgagent.metrics WHERE name = ''pgagent_job_consecutive_failures'' AND value > 0.';
