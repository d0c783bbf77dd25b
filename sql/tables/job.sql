-- job.sql: jobs and their steps.

CREATE TABLE pgagent.pga_job (
    jobid serial NOT NULL PRIMARY KEY,
    jobjclid integer NOT NULL
        REFERENCES pgagent.pga_jobclass (jclid) ON DELETE RESTRICT ON UPDATE RESTRICT,
    jobname text NOT NULL,
    jobdesc text NOT NULL DEFAULT '',
    jobhostagent text NOT NULL DEFAULT '',
    jobenabled boolean NOT NULL DEFAULT true,
    jobcreated timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jobchanged timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jobagentid integer
        REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE SET NULL ON UPDATE RESTRICT,
    jobnextrun timestamptz,
    joblastrun timestamptz,
    -- Since 5.0.0
    jobrunid bigint,
    jobfromstep integer,
    jobtimeout interval
        CONSTRAINT pga_job_jobtimeout_check CHECK (jobtimeout > interval '0'),
    joboverlap text NOT NULL DEFAULT 'skip'
        CONSTRAINT pga_job_joboverlap_check CHECK (joboverlap IN ('skip', 'queue')),
    jobmissed text NOT NULL DEFAULT 'latest'
        CONSTRAINT pga_job_jobmissed_check CHECK (jobmissed IN ('latest', 'skip', 'all')),
    jobmissedlimit interval
        CONSTRAINT pga_job_jobmissedlimit_check CHECK (jobmissedlimit > interval '0'),
    jobdeaths integer NOT NULL DEFAULT 0,
    -- retention.sql sets the defaults of new installations.
    jobkeepfor interval
        CONSTRAINT pga_job_jobkeepfor_check CHECK (jobkeepfor > interval '0'),
    jobkeepruns integer
        CONSTRAINT pga_job_jobkeepruns_check CHECK (jobkeepruns > 0),
    -- Since 5.1.0
    jobowner name,
    jobownerid oid,
    jobchangeid bigint,
    jobaskedby name,
    jobset text,
    joblateafter interval DEFAULT '5 minutes'
        CONSTRAINT pga_job_joblateafter_check CHECK (joblateafter > interval '0'),
    joblongafter interval
        CONSTRAINT pga_job_joblongafter_check CHECK (joblongafter > interval '0'),
    joblongfactor double precision
        CONSTRAINT pga_job_joblongfactor_check CHECK (joblongfactor >= 1 AND joblongfactor < 'infinity'),
    jobdisableafter integer
        CONSTRAINT pga_job_jobdisableafter_check CHECK (jobdisableafter > 0),
    -- What is known of its runs without a look at the log, which may have been pruned.
    jobfailures integer NOT NULL DEFAULT 0,
    joblastsuccess timestamptz,
    jobsucceeded bigint NOT NULL DEFAULT 0,
    jobfailed bigint NOT NULL DEFAULT 0,
    jobaborted bigint NOT NULL DEFAULT 0,
    jobempty bigint NOT NULL DEFAULT 0
);
-- The due jobs, in the order in which they fell due.
CREATE INDEX pga_job_due ON pgagent.pga_job (jobnextrun, jobid)
    WHERE jobagentid IS NULL AND jobnextrun IS NOT NULL;
-- The jobs that an agent holds.
CREATE INDEX pga_job_agent ON pgagent.pga_job (jobagentid) WHERE jobagentid IS NOT NULL;

COMMENT ON TABLE pgagent.pga_job IS
'Jobs: what runs at the times of its schedules, step by step.';
COMMENT ON COLUMN pgagent.pga_job.jobid IS 'Id of the job.';
COMMENT ON COLUMN pgagent.pga_job.jobjclid IS 'Its class.';
COMMENT ON COLUMN pgagent.pga_job.jobname IS 'Its name; need not be unique.';
COMMENT ON COLUMN pgagent.pga_job.jobdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_job.jobhostagent IS 'Host name of the only agent that may execute the job, exactly as in pga_jobagent.jagstation; empty: any.';
COMMENT ON COLUMN pgagent.pga_job.jobenabled IS 'Whether schedules start the job. A disabled job still runs once when jobnextrun is set.';
COMMENT ON COLUMN pgagent.pga_job.jobcreated IS 'When the job was created.';
COMMENT ON COLUMN pgagent.pga_job.jobchanged IS 'When the job, a step, a schedule or an exception of it was last changed.';
COMMENT ON COLUMN pgagent.pga_job.jobagentid IS 'Agent that currently executes this job; NULL: none. Written by agents only.';
COMMENT ON COLUMN pgagent.pga_job.jobnextrun IS 'When the job is due, kept by triggers. Set it to now() to run the job at once, to NULL to have it computed from the schedules.';
COMMENT ON COLUMN pgagent.pga_job.joblastrun IS 'When the last run began.';
COMMENT ON COLUMN pgagent.pga_job.jobrunid IS 'The id that run_job() has promised for the next run, the first in pga_jobrequest; NULL: none. A job that is promised to run is due as soon as it is free.';
COMMENT ON COLUMN pgagent.pga_job.jobfromstep IS 'The step from which the next run begins, if run_job() was told so; NULL: the first.';
COMMENT ON COLUMN pgagent.pga_job.jobtimeout IS 'How long a run may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_job.joboverlap IS 'What becomes of a time of its schedules that passes while the job is running: skip=it is left out, queue=the job runs again when it has ended.';
COMMENT ON COLUMN pgagent.pga_job.jobmissed IS 'What becomes of the times that pass while no runner can take the job: latest=one run makes up for all, skip=they are left out, all=a run for each of the latest hundred.';
COMMENT ON COLUMN pgagent.pga_job.jobmissedlimit IS 'How late a run may begin: a time longer ago than this is left out. NULL: as late as need be; a minute where jobmissed is skip.';
COMMENT ON COLUMN pgagent.pga_job.jobdeaths IS 'How many runners in a row have died while they executed this job; three disable it.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepfor IS 'How long its runs are kept in the log; NULL: for ever.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepruns IS 'How many of its latest runs are kept in the log; NULL: all.';
COMMENT ON COLUMN pgagent.pga_job.jobowner IS 'The role that owns the job, and that its steps run as; NULL: nobody does, and they run with the login of the runner.';
COMMENT ON COLUMN pgagent.pga_job.jobownerid IS 'Its object id, kept by triggers; if that is not the id of the role of this name, nothing runs.';
COMMENT ON COLUMN pgagent.pga_job.jobchangeid IS 'What it is now is the outcome of its changes up to this id in pga_jobchange; kept by triggers. NULL: none is known.';
COMMENT ON COLUMN pgagent.pga_job.jobaskedby IS 'The role that has set jobnextrun, kept by triggers; NULL: it was computed.';
COMMENT ON COLUMN pgagent.pga_job.jobset IS 'The set of the document that has made the job, which apply_jobs(prune => true) may delete it for; NULL: none has.';
COMMENT ON COLUMN pgagent.pga_job.joblateafter IS 'How long it may be due without having started before that is a problem; NULL: as long as need be.';
COMMENT ON COLUMN pgagent.pga_job.joblongafter IS 'How long a run may take before that is a problem; NULL: as long as need be. It goes on.';
COMMENT ON COLUMN pgagent.pga_job.joblongfactor IS 'How many times its usual duration, the 95th percentile of its latest hundred successful runs, a run may take before that is a problem; NULL: any number. It goes on.';
COMMENT ON COLUMN pgagent.pga_job.jobdisableafter IS 'After how many failures in a row the job is disabled; NULL: never.';
COMMENT ON COLUMN pgagent.pga_job.jobfailures IS 'How many of its latest runs have failed, or were aborted, in a row.';
COMMENT ON COLUMN pgagent.pga_job.joblastsuccess IS 'When the last run that succeeded ended; NULL: none is known.';
COMMENT ON COLUMN pgagent.pga_job.jobsucceeded IS 'How many runs have succeeded so far, whether they are in the log still or not.';
COMMENT ON COLUMN pgagent.pga_job.jobfailed IS 'How many runs have failed so far.';
COMMENT ON COLUMN pgagent.pga_job.jobaborted IS 'How many runs were aborted so far.';
COMMENT ON COLUMN pgagent.pga_job.jobempty IS 'How many runs had nothing to do so far.';
COMMENT ON INDEX pgagent.pga_job_due IS 'The due jobs, in the order in which they fell due.';
COMMENT ON CONSTRAINT pga_job_jobagentid_fkey ON pgagent.pga_job IS 'An agent''s jobs are free when its row is deleted.';

CREATE TABLE pgagent.pga_jobstep (
    jstid serial NOT NULL PRIMARY KEY,
    jstjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jstname text NOT NULL,
    jstdesc text NOT NULL DEFAULT '',
    jstenabled boolean NOT NULL DEFAULT true,
    jstkind character(1) NOT NULL
        CONSTRAINT pga_jobstep_jstkind_check CHECK (jstkind IN ('b', 's')),
    jstcode text NOT NULL,
    jstconnstr text NOT NULL DEFAULT ''
        CONSTRAINT pga_jobstep_check CHECK (
            (jstconnstr <> '' AND jstkind = 's')
            OR (jstconnstr = '' AND (jstkind = 'b' OR jstdbname <> ''))
        ),
    jstdbname name NOT NULL DEFAULT ''
        CONSTRAINT pga_jobstep_check1 CHECK (
            (jstdbname <> '' AND jstkind = 's')
            OR (jstdbname = '' AND (jstkind = 'b' OR jstconnstr <> ''))
        ),
    jstonerror character(1) NOT NULL DEFAULT 'f'
        CONSTRAINT pga_jobstep_jstonerror_check CHECK (jstonerror IN ('f', 's', 'i')),
    jscnextrun timestamptz,
    -- Since 5.0.0
    jsttimeout interval
        CONSTRAINT pga_jobstep_jsttimeout_check CHECK (jsttimeout > interval '0'),
    jstretries integer NOT NULL DEFAULT 0
        CONSTRAINT pga_jobstep_jstretries_check CHECK (jstretries BETWEEN 0 AND 1000),
    jstretrydelay interval NOT NULL DEFAULT '10 seconds'
        CONSTRAINT pga_jobstep_jstretrydelay_check CHECK (jstretrydelay >= interval '0'),
    jstretrybackoff double precision NOT NULL DEFAULT 2
        CONSTRAINT pga_jobstep_jstretrybackoff_check CHECK (jstretrybackoff BETWEEN 1 AND 100),
    jstretryon text[],
    jstmode text NOT NULL DEFAULT 'single'
        CONSTRAINT pga_jobstep_jstmode_check CHECK (
            jstmode = 'single' OR (jstmode IN ('autocommit', 'atomic') AND jstkind = 's')
        ),
    -- Since 5.1.0
    jstrunas name,
    jstrunasid oid
);
CREATE INDEX pga_jobstep_jobid ON pgagent.pga_jobstep (jstjobid);

COMMENT ON TABLE pgagent.pga_jobstep IS
'Steps of jobs, executed in the order of their names.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstid IS 'Id of the step.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstjobid IS 'The job it belongs to.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstname IS 'Its name: steps are executed in the order of names, those of one name in the order of ids.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstenabled IS 'Whether it is executed.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstkind IS 'Kind of step: s=SQL, b=batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstcode IS 'SQL commands, sent as one query; or a script, run by the interpreter that its first line names (#!), else by /bin/sh.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstconnstr IS 'For SQL: a libpq connection string to any database; empty: jstdbname says where. It takes precedence over jstdbname.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdbname IS 'For SQL: a database on the agent''s own server; empty: jstconnstr says where.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstonerror IS 'What a failure does: f=the job fails and stops, s=the step counts as succeeded, i=the failure is logged and ignored.';
COMMENT ON COLUMN pgagent.pga_jobstep.jscnextrun IS 'Not used; pgAdmin reads it.';
COMMENT ON COLUMN pgagent.pga_jobstep.jsttimeout IS 'How long the step may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretries IS 'How many more times the step is tried if it fails for a reason in jstretryon.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrydelay IS 'How long to wait before the first retry.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrybackoff IS 'How many times longer to wait before each further retry: 1=always the same, 2=twice as long.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretryon IS 'After what to try again: SQLSTATEs or their first two characters, exit codes, ''connection'', ''timeout'', ''any''. NULL: lost connections, 40001, 40P01, 55P03 and 57P01 to 57P03 for SQL; any exit code for batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstmode IS 'How an SQL step is sent: single=as one query, in one transaction unless it says otherwise; autocommit=statement by statement, each on its own; atomic=in one transaction with its own log row, in the database of the jobs only.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstrunas IS 'The role that the step runs as; NULL: the owner of the job, if it has one.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstrunasid IS 'Its object id, which counts like pga_job.jobownerid.';
COMMENT ON CONSTRAINT pga_jobstep_check ON pgagent.pga_jobstep IS 'Only SQL steps have a connection string, and they have it or a database.';
COMMENT ON CONSTRAINT pga_jobstep_check1 ON pgagent.pga_jobstep IS 'Only SQL steps have a database, and they have it or a connection string.';

