"""The programs that are measured: this project's runner and its peers."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server import DATABASE, Bench, wait_until

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build/peers/root"
DAEMON = PEERS / "usr/bin/pgagent"

OURS = "pgagent 5"


@dataclass(frozen=True)
class Agent:
    """A program that runs what is due, and how many of it."""

    name: str
    command: tuple[str, ...]
    count: int = 1
    old: bool = False
    """Whether it is pgAgent's daemon: each running job takes two connections."""


def ours(workers: int | None = None, runners: int = 1) -> Agent:
    """Return this project's runner."""
    program = str(ROOT / "build/venv/bin/pgagent")
    options = ("--workers", str(workers)) if workers else ()
    name = OURS
    if workers:
        name += f", {workers} workers"
    if runners != 1:
        name += f", {runners} runners"
    return Agent(name, (program, "run", *options), runners)


def daemon(*options: str) -> Agent:
    """Return the daemon of pgAgent 4.2."""
    name = " ".join(("daemon 4.2", *options))
    return Agent(name, (str(DAEMON), "-f", *options), old=True)


def everybody() -> list[Agent]:
    """Return the runner and what is there of the daemon."""
    return [ours(), *([daemon("-t", "1"), daemon()] if DAEMON.exists() else [])]


def missing() -> list[str]:
    """Return the peers that can't take part."""
    there = {
        "pgAgent 4.2's daemon": DAEMON.exists(),
        "pg_cron": any(PEERS.rglob("pg_cron.so")),
    }
    return [name for name, is_there in there.items() if not is_there]


@contextmanager
def running(
    bench: Bench, agent: Agent, conninfo: str | None = None
) -> Iterator[list[int]]:
    """Have an agent run, and nobody else, while the block lasts; yield its pids.

    It reaches the database directly, or by another connection string.
    """
    print(f"  {agent.name}", file=sys.stderr)
    libraries = f"LD_LIBRARY_PATH={bench.cluster.libraries}"
    prefix = ["setpriv", "--pdeathsig=KILL", *(["env", libraries] * agent.old)]
    conninfo = conninfo or bench.cluster.conninfo(DATABASE)
    command = [*prefix, *agent.command, conninfo]
    null = subprocess.DEVNULL
    processes = [
        subprocess.Popen(command, stdout=null, stderr=null) for _ in range(agent.count)
    ]
    try:
        known = "SELECT count(*) FROM pgagent.pga_jobagent"
        if not wait_until(lambda: int(bench.one(known)) >= agent.count, 20, 0.002):
            raise RuntimeError(f"{agent.name} does not register")
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5 if agent.old else 40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        wait_until(lambda: bench.sessions() == 0, 30)
        bench.conn.execute("DELETE FROM pgagent.pga_jobagent")
