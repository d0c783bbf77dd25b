-- make_up.sql: times of a job that have passed without a run, and what becomes of them.
-- Writes pga_jobskip.
--
-- A time passes because no runner took it in time (pga_job.jobmissed says whether runs are
-- made up for) or because the run before was still under way (pga_job.joboverlap).

CREATE OR REPLACE FUNCTION pgagent.pga_job_passed(
    p_job_id integer, p_after timestamptz, p_until timestamptz, p_limit integer
)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_slot timestamptz := p_after;
BEGIN
    FOR i IN 0..p_limit - 1 LOOP
        v_slot := pgagent.pga_job_next_run(p_job_id, v_slot);
        IF v_slot IS NULL OR v_slot > p_until THEN
            RETURN i;
        END IF;
    END LOOP;
    RETURN p_limit;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_passed(integer, timestamptz, timestamptz, integer) IS
'How many times of a job lie after p_after and not after p_until; p_limit at most.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_skip(
    p_job_id integer, p_from timestamptz, p_until timestamptz, p_reason text
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason, jsktotal)
    VALUES (p_job_id, p_from, p_until, p_reason, 1 + pgagent.pga_job_passed(p_job_id, p_from, p_until, 999) + least(9223372036854774807, COALESCE((
        SELECT s.jsktotal FROM pgagent.pga_jobskip AS s WHERE s.jskjobid = p_job_id ORDER BY s.jskid DESC LIMIT 1
    ), 0)))
$$;
COMMENT ON FUNCTION pgagent.pga_job_skip(integer, timestamptz, timestamptz, text) IS
'Records that a job does not run at its times from p_from, the first of them, to p_until, and why; and how many have been left out with these, of which at most 1000 count.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_latest(
    p_job_id integer, p_after timestamptz, p_count integer
)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_low timestamptz := p_after;
    v_high timestamptz := now();
    v_middle timestamptz;
BEGIN
    IF pgagent.pga_job_passed(p_job_id, v_low, now(), p_count) < p_count THEN
        RETURN v_low;
    END IF;
    WHILE v_high - v_low > interval '1 second' LOOP
        v_middle := v_low + (v_high - v_low) / 2;
        IF pgagent.pga_job_passed(p_job_id, v_middle, now(), p_count) < p_count THEN
            v_high := v_middle;
        ELSE
            v_low := v_middle;
        END IF;
    END LOOP;
    RETURN v_high;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_latest(integer, timestamptz, integer) IS
'An instant, p_after or later, after which fewer than p_count times of the job have passed.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_has_time(p_job_id integer, p_at timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- No schedule has a time before our era, where dates end soon.
    RETURN p_at >= '0001-01-01 00:00 UTC'
           AND pgagent.pga_job_next_run(p_job_id, p_at - interval '1 microsecond') IS NOT DISTINCT FROM p_at;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_has_time(integer, timestamptz) IS
'Whether p_at is a time of the job''s schedules.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_make_up(
    p_job_id integer, p_due timestamptz, p_missed text, p_missed_limit interval, p_overlap text
)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limit CONSTANT interval := CASE
        WHEN p_missed_limit IS NOT NULL THEN pgagent.pga_span(p_missed_limit)
        WHEN p_missed = 'skip' THEN interval '1 minute'
    END;
    v_after timestamptz := p_due;
    v_reason text;
    v_first timestamptz;
BEGIN
    -- A run that somebody has asked for is at no time of a schedule, and is not left out.
    IF NOT pgagent.pga_job_has_time(p_job_id, p_due) THEN
        RETURN p_due;
    END IF;
    IF now() - p_due > v_limit THEN
        v_after := now() - v_limit;
        v_reason := COALESCE(pgagent.pga_pause_note(p_job_id, p_due),
                             format('no runner took the job within %s', v_limit));
    ELSIF p_missed = 'all' OR p_overlap = 'queue' THEN
        v_after := pgagent.pga_job_latest(p_job_id, p_due, 100);
        v_reason := 'more than 100 runs were due';
    END IF;
    IF v_after = p_due THEN
        RETURN p_due;
    END IF;
    v_first := pgagent.pga_job_next_run(p_job_id, v_after);
    PERFORM pgagent.pga_job_skip(p_job_id, p_due, v_after, v_reason);
    RETURN v_first;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_make_up(integer, timestamptz, text, interval, text) IS
'The time for which a late job is to run: the one at which it fell due, or a later one, possibly still to come, if it is too late for that; NULL for none. Records what is left out. A job with jobmissed ''skip'' is too late after a minute, unless jobmissedlimit says otherwise; of times that are made up for one by one only the latest hundred are.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_after_run(
    p_job pgagent.pga_job, p_run_id bigint, p_scheduled timestamptz, p_started timestamptz,
    p_ended timestamptz
)
RETURNS timestamptz LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next timestamptz;
    v_busy_until timestamptz := p_started;      -- by the run before this one
BEGIN
    IF NOT p_job.jobenabled THEN
        RETURN NULL;
    END IF;
    v_next := pgagent.pga_job_next_run(p_job.jobid,
        CASE WHEN isfinite(p_scheduled) THEN p_scheduled ELSE p_started END);
    IF v_next IS NULL OR v_next > p_ended THEN
        RETURN v_next;
    END IF;

    IF p_job.joboverlap = 'queue' THEN
        SELECT CASE WHEN l.jlgstart BETWEEN '0001-01-01 00:00 UTC' AND '10000-01-01 00:00 UTC'
                    THEN l.jlgstart + pgagent.pga_span(l.jlgduration) END INTO v_busy_until
        FROM pgagent.pga_joblog AS l
        WHERE l.jlgjobid = p_job.jobid AND l.jlgid < p_run_id ORDER BY l.jlgid DESC LIMIT 1;
        IF v_next <= v_busy_until OR v_next > p_started THEN
            RETURN v_next;
        END IF;
    END IF;
    IF v_next <= p_started THEN
        IF p_job.jobmissed = 'all' THEN
            RETURN v_next;
        END IF;
        PERFORM pgagent.pga_job_skip(p_job.jobid, v_next, p_started,
            format('%s; run %s made up for it',
                   COALESCE(pgagent.pga_pause_note(p_job.jobid, v_next), 'no runner took the job in time'),
                   p_run_id));
        v_next := pgagent.pga_job_next_run(p_job.jobid, p_started);
    END IF;
    IF v_next <= p_ended AND p_job.joboverlap = 'skip' THEN
        PERFORM pgagent.pga_job_skip(p_job.jobid, v_next, p_ended,
            format('run %s was still under way', p_run_id));
        v_next := pgagent.pga_job_next_run(p_job.jobid, p_ended);
    END IF;
    RETURN v_next;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_after_run(pgagent.pga_job, bigint, timestamptz, timestamptz, timestamptz) IS
'When a job runs next after a run for the time p_scheduled that lasted from p_started to p_ended: at its next time, or at one that has passed if it is to be made up for. Records the times that are left out.';

