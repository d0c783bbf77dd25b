-- caution.sql: whether a claim has to look for what keeps jobs from being claimed.

CREATE TABLE pgagent.pga_jobcaution (
    jcaid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jcafor text NOT NULL
        CONSTRAINT pga_jobcaution_jcafor_check CHECK (jcafor IN ('aside', 'pause', 'limit')),
    jcaat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

COMMENT ON TABLE pgagent.pga_jobcaution IS
'Cautions: a row tells that there are, or were, jobs that are set aside, pauses, or classes with a limit. Claims look for these only if there is one. Written by triggers, deleted with old rows of the log.';
COMMENT ON COLUMN pgagent.pga_jobcaution.jcaid IS 'Names the row.';
COMMENT ON COLUMN pgagent.pga_jobcaution.jcafor IS 'What there is: aside (pga_jobaside), pause (pga_jobpause) or limit (pga_jobclass.jcllimit).';
COMMENT ON COLUMN pgagent.pga_jobcaution.jcaat IS 'Since when.';
