-- Installs the extension pgagent. Built from sql/ by `make`; do not edit.
\echo Use "CREATE EXTENSION pgagent" to load this file. \quit
