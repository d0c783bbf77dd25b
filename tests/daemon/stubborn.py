"""Steps that do not end by themselves, and ways to see that they have ended."""

import socket
from contextlib import contextmanager

from jobs import batch

SWALLOWS_CANCELLING = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN END;
END LOOP; END $$"""


class SilentServer:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []

    @property
    def conninfo(self) -> str:
        port = self._socket.getsockname()[1]
        return f"host=127.0.0.1 port={port} user=x sslmode=disable gssencmode=disable"

    def accept(self) -> None:
        """Wait for a client."""
        self._socket.settimeout(10)
        client = self._socket.accept()[0]
        client.settimeout(10)
        self._clients.append(client)

    def has_been_left(self) -> bool:
        """Tell whether the client of the last `accept` has hung up."""
        while self._clients[-1].recv(4096):
            pass
        return True

    def close(self) -> None:
        for each in (self._socket, *self._clients):
            each.close()


@contextmanager
def silent_server():
    server = SilentServer()
    try:
        yield server
    finally:
        server.close()


def stubborn_steps(leash):
    """Return steps that last for ever, by what they do; scripts hold the leash."""
    return {
        "SQL": "SELECT pg_sleep(600)",
        "SQL with endless rows": "SELECT generate_series(1, 1e12)",
        "SQL that swallows its cancellation": SWALLOWS_CANCELLING,
        "a script": batch(f"exec 9>{leash.path}; sleep 600 & sleep 600"),
        "a script that ignores SIGTERM": batch(
            f"exec 9>{leash.path}; trap '' TERM; while :; do sleep 1; done"
        ),
        "a script that has left its group": batch(
            f"exec 9>{leash.path}; setsid sh -c 'trap \"\" TERM; sleep 600' & wait"
        ),
    }


def busy_sessions(conn):
    return conn.execute(
        "SELECT pid, query FROM pg_stat_activity"
        " WHERE application_name LIKE 'pgagent job %' AND state <> 'idle'"
        " AND datname = current_database()"
    ).fetchall()


def seconds_of_run(conn, job_id=None, since="jlgstart"):
    """Return how long the last run took, since its start or another moment."""
    query = (
        f"SELECT extract(epoch FROM jlgstart + jlgduration - {since})"
        " FROM pgagent.pga_joblog WHERE jlgjobid = COALESCE(%s, jlgjobid)"
        " ORDER BY jlgid DESC LIMIT 1"
    )
    return float(conn.execute(query, [job_id]).fetchone()[0])
