"""What alerts cost those whom they are not about, while their receivers hang."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Self

import psycopg
from agents import OURS, Agent, ours, running
from delay import PICKS, start_delays
from idle import SETTLED, count
from processes import cpu_seconds, rss
from server import Bench

BYSTANDERS = 50
FAILING = 20
ALERTS_A_CHANNEL = 5
FIRST_FAILING = 1001  # job ids
EVERY = 0.5  # seconds after which what has failed fails again
SECOND_LOOK = 600.0  # seconds; what grows for long has grown then

HUNG = f"{OURS}, alerts to receivers that hang"
QUIET = f"{OURS}, alerts"

Figures = dict[str, list[float]]


class Hanging:
    """A server that takes connections and bytes, and never answers."""

    def __init__(self) -> None:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Begin to take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them all."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for it in (self._listener, *self.connections):
            it.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self.connections.append(self._listener.accept()[0])


def alerts(bench: Bench) -> Figures:
    """Measure in rounds with and without alerts, then memory, then an idle runner."""
    rounds, seconds = (2, 8.0) if bench.quick else (8, 25.0)
    figures: Figures = {}
    bench.restart()
    with hanging_agent() as (agent, servers):
        for number in range(rounds):
            sides = [(ours(), False), (agent, True)]
            for side, is_told in sides if number % 2 else reversed(sides):
                delays = delays_beside_failures(bench, side, seconds, is_told=is_told)
                for pick, place in PICKS.items():
                    name = f"{side.name} | start delay beside failing jobs, {pick}, ms"
                    figures.setdefault(name, []).append(quantiles(delays, n=100)[place])
        reached = sum(len(it.connections) for it in servers)
        figures[f"{HUNG} | connections that hung"] = [float(reached)]
        figures |= memory(bench, agent)
    figures |= idle_with_alerts(bench)
    figures |= ratios(figures)
    return figures


@contextmanager
def hanging_agent() -> Iterator[tuple[Agent, list[Hanging]]]:
    """Give a runner whose channels are servers that hang, and those."""
    with TemporaryDirectory() as directory, Hanging() as smtp, Hanging() as web:
        file = Path(directory, "pgagent.toml")
        file.touch(0o600)
        file.write_text(
            '[channels.mail]\ntype = "smtp"\nhost = "127.0.0.1"\nsecurity = "none"\n'
            f'port = {smtp.port}\nfrom = "a@example.org"\nto = "b@example.org"\n'
            f'[channels.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{web.port}/"\n'
        )
        agent = ours()
        command = (*agent.command, "--config", str(file))
        yield replace(agent, name=HUNG, command=command), [smtp, web]


def prepare(bench: Bench, *, is_told: bool) -> None:
    """Have jobs that succeed, jobs that fail, and alerts for the latter or none."""
    bench.clear()
    bench.conn.execute("TRUNCATE pgagent.pga_alert, pgagent.pga_alertevent CASCADE")
    bench.add_jobs(BYSTANDERS)
    bench.add_jobs(FAILING, first=FIRST_FAILING)
    bench.conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1 / 0'"
        f" WHERE jstjobid >= {FIRST_FAILING}"
    )
    if is_told:
        for channel in ("mail", "hook"):
            for number in range(ALERTS_A_CHANNEL):
                bench.conn.execute(
                    "SELECT pgagent.add_alert(%s, %s, repeat_every => '5 s')",
                    [f"{channel} {number}", channel],
                )


def fail(bench: Bench) -> None:
    """Have the jobs fail again that have failed."""
    bench.conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now()"
        f" WHERE jobagentid IS NULL AND jobid >= {FIRST_FAILING}"
    )


def fail_for(bench: Bench, seconds: float) -> None:
    """Have jobs fail again and again."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        fail(bench)
        time.sleep(min(EVERY, left))


def delays_beside_failures(
    bench: Bench, agent: Agent, seconds: float, *, is_told: bool
) -> list[float]:
    """Return how late, in ms, jobs start while others fail."""
    prepare(bench, is_told=is_told)
    with running(bench, agent):
        fail_for(bench, 6)  # what has failed is told after five seconds
        bench.make_due(
            f"now() + (1 + i * {seconds / BYSTANDERS}) * interval '1 s'", BYSTANDERS
        )
        fail_for(bench, seconds + 1)
        return start_delays(bench, BYSTANDERS)


def memory(bench: Bench, agent: Agent) -> Figures:
    """Return what a runner takes after a minute of failures, and after ten."""
    first, second = (20.0, 60.0) if bench.quick else (60.0, SECOND_LOOK)
    prepare(bench, is_told=True)
    with running(bench, agent) as pids:
        fail_for(bench, first)
        early = rss(pids)
        fail_for(bench, second - first)
        late = rss(pids)
    return {
        f"{HUNG} | RSS after {first:.0f} s, MB": [early],
        f"{HUNG} | RSS after {second:.0f} s, MB": [late],
        f"{HUNG} | RSS then, of that before": [late / early],
    }


def idle_with_alerts(bench: Bench) -> Figures:
    """Return what it costs to wait with alerts, of which none is to be sent."""
    bench.restart(autovacuum="off")  # its transactions would count
    seconds = 24 if bench.quick else 120
    prepare(bench, is_told=True)
    with (
        hanging_agent() as (agent, _),
        running(bench, replace(agent, name=QUIET)) as pids,
        psycopg.connect(bench.cluster.conninfo(), autocommit=True) as conn,
    ):
        time.sleep(SETTLED)
        cpu, transactions = cpu_seconds(pids), count(conn)
        time.sleep(seconds)
        figures = {
            f"{QUIET} | transactions/s": [(count(conn) - transactions) / seconds],
            f"{QUIET} | CPU of a minute, s": [(cpu_seconds(pids) - cpu) * 60 / seconds],
        }
    bench.restart()
    return figures


def ratios(figures: Figures) -> Figures:
    """Return how much later jobs start while receivers hang, round by round."""
    found = {}
    for pick in PICKS:
        what = f"start delay beside failing jobs, {pick}, ms"
        with_alerts, without = (figures[f"{it} | {what}"] for it in (HUNG, OURS))
        rounds = zip(with_alerts, without, strict=True)
        ratio = median(mine / other for mine, other in rounds)
        found[f"{HUNG} | {pick} with alerts, of that without"] = [ratio]
    return found
