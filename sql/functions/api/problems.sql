-- problems.sql: what is wrong now. Whoever tells of it, be it alerts, metrics or health, reads
-- it here: nothing of it is computed a second time.
--
-- Times in tables may be infinite, or such that no program can read them: they are compared,
-- hardly ever computed with, and left out where they would be shown.

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

CREATE OR REPLACE VIEW pgagent.problems AS
WITH copied AS MATERIALIZED (
    SELECT pgagent.pga_unarmed() AS why
), waiting AS MATERIALIZED (
    SELECT w.* FROM pgagent.pga_waiting AS w
), given_up AS MATERIALIZED (
    -- By whom it was disabled: there is no run between the change and the run that says so.
    SELECT j.jobid, c.jchat AS at, l.run
    FROM pgagent.pga_job AS j
    LEFT JOIN LATERAL (
        SELECT c.jchid, c.jchat FROM pgagent.pga_jobchange AS c
        WHERE c.jchjobid = j.jobid AND c.jchobject = 'job' AND c.jchnew ? 'jobenabled' ORDER BY c.jchid DESC LIMIT 1
    ) AS c ON true
    CROSS JOIN LATERAL (
        SELECT r AS run FROM pgagent.pga_joblog AS r
        WHERE r.jlgjobid = j.jobid AND (COALESCE(r.jlgchangeid, 0) < c.jchid OR c.jchid IS NULL) ORDER BY r.jlgid DESC LIMIT 1
    ) AS l
    WHERE NOT j.jobenabled AND j.jobfailed + j.jobaborted > 0 AND (l.run).jlgmessage LIKE '%the job has been disabled%'
          -- Somebody has enabled it since, and then disabled it himself.
          AND NOT EXISTS (
              SELECT FROM pgagent.pga_jobchange AS e
              WHERE e.jchjobid = j.jobid AND e.jchid < c.jchid AND e.jchobject = 'job' AND e.jchnew @> '{"jobenabled": true}'
                    AND CASE WHEN (l.run).jlgchangeid IS NOT NULL THEN e.jchid > (l.run).jlgchangeid ELSE e.jchat > (l.run).jlgstart END
          )
), told (job_id, problem, since, detail) AS (
    SELECT j.jobid, CASE (l.run).jlgstatus WHEN 'd' THEN 'aborted' ELSE 'failed' END AS problem,
           COALESCE(
               (SELECT f.jlgstart FROM pgagent.pga_joblog AS f WHERE f.jlgid = first_run.jlgid), j.joblastsuccess
           ),
           format('%s%s%s', COALESCE(CASE WHEN l.run IS DISTINCT FROM NULL THEN left(pgagent.pga_explain_run(l.run), 10000) END, 'its last run is not in the log any more'),
                  CASE WHEN j.jobfailures > 1 THEN format('; it was failure %s in a row', j.jobfailures) END,
                  COALESCE('; it has last succeeded at ' || date_trunc('second', j.joblastsuccess), '; no run of it is known to have succeeded'))
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
    WHERE j.jobfailures > 0 AND (j.jobenabled OR j.jobid IN (SELECT g.jobid FROM given_up AS g))
    UNION ALL
    SELECT w.job_id, 'late' AS problem, w.since,
           format('due since %s, which is longer ago than late_after (%s): %s', date_trunc('second', w.since), w.late_after, w.reason)
    FROM waiting AS w WHERE w.late
    UNION ALL
    SELECT j.jobid, 'long' AS problem, l.jlgstart,
           format('run %s%s has been under way for %s, which is longer than %s', l.jlgid, ' on host "' || l.jlgstation || '"',
                  date_trunc('second', now() - l.jlgstart),
                  concat_ws(' and ', CASE WHEN d.too_long THEN format('long_after (%s)', j.joblongafter) END,
                            CASE WHEN d.too_long_for_it THEN format('%s times what it usually takes (%s)', j.joblongfactor, d.usual) END))
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
    WHERE d.too_long OR d.too_long_for_it
    UNION ALL
    SELECT g.jobid, 'disabled' AS problem, COALESCE(g.at, (g.run).jlgstart),
           left(pgagent.pga_explain_run(g.run), 10000) || '; alter_job(..., enabled => true) enables it'
    FROM given_up AS g
    UNION ALL
    SELECT o.job_id, o.problem, o.since, o.detail
    FROM pgagent.pga_obstacle AS o
    JOIN pgagent.pga_job AS j ON j.jobid = o.job_id
    LEFT JOIN pgagent.pga_jobpause AS p ON p.jpsjobid = j.jobid
    WHERE (j.jobenabled OR j.jobnextrun IS NOT NULL) AND NOT (o.problem = 'set_aside' AND (
        (p.jpsuntil > now()) IS TRUE
        OR EXISTS (SELECT FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL AND a.jpsuntil > now())))
)
SELECT p.job_id, p.job, p.problem,
       CASE WHEN p.since BETWEEN '0001-01-02 00:00 UTC' AND '9999-12-30 00:00 UTC' THEN p.since END AS since, p.detail
FROM (
    SELECT j.jobid AS job_id, j.jobname AS job, t.problem, t.since, t.detail
    FROM told AS t JOIN pgagent.pga_job AS j ON j.jobid = t.job_id
    WHERE (SELECT c.why FROM copied AS c) IS NULL
          AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
    UNION ALL
    SELECT NULL AS job_id, NULL AS job, 'no_runner' AS problem, COALESCE(a.seen, w.since),
           'no runner is alive: start one with "pgagent run"'
           || COALESCE('; the last one, on host "' || a.station || '", has shown its last sign of life at ' || date_trunc('second', a.seen), '')
           || CASE WHEN w.jobs > 0 THEN format('; %s due, the first since %s',
                                               CASE w.jobs WHEN 1 THEN '1 job is' ELSE w.jobs || ' jobs are' END, date_trunc('second', w.since)) ELSE '' END
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
    CROSS JOIN (SELECT count(*) AS jobs, min(w.since) AS since FROM waiting AS w) AS w
    WHERE NOT a.some_live AND (SELECT c.why FROM copied AS c) IS NULL
          AND (a.seen < now() - interval '1 minute' OR w.since < now() - interval '1 minute')
    UNION ALL
    SELECT NULL AS job_id, NULL AS job, 'isolation' AS problem, NULL AS since, b.why
    FROM (SELECT pgagent.pga_isolation_broken() AS why) AS b
    WHERE b.why IS NOT NULL AND (SELECT c.why FROM copied AS c) IS NULL
    UNION ALL
    SELECT NULL AS job_id, NULL AS job, 'unarmed' AS problem, d.since,
           format('%s; %s be due, the first since %s', c.why, CASE d.jobs WHEN 1 THEN '1 job would' ELSE d.jobs || ' jobs would' END, date_trunc('second', d.since))
    FROM copied AS c
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, min(j.jobnextrun) AS since
        FROM pgagent.pga_job AS j
        LEFT JOIN pgagent.pga_jobpause AS p ON p.jpsjobid = j.jobid
        WHERE c.why IS NOT NULL AND j.jobnextrun <= now() AND (p.jpsuntil > now()) IS NOT TRUE
              AND NOT EXISTS (SELECT FROM pgagent.pga_jobpause AS a WHERE a.jpsjobid IS NULL AND a.jpsuntil > now())
              AND ((SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(j.jobowner, j.jobownerid))
    ) AS d
    WHERE d.jobs > 0
    UNION ALL
    SELECT NULL AS job_id, NULL AS job, 'alert' AS problem, w.since,
           format('%s of alert "%s" %s not been sent by channel "%s" since %s: %s',
                  CASE w.events WHEN 1 THEN '1 event' ELSE w.events || ' events' END, w.altname,
                  CASE w.events WHEN 1 THEN 'has' ELSE 'have' END, w.altchannel, date_trunc('second', w.since),
                  COALESCE(left(w.last_error, 10000), 'no sender that knows this channel has asked for it'))
    FROM (
        SELECT a.altname, a.altchannel, count(*) AS events, min(e.aleat) AS since,
               (array_agg(e.aleerror ORDER BY e.aleattempts DESC) FILTER (WHERE e.aleerror IS NOT NULL))[1] AS last_error
        FROM pgagent.pga_alertevent AS e
        JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid AND a.altenabled
        LEFT JOIN pgagent.pga_job AS j ON j.jobid = a.altjobid
        WHERE e.alestate IN ('pending', 'sending') AND e.aleat < now() - interval '5 minutes'
              AND ((SELECT pgagent.pga_sees_all()) OR j.jobid IS NOT NULL AND pgagent.pga_may_see(j.jobowner, j.jobownerid))
        GROUP BY a.altid
    ) AS w
    WHERE (SELECT c.why FROM copied AS c) IS NULL
) AS p;
COMMENT ON VIEW pgagent.problems IS
'What is wrong now, a row for each problem: of a job, or of all (job_id and job are NULL). failed, aborted: the last run that ended has; late: the job is due, and has waited for longer than its late_after, though it is neither paused nor set aside; long: a run takes longer than long_after, or than long_factor times what it usually takes; disabled: for its failures, not by somebody; set_aside: it can''t be started; role, time_zone: it can''t run, because of a role or of a schedule''s time zone; no_runner: none is alive, and a job has been due for a minute, or a runner that died has not come back for a minute; isolation: the catalogue was isolated where it was dumped, and is not here; alert: what an alert is to tell has not been sent for five minutes; unarmed: this is a copy, no job starts, and some would be due (then that is the only problem). since is when that began, as far as is known; detail is a sentence. Example: SELECT job, problem, since, detail FROM pgagent.problems ORDER BY since.';
