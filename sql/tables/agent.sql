-- agent.sql: who executes jobs, and what kinds of jobs there are.

CREATE TABLE pgagent.pga_jobagent (
    jagpid integer NOT NULL PRIMARY KEY,
    jaglogintime timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jagstation text NOT NULL,
    -- Since 5.0.0
    jagbackendstart timestamptz,
    jaglease timestamptz,
    jagrunner uuid
);

CREATE TABLE pgagent.pga_jobclass (
    jclid serial NOT NULL PRIMARY KEY,
    jclname text NOT NULL
);
CREATE UNIQUE INDEX pga_jobclass_name ON pgagent.pga_jobclass (jclname);

INSERT INTO pgagent.pga_jobclass (jclname) VALUES
    ('Routine Maintenance'),
    ('Data Import'),
    ('Data Export'),
    ('Data Summarisation'),
    ('Miscellaneous');

