"""Verbs for jobs as files: export, plan, apply."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.verbs import documents, toml
from pgagent_runner.verbs.database import Session, connect, settle, value
from pgagent_runner.verbs.documents import Document
from pgagent_runner.verbs.frame import Given, VerbError, confirm, say
from pgagent_runner.verbs.output import Table, show, write
from pgagent_runner.verbs.plans import Difference, in_words, summary
from pgagent_runner.verbs.text import visible

DIFFERS = 2

_EXPORT: LiteralString = "SELECT pgagent.export_jobs(%s::text[])::text"
_APPLY: LiteralString = """
    SELECT a.job, a.object, a.action, a.attribute, a.old, a.new
    FROM pgagent.apply_jobs(%s::jsonb, %s::boolean, %s::boolean) AS a
"""
_NO_TOMLKIT = (
    "{} is there already, and what people have written in it would be lost; name"
    " another file, or have tomlkit keep it: pipx inject pgagent-runner tomlkit, or"
    " pip install 'pgagent-runner[files]'"
)


def export(given: Given) -> int:
    """Print jobs as a document, or write it to a file, whose comments stay."""
    path = None if given.output is None else Path(given.output)
    if path is None and given.command_files:
        raise ConfigurationError(
            "--command-files are put beside a file: name it by --output"
        )
    with connect(given) as session:
        document = _exported(session, given.jobs)
        if path is not None and path.exists():
            _update(session, path, document)
            return 0
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(toml.dumps(document).encode())
        return 0
    texts = documents.set_commands_apart(document, path) if given.command_files else {}
    for place, text in texts.items():
        documents.write(place, text)
    documents.write(path, toml.dumps(document))
    return 0


def _exported(session: Session, jobs: Sequence[str]) -> Document:
    document: Document = json.loads(value(session, _EXPORT, [list(jobs) or None]))
    for job in document["jobs"]:
        try:
            json.dumps(job, ensure_ascii=False).encode()
        except UnicodeEncodeError as e:  # of a database without an encoding
            raise VerbError(
                f'job "{job["name"]}" has bytes that are not UTF-8, as TOML has to be'
            ) from e
    return document


def _update(session: Session, path: Path, exported: Document) -> None:
    """Bring a file that is there up to date: what people have written in it stays."""
    try:
        from pgagent_runner.verbs import keeping  # noqa: PLC0415 (is an extra)
    except ModuleNotFoundError as e:
        raise VerbError(_NO_TOMLKIT.format(path)) from e
    before = documents.text_of(path)
    differences = _applied(session, documents.read(path), dry_run=True)
    try:
        after = keeping.updated(before, exported, differences)
    except keeping.NotKeptError as e:
        raise VerbError(f"{path}: {e}") from e
    for name, text in after.commands:
        place = documents.command_path(path, name, "jobs")
        documents.write(place, text)
    if after.text != before:
        documents.write(path, after.text)


def plan(given: Given) -> int:
    """Print what apply would do."""
    try:
        document = documents.read(Path(given.file))
        with connect(given) as session:
            found = _applied(session, document, prune=given.prune, dry_run=True)
    except ConfigurationError as e:
        # Its exit code would say that they differ.
        raise VerbError(str(e)) from e
    _show(given, found)
    return DIFFERS if found else 0


def apply(given: Given) -> int:
    """Have the jobs of the database be what a file says."""
    return apply_document(given, documents.read(Path(given.file)), prune=given.prune)


def apply_document(given: Given, document: Document, *, prune: bool = False) -> int:
    """Have the jobs of the database be what a document says, after a question."""
    with connect(given) as session:
        found = _applied(session, document, prune=prune, dry_run=not given.yes)
        if not given.yes:
            session.commit()  # nobody is locked out while somebody thinks
            _show(given, found)
            if not found or not confirm(given, f"Apply this: {summary(found)}"):
                return 0 if not found else 1
            settle(session)
            if _applied(session, document, prune=prune, dry_run=False) != found:
                raise VerbError(
                    "jobs have been changed meanwhile: nothing was done; look at the"
                    " plan again"
                )
    if given.yes:
        _show(given, found)
    else:
        say(given, "done")
    return 0


def _applied(
    session: Session, document: Document, *, prune: bool = False, dry_run: bool
) -> list[Difference]:
    text = json.dumps(document, ensure_ascii=False)
    rows = session.execute(_APPLY, [text, prune, dry_run]).fetchall()
    return [Difference(*row) for row in rows]


def _show(given: Given, found: Sequence[Difference]) -> None:
    if given.json or given.csv or given.expanded:
        show(given, Table(Difference._fields, found))
    elif found:
        write(visible(in_words(found)))
    else:
        write("nothing differs\n")
