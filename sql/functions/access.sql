-- access.sql: who may call what.
--
-- Anybody may ask what a schedule means, and triggers compute with the rights of whoever
-- writes a table. What moves jobs from state to state is for the owner, and for those to
-- whom he grants it (docs/security.md).

REVOKE ALL ON FUNCTION
    pgagent.pga_agent_register(text, interval, boolean),
    pgagent.pga_agent_heartbeat(integer, interval),
    pgagent.pga_agent_leave(integer),
    pgagent.pga_agent_sweep(),
    pgagent.pga_agent_bury(integer, text),
    pgagent.pga_run_claim(integer, integer),
    pgagent.pga_run_finish(bigint, text, text),
    pgagent.pga_run_abort(bigint, text),
    pgagent.pga_seconds_until_due(text),
    pgagent.pga_step_start(bigint, integer),
    pgagent.pga_step_finish(bigint, text, integer, text)
FROM PUBLIC;

