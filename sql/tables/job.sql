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
        CONSTRAINT pga_job_jobkeepruns_check CHECK (jobkeepruns > 0)
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
        )
);
CREATE INDEX pga_jobstep_jobid ON pgagent.pga_jobstep (jstjobid);

