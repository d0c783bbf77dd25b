-- aside.sql: jobs whose claim was refused, and until when they wait. Other jobs go on.

CREATE TABLE pgagent.pga_jobaside (
    jsajobid integer NOT NULL PRIMARY KEY
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jsauntil timestamptz NOT NULL,
    jsatimes integer NOT NULL DEFAULT 1,
    jsareason text NOT NULL,
    jsasince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

COMMENT ON TABLE pgagent.pga_jobaside IS
'Jobs that are due and could not be started, such as for a trigger that fails: they are set aside, and tried again after a pause. A claim that succeeds deletes the row.';
COMMENT ON COLUMN pgagent.pga_jobaside.jsajobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobaside.jsauntil IS 'When it is tried again.';
COMMENT ON COLUMN pgagent.pga_jobaside.jsatimes IS 'How often in a row it could not be started.';
COMMENT ON COLUMN pgagent.pga_jobaside.jsareason IS 'Why not, the last time.';
COMMENT ON COLUMN pgagent.pga_jobaside.jsasince IS 'When that happened first.';

