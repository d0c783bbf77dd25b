"""The verb metrics: what the view pgagent.metrics has, as Prometheus reads it."""

import sys
from pathlib import Path

from pgagent_runner import exposition
from pgagent_runner.verbs import documents
from pgagent_runner.verbs.database import connect, fetch
from pgagent_runner.verbs.frame import Given


def print_metrics(given: Given) -> int:
    """Print the metrics of the database, or write them to a file at once."""
    with connect(given) as session:
        rows = fetch(session, exposition.VIEW).rows
    families = exposition.of_view((a, b, c, d, e) for a, b, c, d, e in rows)
    text = exposition.text(families)
    if given.output:
        documents.write(Path(given.output), text)
    else:
        # The format is UTF-8, whatever this machine's language is.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
    return 0
