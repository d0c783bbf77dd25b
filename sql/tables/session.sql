-- session.sql: the sessions, on this server, in which agents execute SQL steps. Whoever
-- finds an agent dead ends its sessions before its jobs are free again.

CREATE TABLE pgagent.pga_jobsession (
    jsspid integer NOT NULL PRIMARY KEY,
    jssagentid integer NOT NULL
        REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jssbackendstart timestamptz NOT NULL
);
CREATE INDEX pga_jobsession_agentid ON pgagent.pga_jobsession (jssagentid);

