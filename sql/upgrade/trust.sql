-- trust.sql: the first thing in every update and adoption. Whoever runs one has the code
-- called that the owners of the tables have hung on them, so it must be theirs.

DO $$
DECLARE
    v_found text;
BEGIN
    -- The owner of a relation can have his own code called by triggers, rules, constraints
    -- and defaults whenever it is changed or written to.
    SELECT string_agg(format('%s of %s', o.relation, o.owner), ', ' ORDER BY o.place)
               || CASE WHEN max(o.total) > 5 THEN format(' and %s more', max(o.total) - 5) ELSE '' END
    INTO v_found
    FROM (
        SELECT c.oid::regclass AS relation, c.relowner::regrole AS owner,
               row_number() OVER (ORDER BY c.relname) AS place, count(*) OVER () AS total
        FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              AND NOT EXISTS (SELECT FROM pg_roles AS r
                              WHERE r.oid = c.relowner AND (r.rolsuper OR r.rolname = current_user))
    ) AS o
    WHERE o.place <= 5;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: other roles own tables in schema "pgagent": %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('Their triggers, rules and constraints would be called with the rights of %I.', current_user),
                  HINT = 'Do this as their owner, in a session of the owner''s own. SET ROLE is not enough: what the owner has hung on a table could take it back.';
    END IF;

    -- A function of somebody else in the schema could be called in place of one of ours,
    -- and would stay its owner's when it is replaced; one that a trigger calls is called.
    SELECT string_agg(format('%s of %s', o.function, o.owner), ', ' ORDER BY o.place)
               || CASE WHEN max(o.total) > 5 THEN format(' and %s more', max(o.total) - 5) ELSE '' END
    INTO v_found
    FROM (
        SELECT p.oid::regprocedure AS function, p.proowner::regrole AS owner,
               row_number() OVER (ORDER BY p.oid) AS place, count(*) OVER () AS total
        FROM pg_proc AS p
        WHERE (p.pronamespace = 'pgagent'::regnamespace
               OR EXISTS (SELECT FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
                          WHERE t.tgfoid = p.oid AND c.relnamespace = 'pgagent'::regnamespace))
              AND NOT EXISTS (SELECT FROM pg_roles AS r
                              WHERE r.oid = p.proowner AND (r.rolsuper OR r.rolname = current_user))
    ) AS o
    WHERE o.place <= 5;
    IF v_found IS NOT NULL THEN
        RAISE EXCEPTION 'pgagent: functions of other roles are in schema "pgagent", or called by triggers in it: %', v_found
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'They could be called in place of pgagent''s own, or by what is done here.',
                  HINT = 'Look at them, and drop them or ALTER FUNCTION ... SET SCHEMA.';
    END IF;
END;
$$;

