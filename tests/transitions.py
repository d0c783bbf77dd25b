"""The transitions of the schema pgagent, as an agent's session calls them."""


def register(session, station="here", lease="20 s"):
    return _call(session, "pga_agent_register(%s, %s)", station, lease)


def heartbeat(session, lease="20 s"):
    return _call(session, "pga_agent_heartbeat(pg_backend_pid(), %s)", lease)


def leave(session):
    _call(session, "pga_agent_leave(pg_backend_pid())")


def sweep(session):
    return _call(session, "pga_agent_sweep()")


def claim(session, limit=10):
    """Claim runs; return [(run id, job id)], in order."""
    return list(dict.fromkeys(row[:2] for row in claim_rows(session, limit)))


def claim_rows(session, limit=10):
    query = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), %s)"
    return session.execute(query, [limit]).fetchall()


def finish_run(session, run_id, status="s", message=None):
    _call(session, "pga_run_finish(%s, %s, %s)", run_id, status, message)


def start_step(session, run_id, step_id):
    return _call(session, "pga_step_start(%s, %s)", run_id, step_id)


def finish_step(session, step_log_id, status="s", result=0, output=""):
    _call(
        session,
        "pga_step_finish(%s, %s, %s, %s)",
        *(step_log_id, status, result, output),
    )


def seconds_until_due(session, station="here"):
    return _call(session, "pga_seconds_until_due(%s)", station)


def _call(session, call, *parameters):
    return session.execute(f"SELECT pgagent.{call}", parameters).fetchone()[0]
