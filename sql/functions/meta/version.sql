-- version.sql: what a client asks first.

CREATE OR REPLACE FUNCTION pgagent.pgagent_schema_version()
RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 4::smallint $$;
COMMENT ON FUNCTION pgagent.pgagent_schema_version() IS
'The layout of the tables that pgAgent''s own daemon 4.x asks for before it starts: 4. It is not the version of this extension.';

-- The build writes the version in: where no extension can be created, pg_extension can't tell.
CREATE OR REPLACE FUNCTION pgagent.pgagent_version()
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT '@VERSION@'::text $$;
COMMENT ON FUNCTION pgagent.pgagent_version() IS
'The version of the tables and functions of this schema, as major.minor.patch. Example: SELECT pgagent.pgagent_version().';

CREATE OR REPLACE FUNCTION pgagent.pga_is_leap_year(smallint)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT $1 % 4 = 0 AND ($1 % 100 <> 0 OR $1 % 400 = 0) $$;
COMMENT ON FUNCTION pgagent.pga_is_leap_year(smallint) IS
'Whether the year $1 of the Gregorian calendar is a leap year. Kept from pgAgent 4.2.';

