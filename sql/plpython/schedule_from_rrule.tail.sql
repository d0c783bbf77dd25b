return answer(schedules_of, p_rrule, p_timezone)
$python$;
COMMENT ON FUNCTION pgagent.pga_read_rrule(text, text) IS
'The schedules that a recurrence rule stands for, their zone (p_timezone if it names none), start and end, for pga_answer().';

CREATE OR REPLACE FUNCTION pgagent.schedule_from_rrule(rrule text)
RETURNS TABLE (schedule text, timezone text, start_at timestamptz, end_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rule CONSTANT jsonb := pgagent.pga_answer(
        pgagent.pga_read_rrule(COALESCE(rrule, ''), pgagent.pga_default_timezone())
    );
BEGIN
    timezone := v_rule ->> 'timezone';
    PERFORM pgagent.pga_check_timezone(timezone);
    start_at := pgagent.pga_zone_instant(timezone, (v_rule ->> 'start')::timestamp);
    end_at := pgagent.pga_zone_instant(v_rule ->> 'until_timezone', (v_rule ->> 'until')::timestamp);
    FOR schedule IN SELECT jsonb_array_elements_text(v_rule -> 'schedules') LOOP
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.schedule_from_rrule(text) IS
'The schedules that together run when a recurrence rule of RFC 5545 recurs, with or without a line DTSTART: text, time zone (by default that of new schedules), start and end as add_schedule() takes them. Raises 22023 for what is no such rule, 0A000 for what schedules can''t express, and names the part. Example: SELECT schedule FROM pgagent.schedule_from_rrule(''FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=0''), which is "0 9 1-7 * &mon".';

