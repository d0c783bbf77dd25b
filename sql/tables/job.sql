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
    jobfromstep integer
);
-- The due jobs, in the order in which they fell due.
CREATE INDEX pga_job_due ON pgagent.pga_job (jobnextrun, jobid)
    WHERE jobagentid IS NULL AND jobnextrun IS NOT NULL;
-- The jobs that an agent holds.
CREATE INDEX pga_job_agent ON pgagent.pga_job (jobagentid) WHERE jobagentid IS NOT NULL;

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
    jscnextrun timestamptz
);
CREATE INDEX pga_jobstep_jobid ON pgagent.pga_jobstep (jstjobid);

