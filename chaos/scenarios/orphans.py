"""R15, R17, R18: what a dead runner leaves behind is found, and ended."""

import os
import signal
from contextlib import closing, suppress

import psycopg

from chaos.faults import processes_with, reuse_pid, wait_until
from chaos.fleet import Runner, runner
from chaos.history import add_job, batch, make_due, scalar, sql_step
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

SLEEP = "SELECT pg_sleep(600)"
ORPHAN = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
RUNNING = "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'"
AGENT_GONE = 5.0


@scenario(
    "R15",
    "a process id that belongs to somebody else now is not taken for a live agent",
    short=2,
    full=30,
    seconds=30,
)
def reused_pid(lab: Lab) -> None:
    """Give a dead agent's process id to a stranger's session, and to its successor."""
    zombies = refused = 0
    with server() as cluster, closing(cluster.connect()) as conn:
        for number in range(lab.count):
            with runner(cluster.dsn, name=f"dead-{number}") as dead:
                agent = leave_a_claim(conn, dead)
            sessions: list[psycopg.Connection[object]] = []
            try:
                if not reuse_pid(agent, lambda: open_session(cluster, sessions)):  # noqa: B023
                    lab.findings.left_out.append(
                        f"process id {agent} was not to be had"
                    )
                    continue
            except OSError as e:
                lab.findings.left_out.append(f"process ids can't be chosen here: {e}")
                return
            with sessions[-1], runner(cluster.dsn, name=f"next-{number}") as successor:
                refused += wait_until(lambda: " serves " in successor.log, 15) is None
                freed = wait_until(lambda: is_freed(conn), AGENT_GONE + 2)
                zombies += freed is None
            for session in sessions:
                session.close()
    lab.findings.expect("dead agents taken for alive", zombies, 0)
    lab.findings.expect("runners that could not start", refused, 0)


def leave_a_claim(conn: Connection, dead: Runner) -> int:
    """Kill a runner in the middle of a run; return its agent's process id, now free."""
    dead.ready()
    job = add_job(conn, f"claimed by {dead.name}", sql_step("SELECT pg_sleep(0.5)"))
    make_due(conn, [job])
    wait_until(lambda: scalar(conn, RUNNING) == 1, 10)
    agent = scalar(conn, "SELECT jagpid FROM pgagent.pga_jobagent")
    dead.kill()
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
    wait_until(lambda: scalar(conn, gone, agent), 10)
    return agent


def open_session(cluster: Server, sessions: list[psycopg.Connection[object]]) -> int:
    """Open a session; return the process id of its backend."""
    sessions.append(psycopg.connect(cluster.dsn, autocommit=True))
    return sessions[-1].info.backend_pid


def is_freed(conn: Connection) -> bool:
    """Whether nothing counts as running any more."""
    return (
        scalar(conn, RUNNING) == 0
        and scalar(
            conn, "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 'r'"
        )
        == 0
    )


@scenario(
    "R17",
    "kill -9 of a runner whose SQL step sleeps: the step's session is gone within 2 s",
    short=3,
    full=20,
    seconds=40,
)
def orphaned_statement(lab: Lab) -> None:
    """Kill a runner, with another alive or alone, and watch its step's session."""
    early = 0
    slowest: float | None = 0.0
    with server() as cluster, closing(cluster.connect()) as conn:
        for number in range(lab.count):
            with runner(cluster.dsn, name=f"doomed-{number}") as doomed:
                doomed.ready()
                make_due(conn, [add_job(conn, f"sleeper {number}", sql_step(SLEEP))])
                wait_until(lambda: scalar(conn, ORPHAN) == 1, 10)
                with runner(cluster.dsn, name="heir") as heir:
                    heir.ready()
                    doomed.kill()
                    took = wait_until(lambda: scalar(conn, ORPHAN) == 0, 8)
                    early += took is None and is_freed(conn)
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query = 'SELECT pg_sleep(600)'"
            )
            wait_until(lambda: scalar(conn, ORPHAN) == 0, 10)
            slowest = None if None in (slowest, took) else max(slowest or 0, took or 0)
    lab.findings.at_most("the session was gone after", slowest, 2, "s")
    lab.findings.expect("runs closed while their statement went on", early, 0)


@scenario(
    "R18",
    "no child process survives its runner, setsid grandchildren included",
    short=4,
    full=50,
    seconds=50,
)
def orphaned_processes(lab: Lab) -> None:
    """Kill or stop a runner whose scripts have children in sessions of their own."""
    left: dict[str, int] = {"kill -9": 0, "SIGTERM": 0}
    with server() as cluster, closing(cluster.connect()) as conn:
        for number in range(lab.count):
            how = ("kill -9", "SIGTERM")[number % 2]
            mark = f"chaos-{lab.directory.name}-{number}"
            script = (
                f"setsid sh -c 'sleep 600; : {mark} a' &\n"
                f"sh -c 'sleep 600; : {mark} b' &\nsh -c 'sleep 600; : {mark} c'"
            )
            with runner(cluster.dsn, "--grace", 0.5, name=f"doomed-{number}") as doomed:
                doomed.ready()
                make_due(conn, [add_job(conn, mark, batch(script))])
                wait_until(lambda: len(processes_with(mark)) >= 3, 10)  # noqa: B023
                doomed.kill() if how == "kill -9" else doomed.terminate()
                wait_until(lambda: not processes_with(mark), 5)  # noqa: B023
                survivors = processes_with(mark)
                left[how] += len(survivors)
            end_processes(survivors)
    for how, count in left.items():
        lab.findings.expect(f"{how}: processes left after 5 s", count, 0)


def end_processes(pids: list[int]) -> None:
    """Kill what a runner should have killed, with its process group."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
