-- 5.0.0--5.1.0.sql: from the tables of 5.0.0 to those of 5.1.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- All tables whose columns or triggers change, at once or not at all: a runner that has
-- one of them and wants another must not meet an update that has the other. If somebody
-- keeps one for long, waiting for it is all that is left.
DO $$
BEGIN
    FOR i IN 1..1000 LOOP
        BEGIN
            LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
                       pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog
                IN ACCESS EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.005);
        END;
    END LOOP;
    LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
               pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog
        IN ACCESS EXCLUSIVE MODE;
END;
$$;

-- Only the catalogue is written, the log is not.
ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslcpu interval, ADD COLUMN jslmemory bigint;


-- An update keeps the description that the extension was created with, here pgAgent 4.2's.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgagent'
               AND obj_description(e.oid, 'pg_extension') = 'A PostgreSQL job scheduler') THEN
        COMMENT ON EXTENSION pgagent IS
            'Job scheduler: jobs of SQL and shell steps, run on schedules by the pgagent runner';
    END IF;
END;
$$;
