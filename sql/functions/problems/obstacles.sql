-- obstacles.sql: what several views say of a job, each computed here alone. Like all views
-- they read with the rights of the extension's owner, and ask themselves whose jobs to show.

CREATE OR REPLACE FUNCTION pgagent.pga_explain_run(p_run pgagent.pga_joblog)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format('run %s, at %s, %s%s', p_run.jlgid, date_trunc('second', p_run.jlgstart),
        CASE p_run.jlgstatus WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed'
             WHEN 'i' THEN 'had nothing to do' ELSE 'was aborted' END,
        COALESCE(': ' || p_run.jlgmessage, ''));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_run(pgagent.pga_joblog) IS
'How a run has ended, and why.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_hosts(p_host text, p_alive text[])
RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN cardinality(p_alive) = 0 THEN 'no runner is alive: start one with "pgagent run"'
        WHEN p_host <> '' AND p_host <> ALL (p_alive) THEN format('no runner on host "%s" is alive, only on %s',
            p_host, (SELECT string_agg(format('"%s"', s), ', ') FROM unnest(p_alive) AS s))
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_hosts(text, text[]) IS
'Why no runner may execute a job for this host (empty: any), by the hosts on which runners are alive; NULL: one may.';

-- Of the latest hundred: a long history must not make it slow.
CREATE OR REPLACE VIEW pgagent.pga_usual AS
SELECT j.jobid AS job_id, d.successes, d.p50, d.p95
FROM pgagent.pga_job AS j
CROSS JOIN LATERAL (
    SELECT count(h.jlgduration) AS successes,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY h.jlgduration) AS p50,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY h.jlgduration) AS p95
    FROM (SELECT l.jlgduration FROM pgagent.pga_joblog AS l
          WHERE l.jlgjobid = j.jobid AND l.jlgstatus = 's' ORDER BY l.jlgid DESC LIMIT 100) AS h
) AS d
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.pga_usual IS
'How long a job takes: the median and the 95th percentile of its latest hundred successful runs, and how many of these there are.';

CREATE OR REPLACE VIEW pgagent.pga_obstacle AS
SELECT j.jobid AS job_id, 'set_aside'::text AS problem, x.jsasince AS since,
       format('could not be started%s, since %s: %s', CASE WHEN x.jsatimes > 1 THEN format(' %s times', x.jsatimes) END,
              date_trunc('second', x.jsasince), x.jsareason) AS detail
FROM pgagent.pga_jobaside AS x
JOIN pgagent.pga_job AS j ON j.jobid = x.jsajobid
WHERE j.jobagentid IS NULL AND j.jobnextrun <= now()
      AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
UNION ALL
-- All schedules of a zone at once, and so with roles: most jobs have the same.
SELECT s.job_id, 'time_zone', NULL, string_agg(
           format('schedule "%s" is in a time zone that this server does not know: %s', s.schedule, z.timezone),
           '; ' ORDER BY s.schedule_id)
FROM (
    SELECT s.jsctimezone AS timezone, array_agg(s.jscid) AS schedules
    FROM pgagent.pga_schedule AS s
    WHERE s.jscenabled AND s.jscat IS NULL AND NOT s.jscreboot
    GROUP BY s.jsctimezone
    HAVING pgagent.pga_local_time(s.jsctimezone, now()) IS NULL
) AS z
CROSS JOIN LATERAL (
    SELECT s.jscid AS schedule_id, s.jscname AS schedule, j.jobid AS job_id
    FROM pgagent.pga_schedule AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jscjobid
    WHERE s.jscid = ANY (z.schedules)
          AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
) AS s
GROUP BY s.job_id
UNION ALL
SELECT t.job_id, 'role', NULL, string_agg(DISTINCT r.refusal, '; ')
FROM (
    SELECT j.jobowner, j.jobownerid, s.jstrunas, s.jstrunasid, s.jstkind, s.jstconnstr <> '' AS has_conninfo, s.jstmode,
           array_agg(DISTINCT j.jobid) AS jobs
    FROM pgagent.pga_jobstep AS s
    JOIN pgagent.pga_job AS j ON j.jobid = s.jstjobid
    WHERE s.jstenabled AND (s.jstrunas IS NOT NULL OR j.jobowner IS NOT NULL)
          AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
    GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS k
LEFT JOIN pgagent.pga_run_as AS a ON a.rasrole = COALESCE(k.jstrunas, k.jobowner)
CROSS JOIN LATERAL pgagent.pga_role_refusal(
    k.jobowner, k.jobownerid, k.jstrunas, k.jstrunasid, k.jstkind::text, k.has_conninfo, k.jstmode, a) AS r (refusal)
CROSS JOIN LATERAL unnest(k.jobs) AS t (job_id)
WHERE r.refusal IS NOT NULL
GROUP BY t.job_id;
COMMENT ON VIEW pgagent.pga_obstacle IS
'What keeps a job from running, and will not pass by itself, a row for each kind: set_aside, time_zone, role; whether the job is enabled, paused or armed or not.';
