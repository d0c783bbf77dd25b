-- change.sql: what was changed in the definitions of jobs, when, and by whom.

CREATE TABLE pgagent.pga_jobchange (
    jchid bigserial NOT NULL PRIMARY KEY,
    -- Without a reference: the changes of a job outlive it.
    jchjobid integer NOT NULL,
    jchat timestamptz NOT NULL DEFAULT clock_timestamp(),
    jchby name NOT NULL DEFAULT CURRENT_USER,
    jchlogin name NOT NULL DEFAULT SESSION_USER,
    jchobject text NOT NULL
        CONSTRAINT pga_jobchange_jchobject_check CHECK (jchobject IN ('job', 'step', 'schedule', 'exception')),
    jchobjectid integer NOT NULL,
    jchaction text NOT NULL
        CONSTRAINT pga_jobchange_jchaction_check CHECK (jchaction IN ('insert', 'update', 'delete')),
    jchname text NOT NULL,
    jchdropped boolean NOT NULL DEFAULT false,
    jchowner name,
    jchownerid oid,
    jchold jsonb,
    jchnew jsonb
);
CREATE INDEX pga_jobchange_jobid ON pgagent.pga_jobchange (jchjobid, jchid);
CREATE INDEX pga_jobchange_at ON pgagent.pga_jobchange (jchat);
-- Triggers write it with the rights of whoever edits a job; that of this table sees to it
-- that nobody writes what is not so.
GRANT INSERT ON pgagent.pga_jobchange TO PUBLIC;
GRANT USAGE ON SEQUENCE pgagent.pga_jobchange_jchid_seq TO PUBLIC;

COMMENT ON TABLE pgagent.pga_jobchange IS
'Changes of the definitions of jobs, written by triggers. Kept for a year, or for as long as the setting pgagent.keep_changes says, and at most the latest 10,000 of a job.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchid IS 'Id of the change. What a job was when it ran is the outcome of its changes up to pga_joblog.jlgchangeid.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchat IS 'When; the same for all changes of a transaction: the time of the first.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchby IS 'The role that has changed it, and whose rights it took.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchlogin IS 'The role that had logged in: another one after SET ROLE.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchobject IS 'What was changed: job, step, schedule or exception.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchobjectid IS 'Its id.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchaction IS 'insert, update or delete.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchname IS 'Its name, that of its schedule for an exception; cut off after a thousand characters.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchdropped IS 'Whether the whole job was deleted.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchowner IS 'The owner of the job then; NULL: none.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchownerid IS 'Its object id, which counts like pga_job.jobownerid.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchold IS 'The columns that were changed, as they were before; all of what was deleted. Instead of a connection string with a password {"without_password": ...}, of a text of more than 1 MB {"bytes": ..., "hash": ...}.';
COMMENT ON COLUMN pgagent.pga_jobchange.jchnew IS 'The same, as they are since; all of what was inserted.';
COMMENT ON INDEX pgagent.pga_jobchange_jobid IS 'The changes of a job, in order.';
