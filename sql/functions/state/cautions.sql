-- cautions.sql: that claims have something to look for beside the jobs (pga_jobcaution).
--
-- A claim locks about as many relations as a process has room for; each further one costs
-- it more than what it reads there. So it looks at this one table, which is empty as a rule,
-- instead of at those of asides, pauses and limits. Whoever writes one of these adds a row,
-- without a look at those that are there: they may just be being deleted.

CREATE OR REPLACE FUNCTION pgagent.pga_caution()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO pgagent.pga_jobcaution (jcafor) VALUES (TG_ARGV[0]);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_caution() IS
'Trigger: has claims look for what is written here. Its argument says what that is.';

DROP TRIGGER IF EXISTS pga_caution ON pgagent.pga_jobaside;
CREATE TRIGGER pga_caution AFTER INSERT ON pgagent.pga_jobaside
    FOR EACH STATEMENT EXECUTE FUNCTION pgagent.pga_caution('aside');
COMMENT ON TRIGGER pga_caution ON pgagent.pga_jobaside IS 'Has claims look for jobs that are set aside.';

DROP TRIGGER IF EXISTS pga_caution ON pgagent.pga_jobpause;
CREATE TRIGGER pga_caution AFTER INSERT OR UPDATE OF jpsuntil ON pgagent.pga_jobpause
    FOR EACH ROW WHEN (NEW.jpsuntil > now()) EXECUTE FUNCTION pgagent.pga_caution('pause');
COMMENT ON TRIGGER pga_caution ON pgagent.pga_jobpause IS 'Has claims look for pauses.';

DROP TRIGGER IF EXISTS pga_caution ON pgagent.pga_jobclass;
CREATE TRIGGER pga_caution AFTER INSERT OR UPDATE OF jcllimit ON pgagent.pga_jobclass
    FOR EACH ROW WHEN (NEW.jcllimit IS NOT NULL) EXECUTE FUNCTION pgagent.pga_caution('limit');
COMMENT ON TRIGGER pga_caution ON pgagent.pga_jobclass IS 'Has claims look for limits of classes.';

CREATE OR REPLACE FUNCTION pgagent.pga_agent_cautions()
RETURNS text[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kinds CONSTANT text[] := ARRAY(
        SELECT 'aside'::text WHERE EXISTS (SELECT FROM pgagent.pga_jobaside)
        UNION ALL
        SELECT 'pause' WHERE EXISTS (SELECT FROM pgagent.pga_jobpause AS p WHERE p.jpsuntil > now())
        UNION ALL
        SELECT 'limit' WHERE EXISTS (SELECT FROM pgagent.pga_jobclass AS c WHERE c.jcllimit IS NOT NULL)
    );
BEGIN
    IF EXISTS (SELECT FROM unnest(v_kinds) AS k (kind)
               WHERE NOT EXISTS (SELECT FROM pgagent.pga_jobcaution AS c WHERE c.jcafor = k.kind)) THEN
        INSERT INTO pgagent.pga_jobcaution (jcafor)
        SELECT k.kind FROM unnest(v_kinds) AS k (kind)
        WHERE NOT EXISTS (SELECT FROM pgagent.pga_jobcaution AS c WHERE c.jcafor = k.kind);
    END IF;
    RETURN v_kinds;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_agent_cautions() IS
'Adds cautions that lack, for what has come where no triggers fire. Returns for what there have to be some.';

CREATE OR REPLACE FUNCTION pgagent.pga_log_prune_cautions()
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_cautions CONSTANT uuid[] := ARRAY(SELECT c.jcaid FROM pgagent.pga_jobcaution AS c);
    -- Asked for after that: what has added a row that was seen is seen, too.
    v_kept text[];
BEGIN
    v_kept := pgagent.pga_agent_cautions();
    IF v_cautions <> ARRAY[]::uuid[] THEN
        DELETE FROM pgagent.pga_jobcaution AS c
        WHERE c.jcaid = ANY (v_cautions) AND (c.jcafor <> ALL (v_kept) OR EXISTS (
            SELECT FROM pgagent.pga_jobcaution AS o
            WHERE o.jcaid = ANY (v_cautions) AND o.jcafor = c.jcafor AND o.jcaid < c.jcaid
        ));
    END IF;
END;
$$;
COMMENT ON FUNCTION pgagent.pga_log_prune_cautions() IS
'Deletes cautions that nothing needs any more, and adds those that lack.';
