-- watch.sql: what comes with time. Any number of sessions may watch at any time.

CREATE OR REPLACE FUNCTION pgagent.pga_alert_tests()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alert pgagent.pga_alert;
BEGIN
    FOR v_alert IN SELECT a.* FROM pgagent.pga_alert AS a WHERE a.alttest IS NOT NULL ORDER BY a.altid LOOP
        INSERT INTO pgagent.pga_alertevent (aleid, aleevent, alealtid, alealert, aledata, aledue)
        VALUES (v_alert.alttest, 'test', v_alert.altid, v_alert.altname, '{"message": "this is a test"}', now())
        ON CONFLICT DO NOTHING;
        UPDATE pgagent.pga_alert SET alttest = NULL WHERE altid = v_alert.altid AND alttest = v_alert.alttest;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_tests() IS
'Has the events that test_alert() has asked for sent.';

CREATE OR REPLACE FUNCTION pgagent.pga_alert_watch(OUT claimable integer, OUT look_again double precision)
RETURNS record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    v_step text;
    v_next timestamptz;
BEGIN
    claimable := 0;
    look_again := 60;
    IF NOT EXISTS (SELECT FROM pgagent.pga_alert) THEN
        RETURN;
    END IF;
    FOREACH v_step IN ARRAY ARRAY['tests', 'deliver'] LOOP
        -- What is refused, or locked, keeps nothing else from being told.
        BEGIN
            IF v_step = 'tests' THEN
                PERFORM pgagent.pga_alert_tests();
            ELSE
                PERFORM pgagent.pga_alert_deliver();
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'pgagent: alerts: %', SQLERRM USING DETAIL = 'It is tried again in a few seconds.';
            look_again := 5;
        END;
    END LOOP;
    SELECT count(DISTINCT COALESCE(e.alemessage, e.alealtid)) FILTER (WHERE COALESCE(e.alelease, e.aledue) <= now()),
           min(COALESCE(e.alelease, e.aledue)) FILTER (WHERE COALESCE(e.alelease, e.aledue) > now())
    INTO claimable, v_next
    FROM pgagent.pga_alertevent AS e
    JOIN pgagent.pga_alert AS a ON a.altid = e.alealtid AND a.altenabled
    WHERE e.alestate IN ('pending', 'sending') AND (a.altchannel NOT IN ('notify', 'job') OR COALESCE(e.alelease, e.aledue) > now());
    look_again := least(look_again, extract(epoch FROM v_next - now())::double precision);
END;
$$;
COMMENT ON FUNCTION pgagent.pga_alert_watch() IS
'For whoever sends, any number of them at any time: decides what is to be told, and delivers what takes no sender. Returns how many messages wait for one (pga_alert_claim), and in how many seconds to call this again at the latest, 60 at most. Warns of what is refused or locked.';
