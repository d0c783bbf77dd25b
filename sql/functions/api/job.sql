-- job.sql: defining jobs in SQL. A job is named by its name or by its id. What has one of
-- pg_cron's names is in pg_cron.sql: schedule(), unschedule(), alter_job().

CREATE OR REPLACE FUNCTION pgagent.pga_job_id(p_job text)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT bigint[] := ARRAY(
        SELECT j.jobid::bigint FROM pgagent.pga_job AS j WHERE j.jobname = p_job ORDER BY j.jobid
    );
BEGIN
    IF cardinality(v_ids) = 0 THEN
        RAISE EXCEPTION 'pgagent: there is no job "%"', p_job USING ERRCODE = 'undefined_object',
            DETAIL = COALESCE('Jobs of this database are ' || (
                SELECT string_agg(format('"%s"', n.jobname), ', ') FROM (
                    SELECT j.jobname FROM pgagent.pga_job AS j ORDER BY j.jobname LIMIT 10
                ) AS n
            ) || '.', 'This database has no jobs.');
    ELSIF cardinality(v_ids) > 1 THEN
        RAISE EXCEPTION 'pgagent: % jobs have the name "%"', cardinality(v_ids), p_job
            USING ERRCODE = 'ambiguous_alias',
                  DETAIL = format('Their ids are %s; use the id.', array_to_string(v_ids, ', '));
    END IF;
    RETURN v_ids[1];
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_id(text) IS
'The id of the job of this name. Raises 42704 if there is none, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_name(p_job_id bigint)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT j.jobname INTO v_name FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no job with the id %', p_job_id USING ERRCODE = 'undefined_object',
            DETAIL = 'The table pgagent.pga_job lists the jobs of this database.';
    END IF;
    RETURN v_name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_name(bigint) IS
'The name of the job with this id. Raises 42704 if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_found(p_job_id bigint, p_if_exists boolean)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_if_exists AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id) THEN
        RAISE NOTICE 'pgagent: there is no job with the id %, skipping', p_job_id;
        RETURN NULL;
    END IF;
    PERFORM pgagent.pga_job_to_write(p_job_id);
    RETURN p_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_found(bigint, boolean) IS
'The id of a job that is to be changed; if there is none, and p_if_exists is true, NULL and a NOTICE. Raises else what pga_job_to_write() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_found(p_job text, p_if_exists boolean)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_if_exists AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = p_job) THEN
        RAISE NOTICE 'pgagent: there is no job "%", skipping', p_job;
        RETURN NULL;
    END IF;
    RETURN pgagent.pga_job_found(pgagent.pga_job_id(p_job), false);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_found(text, boolean) IS
'The id of the job of this name, which is to be changed; if there is none, and p_if_exists is true, NULL and a NOTICE. Raises else what pga_job_id() and pga_job_to_write() do.';

CREATE OR REPLACE FUNCTION pgagent.pga_on_conflict(p_where text, p_on_conflict text)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lower(p_on_conflict) NOT IN ('error', 'nothing', 'replace') THEN
        PERFORM pgagent.pga_refuse(p_where || '(on_conflict)', format('"%s" is not known', p_on_conflict),
            'Known are error, nothing (leave the one that is there) and replace (have it be what is given).'::text);
    END IF;
    RETURN COALESCE(lower(p_on_conflict), 'error');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_on_conflict(text, text) IS
'What a function is to do if what it would make is there already: error, the default, nothing or replace. Raises 22023 for another word.';

CREATE OR REPLACE FUNCTION pgagent.pga_owner_given(p_where text, p_owner text, p_username text)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_owner <> p_username THEN
        PERFORM pgagent.pga_refuse(p_where || '(owner, username)', format('two owners: "%s" and "%s"', p_owner, p_username),
            'The username, as pg_cron takes it, is the owner; one of the two is enough.'::text);
    ELSIF octet_length(COALESCE(p_owner, p_username)) > 63 THEN
        PERFORM pgagent.pga_refuse(p_where || '(owner)', format('"%s" is too long', left(COALESCE(p_owner, p_username), 70)),
            'Names of roles have 63 bytes at most.'::text);
    ELSIF p_username = current_user AND (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        RAISE NOTICE 'pgagent: the job has no owner, and runs with the login of the runner: "%" is a superuser', p_username;
        RETURN '';
    END IF;
    RETURN COALESCE(p_owner, p_username);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_owner_given(text, text, text) IS
'The owner that a job is to have, by the arguments owner and username of the function p_where: '''' for nobody, NULL for no change. A username that is the current user''s, who is a superuser, stands for nobody, with a NOTICE. Raises 22023 for two owners, or a name that is too long.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_span(p_where text, p_span interval)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_span < interval '0' THEN
        PERFORM pgagent.pga_refuse(p_where, format('"%s" is not a span of time', p_span),
            'Wanted is how long, such as ''90 seconds''; 0 stands for no limit.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_span(text, interval) IS
'Raises 22023 for a span of time that is negative.';

CREATE OR REPLACE FUNCTION pgagent.pga_check_rules(
    p_timeout interval, p_overlap text, p_missed text, p_missed_limit interval, p_keep_for interval, p_keep_runs integer,
    p_late_after interval, p_long_after interval, p_long_factor double precision, p_disable_after integer
)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_check_span('timeout'::text, p_timeout),
            pgagent.pga_check_span('missed_limit'::text, p_missed_limit),
            pgagent.pga_check_span('keep_for'::text, p_keep_for),
            pgagent.pga_check_span('late_after'::text, p_late_after),
            pgagent.pga_check_span('long_after'::text, p_long_after);
    IF p_overlap NOT IN ('skip', 'queue') THEN
        PERFORM pgagent.pga_refuse('overlap'::text, format('"%s" is not known', p_overlap), 'Known are skip and queue.'::text);
    ELSIF p_missed NOT IN ('latest', 'skip', 'all') THEN
        PERFORM pgagent.pga_refuse('missed'::text, format('"%s" is not known', p_missed), 'Known are latest, skip and all.'::text);
    ELSIF p_keep_runs < 0 THEN
        PERFORM pgagent.pga_refuse('keep_runs'::text, format('%s is out of range', p_keep_runs), 'Wanted is a number of runs; 0 stands for all.'::text);
    ELSIF p_long_factor <> 0 AND (p_long_factor < 1 OR p_long_factor >= 'infinity') THEN
        PERFORM pgagent.pga_refuse('long_factor'::text, format('%s is out of range', p_long_factor),
            'Wanted is a number from 1 on: how many times as long as usual; 0 stands for no limit.'::text);
    ELSIF p_disable_after < 0 THEN
        PERFORM pgagent.pga_refuse('disable_after'::text, format('%s is out of range', p_disable_after),
            'Wanted is a number of failures in a row; 0 stands for any.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_rules(interval, text, text, interval, interval, integer, interval, interval, double precision, integer) IS
'Raises 22023 for any rule of a job that is not allowed; NULL and 0 always are.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_set(
    p_job_id bigint, p_timeout interval, p_overlap text, p_missed text, p_missed_limit interval,
    p_keep_for interval, p_keep_runs integer,
    p_late_after interval, p_long_after interval, p_long_factor double precision, p_disable_after integer
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(p_job_id),
            pgagent.pga_check_rules(p_timeout, p_overlap, p_missed, p_missed_limit, p_keep_for, p_keep_runs,
                                    p_late_after, p_long_after, p_long_factor, p_disable_after);
    -- Not by one statement: who may set the first six by grants from before version 5.1 may
    -- go on doing so.
    IF num_nonnulls(p_late_after, p_long_after, p_long_factor, p_disable_after) > 0 THEN
        UPDATE pgagent.pga_job AS j
        SET jobtimeout = nullif(COALESCE(p_timeout, j.jobtimeout), interval '0'),
            joboverlap = COALESCE(p_overlap, j.joboverlap),
            jobmissed = COALESCE(p_missed, j.jobmissed),
            jobmissedlimit = nullif(COALESCE(p_missed_limit, j.jobmissedlimit), interval '0'),
            jobkeepfor = nullif(COALESCE(p_keep_for, j.jobkeepfor), interval '0'),
            jobkeepruns = nullif(COALESCE(p_keep_runs, j.jobkeepruns), 0),
            joblateafter = nullif(COALESCE(p_late_after, j.joblateafter), interval '0'),
            joblongafter = nullif(COALESCE(p_long_after, j.joblongafter), interval '0'),
            joblongfactor = nullif(COALESCE(p_long_factor, j.joblongfactor), 0),
            jobdisableafter = nullif(COALESCE(p_disable_after, j.jobdisableafter), 0)
        WHERE j.jobid = p_job_id;
    ELSIF num_nonnulls(p_timeout, p_overlap, p_missed, p_missed_limit, p_keep_for, p_keep_runs) > 0 THEN
        UPDATE pgagent.pga_job AS j
        SET jobtimeout = nullif(COALESCE(p_timeout, j.jobtimeout), interval '0'),
            joboverlap = COALESCE(p_overlap, j.joboverlap),
            jobmissed = COALESCE(p_missed, j.jobmissed),
            jobmissedlimit = nullif(COALESCE(p_missed_limit, j.jobmissedlimit), interval '0'),
            jobkeepfor = nullif(COALESCE(p_keep_for, j.jobkeepfor), interval '0'),
            jobkeepruns = nullif(COALESCE(p_keep_runs, j.jobkeepruns), 0)
        WHERE j.jobid = p_job_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_set(bigint, interval, text, text, interval, interval, integer, interval, interval, double precision, integer) IS
'Sets those of a job''s rules that are not NULL; 0 takes a limit away. Raises 22023 for anything that is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_conflict(p_name text, p_on_conflict text)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    IF p_on_conflict <> 'error' AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = p_name) THEN
        -- Names are not unique in pgAgent's tables: of several who make one job, the first does.
        PERFORM pg_advisory_xact_lock(hashtext('pgagent.create_job'), hashtext(p_name));
    END IF;
    SELECT min(j.jobid)::bigint INTO v_job_id FROM pgagent.pga_job AS j WHERE j.jobname = p_name;
    IF v_job_id IS NULL THEN
        RETURN NULL;
    ELSIF p_on_conflict = 'error' THEN
        RAISE EXCEPTION 'pgagent: there is a job "%" already', p_name USING ERRCODE = 'duplicate_object',
            DETAIL = format('Its id is %s.', v_job_id);
    END IF;
    RETURN pgagent.pga_job_id(p_name);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_conflict(text, text) IS
'The id of the job of this name, which is there already; NULL if there is none. Raises 42710 if p_on_conflict is error, else 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_column_default(p_column text)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(substring(d.expression FROM '^''([^'']*)'''), substring(d.expression FROM '^[0-9]+$'))
    FROM (
        SELECT pg_get_expr(f.adbin, f.adrelid) AS expression
        FROM pg_attrdef AS f
        JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
        WHERE f.adrelid = 'pgagent.pga_job'::regclass AND a.attname = $1
    ) AS d
$$;
COMMENT ON FUNCTION pgagent.pga_column_default(text) IS
'The default of this column of pga_job, a constant, as text; NULL if it has none.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_redefine(
    p_job_id bigint, p_description text, p_class_id integer, p_host text, p_enabled boolean, p_timeout interval,
    p_overlap text, p_missed text, p_missed_limit interval, p_keep_for interval, p_keep_runs integer,
    p_late_after interval, p_long_after interval, p_long_factor double precision, p_disable_after integer, p_owner text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(p_job_id);
    UPDATE pgagent.pga_job AS j
    SET jobdesc = n.description, jobjclid = p_class_id, jobhostagent = n.host, jobenabled = n.enabled,
        jobtimeout = n.timeout, joboverlap = n.overlap, jobmissed = n.missed, jobmissedlimit = n.missed_limit,
        jobkeepfor = n.keep_for, jobkeepruns = n.keep_runs, joblateafter = n.late_after, joblongafter = n.long_after,
        joblongfactor = n.long_factor, jobdisableafter = n.disable_after
    FROM (
        SELECT COALESCE(p_description, '') AS description, COALESCE(p_host, '') AS host, COALESCE(p_enabled, true) AS enabled,
               nullif(p_timeout, interval '0') AS timeout, COALESCE(p_overlap, 'skip') AS overlap,
               COALESCE(p_missed, 'latest') AS missed, nullif(p_missed_limit, interval '0') AS missed_limit,
               nullif(COALESCE(p_keep_for, pgagent.pga_column_default('jobkeepfor'::text)::interval), interval '0') AS keep_for,
               nullif(COALESCE(p_keep_runs, pgagent.pga_column_default('jobkeepruns'::text)::integer), 0) AS keep_runs,
               nullif(COALESCE(p_late_after, pgagent.pga_column_default('joblateafter'::text)::interval), interval '0') AS late_after,
               nullif(p_long_after, interval '0') AS long_after, nullif(p_long_factor, 0) AS long_factor,
               nullif(p_disable_after, 0) AS disable_after
    ) AS n
    WHERE j.jobid = p_job_id AND (
        j.jobdesc, j.jobjclid, j.jobhostagent, j.jobenabled, j.jobtimeout, j.joboverlap, j.jobmissed, j.jobmissedlimit,
        j.jobkeepfor, j.jobkeepruns, j.joblateafter, j.joblongafter, j.joblongfactor, j.jobdisableafter
    ) IS DISTINCT FROM (
        n.description, p_class_id, n.host, n.enabled, n.timeout, n.overlap, n.missed, n.missed_limit, n.keep_for, n.keep_runs,
        n.late_after, n.long_after, n.long_factor, n.disable_after
    );
    -- As PostgreSQL's CREATE OR REPLACE: whoever replaces what is another's does not get to own it,
    -- nor does what the other has written get to run as anybody else.
    UPDATE pgagent.pga_job AS j SET jobowner = nullif(p_owner, '')
    WHERE j.jobid = p_job_id AND p_owner IS NOT NULL AND j.jobowner IS DISTINCT FROM nullif(p_owner, '')::name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_redefine(bigint, text, integer, text, boolean, interval, text, text, interval, interval, integer, interval, interval, double precision, integer, text) IS
'Has a job be what create_job() would make with these arguments, where NULL stands for the default; an owner of NULL leaves it its owner. Writes nothing if nothing differs.';

CREATE OR REPLACE FUNCTION pgagent.create_job(
    name text, description text DEFAULT '', class text DEFAULT 'Miscellaneous',
    host text DEFAULT '', enabled boolean DEFAULT true, timeout interval DEFAULT NULL,
    overlap text DEFAULT 'skip', missed text DEFAULT 'latest', missed_limit interval DEFAULT NULL,
    keep_for interval DEFAULT NULL, keep_runs integer DEFAULT NULL, late_after interval DEFAULT NULL,
    long_after interval DEFAULT NULL, long_factor double precision DEFAULT NULL, disable_after integer DEFAULT NULL,
    owner text DEFAULT NULL, on_conflict text DEFAULT 'error'
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('create_job'::text, on_conflict);
    v_owner CONSTANT text := pgagent.pga_owner_given('create_job'::text, owner, NULL::text);
    v_job_id bigint;
    v_class_id integer;
BEGIN
    IF btrim(name) = '' OR name IS NULL THEN
        PERFORM pgagent.pga_refuse('create_job(name)'::text, 'is empty'::text, 'A name is wanted: it is how the other functions find the job.'::text);
    END IF;
    PERFORM pgagent.pga_check_rules(timeout, overlap, missed, missed_limit, keep_for, keep_runs,
                                    late_after, long_after, long_factor, disable_after);
    v_class_id := pgagent.pga_class_id(COALESCE(class, 'Miscellaneous'));
    v_job_id := pgagent.pga_job_conflict(name, v_conflict);
    IF v_conflict = 'replace' AND v_job_id IS NOT NULL THEN
        PERFORM pgagent.pga_job_redefine(v_job_id, description, v_class_id, host, enabled, timeout, overlap, missed,
                                         missed_limit, keep_for, keep_runs, late_after, long_after, long_factor,
                                         disable_after, v_owner);
    END IF;
    IF v_job_id IS NOT NULL THEN
        RETURN v_job_id;
    ELSIF v_owner IS NULL THEN
        INSERT INTO pgagent.pga_job (jobname, jobdesc, jobjclid, jobhostagent, jobenabled)
        VALUES (name, COALESCE(description, ''), v_class_id, COALESCE(host, ''), COALESCE(enabled, true))
        RETURNING jobid::bigint INTO v_job_id;
    ELSE
        INSERT INTO pgagent.pga_job (jobname, jobdesc, jobjclid, jobhostagent, jobenabled, jobowner)
        VALUES (name, COALESCE(description, ''), v_class_id, COALESCE(host, ''), COALESCE(enabled, true),
                nullif(v_owner, ''))
        RETURNING jobid::bigint INTO v_job_id;
    END IF;
    PERFORM pgagent.pga_job_set(v_job_id, timeout, overlap, missed, missed_limit, keep_for, keep_runs,
                                late_after, long_after, long_factor, disable_after);
    RETURN v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.create_job(text, text, text, text, boolean, interval, text, text, interval, interval, integer, interval, interval, double precision, integer, text, text) IS
'Creates a job without steps and schedules. host: the only host whose runner may execute it, empty for any. timeout: how long a run may take. overlap: what becomes of times that pass while it runs, skip or queue. missed: of those that pass while no runner can take it, latest (one run makes up for all), skip or all; missed_limit: how late a run may begin. keep_for, keep_runs: how long, and how many of, its runs are kept in the log. late_after: how long it may be due without having started before that is a problem, by default 5 minutes; long_after: how long a run may take before that is one; long_factor: how many times as long as usual, the 95th percentile of its latest hundred successful runs. disable_after: after how many failures in a row it is disabled. owner: the role that its steps run as, '''' for none: with the login of the runner; by default none, or the current user, if he may not use that. on_conflict: if there is a job of this name, error; nothing: it stays as it is; or replace: it gets these attributes, and of those that are not given the defaults, but keeps its owner unless one is given, its steps, schedules and log. Returns its id. Raises 42710 if there is a job of this name, 42P09 if there are several, 42704 if there is no such class or role, 42501 for an owner that the current user may not become, 22023 for anything else that is not allowed. Example: SELECT pgagent.create_job(''etl'', class => ''Data Import'').';

CREATE OR REPLACE FUNCTION pgagent.pga_check_new_name(p_where text, p_name text, p_taken boolean)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF btrim(p_name) = '' OR p_name IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where, 'is empty'::text, 'A name is wanted.'::text);
    ELSIF p_taken THEN
        RAISE EXCEPTION 'pgagent: %: there is another "%" already', p_where, p_name USING ERRCODE = 'duplicate_object',
            DETAIL = 'The functions find it by its name.';
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_new_name(text, text, boolean) IS
'Raises 22023 for a new name that is empty, 42710 for one that is taken, as p_taken says.';

CREATE OR REPLACE FUNCTION pgagent.rename_job(job_id bigint, new_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id),
            pgagent.pga_check_new_name('rename_job(new_name)'::text, new_name, EXISTS (
                SELECT FROM pgagent.pga_job AS j WHERE j.jobname = new_name AND j.jobid <> job_id));
    UPDATE pgagent.pga_job AS j SET jobname = new_name WHERE j.jobid = job_id AND j.jobname <> new_name;
END;
$$;
COMMENT ON FUNCTION pgagent.rename_job(bigint, text) IS
'Gives a job another name. Its id, log and parts stay. Raises 42704 if there is no such job, 42710 if the new name is taken, 22023 if it is empty. Example: SELECT pgagent.rename_job(42, ''weekly report'').';

CREATE OR REPLACE FUNCTION pgagent.rename_job(job_name text, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.rename_job(pgagent.pga_job_id($1), $2) $$;
COMMENT ON FUNCTION pgagent.rename_job(text, text) IS
'As rename_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.rename_job(''etl'', ''load and report'').';

CREATE OR REPLACE FUNCTION pgagent.copy_job(job_id bigint, new_name text, enabled boolean DEFAULT false)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job pgagent.pga_job;
    v_schedule pgagent.pga_schedule;
    v_schedule_id bigint;
    v_new_id bigint;
BEGIN
    PERFORM pgagent.pga_job_name(job_id),
            pgagent.pga_check_new_name('copy_job(new_name)'::text, new_name, EXISTS (
                SELECT FROM pgagent.pga_job AS j WHERE j.jobname = new_name));
    SELECT j.* INTO v_job FROM pgagent.pga_job AS j WHERE j.jobid = job_id;
    v_new_id := pgagent.create_job(
        new_name, v_job.jobdesc, (SELECT c.jclname FROM pgagent.pga_jobclass AS c WHERE c.jclid = v_job.jobjclid),
        v_job.jobhostagent, COALESCE(enabled, false), v_job.jobtimeout, v_job.joboverlap, v_job.jobmissed, v_job.jobmissedlimit,
        -- Without a limit is not by default.
        COALESCE(v_job.jobkeepfor, interval '0'), COALESCE(v_job.jobkeepruns, 0),
        COALESCE(v_job.joblateafter, interval '0'), v_job.joblongafter, v_job.joblongfactor, v_job.jobdisableafter,
        NULL::text, 'error'::text
    );
    INSERT INTO pgagent.pga_jobstep
    SELECT r.* FROM (SELECT s FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id ORDER BY s.jstid) AS o (step)
    CROSS JOIN LATERAL jsonb_populate_record(o.step, jsonb_build_object(
        'jstid', nextval('pgagent.pga_jobstep_jstid_seq'::regclass), 'jstjobid', v_new_id
    )) AS r;
    FOR v_schedule IN SELECT s.* FROM pgagent.pga_schedule AS s WHERE s.jscjobid = job_id ORDER BY s.jscid LOOP
        v_schedule_id := nextval('pgagent.pga_schedule_jscid_seq'::regclass);
        INSERT INTO pgagent.pga_schedule
        SELECT r.* FROM jsonb_populate_record(v_schedule, jsonb_build_object('jscid', v_schedule_id, 'jscjobid', v_new_id)) AS r;
        INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
        SELECT v_schedule_id, e.jexdate, e.jextime
        FROM pgagent.pga_exception AS e WHERE e.jexscid = v_schedule.jscid ORDER BY e.jexid;
    END LOOP;
    RETURN v_new_id;
END;
$$;
COMMENT ON FUNCTION pgagent.copy_job(bigint, text, boolean) IS
'Makes a job of another name with the attributes, steps, schedules and exceptions of a job, disabled unless it is told otherwise. Its owner is that of a new job: see create_job(). Returns the id. Raises 42704 if there is no such job, 42710 if the new name is taken, 22023 if it is empty, 42501 for a step that the current user may not have. Example: SELECT pgagent.copy_job(42, ''report of the year'').';

CREATE OR REPLACE FUNCTION pgagent.copy_job(job_name text, new_name text, enabled boolean DEFAULT false)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.copy_job(pgagent.pga_job_id($1), $2, $3) $$;
COMMENT ON FUNCTION pgagent.copy_job(text, text, boolean) IS
'As copy_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.copy_job(''etl'', ''etl of the test data'').';

CREATE OR REPLACE FUNCTION pgagent.pga_class_id(p_class text)
RETURNS integer LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class_id integer;
BEGIN
    SELECT c.jclid INTO v_class_id FROM pgagent.pga_jobclass AS c WHERE c.jclname = p_class;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no job class "%"', p_class USING ERRCODE = 'undefined_object',
            DETAIL = 'Classes are ' || (SELECT string_agg(format('"%s"', c.jclname), ', ' ORDER BY c.jclid)
                                        FROM pgagent.pga_jobclass AS c) || '.';
    END IF;
    RETURN v_class_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_id(text) IS
'The id of the job class of this name. Raises 42704 if there is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_make(
    p_name text, p_schedule text, p_kind text, p_command text, p_database text, p_timezone text,
    p_active boolean
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schedule pgagent.pga_schedule;
    v_job_id bigint;
BEGIN
    -- What can't be read costs no id. A loop, for an expression would put its text into the
    -- context of errors.
    FOR v_schedule IN SELECT * FROM pgagent.pga_schedule_parsed(p_schedule, p_timezone, now()) LOOP
        EXIT WHEN v_schedule.jscenabled;
    END LOOP;
    v_job_id := pgagent.create_job(
        p_name, ''::text, 'Miscellaneous'::text, ''::text, p_active, NULL::interval,
        'skip'::text, 'latest'::text, NULL::interval, NULL::interval, NULL::integer,
        NULL::interval, NULL::interval, NULL::double precision, NULL::integer, NULL::text, 'error'::text
    );
    PERFORM pgagent.pga_add_command(v_job_id, p_command, p_kind, p_database);
    -- PERFORM would put its text into the context of errors.
    RETURN CASE WHEN pgagent.add_schedule(
        v_job_id, p_schedule, NULL::text, p_timezone, NULL::timestamptz, NULL::timestamptz, true, ''::text, 'error'::text
    ) IS NOT NULL THEN v_job_id END;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_make(text, text, text, text, text, text, boolean) IS
'Makes a job of one command, of kind sql or batch, and one schedule. Returns its id. Raises what create_job(), add_step() and add_schedule() do.';

CREATE OR REPLACE FUNCTION pgagent.pga_job_alter(
    p_job_id bigint, p_schedule text, p_command text, p_database text, p_username text, p_active boolean,
    p_name text, p_description text, p_class text, p_host text, p_timezone text, p_timeout interval,
    p_overlap text, p_missed text, p_missed_limit interval, p_keep_for interval, p_keep_runs integer,
    p_late_after interval, p_long_after interval, p_long_factor double precision, p_disable_after integer,
    p_owner text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_steps CONSTANT bigint := (SELECT count(*) FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id);
    v_owner CONSTANT text := pgagent.pga_owner_given('alter_job'::text, p_owner, p_username);
BEGIN
    PERFORM pgagent.pga_job_name(p_job_id),
            pgagent.pga_check_timezone(p_timezone, 'alter_job(timezone)'::text);
    IF btrim(p_name) = '' THEN
        PERFORM pgagent.pga_refuse('alter_job(name)'::text, 'is empty'::text, 'A name is wanted: it is how the other functions find the job.'::text);
    ELSIF btrim(p_command) = '' THEN
        PERFORM pgagent.pga_refuse('alter_job(command)'::text, 'is empty'::text, 'SQL commands or a script are wanted.'::text);
    ELSIF octet_length(p_database) > 63 THEN
        PERFORM pgagent.pga_refuse('alter_job(database)'::text, format('"%s" is too long', left(p_database, 70)), 'Names of databases have 63 bytes at most.'::text);
    ELSIF p_name <> pgagent.pga_job_name(p_job_id)
       AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = p_name) THEN
        RAISE EXCEPTION 'pgagent: there is a job "%" already', p_name USING ERRCODE = 'duplicate_object',
            DETAIL = 'The functions find a job by its name.';
    ELSIF (p_command IS NOT NULL OR p_database IS NOT NULL) AND v_steps <> 1 THEN
        RAISE EXCEPTION 'pgagent: job % has % steps: which one is to get the command?', p_job_id, v_steps
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'command and database are for jobs of one step; change the rows of pga_jobstep instead.';
    END IF;

    UPDATE pgagent.pga_job AS j
    SET jobname = COALESCE(p_name, j.jobname), jobdesc = COALESCE(p_description, j.jobdesc),
        jobjclid = CASE WHEN p_class IS NULL THEN j.jobjclid ELSE pgagent.pga_class_id(p_class) END,
        jobhostagent = COALESCE(p_host, j.jobhostagent), jobenabled = COALESCE(p_active, j.jobenabled)
    WHERE j.jobid = p_job_id
          AND (num_nonnulls(p_name, p_description, p_class, p_host) > 0 OR j.jobenabled <> p_active);
    UPDATE pgagent.pga_job AS j SET jobowner = nullif(v_owner, '') WHERE j.jobid = p_job_id AND v_owner IS NOT NULL;
    PERFORM pgagent.pga_job_set(p_job_id, p_timeout, p_overlap, p_missed, p_missed_limit, p_keep_for, p_keep_runs,
                                p_late_after, p_long_after, p_long_factor, p_disable_after);
    UPDATE pgagent.pga_jobstep AS s
    SET jstcode = COALESCE(p_command, s.jstcode),
        jstdbname = CASE WHEN s.jstkind = 's' AND s.jstconnstr = '' THEN COALESCE(p_database, s.jstdbname)
                         ELSE s.jstdbname END
    WHERE s.jstjobid = p_job_id
          -- A script for pg_cron that is replayed writes nothing.
          AND (s.jstcode <> p_command OR s.jstkind = 's' AND s.jstconnstr = '' AND s.jstdbname <> p_database);
    IF p_schedule IS NOT NULL THEN
        PERFORM pgagent.pga_schedule_replace(p_job_id, p_schedule, p_timezone);
    ELSIF p_timezone IS NOT NULL THEN
        UPDATE pgagent.pga_schedule SET jsctimezone = p_timezone WHERE jscjobid = p_job_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_alter(bigint, text, text, text, text, boolean, text, text, text, text, text, interval, text, text, interval, interval, integer, interval, interval, double precision, integer, text) IS
'Does what alter_job() says.';

CREATE OR REPLACE FUNCTION pgagent.drop_job(job_id bigint, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id CONSTANT bigint := pgagent.pga_job_found(job_id, if_exists);
BEGIN
    DELETE FROM pgagent.pga_job AS j WHERE j.jobid = v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.drop_job(bigint, boolean) IS
'Deletes a job with its steps, schedules and log. Raises 42704 if there is none; a NOTICE, if if_exists is true. Example: SELECT pgagent.drop_job(42).';

CREATE OR REPLACE FUNCTION pgagent.drop_job(job_name text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id CONSTANT bigint := pgagent.pga_job_found(job_name, if_exists);
BEGIN
    DELETE FROM pgagent.pga_job AS j WHERE j.jobid = v_job_id;
END;
$$;
COMMENT ON FUNCTION pgagent.drop_job(text, boolean) IS
'As drop_job() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_job(''nightly-vacuum'', if_exists => true).';
