-- retention.sql: how long a new installation keeps the log of a job. After an upgrade
-- everything is kept until somebody says otherwise: ALTER TABLE ... SET DEFAULT, or a job's
-- own columns.
ALTER TABLE pgagent.pga_job
    ALTER COLUMN jobkeepfor SET DEFAULT '30 days',
    ALTER COLUMN jobkeepruns SET DEFAULT 10000;

