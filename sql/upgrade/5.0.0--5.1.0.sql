-- 5.0.0--5.1.0.sql: from the tables of 5.0.0 to those of 5.1.0.

SET LOCAL search_path = pg_catalog, pg_temp;

-- Only the catalogue is written, the log is not.
ALTER TABLE pgagent.pga_jobsteplog ADD COLUMN jslcpu interval, ADD COLUMN jslmemory bigint;

