-- classes.sql: classes of jobs, and how many of a class's jobs may run at once.

CREATE OR REPLACE FUNCTION pgagent.pga_check_class_limit(p_where text, p_limit integer)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_limit < 0 THEN
        PERFORM pgagent.pga_refuse(p_where, format('%s is out of range', p_limit),
            'Wanted is how many jobs of the class may run at once; 0 stands for no limit.'::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_check_class_limit(text, integer) IS
'Raises 22023 for a limit of jobs at once that is negative.';

-- In PL/pgSQL no parameter can be called limit.
CREATE OR REPLACE FUNCTION pgagent.pga_class_make(p_name text, p_limit integer, p_on_conflict text)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_conflict CONSTANT text := pgagent.pga_on_conflict('create_class'::text, p_on_conflict);
    v_limit CONSTANT integer := nullif(p_limit, 0);
    v_class_id bigint;
BEGIN
    PERFORM pgagent.pga_check_new_name('create_class(name)'::text, p_name, false),
            pgagent.pga_check_class_limit('create_class(limit)'::text, p_limit);
    INSERT INTO pgagent.pga_jobclass (jclname, jcllimit) VALUES (p_name, v_limit)
    ON CONFLICT (jclname) DO NOTHING RETURNING jclid::bigint INTO v_class_id;
    IF v_class_id IS NOT NULL THEN
        RETURN v_class_id;
    ELSIF v_conflict = 'error' THEN
        RAISE EXCEPTION 'pgagent: there is a job class "%" already', p_name USING ERRCODE = 'duplicate_object',
            DETAIL = format('Its id is %s.', pgagent.pga_class_id(p_name));
    ELSIF v_conflict = 'replace' THEN
        UPDATE pgagent.pga_jobclass AS c SET jcllimit = v_limit
        WHERE c.jclname = p_name AND c.jcllimit IS DISTINCT FROM v_limit;
    END IF;
    RETURN pgagent.pga_class_id(p_name)::bigint;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_make(text, integer, text) IS
'Creates a class, as create_class() says.';

CREATE OR REPLACE FUNCTION pgagent.create_class(
    name text, "limit" integer DEFAULT NULL, on_conflict text DEFAULT 'error'
)
RETURNS bigint LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_class_make($1, $2, $3) $$;
COMMENT ON FUNCTION pgagent.create_class(text, integer, text) IS
'Creates a class of jobs. limit: how many of its jobs may run at once, over all runners; 0 or NULL is no limit. on_conflict: if there is a class of this name, error; nothing: it stays as it is; or replace: it gets this limit. Returns its id. Raises 42710 if there is a class of this name, 22023 for a name that is empty or a limit that is negative. Example: SELECT pgagent.create_class(''Reports'', "limit" => 2).';

CREATE OR REPLACE FUNCTION pgagent.pga_class_alter(p_class text, p_limit integer, p_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class_id CONSTANT integer := pgagent.pga_class_id(p_class);
BEGIN
    PERFORM pgagent.pga_check_class_limit('alter_class(limit)'::text, p_limit);
    IF p_name <> p_class THEN
        PERFORM pgagent.pga_check_new_name('alter_class(name)'::text, p_name, EXISTS (
            SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclname = p_name));
    END IF;
    UPDATE pgagent.pga_jobclass AS c
    SET jclname = COALESCE(p_name, c.jclname), jcllimit = nullif(COALESCE(p_limit, c.jcllimit), 0)
    WHERE c.jclid = v_class_id
          AND (c.jclname, c.jcllimit) IS DISTINCT FROM (COALESCE(p_name, c.jclname), nullif(COALESCE(p_limit, c.jcllimit), 0));
END;
$$;
COMMENT ON FUNCTION pgagent.pga_class_alter(text, integer, text) IS
'Changes whatever is not NULL of a class, as alter_class() says.';

CREATE OR REPLACE FUNCTION pgagent.alter_class(
    class text, "limit" integer DEFAULT NULL, name text DEFAULT NULL
)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.pga_class_alter($1, $2, $3) $$;
COMMENT ON FUNCTION pgagent.alter_class(text, integer, text) IS
'Changes whatever is not NULL of a class of jobs: limit, how many of its jobs may run at once over all runners, where 0 takes the limit away, and its name. Raises 42704 if there is no such class, 42710 if the new name is taken, 22023 for a name that is empty or a limit that is negative. Example: SELECT pgagent.alter_class(''Data Import'', "limit" => 1).';

CREATE OR REPLACE FUNCTION pgagent.rename_class(class text, new_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class_id CONSTANT integer := pgagent.pga_class_id(class);
BEGIN
    PERFORM pgagent.pga_check_new_name('rename_class(new_name)'::text, new_name, EXISTS (
        SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclname = new_name AND c.jclid <> v_class_id));
    UPDATE pgagent.pga_jobclass AS c SET jclname = new_name WHERE c.jclid = v_class_id AND c.jclname <> new_name;
END;
$$;
COMMENT ON FUNCTION pgagent.rename_class(text, text) IS
'Gives a class of jobs another name; its jobs stay in it. Raises 42704 if there is no such class, 42710 if the new name is taken, 22023 if it is empty. Example: SELECT pgagent.rename_class(''Data Summarisation'', ''Reports'').';

CREATE OR REPLACE FUNCTION pgagent.drop_class(class text, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class_id integer;
    v_jobs text;
BEGIN
    IF if_exists AND NOT EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclname = class) THEN
        RAISE NOTICE 'pgagent: there is no job class "%", skipping', class;
        RETURN;
    END IF;
    v_class_id := pgagent.pga_class_id(class);
    SELECT string_agg(format('"%s"', j.jobname), ', ') INTO v_jobs FROM (
        SELECT o.jobname FROM pgagent.pga_job AS o WHERE o.jobjclid = v_class_id ORDER BY o.jobname LIMIT 10
    ) AS j;
    IF v_jobs IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: job class "%" has jobs', class USING ERRCODE = 'dependent_objects_still_exist',
            DETAIL = format('They are %s. alter_job(class => ...) gives a job another class.', v_jobs);
    END IF;
    DELETE FROM pgagent.pga_jobclass AS c WHERE c.jclid = v_class_id;
END;
$$;
COMMENT ON FUNCTION pgagent.drop_class(text, boolean) IS
'Deletes a class of jobs that has none. Raises 42704 if there is no such class; a NOTICE, if if_exists is true. Raises 2BP01 if it has jobs. Example: SELECT pgagent.drop_class(''Data Export'').';

