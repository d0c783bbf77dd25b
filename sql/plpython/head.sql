-- Installs the extension pgagent_python. Built from sql/plpython/ by `make`; do not edit.
\echo Use "CREATE EXTENSION pgagent_python CASCADE" to load this file. \quit
SET LOCAL search_path = pg_catalog, pg_temp;

