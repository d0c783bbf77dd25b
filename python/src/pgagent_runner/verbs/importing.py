"""`pgagent import`: jobs of pg_timetable, pg_cron and crontabs, as a file or as jobs.

What each of them becomes is in `imports/`; here is where it comes from and goes to.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

from pgagent_runner.verbs.database import Session, connect, value
from pgagent_runner.verbs.frame import Given, VerbError, confirm, say
from pgagent_runner.verbs.imports import crontab, pg_cron, pg_timetable
from pgagent_runner.verbs.imports.found import Found

_TIMETABLE = ("timetable.chain", "timetable.task", "timetable.parameter")
# A view, or a policy for rows, would have its owner's functions called by us.
_HARMLESS: LiteralString = """
    SELECT count(*) FROM pg_class AS c
    WHERE c.oid = ANY (ARRAY(SELECT to_regclass(t) FROM unnest(%s::text[]) AS t))
          AND c.relkind = 'r' AND NOT c.relrowsecurity"""
_READ_ONLY: LiteralString = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_ZONE: LiteralString = "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'"
_DATABASE: LiteralString = "SELECT current_database()::text"
_PRESENT: LiteralString = """
    SELECT array_agg(DISTINCT j.jobname) FROM pgagent.pga_job AS j
    WHERE j.jobname = ANY (%s::text[])"""

_STILL_THERE = {
    "pg_cron": "pg_cron still has these jobs: cron.unschedule() removes them there",
    "pg_timetable": "pg_timetable still has these chains: live = false stops them there",
    "crontab": "cron still has these lines",
}


def import_jobs(given: Given) -> int:
    """Read the jobs of another scheduler; write them into a file, or make them."""
    found = _found(given)
    if given.disabled:
        for job in found.jobs:
            job["enabled"] = False
    if given.apply:
        return _apply(given, found)
    _report(given, found)
    text = _toml(found)
    if given.output is None:
        sys.stdout.write(text)
        return 0
    try:
        given.output.write_text(text, encoding="utf-8")
    except OSError as e:
        raise VerbError(f"{given.output} can't be written: {e.strerror}") from None
    return 0
