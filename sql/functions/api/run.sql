-- run.sql: starting a job by hand, and looking ahead.

CREATE OR REPLACE FUNCTION pgagent.run_job(job_id bigint, from_step text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
    v_step_id integer;
    v_run_id bigint;
    v_paused_until timestamptz;
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id);
    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = job_id FOR NO KEY UPDATE;
    IF from_step IS NOT NULL THEN
        SELECT s.jstid INTO v_step_id FROM pgagent.pga_jobstep AS s
        WHERE s.jstjobid = job_id AND s.jstname = from_step ORDER BY s.jstid LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'pgagent: job "%" has no step "%"', v_job.jobname, from_step
                USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its steps are ' || (
                    SELECT string_agg(format('"%s"', s.jstname), ', ' ORDER BY s.jstname)
                    FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id) || '.', 'It has no steps.');
        END IF;
    END IF;

    IF NOT EXISTS (SELECT FROM pgagent.agents AS a
                   WHERE a.alive AND a.lease_until IS NOT NULL AND v_job.jobhostagent IN ('', a.station)) THEN
        RAISE WARNING 'pgagent: no runner for job "%" is alive; it will run as soon as one is', v_job.jobname
            USING DETAIL = CASE v_job.jobhostagent WHEN '' THEN 'Any host will do.'
                                ELSE format('Only host "%s" may run it.', v_job.jobhostagent) END
                           || CASE WHEN EXISTS (SELECT FROM pgagent.agents AS a WHERE a.alive AND a.lease_until IS NULL)
                                   THEN ' The daemon of pgAgent 4.2 leaves the job alone until then.' ELSE '' END;
    END IF;

    v_paused_until := pgagent.pga_paused_until(v_job.jobid);
    IF v_paused_until IS NOT NULL THEN
        RAISE NOTICE 'pgagent: job "%" is paused; it will run after that', v_job.jobname
            USING DETAIL = format('The pause lasts %s; unpause_job() or unpause_all() ends it.',
                CASE WHEN isfinite(v_paused_until) THEN 'until ' || v_paused_until ELSE 'until somebody ends it' END);
    END IF;

    -- Whoever has asked for the same, and still waits, has the id already.
    SELECT w.run_id INTO v_run_id FROM pgagent.pga_wishes(v_job) AS w
    WHERE w.via = 'run_job' AND w.from_step IS NOT DISTINCT FROM v_step_id
          AND w.input IS NULL AND w.restart_of IS NULL
    ORDER BY w.place LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqfromstep)
        VALUES (v_job.jobid, 'run_job', v_step_id) RETURNING jrqid INTO v_run_id;
    ELSIF v_job.jobagentid IS NULL AND (v_job.jobnextrun <= now()) IS NOT TRUE THEN
        -- It was promised where that did not make the job due, as in 5.0 if that was disabled.
        UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = job_id;
    END IF;
    RETURN v_run_id;
END;
$$;
COMMENT ON FUNCTION pgagent.run_job(bigint, text) IS
'Has a job run at once, even a disabled one, from its first step or from the one of this name; one that is running runs again when it has ended. Returns the id that the run will have in pga_joblog; asked again for the same before it starts, the same id. A promised run begins whatever becomes of the job, unless cancel_run() takes it back; of a job that is paused, when the pause has ended, which a NOTICE says. Raises 42704 if there is no such job or step; warns if no runner is alive. Example: SELECT pgagent.run_job(42, from_step => ''2 report'').';

CREATE OR REPLACE FUNCTION pgagent.run_job(job_name text, from_step text DEFAULT NULL)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.run_job(pgagent.pga_job_id($1), $2) $$;
COMMENT ON FUNCTION pgagent.run_job(text, text) IS
'As run_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.run_job(''etl'').';

CREATE OR REPLACE FUNCTION pgagent.cancel_run(run_id bigint)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
BEGIN
    -- One that is promised and has not begun, in whatever place.
    IF pgagent.pga_wish_withdraw(run_id) THEN
        RETURN true;
    END IF;
    UPDATE pgagent.pga_joblog AS l
    SET jlgcancel = COALESCE(l.jlgcancel, format('cancelled by %s at %s', current_user, date_trunc('second', now())))
    WHERE l.jlgid = run_id AND l.jlgstatus = 'r';
    IF FOUND THEN
        PERFORM pg_notify('pgagent', 'cancel');
        RETURN true;
    END IF;
    SELECT l.jlgstatus::text INTO v_status FROM pgagent.pga_joblog AS l WHERE l.jlgid = run_id;
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'pgagent: there is no run %', run_id USING ERRCODE = 'undefined_object',
            DETAIL = 'The view pgagent.running lists the runs under way.';
    END IF;
    PERFORM pgagent.pga_job_to_write(l.jlgjobid::bigint)
    FROM pgagent.pga_joblog AS l WHERE l.jlgid = run_id AND l.jlgstatus = 'r';
    RETURN false;
END;
$$;
COMMENT ON FUNCTION pgagent.cancel_run(bigint) IS
'Has a run stopped: a statement is cancelled, a script''s processes are ended; the run ends as aborted. A promised run that has not begun is taken back; others of the job keep their turn. Returns whether there was anything to stop: false if the run has ended already. pgAgent''s own daemon takes no notice. Raises 42704 if there is no such run. Example: SELECT pgagent.cancel_run(run_id) FROM pgagent.running WHERE job = ''etl''.';

CREATE OR REPLACE FUNCTION pgagent.cancel_run(job_name text)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    -- The id of a run in quotes, which is text to PostgreSQL.
    IF job_name ~ '^[0-9]{1,18}$' AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = job_name) THEN
        RETURN pgagent.cancel_run(job_name::bigint);
    END IF;
    v_job_id := pgagent.pga_job_id(job_name);
    RETURN COALESCE((
        SELECT bool_or(pgagent.cancel_run(r.id))
        FROM (
            SELECT l.jlgid AS id FROM pgagent.pga_joblog AS l WHERE l.jlgjobid = v_job_id AND l.jlgstatus = 'r'
            UNION ALL
            SELECT w.run_id FROM pgagent.pga_job AS j, LATERAL pgagent.pga_wishes(j) AS w WHERE j.jobid = v_job_id
        ) AS r
    ), false);
END;
$$;
COMMENT ON FUNCTION pgagent.cancel_run(text) IS
'As cancel_run() with the id of a run, for all runs of this job that are under way or promised; false if there is none. Raises 42704 if there is no such job, 42P09 if several jobs have this name. Example: SELECT pgagent.cancel_run(''etl'').';

CREATE OR REPLACE FUNCTION pgagent.pga_run_note(
    p_schedule pgagent.pga_schedule, p_after timestamptz, p_run timestamptz
)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone CONSTANT text := p_schedule.jsctimezone;
    v_local CONSTANT timestamp := pgagent.pga_local_time(v_zone, p_run);
    -- The same schedule without its exceptions: what would have been first?
    v_planned CONSTANT timestamptz := pgagent.pga_schedule_next(
        jsonb_populate_record(p_schedule, '{"jscid": 0}'), p_after
    );
    v_notes text[] := ARRAY[]::text[];
BEGIN
    IF v_planned < p_run THEN
        v_notes := v_notes || format('an exception leaves out %s',
            to_char(v_planned AT TIME ZONE v_zone, 'YYYY-MM-DD HH24:MI'));
    END IF;
    IF pgagent.pga_schedule_kind(p_schedule) IS NULL THEN
        IF pgagent.pga_zone_local(v_zone, p_run) < v_local
           AND NOT (pgagent.pga_calendar_field(p_schedule.jschours, 24))[extract(hour FROM v_local)::integer + 1]
           OR pgagent.pga_zone_local(v_zone, p_run) < v_local
           AND NOT (pgagent.pga_calendar_field(p_schedule.jscminutes, 60))[extract(minute FROM v_local)::integer + 1] THEN
            v_notes := v_notes || format('clocks go forward: its time %s to %s does not exist',
                to_char(pgagent.pga_zone_local(v_zone, p_run), 'HH24:MI'), to_char(v_local, 'HH24:MI'));
        ELSIF (p_run + interval '24 hours') AT TIME ZONE v_zone <> v_local + interval '24 hours'
              AND pgagent.pga_zone_instant(v_zone, v_local) <> v_local AT TIME ZONE v_zone THEN
            v_notes := v_notes || CASE pgagent.pga_zone_instant(v_zone, v_local)
                WHEN p_run THEN 'clocks go back: this local time comes twice, this is the first' END;
        ELSIF pgagent.pga_zone_instant(v_zone, v_local) < p_run THEN
            v_notes := v_notes || 'clocks have gone back: this local time comes twice, this is the second'::text;
        END IF;
    END IF;
    RETURN nullif(array_to_string(v_notes, '; '), '');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_run_note(pgagent.pga_schedule, timestamptz, timestamptz) IS
'What is special about the run p_run of a schedule, the first after p_after: an exception before it, a change of clocks; NULL if nothing is.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedules_next(
    p_schedules pgagent.pga_schedule[], p_after timestamptz, p_until timestamptz, p_max_rows integer
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next timestamptz[] := ARRAY(
        SELECT pgagent.pga_schedule_next(p_schedules[i], p_after)
        FROM generate_subscripts(p_schedules, 1) AS i ORDER BY i
    );
    v_after timestamptz := p_after;
    v_first integer;
BEGIN
    FOR i IN 1..p_max_rows LOOP
        SELECT n.place::integer, n.run INTO v_first, run_at
        FROM unnest(v_next) WITH ORDINALITY AS n (run, place)
        WHERE n.run IS NOT NULL ORDER BY n.run, n.place LIMIT 1;
        EXIT WHEN NOT FOUND OR run_at > p_until;

        local_time := pgagent.pga_local_time((p_schedules[v_first]).jsctimezone, run_at);
        schedule_name := (p_schedules[v_first]).jscname;
        note := pgagent.pga_run_note(p_schedules[v_first], v_after, run_at);
        RETURN NEXT;
        v_after := run_at;
        FOR k IN 1..cardinality(v_next) LOOP
            IF v_next[k] <= run_at THEN
                v_next[k] := pgagent.pga_schedule_next(p_schedules[k], run_at);
            END IF;
        END LOOP;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedules_next(pgagent.pga_schedule[], timestamptz, timestamptz, integer) IS
'The instants after p_after, up to p_until, at which any of these schedules starts its job: at most p_max_rows, in order, each once.';

CREATE OR REPLACE FUNCTION pgagent.next_runs(
    job_id bigint, after timestamptz DEFAULT now(), until timestamptz DEFAULT NULL,
    max_rows integer DEFAULT 10
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    PERFORM pgagent.pga_check_max_rows(max_rows);
    IF after IS NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(after)'::text, 'is NULL'::text, 'A point in time is wanted.'::text);
    END IF;
    RETURN QUERY SELECT n.* FROM pgagent.pga_schedules_next(
        ARRAY(SELECT s FROM pgagent.pga_schedule AS s
              WHERE s.jscjobid = job_id AND s.jscenabled ORDER BY s.jscid),
        after, until, max_rows
    ) AS n;
END;
$$;
COMMENT ON FUNCTION pgagent.next_runs(bigint, timestamptz, timestamptz, integer) IS
'The instants after "after", up to "until" (NULL: no limit), at which the enabled schedules of a job start it, at most max_rows; with the local time and name of the schedule and a note where clocks change or an exception has removed one. Raises 42704 if there is no such job, 22023 unless max_rows is from 1 to 100000. Example: SELECT * FROM pgagent.next_runs(42, max_rows => 3).';

-- The earliest of many jobs' runs, in rounds: a job is asked for more of its runs, twice as
-- many in each round, only as long as they may be among those that are wanted.
CREATE OR REPLACE FUNCTION pgagent.pga_jobs_next(p_after timestamptz, p_until timestamptz, p_max_rows integer)
RETURNS TABLE (of_job integer, run_before timestamptz, next_run timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs integer[];
    v_befores timestamptz[];
    v_runs timestamptz[];
    v_last integer[];
    v_bound timestamptz;
    v_many integer := 1;
BEGIN
    -- Of each job the place of the last of its runs that is known.
    SELECT array_agg(n.id ORDER BY n.place), array_agg(p_after), array_agg(n.run ORDER BY n.place), array_agg(n.place::integer)
    INTO v_jobs, v_befores, v_runs, v_last
    FROM (
        SELECT f.id, f.run, row_number() OVER () AS place
        FROM (SELECT j.jobid AS id, pgagent.pga_job_next_run(j.jobid, p_after) AS run
              FROM pgagent.pga_job AS j WHERE j.jobenabled) AS f
        WHERE f.run <= COALESCE(p_until, 'infinity')
    ) AS n;
    LOOP
        v_bound := COALESCE((SELECT r.run FROM unnest(v_runs) AS r (run) ORDER BY r.run OFFSET p_max_rows - 1 LIMIT 1), p_until, 'infinity');
        SELECT v_jobs || array_agg(m.id ORDER BY m.place), v_befores || array_agg(m.before ORDER BY m.place),
               v_runs || array_agg(m.run ORDER BY m.place), array_agg(cardinality(v_jobs) + m.place::integer) FILTER (WHERE m.is_last)
        INTO v_jobs, v_befores, v_runs, v_last
        FROM (
            SELECT c.id, c.before, c.run, row_number() OVER () AS place, c.number = v_many AS is_last
            FROM unnest(v_last) AS k (place)
            CROSS JOIN LATERAL (
                WITH RECURSIVE chain AS (
                    SELECT v_jobs[k.place] AS id, v_runs[k.place] AS before,
                           pgagent.pga_job_next_run(v_jobs[k.place], v_runs[k.place]) AS run, 1 AS number
                    UNION ALL
                    SELECT h.id, h.run, pgagent.pga_job_next_run(h.id, h.run), h.number + 1
                    FROM chain AS h WHERE h.number < v_many AND h.run <= v_bound
                )
                SELECT h.* FROM chain AS h WHERE h.run <= v_bound
            ) AS c
            WHERE v_runs[k.place] < v_bound
        ) AS m;
        EXIT WHEN v_last IS NULL;
        v_many := v_many * 2;
    END LOOP;
    RETURN QUERY
    SELECT r.id, r.before, r.run FROM unnest(v_jobs, v_befores, v_runs) AS r (id, before, run)
    ORDER BY r.run, r.id LIMIT p_max_rows;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobs_next(timestamptz, timestamptz, integer) IS
'The instants after p_after, up to p_until, at which the enabled jobs are started by their schedules, the first p_max_rows of all in order; run_before: the one of the same job before it, or p_after.';

CREATE OR REPLACE FUNCTION pgagent.next_runs(
    job text DEFAULT NULL, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
    after timestamptz DEFAULT now(), until timestamptz DEFAULT NULL, max_rows integer DEFAULT 10
)
RETURNS TABLE (run_at timestamptz, local_time timestamp, schedule_name text, note text, job_id bigint, job_name text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id CONSTANT bigint := CASE WHEN job IS NOT NULL THEN pgagent.pga_job_id(job) END;
BEGIN
    PERFORM pgagent.pga_check_max_rows(max_rows);
    IF num_nonnulls(job, schedule) = 2 THEN
        PERFORM pgagent.pga_refuse('next_runs(job, schedule)'::text, 'one of the two is wanted'::text,
            'Name a job, or give the text of a schedule: next_runs(schedule => ''0 9 * * mon''); or neither, for all enabled jobs.'::text);
    ELSIF after IS NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(after)'::text, 'is NULL'::text, 'A point in time is wanted.'::text);
    ELSIF schedule IS NULL AND timezone IS NOT NULL THEN
        PERFORM pgagent.pga_refuse('next_runs(timezone)'::text, 'is for the text of a schedule'::text, 'The schedules of a job have time zones of their own.'::text);
    ELSIF job IS NOT NULL THEN
        RETURN QUERY SELECT n.*, v_job_id, job FROM pgagent.next_runs(v_job_id, after, until, max_rows) AS n;
    ELSIF schedule IS NOT NULL THEN
        RETURN QUERY SELECT n.*, NULL::bigint, NULL::text FROM pgagent.pga_schedules_next(
            ARRAY(SELECT p FROM pgagent.pga_schedule_parsed(schedule, timezone, after) AS p),
            after, until, max_rows
        ) AS n;
    ELSE
        RETURN QUERY
        SELECT n.*, j.jobid::bigint, j.jobname
        FROM pgagent.pga_jobs_next(after, until, max_rows) AS r
        JOIN pgagent.pga_job AS j ON j.jobid = r.of_job
        CROSS JOIN LATERAL pgagent.pga_schedules_next(
            ARRAY(SELECT s FROM pgagent.pga_schedule AS s
                  WHERE s.jscjobid = r.of_job AND s.jscenabled ORDER BY s.jscid),
            r.run_before, r.next_run, 1
        ) AS n
        ORDER BY r.next_run, r.of_job;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.next_runs(text, text, text, timestamptz, timestamptz, integer) IS
'As next_runs() with a job''s id, for the job of this name, or for the text of a schedule in a time zone (NULL: the default of schedules), for which an interval counts from "after"; or, without both, for all enabled jobs together: at most max_rows in all, in the order of time. Raises 22023 if the schedule can''t be read, 42704 or 42P09 if there is no or more than one job of this name. Example: SELECT run_at, job_name, schedule_name FROM pgagent.next_runs(until => now() + interval ''1 day'').';

CREATE OR REPLACE FUNCTION pgagent.pga_check_max_rows(p_max_rows integer)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_max_rows IS NULL OR p_max_rows NOT BETWEEN 1 AND 100000 THEN
        PERFORM pgagent.pga_refuse('next_runs(max_rows)'::text, format('%s is out of range', COALESCE(p_max_rows::text, 'NULL')),
            'Allowed are 1 to 100000.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_max_rows(integer) IS
'Raises 22023 unless this is a sensible number of rows.';

