-- busy_42.sql: fills the tables of pgAgent 4.2 with whatever 4.2 let people store. The
-- session that runs this is the agent of a run under way. The odd things belong to jobs
-- that are disabled, for on some of them 4.2's own triggers would never return.

UPDATE pgagent.pga_jobclass SET jclname = 'Housekeeping' WHERE jclid = 5;
INSERT INTO pgagent.pga_jobclass (jclname) VALUES ('A class of our own');

-- Every tenth job is disabled; of those, every other one with a next run.
INSERT INTO pgagent.pga_job (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobnextrun, joblastrun)
SELECT 1 + n % 6, 'job ' || n, E'Zeile 1\nline "2"\t\\ Ünï', CASE n % 3 WHEN 0 THEN 'elsewhere' ELSE '' END,
       n % 10 <> 0, CASE WHEN n % 20 = 0 THEN '2024-05-05 05:05 UTC'::timestamptz END,
       '2024-04-04 04:04:04.444 UTC'
FROM generate_series(1, 200) AS n;

INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname, jstconnstr, jstonerror, jstenabled)
SELECT n, step.name, step.kind, step.code, step.dbname, step.connstr, step.onerror, n % 7 <> 0
FROM generate_series(1, 200) AS n
CROSS JOIN (VALUES
    ('1 here', 's', E'SELECT 1;\nSELECT E''\\\\''', 'postgres', '', 'f'),
    ('2 there', 's', 'SELECT 2', '', 'host=there dbname=x', 's'),
    ('3 script', 'b', E'#!/bin/sh\necho "$HOME"', '', '', 'i')
) AS step (name, kind, code, dbname, connstr, onerror);

INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscend, jscminutes, jschours)
SELECT n, 'daily', '2024-01-01 UTC'::timestamptz, CASE n % 4 WHEN 0 THEN '2099-01-01 UTC'::timestamptz END,
       ARRAY(SELECT i = n % 60 FROM generate_series(0, 59) AS i),
       ARRAY(SELECT i = n % 24 FROM generate_series(0, 23) AS i)
FROM generate_series(1, 200) AS n WHERE n % 10 <> 3
UNION ALL
SELECT 1, 'again', '2024-01-01 UTC', NULL, array_fill(false, ARRAY[60]), array_fill(true, ARRAY[24]);

INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
SELECT s.jscid, e.date, e.time
FROM pgagent.pga_schedule AS s
CROSS JOIN (VALUES ('2030-12-25'::date, NULL::time), (NULL, '12:34')) AS e (date, time)
WHERE s.jscjobid = 1
ORDER BY 2, 3 LIMIT 3;

-- The checks of 4.2 looked at nothing but the upper bound of the first dimension.
INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscend, jscminutes, jschours, jscweekdays)
SELECT 200, odd.name, odd.start, odd.stop, odd.minutes, odd.hours, odd.weekdays
FROM (VALUES
    ('sound', '2024-01-01 UTC'::timestamptz, NULL::timestamptz,
     array_fill(false, ARRAY[60]), array_fill(false, ARRAY[24]), array_fill(false, ARRAY[7])),
    ('one element', '2024-01-01 UTC', NULL, '[60:60]={t}', '[24:24]={f}', '[7:7]={t}'),
    ('too many', '2024-01-01 UTC', NULL,
     array_fill(true, ARRAY[62], ARRAY[-1]), array_fill(false, ARRAY[25], ARRAY[0]), '[0:7]={t,f,f,f,f,f,f,f}'),
    ('NULLs', '2024-01-01 UTC', NULL,
     array_fill(NULL::boolean, ARRAY[60]), array_fill(NULL::boolean, ARRAY[24]), '{t,NULL,f,f,f,f,f}'),
    ('two dimensions', '2024-01-01 UTC', NULL,
     array_fill(true, ARRAY[60, 2]), array_fill(true, ARRAY[24, 1]), array_fill(false, ARRAY[7, 3])),
    ('infinite', 'infinity', '-infinity',
     array_fill(true, ARRAY[60]), array_fill(true, ARRAY[24]), array_fill(true, ARRAY[7])),
    ('backwards', '-infinity', '1066-10-14 UTC',
     array_fill(true, ARRAY[60]), array_fill(true, ARRAY[24]), array_fill(true, ARRAY[7]))
) AS odd (name, start, stop, minutes, hours, weekdays);

INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
SELECT s.jscid, odd.date, odd.time
FROM pgagent.pga_schedule AS s
CROSS JOIN (VALUES
    (NULL::date, NULL::time), ('infinity', NULL), (NULL, '24:00'), (NULL, '00:00:59.999'), ('4713-01-01 BC', NULL)
) AS odd (date, time)
WHERE s.jscname = 'sound';

-- The live agent holds job 1, one that is long dead job 2.
INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglogintime) VALUES
    (pg_backend_pid(), 'here', '2024-06-06 06:06 UTC'), (2147483647, 'there', '2024-02-02 02:02 UTC');
UPDATE pgagent.pga_job SET jobnextrun = '2024-07-07 07:07 UTC' WHERE jobid IN (1, 2);
UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid() WHERE jobid = 1;
UPDATE pgagent.pga_job SET jobagentid = 2147483647 WHERE jobid = 2;

INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart, jlgduration)
SELECT n, status, '2024-03-03 03:03:03.333 UTC', '1 minute 0.5 seconds'
FROM generate_series(1, 30) AS n, unnest('{s,f,i,d}'::text[]) AS status;
INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstart) VALUES
    (1, '2024-07-07 07:07:01 UTC'), (2, '2024-07-07 07:07:02 UTC');

INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration, jsloutput)
SELECT l.jlgid, s.jstid, l.jlgstatus, s.jstid - 1, l.jlgstart, l.jlgduration, E'äöü\n\\.\n' || s.jstcode
FROM pgagent.pga_joblog AS l JOIN pgagent.pga_jobstep AS s ON s.jstjobid = l.jlgjobid
WHERE l.jlgstatus <> 'r' OR s.jstname LIKE '1%';

-- As after a restore of what 4.2 dumps.
SELECT setval(c.oid, 1) FROM pg_class AS c
WHERE c.relkind = 'S' AND c.relnamespace = 'pgagent'::regnamespace;
