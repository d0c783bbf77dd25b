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


-- Catalogues are armed where they are updated: state/arming.sql writes the row.
ALTER TABLE pgagent.pga_jobagent
    ADD COLUMN jagunarmed text, ADD COLUMN jagaddress inet, ADD COLUMN jagport integer;
CREATE TABLE pgagent.pga_arming (
    armid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    armsystem bigint,
    armdatabaseid oid NOT NULL,
    armtableid oid NOT NULL,
    armdatabase text NOT NULL,
    armport integer NOT NULL,
    armaddress inet,
    armstation text,
    armedat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    armedby text NOT NULL DEFAULT CURRENT_USER,
    armrestored timestamptz
);

DROP FUNCTION IF EXISTS pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz);

