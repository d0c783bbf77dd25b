-- salvage.sql: closing a run whose record somebody's trigger, rule, policy, constraint,
-- index or foreign key refuses. Writes pga_joblog, pga_jobsteplog, pga_job, pga_schedule.
--
-- Part by part, each in a subtransaction and with all its deferred triggers: as it should
-- be; then without the output; then as aborted, which claims the least; then by a new row
-- in the place of the old one; and if that is refused as well, without the row. Nothing
-- that could be recorded is left out. A run says in jlgmessage what was, and why.

CREATE OR REPLACE FUNCTION pgagent.pga_run_salvage(
    p_agent_id integer, p_entry json,
    OUT step_log_id bigint, OUT refusal text, OUT reason text, OUT look_again double precision
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_entry record;
    v_run pgagent.pga_joblog;
    v_job_id integer;
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    SELECT r.* INTO v_entry FROM json_to_record(p_entry) AS r (
        run_id bigint, step_log_id bigint, step_status text, result integer, output text,
        cpu double precision, memory bigint, next_step_id integer, attempt integer,
        run_status text, message text, job_id integer
    );
    v_job_id := COALESCE((SELECT l.jlgjobid FROM pgagent.pga_joblog AS l WHERE l.jlgid = v_entry.run_id),
                         v_entry.job_id);
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = v_job_id FOR NO KEY UPDATE NOWAIT;
    PERFORM FROM pgagent.pga_joblog AS l WHERE l.jlgid = v_entry.run_id FOR UPDATE NOWAIT;
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l WHERE l.jlgid = v_entry.run_id;

    IF v_run.jlgstatus IS DISTINCT FROM 'r' THEN
        reason := pgagent.pga_run_salvage_job(p_agent_id, v_entry.run_id, v_job_id);
        IF v_run.jlgstatus IS NULL OR (v_run.jlgstatus::text, v_run.jlgmessage)
                                      IS DISTINCT FROM (v_entry.run_status, v_entry.message)
           AND (v_run.jlgstatus = v_entry.run_status
                AND pgagent.pga_run_says(v_run.jlgmessage, v_entry.run_status, v_entry.message)) IS NOT TRUE THEN
            refusal := 'PGA01';
            reason := concat_ws('; ', (
                SELECT r.reason FROM pgagent.pga_run_refusal(
                    v_entry.run_id, ARRAY[v_entry.run_id], NULL::integer, v_job_id) AS r
            ), reason);
        END IF;
    ELSE
        reason := pgagent.pga_run_salvage_step(
            v_entry.step_log_id, v_entry.step_status, v_entry.result, v_entry.output,
            v_entry.cpu * interval '1 second', v_entry.memory);
        IF v_entry.next_step_id IS NOT NULL THEN
            BEGIN
                SELECT a.step_log_id INTO step_log_id
                FROM pgagent.pga_step_advance(v_entry.run_id, v_entry.next_step_id, v_entry.attempt) AS a;
                SET CONSTRAINTS ALL IMMEDIATE;
            EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
                GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                        v_context = PG_EXCEPTION_CONTEXT;
                step_log_id := NULL;
                v_entry.run_status := 'd';
                v_entry.message := format('aborted: step "%s" could not start: %s',
                    (SELECT s.jstname FROM pgagent.pga_jobstep AS s WHERE s.jstid = v_entry.next_step_id),
                    pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context));
            END;
        END IF;
        IF v_entry.run_status IS NOT NULL THEN
            v_message := concat_ws('; ', nullif(v_entry.message, ''), reason);
            reason := concat_ws('; ', reason, CASE WHEN v_entry.next_step_id IS NOT NULL THEN v_entry.message END,
                pgagent.pga_run_salvage_end(v_entry.run_id, v_entry.run_status, nullif(v_message, '')));
            reason := nullif(reason, '');
            refusal := CASE WHEN reason IS NOT NULL THEN 'PGA04' END;
        END IF;
    END IF;
    SELECT pgagent.pga_look_again(a.jagstation, NULL::integer[], NULL::boolean) INTO look_again
    FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_salvage(integer, json) IS
'Records one entry of pga_run_record() that was refused as a whole: all of it that is not refused, and frees the job. Returns the row of the step that has started, if one has; what was left out of the record and why, NULL if nothing was; and the refusal PGA04 if the run has ended with that, PGA01 if it was not running; and when to look again, as pga_run_record() does. A run whose next step can''t start is aborted. Raises 55P03 if somebody has locked the job or the run.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_salvage_step(
    p_step_log_id bigint, p_status text, p_result integer, p_output text, p_cpu interval, p_memory bigint
)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row pgagent.pga_jobsteplog;
    v_why text;     -- the first refusal: it is the one that is told
    v_name text;
    v_status text;
    v_output text;
    v_duration interval;
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    SELECT s.* INTO v_row FROM pgagent.pga_jobsteplog AS s WHERE s.jslid = p_step_log_id AND s.jslstatus = 'r';
    IF NOT FOUND THEN
        RETURN NULL;        -- deleted, or recorded already
    END IF;
    SELECT format('step "%s"', t.jstname) INTO v_name FROM pgagent.pga_jobstep AS t WHERE t.jstid = v_row.jsljstid;
    v_duration := CASE WHEN isfinite(v_row.jslstart)
        THEN greatest(clock_timestamp() - v_row.jslstart, interval '0') END;
    FOR v_try IN 1..7 LOOP
        CONTINUE WHEN p_status = 'd' AND v_try = 4 OR v_try > 5 AND pgagent.pga_run_is_referred('pga_jobsteplog'::text);
        v_status := CASE WHEN v_try <= 3 THEN p_status ELSE 'd' END;
        v_output := CASE WHEN v_try = 1 THEN p_output
            WHEN v_try IN (2, 4, 6) THEN 'the output could not be recorded: ' || v_why END;
        BEGIN
            IF v_try <= 5 THEN
                UPDATE pgagent.pga_jobsteplog
                SET jslstatus = v_status, jsloutput = v_output, jslduration = v_duration,
                    jslresult = CASE WHEN v_try <= 4 THEN p_result END,
                    jslcpu = CASE WHEN v_try <= 4 THEN p_cpu END,
                    jslmemory = CASE WHEN v_try <= 4 THEN p_memory END
                WHERE jslid = p_step_log_id;
            ELSE
                DELETE FROM pgagent.pga_jobsteplog WHERE jslid = p_step_log_id;
                IF v_try = 6 THEN
                    INSERT INTO pgagent.pga_jobsteplog
                    SELECT n.* FROM jsonb_populate_record(v_row, jsonb_build_object(
                        'jslstatus', v_status, 'jsloutput', v_output, 'jslduration', v_duration)) AS n;
                END IF;
            END IF;
            SET CONSTRAINTS ALL IMMEDIATE;
            IF EXISTS (SELECT FROM pgagent.pga_jobsteplog AS s WHERE s.jslid = p_step_log_id AND s.jslstatus = 'r')
               OR v_try = 6 AND NOT EXISTS (
                   SELECT FROM pgagent.pga_jobsteplog AS s WHERE s.jslid = p_step_log_id) THEN
                PERFORM pgagent.pga_run_left('pgagent.pga_jobsteplog'::regclass);
            END IF;
            RETURN format(CASE
                WHEN v_why IS NULL THEN NULL
                WHEN v_try <= 3 THEN 'the output of %1$s could not be recorded: %3$s'
                WHEN v_try <= 6 THEN 'that %1$s ended as "%2$s" could not be recorded: %3$s'
                ELSE 'the row of %1$s had to be deleted: %3$s' END, v_name, p_status, v_why);
        EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                    v_context = PG_EXCEPTION_CONTEXT;
            v_why := COALESCE(v_why, pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context));
        END;
    END LOOP;
    RETURN format('%s could not be closed: %s', v_name, v_why);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_salvage_step(bigint, text, integer, text, interval, bigint) IS
'Closes a running step with as much of its record as is not refused. Returns what was left out and why, NULL if nothing was or the step was not running.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_salvage_end(p_run_id bigint, p_status text, p_message text)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
    v_steps pgagent.pga_jobsteplog[];
    v_status text;
    v_said text;
    v_duration interval;
    v_lost text;    -- that could not be recorded
    v_uncounted text;
    v_why text;     -- the first refusal of the run's row
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    PERFORM set_config('pgagent.freeing', 'on', true);     -- triggers ask who closes it
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    BEGIN
        UPDATE pgagent.pga_schedule AS s SET jscenabled = false
        WHERE s.jscjobid = v_run.jlgjobid AND s.jscenabled AND s.jscat <= v_run.jlgstart;
        SET CONSTRAINTS ALL IMMEDIATE;
    EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                v_context = PG_EXCEPTION_CONTEXT;
        v_lost := 'its schedule could not be disabled: '
                  || pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context);
    END;
    v_lost := nullif(concat_ws('; ', v_lost,
        pgagent.pga_run_salvage_job(v_run.jlgagentid, p_run_id, v_run.jlgjobid)), '');

    v_duration := CASE WHEN isfinite(v_run.jlgstart)
        THEN greatest(clock_timestamp() - v_run.jlgstart, interval '0') END;
    FOR v_try IN 1..5 LOOP
        CONTINUE WHEN v_try > 3 AND pgagent.pga_run_is_referred('pga_joblog'::text);
        v_status := CASE WHEN v_try = 1 THEN p_status ELSE 'd' END;
        v_said := CASE WHEN v_try <> 3 THEN nullif(concat_ws('; ', p_message, v_lost,
            format('that it ended as "%s" could not be recorded: ', p_status) || v_why), '') END;
        BEGIN
            IF v_try <= 3 THEN
                UPDATE pgagent.pga_joblog
                SET jlgstatus = v_status, jlgmessage = v_said, jlgduration = v_duration
                WHERE jlgid = p_run_id;
            ELSE
                v_steps := ARRAY(SELECT s FROM pgagent.pga_jobsteplog AS s WHERE s.jsljlgid = p_run_id);
                DELETE FROM pgagent.pga_joblog WHERE jlgid = p_run_id;
                IF v_try = 4 THEN
                    INSERT INTO pgagent.pga_joblog
                    SELECT n.* FROM jsonb_populate_record(v_run, jsonb_build_object(
                        'jlgstatus', v_status, 'jlgmessage', v_said, 'jlgduration', v_duration)) AS n;
                    INSERT INTO pgagent.pga_jobsteplog SELECT s.* FROM unnest(v_steps) AS s ORDER BY s.jslid;
                END IF;
            END IF;
            SET CONSTRAINTS ALL IMMEDIATE;
            IF EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id AND l.jlgstatus = 'r')
               OR v_try = 4 AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_run_id) THEN
                PERFORM pgagent.pga_run_left('pgagent.pga_joblog'::regclass);
            END IF;
            -- As the log says that it ended; without a row, as it did.
            v_uncounted := pgagent.pga_run_salvage_count(p_run_id, v_run.jlgjobid,
                                                         CASE WHEN v_try < 5 THEN v_status ELSE p_status END);
            RETURN nullif(concat_ws('; ', v_lost, v_uncounted, format(CASE
                WHEN v_why IS NULL THEN NULL
                WHEN v_try < 5 THEN 'that it ended as "%s" could not be recorded: %s'
                ELSE 'its row, which should say that it ended as "%s", had to be deleted: %s'
                END, p_status, v_why)), '');
        EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                    v_context = PG_EXCEPTION_CONTEXT;
            v_why := COALESCE(v_why, pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context));
        END;
    END LOOP;
    RETURN concat_ws('; ', v_lost, 'it could not be closed: ' || v_why);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_salvage_end(bigint, text, text) IS
'Frees the job of a running run, which the caller has locked, and closes the run with this status and sentence, and counts it, as far as that is not refused. Returns what was left out and why, NULL if nothing was or the run was not running.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_salvage_job(p_agent_id integer, p_run_id bigint, p_job_id integer)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_why text;
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    PERFORM set_config('pgagent.freeing', 'on', true);     -- the trigger of pga_job asks
    FOR v_try IN 1..2 LOOP
        BEGIN
            IF v_try = 1 THEN
                PERFORM pgagent.pga_run_release(p_agent_id, p_run_id, p_job_id);
            ELSE
                -- Without the times that it has missed.
                PERFORM set_config('pgagent.freeing', 'on', true);
                UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL
                WHERE jobid = p_job_id AND pgagent.pga_run_is_held(p_agent_id, p_run_id, p_job_id);
            END IF;
            SET CONSTRAINTS ALL IMMEDIATE;
            IF pgagent.pga_run_is_held(p_agent_id, p_run_id, p_job_id) THEN
                PERFORM pgagent.pga_run_left('pgagent.pga_job'::regclass);
            END IF;
            RETURN 'the times that its job has missed could not be recorded: ' || v_why;
        EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL,
                                    v_context = PG_EXCEPTION_CONTEXT;
            v_why := COALESCE(v_why, pgagent.pga_run_why(SQLSTATE, v_message, v_detail, v_context));
        END;
    END LOOP;
    RETURN 'its job could not be freed: ' || v_why;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_salvage_job(integer, bigint, integer) IS
'Frees a job that this agent holds for this run and no other, if that is not refused. Returns what was left out and why, NULL if nothing was.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_is_referred(p_table text)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.contype = 'f' AND c.confrelid = format('pgagent.%I', p_table)::regclass
              AND c.confdeltype NOT IN ('a', 'r') AND c.conrelid <> 'pgagent.pga_jobsteplog'::regclass
    )
$$;
COMMENT ON FUNCTION pgagent.pga_run_is_referred(text) IS
'Whether deleting a row of this table may delete or change rows of somebody''s table.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_culprit(p_context text)
RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Whatever language the server speaks: only its name is in the words of SQL.
    SELECT f.match[1]
    FROM regexp_matches(p_context, '^.*?PL/pgSQL.*?((?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")[.](?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")[(][^)]*[)])',
        'gn') WITH ORDINALITY AS f (match, place)
    WHERE f.match[1] NOT LIKE 'pgagent.%' ORDER BY f.place LIMIT 1
$$;
COMMENT ON FUNCTION pgagent.pga_run_culprit(text) IS
'The innermost function that is not ours among those in which, by its context, an error was raised; NULL if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_why(p_sqlstate text, p_message text, p_detail text, p_context text)
RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(
        left(p_message, 1000), ' (' || nullif(left(p_detail, 1000), '') || ')', format(CASE
            WHEN c.name IS NULL THEN ''
            -- A relation, function, type or schema that is not found.
            WHEN p_sqlstate IN ('42P01', '42883', '42704', '3F000')
            THEN ', in function %1$s, which has to qualify that name, or: ALTER FUNCTION %1$s SET search_path = %2$s'
            ELSE ', in function %1$s' END, c.name, concat_ws(', ', c.schema, nullif('public', c.schema), 'pg_temp'))
    )
    FROM (
        SELECT f.name, substring(f.name FROM '^("(?:[^"]|"")*"|[^.("]+)[.]') AS schema
        FROM pgagent.pga_run_culprit(p_context) AS f (name)
    ) AS c
$$;
COMMENT ON FUNCTION pgagent.pga_run_why(text, text, text, text) IS
'Says in words why a statement was refused: the message, its detail, the function of somebody''s that raised it, and what helps if that does not find a name: our functions pin their search_path.';
