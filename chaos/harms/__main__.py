"""Try bad things: python -m chaos.harms [--old COMMIT | --daemon] [NAME or KIND...].

Prints a line for each as it ends: bad thing | bystander due/ran, worst delay | long run |
what is said about the culprit. All that is known stays in build/chaos/harms-*.json.
"""

import argparse
import json
import sys
import time

from older import ROOT

from chaos.harms.subject import commit_of, pgagent_42, this_tree
from chaos.harms.table import as_document, chosen, run_table

SECONDS = 60.0


def main() -> int:
    """Run what the command line asks for; return 1 if somebody else was harmed."""
    options = parse()
    harms = chosen(options.names)
    if options.list:
        for harm in harms:
            print(f"{harm.kind:<12} {harm.name}")
        print(f"{len(harms)} bad things")
        return 0
    if options.daemon:
        subject = pgagent_42()
    else:
        subject = commit_of(options.old) if options.old else this_tree()
    print(f"{len(harms)} bad things beside {subject.name}", flush=True)
    begun = time.monotonic()
    results = []
    for result in run_table(subject, harms, options.seconds, options.at_once):
        results.append(result)
        print(result.line(), flush=True)
        if options.verbose and not result.ok:
            print(result.log, flush=True)
    failed = sorted(r.name for r in results if not r.ok)
    skipped = sum(bool(r.skipped) for r in results)
    print(
        f"{len(results) - len(failed) - skipped} held, {len(failed)} did not,"
        f" {skipped} make no sense here, in {time.monotonic() - begun:.0f} s;"
        f" did not hold: {' '.join(failed) or 'none'}"
    )
    directory = ROOT / "build/chaos"
    directory.mkdir(parents=True, exist_ok=True)
    word = "daemon" if options.daemon else options.old or "tree"
    document = json.dumps(as_document(results), indent=1, ensure_ascii=False)
    (directory / f"harms-{word}.json").write_text(document + "\n")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m chaos.harms", description=__doc__)
    argument = parser.add_argument
    argument("names", nargs="*", metavar="NAME", help="bad things or kinds of them")
    argument("--old", help="on this older commit, built in build/beside")
    argument("--daemon", action="store_true", help="on pgAgent 4.2's daemon")
    argument("--seconds", type=float, default=SECONDS, help="of the long run")
    argument("--at-once", type=int, default=12, help="side by side (default: 12)")
    argument("--list", action="store_true", help="list them")
    argument("--verbose", action="store_true", help="with the logs of those that fail")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
