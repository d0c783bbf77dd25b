"""Many jobs that fall due at once, on a server with few connections to give."""

import time
from collections.abc import Callable
from functools import partial

from agents import DAEMON, Agent, daemon, missing, ours, running
from processes import peak_rss
from server import STEP, Bench, wait_until

DEADLINE = 60.0
END_OF_RUNS = "SELECT max(jlgstart + jlgduration) FROM pgagent.pga_joblog"

Figures = dict[str, list[float]]


def burst(bench: Bench) -> Figures:
    """Measure everybody, one after the other, in rounds."""
    deadline = 20.0 if bench.quick else DEADLINE
    figures: Figures = {}
    for _ in range(1 if bench.quick else 3):
        for connections in ("100", "40"):
            bench.restart(max_connections=connections)
            for count in (50, 1000):
                of_agent(bench, ours(), count, deadline, figures)
        if DAEMON.exists():
            bench.restart(max_connections="100")
            of_agent(bench, daemon("-t", "1"), 50, deadline, figures)
    if DAEMON.exists():
        for connections in ("100", "40"):
            bench.restart(max_connections=connections)
            of_agent(bench, daemon("-t", "1"), 1000, deadline, figures)
    if "pg_cron" not in missing():
        of_cron(bench, figures)
    bench.restart()
    return figures


def of_agent(
    bench: Bench, agent: Agent, count: int, deadline: float, figures: Figures
) -> None:
    """Note the burst of an agent, as far as it gets until the deadline."""
    bench.clear()
    bench.add_jobs(count)
    with running(bench, agent) as pids:
        bench.make_due("now()")
        due = bench.one("SELECT min(jobnextrun) FROM pgagent.pga_job")
        all_ended = Peak(bench, bench.ended(count))
        finished = wait_until(all_ended, deadline)
        good = bench.count("s")
        end = bench.one(END_OF_RUNS if finished else "SELECT now()")
        note(
            figures,
            f"{agent.name} | {count} at {bench.one('SHOW max_connections')}",
            {
                "good runs/s": good / (end - due).total_seconds(),
                "not good": count - good,
                "peak sessions": all_ended.sessions,
                "peak RSS, MB": peak_rss(pids),
            },
        )


def of_cron(bench: Bench, figures: Figures) -> None:
    """Note the bursts of pg_cron, whose jobs fall due when a minute begins."""
    bench.restart(
        **{
            "shared_preload_libraries": "pg_cron",
            "cron.database_name": "bench",
            "cron.host": bench.cluster.host,
            "max_connections": "100",
        }
    )
    bench.conn.execute("CREATE EXTENSION pg_cron")
    launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'pg_cron'"
    if not wait_until(lambda: bench.conn.execute(launcher).fetchone() is not None, 10):
        raise RuntimeError("pg_cron does not start")
    idle = bench.sessions()
    for count in (50, 1000):
        bench.conn.execute("TRUNCATE cron.job, cron.job_run_details")
        if bench.one("SELECT extract(second FROM now()) > 50"):
            time.sleep(10)
        bench.conn.execute(
            "SELECT cron.schedule(i::text, '* * * * *',"
            f" replace('{STEP}', '{{job}}', i::text))"
            f" FROM generate_series(1, {count}) AS i"
        )
        ended = (
            f"SELECT count(*) >= {count} FROM cron.job_run_details"
            " WHERE status IN ('succeeded', 'failed')"
        )
        all_ended = Peak(bench, partial(bench.one, ended))
        wait_until(all_ended, 110)
        bench.conn.execute("SELECT cron.unschedule(jobname) FROM cron.job")
        seconds, good = bench.conn.execute(
            "SELECT extract(epoch FROM max(end_time)"
            " - date_trunc('minute', min(start_time)))::float8,"
            " count(*) FILTER (WHERE status = 'succeeded')"
            " FROM cron.job_run_details"
        ).fetchone() or (0, 0)
        note(
            figures,
            f"pg_cron | {count} at 100",
            {
                "good runs/s": good / seconds,
                "not good": count - good,
                "peak sessions": all_ended.sessions - idle,
                "peak RSS, MB": peak_rss([bench.one(launcher)]),
            },
        )


def note(figures: Figures, name: str, values: dict[str, float]) -> None:
    """Add values to the figures."""
    for what, value in values.items():
        figures.setdefault(f"{name}, {what}", []).append(value)


class Peak:
    """A condition, and the most sessions that there were whenever it was asked."""

    def __init__(self, bench: Bench, condition: Callable[[], bool]) -> None:
        """Ask for the sessions and this."""
        self.bench, self.condition, self.sessions = bench, condition, 0

    def __call__(self) -> bool:
        """Return what the condition says."""
        self.sessions = max(self.sessions, self.bench.sessions())
        return self.condition()
