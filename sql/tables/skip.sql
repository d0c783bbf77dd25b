-- skip.sql: times at which a job was due and did not run.

CREATE TABLE pgagent.pga_jobskip (
    jskid bigserial NOT NULL PRIMARY KEY,
    jskjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jskfrom timestamptz NOT NULL,
    jskuntil timestamptz NOT NULL,
    jskreason text NOT NULL,
    jsklogged timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX pga_jobskip_jobid ON pgagent.pga_jobskip (jskjobid, jskid DESC);

