"""Measure this runner, pgAgent 4.2's daemon, pg_cron and the floor, in one run.

    make bench [M=floor,sustained,...] [QUICK=1]

Prints medians and how many of ours each is, and writes build/bench/results.json, where
the metrics that were not chosen keep their earlier figures.
"""

import os
import sys
from collections.abc import Callable

import report
from agents import missing
from alerting import alerts
from burst import burst
from cluster import Cluster
from delay import delay
from floor import cores, floor
from idle import idle
from limits import limits
from long import long
from next_run import next_run
from owners import owners
from scripts import scripts
from server import Bench, timestamp
from size import size
from statements import statements
from sustained import sustained

Figures = dict[str, list[float]]

METRICS: dict[str, Callable[[Bench], Figures]] = {
    "floor": floor,
    "sustained": sustained,
    "delay": delay,
    "burst": burst,
    "next_run": next_run,
    "idle": idle,
    "scripts": scripts,
    "limits": limits,
    "owners": owners,
    "statements": statements,
    "alerts": alerts,
    "size": size,
    "long": long,
}
ONLY_IF_CHOSEN = {"long"}


def main() -> None:
    """Measure and print."""
    chosen = [m for m in os.environ.get("M", "").split(",") if m]
    if unknown := set(chosen) - set(METRICS):
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(METRICS)}")
    for peer in missing():
        print(f"left out, for it is not in build/peers: {peer}")
    with Cluster(durable=True) as cluster:
        bench = Bench(cluster, quick=bool(os.environ.get("QUICK")))
        bench.create()
        for metric in chosen or [m for m in METRICS if m not in ONLY_IF_CHOSEN]:
            print(f"{metric} …", file=sys.stderr)
            load = os.getloadavg()[0]
            result = {
                "figures": METRICS[metric](bench),
                "taken": timestamp(),
                "server": bench.one("SHOW server_version"),
                "cores": cores(),
                "load before": round(load, 1),
                "quick": bench.quick,
            }
            report.store(metric, result)
            print("\n".join(report.HEADING + report.table(result)), flush=True)


if __name__ == "__main__":
    main()
