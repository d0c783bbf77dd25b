return answer(describe, p_schedules)
$python$;
COMMENT ON FUNCTION pgagent.pga_describe(jsonb) IS
'The sentence for a schedule, given as the facts of its rows, for pga_answer().';

CREATE OR REPLACE FUNCTION pgagent.describe_schedule(schedule text, timezone text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_answer(pgagent.pga_describe(jsonb_agg(pgagent.pga_schedule_facts(s)))) #>> '{}'
    FROM pgagent.pga_schedule_parsed($1, $2, now()) AS s
$$;
COMMENT ON FUNCTION pgagent.describe_schedule(text, text) IS
'What the text of a schedule means, in English; the time zone is by default that of new schedules. Raises 22023 if the text can''t be read. Example: SELECT pgagent.describe_schedule(''30 2 * * mon-fri'', ''Europe/Berlin''), which is "at 02:30 on Monday to Friday, in Europe/Berlin".';

CREATE OR REPLACE FUNCTION pgagent.describe_schedule(schedule_id integer)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schedule pgagent.pga_schedule;
BEGIN
    SELECT s.* INTO v_schedule FROM pgagent.pga_schedule AS s WHERE s.jscid = schedule_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pgagent: there is no schedule with the id %', schedule_id
            USING ERRCODE = 'undefined_object', DETAIL = 'The table pgagent.pga_schedule lists the schedules of this database.';
    END IF;
    RETURN pgagent.pga_answer(pgagent.pga_describe(
        jsonb_build_array(pgagent.pga_schedule_facts(v_schedule))
    )) #>> '{}';
END;
$$;
COMMENT ON FUNCTION pgagent.describe_schedule(integer) IS
'What the schedule with this id (pga_schedule.jscid) means, in English: the words that its text has, then its start while that is to come, its end, the number of its exceptions, and whether it is disabled. Raises 42704 if there is none. Example: SELECT jobname, pgagent.describe_schedule(jscid) FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid.';

