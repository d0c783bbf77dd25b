-- waiting.sql: jobs that are due and have not started.

CREATE OR REPLACE VIEW pgagent.pga_waiting AS
WITH hosts AS MATERIALIZED (
    SELECT ARRAY(SELECT DISTINCT a.station FROM pgagent.agents AS a WHERE a.alive ORDER BY 1) AS alive,
           ARRAY(SELECT a.station FROM pgagent.agents AS a WHERE a.alive AND a.lease_until IS NOT NULL) AS ours
), full_classes AS MATERIALIZED (
    SELECT c.class_id, format('of class "%s", %s of %s jobs at once are under way', c.class, c.running, c."limit") AS why
    FROM pgagent.classes AS c WHERE c.running >= c."limit"
)
SELECT j.jobid AS job_id, j.jobname AS job, j.jobnextrun AS due, w.since, j.joblateafter AS late_after,
       x.jsajobid IS NULL AND (w.since <= now() - pgagent.pga_span(j.joblateafter)) IS TRUE AS late,
       COALESCE(
           CASE WHEN x.jsajobid IS NOT NULL THEN format('it could not be started%s: %s', CASE WHEN x.jsatimes > 1 THEN format(' %s times', x.jsatimes) END, x.jsareason) END,
           CASE WHEN j.jobowner IS NOT NULL THEN (SELECT pgagent.pga_isolation_broken()) END,
           pgagent.pga_explain_hosts(j.jobhostagent, h.alive),
           CASE WHEN j.jobhostagent <> ALL (h.ours) AND (j.jobhostagent <> '' OR h.ours = '{}') AND (
               num_nonnulls(j.jobrunid, j.jobowner) > 0 OR EXISTS (
                   SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid AND s.jstrunas IS NOT NULL)
           ) THEN 'the daemon of pgAgent 4.2, which is all that is alive, leaves this job alone: start a runner' END,
           c.why,
           CASE WHEN l.is_open THEN format('run %s is still open, though no agent holds the job; any runner will close it within seconds', l.run_id) END,
           'a runner is alive, but has no free worker, or another transaction has locked the job''s row'
       ) AS reason
FROM pgagent.pga_job AS j
CROSS JOIN hosts AS h
LEFT JOIN full_classes AS c ON c.class_id = j.jobjclid
LEFT JOIN pgagent.pga_jobpause AS p ON p.jpsjobid = j.jobid
LEFT JOIN pgagent.pga_jobaside AS x ON x.jsajobid = j.jobid
LEFT JOIN LATERAL (
    SELECT r.jlgid AS run_id, r.jlgstatus = 'r' AS is_open,
           CASE WHEN r.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND now()
                THEN r.jlgstart + pgagent.pga_span(COALESCE(r.jlgduration, interval '0')) END AS ended
    FROM pgagent.pga_joblog AS r WHERE r.jlgjobid = j.jobid ORDER BY r.jlgid DESC LIMIT 1
) AS l ON true
-- It could not have started before.
CROSS JOIN LATERAL (
    SELECT greatest(j.jobnextrun, p.jpsuntil,
                    (SELECT a.jpsuntil FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL),
                    CASE WHEN l.ended <= now() THEN l.ended END) AS since
) AS w
WHERE j.jobagentid IS NULL AND j.jobnextrun <= now()
      AND (p.jpsuntil > now()) IS NOT TRUE
      AND NOT EXISTS (SELECT FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL AND a.jpsuntil > now())
      AND (SELECT pgagent.pga_unarmed()) IS NULL
      AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid));
COMMENT ON VIEW pgagent.pga_waiting IS
'The jobs that are due and might start, but have not: since when each has waited, which is when it was due, or when the run before it or a pause was over; whether that is longer than its late_after, and it is not set aside; and why. None where no job may start.';
