-- explain.sql: why does a job run, or not?

CREATE OR REPLACE FUNCTION pgagent.pga_explain_schedule(p_schedule pgagent.pga_schedule)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next CONSTANT timestamptz := pgagent.pga_schedule_next(p_schedule, now());
    v_bare CONSTANT pgagent.pga_schedule := jsonb_populate_record(p_schedule, '{"jscid": 0}');
    v_endless CONSTANT pgagent.pga_schedule := jsonb_populate_record(v_bare, '{"jscend": null}');
BEGIN
    IF NOT p_schedule.jscenabled AND p_schedule.jscat <= now() THEN
        RETURN format('was for one run at %s, which is over', p_schedule.jscat);
    ELSIF NOT p_schedule.jscenabled THEN
        RETURN 'is disabled';
    ELSIF p_schedule.jscreboot THEN
        RETURN 'waits for a runner to start';
    ELSIF v_next IS NOT NULL THEN
        RETURN format('matches next at %s%s', v_next,
            COALESCE(' (' || pgagent.pga_run_note(p_schedule, now(), v_next) || ')', ''))
            || CASE WHEN p_schedule.jscstart > now() AND p_schedule.jscat IS NULL THEN format('; it starts at %s', p_schedule.jscstart) ELSE '' END;
    ELSIF p_schedule.jscend < now() THEN
        RETURN format('ended at %s', p_schedule.jscend);
    ELSIF p_schedule.jscend < p_schedule.jscstart THEN
        RETURN format('ends at %s, before it starts at %s', p_schedule.jscend, p_schedule.jscstart);
    ELSIF pgagent.pga_zone_is_unknown(p_schedule) THEN
        RETURN format('is in a time zone that this server does not know: %s', p_schedule.jsctimezone);
    END IF;
    IF pgagent.pga_schedule_next(v_bare, now()) IS NOT NULL THEN
        RETURN 'matches only times that its exceptions leave out';
    ELSIF pgagent.pga_schedule_next(v_endless, now()) IS NOT NULL THEN
        RETURN format('matches no time before its end at %s', p_schedule.jscend);
    END IF;
    RETURN 'matches no date of the calendar';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_schedule(pgagent.pga_schedule) IS
'What a schedule will do, or why it will not do anything, in words.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_agent(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alive CONSTANT text[] := ARRAY(SELECT DISTINCT a.station FROM pgagent.agents AS a WHERE a.alive ORDER BY 1);
BEGIN
    detail := pgagent.pga_explain_hosts(p_job.jobhostagent, v_alive);
    ok := detail IS NULL;
    IF ok THEN
        detail := format('alive on %s', (SELECT string_agg(format('"%s"', s), ', ') FROM unnest(v_alive) AS s));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_agent(pgagent.pga_job) IS
'Whether a runner that may execute this job is alive.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_claim(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = p_job.jobid AND l.jlgstatus = 'r' ORDER BY l.jlgid DESC LIMIT 1;
    ok := p_job.jobagentid IS NULL AND v_run.jlgid IS NULL;
    IF p_job.jobagentid IS NULL THEN
        detail := CASE WHEN v_run.jlgid IS NULL THEN 'not running'
            ELSE format('run %s is still open, though no agent holds the job; any runner will close it within seconds', v_run.jlgid) END;
    ELSIF NOT EXISTS (SELECT FROM pgagent.agents AS a WHERE a.agent_id = p_job.jobagentid AND a.alive) THEN
        detail := format('claimed by agent %s, which is dead; any runner will free it within seconds', p_job.jobagentid);
    ELSIF v_run.jlgid IS NULL THEN
        detail := format('agent %s holds the job, and its run is not in the log any more; the next one waits until the agent lets go', p_job.jobagentid);
    ELSE
        detail := format('run %s is under way since %s on host "%s"; the next one waits for it',
                         v_run.jlgid, v_run.jlgstart, v_run.jlgstation);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_claim(pgagent.pga_job) IS
'Whether a run of this job is under way, or held by an agent that is dead.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_due(
    p_job pgagent.pga_job, p_is_locked boolean, OUT ok boolean, OUT detail text
)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    ok := p_job.jobnextrun <= now() AND p_job.jobagentid IS NULL;
    IF p_job.jobagentid IS NOT NULL THEN
        detail := CASE WHEN p_job.jobrunid IS NULL THEN 'the next run is computed when the one under way ends'
            ELSE format('run %s begins when the one under way ends', p_job.jobrunid) END;
    ELSIF p_job.jobnextrun IS NULL THEN
        detail := CASE WHEN p_job.jobenabled THEN 'no schedule starts the job' ELSE 'the job is disabled' END
                  || '; run_job() runs it once';
    ELSIF NOT ok THEN
        detail := format('due at %s%s', p_job.jobnextrun, CASE WHEN isfinite(p_job.jobnextrun)
            THEN format(', in %s', date_trunc('second', p_job.jobnextrun - now())) ELSE '' END);
    ELSIF p_is_locked THEN
        ok := false;
        detail := format('due since %s; but another transaction has locked the job''s row: runners pass it over', p_job.jobnextrun);
    ELSE
        detail := format('due since %s; %s', p_job.jobnextrun, CASE
            WHEN pgagent.pga_paused_until(p_job.jobid) IS NOT NULL THEN 'it waits for the end of the pause'
            WHEN (SELECT NOT e.ok FROM pgagent.pga_explain_class(p_job) AS e) THEN 'it waits for a place in its class'
            ELSE 'the next runner with a free worker takes it' END);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_due(pgagent.pga_job, boolean) IS
'Whether this job is due, and whether it can be claimed: not if another transaction has locked it, while it is paused, or while its class is full.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_pauses(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT false, format('%s paused since %s, %s, by "%s"%s', CASE WHEN p.jpsjobid IS NULL THEN 'all jobs are' ELSE 'it is' END,
        p.jpssince, CASE WHEN isfinite(p.jpsuntil) THEN format('until %s', p.jpsuntil)
            WHEN p.jpsjobid IS NULL THEN 'until unpause_all()' ELSE 'until unpause_job()' END,
        p.jpsby, COALESCE(': ' || nullif(p.jpsreason, ''), ''))
    FROM pgagent.pga_jobpause AS p
    WHERE (p.jpsjobid = p_job.jobid OR p.jpsjobid IS NULL) AND p.jpsuntil > now() ORDER BY p.jpsjobid;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_pauses(pgagent.pga_job) IS
'The pauses that keep this job from starting: its own, and that of all jobs.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_class(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The view counts jobs of others, too, which may be hidden from whoever asks.
    IF EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclid = p_job.jobjclid AND c.jcllimit IS NOT NULL) THEN
        RETURN QUERY
        SELECT c.running < c."limit" OR p_job.jobagentid IS NOT NULL,
               format('of class "%s", %s of %s jobs at once are under way', c.class, c.running, c."limit") || CASE
                   WHEN c.running < c."limit" OR p_job.jobagentid IS NOT NULL THEN ''
                   ELSE '; it starts when one of them has ended' END
        FROM pgagent.classes AS c WHERE c.class_id = p_job.jobjclid;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_class(pgagent.pga_job) IS
'If the class of this job has a limit: how many of its jobs are under way, and whether one more may start.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_wishes(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_for_42 boolean;
BEGIN
    IF p_job.jobrunid IS NULL THEN
        RETURN;
    END IF;
    SELECT bool_and(a.lease_until IS NULL) INTO v_is_for_42
    FROM pgagent.agents AS a WHERE a.alive AND p_job.jobhostagent IN ('', a.station);
    RETURN QUERY
    SELECT (w.from_step IS NULL OR s.jstid IS NOT NULL) AND v_is_for_42 IS NOT TRUE,
           concat_ws('; ', format('run %s, for %s%s%s', w.run_id, w.via,
               COALESCE(format(' by "%s"', w.asked_by), ''), COALESCE(' at ' || w.asked_at, '')),
               CASE WHEN w.from_step IS NULL THEN NULL
                    WHEN s.jstid IS NULL THEN 'it fails, since the step from which it was to begin has been deleted'
                    ELSE format('it begins from step "%s"', s.jstname) END,
               'it repeats run ' || w.restart_of,
               CASE WHEN w.input IS NOT NULL THEN 'it has an input' END,
               CASE WHEN v_is_for_42 THEN 'the daemon of pgAgent 4.2, which is all that is alive, leaves the job alone until it has run: start a runner, or take it back by cancel_run()' END)
    FROM pgagent.pga_wishes(p_job) AS w
    LEFT JOIN pgagent.pga_jobstep AS s ON s.jstid = w.from_step AND s.jstjobid = p_job.jobid
    ORDER BY w.place;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_wishes(pgagent.pga_job) IS
'The runs that are promised to this job, in order: who has asked for each, how and when, and whether it can do what was asked.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_aside(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT false, format('it could not be started %s times, since %s: %s; %s', s.jsatimes, s.jsasince, s.jsareason,
        CASE WHEN s.jsauntil BETWEEN now() AND now() + interval '1 minute'
             THEN format('the next attempt is in %s s', ceil(extract(epoch FROM s.jsauntil - now())))
             ELSE 'the next runner with a free worker tries again' END)
    FROM pgagent.pga_jobaside AS s
    WHERE s.jsajobid = p_job.jobid AND p_job.jobagentid IS NULL AND p_job.jobnextrun <= now();
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_aside(pgagent.pga_job) IS
'If this job is due and could not be started: why, and when it is tried again.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_last(p_job_id bigint, OUT ok boolean, OUT detail text)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run pgagent.pga_joblog;
BEGIN
    SELECT l.* INTO v_run FROM pgagent.pga_joblog AS l
    WHERE l.jlgjobid = p_job_id AND l.jlgstatus <> 'r' ORDER BY l.jlgid DESC LIMIT 1;
    IF NOT FOUND THEN
        detail := 'has not run yet';
        RETURN;
    END IF;
    ok := v_run.jlgstatus = 's';
    detail := pgagent.pga_explain_run(v_run);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_last(bigint) IS
'How the last run of this job ended, and why; ok is NULL if there was none.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_rules(p_job pgagent.pga_job)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws('; ',
        CASE p_job.joboverlap WHEN 'queue' THEN 'times that pass while it runs are made up for'
            ELSE 'times that pass while it runs are left out' END,
        CASE p_job.jobmissed WHEN 'all' THEN 'all that no runner takes in time are made up for'
            WHEN 'skip' THEN 'those that no runner takes in time are left out'
            ELSE 'one run makes up for those that no runner takes in time' END,
        'a run may begin ' || COALESCE(p_job.jobmissedlimit,
            CASE p_job.jobmissed WHEN 'skip' THEN interval '1 minute' END) || ' late',
        'a run may take ' || p_job.jobtimeout,
        'it is late ' || p_job.joblateafter || ' after it was due',
        nullif(concat_ws(' or ', 'a run of more than ' || p_job.joblongafter,
                         'one of more than ' || p_job.joblongfactor || ' times as long as usual'), '') || ' is long',
        'it is disabled after ' || p_job.jobdisableafter || ' failures in a row'
    )
$$;
COMMENT ON FUNCTION pgagent.pga_explain_rules(pgagent.pga_job) IS
'What becomes of times that a job misses, how long a run may take, when the job is late, a run long, and after how many failures it is disabled, in words.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_enabled(p_job pgagent.pga_job)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_job.jobenabled THEN 'the job is enabled'
        WHEN p_job.jobnextrun IS NOT NULL THEN 'the job is disabled, but somebody has asked for one run'
        ELSE 'the job is disabled: its schedules do not start it' || COALESCE((
            SELECT format('; run %s says: %s', l.jlgid, l.jlgmessage)
            FROM (SELECT r.jlgid, r.jlgmessage FROM pgagent.pga_joblog AS r
                  WHERE r.jlgjobid = p_job.jobid ORDER BY r.jlgid DESC LIMIT 1) AS l
            WHERE l.jlgmessage LIKE '%the job has been disabled'
        ), '') END
$$;
COMMENT ON FUNCTION pgagent.pga_explain_enabled(pgagent.pga_job) IS
'Whether this job is enabled, and whether it was disabled for killing its runners, or for failing too often in a row.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_roles(p_job pgagent.pga_job, OUT ok boolean, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT r.refusal IS NULL, string_agg(format('step "%s"', r.jstname), ', ' ORDER BY r.jstname, r.jstid) || ': ' || COALESCE(
        r.refusal, CASE WHEN r.run_as IS NULL THEN 'as the connection string or the runner says' ELSE format('as "%s"', r.run_as) END)
    FROM (
        -- By the view: whoever may not read connection strings may read the rest.
        SELECT s.step AS jstname, s.step_id AS jstid,
               pgagent.pga_role_refusal(p_job.jobowner, p_job.jobownerid, s.run_as, s.run_as_id,
                                        left(s.kind, 1), s.has_conninfo, s.mode, a) AS refusal,
               CASE WHEN s.kind = 'sql' AND NOT s.has_conninfo THEN COALESCE(s.run_as, p_job.jobowner) END AS run_as
        FROM pgagent.steps AS s
        LEFT JOIN pgagent.pga_run_as AS a ON a.rasrole = COALESCE(s.run_as, p_job.jobowner)
        WHERE s.job_id = p_job.jobid AND s.enabled AND num_nonnulls(s.run_as, p_job.jobowner) > 0
    ) AS r
    GROUP BY r.refusal, r.run_as ORDER BY min(r.jstname);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_roles(pgagent.pga_job) IS
'As which roles the steps of this job run, or why they must not; nothing if all run with the login of the runner.';

CREATE OR REPLACE FUNCTION pgagent.pga_explain_gates(p_job_id bigint, p_is_locked boolean)
RETURNS TABLE (gate text, ok boolean, detail text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
    v_schedule pgagent.pga_schedule;
    v_steps bigint;
    v_enabled_steps bigint;
BEGIN
    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id;
    RETURN QUERY SELECT 'enabled', v_job.jobenabled, pgagent.pga_explain_enabled(v_job);

    SELECT count(*), count(*) FILTER (WHERE s.jstenabled) INTO v_steps, v_enabled_steps
    FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id;
    RETURN QUERY SELECT 'steps', v_enabled_steps > 0, CASE
        WHEN v_steps = 0 THEN 'the job has no steps: runs end at once with nothing to do'
        WHEN v_enabled_steps = 0 THEN format('all %s steps are disabled: runs end at once with nothing to do', v_steps)
        ELSE format('%s of %s steps are enabled', v_enabled_steps, v_steps) END;

    IF NOT EXISTS (SELECT FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id) THEN
        RETURN QUERY SELECT 'schedule', false, 'the job has no schedules: it runs only when somebody starts it';
    END IF;
    FOR v_schedule IN SELECT s.* FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id ORDER BY s.jscid LOOP
        RETURN QUERY SELECT format('schedule "%s"', v_schedule.jscname),
            v_schedule.jscenabled AND (v_schedule.jscreboot OR pgagent.pga_schedule_next(v_schedule, now()) IS NOT NULL),
            format('%s in %s %s', pgagent.pga_schedule_text(v_schedule), v_schedule.jsctimezone,
                   pgagent.pga_explain_schedule(v_schedule));
    END LOOP;
    RETURN QUERY SELECT 'running', e.ok, e.detail FROM pgagent.pga_explain_claim(v_job) AS e;
    IF v_job.jobowner IS NOT NULL AND pgagent.pga_isolation_broken() IS NOT NULL THEN
        RETURN QUERY SELECT 'isolated', false, pgagent.pga_isolation_broken();
    END IF;
    IF pgagent.pga_unarmed() IS NOT NULL THEN
        RETURN QUERY SELECT 'allowed', false, pgagent.pga_unarmed();
    END IF;
    RETURN QUERY SELECT 'run as', e.ok, e.detail FROM pgagent.pga_explain_roles(v_job) AS e;
    RETURN QUERY SELECT 'paused', e.ok, e.detail FROM pgagent.pga_explain_pauses(v_job) AS e;
    RETURN QUERY SELECT 'class', e.ok, e.detail FROM pgagent.pga_explain_class(v_job) AS e;
    RETURN QUERY SELECT 'due', e.ok, e.detail FROM pgagent.pga_explain_due(v_job, p_is_locked) AS e;
    RETURN QUERY SELECT 'promised', e.ok, e.detail FROM pgagent.pga_explain_wishes(v_job) AS e;
    RETURN QUERY SELECT 'set aside', e.ok, e.detail FROM pgagent.pga_explain_aside(v_job) AS e;
    RETURN QUERY SELECT 'runner', e.ok, e.detail FROM pgagent.pga_explain_agent(v_job) AS e;
    RETURN QUERY SELECT 'rules', NULL::boolean, pgagent.pga_explain_rules(v_job);
    RETURN QUERY SELECT 'last run', e.ok, e.detail FROM pgagent.pga_explain_last(p_job_id) AS e;
    RETURN QUERY
    SELECT 'left out', NULL::boolean,
           format('its times from %s to %s did not run: %s', s.jskfrom, s.jskuntil, s.jskreason)
    FROM pgagent.pga_jobskip AS s WHERE s.jskjobid = p_job_id ORDER BY s.jskid DESC LIMIT 1;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_explain_gates(bigint, boolean) IS
'What explain_job() returns, all of it as of one moment; p_is_locked: whether another transaction has locked the job.';

CREATE OR REPLACE FUNCTION pgagent.explain_job(job_id bigint)
RETURNS TABLE (gate text, ok boolean, detail text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_locked boolean := false;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    BEGIN
        PERFORM FROM pgagent.pga_job AS j
        WHERE j.jobid = job_id AND j.jobagentid IS NULL AND j.jobnextrun <= now() FOR NO KEY UPDATE NOWAIT;
        RAISE no_data_found;      -- which gives the lock back
    EXCEPTION
        WHEN lock_not_available THEN
            v_is_locked := true;
        WHEN no_data_found OR insufficient_privilege OR read_only_sql_transaction THEN
            NULL;
    END;
    RETURN QUERY SELECT g.gate, g.ok, g.detail FROM pgagent.pga_explain_gates(job_id, v_is_locked) AS g;
END;
$$;
COMMENT ON FUNCTION pgagent.explain_job(bigint) IS
'Why a job runs, or why not: each condition, whether it holds (NULL where that does not apply), and a sentence. Raises 42704 if there is no such job. Example: SELECT * FROM pgagent.explain_job(42).';

CREATE OR REPLACE FUNCTION pgagent.explain_job(job_name text)
RETURNS TABLE (gate text, ok boolean, detail text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM pgagent.explain_job(pgagent.pga_job_id($1)) $$;
COMMENT ON FUNCTION pgagent.explain_job(text) IS
'As explain_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT * FROM pgagent.explain_job(''etl'').';

