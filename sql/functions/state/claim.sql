-- claim.sql: claiming the jobs that are due: a job is claimed while pga_job.jobagentid is
-- set. Writes pga_job and pga_jobaside, and opens runs in pga_joblog and pga_jobsteplog.
--
-- Whatever users have hung on these tables takes part in a claim, and may refuse it or
-- delay it. An agent that is refused so claims job by job: the others are claimed, and the
-- one is set aside.
--
-- Limits of classes, pauses and jobs set aside cost nothing but one look as long as there are
-- none (cautions.sql).

CREATE OR REPLACE FUNCTION pgagent.pga_run_claim(
    p_agent_id integer, p_limit integer, p_longest double precision,
    p_only integer DEFAULT NULL, p_without integer[] DEFAULT NULL
)
RETURNS TABLE (
    run_id bigint, run_job_id integer, run_job_name text, run_timeout double precision,
    run_step_log_id bigint, run_waited double precision,
    step_id integer, step_name text, step_kind text, step_code text,
    step_database text, step_conninfo text, step_on_error text, step_mode text,
    step_timeout double precision, step_retries integer, step_retry_delay double precision,
    step_retry_backoff double precision, step_retry_on text[],
    step_role text, step_refusal text, step_owner text,
    run_input text,
    look_again double precision
) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
    v_unarmed text;
    v_is_choosy boolean;    -- there may be jobs set aside, pauses, or limits
    v_aside integer[] := COALESCE(p_without, ARRAY[]::integer[]);       -- jobs that are not claimed now
    v_paused boolean;       -- some jobs are
    v_paused_until timestamptz;     -- all jobs are
    v_classes integer[];    -- that have a limit, and how many jobs of each may start
    v_places integer[];
    v_full_classes integer[];       -- of which none may
    v_started timestamptz := now();
    -- Of the jobs that are claimed, in one order. The ids are drawn here, so the rest
    -- need not be joined with what it inserts.
    v_job_ids integer[];
    v_due timestamptz[];
    v_from_steps integer[];
    v_run_ids bigint[];
    v_step_log_ids bigint[];
    v_asked_by name[];
    -- Only if runs are promised to some of them.
    v_promised bigint[];
    v_via text[];
    v_restart_of bigint[];
    v_inputs text[];
    v_next_run_ids bigint[];
    v_next_from_steps integer[];
    v_stored integer;
    v_unstored integer;
BEGIN
    -- No index: each further relation that is locked costs more than what is read there.
    SELECT a.jagstation, a.jagunarmed, (SELECT c.jcafor FROM pgagent.pga_jobcaution AS c LIMIT 1) IS NOT NULL
    INTO v_station, v_unarmed, v_is_choosy
    FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'agent % is not registered', p_agent_id
            USING ERRCODE = 'PGA03', DETAIL = 'It was declared dead, or its row was deleted.';
    END IF;
    IF v_unarmed IS NOT NULL THEN
        look_again := p_longest;
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM set_config('pgagent.claims'::text, p_agent_id::text, true);
    IF v_is_choosy THEN
        v_aside := v_aside || ARRAY(
            SELECT s.jsajobid FROM pgagent.pga_jobaside AS s
            WHERE s.jsauntil BETWEEN now() AND now() + interval '1 minute'
        );
        v_paused_until := pgagent.pga_paused_until(NULL::integer);
        IF v_paused_until IS NOT NULL THEN
            look_again := least(pgagent.pga_look_again(v_station, p_without, true), p_longest);
            RETURN NEXT;
            RETURN;
        END IF;
        v_paused := EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now());
        SELECT c.classes, c.places, c.full_classes INTO v_classes, v_places, v_full_classes
        FROM pgagent.pga_class_places(v_station) AS c;
        IF v_classes IS NOT NULL THEN
            -- The log must not say that it began before the run whose place it takes has ended.
            v_started := clock_timestamp();
        END IF;
    END IF;

    WITH due AS MATERIALIZED (
        -- A disabled job has a next run only if somebody asked for one. One with an open
        -- run that nobody holds, or another agent, waits until that is closed.
        SELECT j.jobid, j.jobnextrun, j.jobrunid, j.jobfromstep, j.jobmissed, j.jobmissedlimit, j.joboverlap,
               j.jobaskedby, j.jobjclid
        FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobhostagent IN ('', v_station)
              AND j.jobid <> ALL (v_aside) AND (p_only IS NULL OR j.jobid = p_only)
              AND (v_full_classes IS NULL OR j.jobjclid <> ALL (v_full_classes))
              AND (v_paused IS NOT TRUE OR pgagent.pga_paused_until(j.jobid) IS NULL)
              AND (j.jobowner IS NULL OR (SELECT pgagent.pga_isolation_broken()) IS NULL)
              AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = j.jobid AND l.jlgstatus = 'r')
        ORDER BY j.jobnextrun, j.jobid
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), timely AS MATERIALIZED (
        SELECT d.jobid, d.jobrunid, d.jobfromstep, d.jobaskedby, CASE
            WHEN d.jobrunid IS NULL AND (
                d.jobnextrun < now() - CASE
                    WHEN d.jobmissedlimit IS NOT NULL THEN pgagent.pga_span(d.jobmissedlimit) END
                OR (d.jobmissed <> 'latest' OR d.joboverlap = 'queue')
                   AND d.jobnextrun < now() - interval '1 minute'
            ) THEN pgagent.pga_job_make_up(d.jobid, d.jobnextrun, d.jobmissed, d.jobmissedlimit, d.joboverlap)
            ELSE d.jobnextrun END AS due
        FROM due AS d
        WHERE v_classes IS NULL OR (
            SELECT count(*) FROM due AS b
            WHERE b.jobjclid = d.jobjclid AND (b.jobnextrun, b.jobid) <= (d.jobnextrun, d.jobid)
        ) <= COALESCE(v_places[array_position(v_classes, d.jobjclid)], p_limit)
    )
    SELECT array_agg(t.jobid), array_agg(t.due), array_agg(t.jobfromstep),
           array_agg(CASE WHEN t.due <= now() THEN
               COALESCE(t.jobrunid, nextval('pgagent.pga_joblog_jlgid_seq')) END),
           array_agg(CASE WHEN t.due <= now() THEN nextval('pgagent.pga_jobsteplog_jslid_seq') END),
           array_agg(t.jobaskedby), array_agg(t.jobrunid) FILTER (WHERE t.jobrunid IS NOT NULL)
    INTO v_job_ids, v_due, v_from_steps, v_run_ids, v_step_log_ids, v_asked_by, v_promised
    FROM timely AS t;

    IF v_job_ids IS NOT NULL THEN
        IF v_promised IS NOT NULL THEN
            SELECT array_agg(COALESCE(w.run_id, c.run_id) ORDER BY c.place),
                   array_agg(COALESCE(w.asked_by, c.asked_by) ORDER BY c.place),
                   array_agg(w.via ORDER BY c.place), array_agg(w.restart_of ORDER BY c.place),
                   array_agg(w.input ORDER BY c.place),
                   array_agg(w.next_run_id ORDER BY c.place), array_agg(w.next_from_step ORDER BY c.place)
            INTO v_run_ids, v_asked_by, v_via, v_restart_of, v_inputs, v_next_run_ids, v_next_from_steps
            FROM unnest(v_job_ids, v_run_ids, v_asked_by) WITH ORDINALITY AS c (job_id, run_id, asked_by, place)
            LEFT JOIN LATERAL pgagent.pga_wish_take(c.job_id, c.run_id) AS w ON c.run_id = ANY (v_promised);
        END IF;

        -- Statements of their own, not parts of one: tables with rules take no others.
        -- record.sql says what "= ANY (ARRAY[...])" is for.
        UPDATE pgagent.pga_job AS j
        SET jobagentid = CASE WHEN c.due <= now() THEN p_agent_id END, jobnextrun = c.due,
            joblastrun = CASE WHEN c.due <= now() THEN v_started ELSE j.joblastrun END,
            jobrunid = c.next_run_id, jobfromstep = c.next_from_step
        FROM unnest(v_job_ids, v_due, v_next_run_ids, v_next_from_steps)
             AS c (job_id, due, next_run_id, next_from_step)
        WHERE j.jobid = ANY (ARRAY[c.job_id]);

        INSERT INTO pgagent.pga_joblog (
            jlgid, jlgjobid, jlgagentid, jlgstation, jlgscheduled, jlgstart,
            jlgchangeid,
            jlgstartedby, jlgstartedvia, jlgrestartof
        )
        SELECT c.run_id, c.job_id, p_agent_id, v_station, c.due, v_started, j.jobchangeid,
               c.asked_by, COALESCE(c.via, CASE WHEN c.asked_by IS NULL AND j.jobenabled
                                                THEN 'schedule' ELSE 'jobnextrun' END), c.restart_of
        FROM unnest(v_job_ids, v_due, v_run_ids, v_asked_by, v_via, v_restart_of)
             AS c (job_id, due, run_id, asked_by, via, restart_of)
        JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[c.job_id]) AND (j.jobagentid = p_agent_id) IS TRUE
        WHERE c.run_id IS NOT NULL;

        GET DIAGNOSTICS v_stored = ROW_COUNT;
        IF v_stored < cardinality(v_run_ids) THEN
            -- Not put off, nor refused by the trigger of pga_job? It could not be closed.
            SELECT min(j.jobid) INTO v_unstored
            FROM unnest(v_job_ids, v_run_ids) AS c (job_id, run_id)
            JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[c.job_id]) AND (j.jobagentid = p_agent_id) IS TRUE
            WHERE NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = ANY (ARRAY[c.run_id]));
            IF v_unstored IS NOT NULL THEN
                RAISE EXCEPTION 'the run of job % has not been stored', v_unstored
                    USING ERRCODE = 'data_exception', DETAIL = 'A trigger or a rule on pga_joblog has left its row out.';
            END IF;
        END IF;

        IF v_promised IS NOT NULL THEN
            PERFORM pgagent.pga_wish_gone(ARRAY(
                SELECT j.jobid FROM pgagent.pga_job AS j
                WHERE j.jobid = ANY (v_job_ids) AND j.jobagentid = p_agent_id
            ), v_promised);
            -- Where to begin is gone. That is said in the log, where the run is waited for.
            PERFORM pgagent.pga_run_close(ARRAY[c.run_id], ARRAY[c.run_id], ARRAY['f'::text],
                ARRAY['failed: the step from which it was to begin has been deleted'::text])
            FROM unnest(v_job_ids, v_from_steps, v_run_ids) AS c (job_id, from_step, run_id)
            JOIN pgagent.pga_job AS j ON j.jobid = c.job_id AND (j.jobagentid = p_agent_id) IS TRUE
            WHERE c.from_step IS NOT NULL
                  AND NOT EXISTS (SELECT FROM pgagent.pga_jobstep AS t
                                  WHERE t.jstid = c.from_step AND t.jstjobid = c.job_id);
        END IF;

        INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstart)
        SELECT c.step_log_id, c.run_id, s.jstid, v_started
        FROM unnest(v_job_ids, v_from_steps, v_run_ids, v_step_log_ids) AS c (job_id, from_step, run_id, step_log_id)
        JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[c.job_id]) AND (j.jobagentid = p_agent_id) IS TRUE,
        LATERAL (
            SELECT t.jstid FROM pgagent.pga_jobstep AS t
            WHERE t.jstjobid = ANY (ARRAY[c.job_id]) AND t.jstenabled
                  AND (c.from_step IS NULL OR (t.jstname, t.jstid) >= (
                      SELECT f.jstname, f.jstid FROM pgagent.pga_jobstep AS f WHERE f.jstid = c.from_step
                  ))
            ORDER BY t.jstname, t.jstid LIMIT 1
        ) AS s;

        -- What users' triggers have to say is said now, not when this is committed.
        SET CONSTRAINTS ALL IMMEDIATE;

        -- The first step is the one that has been started. Texts of a few are in the answer,
        -- those of many or long ones are not: the agent has more to do than to wait for them.
        RETURN QUERY
        SELECT c.run_id, j.jobid, left(j.jobname, 16384), extract(epoch FROM j.jobtimeout)::double precision,
               f.jslid, CASE WHEN isfinite(c.due) THEN date_part('epoch', now() - c.due) END,
               s.jstid, left(s.jstname, 16384), s.jstkind::text,
               CASE WHEN s.is_short THEN s.jstcode END, s.jstdbname::text,
               CASE WHEN s.is_short THEN s.jstconnstr END, s.jstonerror::text, s.jstmode,
               extract(epoch FROM s.jsttimeout)::double precision, s.jstretries,
               extract(epoch FROM s.jstretrydelay)::double precision, s.jstretrybackoff,
               CASE WHEN pg_column_size(s.jstretryon) < 65536 THEN s.jstretryon END,
               CASE WHEN s.jstconnstr = '' THEN COALESCE(s.jstrunas, j.jobowner)::text END,
               CASE WHEN num_nonnulls(s.jstrunas, j.jobowner) > 0 THEN pgagent.pga_step_refusal(
                   j.jobowner, j.jobownerid, s.jstrunas, s.jstrunasid, s.jstkind::text, s.jstconnstr <> '', s.jstmode
               ) END,
               j.jobowner::text,
               CASE WHEN s.jstid = f.jsljstid THEN c.input END,
               NULL::double precision
        FROM unnest(v_job_ids, v_due, v_from_steps, v_run_ids, v_step_log_ids, v_inputs)
             AS c (job_id, due, from_step, run_id, step_log_id, input)
        JOIN pgagent.pga_job AS j ON j.jobid = ANY (ARRAY[c.job_id]) AND (j.jobagentid = p_agent_id) IS TRUE
        LEFT JOIN pgagent.pga_jobsteplog AS f ON f.jslid = ANY (ARRAY[c.step_log_id])
        LEFT JOIN LATERAL (
            SELECT t.*, octet_length(t.jstcode) + octet_length(t.jstconnstr)::bigint <= 262144 AS is_short
            FROM pgagent.pga_jobstep AS t
            WHERE t.jstjobid = ANY (ARRAY[c.job_id])
                  AND (t.jstid = f.jsljstid OR t.jstenabled AND (
                      c.from_step IS NULL OR (t.jstname, t.jstid) >= (
                          SELECT g.jstname, g.jstid FROM pgagent.pga_jobstep AS g WHERE g.jstid = c.from_step
                      )
                  ))
        ) AS s ON f.jslid IS NOT NULL
        ORDER BY c.due, c.run_id, s.jstid <> f.jsljstid, s.jstname, s.jstid;

        IF v_is_choosy THEN
            DELETE FROM pgagent.pga_jobaside AS s
            USING pgagent.pga_job AS j
            WHERE s.jsajobid = ANY (v_job_ids) AND j.jobid = s.jsajobid AND j.jobagentid = p_agent_id;
        END IF;
    END IF;

    look_again := least(pgagent.pga_look_again(v_station, p_without, v_is_choosy), p_longest);
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_claim(integer, integer, double precision, integer, integer[]) IS
'Claims up to p_limit due jobs for this agent, the longest due first, opens a run for each and starts its first step: only the job p_only, if that is not NULL, and none of p_without. Jobs that another transaction holds, that are set aside or have an open run are passed over, not waited for; jobs that are too late by their own rule are put off. Jobs that are paused, and those of classes of which as many as may run at once are under way, are left out; of each class it takes no more than there are places. An agent that is not armed (pga_jobagent.jagunarmed) gets none. Of a job to which runs are promised it takes the first wish (pga_jobrequest), and deletes it; a run whose first step has been deleted has failed then. Returns the runs with their enabled steps in order of execution, as they stand now, one row a step, times in seconds; a run without steps is one row with NULLs. run_step_log_id is the row of the first step, run_waited how long the run has been due, NULL if since ever, step_owner the owner of the job. Where step_code is NULL, code and connection string of the step are longer than 256 kB, and to be read when it is executed. step_role is as whom it runs, without a connection string, NULL: as the runner''s own login; step_refusal is why it must not, in one sentence. run_input, in the first row of a run, is the input with which somebody asked for it (pga_jobrequest.jrqinput), NULL as a rule. A last row has only look_again: how long it is from the beginning of this statement, p_longest at most, until the next job that an agent on this host may claim, other than those in p_without, is due; 0 if one was then. Raises PGA03 if the agent is not registered, 22000 if the row of a run has not been stored, and whatever the triggers of users raise: then nothing was claimed.';

CREATE OR REPLACE FUNCTION pgagent.pga_run_due(
    p_agent_id integer, p_limit integer, p_only integer[], p_without integer[]
)
RETURNS TABLE (job_id integer, job_name text, due_in double precision) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_station text;
    v_is_choosy boolean;
    v_full_classes integer[];
BEGIN
    SELECT a.jagstation, EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jcllimit IS NOT NULL)
                         OR EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now())
    INTO v_station, v_is_choosy FROM pgagent.pga_jobagent AS a WHERE a.jagpid = p_agent_id;
    IF v_is_choosy THEN
        v_full_classes := pgagent.pga_classes_full();
    END IF;
    RETURN QUERY
    SELECT j.jobid, left(j.jobname, 16384), CASE
        WHEN greatest(j.jobnextrun, s.jsauntil) <= statement_timestamp() THEN 0
        ELSE extract(epoch FROM greatest(j.jobnextrun, s.jsauntil) - statement_timestamp())::double precision END
    FROM pgagent.pga_job AS j
    LEFT JOIN pgagent.pga_jobaside AS s
        ON s.jsajobid = j.jobid AND s.jsauntil BETWEEN now() AND now() + interval '1 minute'
    WHERE j.jobagentid IS NULL AND j.jobnextrun < 'infinity' AND j.jobhostagent IN ('', v_station)
          AND (v_is_choosy IS NOT TRUE OR pgagent.pga_paused_until(j.jobid) IS NULL
                                          AND j.jobjclid <> ALL (v_full_classes))
          AND CASE WHEN p_only IS NULL THEN j.jobnextrun <= statement_timestamp() AND s.jsajobid IS NULL
                   ELSE j.jobid = ANY (p_only) END
          AND j.jobid <> ALL (COALESCE(p_without, '{}'))
          AND (j.jobowner IS NULL OR (SELECT pgagent.pga_isolation_broken()) IS NULL)
    ORDER BY j.jobnextrun, j.jobid LIMIT p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_due(integer, integer, integer[], integer[]) IS
'The jobs that this agent may claim now, the longest due first, or those of p_only that it may claim some time, and in how many seconds (0: now); without those in p_without, that are paused, or whose class is full. At most p_limit.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_set_aside(p_job_id integer, p_reason text)
RETURNS double precision LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz;
BEGIN
    INSERT INTO pgagent.pga_jobaside AS s (jsajobid, jsauntil, jsareason)
    SELECT j.jobid, clock_timestamp() + interval '1 second', left(p_reason, 10000)
    FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id AND j.jobagentid IS NULL
    ON CONFLICT (jsajobid) DO UPDATE
    -- 1, 2, 4 ... 60 seconds
    SET jsauntil = clock_timestamp() + least(power(2, least(s.jsatimes, 6)), 60) * interval '1 second',
        jsatimes = s.jsatimes + 1, jsareason = EXCLUDED.jsareason
    RETURNING s.jsauntil INTO v_until;
    RETURN extract(epoch FROM v_until - clock_timestamp())::double precision;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_set_aside(integer, text) IS
'Has all agents leave a job alone that could not be claimed: for a second, and twice as long each further time, up to a minute. Returns for how many seconds; NULL if the job is gone, or somebody has claimed it.';

-- PL/pgSQL for the sake of its plan cache.
CREATE OR REPLACE FUNCTION pgagent.pga_look_again(
    p_station text, p_without integer[], p_is_choosy boolean
)
RETURNS double precision LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_choosy CONSTANT boolean := COALESCE(p_is_choosy,
        (SELECT c.jcafor FROM pgagent.pga_jobcaution AS c LIMIT 1) IS NOT NULL);
    v_without integer[] := COALESCE(p_without, ARRAY[]::integer[]);
    v_aside integer[];
    v_paused boolean;       -- some jobs are
    v_full_classes integer[];
    v_next timestamptz;
BEGIN
    IF v_is_choosy THEN
        v_aside := ARRAY(
            SELECT s.jsajobid FROM pgagent.pga_jobaside AS s
            WHERE s.jsauntil BETWEEN now() AND now() + interval '1 minute'
        );
        v_without := v_without || v_aside;
        v_next := pgagent.pga_paused_until(NULL::integer);
        IF v_next IS NOT NULL THEN
            RETURN CASE WHEN isfinite(v_next) THEN extract(epoch FROM v_next - statement_timestamp())::double precision END;
        END IF;
        v_paused := EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now());
        v_full_classes := nullif(pgagent.pga_classes_full(), ARRAY[]::integer[]);
    END IF;
    SELECT j.jobnextrun INTO v_next
    FROM pgagent.pga_job AS j
    WHERE j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobhostagent IN ('', p_station)
          AND j.jobid <> ALL (v_without)
          AND (v_full_classes IS NULL OR j.jobnextrun > now() OR j.jobjclid <> ALL (v_full_classes))
          AND (v_paused IS NOT TRUE OR pgagent.pga_paused_until(j.jobid) IS NULL)
          AND (j.jobowner IS NULL OR (SELECT pgagent.pga_isolation_broken()) IS NULL)
    ORDER BY j.jobnextrun LIMIT 1;
    IF v_aside <> ARRAY[]::integer[] THEN
        SELECT least(v_next, min(greatest(j.jobnextrun, s.jsauntil))) INTO v_next
        FROM pgagent.pga_jobaside AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jsajobid
        WHERE s.jsajobid = ANY (v_aside) AND s.jsajobid <> ALL (COALESCE(p_without, '{}'))
              AND j.jobagentid IS NULL AND j.jobnextrun IS NOT NULL AND j.jobhostagent IN ('', p_station)
              AND (v_full_classes IS NULL OR j.jobnextrun > now() OR j.jobjclid <> ALL (v_full_classes))
              AND (v_paused IS NOT TRUE OR pgagent.pga_paused_until(j.jobid) IS NULL)
              AND (j.jobowner IS NULL OR (SELECT pgagent.pga_isolation_broken()) IS NULL);
    END IF;
    -- Who waits for a place is told when there is one, or may have had enough of being told.
    IF v_full_classes IS NOT NULL AND EXISTS (
        SELECT FROM pgagent.pga_job AS j
        WHERE j.jobagentid IS NULL AND j.jobnextrun <= now() AND j.jobhostagent IN ('', p_station)
              AND j.jobjclid = ANY (v_full_classes)
    ) THEN
        v_next := least(v_next, now() + interval '1 second');
    END IF;
    IF v_paused THEN
        SELECT least(v_next, min(p.jpsuntil)) INTO v_next
        FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now();
    END IF;
    RETURN CASE WHEN v_next <= statement_timestamp() THEN 0
        WHEN isfinite(v_next) THEN extract(epoch FROM v_next - statement_timestamp())::double precision END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_look_again(text, integer[], boolean) IS
'How long, by this server''s clock and from the beginning of the statement, until the next job that an agent on this host may claim, other than those in p_without, is due, and not set aside any more, or until a pause ends; 0 if one was then, NULL if none ever is. p_is_choosy says whether there may be jobs set aside, pauses or limits of classes (pga_jobcaution), NULL: that is looked up. Where only jobs are due that wait for a place in their class, a second: runners are notified of places, but need not hear it.';
