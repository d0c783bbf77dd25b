-- log.sql: what has run, and how it ended.

CREATE TABLE pgagent.pga_joblog (
    jlgid bigserial NOT NULL PRIMARY KEY,
    jlgjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jlgstatus character(1) NOT NULL DEFAULT 'r'
        CONSTRAINT pga_joblog_jlgstatus_check CHECK (jlgstatus IN ('r', 's', 'f', 'i', 'd')),
    jlgstart timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jlgduration interval,
    -- Since 5.0.0
    jlgagentid integer,
    jlgstation text,
    jlgscheduled timestamptz,
    jlgmessage text,
    jlgcancel text
);
-- A job's runs, the latest first; with the status, for pgAdmin's list of jobs.
CREATE INDEX pga_joblog_jobid ON pgagent.pga_joblog (jlgjobid, jlgid DESC) INCLUDE (jlgstatus);
-- The runs under way: few, among millions.
CREATE INDEX pga_joblog_running ON pgagent.pga_joblog (jlgjobid) WHERE jlgstatus = 'r';

CREATE TABLE pgagent.pga_jobsteplog (
    jslid bigserial NOT NULL PRIMARY KEY,
    jsljlgid bigint NOT NULL
        REFERENCES pgagent.pga_joblog (jlgid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jsljstid integer NOT NULL
        REFERENCES pgagent.pga_jobstep (jstid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jslstatus character(1) NOT NULL DEFAULT 'r'
        CONSTRAINT pga_jobsteplog_jslstatus_check CHECK (jslstatus IN ('r', 's', 'i', 'f', 'd')),
    jslresult integer,
    jslstart timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jslduration interval,
    jsloutput text,
    -- Since 5.0.0
    jslattempt integer NOT NULL DEFAULT 1,
    -- Since 5.1.0
    jslcpu interval,
    jslmemory bigint
);
-- Each row is updated once, when the step has ended: room for that on the same page
-- leaves the indexes as they are.
ALTER TABLE pgagent.pga_jobsteplog SET (fillfactor = 85);
CREATE INDEX pga_jobsteplog_jslid ON pgagent.pga_jobsteplog (jsljlgid);
-- A step's runs, the latest first.
CREATE INDEX pga_jobsteplog_jstid ON pgagent.pga_jobsteplog (jsljstid, jslid DESC);
