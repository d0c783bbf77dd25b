-- grants.sql: who may call what.
--
-- Anybody may ask what a schedule means, and define jobs as far as they may write the
-- tables: functions and triggers act with the rights of their caller. Functions that move
-- jobs from state to state are for the owner, and those who are granted them
-- (docs/security.md).
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    -- Only where PUBLIC has it: after a REVOKE in an extension's script pg_dump takes the
    -- function's privileges for the extension's own, and leaves out what users granted.
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE a.grantee = 0 AND p.oid = ANY (ARRAY[
            'pgagent.pga_agent_register(text, interval, boolean, uuid)',
            'pgagent.pga_agent_heartbeat(integer, interval)',
            'pgagent.pga_agent_leave(integer)',
            'pgagent.pga_agent_sweep()',
            'pgagent.pga_agent_bury(integer, text)',
            'pgagent.pga_run_claim(integer, integer)',
            'pgagent.pga_run_claim(integer, integer, double precision)',
            'pgagent.pga_look_again(text)',
            'pgagent.pga_run_record(integer, json)',
            'pgagent.pga_run_record(bigint[], bigint[], text[], integer[], text[], integer[], integer[], text[], text[])',
            'pgagent.pga_run_close(bigint[], bigint[], text[], text[])',
            'pgagent.pga_run_refusal(bigint, bigint[])',
            'pgagent.pga_run_is_complete(bigint)',
            'pgagent.pga_agent_session(integer, integer)',
            'pgagent.pga_agent_end_sessions(integer)',
            'pgagent.pga_agent_bury_run(integer, boolean, text)',
            'pgagent.pga_job_skip(integer, timestamptz, timestamptz, text)',
            'pgagent.pga_job_passed(integer, timestamptz, timestamptz, integer)',
            'pgagent.pga_job_latest(integer, timestamptz, integer)',
            'pgagent.pga_job_make_up(pgagent.pga_job)',
            'pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz)',
            'pgagent.pga_log_prune(integer, integer, integer)',
            'pgagent.pga_run_abort(bigint, text)',
            'pgagent.pga_seconds_until_due(text)',
            'pgagent.pga_step_advance(bigint, integer, integer)',
            'pgagent.pga_step_finish(bigint, integer, text)',
            -- To fire a trigger takes no privilege, to create one does.
            'pgagent.pga_job_trigger()',
            'pgagent.pga_schedule_trigger()',
            'pgagent.pga_exception_trigger()',
            'pgagent.pga_jobstep_trigger()',
            'pgagent.pga_jobagent_trigger()',
            'pgagent.pga_jobclass_trigger()',
            'pgagent.pga_joblog_trigger()',
            'pgagent.pga_jobsteplog_trigger()',
            'pgagent.pga_restore_trigger()',
            'pgagent.pga_schedule_check()',
            'pgagent.pga_exception_check()',
            'pgagent.pga_jobstep_check()'
        ]::regprocedure[])
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
    END LOOP;
END;
$$;

