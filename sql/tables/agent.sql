-- agent.sql: who executes jobs, and what kinds of jobs there are.

CREATE TABLE pgagent.pga_jobagent (
    jagpid integer NOT NULL PRIMARY KEY,
    jaglogintime timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jagstation text NOT NULL,
    -- Since 5.0.0
    jagbackendstart timestamptz,
    jaglease timestamptz,
    jagrunner uuid,
    -- Since 5.1.0
    jagleasefor interval,
    jagunarmed text,
    jagaddress inet,
    jagport integer
);

COMMENT ON TABLE pgagent.pga_jobagent IS
'The agents that are running: one row for each, written and deleted by themselves or by those that find them dead.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagpid IS 'Process id of the agent''s session on this server; what pga_job.jobagentid refers to.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglogintime IS 'When the agent registered.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagstation IS 'Host name of the agent: it executes jobs whose jobhostagent is this name or empty.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagbackendstart IS 'When the agent''s session began: with jagpid its identity, since process ids are used again. NULL if unknown.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglease IS 'Until when the agent counts as alive unless it renews this; NULL for pgAgent''s own daemon, which has no lease.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagrunner IS 'Names the process, whose sessions come and go; NULL for pgAgent''s own daemon, and when the process has registered anew: then it is not dead, only this session is.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagleasefor IS 'How long the lease lasted when it was renewed last; NULL if there is none.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagunarmed IS 'Why the agent may not start any job: one sentence, by pgagent.pga_arming; NULL: it may.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagaddress IS 'The address of the server, as seen from the agent''s host; NULL: a socket or a loopback address.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagport IS 'The port by which the agent reaches the server; NULL: it registered before 5.1.0.';

CREATE TABLE pgagent.pga_jobclass (
    jclid serial NOT NULL PRIMARY KEY,
    jclname text NOT NULL,
    -- Since 5.1.0
    jcllimit integer
        CONSTRAINT pga_jobclass_jcllimit_check CHECK (jcllimit > 0)
);
CREATE UNIQUE INDEX pga_jobclass_name ON pgagent.pga_jobclass (jclname);

INSERT INTO pgagent.pga_jobclass (jclname) VALUES
    ('Routine Maintenance'),
    ('Data Import'),
    ('Data Export'),
    ('Data Summarisation'),
    ('Miscellaneous');

COMMENT ON TABLE pgagent.pga_jobclass IS
'Classes of jobs, by which people sort them, and limit how many run at once.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclid IS 'Id of the class.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclname IS 'Its name, unique.';
COMMENT ON COLUMN pgagent.pga_jobclass.jcllimit IS 'How many of its jobs run at once, over all runners; further ones stay due until one has ended. NULL: no limit.';

