-- members.sql: every fact about every object of the extension pgagent, one line of text
-- for each object. Two databases have the same extension if they give the same lines.
-- Where there is no such extension, its objects are those of the schema.
WITH belonging AS (
    SELECT d.classid, d.objid
    FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'pgagent'
), member AS (
    SELECT classid, objid FROM belonging
    UNION ALL
    SELECT d.classid, d.objid
    FROM pg_depend AS d
    LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    LEFT JOIN pg_type AS y ON d.classid = 'pg_type'::regclass AND y.oid = d.objid
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('pgagent')
          AND (d.classid = 'pg_proc'::regclass OR c.relkind IN ('r', 'v', 'S') OR y.typtype = 'd')
          AND NOT EXISTS (SELECT FROM belonging)
), relation AS (
    SELECT c.*, c.oid::regclass::text AS name
    FROM member JOIN pg_class AS c ON c.oid = member.objid
    WHERE member.classid = 'pg_class'::regclass
), fact (object, facts) AS (
    SELECT 'member ' || pg_describe_object(classid, objid, 0), ARRAY[]::text[]
    FROM member

    -- What hangs on a member: defaults, constraints, indexes, triggers, rules, views ...
    UNION ALL
    SELECT 'on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid),
           ARRAY[regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '_\d{4,}\M', '_OID', 'g'),
                 d.deptype::text]
    FROM pg_depend AS d JOIN member ON (member.classid, member.objid) = (d.refclassid, d.refobjid)
    WHERE pg_describe_object(d.classid, d.objid, d.objsubid) NOT LIKE 'default value for column jobkeep%'

    UNION ALL
    SELECT 'extension ' || e.extname,
           ARRAY[e.extversion, e.extowner::regrole::text, e.extnamespace::regnamespace::text,
                 e.extrelocatable::text, obj_description(e.oid, 'pg_extension')]
    FROM pg_extension AS e WHERE e.extname = 'pgagent'

    UNION ALL
    SELECT 'dump of ' || config.relation::regclass, ARRAY[config.condition]
    FROM pg_extension AS e
    CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS config (relation, condition)
    WHERE e.extname = 'pgagent'

    UNION ALL
    SELECT 'schema ' || n.nspname,
           ARRAY[n.nspowner::regrole::text, n.nspacl::text, obj_description(n.oid, 'pg_namespace')]
    FROM pg_namespace AS n WHERE n.nspname = 'pgagent'

    UNION ALL
    SELECT 'domain ' || y.oid::regtype,
           ARRAY[y.typowner::regrole::text, y.typacl::text, format_type(y.typbasetype, y.typtypmod), y.typnotnull::text,
                 y.typdefault, y.typcollation::text, obj_description(y.oid, 'pg_type')]
    FROM member JOIN pg_type AS y ON y.oid = member.objid AND y.typtype = 'd'
    WHERE member.classid = 'pg_type'::regclass

    UNION ALL
    SELECT 'relation ' || r.name,
           ARRAY[r.relkind::text, r.relowner::regrole::text, r.relacl::text, r.reloptions::text,
                 r.relpersistence::text, r.relreplident::text, r.reltablespace::text,
                 r.relrowsecurity::text, r.relforcerowsecurity::text,
                 CASE r.relkind WHEN 'v' THEN pg_get_viewdef(r.oid) END,
                 obj_description(r.oid, 'pg_class')]
    FROM relation AS r

    UNION ALL
    SELECT format('column %s %s %s', r.name, to_char(a.attnum, 'FM00'), a.attname),
           ARRAY[format_type(a.atttypid, a.atttypmod), a.attndims::text, a.attnotnull::text,
                 -- Retention is on in new installations, off in upgraded ones.
                 CASE WHEN a.attname NOT IN ('jobkeepfor', 'jobkeepruns')
                      THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity::text, a.attgenerated::text,
                 a.attstorage::text, a.attcollation::regcollation::text, a.attstattarget::text,
                 a.attacl::text,
                 -- Debian's servers keep a number of their own there, pg_attver.
                 ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o !~ '^pg_' ORDER BY 1)::text,
                 col_description(r.oid, a.attnum)]
    FROM relation AS r
    JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum

    UNION ALL
    SELECT format('constraint %s %s', r.name, c.conname),
           ARRAY[c.contype::text, pg_get_constraintdef(c.oid), c.conislocal::text,
                 obj_description(c.oid, 'pg_constraint')]
    FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid

    UNION ALL
    SELECT 'index ' || i.indexrelid::regclass,
           ARRAY[pg_get_indexdef(i.indexrelid), i.indisprimary::text, i.indisvalid::text,
                 i.indisclustered::text, i.indisreplident::text, c.relowner::regrole::text,
                 obj_description(i.indexrelid, 'pg_class')]
    FROM relation AS r
    JOIN pg_index AS i ON i.indrelid = r.oid
    JOIN pg_class AS c ON c.oid = i.indexrelid

    UNION ALL
    SELECT format('policy %s %s', r.name, p.polname),
           ARRAY[p.polcmd::text, p.polpermissive::text, p.polroles::regrole[]::text,
                 pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
                 obj_description(p.oid, 'pg_policy')]
    FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid

    -- Of a foreign key's triggers the names contain oids.
    UNION ALL
    SELECT format('trigger %s %s', r.name,
                  CASE WHEN t.tgisinternal THEN t.tgfoid::regproc || ' of ' || c.conname ELSE t.tgname END),
           ARRAY[CASE WHEN NOT t.tgisinternal THEN pg_get_triggerdef(t.oid) END,
                 t.tgtype::text, t.tgenabled::text, obj_description(t.oid, 'pg_trigger')]
    FROM relation AS r
    JOIN pg_trigger AS t ON t.tgrelid = r.oid
    LEFT JOIN pg_constraint AS c ON c.oid = t.tgconstraint

    UNION ALL
    SELECT 'sequence ' || r.name,
           ARRAY[s.seqtypid::regtype::text, s.seqstart::text, s.seqincrement::text,
                 s.seqmin::text, s.seqmax::text, s.seqcache::text, s.seqcycle::text,
                 pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), d.deptype::text]
    FROM relation AS r
    JOIN pg_sequence AS s ON s.seqrelid = r.oid
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i')

    UNION ALL
    SELECT format('statistics %s %s', r.name, s.stxname),
           ARRAY[pg_get_statisticsobjdef(s.oid), s.stxowner::regrole::text,
                 obj_description(s.oid, 'pg_statistic_ext')]
    FROM relation AS r JOIN pg_statistic_ext AS s ON s.stxrelid = r.oid

    UNION ALL
    SELECT 'function ' || p.oid::regprocedure,
           ARRAY[p.proowner::regrole::text, p.proacl::text, obj_description(p.oid, 'pg_proc'),
                 pg_get_functiondef(p.oid)]
    FROM member JOIN pg_proc AS p ON p.oid = member.objid
    WHERE member.classid = 'pg_proc'::regclass

    -- What pg_dump takes for granted.
    UNION ALL
    SELECT 'privileges of ' || pg_describe_object(i.classoid, i.objoid, i.objsubid),
           ARRAY[i.privtype::text, i.initprivs::text]
    FROM member JOIN pg_init_privs AS i ON (i.classoid, i.objoid) = (member.classid, member.objid)

    UNION ALL
    SELECT 'row of pgagent.pga_jobclass ' || c.jclid, ARRAY[c.jclname]
    FROM pgagent.pga_jobclass AS c
)
SELECT format('%s: %s', fact.object, array_to_string(fact.facts, ' | ', '-')) AS line
FROM fact
