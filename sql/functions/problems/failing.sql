-- failing.sql: jobs that fail, and those that were disabled for it.

CREATE OR REPLACE VIEW pgagent.pga_given_up AS
-- By whom it was disabled: there is no run between the change and the run that says so.
SELECT j.jobid AS job_id, COALESCE(c.jchat, (l.run).jlgstart) AS since, l.run
FROM pgagent.pga_job AS j
LEFT JOIN LATERAL (
    SELECT c.jchid, c.jchat FROM pgagent.pga_jobchange AS c
    WHERE c.jchjobid = j.jobid AND c.jchobject = 'job' AND c.jchnew ? 'jobenabled' ORDER BY c.jchid DESC LIMIT 1
) AS c ON true
CROSS JOIN LATERAL (
    SELECT r AS run FROM pgagent.pga_joblog AS r
    WHERE r.jlgjobid = j.jobid AND (COALESCE(r.jlgchangeid, 0) < c.jchid OR c.jchid IS NULL) ORDER BY r.jlgid DESC LIMIT 1
) AS l
WHERE ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
      AND NOT j.jobenabled AND j.jobfailed + j.jobaborted > 0 AND (l.run).jlgmessage LIKE '%the job has been disabled%'
      -- Somebody has enabled it since, and then disabled it himself.
      AND NOT EXISTS (
          SELECT FROM pgagent.pga_jobchange AS e
          WHERE e.jchjobid = j.jobid AND e.jchid < c.jchid AND e.jchobject = 'job' AND e.jchnew @> '{"jobenabled": true}'
                AND CASE WHEN (l.run).jlgchangeid IS NOT NULL THEN e.jchid > (l.run).jlgchangeid ELSE e.jchat > (l.run).jlgstart END
      );
COMMENT ON VIEW pgagent.pga_given_up IS
'The jobs that the scheduler has disabled for their failures, since when, and the run that says so.';

CREATE OR REPLACE VIEW pgagent.pga_failing AS
SELECT j.jobid AS job_id, CASE (l.run).jlgstatus WHEN 'd' THEN 'aborted' ELSE 'failed' END AS problem,
       COALESCE((SELECT f.jlgstart FROM pgagent.pga_joblog AS f WHERE f.jlgid = first_run.jlgid), j.joblastsuccess) AS since,
       format('%s%s%s', COALESCE(CASE WHEN l.run IS DISTINCT FROM NULL THEN left(pgagent.pga_explain_run(l.run), 10000) END, 'its last run is not in the log any more'),
              CASE WHEN j.jobfailures > 1 THEN format('; it was failure %s in a row', j.jobfailures) END,
              COALESCE('; it has last succeeded at ' || date_trunc('second', j.joblastsuccess), '; no run of it is known to have succeeded')) AS detail
FROM pgagent.pga_job AS j
LEFT JOIN LATERAL (
    SELECT r AS run FROM pgagent.pga_joblog AS r
    -- That failures are few would have the planner read all runs of the job; COALESCE keeps
    -- it from that.
    WHERE r.jlgjobid = j.jobid AND COALESCE(r.jlgstatus IN ('f', 'd'), false) ORDER BY r.jlgid DESC LIMIT 1
) AS l ON true
LEFT JOIN LATERAL (
    -- A job may have failed for a million times.
    SELECT CASE WHEN j.jobfailures <= 1000 OR j.joblastsuccess IS NULL THEN COALESCE((
        SELECT r.jlgid FROM pgagent.pga_joblog AS r
        WHERE r.jlgjobid = j.jobid AND COALESCE(r.jlgstatus IN ('f', 'd'), false) AND j.jobfailures <= 1000
        ORDER BY r.jlgid DESC OFFSET greatest(j.jobfailures, 1) - 1 LIMIT 1
    ), (
        SELECT r.jlgid FROM pgagent.pga_joblog AS r
        WHERE r.jlgjobid = j.jobid AND r.jlgstatus IN ('f', 'd') ORDER BY r.jlgid LIMIT 1
    )) END AS jlgid
) AS first_run ON true
WHERE j.jobfailures > 0 AND (j.jobenabled OR j.jobid IN (SELECT g.job_id FROM pgagent.pga_given_up AS g))
      AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid));
COMMENT ON VIEW pgagent.pga_failing IS
'The jobs whose last run that succeeded or failed has failed, or was aborted: since the first in a row, as far as that is known.';
