-- unpackaged--4.2.sql: make what pgAgent's plain script has created members of the extension.

ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobagent;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobclass;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_job;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobstep;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_schedule;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_exception;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_joblog;
ALTER EXTENSION pgagent ADD TABLE pgagent.pga_jobsteplog;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobclass_jclid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_job_jobid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobstep_jstid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_schedule_jscid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_exception_jexid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_joblog_jlgid_seq;
ALTER EXTENSION pgagent ADD SEQUENCE pgagent.pga_jobsteplog_jslid_seq;
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pgagent_schema_version();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_next_schedule(integer, timestamptz, timestamptz, boolean[], boolean[], boolean[], boolean[], boolean[]);
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_is_leap_year(smallint);
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_job_trigger();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_schedule_trigger();
ALTER EXTENSION pgagent ADD FUNCTION pgagent.pga_exception_trigger();

