-- pause.sql: jobs that do not start for now. What they are, and when they are due, stays.

CREATE TABLE pgagent.pga_jobpause (
    jpsid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jpsjobid integer UNIQUE
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jpsuntil timestamptz NOT NULL DEFAULT 'infinity',
    jpsreason text NOT NULL DEFAULT '',
    jpssince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jpsby name NOT NULL DEFAULT CURRENT_USER
);
-- One row for all jobs at most.
CREATE UNIQUE INDEX pga_jobpause_all ON pgagent.pga_jobpause ((jpsjobid IS NULL)) WHERE jpsjobid IS NULL;

COMMENT ON TABLE pgagent.pga_jobpause IS
'Pauses: a row for a job, or one for all, which do not start until then. One that is over stays a day longer: it tells why times were left out.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpsid IS 'Names the row.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpsjobid IS 'The job; NULL: all jobs.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpsuntil IS 'Until when; infinity: until unpause_job() or unpause_all(). In the past: the pause is over.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpsreason IS 'Why.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpssince IS 'Since when.';
COMMENT ON COLUMN pgagent.pga_jobpause.jpsby IS 'Who has paused it, or has last changed until when.';
