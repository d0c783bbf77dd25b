-- wishes.sql: runs that somebody has asked for, and whose ids are promised. Writes
-- pga_jobrequest and pga_job.
--
-- A wish is a row of pga_jobrequest; its id is the run's. The first wish of a job stands in
-- pga_job.jobrunid and jobfromstep as well, where the claim finds it without a look at
-- another table, and whence it runs even if its row is gone: nobody who has been promised an
-- id waits in vain. A wish keeps the place that it has; the next one moves up when it is
-- taken, by a claim or by cancel_run().

CREATE OR REPLACE FUNCTION pgagent.pga_wish_next(
    p_job_id integer, p_taken bigint, OUT run_id bigint, OUT from_step integer
)
RETURNS record LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.jrqid, r.jrqfromstep
    FROM pgagent.pga_jobrequest AS r
    -- A row that a restore brings back may have had its run.
    WHERE r.jrqjobid = p_job_id AND r.jrqid IS DISTINCT FROM p_taken
          AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = r.jrqid AND l.jlgjobid = r.jrqjobid)
    ORDER BY r.jrqat, r.jrqid LIMIT 1
$$;
COMMENT ON FUNCTION pgagent.pga_wish_next(integer, bigint) IS
'The first wish of a job other than p_taken: the id that its run has, and its first step; NULLs if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_wishes(p_job pgagent.pga_job)
RETURNS TABLE (
    place bigint, run_id bigint, from_step integer, asked_at timestamptz, asked_by name, via text,
    input jsonb, restart_of bigint
) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT row_number() OVER (ORDER BY w.run_id = $1.jobrunid DESC NULLS LAST, w.asked_at, w.run_id), w.*
    FROM (
        SELECT r.jrqid AS run_id, r.jrqfromstep, r.jrqat AS asked_at, r.jrqby, r.jrqvia, r.jrqinput, r.jrqrestartof
        FROM pgagent.pga_jobrequest AS r WHERE r.jrqjobid = $1.jobid
        UNION ALL
        SELECT $1.jobrunid, $1.jobfromstep, NULL, $1.jobaskedby, 'run_job', NULL, NULL
        WHERE $1.jobrunid IS NOT NULL
              AND NOT EXISTS (SELECT FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = $1.jobrunid AND r.jrqjobid = $1.jobid)
    ) AS w
    WHERE NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = w.run_id AND l.jlgjobid = $1.jobid)
    ORDER BY 1
$$;
COMMENT ON FUNCTION pgagent.pga_wishes(pgagent.pga_job) IS
'The runs that are promised to a job, in the order in which they will begin; of one whose row in pga_jobrequest is gone not all is known.';

CREATE OR REPLACE FUNCTION pgagent.pga_wish_take(
    p_job_id integer, p_promised bigint,
    OUT run_id bigint, OUT asked_by name, OUT via text, OUT restart_of bigint, OUT input text,
    OUT next_run_id bigint, OUT next_from_step integer
)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT r.jrqby, r.jrqvia, r.jrqrestartof, r.jrqinput::text INTO asked_by, via, restart_of, input
    FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = p_promised AND r.jrqjobid = p_job_id;
    via := COALESCE(via, 'run_job');
    -- The sequence may have been set back, and another run have got the id.
    run_id := CASE WHEN EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = p_promised)
        THEN pgagent.pga_free_run_id(p_job_id) ELSE p_promised END;
    SELECT n.run_id, n.from_step INTO next_run_id, next_from_step
    FROM pgagent.pga_wish_next(p_job_id, p_promised) AS n;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_wish_take(integer, bigint) IS
'What a claim has to know of the run that is promised to a job: its id, which is the promised one unless a run has that already, who asked for it and how, the run that it repeats, its input, and the wish that comes next. The caller has locked the job, and deletes the row.';

CREATE OR REPLACE FUNCTION pgagent.pga_wish_gone(p_job_ids integer[], p_promised bigint[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_left bigint;
BEGIN
    DELETE FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = ANY (p_promised) AND r.jrqjobid = ANY (p_job_ids);
    SELECT min(r.jrqid) INTO v_left
    FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = ANY (p_promised) AND r.jrqjobid = ANY (p_job_ids);
    IF v_left IS NOT NULL THEN
        RAISE EXCEPTION 'the wish for run % has not been deleted', v_left
            USING ERRCODE = 'data_exception',
                  DETAIL = 'A trigger or a rule on pga_jobrequest has kept its row: it would be granted again and again.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_wish_gone(integer[], bigint[]) IS
'Deletes the wishes p_promised of these jobs, which a claim has taken. Raises 22000 if one stays.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_wish(p_old pgagent.pga_job, p_new pgagent.pga_job)
RETURNS pgagent.pga_job LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_new.jobrunid IS NULL AND p_old.jobrunid IS NOT NULL THEN
        -- It is taken back; others wait for their own.
        DELETE FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = p_old.jobrunid AND r.jrqjobid = p_new.jobid;
        SELECT n.run_id, n.from_step INTO p_new.jobrunid, p_new.jobfromstep
        FROM pgagent.pga_wish_next(p_new.jobid, p_old.jobrunid) AS n;
    ELSIF p_new.jobrunid <> p_old.jobrunid THEN
        -- What is promised stays so, whatever is written over it.
        p_new.jobrunid := p_old.jobrunid;
        p_new.jobfromstep := p_old.jobfromstep;
    ELSIF p_old.jobrunid IS NULL THEN
        -- Not if nothing has changed: somebody may have locked all of the table.
        PERFORM FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = p_new.jobrunid AND r.jrqjobid = p_new.jobid;
        IF NOT FOUND THEN
            -- run_job() of 5.0, or somebody by hand: the id has to be nobody else's.
            p_new.jobrunid := pgagent.pga_free_run_id(p_new.jobid);
        END IF;
    END IF;
    IF p_new.jobrunid IS NOT NULL AND p_new.jobagentid IS NULL
       AND (p_new.jobrunid, p_new.jobnextrun, p_new.jobenabled, p_new.jobagentid)
           IS DISTINCT FROM (p_old.jobrunid, p_old.jobnextrun, p_old.jobenabled, p_old.jobagentid) THEN
        -- If it has been due for long, this is the run for that time, too.
        p_new.jobnextrun := least(p_new.jobnextrun, now());
    END IF;
    RETURN p_new;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_wish(pgagent.pga_job, pgagent.pga_job) IS
'For the trigger of pga_job: the row that is to be stored in place of p_old, for which p_new was written. A run that is promised can be taken back (jobrunid NULL), and not be overwritten; then the next wish moves up. An id that is no wish''s is drawn anew. A job that is promised to run, and free, is due.';

CREATE OR REPLACE FUNCTION pgagent.pga_input_size(p_input jsonb)
RETURNS integer LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT octet_length(CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN convert_to($1::text, 'SQL_ASCII')
                        ELSE convert_to($1::text, 'UTF8') END)
$$;
COMMENT ON FUNCTION pgagent.pga_input_size(jsonb) IS
'How many bytes of UTF-8 the input of a run has as text, which is how scripts get it.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobrequest_draw()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgagent.pga_restoring() THEN
        IF NEW.jrqvia IN ('schedule', 'jobnextrun') THEN
            PERFORM pgagent.pga_refuse('pga_jobrequest.jrqvia'::text, format('"%s" is not so', NEW.jrqvia),
                'Runs that a schedule has started, or jobnextrun, are in no need of a row here; run_job is a word for this.'::text);
        END IF;
        PERFORM pgagent.pga_check_size('pga_jobrequest.jrqvia'::text, length(NEW.jrqvia), 100, 'characters'::text),
                -- Linux gives no process a variable of 128 kB.
                pgagent.pga_check_size('pga_jobrequest.jrqinput'::text, pgagent.pga_input_size(NEW.jrqinput), 100000, 'bytes'::text);
        NEW.jrqid := pgagent.pga_free_run_id(NEW.jrqjobid);
        NEW.jrqby := current_user;
        NEW.jrqat := now();
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobrequest_draw() IS
'Trigger: draws the id of the run, and says who asks for it and when, whatever is written there; rows from a dump stay as they are. Refuses with 22023 what is too long, or would have the log say that nobody has asked.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobrequest_trigger()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_job AS j
    SET jobrunid = NEW.jrqid, jobfromstep = NEW.jrqfromstep
    WHERE j.jobid = NEW.jrqjobid AND j.jobrunid IS NULL
          AND NOT EXISTS (SELECT FROM pgagent.pga_joblog AS l WHERE l.jlgid = NEW.jrqid AND l.jlgjobid = j.jobid);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobrequest_trigger() IS
'Trigger: promises the run to the job, if that has no other wish; one that waits for others moves up in its turn.';

CREATE OR REPLACE FUNCTION pgagent.pga_wish_withdraw(p_run_id bigint)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id integer;
    v_asked timestamptz;
    v_is_promised boolean;
BEGIN
    SELECT r.jrqjobid, r.jrqat INTO v_job_id, v_asked FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = p_run_id;
    IF NOT FOUND THEN
        SELECT j.jobid INTO v_job_id FROM pgagent.pga_job AS j WHERE j.jobrunid = p_run_id;
    END IF;
    IF v_job_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = v_job_id FOR NO KEY UPDATE;
    DELETE FROM pgagent.pga_jobrequest AS r WHERE r.jrqid = p_run_id;
    v_is_promised := FOUND;
    -- What has been due without it still is.
    UPDATE pgagent.pga_job AS j
    SET jobrunid = NULL, jobfromstep = NULL,
        jobnextrun = CASE WHEN j.jobagentid IS NOT NULL OR j.jobnextrun < v_asked
                               OR pgagent.pga_job_has_time(j.jobid, j.jobnextrun) THEN j.jobnextrun END
    WHERE j.jobid = v_job_id AND j.jobrunid = p_run_id;
    RETURN FOUND OR v_is_promised;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_wish_withdraw(bigint) IS
'Takes a promised run back that has not begun; others of the job keep their turn. Returns whether there was one.';
