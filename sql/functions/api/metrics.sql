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
SELECT 'pgagent_armed', 'gauge', 'Whether jobs start in this database: 0 in a copy of another one, until arm().',
       '{}', ((SELECT pgagent.pga_unarmed()) IS NULL)::integer
UNION ALL
SELECT 'pgagent_runners', 'gauge', 'How many runners are alive.',
       '{}', count(*) FROM pgagent.agents AS a WHERE a.alive
UNION ALL
SELECT 'pgagent_runner_up', 'gauge', 'Whether a runner of this host is alive, of those that are registered: one that was stopped is none.',
       jsonb_build_object('station', a.station), bool_or(a.alive)::integer FROM pgagent.agents AS a GROUP BY a.station
UNION ALL
SELECT 'pgagent_runner_running', 'gauge', 'How many jobs the runners of this host are running.',
       jsonb_build_object('station', a.station), sum(a.running) FROM pgagent.agents AS a GROUP BY a.station
UNION ALL
SELECT 'pgagent_class_limit', 'gauge', 'How many jobs of a class may run at once, over all runners; only classes that have a limit.',
       jsonb_build_object('class', c.class), c."limit" FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_class_running', 'gauge', 'How many jobs of a class are running; only classes that have a limit.',
       jsonb_build_object('class', c.class), c.running FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_class_due', 'gauge', 'How many jobs of a class are due and have not started; only classes that have a limit.',
       jsonb_build_object('class', c.class), c.due FROM pgagent.classes AS c WHERE c."limit" IS NOT NULL
UNION ALL
SELECT 'pgagent_log_bytes', 'gauge', 'How much room a table of the log takes on disk, with its indexes.',
       jsonb_build_object('table', t.name), pg_total_relation_size(t.id)
FROM (VALUES ('pga_joblog'::text, 'pgagent.pga_joblog'::regclass), ('pga_jobsteplog', 'pgagent.pga_jobsteplog'::regclass)) AS t (name, id)
UNION ALL
SELECT 'pgagent_problems', 'gauge', 'How many problems of a kind there are now, as the view problems has them.',
       jsonb_build_object('problem', k.kind), (SELECT count(*) FROM problem AS p WHERE p.problem = k.kind)
FROM (VALUES ('failed'::text), ('aborted'), ('late'), ('long'), ('disabled'), ('set_aside'), ('role'), ('time_zone'),
             ('no_runner'), ('isolation'), ('unarmed'), ('alert')) AS k (kind)
UNION ALL
SELECT 'pgagent_problem_since_timestamp_seconds', 'gauge', 'Since when a job has a problem, or all have it, which is NaN if that is not known; absent where there is none.',
       jsonb_strip_nulls(jsonb_build_object('problem', p.problem, 'job', p.job, 'job_id', p.job_id::text)),
       COALESCE(p.since, 'NaN') FROM problem AS p
UNION ALL
SELECT 'pgagent_alerts_pending', 'gauge', 'How many events of an alert wait to be sent.',
       jsonb_build_object('alert', a.alert), a.pending FROM pgagent.alerts AS a
UNION ALL
SELECT 'pgagent_alerts_oldest_pending_seconds', 'gauge', 'For how long the event that has waited longest waits to be sent by an alert; 0 if none does.',
       '{}', COALESCE(date_part('epoch', now()) - date_part('epoch', min(l.at)), 0)
FROM pgagent.alert_log AS l WHERE l.state IN ('pending', 'sending')
UNION ALL
SELECT 'pgagent_oldest_due_seconds', 'gauge', 'For how long the job that has waited longest has been due without having started; 0 if none is.',
       '{}', COALESCE(max(w.seconds), 0) FROM waiting AS w
UNION ALL
SELECT 'pgagent_job_enabled', 'gauge', 'Whether schedules start the job.', j.labels, j.jobenabled::integer FROM job AS j
UNION ALL
SELECT 'pgagent_job_paused', 'gauge', 'Whether the job is paused, by itself or with all jobs.', j.labels, j.is_paused::integer FROM job AS j
UNION ALL
SELECT 'pgagent_job_running', 'gauge', 'Whether a runner holds the job.', j.labels, j.is_running::integer FROM job AS j
UNION ALL
SELECT 'pgagent_job_running_seconds', 'gauge', 'For how long the run under way has run; absent if there is none.',
       j.labels, greatest(date_part('epoch', now()) - date_part('epoch', r.started), 0)
FROM (SELECT l.jlgjobid, min(l.jlgstart) AS started FROM pgagent.pga_joblog AS l WHERE l.jlgstatus = 'r' GROUP BY l.jlgjobid) AS r
JOIN job AS j ON j.jobid = r.jlgjobid
UNION ALL
SELECT 'pgagent_job_late_seconds', 'gauge', 'For how long the job has been due without having started; 0 if it is not due, or is paused or set aside.',
       j.labels, COALESCE(w.seconds, 0) FROM job AS j LEFT JOIN waiting AS w ON w.job_id = j.jobid
UNION ALL
SELECT 'pgagent_job_next_run_timestamp_seconds', 'gauge', 'When the job is due next; absent if that is never.',
       j.labels, j.next_run FROM job AS j WHERE j.next_run IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_run_timestamp_seconds', 'gauge', 'When the last run of the job began; absent if none has.',
       j.labels, j.last_run FROM job AS j WHERE j.last_run IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_success_timestamp_seconds', 'gauge', 'When the last run that succeeded ended; absent if none is known.',
       j.labels, j.last_success FROM job AS j WHERE j.last_success IS NOT NULL
UNION ALL
SELECT 'pgagent_job_last_duration_seconds', 'gauge', 'How long the last run that has ended took; absent if the log has none.',
       j.labels, date_part('epoch', l.duration)
FROM job AS j
CROSS JOIN LATERAL (
    SELECT r.jlgduration AS duration FROM pgagent.pga_joblog AS r
    WHERE r.jlgjobid = j.jobid AND r.jlgstatus <> 'r' ORDER BY r.jlgid DESC LIMIT 1
) AS l
WHERE l.duration IS NOT NULL
UNION ALL
SELECT 'pgagent_job_consecutive_failures', 'gauge', 'How many of the latest runs of the job have failed, or were aborted, in a row.',
       j.labels, j.jobfailures FROM job AS j
UNION ALL
SELECT 'pgagent_job_runs_total', 'counter', 'How many runs of the job have ended so, whether they are still in the log or not.',
       j.labels || s.label, s.count
FROM job AS j
CROSS JOIN LATERAL (
    VALUES ('{"status": "succeeded"}'::jsonb, j.jobsucceeded), ('{"status": "failed"}', j.jobfailed),
           ('{"status": "aborted"}', j.jobaborted), ('{"status": "nothing to do"}', j.jobempty)
) AS s (label, count)
UNION ALL
SELECT 'pgagent_job_skipped_runs_total', 'counter', 'How many times of the job have passed without a run, by the rules for missed runs and for overlaps, or by a pause.',
       j.labels, COALESCE(s.total, 0)
FROM job AS j
LEFT JOIN LATERAL (
    SELECT k.jsktotal AS total FROM pgagent.pga_jobskip AS k WHERE k.jskjobid = j.jobid ORDER BY k.jskid DESC LIMIT 1
) AS s ON true;
COMMENT ON VIEW pgagent.metrics IS
'Figures for monitors, a row for each sample: name, type (gauge or counter) and help as Prometheus has them, labels, value. `pgagent metrics` prints them in its text format. Example: SELECT labels->>''job'' AS job, value FROM pgagent.metrics WHERE name = ''pgagent_job_consecutive_failures'' AND value > 0.';
