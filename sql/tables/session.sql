-- session.sql: the sessions, on this server, in which agents execute SQL steps. Whoever
-- finds an agent dead ends its sessions before its jobs are free again.

CREATE TABLE pgagent.pga_jobsession (
    jsspid integer NOT NULL PRIMARY KEY,
    jssagentid integer NOT NULL
        REFERENCES pgagent.pga_jobagent (jagpid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jssbackendstart timestamptz NOT NULL,
    -- Since 5.1.0
    jsspooled boolean NOT NULL DEFAULT false
);
CREATE INDEX pga_jobsession_agentid ON pgagent.pga_jobsession (jssagentid);

COMMENT ON TABLE pgagent.pga_jobsession IS
'The sessions on this server in which agents execute SQL steps; whoever finds an agent dead ends them.';
COMMENT ON COLUMN pgagent.pga_jobsession.jsspid IS 'Process id of the session.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssagentid IS 'The agent.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssbackendstart IS 'When the session began: with jsspid its identity.';
COMMENT ON COLUMN pgagent.pga_jobsession.jsspooled IS 'Whether a pooler gives the session to others once its agent has hung up: then it is the agent''s only as long as its name, or an advisory lock, says so.';

