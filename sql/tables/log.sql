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
    jlgcancel text,
    -- Since 5.1.0
    jlgstartedby name,
    jlgstartedvia text,
    jlgchangeid bigint,
    jlgrestartof bigint
);
-- A job's runs, the latest first; with the status, for pgAdmin's list of jobs.
CREATE INDEX pga_joblog_jobid ON pgagent.pga_joblog (jlgjobid, jlgid DESC) INCLUDE (jlgstatus);
-- What has run lately.
CREATE INDEX pga_joblog_jlgstart ON pgagent.pga_joblog (jlgstart);
-- The runs under way: few, among millions.
CREATE INDEX pga_joblog_running ON pgagent.pga_joblog (jlgjobid) WHERE jlgstatus = 'r';

COMMENT ON TABLE pgagent.pga_joblog IS
'Runs of jobs, past and present.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgid IS 'Id of the run.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstatus IS 'Status of the run: r=running, s=successfully finished, f=failed, i=no steps to execute, d=aborted.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstart IS 'When the run began.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgagentid IS 'The agent that executed it: its pga_jobagent.jagpid at that time.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstation IS 'The host of that agent.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgscheduled IS 'When the run was due.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgmessage IS 'One sentence why the run ended as it did; NULL after success.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgcancel IS 'Who has asked for the run to be stopped, and when; NULL: nobody.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstartedby IS 'The role that has asked for the run; NULL: a schedule has started it, or that is not known.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstartedvia IS 'What has started the run: schedule, run_job, jobnextrun (somebody has written that column, as pgAdmin does); NULL: not known.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgchangeid IS 'What the job was then is the outcome of its changes up to this id in pga_jobchange; NULL: none was known.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgrestartof IS 'The run that it repeats; NULL: none.';
COMMENT ON INDEX pgagent.pga_joblog_jobid IS 'The runs of a job, the latest first, with their status.';

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

COMMENT ON TABLE pgagent.pga_jobsteplog IS
'Steps of runs, past and present.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljlgid IS 'The run.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljstid IS 'The step.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstatus IS 'Status of the step: r=running, s=successfully finished, f=failed stopping job, i=ignored failure, d=aborted.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslresult IS 'Return code of the step: for SQL the number of rows that the last command touched, -1 after an error; for batch the exit code of the script, -N if signal N killed it; -1 if its runner died. NULL while it runs, and if another attempt has followed.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstart IS 'When the step began.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsloutput IS 'For SQL the notices, the result of each command and the error; for batch what the script wrote.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslattempt IS 'The number of this attempt at the step in this run, from 1.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslcpu IS 'How long the script and what it has started used a processor; NULL unless a script has ended.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslmemory IS 'The most memory, in bytes, that one of its processes had resident; NULL unless a script has ended.';

