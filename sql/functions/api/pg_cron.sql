-- pg_cron.sql: the names that scripts for pg_cron read: jobs and their runs. Views of one
-- table each, so rows can be deleted and jobs switched off, as in pg_cron.

CREATE OR REPLACE VIEW pgagent.job AS
SELECT j.jobid::bigint AS jobid,
       (SELECT string_agg(pgagent.pga_schedule_text(s), '; ' ORDER BY s.jscid)
        FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid AND s.jscenabled) AS schedule,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       (SELECT s.jstdbname::text FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       j.jobenabled AS active, j.jobname, j.jobowner AS username
FROM pgagent.pga_job AS j;
COMMENT ON VIEW pgagent.job IS
'The jobs as pg_cron shows them, with the command of the first SQL step; username is the owner, NULL: the command runs with the login of the runner. Example: SELECT jobid, schedule, command, active FROM pgagent.job.';

CREATE OR REPLACE VIEW pgagent.job_run_details AS
SELECT l.jlgjobid::bigint AS jobid, l.jlgid AS runid, l.jlgagentid AS job_pid,
       (SELECT s.jstdbname::text FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS database,
       (SELECT s.jstcode FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = l.jlgjobid
        ORDER BY s.jstkind = 's' DESC, s.jstname, s.jstid LIMIT 1) AS command,
       CASE l.jlgstatus WHEN 'r' THEN 'running' WHEN 's' THEN 'succeeded'
            WHEN 'i' THEN 'succeeded' ELSE 'failed' END AS status,
       COALESCE(l.jlgmessage, (
           SELECT s.jsloutput FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = l.jlgid
           ORDER BY s.jslid DESC LIMIT 1
       )) AS return_message,
       l.jlgstart AS start_time,
       CASE WHEN l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
            THEN l.jlgstart + pgagent.pga_span(l.jlgduration) END AS end_time
FROM pgagent.pga_joblog AS l;
COMMENT ON VIEW pgagent.job_run_details IS
'The runs as pg_cron shows them, with the command of the job''s first SQL step. Example: DELETE FROM pgagent.job_run_details WHERE end_time < now() - interval ''7 days''.';
