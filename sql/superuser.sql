-- superuser.sql: all that takes a superuser, once for each database, where neither the
-- catalogue nor the runner is to belong to one. It can be repeated.
--
--   psql -d DATABASE -v owner=ROLE -v runner=ROLE [-v run_as='ROLE ...'] -f sql/superuser.sql
--
-- owner   owns the schema pgagent: installs, updates, isolates, and grants levels of access
-- runner  the login of the runner
-- run_as  roles as which steps may run, once the owner has called allow_run_as() for each
--
-- Nobody should log in as the owner but to do that; members of it may do all that it may.

\set ON_ERROR_STOP on
BEGIN;

SELECT format('CREATE ROLE %I NOLOGIN', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE ROLE %I LOGIN', :'runner')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'runner') \gexec

-- CREATE EXTENSION pgagent makes a schema. (The extension's files are there by then:
-- `make install`. Without them `pgagent init` does, as the owner.)
SELECT format('GRANT CREATE ON DATABASE %I TO %I', pg_catalog.current_database(), :'owner') \gexec

-- The runner ends sessions that steps of a dead runner have left behind: it has to see
-- whose they are, and to be allowed to. The second does not cover those of superusers.
SELECT format('GRANT pg_read_all_stats, pg_signal_backend TO %I', :'runner') \gexec

-- For tickets the owner makes a login for each role as which steps run, and sets its
-- password. Up to PostgreSQL 15 CREATEROLE is a right to all roles but superusers.
\if :{?run_as}
SELECT format('ALTER ROLE %I CREATEROLE', :'owner') \gexec
SELECT format('GRANT %I TO %I WITH %s', r.name, :'owner',
              CASE WHEN pg_catalog.current_setting('server_version_num')::integer < 160000 THEN 'ADMIN OPTION'
                   ELSE 'ADMIN TRUE, INHERIT FALSE, SET FALSE' END)
FROM pg_catalog.regexp_split_to_table(:'run_as', '[ ,]+') AS r (name) \gexec
\endif

COMMIT;
