-- alerts.sql: having somebody told of what happens to jobs, and what is to be told.

CREATE OR REPLACE VIEW pgagent.alerts AS
SELECT a.altname AS alert, CASE a.altchannel WHEN 'job' THEN 'job:' || COALESCE(t.jobname, '') ELSE a.altchannel END AS channel,
       a.altevents AS events, a.altjobid AS job_id, j.jobname AS job, c.jclname AS class,
       a.altafterfailures AS after_failures, a.altrepeatevery AS repeat_every, a.altenabled AS enabled,
       (SELECT count(*) FROM pgagent.pga_alertevent AS e
        WHERE e.alestate IN ('pending', 'sending') AND e.alealtid = a.altid) AS pending,
       (SELECT max(e.alesent) FROM pgagent.pga_alertevent AS e WHERE e.alealtid = a.altid) AS last_sent,
       a.altcreated AS created, a.altby AS changed_by
FROM pgagent.pga_alert AS a
LEFT JOIN pgagent.pga_job AS j ON j.jobid = a.altjobid
LEFT JOIN pgagent.pga_job AS t ON t.jobid = a.altstartjobid
LEFT JOIN pgagent.pga_jobclass AS c ON c.jclid = a.altclassid
WHERE (SELECT pgagent.pga_sees_all()) OR j.jobid IS NOT NULL AND pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.alerts IS
'The alerts: what each tells, of which job or class (NULL: of all), by which channel, how many events wait to be sent, and when one was sent last. Example: SELECT alert, channel, events, job, enabled FROM pgagent.alerts ORDER BY alert.';

CREATE OR REPLACE VIEW pgagent.alert_log AS
SELECT e.aleid AS event_id, e.aleevent AS event, e.aleat AS at, COALESCE(a.altname, e.alealert) AS alert,
       COALESCE(e.alejobid, (e.aledata ->> 'job_id')::integer) AS job_id, COALESCE(j.jobname, e.alejob) AS job, e.alerunid AS run_id,
       e.alestate AS state, e.aleattempts AS attempts, e.aleerror AS last_error,
       e.aledata ->> 'message' AS detail, e.alemessage AS message_id,
       CASE WHEN e.alestate IN ('pending', 'sending') THEN COALESCE(e.alelease, e.aledue) END AS due, e.alesent AS sent
FROM pgagent.pga_alertevent AS e
LEFT JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid
LEFT JOIN pgagent.pga_job AS j ON j.jobid = e.alejobid
WHERE (SELECT pgagent.pga_sees_all()) OR j.jobid IS NOT NULL AND pgagent.pga_may_see(j.jobowner, j.jobownerid);
COMMENT ON VIEW pgagent.alert_log IS
'What alerts have told, or are to tell, for 30 days: state is pending, sending, sent, failed (given up) or silenced; event_id stays the same however often it is sent; events of one message have one message_id; due: when it is sent, or again. Example: SELECT at, event, alert, job, state, last_error FROM pgagent.alert_log ORDER BY at DESC LIMIT 20.';

CREATE OR REPLACE FUNCTION pgagent.pga_may_alert_all()
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('pgagent.pga_job'::regclass)
       AND NOT (has_function_privilege('pgagent.pga_may_use_runner_login()'::regprocedure, 'EXECUTE'::text)
                AND has_function_privilege('pgagent.pga_may_edit_all()'::regprocedure, 'EXECUTE'::text)) THEN
        RAISE EXCEPTION 'pgagent: "%" may not write alerts of all jobs, nor silence all', current_user USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The catalogue is isolated: that takes the rights to execute pgagent.pga_may_edit_all() and pgagent.pga_may_use_runner_login(). An alert of a job of one''s own names it (job), silence() silences it.';
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_may_alert_all() IS
'True, or raises 42501 if policies do not let the current user write alerts of all jobs, or the silence of all.';

CREATE OR REPLACE FUNCTION pgagent.pga_rule_found(p_name text)
RETURNS pgagent.pga_alert LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
BEGIN
    SELECT a.* INTO v_alert FROM pgagent.pga_alert AS a WHERE a.altname = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no alert "%"', p_name USING ERRCODE = 'undefined_object',
            DETAIL = COALESCE('Alerts are ' || (
                SELECT string_agg(format('"%s"', n.altname), ', ') FROM (
                    SELECT a.altname FROM pgagent.pga_alert AS a ORDER BY a.altname LIMIT 10) AS n) || '.', 'There are none.');
    END IF;
    -- Policies pass over a row without a word.
    IF v_alert.altjobid IS NULL THEN
        PERFORM pgagent.pga_may_alert_all();
    ELSE
        PERFORM pgagent.pga_job_to_write(v_alert.altjobid::bigint);
    END IF;
    RETURN v_alert;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_rule_found(text) IS
'The alert of this name, which is to be changed. Raises 42704 if there is none, 42501 if policies do not let the current user write it.';

CREATE OR REPLACE FUNCTION pgagent.pga_rule_job(p_channel text)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN p_channel LIKE 'job:_%' THEN pgagent.pga_job_id(substr(p_channel, 5)) END::integer;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_rule_job(text) IS
'The id of the job that a channel job:NAME starts; NULL for other channels. Raises 42704 if there is no such job, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_rule_of(
    p_where text, p_job text, p_job_id bigint, p_class text, OUT job_id integer, OUT class_id integer
)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_job <> '' AND p_job_id IS NOT NULL AND p_job <> pgagent.pga_job_name(p_job_id) THEN
        PERFORM pgagent.pga_refuse(p_where || '(job, job_id)', format('two jobs: "%s" and %s', p_job, p_job_id), 'One of the two is enough.'::text);
    END IF;
    job_id := COALESCE(p_job_id, CASE WHEN p_job <> '' THEN pgagent.pga_job_id(p_job) END)::integer;
    class_id := CASE WHEN p_class <> '' THEN pgagent.pga_class_id(p_class) END;
    IF job_id IS NULL THEN
        PERFORM pgagent.pga_may_alert_all();
    ELSE
        PERFORM pgagent.pga_job_to_write(job_id::bigint);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_rule_of(text, text, bigint, text) IS
'The ids of the job and the class that an alert is to be of, NULL for all. Raises 42704 if there is no such job or class, 42P09 if several jobs have this name, 22023 for two jobs, 42501 if policies do not let the current user write such an alert.';

CREATE OR REPLACE FUNCTION pgagent.add_alert(
    name text, channel text, events text[] DEFAULT NULL, job text DEFAULT NULL, class text DEFAULT NULL,
    after_failures integer DEFAULT 1, repeat_every interval DEFAULT NULL, enabled boolean DEFAULT true,
    job_id bigint DEFAULT NULL, on_conflict text DEFAULT 'error'
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('add_alert'::text, on_conflict);
    v_new record;
    v_id uuid;
BEGIN
    PERFORM pgagent.pga_check_alert('add_alert'::text, COALESCE(name, ''), COALESCE(channel, ''), events, after_failures, repeat_every);
    SELECT CASE WHEN t.job_id IS NULL THEN channel ELSE 'job' END AS channel, t.job_id AS start_job_id, o.job_id, o.class_id,
           COALESCE(events, array_remove(pgagent.pga_events_known(), 'skipped')) AS events,
           COALESCE(after_failures, 1) AS after_failures, nullif(repeat_every, interval '0') AS repeat_every,
           COALESCE(enabled, true) AS enabled
    INTO v_new
    FROM pgagent.pga_rule_of('add_alert'::text, job, job_id, class) AS o
    CROSS JOIN (SELECT pgagent.pga_rule_job(channel) AS job_id) AS t;
    INSERT INTO pgagent.pga_alert (altname, altchannel, altevents, altjobid, altclassid, altstartjobid, altafterfailures, altrepeatevery, altenabled)
    VALUES (name, v_new.channel, v_new.events, v_new.job_id, v_new.class_id, v_new.start_job_id, v_new.after_failures,
            v_new.repeat_every, v_new.enabled)
    ON CONFLICT (altname) DO NOTHING;
    IF FOUND OR v_conflict = 'nothing' THEN
        RETURN;
    ELSIF v_conflict = 'error' THEN
        RAISE EXCEPTION 'pgagent: there is an alert "%" already', name USING ERRCODE = 'duplicate_object',
            DETAIL = 'alter_alert() changes it.';
    END IF;
    v_id := (pgagent.pga_rule_found(name)).altid;
    UPDATE pgagent.pga_alert AS a
    SET altchannel = v_new.channel, altevents = v_new.events, altjobid = v_new.job_id, altclassid = v_new.class_id,
        altstartjobid = v_new.start_job_id, altafterfailures = v_new.after_failures, altrepeatevery = v_new.repeat_every,
        altenabled = v_new.enabled
    WHERE a.altid = v_id AND (
        a.altchannel, a.altevents, a.altjobid, a.altclassid, a.altstartjobid, a.altafterfailures, a.altrepeatevery, a.altenabled
    ) IS DISTINCT FROM (
        v_new.channel, v_new.events, v_new.job_id, v_new.class_id, v_new.start_job_id, v_new.after_failures, v_new.repeat_every,
        v_new.enabled
    );
END;
$$;
COMMENT ON FUNCTION pgagent.add_alert(text, text, text[], text, text, integer, interval, boolean, bigint, text) IS
'Has somebody told of what happens to jobs. channel: notify (NOTIFY pgagent_event, with JSON), job:NAME (starts that job, with what is told as its input), or the name of a channel in a runner''s pgagent.toml, where addresses and secrets are. events: failed, recovered, aborted, late, skipped, long, disabled, no_runner, unarmed, set_aside; by default all but skipped. job (or job_id), class: of which jobs, by default of all. after_failures: at how many failures in a row it tells. repeat_every: how often it tells again what lasts; 0 or NULL: never. on_conflict: if there is an alert of this name, error; nothing: it stays as it is; or replace: it gets these attributes, and of those that are not given the defaults. Raises 42710 if there is an alert of this name, 42704 if there is no such job or class, 42P09 if several jobs have this name, 42501 for jobs that policies do not let the current user write, 22023 for anything else that is not allowed. Example: SELECT pgagent.add_alert(''nightly'', ''notify'', job => ''etl'', events => ''{failed,recovered,late}'').';

CREATE OR REPLACE FUNCTION pgagent.alter_alert(
    alert text, channel text DEFAULT NULL, events text[] DEFAULT NULL, job text DEFAULT NULL, class text DEFAULT NULL,
    after_failures integer DEFAULT NULL, repeat_every interval DEFAULT NULL, enabled boolean DEFAULT NULL,
    job_id bigint DEFAULT NULL, name text DEFAULT NULL
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT pgagent.pga_alert := pgagent.pga_rule_found(alert);
    v_new record;
BEGIN
    PERFORM pgagent.pga_check_alert('alter_alert'::text, name, channel, events, after_failures, repeat_every);
    IF name <> alert THEN
        PERFORM pgagent.pga_check_new_name('alter_alert(name)'::text, name, EXISTS (
            SELECT FROM pgagent.pga_alert AS a WHERE a.altname = name));
    END IF;
    SELECT COALESCE(name, v_old.altname) AS name,
           CASE WHEN channel IS NULL THEN v_old.altchannel WHEN t.job_id IS NULL THEN channel ELSE 'job' END AS channel,
           CASE WHEN channel IS NULL THEN v_old.altstartjobid ELSE t.job_id END AS start_job_id,
           o.job_id, CASE WHEN class IS NULL THEN v_old.altclassid ELSE o.class_id END AS class_id,
           COALESCE(events, v_old.altevents) AS events, COALESCE(after_failures, v_old.altafterfailures) AS after_failures,
           nullif(COALESCE(repeat_every, v_old.altrepeatevery), interval '0') AS repeat_every,
           COALESCE(enabled, v_old.altenabled) AS enabled
    INTO v_new
    FROM pgagent.pga_rule_of(
        'alter_alert'::text, job, COALESCE(job_id, CASE WHEN job IS NULL THEN v_old.altjobid END), class) AS o
    CROSS JOIN (SELECT pgagent.pga_rule_job(channel) AS job_id) AS t;
    UPDATE pgagent.pga_alert AS a
    SET altname = v_new.name, altchannel = v_new.channel, altevents = v_new.events, altjobid = v_new.job_id,
        altclassid = v_new.class_id, altstartjobid = v_new.start_job_id, altafterfailures = v_new.after_failures,
        altrepeatevery = v_new.repeat_every, altenabled = v_new.enabled
    WHERE a.altid = v_old.altid AND (
        a.altname, a.altchannel, a.altevents, a.altjobid, a.altclassid, a.altstartjobid, a.altafterfailures, a.altrepeatevery, a.altenabled
    ) IS DISTINCT FROM (
        v_new.name, v_new.channel, v_new.events, v_new.job_id, v_new.class_id, v_new.start_job_id, v_new.after_failures,
        v_new.repeat_every, v_new.enabled
    );
END;
$$;
COMMENT ON FUNCTION pgagent.alter_alert(text, text, text[], text, text, integer, interval, boolean, bigint, text) IS
'Changes whatever is not NULL of an alert: see add_alert(); name is a new name. An empty job or class: of all; repeat_every 0: never again. Raises 42704 if there is no such alert, job or class, 42710 if the new name is taken, 42P09 if several jobs have the name, 42501 for jobs that policies do not let the current user write, 22023 for anything else that is not allowed. Example: SELECT pgagent.alter_alert(''nightly'', repeat_every => ''1 hour'').';

CREATE OR REPLACE FUNCTION pgagent.drop_alert(alert text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
BEGIN
    IF if_exists AND NOT EXISTS (SELECT FROM pgagent.pga_alert AS a WHERE a.altname = alert) THEN
        RAISE NOTICE 'pgagent: there is no alert "%", skipping', alert;
        RETURN;
    END IF;
    v_alert := pgagent.pga_rule_found(alert);
    DELETE FROM pgagent.pga_alert AS a WHERE a.altid = v_alert.altid;
END;
$$;
COMMENT ON FUNCTION pgagent.drop_alert(text, boolean) IS
'Deletes an alert. What it has told stays in alert_log; what it has not is not sent any more. Raises 42704 if there is none; a NOTICE, if if_exists is true. Example: SELECT pgagent.drop_alert(''nightly'').';

CREATE OR REPLACE FUNCTION pgagent.test_alert(alert text)
RETURNS uuid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert CONSTANT pgagent.pga_alert := pgagent.pga_rule_found(alert);
    v_event uuid;
BEGIN
    UPDATE pgagent.pga_alert AS a SET alttest = COALESCE(a.alttest, gen_random_uuid())
    WHERE a.altid = v_alert.altid RETURNING a.alttest INTO v_event;
    IF NOT v_alert.altenabled THEN
        RAISE NOTICE 'pgagent: alert "%" is disabled: nothing is sent before it is enabled', alert;
    END IF;
    RETURN v_event;
END;
$$;
COMMENT ON FUNCTION pgagent.test_alert(text) IS
'Has an alert tell an event named test, at once, by its channel. Returns the event_id, by which alert_log tells what became of it; called again before a sender has looked, the same one. Raises 42704 if there is no such alert. Example: SELECT pgagent.test_alert(''nightly'').';

CREATE OR REPLACE FUNCTION pgagent.silence(job_id bigint, until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id), pgagent.pga_check_pause('silence'::text, until);
    INSERT INTO pgagent.pga_jobsilence AS s (jsijobid, jsiuntil, jsireason)
    VALUES (job_id, COALESCE(until, 'infinity'), COALESCE(reason, ''))
    ON CONFLICT (jsijobid) DO UPDATE
    SET jsisince = CASE WHEN s.jsiuntil > now() THEN s.jsisince ELSE now() END,
        jsiuntil = EXCLUDED.jsiuntil, jsireason = EXCLUDED.jsireason
    WHERE (s.jsiuntil, s.jsireason) IS DISTINCT FROM (EXCLUDED.jsiuntil, EXCLUDED.jsireason);
END;
$$;
COMMENT ON FUNCTION pgagent.silence(bigint, timestamptz, text) IS
'Has nobody be told of a job until then (NULL: until unsilence()). It runs as ever; what happens is in alert_log (state silenced), and what still lasts when the silence ends is told then. Called again, it replaces until and reason. Raises 42704 if there is no such job, 22023 if until has passed. Example: SELECT pgagent.silence(42, until => now() + interval ''2 hours'', reason => ''new disk'').';

CREATE OR REPLACE FUNCTION pgagent.silence(job_name text, until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.silence(pgagent.pga_job_id($1), $2, $3) $$;
COMMENT ON FUNCTION pgagent.silence(text, timestamptz, text) IS
'As silence() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.silence(''etl'', reason => ''the source is moved'').';

CREATE OR REPLACE FUNCTION pgagent.silence_all(until timestamptz DEFAULT NULL, reason text DEFAULT '')
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_may_alert_all(), pgagent.pga_check_pause('silence_all'::text, until);
    INSERT INTO pgagent.pga_jobsilence AS s (jsiuntil, jsireason)
    VALUES (COALESCE(until, 'infinity'), COALESCE(reason, ''))
    ON CONFLICT ((jsijobid IS NULL)) WHERE jsijobid IS NULL DO UPDATE
    SET jsisince = CASE WHEN s.jsiuntil > now() THEN s.jsisince ELSE now() END,
        jsiuntil = EXCLUDED.jsiuntil, jsireason = EXCLUDED.jsireason
    WHERE (s.jsiuntil, s.jsireason) IS DISTINCT FROM (EXCLUDED.jsiuntil, EXCLUDED.jsireason);
END;
$$;
COMMENT ON FUNCTION pgagent.silence_all(timestamptz, text) IS
'As silence(), of all jobs there are and will be, and of what concerns no single job, such as no_runner; silences of single jobs are not touched. Example: SELECT pgagent.silence_all(until => ''tomorrow 06:00'', reason => ''maintenance'').';

CREATE OR REPLACE FUNCTION pgagent.unsilence(job_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := pgagent.pga_job_to_write(job_id);
BEGIN
    UPDATE pgagent.pga_jobsilence AS s SET jsiuntil = now() WHERE s.jsijobid = job_id AND s.jsiuntil > now();
    IF NOT FOUND THEN
        RAISE NOTICE 'pgagent: job "%" is not silenced', v_name
            USING DETAIL = 'Nothing was changed.' || CASE
                WHEN pgagent.pga_silenced_until(NULL::integer) IS NOT NULL THEN ' All jobs are: unsilence_all() ends that.' ELSE '' END;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.unsilence(bigint) IS
'Ends the silence of a job; one of all jobs goes on. What is wrong with it now, and was not told, is told. Of a job that is not silenced a NOTICE says so. Raises 42704 if there is no such job. Example: SELECT pgagent.unsilence(42).';

CREATE OR REPLACE FUNCTION pgagent.unsilence(job_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.unsilence(pgagent.pga_job_id($1)) $$;
COMMENT ON FUNCTION pgagent.unsilence(text) IS
'As unsilence() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.unsilence(''etl'').';

CREATE OR REPLACE FUNCTION pgagent.unsilence_all()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_may_alert_all();
    UPDATE pgagent.pga_jobsilence AS s SET jsiuntil = now() WHERE s.jsijobid IS NULL AND s.jsiuntil > now();
    IF NOT FOUND THEN
        RAISE NOTICE 'pgagent: not all jobs are silenced'
            USING DETAIL = format('Nothing was changed. Jobs that are silenced by themselves: %s; unsilence() ends that.', (
                SELECT count(*) FROM pgagent.pga_jobsilence AS s WHERE s.jsijobid IS NOT NULL AND s.jsiuntil > now()));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.unsilence_all() IS
'Ends the silence of all jobs; those that are silenced by themselves stay so. If there is none, a NOTICE says so. Example: SELECT pgagent.unsilence_all().';
