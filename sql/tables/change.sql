-- change.sql: what was changed in the definitions of jobs, when, and by whom.

CREATE TABLE pgagent.pga_jobchange (
    jchid bigserial NOT NULL PRIMARY KEY,
    -- Without a reference: the changes of a job outlive it.
    jchjobid integer NOT NULL,
    jchat timestamptz NOT NULL DEFAULT clock_timestamp(),
    jchby name NOT NULL DEFAULT CURRENT_USER,
    jchobject text NOT NULL
        CONSTRAINT pga_jobchange_jchobject_check CHECK (jchobject IN ('job', 'step', 'schedule', 'exception')),
    jchobjectid integer NOT NULL,
    jchaction text NOT NULL
        CONSTRAINT pga_jobchange_jchaction_check CHECK (jchaction IN ('insert', 'update', 'delete')),
    jchowner name,
    jchold jsonb,
    jchnew jsonb
);
CREATE INDEX pga_jobchange_jobid ON pgagent.pga_jobchange (jchjobid, jchid);

COMMENT ON TABLE pgagent.pga_jobchange IS
'Changes of the definitions of jobs: written by triggers, kept for as long as the setting pgagent.keep_changes says.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchid IS 'Id of the change; a run refers to the last one before it (pga_joblog.jlgchangeid).';
COMMENT ON COLUMN pgagent.pga_jobchange.jchjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchat IS 'When.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchby IS 'Who has changed it.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchobject IS 'What was changed: job, step, schedule or exception.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchobjectid IS 'Its id.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchaction IS 'insert, update or delete.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchowner IS 'The owner of the job at that time; NULL: none.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchold IS 'The columns that were changed, as they were before, without passwords; all of what was deleted.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchnew IS 'The same, as they are since; all of what was inserted.';
COMMENT ON INDEX pgagent.pga_jobchange_jobid IS 'The changes of a job, in order.';

