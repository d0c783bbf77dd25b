"""A runner loads what it needs to run jobs, and nothing else of the package."""

import re

from jobs import add_job, batch

from .runner_process import Runner, ended_runs

ROOMS = {
    *("__main__", "cli", "agent", "run", "steps", "catalog", "model", "events"),
    *("backoff", "waiting", "libpq", "poolers", "logs", "systemd", "secrecy"),
    *("options", "declaring", "configuration", "users", "errands"),
}
LOADED = re.compile(r"^import time: .* ([\w.]+)$", re.MULTILINE)


def test_a_runner_loads_no_room_beside_it(conn, dsn):
    with Runner(dsn, environ={"PYTHONPROFILEIMPORTTIME": "1"}) as runner:
        runner.ready()
        add_job(conn, "SELECT 1", batch("true"))
        assert ended_runs(conn) == "s"
        runner.stop()
        loaded = LOADED.findall(runner.log)

    rooms = {
        name.split(".")[1] for name in loaded if name.startswith("pgagent_runner.")
    }
    assert rooms == ROOMS
