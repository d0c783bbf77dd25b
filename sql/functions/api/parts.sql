-- parts.sql: steps, schedules and exceptions of a job, in SQL.

CREATE OR REPLACE FUNCTION pgagent.pga_kind_of_step(p_kind text, OUT letter text, OUT word text, OUT known text)
RETURNS record LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    letter := CASE WHEN lower(p_kind) IN ('s', 'sql') THEN 's' WHEN lower(p_kind) IN ('b', 'batch') THEN 'b' END;
    word := CASE letter WHEN 's' THEN 'sql' WHEN 'b' THEN 'batch' END;
    known := 'Kinds are sql (s) and batch (b).';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_kind_of_step(text) IS
'The letter in pga_jobstep.jstkind and the word for a kind of step, given as either, NULL if it is not known; and a sentence which are.';

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_id bigint, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind CONSTANT record := pgagent.pga_kind_of_step(kind);
    v_on_error CONSTANT text := (ARRAY['f', 'f', 's', 's', 'i', 'i'])[
        array_position('{fail,f,success,s,ignore,i}', lower(on_error))];
    v_step_id bigint;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF v_kind.letter IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(kind)'::text, format('"%s" is not known', kind), v_kind.known);
    ELSIF v_on_error IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(on_error)'::text, format('"%s" is not known', on_error), 'What a failing step can do is fail (the job), success (count as succeeded) and ignore.'::text);
    ELSIF octet_length(database) > 63 THEN
        PERFORM pgagent.pga_refuse('add_step(database)'::text, format('"%s" is too long', left(database, 70)), 'Names of databases have 63 bytes at most.'::text);
    ELSIF v_kind.letter <> 's' AND num_nonnulls(nullif(database, ''), nullif(conninfo, '')) > 0 THEN
        PERFORM pgagent.pga_refuse('add_step(database, conninfo)'::text, format('a %s step has no database', v_kind.word), 'Leave both out.'::text);
    ELSIF nullif(database, '') IS NOT NULL AND nullif(conninfo, '') IS NOT NULL THEN
        PERFORM pgagent.pga_refuse('add_step(database, conninfo)'::text, 'one of the two is wanted'::text, 'The connection string names the database: dbname=...'::text);
    ELSIF octet_length(run_as) > 63 THEN
        PERFORM pgagent.pga_refuse('add_step(run_as)'::text, format('"%s" is too long', left(run_as, 70)), 'Names of roles have 63 bytes at most.'::text);
    ELSIF btrim(command) = '' OR command IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(command)'::text, 'is empty'::text, 'SQL commands or a script are wanted.'::text);
    ELSIF btrim(name) = '' OR name IS NULL THEN
        PERFORM pgagent.pga_refuse('add_step(name)'::text, 'is empty'::text, 'A name is wanted: steps run in the order of their names.'::text);
    END IF;
    PERFORM pgagent.pga_check_span('add_step(timeout)'::text, timeout),
            pgagent.pga_check_span('add_step(retry_delay)'::text, retry_delay);
    INSERT INTO pgagent.pga_jobstep (
        jstjobid, jstname, jstcode, jstkind, jstdbname, jstconnstr, jstonerror, jstenabled, jstdesc,
        jstmode, jsttimeout, jstretries, jstretrydelay, jstretrybackoff, jstretryon, jstrunas
    ) VALUES (
        job_id, name, command, v_kind.letter,
        CASE WHEN v_kind.letter <> 's' OR nullif(conninfo, '') IS NOT NULL THEN ''
             ELSE COALESCE(nullif(database, ''), current_database()) END,
        COALESCE(conninfo, ''), v_on_error, COALESCE(enabled, true), COALESCE(description, ''),
        COALESCE(lower(mode), 'single'), nullif(timeout, interval '0'), COALESCE(retries, 0),
        COALESCE(retry_delay, interval '10 seconds'), COALESCE(retry_backoff, 2), retry_on, nullif(run_as, '')
    ) RETURNING jstid::bigint INTO v_step_id;
    RETURN v_step_id;
END;
$$;
COMMENT ON FUNCTION pgagent.add_step(bigint, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text) IS
'Adds a step to a job: kind sql (in a database of the runner''s server, by default this one, or anywhere by a connection string) or batch (a script). Steps run in the order of their names. on_error: fail, success or ignore. mode, for SQL: single (one query), autocommit (statement by statement: VACUUM, CREATE INDEX CONCURRENTLY) or atomic (in one transaction with its log row: exactly once). timeout: how long it may take. retries: how often it is tried again after one of retry_on (SQLSTATEs, exit codes, connection, timeout, any), first after retry_delay, then retry_backoff times as long. run_as: the role that it runs as, by default the owner of the job (allow_run_as()); the owner has to be a member of it. Returns the step''s id. Raises 42704 if there is no such job or role, 42501 for a role that the current user may not become, 22023 for anything else that is not allowed. Example: SELECT pgagent.add_step(42, ''2 report'', ''df -h'', kind => ''batch'', on_error => ''ignore'').';

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_name text, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.add_step(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8, $9,
                            $10, $11, $12, $13, $14, $15, $16)
$$;
COMMENT ON FUNCTION pgagent.add_step(text, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text) IS
'As add_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_step(''etl'', ''1 load'', ''CALL load()'').';

CREATE OR REPLACE FUNCTION pgagent.pga_add_command(p_job_id bigint, p_command text, p_kind text, p_database text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.add_step(
        p_job_id, 'command'::text, p_command, p_kind, p_database, NULL::text, 'fail'::text, true, ''::text,
        NULL::text, NULL::interval, NULL::integer, NULL::interval, NULL::double precision, NULL::text[], NULL::text
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_add_command(bigint, text, text, text) IS
'Adds the only step of a job that is made of one command. Raises what add_step() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_parsed(
    p_schedule text, p_timezone text, p_start timestamptz
)
RETURNS SETOF pgagent.pga_schedule LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem text;
    v_detail text;
    v_hint text;
BEGIN
    RETURN QUERY
    SELECT r.* FROM pgagent.pga_schedule_parse(p_schedule, p_timezone) AS p,
    LATERAL jsonb_populate_record(NULL::pgagent.pga_schedule, jsonb_build_object(
        'jscid', 0,     -- which has no exceptions
        'jscname', btrim(p_schedule), 'jscdesc', '', 'jscenabled', true, 'jscstart', p_start,
        'jscminutes', p.minutes, 'jschours', p.hours, 'jscweekdays', p.weekdays,
        'jscmonthdays', p.monthdays, 'jscmonths', p.months,
        'jscevery', p.every, 'jscat', p.at, 'jscreboot', p.reboot, 'jsctimezone', p.timezone
    )) AS r;
EXCEPTION WHEN invalid_parameter_value THEN
    -- Raised from here, it does not come with the text of the functions that have found it.
    GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    IF v_hint = '' THEN
        RAISE EXCEPTION USING MESSAGE = v_problem, ERRCODE = 'invalid_parameter_value', DETAIL = v_detail;
    END IF;
    RAISE EXCEPTION USING MESSAGE = v_problem, ERRCODE = 'invalid_parameter_value', DETAIL = v_detail, HINT = v_hint;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_parsed(text, text, timestamptz) IS
'The rows of pga_schedule that the text of a schedule stands for, without ids and job. Raises what pga_schedule_parse() does.';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_id bigint, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT ''
)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_start CONSTANT timestamptz := COALESCE(start_at, date_trunc('second', now()));
    v_row pgagent.pga_schedule;
    v_schedule_id bigint;
    v_ids bigint[] := ARRAY[]::bigint[];
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF end_at < v_start THEN
        PERFORM pgagent.pga_refuse('add_schedule(end_at)'::text, 'end before start'::text, format('The end is %s, the start %s.', end_at, v_start));
    END IF;
    FOR v_row IN SELECT * FROM pgagent.pga_schedule_parsed(schedule, timezone, v_start) LOOP
        IF v_row.jscat <= now() THEN
            PERFORM pgagent.pga_refuse_schedule(schedule, 'the time'::text, 'lies in the past'::text,
                format('It is %s now. run_job() starts a job at once.', now()));
        END IF;
        INSERT INTO pgagent.pga_schedule (
            jscjobid, jscname, jscdesc, jscenabled, jscstart, jscend, jscminutes, jschours,
            jscweekdays, jscmonthdays, jscmonths, jscevery, jscat, jscreboot, jsctimezone
        ) VALUES (
            job_id, COALESCE(name, v_row.jscname), COALESCE(description, ''), COALESCE(enabled, true),
            v_start, end_at, v_row.jscminutes, v_row.jschours, v_row.jscweekdays,
            v_row.jscmonthdays, v_row.jscmonths, v_row.jscevery, v_row.jscat, v_row.jscreboot,
            v_row.jsctimezone
        ) RETURNING jscid::bigint INTO v_schedule_id;
        v_ids := v_ids || v_schedule_id;
    END LOOP;
    RETURN v_ids;
END;
$$;
COMMENT ON FUNCTION pgagent.add_schedule(bigint, text, text, text, timestamptz, timestamptz, boolean, text) IS
'Adds a schedule to a job: a crontab line, @daily and the like, "30 seconds", "@at 2031-05-01 09:00", @reboot. By default its name is its text, and its start, from which intervals count, is now. Returns the ids of its rows in pga_schedule: one, or two where cron means either of two days. Raises 42704 if there is no such job, 22023 if the schedule can''t be read, lies in the past or ends before it starts. Example: SELECT pgagent.add_schedule(42, ''0 9 * * mon-fri'', timezone => ''Europe/Berlin'').';

CREATE OR REPLACE FUNCTION pgagent.add_schedule(
    job_name text, schedule text, name text DEFAULT NULL, timezone text DEFAULT NULL,
    start_at timestamptz DEFAULT NULL, end_at timestamptz DEFAULT NULL,
    enabled boolean DEFAULT true, description text DEFAULT ''
)
RETURNS bigint[] LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.add_schedule(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8) $$;
COMMENT ON FUNCTION pgagent.add_schedule(text, text, text, text, timestamptz, timestamptz, boolean, text) IS
'As add_schedule() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_schedule(''etl'', ''@every 90 seconds'').';

CREATE OR REPLACE FUNCTION pgagent.pga_schedule_replace(
    p_job_id bigint, p_schedule text, p_timezone text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT bigint[] := ARRAY(
        SELECT s.jscid::bigint FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id ORDER BY s.jscid
    );
    v_zone CONSTANT text := COALESCE(p_timezone, (
        SELECT s.jsctimezone FROM pgagent.pga_schedule AS s WHERE s.jscid = v_old[1]
    ));
    v_new bigint[];
BEGIN
    v_new := pgagent.add_schedule(
        p_job_id, p_schedule, NULL::text, v_zone, NULL::timestamptz, NULL::timestamptz, true, ''::text
    );
    -- The exceptions of the old schedules are meant for the new one.
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT n.id, e.jexdate, e.jextime
    FROM unnest(v_new) AS n (id)
    CROSS JOIN (SELECT DISTINCT x.jexdate, x.jextime FROM pgagent.pga_exception AS x
                WHERE x.jexscid = ANY (v_old)) AS e;
    DELETE FROM pgagent.pga_schedule WHERE jscid = ANY (v_old);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_schedule_replace(bigint, text, text) IS
'Puts one schedule in the place of all those of a job, with their exceptions and, if p_timezone is NULL, their time zone.';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_id bigint, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_added integer;
BEGIN
    PERFORM pgagent.pga_job_name(job_id);
    IF NOT EXISTS (SELECT FROM pgagent.pga_schedule AS s
                   WHERE s.jscjobid = job_id AND s.jscname = COALESCE(schedule, s.jscname)) THEN
        RAISE EXCEPTION 'pgagent: job % has no schedule%', job_id, COALESCE(' "' || schedule || '"', '')
            USING ERRCODE = 'undefined_object', DETAIL = COALESCE(
                'Its schedules are ' || (SELECT string_agg(format('"%s"', s.jscname), ', ') FROM pgagent.pga_schedule AS s
                                         WHERE s.jscjobid = job_id) || '.', 'An exception belongs to a schedule.');
    END IF;
    INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
    SELECT s.jscid, on_date, at_time
    FROM pgagent.pga_schedule AS s
    WHERE s.jscjobid = job_id AND s.jscname = COALESCE(schedule, s.jscname)
          AND NOT EXISTS (SELECT FROM pgagent.pga_exception AS e
                          WHERE e.jexscid = s.jscid
                                AND (e.jexdate, e.jextime) IS NOT DISTINCT FROM (on_date, at_time));
    GET DIAGNOSTICS v_added = ROW_COUNT;
    RETURN v_added;
END;
$$;
COMMENT ON FUNCTION pgagent.add_exception(bigint, date, time, text) IS
'Excepts a date, a time of every day, or a time on a date from all schedules of a job, or from those with this name. Returns to how many it was added. Raises 42704 if there is no such job or schedule, 22023 if neither date nor time is given. Example: SELECT pgagent.add_exception(42, on_date => ''2030-12-25'').';

CREATE OR REPLACE FUNCTION pgagent.add_exception(
    job_name text, on_date date DEFAULT NULL, at_time time DEFAULT NULL, schedule text DEFAULT NULL
)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.add_exception(pgagent.pga_job_id($1), $2, $3, $4) $$;
COMMENT ON FUNCTION pgagent.add_exception(text, date, time, text) IS
'As add_exception() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_exception(''etl'', at_time => ''12:00'').';

