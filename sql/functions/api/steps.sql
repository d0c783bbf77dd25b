-- steps.sql: the steps of a job, by their names or ids.

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

CREATE OR REPLACE FUNCTION pgagent.pga_job_lock(p_job_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What is written next would lock it in any case: its change is one of the job.
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id FOR NO KEY UPDATE;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_job_lock(bigint) IS
'Waits until nobody else is adding parts to this job: of several who add the same, the first does.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_named(p_job_id bigint, p_step text)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT bigint[] := ARRAY(
        SELECT s.jstid::bigint FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id AND s.jstname = p_step ORDER BY s.jstid
    );
BEGIN
    IF cardinality(v_ids) > 1 THEN
        RAISE EXCEPTION 'pgagent: % steps of job "%" have the name "%"', cardinality(v_ids), pgagent.pga_job_name(p_job_id), p_step
            USING ERRCODE = 'ambiguous_alias',
                  DETAIL = format('Their ids are %s; use the id.', array_to_string(v_ids, ', '));
    END IF;
    RETURN v_ids[1];
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_named(bigint, text) IS
'The id of the step of a job that has this name, NULL if none has. Raises 42P09 if several have it.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_found(p_job_id bigint, p_step text, p_if_exists boolean)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_step_id CONSTANT bigint := pgagent.pga_jobstep_named(p_job_id, p_step);
BEGIN
    IF v_step_id IS NOT NULL OR p_job_id IS NULL THEN
        RETURN v_step_id;
    ELSIF p_if_exists THEN
        RAISE NOTICE 'pgagent: job "%" has no step "%", skipping', pgagent.pga_job_name(p_job_id), p_step;
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'pgagent: job "%" has no step "%"', pgagent.pga_job_name(p_job_id), p_step
        USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its steps are ' || (
            SELECT string_agg(format('"%s"', s.jstname), ', ' ORDER BY s.jstname)
            FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id) || '.', 'It has no steps.');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_found(bigint, text, boolean) IS
'The id of the step of a job that has this name; if there is none, and p_if_exists is true, NULL and a NOTICE. NULL if the job is NULL. Raises else 42704 if there is none, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_found(p_job_id bigint, p_step_id bigint, p_if_exists boolean)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_job_id IS NULL OR EXISTS (SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_step_id AND s.jstjobid = p_job_id) THEN
        RETURN CASE WHEN p_job_id IS NOT NULL THEN p_step_id END;
    ELSIF p_if_exists THEN
        RAISE NOTICE 'pgagent: job "%" has no step with the id %, skipping', pgagent.pga_job_name(p_job_id), p_step_id;
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'pgagent: job "%" has no step with the id %', pgagent.pga_job_name(p_job_id), p_step_id
        USING ERRCODE = 'undefined_object', DETAIL = COALESCE('Its steps are ' || (
            SELECT string_agg(format('%s "%s"', s.jstid, s.jstname), ', ' ORDER BY s.jstid)
            FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id) || '.', 'It has no steps.');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_found(bigint, bigint, boolean) IS
'The id of a step, if it is one of this job; if not, and p_if_exists is true, NULL and a NOTICE. NULL if the job is NULL. Raises else 42704.';

-- What is not given is as in p_base: the defaults of a new step, or a step that is there.
CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_given(
    p_where text, p_base pgagent.pga_jobstep, p_name text, p_command text, p_kind text, p_database text,
    p_conninfo text, p_on_error text, p_enabled boolean, p_description text, p_mode text, p_timeout interval,
    p_retries integer, p_retry_delay interval, p_retry_backoff double precision, p_retry_on text[], p_run_as text
)
RETURNS pgagent.pga_jobstep LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind CONSTANT record := pgagent.pga_kind_of_step(COALESCE(p_kind, p_base.jstkind::text));
    v_on_error CONSTANT text := (ARRAY['f', 'f', 's', 's', 'i', 'i'])[
        array_position('{fail,f,success,s,ignore,i}', lower(COALESCE(p_on_error, p_base.jstonerror::text)))];
    -- An SQL step has a database or a connection string, and the one that is given is what counts.
    v_conninfo CONSTANT text := CASE WHEN v_kind.letter <> 's' OR p_conninfo IS NULL AND p_database IS NOT NULL THEN ''
                                     ELSE COALESCE(p_conninfo, p_base.jstconnstr) END;
    v_database CONSTANT text := CASE WHEN v_kind.letter <> 's' OR v_conninfo <> '' THEN ''
                                     ELSE COALESCE(nullif(COALESCE(p_database, p_base.jstdbname::text), ''), current_database()) END;
BEGIN
    IF v_kind.letter IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(kind)', format('"%s" is not known', p_kind), v_kind.known);
    ELSIF v_on_error IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(on_error)', format('"%s" is not known', p_on_error), 'What a failing step can do is fail (the job), success (count as succeeded) and ignore.'::text);
    ELSIF octet_length(p_database) > 63 THEN
        PERFORM pgagent.pga_refuse(p_where || '(database)', format('"%s" is too long', left(p_database, 70)), 'Names of databases have 63 bytes at most.'::text);
    ELSIF v_kind.letter <> 's' AND num_nonnulls(nullif(p_database, ''), nullif(p_conninfo, '')) > 0 THEN
        PERFORM pgagent.pga_refuse(p_where || '(database, conninfo)', format('a %s step has no database', v_kind.word), 'Leave both out.'::text);
    ELSIF nullif(p_database, '') IS NOT NULL AND nullif(p_conninfo, '') IS NOT NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(database, conninfo)', 'one of the two is wanted'::text, 'The connection string names the database: dbname=...'::text);
    ELSIF octet_length(p_run_as) > 63 THEN
        PERFORM pgagent.pga_refuse(p_where || '(run_as)', format('"%s" is too long', left(p_run_as, 70)), 'Names of roles have 63 bytes at most.'::text);
    ELSIF btrim(p_command) = '' OR COALESCE(p_command, p_base.jstcode) IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(command)', 'is empty'::text, 'SQL commands or a script are wanted.'::text);
    ELSIF btrim(p_name) = '' OR COALESCE(p_name, p_base.jstname) IS NULL THEN
        PERFORM pgagent.pga_refuse(p_where || '(name)', 'is empty'::text, 'A name is wanted: steps run in the order of their names.'::text);
    END IF;
    PERFORM pgagent.pga_check_span(p_where || '(timeout)', p_timeout),
            pgagent.pga_check_span(p_where || '(retry_delay)', p_retry_delay);

    RETURN jsonb_populate_record(p_base, jsonb_build_object(
        'jstname', COALESCE(p_name, p_base.jstname), 'jstcode', COALESCE(p_command, p_base.jstcode),
        'jstkind', v_kind.letter, 'jstconnstr', v_conninfo, 'jstdbname', v_database, 'jstonerror', v_on_error,
        'jstenabled', COALESCE(p_enabled, p_base.jstenabled), 'jstdesc', COALESCE(p_description, p_base.jstdesc),
        'jstmode', CASE WHEN p_mode IS NULL AND v_kind.letter <> 's' THEN 'single' ELSE COALESCE(lower(p_mode), p_base.jstmode) END,
        'jsttimeout', nullif(COALESCE(p_timeout, p_base.jsttimeout), interval '0'),
        'jstretries', COALESCE(p_retries, p_base.jstretries), 'jstretrydelay', COALESCE(p_retry_delay, p_base.jstretrydelay),
        'jstretrybackoff', COALESCE(p_retry_backoff, p_base.jstretrybackoff),
        'jstretryon', CASE WHEN p_retry_on = '{}' AND p_base.jstid IS NOT NULL THEN NULL ELSE COALESCE(p_retry_on, p_base.jstretryon) END,
        'jstrunas', CASE WHEN p_run_as IS NULL THEN p_base.jstrunas::text ELSE nullif(p_run_as, '') END
    ));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_given(text, pgagent.pga_jobstep, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text) IS
'The step p_base with whatever is not NULL, as add_step() and alter_step() take it; p_where is the one of the two. Raises 22023 for what is not allowed.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_write(p_step_id bigint, p_step pgagent.pga_jobstep)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgagent.pga_jobstep AS s
    SET jstname = p_step.jstname, jstcode = p_step.jstcode, jstkind = p_step.jstkind, jstdbname = p_step.jstdbname,
        jstconnstr = p_step.jstconnstr, jstonerror = p_step.jstonerror, jstenabled = p_step.jstenabled,
        jstdesc = p_step.jstdesc, jstmode = p_step.jstmode, jsttimeout = p_step.jsttimeout,
        jstretries = p_step.jstretries, jstretrydelay = p_step.jstretrydelay,
        jstretrybackoff = p_step.jstretrybackoff, jstretryon = p_step.jstretryon
    WHERE s.jstid = p_step_id AND (
        s.jstname, s.jstcode, s.jstkind, s.jstdbname, s.jstconnstr, s.jstonerror, s.jstenabled, s.jstdesc, s.jstmode,
        s.jsttimeout, s.jstretries, s.jstretrydelay, s.jstretrybackoff, s.jstretryon
    ) IS DISTINCT FROM (
        p_step.jstname, p_step.jstcode, p_step.jstkind, p_step.jstdbname, p_step.jstconnstr, p_step.jstonerror,
        p_step.jstenabled, p_step.jstdesc, p_step.jstmode, p_step.jsttimeout, p_step.jstretries, p_step.jstretrydelay,
        p_step.jstretrybackoff, p_step.jstretryon
    );
    -- Apart: a role that is gone is no reason to refuse another change.
    UPDATE pgagent.pga_jobstep AS s SET jstrunas = p_step.jstrunas
    WHERE s.jstid = p_step_id AND s.jstrunas IS DISTINCT FROM p_step.jstrunas;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_write(bigint, pgagent.pga_jobstep) IS
'Has the step of this id be as given. Writes nothing if nothing differs.';

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_id bigint, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    on_conflict text DEFAULT 'error'
)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('add_step'::text, on_conflict);
    v_step pgagent.pga_jobstep;
    v_step_id bigint;
BEGIN
    PERFORM pgagent.pga_job_to_write(job_id);
    v_step := pgagent.pga_jobstep_given(
        'add_step'::text, jsonb_populate_record(NULL::pgagent.pga_jobstep, jsonb_build_object(
            'jstjobid', job_id, 'jstkind', 's', 'jstdbname', '', 'jstconnstr', '', 'jstonerror', 'f', 'jstenabled', true,
            'jstdesc', '', 'jstmode', 'single', 'jstretries', 0, 'jstretrydelay', '10 seconds', 'jstretrybackoff', 2
        )), name, command, COALESCE(kind, ''), database, conninfo, COALESCE(on_error, ''), enabled, description, mode,
        timeout, retries, retry_delay, retry_backoff, retry_on, run_as
    );
    IF v_conflict = 'error' OR pgagent.pga_jobstep_named(job_id, name) IS NULL THEN
        PERFORM pgagent.pga_job_lock(job_id);
    END IF;
    IF v_conflict = 'error' THEN
        SELECT min(s.jstid)::bigint INTO v_step_id FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id AND s.jstname = name;
        IF v_step_id IS NOT NULL THEN
            RAISE EXCEPTION 'pgagent: job "%" has a step "%" already', pgagent.pga_job_name(job_id), name
                USING ERRCODE = 'duplicate_object', DETAIL = format('Its id is %s.', v_step_id);
        END IF;
    END IF;
    v_step_id := pgagent.pga_jobstep_named(job_id, name);
    IF v_step_id IS NULL THEN
        INSERT INTO pgagent.pga_jobstep (
            jstjobid, jstname, jstcode, jstkind, jstdbname, jstconnstr, jstonerror, jstenabled, jstdesc,
            jstmode, jsttimeout, jstretries, jstretrydelay, jstretrybackoff, jstretryon, jstrunas
        ) VALUES (
            v_step.jstjobid, v_step.jstname, v_step.jstcode, v_step.jstkind, v_step.jstdbname, v_step.jstconnstr,
            v_step.jstonerror, v_step.jstenabled, v_step.jstdesc, v_step.jstmode, v_step.jsttimeout, v_step.jstretries,
            v_step.jstretrydelay, v_step.jstretrybackoff, v_step.jstretryon, v_step.jstrunas
        ) RETURNING jstid::bigint INTO v_step_id;
    ELSIF v_conflict = 'replace' THEN
        PERFORM pgagent.pga_jobstep_write(v_step_id, v_step);
    END IF;
    RETURN v_step_id;
END;
$$;
COMMENT ON FUNCTION pgagent.add_step(bigint, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'Adds a step to a job: kind sql (in a database of the runner''s server, by default this one, or anywhere by a connection string) or batch (a script). Steps run in the order of their names. on_error: fail, success or ignore. mode, for SQL: single (one query), autocommit (statement by statement: VACUUM, CREATE INDEX CONCURRENTLY) or atomic (in one transaction with its log row: exactly once). timeout: how long it may take. retries: how often it is tried again after one of retry_on (SQLSTATEs, exit codes, connection, timeout, any), first after retry_delay, then retry_backoff times as long. run_as: the role that it runs as, by default the owner of the job (allow_run_as()); the owner has to be a member of it. on_conflict: if the job has a step of this name, error; nothing: it stays as it is; or replace: it becomes what is given, and the defaults where nothing is. Returns the step''s id. Raises 42710 if the job has a step of this name, 42P09 if it has several, 42704 if there is no such job or role, 42501 for a role that the current user may not become, 22023 for anything else that is not allowed. Example: SELECT pgagent.add_step(42, ''3 disks'', ''df -h'', kind => ''batch'', on_error => ''ignore'').';

CREATE OR REPLACE FUNCTION pgagent.add_step(
    job_name text, name text, command text, kind text DEFAULT 'sql', database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT 'fail', enabled boolean DEFAULT true,
    description text DEFAULT '', mode text DEFAULT 'single', timeout interval DEFAULT NULL,
    retries integer DEFAULT 0, retry_delay interval DEFAULT '10 seconds',
    retry_backoff double precision DEFAULT 2, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    on_conflict text DEFAULT 'error'
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.add_step(pgagent.pga_job_id($1), $2, $3, $4, $5, $6, $7, $8, $9,
                            $10, $11, $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.add_step(text, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'As add_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.add_step(''etl'', ''1 load'', ''CALL load()'', on_conflict => ''replace'').';

CREATE OR REPLACE FUNCTION pgagent.pga_add_command(p_job_id bigint, p_command text, p_kind text, p_database text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.add_step(
        p_job_id, 'command'::text, p_command, p_kind, p_database, NULL::text, 'fail'::text, true, ''::text,
        NULL::text, NULL::interval, NULL::integer, NULL::interval, NULL::double precision, NULL::text[], NULL::text,
        'error'::text
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_add_command(bigint, text, text, text) IS
'Adds the only step of a job that is made of one command. Raises what add_step() does.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_alter(
    p_step_id bigint, p_command text, p_kind text, p_database text, p_conninfo text, p_on_error text, p_enabled boolean,
    p_description text, p_mode text, p_timeout interval, p_retries integer, p_retry_delay interval,
    p_retry_backoff double precision, p_retry_on text[], p_run_as text, p_name text
)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_step pgagent.pga_jobstep;
BEGIN
    SELECT s.* INTO v_step FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_step_id;
    IF p_name <> v_step.jstname THEN
        PERFORM pgagent.pga_job_lock(v_step.jstjobid::bigint);
        PERFORM pgagent.pga_check_new_name('alter_step(name)'::text, p_name, EXISTS (
            SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = v_step.jstjobid AND s.jstname = p_name));
    END IF;
    PERFORM pgagent.pga_jobstep_write(p_step_id, pgagent.pga_jobstep_given(
        'alter_step'::text, v_step, p_name, p_command, p_kind, p_database, p_conninfo, p_on_error, p_enabled, p_description,
        p_mode, p_timeout, p_retries, p_retry_delay, p_retry_backoff, p_retry_on, p_run_as
    ));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_alter(bigint, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'Changes whatever is not NULL of a step, as alter_step() says.';

CREATE OR REPLACE FUNCTION pgagent.alter_step(
    job_id bigint, step_name text, command text DEFAULT NULL, kind text DEFAULT NULL, database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT NULL, enabled boolean DEFAULT NULL,
    description text DEFAULT NULL, mode text DEFAULT NULL, timeout interval DEFAULT NULL,
    retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL,
    retry_backoff double precision DEFAULT NULL, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    name text DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_alter(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false),
                                  $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.alter_step(bigint, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'Changes whatever is not NULL of a step, as add_step() describes it; the rest stays. A database takes the place of a connection string, and the other way round; kind batch takes away both, and the mode. An empty string takes away description, connection string and run_as, a database of '''' is this one, 0 takes away the timeout, and {} has retry_on be the default. Raises 42704 if there is no such job, step or role, 42P09 if several have the name, 42710 if the new name is taken, 42501 for a role that the current user may not become, 22023 for anything else that is not allowed. Example: SELECT pgagent.alter_step(42, ''2 report'', timeout => ''5 minutes'', retries => 2).';

CREATE OR REPLACE FUNCTION pgagent.alter_step(
    job_id bigint, step_id bigint, command text DEFAULT NULL, kind text DEFAULT NULL, database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT NULL, enabled boolean DEFAULT NULL,
    description text DEFAULT NULL, mode text DEFAULT NULL, timeout interval DEFAULT NULL,
    retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL,
    retry_backoff double precision DEFAULT NULL, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    name text DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_alter(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false),
                                  $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.alter_step(bigint, bigint, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'As alter_step() with the step''s name. Example: SELECT pgagent.alter_step(job_id, step_id, enabled => false) FROM pgagent.steps WHERE step = ''2 report''.';

CREATE OR REPLACE FUNCTION pgagent.alter_step(
    job_name text, step_name text, command text DEFAULT NULL, kind text DEFAULT NULL, database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT NULL, enabled boolean DEFAULT NULL,
    description text DEFAULT NULL, mode text DEFAULT NULL, timeout interval DEFAULT NULL,
    retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL,
    retry_backoff double precision DEFAULT NULL, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    name text DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_alter(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false),
                                  $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.alter_step(text, text, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'As alter_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_step(''nightly-vacuum'', ''command'', ''VACUUM ANALYZE'').';

CREATE OR REPLACE FUNCTION pgagent.alter_step(
    job_name text, step_id bigint, command text DEFAULT NULL, kind text DEFAULT NULL, database text DEFAULT NULL,
    conninfo text DEFAULT NULL, on_error text DEFAULT NULL, enabled boolean DEFAULT NULL,
    description text DEFAULT NULL, mode text DEFAULT NULL, timeout interval DEFAULT NULL,
    retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL,
    retry_backoff double precision DEFAULT NULL, retry_on text[] DEFAULT NULL, run_as text DEFAULT NULL,
    name text DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_alter(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false),
                                  $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
$$;
COMMENT ON FUNCTION pgagent.alter_step(text, bigint, text, text, text, text, text, boolean, text, text, interval, integer, interval, double precision, text[], text, text) IS
'As alter_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.alter_step(job, step_id, on_error => ''ignore'') FROM pgagent.steps WHERE step = ''2 report''.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_rename(p_step_id bigint, p_new_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    SELECT s.jstjobid::bigint INTO v_job_id FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_step_id;
    PERFORM pgagent.pga_job_lock(v_job_id);
    PERFORM pgagent.pga_check_new_name('rename_step(new_name)'::text, p_new_name, EXISTS (
        SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = v_job_id AND s.jstname = p_new_name AND s.jstid <> p_step_id));
    UPDATE pgagent.pga_jobstep AS s SET jstname = p_new_name WHERE s.jstid = p_step_id AND s.jstname <> p_new_name;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_rename(bigint, text) IS
'Gives a step another name, as rename_step() says.';

CREATE OR REPLACE FUNCTION pgagent.rename_step(job_id bigint, step_name text, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_rename(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false), $3)
$$;
COMMENT ON FUNCTION pgagent.rename_step(bigint, text, text) IS
'Gives a step of a job another name, and with it another place: steps run in the order of their names. Raises 42704 if there is no such job or step, 42P09 if several have the name, 42710 if the new name is taken, 22023 if it is empty. Example: SELECT pgagent.rename_step(42, ''2 report'', ''9 report'').';

CREATE OR REPLACE FUNCTION pgagent.rename_step(job_id bigint, step_id bigint, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_rename(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false), $3)
$$;
COMMENT ON FUNCTION pgagent.rename_step(bigint, bigint, text) IS
'As rename_step() with the step''s name. Example: SELECT pgagent.rename_step(job_id, step_id, ''9 report'') FROM pgagent.steps WHERE step = ''2 report''.';

CREATE OR REPLACE FUNCTION pgagent.rename_step(job_name text, step_name text, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_rename(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false), $3)
$$;
COMMENT ON FUNCTION pgagent.rename_step(text, text, text) IS
'As rename_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.rename_step(''nightly-vacuum'', ''command'', ''vacuum'').';

CREATE OR REPLACE FUNCTION pgagent.rename_step(job_name text, step_id bigint, new_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_rename(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, false), $2, false), $3)
$$;
COMMENT ON FUNCTION pgagent.rename_step(text, bigint, text) IS
'As rename_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.rename_step(job, step_id, ''vacuum'') FROM pgagent.steps WHERE step = ''command''.';

CREATE OR REPLACE FUNCTION pgagent.pga_jobstep_drop(p_step_id bigint)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_step_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_jobstep_drop(bigint) IS
'Deletes a step; NULL: none.';

CREATE OR REPLACE FUNCTION pgagent.drop_step(job_id bigint, step_name text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_drop(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_step(bigint, text, boolean) IS
'Deletes a step of a job, and what the log says of its output. Raises 42704 if there is no such job or step; a NOTICE, if if_exists is true. Raises 42P09 if several have the name. Example: SELECT pgagent.drop_step(42, ''2 report'').';

CREATE OR REPLACE FUNCTION pgagent.drop_step(job_id bigint, step_id bigint, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_drop(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_step(bigint, bigint, boolean) IS
'As drop_step() with the step''s name. Example: SELECT pgagent.drop_step(job_id, step_id) FROM pgagent.steps WHERE step = ''2 report''.';

CREATE OR REPLACE FUNCTION pgagent.drop_step(job_name text, step_name text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_drop(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_step(text, text, boolean) IS
'As drop_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_step(''etl'', ''3 clean up'', if_exists => true).';

CREATE OR REPLACE FUNCTION pgagent.drop_step(job_name text, step_id bigint, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_jobstep_drop(pgagent.pga_jobstep_found(pgagent.pga_job_found($1, $3), $2, $3))
$$;
COMMENT ON FUNCTION pgagent.drop_step(text, bigint, boolean) IS
'As drop_step() with the job''s id; raises 42P09 if several jobs have this name. Example: SELECT pgagent.drop_step(job, step_id) FROM pgagent.steps WHERE step = ''command''.';

