-- timezone.sql: the default of the time zone of schedules, pga_schedule.jsctimezone.
--
-- It is fixed once, when the column comes to be: what "daily at 9" means must
-- not depend on which client happens to save the schedule. It is taken from what the
-- database's sessions get by default, not from the settings that this session brought.
DO $$
DECLARE
    v_zone text;
BEGIN
    SELECT regexp_replace(c, '^[^=]*=', '') INTO v_zone
    FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c
    WHERE s.setrole = 0 AND c ILIKE 'timezone=%' AND s.setdatabase IN (
        0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    )
    ORDER BY s.setdatabase DESC LIMIT 1;

    IF v_zone IS NULL AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') THEN
        SELECT f.setting INTO v_zone
        FROM pg_show_all_file_settings() AS f
        WHERE lower(f.name) = 'timezone' AND f.applied
        ORDER BY f.seqno DESC LIMIT 1;
    END IF;

    v_zone := COALESCE(v_zone, (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone'));

    -- AT TIME ZONE takes these names for abbreviations: one offset all the year round.
    v_zone := COALESCE((
        SELECT z.name FROM (VALUES
            ('CET', 'Europe/Brussels'), ('MET', 'Europe/Brussels'), ('EET', 'Europe/Athens'),
            ('WET', 'Europe/Lisbon'), ('EST', 'America/Panama'), ('MST', 'America/Phoenix'),
            ('HST', 'Pacific/Honolulu')
        ) AS z (abbreviation, name)
        WHERE z.abbreviation = upper(v_zone)
    ), v_zone);

    EXECUTE format(
        'ALTER TABLE pgagent.pga_schedule ALTER COLUMN jsctimezone SET DEFAULT %L',
        v_zone
    );
END;
$$;

