"""The same great many jobs due every minute, to see whether anything grows."""

import os
import time

from agents import OURS, ours, running
from processes import rss
from server import Bench

DEAD = (
    "SELECT sum(n_dead_tup)::float8 FROM pg_stat_user_tables"
    " WHERE schemaname = 'pgagent'"
)
LAG = (
    "SELECT extract(epoch FROM max(jlgstart + jlgduration) - {0})::float8, count(*)"
    " FROM pgagent.pga_joblog WHERE jlgscheduled = {0} AND jlgstatus = 's'"
)


def long(bench: Bench) -> dict[str, list[float]]:
    """Measure minute by minute."""
    jobs = int(os.environ.get("JOBS") or (1_000 if bench.quick else 10_000))
    minutes = 2 if bench.quick else 10
    bench.clear()
    bench.add_jobs(jobs)
    bench.conn.execute(  # nothing chosen is every minute
        "UPDATE pgagent.pga_schedule SET jscminutes = array_fill(false, ARRAY[60]),"
        " jschours = array_fill(false, ARRAY[24])"
    )
    bench.conn.execute("VACUUM ANALYZE")
    figures: dict[str, list[float]] = {}
    with running(bench, ours()) as pids:
        time.sleep(float(bench.one("SELECT 60 - extract(second FROM now())")))
        for minute in range(1, minutes + 1):
            time.sleep(float(bench.one("SELECT 58 - extract(second FROM now())")))
            seconds, runs = bench.conn.execute(
                LAG.format("date_trunc('minute', now())")
            ).fetchone() or (0, 0)
            for what, value in {
                "seconds until all have run": seconds,
                "not run": jobs - runs,
                "RSS, MB": rss(pids),
                "dead tuples": bench.one(DEAD),
            }.items():
                figures[f"{OURS} | {jobs} jobs, minute {minute}, {what}"] = [value]
            time.sleep(float(bench.one("SELECT 60 - extract(second FROM now())")))
    return figures
