-- run_as.sql: the roles as which steps may run, and how a runner becomes one of them.

CREATE TABLE pgagent.pga_run_as (
    rasrole name NOT NULL PRIMARY KEY,
    rasroleid oid,
    rasby text NOT NULL DEFAULT 'ticket'
        CONSTRAINT pga_run_as_rasby_check CHECK (rasby IN ('ticket', 'login')),
    raslogin name NOT NULL,
    rasloginid oid,
    rasallowedat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    rasallowedby name NOT NULL DEFAULT CURRENT_USER
);

COMMENT ON TABLE pgagent.pga_run_as IS
'Roles as which steps may run: written by pgagent.allow_run_as() and disallow_run_as().';
COMMENT ON COLUMN pgagent.pga_run_as.rasrole IS 'The role.';
COMMENT ON COLUMN pgagent.pga_run_as.rasroleid IS 'Its object id; if that is not the id of the role of this name, the row does not count.';
COMMENT ON COLUMN pgagent.pga_run_as.rasby IS 'How a runner becomes it: ticket=through a login without any right but that, with a password for seconds; login=the role logs in itself.';
COMMENT ON COLUMN pgagent.pga_run_as.raslogin IS 'The login: pgagent_as_ and the object ids of the role and of this database, or the role itself.';
COMMENT ON COLUMN pgagent.pga_run_as.rasloginid IS 'Its object id, which counts like rasroleid.';
COMMENT ON COLUMN pgagent.pga_run_as.rasallowedat IS 'When that was allowed.';
COMMENT ON COLUMN pgagent.pga_run_as.rasallowedby IS 'Who allowed it.';

