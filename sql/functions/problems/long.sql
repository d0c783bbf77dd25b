-- long.sql: runs that take longer than they should.

CREATE OR REPLACE VIEW pgagent.pga_taking_long AS
SELECT j.jobid AS job_id, 'long'::text AS problem, l.jlgstart AS since,
       format('run %s%s has been under way for %s, which is longer than %s', l.jlgid, ' on host "' || l.jlgstation || '"',
              date_trunc('second', now() - l.jlgstart),
              concat_ws(' and ', CASE WHEN d.too_long THEN format('long_after (%s)', j.joblongafter) END,
                        CASE WHEN d.too_long_for_it THEN format('%s times what it usually takes (%s)', j.joblongfactor, d.usual) END)) AS detail
FROM (
    SELECT DISTINCT ON (r.jlgjobid) r.jlgjobid, r.jlgid, r.jlgstart, r.jlgstation
    FROM pgagent.pga_joblog AS r
    WHERE r.jlgstatus = 'r' AND r.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND now() ORDER BY r.jlgjobid, r.jlgid
) AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid AND num_nonnulls(j.joblongafter, j.joblongfactor) > 0
CROSS JOIN LATERAL (
    SELECT l.jlgstart < now() - pgagent.pga_span(j.joblongafter) AS too_long, u.usual,
           extract(epoch FROM now() - l.jlgstart)::double precision / j.joblongfactor
               > extract(epoch FROM u.usual)::double precision AS too_long_for_it
    FROM (SELECT CASE WHEN j.joblongfactor IS NOT NULL THEN (
              SELECT u.p95 FROM pgagent.pga_usual AS u WHERE u.job_id = j.jobid AND u.successes >= 5) END AS usual
          OFFSET 0) AS u
) AS d
WHERE (d.too_long OR d.too_long_for_it)
      AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid));
COMMENT ON VIEW pgagent.pga_taking_long IS
'The jobs of which a run takes longer than long_after, or than long_factor times what it usually takes.';
