-- changes.sql: the history of definitions in words, and going back to what a job was.

CREATE OR REPLACE FUNCTION pgagent.pga_change_word(p_column text, p_value jsonb)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text CONSTANT text := p_value #>> '{}';
BEGIN
    -- An author could have had other things recorded of his job.
    IF p_column = 'exceptions' AND jsonb_typeof(p_value) = 'array' THEN
        RETURN (SELECT string_agg(concat_ws(' ', e.exception ->> 'jexdate', e.exception ->> 'jextime'), ', ' ORDER BY e.place)
                FROM jsonb_array_elements(p_value) WITH ORDINALITY AS e (exception, place));
    ELSIF jsonb_typeof(p_value) = 'object' THEN
        RETURN CASE WHEN p_value ? 'bytes' THEN format('(%s bytes, which are not kept)', p_value ->> 'bytes')
                    ELSE concat_ws(' ', p_value ->> 'without_password', '(without its password)') END;
    ELSIF jsonb_typeof(p_value) = 'array' AND EXISTS (
        SELECT FROM jsonb_array_elements(p_value) AS e WHERE jsonb_typeof(e.value) NOT IN ('boolean', 'null')
    ) THEN
        RETURN v_text;
    ELSIF p_column IN ('jscminutes', 'jschours', 'jscweekdays', 'jscmonths') AND jsonb_typeof(p_value) = 'array' THEN
        RETURN pgagent.pga_cron_text(ARRAY(SELECT e.value::boolean FROM jsonb_array_elements_text(p_value) WITH ORDINALITY AS e (value, place) ORDER BY e.place),
                                     CASE WHEN p_column = 'jscmonths' THEN 1 ELSE 0 END);
    ELSIF p_column = 'jscmonthdays' AND jsonb_typeof(p_value) = 'array' THEN
        RETURN concat_ws(',', nullif(pgagent.pga_cron_text(ARRAY(
            SELECT e.value::boolean FROM jsonb_array_elements_text(p_value) WITH ORDINALITY AS e (value, place)
            WHERE e.place < 32 ORDER BY e.place), 1), CASE p_value ->> 31 WHEN 'true' THEN '*' END),
            CASE p_value ->> 31 WHEN 'true' THEN 'L' END);
    END IF;
    RETURN COALESCE(CASE p_column
        WHEN 'jstkind' THEN (pgagent.pga_kind_of_step(v_text)).word
        WHEN 'jstonerror' THEN CASE v_text WHEN 'f' THEN 'fail' WHEN 's' THEN 'success' WHEN 'i' THEN 'ignore' END
        END, v_text);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_word(text, jsonb) IS
'A value of pga_jobchange as the functions that define jobs call it.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_attributes(p_old jsonb, p_new jsonb)
RETURNS TABLE (column_name text, attribute text, old_value text, new_value text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT k.key, COALESCE(n.public, k.key), pgagent.pga_change_word(k.key, p_old -> k.key), pgagent.pga_change_word(k.key, p_new -> k.key)
    FROM jsonb_object_keys(COALESCE(p_new, p_old)) AS k (key)
    LEFT JOIN (VALUES
        (1, 'jobname', 'name'), (2, 'jobdesc', 'description'), (3, 'jobjclid', 'class'), (4, 'jobhostagent', 'host'),
        (5, 'jobenabled', 'enabled'), (6, 'jobowner', 'owner'), (7, 'jobtimeout', 'timeout'), (8, 'joboverlap', 'overlap'),
        (9, 'jobmissed', 'missed'), (10, 'jobmissedlimit', 'missed_limit'), (11, 'jobkeepfor', 'keep_for'),
        (12, 'jobkeepruns', 'keep_runs'), (13, 'joblateafter', 'late_after'), (14, 'joblongafter', 'long_after'),
        (15, 'joblongfactor', 'long_factor'), (16, 'jobdisableafter', 'disable_after'), (17, 'jobcreated', 'created'), (18, 'jobset', 'set'),
        (21, 'jstname', 'name'), (22, 'jstdesc', 'description'), (23, 'jstenabled', 'enabled'), (24, 'jstkind', 'kind'),
        (25, 'jstcode', 'command'), (26, 'jstdbname', 'database'), (27, 'jstconnstr', 'conninfo'), (28, 'jstrunas', 'run_as'),
        (29, 'jstonerror', 'on_error'), (30, 'jstmode', 'mode'), (31, 'jsttimeout', 'timeout'), (32, 'jstretries', 'retries'),
        (33, 'jstretrydelay', 'retry_delay'), (34, 'jstretrybackoff', 'retry_backoff'), (35, 'jstretryon', 'retry_on'),
        (41, 'jscname', 'name'), (42, 'jscdesc', 'description'), (43, 'jscenabled', 'enabled'), (44, 'jscstart', 'start_at'),
        (45, 'jscend', 'end_at'), (46, 'jscminutes', 'minutes'), (47, 'jschours', 'hours'), (48, 'jscweekdays', 'weekdays'),
        (49, 'jscmonthdays', 'monthdays'), (50, 'jscmonths', 'months'), (51, 'jscevery', 'every'), (52, 'jscat', 'at'),
        (53, 'jscreboot', 'reboot'), (54, 'jsctimezone', 'timezone'), (55, 'exceptions', 'exceptions'),
        (61, 'jexscid', 'schedule'), (62, 'jexdate', 'date'), (63, 'jextime', 'time')
    ) AS n (place, private, public) ON n.private = k.key
    -- Of what was added or deleted, only what it has.
    WHERE num_nonnulls(p_old, p_new) = 2
          OR COALESCE(COALESCE(p_new, p_old) -> k.key, 'null') NOT IN ('null', '""', 'false')
             AND k.key <> 'jobcreated'
    ORDER BY n.place, k.key;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_attributes(jsonb, jsonb) IS
'The columns of a change under their public names, with their values before and after in words.';

CREATE OR REPLACE VIEW pgagent.job_changes AS
SELECT c.jchid AS change_id, c.jchjobid AS job_id,
       COALESCE(j.jobname, (
           SELECT d.jchname FROM pgagent.pga_jobchange AS d
           WHERE d.jchjobid = c.jchjobid AND d.jchobject = 'job' ORDER BY d.jchid DESC LIMIT 1
       )) AS job,
       c.jchat AS changed_at, c.jchby AS changed_by, c.jchlogin AS login,
       c.jchobject AS object, c.jchobjectid AS object_id, c.jchname AS name,
       CASE c.jchaction WHEN 'insert' THEN 'created' WHEN 'update' THEN 'changed' WHEN 'delete' THEN 'deleted' END AS action,
       a.attribute,
       CASE a.attribute WHEN 'class' THEN COALESCE((
           SELECT k.jclname FROM pgagent.pga_jobclass AS k WHERE k.jclid::text = a.old_value), a.old_value)
           ELSE a.old_value END AS old,
       CASE a.attribute WHEN 'class' THEN COALESCE((
           SELECT k.jclname FROM pgagent.pga_jobclass AS k WHERE k.jclid::text = a.new_value), a.new_value)
           ELSE a.new_value END AS new
FROM pgagent.pga_jobchange AS c
LEFT JOIN pgagent.pga_job AS j ON j.jobid = c.jchjobid
LEFT JOIN LATERAL pgagent.pga_change_attributes(c.jchold, c.jchnew) AS a ON true
WHERE (SELECT pgagent.pga_sees_all()) OR pgagent.pga_may_see(c.jchowner, c.jchownerid);
COMMENT ON VIEW pgagent.job_changes IS
'What was changed in the definitions of jobs, when and by whom, one row an attribute, with its value before and after; passwords are left out. changed_at is the same for all that one transaction has changed; login is who had logged in, changed_by as whom that was done (SET ROLE). The state that a run has run is the outcome of the changes up to change_id in run_history. Example: SELECT changed_at, changed_by, object, name, action, attribute, old, new FROM pgagent.job_changes WHERE job = ''etl'' ORDER BY change_id DESC LIMIT 10.';

CREATE OR REPLACE FUNCTION pgagent.pga_changes_since(p_job_id integer, p_as_of timestamptz)
RETURNS TABLE (change_id bigint, object text, object_id integer, name text, is_insert boolean, old jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first bigint;
BEGIN
    SELECT min(c.jchid) INTO v_first FROM pgagent.pga_jobchange AS c WHERE c.jchjobid = p_job_id AND c.jchat > p_as_of;
    RETURN QUERY
    WITH change AS MATERIALIZED (
        SELECT c.* FROM pgagent.pga_jobchange AS c
        WHERE c.jchjobid = p_job_id AND c.jchid >= v_first AND (c.jchobject <> 'job' OR c.jchobjectid = p_job_id)
    )
    SELECT c.jchid, c.jchobject, c.jchobjectid, c.jchname, c.jchaction = 'insert', c.jchold FROM change AS c
    UNION ALL
    -- Exceptions that went with their schedule stand in the row of that.
    SELECT c.jchid, 'exception', (e.exception ->> 'jexid')::integer, c.jchname, false, e.exception - 'jexid'
    FROM change AS c, LATERAL jsonb_array_elements(
        CASE jsonb_typeof(c.jchold -> 'exceptions') WHEN 'array' THEN c.jchold -> 'exceptions' END
    ) AS e (exception)
    WHERE c.jchobject = 'schedule' AND c.jchaction = 'delete';
END;
$$;
COMMENT ON FUNCTION pgagent.pga_changes_since(integer, timestamptz) IS
'The changes of a job that have to be undone to have it as it was at this time: from the first later one on.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_undo(p_job_id integer, p_as_of timestamptz)
RETURNS TABLE (object text, id integer, name text, is_later boolean, was jsonb) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH change AS MATERIALIZED (
        SELECT c.* FROM pgagent.pga_changes_since(p_job_id, p_as_of) AS c
    ), part AS (
        -- The oldest of the later changes says what was before it: whether there was anything,
        SELECT DISTINCT ON (c.object, c.object_id) c.object, c.object_id, c.name, c.is_insert
        FROM change AS c ORDER BY c.object, c.object_id, c.change_id
    ), value AS (
        -- and for each column what was in it.
        SELECT DISTINCT ON (c.object, c.object_id, o.key) c.object, c.object_id, o.key, o.value
        FROM change AS c, LATERAL jsonb_each(c.old) AS o
        -- What stands in no history, whatever an author has had recorded of his job: not least
        -- whose part it is.
        WHERE o.key <> ALL ('{exceptions,jobid,jobchanged,jobagentid,jobnextrun,joblastrun,jobrunid,jobfromstep,jobdeaths,jobownerid,jobchangeid,jobaskedby,jobfailures,joblastsuccess,jobsucceeded,jobfailed,jobaborted,jobempty,jstid,jstjobid,jscnextrun,jstrunasid,jscid,jscjobid,jexid}')
        ORDER BY c.object, c.object_id, o.key, c.change_id
    )
    SELECT p.* FROM (
        SELECT p.object, p.object_id, p.name, p.is_insert, COALESCE((
            SELECT jsonb_object_agg(v.key, v.value) FROM value AS v
            WHERE v.object = p.object AND v.object_id = p.object_id
        ), '{}')
        FROM part AS p
        UNION ALL
        -- A job that is gone and has no later changes was gone then.
        SELECT 'job', p_job_id, NULL, true, '{}'
        WHERE NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = p_job_id)
              AND NOT EXISTS (SELECT FROM change AS c WHERE c.object = 'job')
    ) AS p
    ORDER BY p.object <> 'job', NOT p.is_insert, array_position(
        CASE WHEN p.is_insert THEN '{exception,schedule,step}'::text[] ELSE '{step,schedule,exception}' END, p.object
    ), p.object_id;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_undo(integer, timestamptz) IS
'What of a job has changed since this time, in the order in which it has to be undone: whether it has been added since then, or else which columns had which values.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_now(p_object text, p_id integer, OUT job_id integer, OUT image jsonb)
RETURNS record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE p_object
        WHEN 'job' THEN
            SELECT j.jobid, pgagent.pga_change_job(j) INTO job_id, image FROM pgagent.pga_job AS j WHERE j.jobid = p_id;
        WHEN 'step' THEN
            SELECT s.jstjobid, pgagent.pga_change_step(s) INTO job_id, image FROM pgagent.pga_jobstep AS s WHERE s.jstid = p_id;
        WHEN 'schedule' THEN
            SELECT s.jscjobid, pgagent.pga_change_schedule(s) INTO job_id, image FROM pgagent.pga_schedule AS s WHERE s.jscid = p_id;
        ELSE
            SELECT s.jscjobid, pgagent.pga_change_exception(e) INTO job_id, image
            FROM pgagent.pga_exception AS e JOIN pgagent.pga_schedule AS s ON s.jscid = e.jexscid WHERE e.jexid = p_id;
    END CASE;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_now(text, integer) IS
'The job and the definition, as the history has it, of a job, step, schedule or exception of today; NULL if it is gone.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_certain(
    p_object text, p_name text, p_job_id integer, p_values jsonb, p_as_of timestamptz, p_is_new boolean
)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner name;
BEGIN
    IF p_object = 'exception' AND p_values ? 'jexscid' AND NOT EXISTS (
        SELECT FROM pgagent.pga_schedule AS s WHERE s.jscid::text = p_values ->> 'jexscid' AND s.jscjobid = p_job_id
    ) THEN
        RAISE NOTICE 'pgagent: an exception of schedule "%" does not come back', p_name
            USING DETAIL = format('Job %s has no schedule with the id %s.', p_job_id, p_values ->> 'jexscid');
        RETURN jsonb '{}';
    ELSIF p_object <> 'job' OR NOT (p_is_new OR p_values ? 'jobowner') THEN
        RETURN p_values;
    END IF;
    -- Each change tells by itself whose job it was; what was in its columns the author says.
    SELECT c.jchowner INTO v_owner FROM pgagent.pga_jobchange AS c WHERE c.jchjobid = p_job_id
    ORDER BY c.jchat <= p_as_of DESC, CASE WHEN c.jchat <= p_as_of THEN - c.jchid ELSE c.jchid END LIMIT 1;
    IF v_owner IS DISTINCT FROM p_values ->> 'jobowner' THEN
        RAISE NOTICE 'pgagent: job "%" does not get another owner', p_name
            USING DETAIL = format('That it was owned by %s then is not known for certain: the first owner that is known is %s.',
                                  COALESCE(format('"%s"', p_values ->> 'jobowner'), 'nobody'), COALESCE(format('"%s"', v_owner), 'nobody'));
    END IF;
    RETURN p_values || jsonb_build_object('jobowner', v_owner);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_certain(text, text, integer, jsonb, timestamptz, boolean) IS
'Of these values, which the history has of a job or a part of it, those that can be relied upon: its owner is one who has owned it, and an exception is one of a schedule of this job. A NOTICE says what is left out.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_feasible(p_object text, p_id integer, p_name text, p_values jsonb, p_is_new boolean)
RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_values jsonb := p_values;
    v_value record;
    v_enabled CONSTANT text := CASE p_object WHEN 'job' THEN 'jobenabled' ELSE 'jstenabled' END;
    v_problem text;
BEGIN
    FOR v_value IN SELECT v.key, v.value, v.value #>> '{}' AS text FROM jsonb_each(v_values) AS v LOOP
        v_problem := CASE
            WHEN v_value.value ? 'bytes' AND jsonb_typeof(v_value.value) = 'object'
                THEN format('%s had %s bytes, which are not kept', v_value.key, v_value.value ->> 'bytes')
            WHEN v_value.key = 'jobjclid' AND NOT EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jclid::text = v_value.text)
                THEN format('its class %s is gone', v_value.text)
            WHEN v_value.key IN ('jobowner', 'jstrunas') AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = v_value.text)
                THEN format('its role "%s" is gone', v_value.text)
            WHEN v_value.key = 'jstconnstr' AND v_value.value -> 'without_password' = 'null'
                THEN 'its connection string is not kept: what is a password in it could not be told'
        END;
        CONTINUE WHEN v_value.text IS NULL;
        IF v_value.key = 'jstconnstr' AND jsonb_typeof(v_value.value) = 'object' AND v_problem IS NULL THEN
            RAISE NOTICE 'pgagent: the password in the connection string of % "%" is not kept', p_object, p_name
                USING DETAIL = format('Enter it anew: pga_jobstep.jstconnstr where jstid is %s.', p_id);
            v_values := v_values || jsonb_build_object('jstconnstr', v_value.value -> 'without_password');
        ELSIF v_problem IS NOT NULL AND NOT p_is_new THEN
            RAISE NOTICE 'pgagent: % "%" keeps something that it has today', p_object, p_name
                USING DETAIL = format('The column %s stays as it is: %s.', v_value.key, v_problem);
            v_values := v_values - v_value.key;
        ELSIF v_problem IS NOT NULL THEN
            RAISE NOTICE 'pgagent: % "%" comes back incomplete', p_object, p_name
                USING DETAIL = format('Complete its column %s before it is enabled: %s.', v_value.key, v_problem);
            v_values := v_values - v_value.key || jsonb_build_object(v_enabled, false) || CASE
                WHEN v_value.key = 'jobjclid' THEN (SELECT jsonb_build_object('jobjclid', min(c.jclid)) FROM pgagent.pga_jobclass AS c)
                WHEN v_value.key IN ('jobowner', 'jstrunas') THEN '{}'
                ELSE jsonb_build_object(v_value.key, '(not kept)') END;
        END IF;
    END LOOP;
    RETURN v_values;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_feasible(text, integer, text, jsonb, boolean) IS
'Of these values of a job or a part of it those that it can have again. A NOTICE says what can''t come back; what is to be inserted without is disabled.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_write(p_object text, p_id integer, p_job_id integer, p_values jsonb, p_is_new boolean)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres' SET extra_float_digits = 1
AS $$
DECLARE
    v_table CONSTANT text := CASE p_object WHEN 'step' THEN 'pga_jobstep' ELSE 'pga_' || p_object END;
    v_prefix CONSTANT text := CASE p_object WHEN 'job' THEN 'job' WHEN 'step' THEN 'jst' WHEN 'schedule' THEN 'jsc' ELSE 'jex' END;
    v_values jsonb := p_values;
    v_columns text;
BEGIN
    IF p_is_new THEN
        v_values := v_values || jsonb_build_object(v_prefix || 'id', p_id)
                    || CASE WHEN p_object IN ('step', 'schedule') THEN jsonb_build_object(v_prefix || 'jobid', p_job_id) ELSE '{}' END;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute AS a
    WHERE a.attrelid = format('pgagent.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND v_values ? a.attname::text;
    IF v_columns IS NULL THEN
        RETURN;
    ELSIF p_is_new THEN
        EXECUTE format('INSERT INTO pgagent.%1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1)', v_table, v_columns)
        USING v_values;
    ELSE
        EXECUTE format('UPDATE pgagent.%1$I SET (%2$s) = (SELECT %2$s FROM jsonb_populate_record(NULL::pgagent.%1$I, $1)) WHERE %3$I = $2',
                       v_table, v_columns, v_prefix || 'id')
        USING v_values, p_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_write(text, integer, integer, jsonb, boolean) IS
'Gives a job, step, schedule or exception these values, or inserts it with them; columns that there are no longer are left out.';

CREATE OR REPLACE FUNCTION pgagent.pga_change_delete(p_object text, p_id integer, p_name text)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE p_object
        WHEN 'step' THEN
            IF NOT EXISTS (SELECT FROM pgagent.pga_jobsteplog AS l WHERE l.jsljstid = p_id) THEN
                DELETE FROM pgagent.pga_jobstep WHERE jstid = p_id;
                RETURN FOUND;
            END IF;
            UPDATE pgagent.pga_jobstep SET jstenabled = false WHERE jstid = p_id AND jstenabled;
            IF FOUND THEN
                RAISE NOTICE 'pgagent: step "%" was added later: it is disabled rather than deleted', p_name
                    USING DETAIL = 'What the log has of it would go with it.';
            END IF;
        WHEN 'schedule' THEN
            DELETE FROM pgagent.pga_schedule WHERE jscid = p_id;
        ELSE
            DELETE FROM pgagent.pga_exception WHERE jexid = p_id;
    END CASE;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_delete(text, integer, text) IS
'Deletes a step, schedule or exception that was added later; a step that has run is disabled instead, with a NOTICE. Returns whether anything was to be done.';

CREATE OR REPLACE FUNCTION pgagent.revert_job(job_id bigint, as_of timestamptz)
RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_object record;
    v_now record;
    v_was_new boolean;
    v_values jsonb;
    v_done integer := 0;
BEGIN
    IF as_of IS NULL THEN
        PERFORM pgagent.pga_refuse('revert_job(as_of)'::text, 'is NULL'::text, 'A point in time is wanted.'::text);
    END IF;
    -- In the order in which those who edit parts lock: the part, then the job.
    PERFORM FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = job_id ORDER BY s.jstid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_schedule AS s WHERE s.jscjobid = job_id ORDER BY s.jscid FOR NO KEY UPDATE;
    PERFORM FROM pgagent.pga_job AS j WHERE j.jobid = job_id FOR NO KEY UPDATE;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM pgagent.pga_jobchange AS c WHERE c.jchjobid = job_id) THEN
        PERFORM pgagent.pga_job_name(job_id);
    END IF;

    FOR v_object IN SELECT o.* FROM pgagent.pga_change_undo(job_id::integer, as_of) AS o LOOP
        v_now := pgagent.pga_change_now(v_object.object, v_object.id);
        IF v_object.object = 'job' AND v_object.is_later THEN
            RAISE EXCEPTION 'pgagent: there was no job % then', job_id USING ERRCODE = 'invalid_parameter_value',
                DETAIL = format('as_of is %s. The view pgagent.job_changes says when the job was created, changed and deleted.', as_of);
        ELSIF v_now.job_id <> job_id THEN
            RAISE NOTICE 'pgagent: % "%" belongs to another job now', v_object.object, v_object.name
                USING DETAIL = format('It stays with job %s; its id is %s.', v_now.job_id, v_object.id);
            CONTINUE;
        ELSIF v_object.is_later THEN
            v_done := v_done + pgagent.pga_change_delete(v_object.object, v_object.id, v_object.name)::integer;
            CONTINUE;
        END IF;
        v_was_new := v_now.image IS NULL;
        SELECT jsonb_object_agg(v.key, v.value) INTO v_values FROM jsonb_each(v_object.was) AS v
        WHERE v_now.image -> v.key IS DISTINCT FROM v.value;
        CONTINUE WHEN v_values IS NULL;
        v_values := pgagent.pga_change_certain(v_object.object, v_object.name, job_id::integer, v_values, as_of, v_was_new);
        v_values := pgagent.pga_change_feasible(v_object.object, v_object.id, v_object.name, v_values, v_was_new);
        CONTINUE WHEN v_values = '{}';
        PERFORM pgagent.pga_change_write(v_object.object, v_object.id, job_id::integer, v_values, v_was_new);
        v_done := v_done + 1;
        IF v_was_new AND v_object.object = 'job' THEN
            RAISE NOTICE 'pgagent: job "%" is back, its log is not', v_object.name
                USING DETAIL = format('Its id is %s as before; the runs went with it when it was deleted.', job_id);
        END IF;
    END LOOP;

    IF v_done > 0 AND NOT EXISTS (
        SELECT FROM pgagent.pga_jobchange AS c WHERE c.jchjobid = job_id AND (c.jchat <= as_of OR c.jchobject = 'job' AND c.jchaction = 'insert')
    ) THEN
        RAISE NOTICE 'pgagent: the history of job % begins later', job_id
            USING DETAIL = format('It is now what it was before the first change that is known; whether it was that at %s already is not.', as_of);
    END IF;
    RETURN v_done;
END;
$$;
COMMENT ON FUNCTION pgagent.revert_job(bigint, timestamptz) IS
'Has a job be what it was at that time: its own columns, steps, schedules and exceptions, which come back under their ids; also a job that was deleted, though without its log. The log of one that is there stays; so a step that was added later and has run is disabled rather than deleted. What a transaction has changed is undone as a whole. Returns how many of these were changed: none if all of it is so already. The changes are recorded as any others, so that this can be undone. NOTICEs name what the history does not keep, such as a password, and what stays as it is today. Raises 42704 if there is no such job, nor any history of one, 22023 if there was none at that time; refuses what the caller may not change. Example: SELECT pgagent.revert_job(42, as_of => ''2031-05-01 09:00'').';

CREATE OR REPLACE FUNCTION pgagent.pga_change_job_id(p_job text)
RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_gone CONSTANT bigint[] := CASE WHEN NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = p_job) THEN ARRAY(
        SELECT DISTINCT c.jchjobid::bigint FROM pgagent.pga_jobchange AS c
        WHERE c.jchdropped AND c.jchobject = 'job' AND c.jchold ->> 'jobname' = p_job
              AND NOT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobid = c.jchjobid)
    ) END;
BEGIN
    IF cardinality(v_gone) = 1 THEN
        RETURN v_gone[1];
    ELSIF cardinality(v_gone) > 1 THEN
        RAISE EXCEPTION 'pgagent: % jobs that are deleted had the name "%"', cardinality(v_gone), p_job
            USING ERRCODE = 'ambiguous_alias',
                  DETAIL = format('Their ids are %s; use the id.', array_to_string(v_gone, ', '));
    END IF;
    RETURN pgagent.pga_job_id(p_job);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_change_job_id(text) IS
'The id of the job of this name, or else of the deleted one that had it. Raises 42704 if there is none, 42P09 if there are several.';

CREATE OR REPLACE FUNCTION pgagent.revert_job(job_name text, as_of timestamptz)
RETURNS integer LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pgagent.revert_job(pgagent.pga_change_job_id($1), $2) $$;
COMMENT ON FUNCTION pgagent.revert_job(text, timestamptz) IS
'As revert_job() with the job''s id, for the job that has this name today, or else the deleted one that had it; raises 42P09 if several do. Example: SELECT pgagent.revert_job(''etl'', as_of => ''2031-05-01 09:00'').';
