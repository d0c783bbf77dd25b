-- export.sql: what the tables hold, as a document.

CREATE OR REPLACE FUNCTION pgagent.pga_file_shown(p_object text, p_attributes jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_defaults CONSTANT jsonb := pgagent.pga_file_defaults(p_object);
BEGIN
    RETURN (
        SELECT jsonb_object_agg(a.attribute, CASE WHEN p_attributes -> a.attribute <> 'null' THEN p_attributes -> a.attribute
                                                  WHEN a.kind IN ('count', 'factor') THEN '0' ELSE '"0"' END)
        FROM pgagent.pga_file_attributes() AS a
        WHERE a.object = p_object AND p_attributes ? a.attribute
              -- Said as well where another server would take another value.
              AND (a.fallback IS NULL OR p_attributes -> a.attribute <> a.fallback OR v_defaults -> a.attribute <> a.fallback)
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_shown(text, jsonb) IS
'Of these attributes those that are not what they would be if nothing were said.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_says(p_text text, p_timezone text)
RETURNS SETOF text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF length(p_text) > 1000 OR p_text !~ '^[[:space:]]*[0-9*@]' THEN
        RETURN;     -- mostly a name that was given
    END IF;
    RETURN QUERY
    SELECT pgagent.pga_file_schedule_text(s) FROM pgagent.pga_schedule_parsed(p_text, p_timezone, now()) AS s
    WHERE s.jsctimezone = p_timezone;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_says(text, text) IS
'The schedules, in their only spelling, that this text is in this time zone; nothing if it is none.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_schedules(p_job_id integer)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH part AS MATERIALIZED (
            SELECT row_number() OVER () AS place, p.name, p.nth, p.attributes,
                   (SELECT jsonb_agg(DISTINCT e.exception) FROM pgagent.pga_file_exceptions(p.id) AS e) AS exceptions
            FROM pgagent.pga_file_parts(p_job_id, 'schedule'::text) AS p
        ), named AS (
            -- All of one name: its rows may be those that one text, their name, stands for.
            SELECT p.name,
                   array_agg(p.attributes ->> 'schedule' ORDER BY p.nth)
                       = ARRAY(SELECT pgagent.pga_file_says(p.name, min(p.attributes ->> 'timezone')))
                   AND count(DISTINCT p.attributes - 'schedule') = 1
                   AND count(DISTINCT COALESCE(p.exceptions, '[]')) = 1 AS is_said
            FROM part AS p GROUP BY p.name
        )
        SELECT jsonb_agg(
            CASE WHEN n.is_said THEN s.shown - 'name' || jsonb_build_object('schedule', p.name) ELSE s.shown END
            -- The text of one time names the zone.
            - CASE WHEN p.attributes ->> 'schedule' LIKE '@at %' AND NOT n.is_said
                        AND right(p.attributes ->> 'schedule', 1) <> 'Z' THEN 'timezone' ELSE '' END
            || CASE WHEN p.exceptions IS NULL THEN '{}' ELSE jsonb_build_object('exceptions', (
                SELECT jsonb_agg(e.value ORDER BY e.value ->> 'date', e.value ->> 'time') FROM jsonb_array_elements(p.exceptions) AS e)) END
            ORDER BY p.place)
        FROM part AS p JOIN named AS n ON n.name = p.name
        CROSS JOIN LATERAL pgagent.pga_file_shown('schedule'::text, p.attributes) AS s (shown)
        WHERE p.nth = 1 OR NOT n.is_said
    );
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_schedules(integer) IS
'The schedules of a job as a document has them; NULL if there are none.';

CREATE OR REPLACE FUNCTION pgagent.pga_file_steps(p_job pgagent.pga_job)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_steps jsonb := '[]'::jsonb;
    v_step record;
BEGIN
    FOR v_step IN SELECT p.name, p.attributes, p.image ->> 'jstconnstr' AS conninfo FROM pgagent.pga_file_parts(p_job.jobid, 'step'::text) AS p LOOP
        IF v_step.attributes ->> 'conninfo' <> v_step.conninfo THEN
            RAISE NOTICE 'pgagent: the password of step "%" of job "%" is not exported', left(v_step.name, 100), left(p_job.jobname, 100)
                USING DETAIL = 'apply_jobs() keeps the one that is there. Where there is none, enter it in pga_jobstep.jstconnstr, or have the runner find it: in .pgpass, a service (service=NAME), or a file (passfile=secrets/NAME).';
        END IF;
        v_steps := v_steps || (pgagent.pga_file_shown('step'::text, v_step.attributes)
            -- Its database is always that of the jobs, whatever its name is.
            - CASE v_step.attributes ->> 'mode' WHEN 'atomic' THEN 'database' ELSE '' END);
    END LOOP;
    RETURN nullif(v_steps, '[]');
END;
$$;
COMMENT ON FUNCTION pgagent.pga_file_steps(pgagent.pga_job) IS
'The steps of a job as a document has them, with a NOTICE for each that has a password; NULL if there are none.';

CREATE OR REPLACE FUNCTION pgagent.export_jobs(jobs text[] DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_missing CONSTANT text := (
        SELECT min(n.name) FROM unnest(jobs) AS n (name)
        WHERE NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = n.name)
    );
    v_jobs jsonb := '[]'::jsonb;
    v_classes jsonb;
    v_sets text[] := ARRAY[]::text[];
    v_job pgagent.pga_job;
BEGIN
    IF v_missing IS NOT NULL THEN
        PERFORM pgagent.pga_job_id(v_missing);      -- says that there is none, and which there are
    END IF;
    FOR v_job IN
        SELECT j.* FROM pgagent.pga_job AS j WHERE jobs IS NULL OR j.jobname = ANY (jobs) ORDER BY j.jobname COLLATE "C", j.jobid
    LOOP
        v_sets := v_sets || COALESCE(v_job.jobset, '');
        v_jobs := v_jobs || (
            pgagent.pga_file_shown('job'::text, pgagent.pga_file_of('job'::text, to_jsonb(v_job)))
            || jsonb_strip_nulls(jsonb_build_object('steps', pgagent.pga_file_steps(v_job), 'schedules', pgagent.pga_file_schedules(v_job.jobid)))
        );
    END LOOP;
    SELECT jsonb_agg(pgagent.pga_file_shown('class'::text, pgagent.pga_file_of('class'::text, to_jsonb(c))) ORDER BY c.jclname COLLATE "C") INTO v_classes
    FROM pgagent.pga_jobclass AS c
    -- Every server has the others.
    WHERE (c.jclname NOT IN ('Routine Maintenance', 'Data Import', 'Data Export', 'Data Summarisation', 'Miscellaneous')
           OR to_jsonb(c) ->> 'jcllimit' IS NOT NULL)
          AND (jobs IS NULL OR EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobjclid = c.jclid AND j.jobname = ANY (jobs)));
    RETURN jsonb_build_object('format', 1, 'jobs', v_jobs)
           || CASE WHEN v_classes IS NULL THEN '{}' ELSE jsonb_build_object('classes', v_classes) END
           || CASE WHEN v_sets[1] <> '' AND v_sets[1] = ALL (v_sets) THEN jsonb_build_object('set', v_sets[1]) ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION pgagent.export_jobs(text[]) IS
'The definitions of these jobs, or of all that the caller may see, as a document that apply_jobs() takes, here or on another server: classes, jobs, steps, schedules and exceptions, without ids, log and passwords; the latter with a NOTICE for each step. Attributes that have their defaults are left out (docs/files.md). Raises 42704 if there is no job of one of these names. Example: SELECT jsonb_pretty(pgagent.export_jobs(''{etl}'')).';
