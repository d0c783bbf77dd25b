-- 5.0.0--5.1.0.sql: from the tables of 5.0.0 to those of 5.1.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- All tables whose columns or triggers change, at once or not at all: a runner that has
-- one of them and wants another must not meet an update that has the other. If somebody
-- keeps one for long, waiting for it is all that is left.
DO $$
BEGIN
    FOR i IN 1..1000 LOOP
        BEGIN
            LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobsession, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
                       pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog
                IN ACCESS EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.005);
        END;
    END LOOP;
    LOCK TABLE pgagent.pga_jobagent, pgagent.pga_jobsession, pgagent.pga_jobclass, pgagent.pga_exception, pgagent.pga_schedule,
               pgagent.pga_jobstep, pgagent.pga_job, pgagent.pga_joblog, pgagent.pga_jobsteplog
        IN ACCESS EXCLUSIVE MODE;
END;
$$;

-- Only the catalogue is written, the log is not.
ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslcpu interval, ADD COLUMN jslmemory bigint;

-- It takes more arguments now, with defaults: a runner of 5.0 goes on calling it.
DROP FUNCTION IF EXISTS pgagent.pga_agent_session(integer, integer);
ALTER TABLE pgagent.pga_jobsession ADD COLUMN jsspooled boolean NOT NULL DEFAULT false;

