-- Three jobs, and a run of each at once.

CREATE TABLE public.visit (at timestamptz NOT NULL, who text NOT NULL);

-- Every minute: a statement, then a script.
SELECT pgagent.schedule('count visits', '* * * * *', 'INSERT INTO public.visit VALUES (now(), user)');
SELECT pgagent.add_step('count visits', 'report', 'echo "visited on $(date)"', kind => 'batch');

-- When asked for: its first step may fail.
SELECT pgagent.create_job('go on after an error');
SELECT pgagent.add_step('go on after an error', '1 shaky', 'echo "no such luck" >&2; exit 3',
                        kind => 'batch', on_error => 'ignore');
SELECT pgagent.add_step('go on after an error', '2 sturdy', 'echo "the show goes on"', kind => 'batch');

SELECT pgagent.create_job('fail');
SELECT pgagent.add_step('fail', '1 divide', 'SELECT 1 / 0');

SELECT pgagent.run_job(job) FROM pgagent.job_status;
