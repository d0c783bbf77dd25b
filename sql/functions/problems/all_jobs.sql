-- all_jobs.sql: what is wrong and concerns no single job.

CREATE OR REPLACE VIEW pgagent.pga_unarmed_jobs AS
SELECT 'unarmed'::text AS problem, d.since,
       format('%s; %s be due, the first since %s', c.why, CASE d.jobs WHEN 1 THEN '1 job would' ELSE d.jobs || ' jobs would' END, date_trunc('second', d.since)) AS detail
FROM (SELECT pgagent.pga_unarmed() AS why) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(j.jobnextrun) AS since
    FROM pgagent.pga_job AS j
    LEFT JOIN pgagent.pga_jobpause AS p ON p.jpsjobid = j.jobid
    WHERE c.why IS NOT NULL AND j.jobnextrun <= now() AND (p.jpsuntil > now()) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL AND a.jpsuntil > now())
          AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
) AS d
WHERE d.jobs > 0;
COMMENT ON VIEW pgagent.pga_unarmed_jobs IS
'A row if jobs would be due, and none starts because this is a copy.';

CREATE OR REPLACE VIEW pgagent.pga_trouble AS
SELECT 'no_runner'::text AS problem, COALESCE(a.seen, w.since) AS since,
       'no runner is alive: start one with "pgagent run"'
       || COALESCE('; the last one, on host "' || a.station || '", has shown its last sign of life at ' || date_trunc('second', a.seen), '')
       || CASE WHEN w.jobs > 0 THEN format('; %s due, the first since %s',
                                           CASE w.jobs WHEN 1 THEN '1 job is' ELSE w.jobs || ' jobs are' END, date_trunc('second', w.since)) ELSE '' END AS detail
FROM (
    SELECT max(s.seen) AS seen, (array_agg(s.station ORDER BY s.seen DESC NULLS LAST))[1] AS station,
           bool_or(s.alive) IS TRUE AS some_live
    FROM (
        SELECT a.jagstation AS station, pgagent.pga_why_dead(a) IS NULL AS alive,
               CASE WHEN a.jaglease BETWEEN '0001-01-01 00:00 UTC' AND '9999-01-01 00:00 UTC'
                    THEN a.jaglease - COALESCE(pgagent.pga_span(a.jagleasefor), interval '0') END AS seen
        FROM pgagent.pga_jobagent AS a
    ) AS s
) AS a
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, min(w.since) AS since FROM pgagent.pga_waiting AS w WHERE NOT a.some_live
) AS w
WHERE NOT a.some_live
      AND (a.seen < now() - interval '1 minute' OR w.since < now() - interval '1 minute')
UNION ALL
SELECT 'isolation' AS problem, NULL AS since, b.why AS detail
FROM (SELECT pgagent.pga_isolation_broken() AS why) AS b
WHERE b.why IS NOT NULL
UNION ALL
SELECT 'alert' AS problem, w.since,
       format('%s of alert "%s" %s not been sent by channel "%s" since %s: %s',
              CASE w.events WHEN 1 THEN '1 event' ELSE w.events || ' events' END, w.altname,
              CASE w.events WHEN 1 THEN 'has' ELSE 'have' END, w.altchannel, date_trunc('second', w.since),
              COALESCE(left(w.last_error, 10000), 'no sender that knows this channel has asked for it')) AS detail
FROM (
    SELECT a.altname, a.altchannel, count(*) AS events, min(e.aleat) AS since,
           (array_agg(e.aleerror ORDER BY e.aleattempts DESC) FILTER (WHERE e.aleerror IS NOT NULL))[1] AS last_error
    FROM pgagent.pga_alertevent AS e
    JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid AND a.altenabled
    LEFT JOIN pgagent.pga_job AS j ON j.jobid = a.altjobid
    WHERE e.alestate IN ('pending', 'sending') AND e.aleat < now() - interval '5 minutes'
          AND ((SELECT pgagent.pga_sees_all()) OR j.jobid IS NOT NULL AND pgagent.pga_may_see(j.jobowner, j.jobownerid))
    GROUP BY a.altid
) AS w;
COMMENT ON VIEW pgagent.pga_trouble IS
'What is wrong with all jobs, or with what tells of them: no_runner, isolation, alert.';
