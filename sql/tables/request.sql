-- request.sql: wishes that a job run, other than by writing pga_job.jobnextrun. The first of
-- a job stands in pga_job.jobrunid, too, so that nobody looks here for a job without one.

CREATE TABLE pgagent.pga_jobrequest (
    jrqid bigint NOT NULL PRIMARY KEY,
    jrqjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jrqat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jrqby name NOT NULL DEFAULT CURRENT_USER,
    jrqvia text NOT NULL,
    jrqfromstep integer,
    jrqinput jsonb,
    jrqrestartof bigint
);
-- A job's wishes, the oldest first.
CREATE INDEX pga_jobrequest_jobid ON pgagent.pga_jobrequest (jrqjobid, jrqat, jrqid);

COMMENT ON TABLE pgagent.pga_jobrequest IS
'Wishes that a job run: a row that somebody adds has its job run. The claim takes the first of a job and deletes it; cancel_run() takes one back.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqid IS 'The id that the run will have in pga_joblog, drawn by a trigger.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqat IS 'When it was asked for.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqby IS 'Who has asked.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqvia IS 'By what means: run_job, alert.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqfromstep IS 'The step from which the run begins; NULL: the first.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqinput IS 'The input of the run, at most 100 kB: its SQL steps have it as the setting pgagent.input, its batch steps as the variable PGAGENT_INPUT; NULL: none.';
COMMENT ON COLUMN pgagent.pga_jobrequest.jrqrestartof IS 'The run that it repeats; NULL: none.';

