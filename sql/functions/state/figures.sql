-- figures.sql: what is known of a job's runs without a look at the log, from which they are
-- pruned: how many ended how, how many have failed in a row, when the last one succeeded.
-- Writes pga_job and pga_joblog.
--
-- A runner's record keeps them in the statement that frees the job (pga_run_close). Here is
-- what every other way takes in which a run ends: its job is not held for it any more, or for
-- another run as well; something of users' refuses its record; pgAgent's own daemon, or a
-- person, has closed it.

CREATE OR REPLACE FUNCTION pgagent.pga_job_count(p_run_id bigint, p_job_id integer, p_status text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- As pga_run_close does. No RETURNING: tables with rules take none.
    UPDATE pgagent.pga_job AS j
    SET jobfailures = CASE p_status WHEN 's' THEN 0 WHEN 'i' THEN j.jobfailures
            ELSE least(j.jobfailures, 2147483646) + 1 END,
        joblastsuccess = CASE WHEN p_status = 's' THEN clock_timestamp() ELSE j.joblastsuccess END,
        jobsucceeded = CASE WHEN p_status = 's' THEN least(j.jobsucceeded, 9223372036854775806) + 1 ELSE j.jobsucceeded END,
        jobfailed = CASE WHEN p_status = 'f' THEN least(j.jobfailed, 9223372036854775806) + 1 ELSE j.jobfailed END,
        jobaborted = CASE WHEN p_status = 'd' THEN least(j.jobaborted, 9223372036854775806) + 1 ELSE j.jobaborted END,
        jobempty = CASE WHEN p_status = 'i' THEN least(j.jobempty, 9223372036854775806) + 1 ELSE j.jobempty END
    WHERE j.jobid = p_job_id;
    IF NOT FOUND AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id) THEN
        PERFORM pgagent.pga_run_left('pgagent.pga_job'::regclass);
    END IF;
    IF p_status IN ('f', 'd') AND EXISTS (
        SELECT FROM pgagent.pga_job AS j
        WHERE j.jobid = p_job_id AND j.jobenabled AND j.jobfailures >= j.jobdisableafter
    ) THEN
        PERFORM pgagent.pga_job_give_up(p_run_id, p_job_id);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_count(bigint, integer, text) IS
'Counts a run that has ended with this status among those of its job, and disables the job if that was one failure in a row too many. Raises PGA04 if a trigger, rule or policy of somebody''s kept the row of the job as it was.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_give_up(p_run_id bigint, p_job_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_freeing CONSTANT text := COALESCE(current_setting('pgagent.freeing', true), '');
    v_failures integer;
    v_said text;
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    SELECT j.jobfailures INTO v_failures FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id;
    -- Whoever refuses this must not keep the run from being closed.
    PERFORM set_config('pgagent.freeing', 'on', true);     -- triggers ask who disables it
    BEGIN
        UPDATE pgagent.pga_job AS j SET jobenabled = false WHERE j.jobid = p_job_id AND j.jobenabled;
        IF EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id AND j.jobenabled) THEN
            PERFORM pgagent.pga_run_left('pgagent.pga_job'::regclass);
        END IF;
        v_said := format('it was failure %s in a row: the job has been disabled', v_failures);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                v_context = PG_EXCEPTION_CONTEXT;
        v_said := format('it was failure %s in a row, and the job could not be disabled: %s', v_failures,
                         pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context));
    END;
    PERFORM set_config('pgagent.freeing', v_freeing, true);
    BEGIN
        UPDATE pgagent.pga_joblog AS l SET jlgmessage = concat_ws('; ', nullif(l.jlgmessage, ''), v_said)
        WHERE l.jlgid = p_run_id;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'pgagent: run % can''t say it in the log: %', p_run_id, v_said USING DETAIL = SQLERRM;
    END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_give_up(bigint, integer) IS
'Disables a job, which the caller has locked, after as many failures in a row as its jobdisableafter allows, and has the last run say so. What is refused of that is left out, and said in the place of it.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_says(p_stored text, p_status text, p_message text)
RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT p_status IN ('f', 'd') AND starts_with(p_stored, concat(nullif(p_message, '') || '; ', 'it was failure ')) $$;
COMMENT ON FUNCTION pgagent.pga_run_says(text, text, text) IS
'Whether the message p_stored is what has become of p_message when the run with this status was one failure in a row too many.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_salvage_count(p_run_id bigint, p_job_id integer, p_status text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    PERFORM pgagent.pga_job_count(p_run_id, p_job_id, p_status);
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN NULL;
EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
    GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                            v_context = PG_EXCEPTION_CONTEXT;
    RETURN 'it could not be counted: ' || pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_salvage_count(bigint, integer, text) IS
'Counts a run that has ended, as pga_job_count() does, if that is not refused. Returns why it was, NULL if it was not.';
