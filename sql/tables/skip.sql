-- skip.sql: times at which a job was due and did not run.

CREATE TABLE pgagent.pga_jobskip (
    jskid bigserial NOT NULL PRIMARY KEY,
    jskjobid integer NOT NULL
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jskfrom timestamptz NOT NULL,
    jskuntil timestamptz NOT NULL,
    jskreason text NOT NULL,
    jsklogged timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jsktotal bigint NOT NULL DEFAULT 0
);
CREATE INDEX pga_jobskip_jobid ON pgagent.pga_jobskip (jskjobid, jskid DESC);

COMMENT ON TABLE pgagent.pga_jobskip IS
'Times of jobs that have passed without a run, and why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskfrom IS 'The first time that was left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskuntil IS 'All its times up to here were left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskreason IS 'One sentence why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jsklogged IS 'When that was decided.';
COMMENT ON COLUMN pgagent.pga_jobskip.jsktotal IS 'How many times of the job have been left out so far, these among them; of one row at most 1000 count, and none of before version 5.1. The latest row of a job stays.';

