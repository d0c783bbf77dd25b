"""The statements that one run of one step costs, when nothing else is to be done.

They are counted in the server's log, which notes each simple query and each execution
of a prepared statement once: parsing and binding belong to it. Several statements in
one simple query are one, since they are sent and answered as one.
"""

import re
import time
from collections.abc import Iterator

from agents import OURS, ours, running
from server import Bench, wait_until

HEARTBEAT = "pga_agent_heartbeat"
PREFIX = "bench %p %a "
LINE = re.compile(
    r"bench (\d+) (.*?) LOG:  (?:statement|execute [^:]*): (.*)", re.DOTALL
)
WARM_RUNS = 3
AHEAD = 2.0  # seconds from making a job due until it is
SETTLED = 1.0  # seconds until the runner has taken note of it
AFTER = 2.0  # seconds in which a run may have consequences
SHOWN = 90  # characters

Statement = tuple[str, str]  # the session's process, and what it was told


def statements(bench: Bench) -> dict[str, list[float]]:
    """Count them in some runs, one after the other, and list those of the last."""
    bench.restart(log_statement="all", log_line_prefix=PREFIX, autovacuum="off")
    bench.clear()
    bench.add_jobs(1)
    counts: list[float] = []
    listed: list[Statement] = []
    with running(bench, ours()):
        for _ in range(WARM_RUNS):
            of_one_run(bench)
        for _ in range(3 if bench.quick else 10):
            listed = of_one_run(bench)
            counts.append(len(listed))
    sessions = list(dict.fromkeys(session for session, _ in listed))
    for session, text in listed:
        print(
            f"session {sessions.index(session) + 1}: {' '.join(text.split())[:SHOWN]}"
        )
    bench.restart()
    return {f"{OURS} | statements of one idle run": counts}


def of_one_run(bench: Bench) -> list[Statement]:
    """Return the statements of one run; heartbeats are none of them."""
    ended = bench.count("s")
    bench.make_due(f"now() + {AHEAD} * interval '1 s'")
    time.sleep(SETTLED)
    begin = bench.cluster.log.stat().st_size
    time.sleep(AHEAD - SETTLED)
    if not wait_until(lambda: bench.count("s") > ended, 20):
        raise TimeoutError("the job does not run")
    time.sleep(AFTER)
    with bench.cluster.log.open("rb") as log:
        log.seek(begin)
        text = log.read().decode(errors="replace")
    return [s for s in logged(text) if HEARTBEAT not in s[1]]


def logged(text: str) -> Iterator[Statement]:
    """Return the statements in the server's log that others than the harness gave."""
    for entry in re.split(r"\n(?!\t)", text):
        line = LINE.match(entry)
        if line and line[2] != "bench":
            yield line[1], line[3]
