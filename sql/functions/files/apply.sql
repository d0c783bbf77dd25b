-- apply.sql: the differences between a document and the tables, listed and written.

CREATE OR REPLACE FUNCTION pgagent.pga_file_settle(p_object text, p_wanted jsonb, p_is jsonb, p_image jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wants jsonb := p_wanted -> 'attributes';
    v_conninfo text;
BEGIN
    IF p_object = 'step' THEN
        IF v_wants ->> 'conninfo' = '***' AND p_is ->> 'conninfo' IS DISTINCT FROM '***' THEN
            PERFORM pgagent.pga_refuse((p_wanted ->> 'where') || ', conninfo', 'the connection string is not in the document'::text,
                'What in it is a password could not be told. Write it anew.'::text);
        ELSIF p_is IS NULL AND v_wants ->> 'conninfo' ~ E'(password\\s*=\\s*''''|^[a-z]+://[^@/:]*:@)' THEN
            RAISE NOTICE 'pgagent: the password of step "%" is not in the document', left(p_wanted ->> 'name', 100)
                USING DETAIL = 'Enter it in pga_jobstep.jstconnstr, or have the runner find it: in .pgpass, a service (service=NAME), or a file (passfile=secrets/NAME).';
        END IF;
        v_conninfo := CASE WHEN p_is IS NULL THEN v_wants ->> 'conninfo'
            ELSE pgagent.pga_file_with_password(v_wants ->> 'conninfo', p_image ->> 'jstconnstr') END;
        v_wants := v_wants || jsonb_build_object('conninfo', pgagent.pga_file_conninfo(v_conninfo)
            || CASE WHEN v_conninfo <> p_image ->> 'jstconnstr' AND pgagent.pga_file_conninfo(v_conninfo) = p_is ->> 'conninfo'
                    THEN ' (another password)' ELSE '' END);
        RETURN p_wanted || jsonb_build_object('attributes', v_wants, 'image', (p_wanted -> 'image') || jsonb_build_object('jstconnstr', v_conninfo));
    ELSIF p_object = 'schedule' THEN
        IF NOT (p_wanted ->> 'has_start')::boolean THEN
            -- Without a start it begins when it is made, and so does one that has not begun.
            v_wants := v_wants || jsonb_build_object('start_at', CASE WHEN (p_is ->> 'start_at')::timestamptz <= now() THEN p_is ->> 'start_at' END);
        END IF;
        IF (p_image ->> 'jscat')::timestamptz <= now() AND p_is -> 'enabled' = 'false'
           AND p_is -> 'schedule' = v_wants -> 'schedule' AND p_is -> 'at' = v_wants -> 'at' THEN
            v_wants := v_wants || '{"enabled": false}';      -- it has run, or never will
        END IF;
        RETURN p_wanted || jsonb_build_object('attributes', v_wants);
    END IF;
    RETURN p_wanted;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_settle(text, jsonb, jsonb, jsonb) IS
'What is wanted of a step or schedule, with what is as it is now where the document leaves that open: passwords, a start. p_is and p_image: its attributes and its row today, NULL if there is none. Raises 22023 if the document lacks a connection string.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_difference(p_object text, p_is jsonb, p_wants jsonb)
RETURNS TABLE (attribute text, old text, new text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_was CONSTANT jsonb := COALESCE(p_is, pgagent.pga_file_defaults(p_object));
BEGIN
    RETURN QUERY
    SELECT a.attribute, p_is ->> a.attribute, p_wants ->> a.attribute
    FROM pgagent.pga_file_attributes() AS a
    WHERE a.object = p_object AND p_wants ? a.attribute AND a.attribute <> 'name'
          AND p_wants -> a.attribute IS DISTINCT FROM v_was -> a.attribute
    ORDER BY a.place;
    IF NOT FOUND AND p_is IS NULL THEN
        RETURN QUERY SELECT NULL::text, NULL::text, NULL::text;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_difference(text, jsonb, jsonb) IS
'The attributes in which what is wanted is not what there is; of what is to be made, those that are not as if nothing were said, or a row of NULLs.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_changes(p_object text, p_wanted jsonb, p_is jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wants CONSTANT jsonb := p_wanted -> 'attributes';
    v_image CONSTANT jsonb := p_wanted -> 'image';
    -- Fields that are but an image of something else are written by the table's trigger.
    v_by_fields CONSTANT boolean := num_nonnulls(v_image ->> 'jscevery', v_image ->> 'jscat', nullif(v_image ->> 'jscreboot', 'false')) = 0;
    v_changed text[];
BEGIN
    SELECT array_agg(a.attribute) INTO v_changed FROM pgagent.pga_file_attributes() AS a
    WHERE a.object = p_object AND v_wants ? a.attribute AND (p_is IS NULL OR p_is -> a.attribute <> v_wants -> a.attribute)
          AND NOT (p_is IS NULL AND COALESCE(p_wanted -> 'unsaid', '[]') ? a.attribute);
    RETURN (
        SELECT COALESCE(jsonb_object_agg(c.key, c.value), '{}') FROM jsonb_each(v_image) AS c
        WHERE EXISTS (SELECT FROM pgagent.pga_file_attributes() AS a
                      WHERE a.object = p_object AND a.column_name = c.key AND a.attribute = ANY (v_changed))
              OR p_object = 'schedule' AND v_changed && '{schedule,every,at}' AND (
                  c.key IN ('jscevery', 'jscat', 'jscreboot')
                  OR v_by_fields AND c.key IN ('jscminutes', 'jschours', 'jscweekdays', 'jscmonthdays', 'jscmonths'))
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_changes(text, jsonb, jsonb) IS
'The columns, with their new values, that have to be written for what is wanted to be.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_write(p_where text, p_object text, p_id integer, p_values jsonb)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table CONSTANT text := CASE p_object WHEN 'step' THEN 'pga_jobstep' WHEN 'class' THEN 'pga_jobclass' ELSE 'pga_' || p_object END;
    v_key CONSTANT text := CASE p_object WHEN 'job' THEN 'jobid' WHEN 'step' THEN 'jstid' WHEN 'schedule' THEN 'jscid'
                                         WHEN 'exception' THEN 'jexid' ELSE 'jclid' END;
    v_columns text;
    v_id integer;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    IF p_values IS NULL THEN
        CASE p_object
            WHEN 'job' THEN DELETE FROM pgagent.pga_job WHERE jobid = p_id;
            WHEN 'step' THEN DELETE FROM pgagent.pga_jobstep WHERE jstid = p_id;
            WHEN 'schedule' THEN DELETE FROM pgagent.pga_schedule WHERE jscid = p_id;
            ELSE DELETE FROM pgagent.pga_exception WHERE jexid = p_id;
        END CASE;
        RETURN NULL;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute AS a
    WHERE a.attrelid = format('pgagent.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND p_values ? a.attname::text;
    IF p_id IS NULL THEN
        EXECUTE format('INSERT INTO pgagent.%1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1) RETURNING %3$I', v_table, v_columns, v_key)
        INTO v_id USING p_values;
        RETURN v_id;
    ELSIF v_columns IS NOT NULL THEN
        EXECUTE format('UPDATE pgagent.%1$I SET (%2$s) = (SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1)) WHERE %3$I = $2', v_table, v_columns, v_key)
        USING p_values, p_id;
    END IF;
    RETURN p_id;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    PERFORM pgagent.pga_file_raise(p_where, v_state, v_message, v_detail, v_hint);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_write(text, text, integer, jsonb) IS
'Inserts or updates a row of a class, job, step, schedule or exception, or, if p_values is NULL, deletes it. Returns the id. Raises whatever is raised, with the place in the document.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_exceptions(p_wanted jsonb, p_id integer, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_exception record;
BEGIN
    FOR v_exception IN
        SELECT e.id, COALESCE(w.value, e.exception) AS is_about, w.value IS NOT NULL AS is_wanted
        FROM jsonb_array_elements(p_wanted -> 'exceptions') AS w (value)
        FULL JOIN pgagent.pga_file_exceptions(p_id) AS e ON e.exception = w.value
        WHERE w.value IS NULL OR e.exception IS NULL
        ORDER BY w.value IS NULL, COALESCE(w.value, e.exception) ->> 'date', COALESCE(w.value, e.exception) ->> 'time'
    LOOP
        RETURN QUERY
        SELECT format('exception %s of schedule %s', concat_ws(' ', v_exception.is_about ->> 'date', left(v_exception.is_about ->> 'time', 5)), p_wanted ->> 'name'),
               CASE WHEN v_exception.is_wanted THEN 'create' ELSE 'drop' END, NULL::text, NULL::text, NULL::text;
        IF p_writes THEN
            PERFORM pgagent.pga_file_write((p_wanted ->> 'where') || ', exceptions', 'exception'::text, v_exception.id, CASE WHEN v_exception.is_wanted
                THEN jsonb_build_object('jexscid', p_id, 'jexdate', v_exception.is_about -> 'date', 'jextime', v_exception.is_about -> 'time') END);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_exceptions(jsonb, integer, boolean) IS
'What has to be done for a schedule to have the exceptions that are wanted; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_part(p_object text, p_wanted jsonb, p_now jsonb, p_job_id integer, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is CONSTANT jsonb := p_now -> 'attributes';
    v_wanted jsonb;
    v_values jsonb;
    v_id integer := (p_now ->> 'id')::integer;
BEGIN
    v_wanted := pgagent.pga_file_settle(p_object, p_wanted, v_is, p_now -> 'image');
    v_values := pgagent.pga_file_changes(p_object, v_wanted, v_is);
    RETURN QUERY
    SELECT format('%s %s', p_object, p_wanted ->> 'name'), CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
    FROM pgagent.pga_file_difference(p_object, v_is, v_wanted -> 'attributes') AS d;
    IF v_values ->> 'jstrunas' IS NOT NULL THEN
        PERFORM pgagent.pga_role_id((p_wanted ->> 'where') || ', run_as', (v_values ->> 'jstrunas')::name, NULL::name, NULL::oid);
    END IF;
    IF p_writes AND v_values <> '{}' THEN
        v_id := pgagent.pga_file_write(p_wanted ->> 'where', p_object, v_id, v_values || CASE WHEN v_is IS NULL
            THEN jsonb_build_object(CASE p_object WHEN 'step' THEN 'jstjobid' ELSE 'jscjobid' END, p_job_id) ELSE '{}' END);
    END IF;
    IF p_object = 'schedule' THEN
        RETURN QUERY SELECT e.* FROM pgagent.pga_file_apply_exceptions(p_wanted, v_id, p_writes) AS e;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_part(text, jsonb, jsonb, integer, boolean) IS
'What has to be done for a step or schedule to be what is wanted; p_now: what it is, NULL if there is none; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_job(p_wanted jsonb, p_job_id integer, p_set text, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is CONSTANT jsonb := (SELECT pgagent.pga_file_of('job'::text, to_jsonb(j)) FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id);
    v_values jsonb := pgagent.pga_file_changes('job'::text, p_wanted || jsonb_build_object('image', pgagent.pga_file_columns('job'::text, p_wanted -> 'attributes')), v_is);
    v_id integer := p_job_id;
    v_part record;
BEGIN
    RETURN QUERY
    SELECT 'job', CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
    FROM pgagent.pga_file_difference('job'::text, v_is, p_wanted -> 'attributes') AS d;
    IF v_values ->> 'jobowner' IS NOT NULL THEN
        PERFORM pgagent.pga_role_id((p_wanted ->> 'where') || ', owner', (v_values ->> 'jobowner')::name, NULL::name, NULL::oid);
    END IF;
    IF v_is IS NULL AND p_set IS NOT NULL THEN
        v_values := v_values || jsonb_build_object('jobset', p_set);
    END IF;
    IF p_writes AND v_values <> '{}' THEN
        v_id := pgagent.pga_file_write(p_wanted ->> 'where', 'job'::text, p_job_id, v_values);
    END IF;
    FOR v_part IN
        SELECT o.object, p.* FROM (VALUES (1, 'step'::text), (2, 'schedule')) AS o (place, object)
        CROSS JOIN LATERAL (
            SELECT w.value AS wanted, n.id, to_jsonb(n) AS now, n.name, w.place
            FROM (SELECT e.value, e.place, e.value ->> 'name' AS name, row_number() OVER (PARTITION BY e.value ->> 'name' ORDER BY e.place) AS nth
                  FROM jsonb_array_elements(p_wanted -> o.object) WITH ORDINALITY AS e (value, place)) AS w
            FULL JOIN pgagent.pga_file_parts(p_job_id, o.object) AS n ON (n.name, n.nth) = (w.name, w.nth)
        ) AS p
        ORDER BY o.place, p.place IS NULL, p.place, p.id
    LOOP
        IF v_part.wanted IS NOT NULL THEN
            RETURN QUERY
            SELECT a.* FROM pgagent.pga_file_apply_part(v_part.object, v_part.wanted, nullif(v_part.now, '{}'), v_id, p_writes) AS a;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT format('%s %s', v_part.object, v_part.name), 'drop', NULL::text, NULL::text, NULL::text;
        IF p_writes THEN
            PERFORM pgagent.pga_file_write(p_wanted ->> 'where', v_part.object, v_part.id, NULL::jsonb);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_job(jsonb, integer, text, boolean) IS
'What has to be done for a job, with all its parts, to be what is wanted; p_job_id: NULL if it has to be made, as one of the set p_set; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_lock(p_job_id integer)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgagent.pga_job_to_write(p_job_id::bigint);
    -- In the order in which those who edit parts lock: the part, then the job.
    PERFORM FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = p_job_id ORDER BY s.jstid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_schedule AS s WHERE s.jscjobid = p_job_id ORDER BY s.jscid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id FOR NO KEY UPDATE;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_lock(integer) IS
'Has nobody else change this job or its steps and schedules. Raises 42501 if the caller may not, 42704 if the job is gone.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_apply_classes(p_classes jsonb, p_writes boolean)
RETURNS TABLE (object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_where text;
    v_names text[] := ARRAY[]::text[];
    v_given jsonb;
    v_wants jsonb;
    v_class pgagent.pga_jobclass;
    v_is jsonb;
    v_values jsonb;
BEGIN
    FOR i IN 1..COALESCE(jsonb_array_length(p_classes), 0) LOOP
        v_where := format('classes[%s]', i);
        v_given := pgagent.pga_file_part(v_where, 'class'::text, p_classes -> (i - 1));
        v_where := format('%s "%s"', v_where, left(v_given ->> 'name', 100));
        IF v_given ->> 'name' = ANY (v_names) THEN
            PERFORM pgagent.pga_refuse(v_where, 'is in the list already'::text, 'A class has one name and one limit.'::text);
        END IF;
        v_names := v_names || (v_given ->> 'name');
        v_wants := pgagent.pga_file_defaults('class'::text) || v_given;
        SELECT c.* INTO v_class FROM pgagent.pga_jobclass AS c WHERE c.jclname = v_given ->> 'name';
        v_is := CASE WHEN FOUND THEN pgagent.pga_file_of('class'::text, to_jsonb(v_class)) END;
        v_values := pgagent.pga_file_changes('class'::text, jsonb_build_object('attributes', v_wants, 'image', pgagent.pga_file_columns('class'::text, v_wants)), v_is);
        RETURN QUERY
        SELECT format('class %s', v_given ->> 'name'), CASE WHEN v_is IS NULL THEN 'create' ELSE 'alter' END, d.attribute, d.old, d.new
        FROM pgagent.pga_file_difference('class'::text, v_is, v_wants) AS d;
        IF p_writes AND v_values <> '{}' THEN
            PERFORM pgagent.pga_file_write(v_where, 'class'::text, v_class.jclid, v_values);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_apply_classes(jsonb, boolean) IS
'What has to be done for there to be these classes; p_writes: does it.';

CREATE OR REPLACE FUNCTION pgagent.apply_jobs(definition jsonb, prune boolean DEFAULT false, dry_run boolean DEFAULT false)
RETURNS TABLE (job text, object text, action text, attribute text, old text, new text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_writes CONSTANT boolean := dry_run IS NOT TRUE;
    v_given CONSTANT jsonb := pgagent.pga_file_part('apply_jobs(definition)'::text, 'definition'::text, definition);
    v_set CONSTANT text := nullif(v_given ->> 'set', '');
    v_classes text[];
    v_job record;
BEGIN
    IF v_given -> 'format' <> '1' THEN
        PERFORM pgagent.pga_refuse('apply_jobs(definition), format'::text, format('%s is not known', v_given ->> 'format'), 'Known is 1.'::text);
    ELSIF prune AND v_set IS NULL THEN
        PERFORM pgagent.pga_refuse('apply_jobs(prune)'::text, 'the definition names no set'::text,
            'What may be deleted are jobs that a definition of the same set has made: set = "...".'::text);
    END IF;
    IF v_writes THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('pgagent.apply_jobs', 0));
    END IF;
    RETURN QUERY SELECT NULL::text, c.* FROM pgagent.pga_file_apply_classes(v_given -> 'classes', v_writes) AS c;
    v_classes := ARRAY(SELECT c.value ->> 'name' FROM jsonb_array_elements(v_given -> 'classes') AS c);

    FOR v_job IN
        SELECT w.wanted, w.wanted ->> 'name' AS name, (
            SELECT j.jobid FROM pgagent.pga_job AS j WHERE j.jobname = w.wanted ->> 'name' ORDER BY j.jobid OFFSET w.nth - 1 LIMIT 1
        ) AS id
        FROM (
            -- Names need not be unique: jobs of one name are told by their order.
            SELECT e.place, row_number() OVER (PARTITION BY e.value ->> 'name' ORDER BY e.place) AS nth,
                   pgagent.pga_file_job_wanted(format('jobs[%s]', e.place), e.value, v_classes) AS wanted
            FROM jsonb_array_elements(v_given -> 'jobs') WITH ORDINALITY AS e (value, place)
        ) AS w
        ORDER BY w.place
    LOOP
        -- Whoever has nothing to change locks nothing.
        IF v_writes AND v_job.id IS NOT NULL AND EXISTS (SELECT FROM pgagent.pga_file_apply_job(v_job.wanted, v_job.id, v_set, false)) THEN
            PERFORM pgagent.pga_file_lock(v_job.id);
        END IF;
        RETURN QUERY SELECT v_job.name, a.* FROM pgagent.pga_file_apply_job(v_job.wanted, v_job.id, v_set, v_writes) AS a;
        -- Where nothing differs, the two definitions agree.
        IF FOUND AND v_set IS NOT NULL AND EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = v_job.id AND j.jobset <> v_set) THEN
            RAISE NOTICE 'pgagent: job "%" was made by a definition of another set', left(v_job.name, 100)
                USING DETAIL = format('Its set is "%s"; that of this definition is "%s".', (SELECT j.jobset FROM pgagent.pga_job AS j WHERE j.jobid = v_job.id), v_set);
        END IF;
    END LOOP;

    FOR v_job IN
        SELECT o.jobid AS id, o.jobname AS name
        FROM (SELECT j.jobid, j.jobname, j.jobset, row_number() OVER (PARTITION BY j.jobname ORDER BY j.jobid) AS nth FROM pgagent.pga_job AS j) AS o
        WHERE prune AND o.jobset = v_set
              AND o.nth > (SELECT count(*) FROM jsonb_array_elements(v_given -> 'jobs') AS e WHERE e.value ->> 'name' = o.jobname)
        ORDER BY o.jobname COLLATE "C", o.jobid
    LOOP
        IF v_writes THEN
            PERFORM pgagent.pga_file_lock(v_job.id),
                    pgagent.pga_file_write(format('job "%s"', left(v_job.name, 100)), 'job'::text, v_job.id, NULL::jsonb);
        END IF;
        RETURN QUERY SELECT v_job.name, 'job', 'drop', NULL::text, NULL::text, NULL::text;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.apply_jobs(jsonb, boolean, boolean) IS
'Has jobs be what a document of export_jobs(), or one that people have written (docs/files.md), says: makes, changes and drops classes, jobs and their parts, all or nothing. Jobs are told by their names. A job of the document is a whole: steps, schedules and exceptions that it does not have are dropped, what it leaves out gets its default. Jobs that it does not have stay; prune: but for those that a definition of the same set has made. Nothing is written that is so already; ids, log and passwords stay. dry_run: does nothing. Returns what is done: job, object (job, step ..., schedule ..., exception ..., class ...), action (create, alter or drop), and the attributes with their values before and after. Raises 22023, with the place and what is allowed, for what can''t be; 42704 if there is no such class or role; 42501 for what the caller may not change. Example: SELECT * FROM pgagent.apply_jobs(''{"format": 1, "jobs": [{"name": "new", "steps": [{"name": "1 load", "command": "CALL load()"}], "schedules": [{"schedule": "@daily"}]}]}'').';
