"""Run the chaos suite: python -m chaos [--long] [--seed N] [--count N] [NAME...].

Each scenario is a process of its own, with servers of its own. The results are printed
and kept in build/chaos/: report.txt, and NAME.json for each.
"""

import argparse
import importlib
import os
import pkgutil
import random
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from farm import ROOT

import chaos.scenarios
from chaos.lab import SCENARIOS, Lab, Scenario
from chaos.report import Findings, load

RESULTS = ROOT / "build/chaos"


def main() -> int:
    """Run what the command line asks for; return 1 if a promise was not kept."""
    for module in pkgutil.iter_modules(chaos.scenarios.__path__):
        importlib.import_module(f"chaos.scenarios.{module.name}")
    options = parse()
    if options.list:
        for it in SCENARIOS.values():
            print(f"{it.name:<12} {it.short:>4} /{it.full:>5}   {it.promise}")
        return 0
    if options.inside:
        return run_here(SCENARIOS[options.names[0]], options)
    return run_all(options)


def parse() -> argparse.Namespace:
    """Read the command line; what make passes on may be empty."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="scenarios (default: all)")
    add("--long", action="store_true", help="with the full counts: about an hour")
    add("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    add("--count", type=int, help="how often, or how long, instead of the usual count")
    add("--jobs", type=int, default=4, help="scenarios at the same time (default: 4)")
    add("--list", action="store_true", help="list the scenarios and their counts")
    add("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; see --list")
    return options


def run_here(it: Scenario, options: argparse.Namespace) -> int:
    """Run one scenario in this process and save what it found."""
    count = options.count or (it.full if options.long else it.short)
    findings = Findings(it.name, it.promise, count, options.seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix=f"pgagent-chaos-{it.name}-",
        ignore_cleanup_errors=True,  # an orphan may still write there
    ) as directory:
        rng = random.Random(f"{options.seed} {it.name}")
        lab = Lab(findings, count, options.long, rng, Path(directory))
        try:
            it.run(lab)
        except Exception:  # noqa: BLE001 - whatever it is, it belongs into the report
            findings.error = traceback.format_exc()
    findings.seconds = time.monotonic() - start
    findings.save(RESULTS)
    return 0


def run_all(options: argparse.Namespace) -> int:
    """Run the scenarios side by side, print each as it ends, and write the report."""
    usual = [it for it in SCENARIOS.values() if options.long or not it.on_request]
    chosen = [SCENARIOS[name] for name in options.names] or usual
    RESULTS.mkdir(parents=True, exist_ok=True)
    head = f"chaos: {len(chosen)} scenarios, SEED={options.seed}"
    print(head, flush=True)
    start = time.monotonic()
    found = []
    with ThreadPoolExecutor(options.jobs) as pool:
        queue = sorted(chosen, key=lambda it: -it.seconds)
        running = [pool.submit(run_apart, it, options) for it in queue]
        for done in as_completed(running):
            found.append(done.result())
            print(found[-1].text(), flush=True)
    order = list(SCENARIOS)
    found.sort(key=lambda f: order.index(f.name))
    failed = [f.name for f in found if not f.ok]
    tail = (
        f"{len(found) - len(failed)} of {len(found)} kept in"
        f" {time.monotonic() - start:.0f} s; broken: {', '.join(failed) or 'none'}"
    )
    print(tail)
    text = "\n\n".join([head, *(f.text() for f in found), tail])
    (RESULTS / "report.txt").write_text(text + "\n")
    return 1 if failed else 0


def run_apart(it: Scenario, options: argparse.Namespace) -> Findings:
    """Run one scenario in a process of its own."""
    command = [sys.executable, "-m", "chaos", "--inside", f"--seed={options.seed}"]
    command += ["--long"] if options.long else []
    command += [f"--count={options.count}"] if options.count else []
    file = RESULTS / f"{it.name}.json"
    file.unlink(missing_ok=True)
    child = subprocess.run(
        [*command, it.name],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'dev'}:{ROOT}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if file.exists():
        return load(file)
    error = f"it ended with {child.returncode}\n{child.stderr}"
    return Findings(it.name, it.promise, 0, options.seed, error=error)


if __name__ == "__main__":
    sys.exit(main())
