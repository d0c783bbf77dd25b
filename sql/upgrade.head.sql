-- Upgrades the extension pgagent. Built from sql/ by `make`; do not edit.
\echo Use "ALTER EXTENSION pgagent UPDATE" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

