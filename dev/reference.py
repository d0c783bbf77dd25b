"""Write docs/reference.md from the comments of the extension's functions and views."""

import re
from pathlib import Path
from typing import Any

import psycopg
from cluster import Cluster

Rows = list[tuple[Any, ...]]

ONE_LINE = 60  # characters of arguments
PAGE = Path(__file__).resolve().parent.parent / "docs/reference.md"

HEAD = """\
# Reference

<!-- Written by `make docs` from the comments in sql/; do not edit. -->

The functions and views of the schema `pgagent`. Arguments can be given by name, and
left out where they have a default. A job is named by its name or by its id. In psql,
`\\df+ pgagent.*` shows the same. [schedules.md](schedules.md) tells how schedules are
written.
"""

INNER = """
## For runners and triggers

Functions that runners or the tables' triggers call, and functions and views of which
those above are made.
Names that begin with `pga_` may change between versions, except
`pga_next_schedule`, `pga_is_leap_year` and `pgagent_schema_version`, which pgAgent has.

| function or view | what it does |
|---|---|
"""

FUNCTIONS = """
SELECT p.proname::text, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       obj_description(p.oid, 'pg_proc')
FROM pg_proc AS p
WHERE p.pronamespace = 'pgagent'::regnamespace
ORDER BY p.proname, p.oid::regprocedure::text COLLATE "C"
"""

VIEWS = """
SELECT c.relname::text, obj_description(c.oid, 'pg_class'),
       (SELECT string_agg(
            format('`%s` %s', a.attname, format_type(a.atttypid, a.atttypmod)),
            ', ' ORDER BY a.attnum
        )
        FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0)
FROM pg_class AS c
WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind = 'v'
ORDER BY c.relname
"""


def parts(comment: str) -> tuple[str, str | None]:
    """Split a comment into what it says and its example."""
    text, _, example = comment.partition(" Example: ")
    return text, f"{example.removesuffix('.')};" if example else None


def block(example: str | None) -> str:
    """Return an example as a block of SQL."""
    return f"\n```sql\n{example}\n```\n" if example else ""


def section(title: str, comment: str, *lines: str) -> str:
    """Return the section of an object: its lines, its comment, its example."""
    text, example = parts(comment)
    return "\n".join([f"\n### {title}\n", *lines, "", f"{text}\n{block(example)}"])


def is_inner(name: str) -> bool:
    """Whether people need not know this function."""
    return name.startswith("pga_") or name == "pgagent_schema_version"


def plain(declaration: str) -> str:
    """Return arguments or a result without casts, and types by their short names."""
    text = re.sub(r"\s+", " ", declaration)
    text = re.sub(r"pgagent\.pga_(text|boolean|bigint)\b", r"\1", text)
    text = re.sub(r"(DEFAULT (?:'[^']*'|[^,':])*)::[a-z ]+(?:\[\])?", r"\1", text)
    for long, short in (
        ("timestamp with time zone", "timestamptz"),
        ("timestamp without time zone", "timestamp"),
        ("time without time zone", "time"),
    ):
        text = text.replace(long, short)
    return text


def signature(name: str, arguments: str, result: str) -> str:
    """Return how a function is declared, one argument a line if there are many."""
    arguments, result = plain(arguments), plain(result)
    if len(arguments) > ONE_LINE:
        lines = re.split(r", (?=\w+ [a-z])", arguments)
        arguments = "\n    " + ",\n    ".join(lines) + "\n"
    return f"```\n{name}({arguments}) -> {result}\n```"


def _is_another_way(name: str, comment: str) -> bool:
    return comment.startswith(f"As {name}()")


def _main_first(function: tuple[str, ...]) -> tuple[str, bool]:
    name, *_, comment = function
    return name, _is_another_way(name, comment)


def _what_differs(arguments: str, main: str) -> str:
    """Return the first arguments, which the main signature has others for."""
    first, others = plain(arguments).split(", "), plain(main).split(", ")
    while first and others and first[-1] == others[-1]:
        first.pop()
        others.pop()
    words = f"`{', '.join(first)}`"
    return f"name, {words}" if len(first) == 1 else words


def page(conn: psycopg.Connection[Any]) -> str:
    """Return the page as the extension in this database has it."""
    functions = conn.execute(FUNCTIONS).fetchall()
    text = HEAD + "\n## Functions\n"
    shown: tuple[str, str, str] = ("", "", "")
    for name, arguments, result, comment in sorted(functions, key=_main_first):
        if is_inner(name):
            continue
        what, example = parts(comment)
        if name != shown[0]:
            shown = (name, arguments, result)
            text += section(name, comment, signature(name, arguments, result))
        elif _is_another_way(name, comment) and result == shown[2]:
            how = _what_differs(arguments, shown[1])
            text += f"\nBy {how}: {what[0].lower()}{what[1:]}\n" + block(example)
        else:
            text += f"\n{signature(name, arguments, result)}\n\n{what}\n" + block(
                example
            )
    text += "\n## Views\n"
    views = conn.execute(VIEWS).fetchall()
    for name, comment, columns in views:
        if not is_inner(name):
            text += section(name, comment, f"Columns: {plain(columns)}.")
    return text + _inner(functions, views)


def _inner(functions: Rows, views: Rows) -> str:
    text = INNER
    for name, comment, _ in views:
        if is_inner(name):
            text += f"| view `{name}` | {parts(comment)[0]} |\n"
    for name, arguments, _, comment in functions:
        if is_inner(name):
            text += f"| `{name}({plain(arguments)})` | {parts(comment)[0]} |\n"
    return text


def main() -> None:
    """Write the page."""
    with Cluster() as server, psycopg.connect(server.conninfo()) as conn:
        conn.execute("CREATE EXTENSION pgagent")
        PAGE.write_text(page(conn))


if __name__ == "__main__":
    main()
