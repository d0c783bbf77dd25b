-- step.sql: starting and finishing a step of a run. Writes pga_jobsteplog.

CREATE OR REPLACE FUNCTION pgagent.pga_step_start(p_run_id bigint, p_step_id integer)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_step_log_id bigint;
BEGIN
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r' FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not running', p_run_id
            USING ERRCODE = 'PGA01', DETAIL = 'It was aborted, or its job was deleted.';
    END IF;

    INSERT INTO pgagent.pga_jobsteplog AS l (jsljlgid, jsljstid)
    SELECT p_run_id, s.jstid FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_step_id
    RETURNING l.jslid INTO v_step_log_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'step % does not exist', p_step_id
            USING ERRCODE = 'PGA02', DETAIL = 'It was deleted after the run had been claimed.';
    END IF;
    RETURN v_step_log_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_start(bigint, integer) IS
'Logs that a step of a running run starts. Returns the id of its row in pga_jobsteplog. Raises PGA01 if the run is not running (any more), PGA02 if the step was deleted.';

CREATE OR REPLACE FUNCTION pgagent.pga_step_finish(
    p_step_log_id bigint, p_status text, p_result integer, p_output text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobsteplog AS l
    SET jslstatus = p_status, jslresult = p_result, jsloutput = p_output,
        jslduration = clock_timestamp() - l.jslstart
    WHERE l.jslid = p_step_log_id AND l.jslstatus = 'r';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'step log row % is not running', p_step_log_id
            USING ERRCODE = 'PGA02', DETAIL = 'The run was aborted, or the step or its job was deleted.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_step_finish(bigint, text, integer, text) IS
'Closes a running step with status s, f, i or d, its result and its output. Raises PGA02, and writes nothing, if it is not running (any more).';

