-- pg_dump.sql: what pg_dump keeps of the tables and sequences: everything but the agents,
-- their sessions, what they could not start and what alerts have told, which are of the server that was dumped.
DO $$
DECLARE
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY[
        'pga_jobclass', 'pga_jobclass_jclid_seq', 'pga_job', 'pga_job_jobid_seq',
        'pga_jobstep', 'pga_jobstep_jstid_seq', 'pga_schedule', 'pga_schedule_jscid_seq',
        'pga_exception', 'pga_exception_jexid_seq', 'pga_joblog', 'pga_joblog_jlgid_seq',
        'pga_jobsteplog', 'pga_jobsteplog_jslid_seq', 'pga_jobskip', 'pga_jobskip_jskid_seq',
        'pga_arming', 'pga_run_as', 'pga_isolation', 'pga_jobrequest', 'pga_jobpause', 'pga_jobcaution', 'pga_jobchange', 'pga_jobchange_jchid_seq',
        'pga_alert', 'pga_jobsilence'
    ] LOOP
        PERFORM pg_extension_config_dump(format('pgagent.%I', v_name)::regclass, '');
    END LOOP;
    PERFORM pg_extension_config_dump('pgagent.pga_jobagent', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_jobsession', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_jobaside', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_alertstate', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_alertevent', 'WHERE false');
    PERFORM pg_extension_config_dump('pgagent.pga_access', 'WHERE false');
END;
$$;

