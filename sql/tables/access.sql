-- access.sql: updates that had something to grant to those who hold a level of access.

CREATE TABLE pgagent.pga_access (
    accat timestamptz NOT NULL PRIMARY KEY DEFAULT clock_timestamp(),
    accversion text NOT NULL
);

COMMENT ON TABLE pgagent.pga_access IS
'Updates that have brought something new for those who hold a level: it is granted when their transaction ends, since pg_dump leaves out what the script of an update grants.';
COMMENT ON COLUMN pgagent.pga_access.accat IS 'When.';
COMMENT ON COLUMN pgagent.pga_access.accversion IS 'To which version.';

