"""The transitions of the schema pgagent, as an agent's session calls them."""

import json

RECORD = """
    SELECT step_log_id, refusal, reason
    FROM pgagent.pga_run_record(pg_backend_pid(), %s::json) WHERE place IS NOT NULL
"""


class RefusedError(Exception):
    """What a transition answers instead of doing what it was asked."""

    def __init__(self, sqlstate, reason):
        super().__init__(reason)
        self.sqlstate = sqlstate


def register(session, station="here", lease="20 s"):
    return _call(session, "pga_agent_register(%s, %s)", station, lease)


def heartbeat(session, run_ids=(), lease="20 s"):
    """Return the answer to a sign of life of an agent that executes these runs."""
    query = "SELECT * FROM pgagent.pga_agent_heartbeat(pg_backend_pid(), %s, %s)"
    cursor = session.execute(query, [lease, list(run_ids)])
    names = [column.name for column in cursor.description]
    return dict(zip(names, cursor.fetchone(), strict=True))


def leave(session):
    _call(session, "pga_agent_leave(pg_backend_pid(), 'it was stopped')")


def sweep(session, *, runs=None, jobs=None, judges=True):
    """Sweep as an agent that executes these runs; return how many were aborted."""
    return swept(session, runs=runs, jobs=jobs, judges=judges)[0]


def swept(session, *, runs=None, jobs=None, judges=True):
    """Sweep; return how many runs were aborted, whether to go on, and what was done."""
    query = """
        SELECT swept, dying, ARRAY(SELECT t ->> 'text' FROM jsonb_array_elements(told) AS t)
        FROM pgagent.pga_agent_sweep(pg_backend_pid(), %s, %s, %s)"""
    return session.execute(query, [runs, jobs, judges]).fetchone()


def claim(session, limit=10):
    """Claim runs; return [(run id, job id)], in order."""
    return list(dict.fromkeys(row[:2] for row in claim_rows(session, limit)))


def claim_rows(session, limit=10):
    """Claim runs; return (run id, job id, job's name, id, name, kind of a step, ...)."""
    query = "SELECT * FROM pgagent.pga_run_claim(pg_backend_pid(), %s, 60)"
    cursor = session.execute(query, [limit])
    names = [column.name for column in cursor.description]
    *rows, _ = [dict(zip(names, row, strict=True)) for row in cursor]
    shown = ["run_id", "run_job_id", "run_job_name"]
    shown += [name for name in names if name.startswith("step_")]
    return [tuple(row[name] for name in shown) for row in rows]


def record(session, run_id, **changes):
    """Record what became of a run; return the row of the step that has started.

    Raises RefusedError.
    """
    entry = {"run_id": run_id, "attempt": 1} | changes
    row = session.execute(RECORD, [json.dumps([entry])]).fetchone()
    if row[1] is not None:
        raise RefusedError(*row[1:])
    return row[0]


def finish_run(session, run_id, status="s", message=None):
    record(session, run_id, run_status=status, message=message)


def start_step(session, run_id, step_id):
    """Start a step, unless it has; return its row."""
    return record(session, run_id, next_step_id=step_id)


def finish_step(session, run_id, step_log_id, status="s", result=0, output=""):
    ended = {"step_status": status, "result": result, "output": output}
    record(session, run_id, step_log_id=step_log_id, **ended)


def seconds_until_due(session, station="here"):
    return _call(session, "pga_look_again(%s, NULL, NULL)", station)


def _call(session, call, *parameters):
    return session.execute(f"SELECT pgagent.{call}", parameters).fetchone()[0]
