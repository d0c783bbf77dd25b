-- Three jobs; each is started at once by its jobnextrun.

CREATE TABLE public.visit (at timestamptz NOT NULL, agent text NOT NULL);

WITH job AS (
    INSERT INTO pgagent.pga_job (jobjclid, jobname)
    VALUES (5, 'Count visits') RETURNING jobid
), schedule AS (
    INSERT INTO pgagent.pga_schedule (jscjobid, jscname)
    SELECT jobid, 'every minute' FROM job
)
INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
SELECT jobid, step.name, step.kind, step.database, step.code
  FROM job, (VALUES
    ('1 visit', 's', 'postgres', 'INSERT INTO public.visit VALUES (now(), user)'),
    ('2 report', 'b', '', 'echo "visited on $(date)"')
  ) AS step (name, kind, database, code);

WITH job AS (
    INSERT INTO pgagent.pga_job (jobjclid, jobname)
    VALUES (5, 'Go on after an error') RETURNING jobid
)
INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstonerror, jstcode)
SELECT jobid, step.name, 'b', step.on_error, step.code
  FROM job, (VALUES
    ('1 shaky', 'i', 'echo "no such luck" >&2; exit 3'),
    ('2 sturdy', 'f', 'echo "the show goes on"')
  ) AS step (name, on_error, code);

WITH job AS (
    INSERT INTO pgagent.pga_job (jobjclid, jobname)
    VALUES (5, 'Fail') RETURNING jobid
)
INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstdbname, jstcode)
SELECT jobid, '1 divide', 's', 'postgres', 'SELECT 1 / 0' FROM job;

UPDATE pgagent.pga_job SET jobnextrun = now();
