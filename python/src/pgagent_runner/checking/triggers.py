"""What people have hung on pgagent's tables, as far as it does not bear being called.

The runner, and pgagent's functions, have a search_path of pg_catalog alone: a function
without one of its own finds nothing there that it does not qualify.
"""

import re
from collections.abc import Iterable, Iterator
from typing import LiteralString, NamedTuple

from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import Finding, fault, identifier, ok, warning

_MOST_CALLED = 20  # functions that are looked through on behalf of one
_LONGEST_CODE = 200_000  # characters

# Functions of users that hang on the tables: by triggers, rules, constraints, defaults,
# policies and indexes. The first column: the thing and its table.
_HUNG: LiteralString = """
    WITH ours AS (
        SELECT c.oid, 'pgagent.'::text || pg_catalog.quote_ident(c.relname) AS name
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'pgagent'::pg_catalog.regnamespace AND c.relkind = 'r'
    ), hung AS (
        SELECT 'trigger '::text || pg_catalog.quote_ident(t.tgname) AS thing, o.name,
               t.tgfoid AS function, t.tgtype AS events,
               'ALTER TABLE '::text || o.name || ' DISABLE TRIGGER '::text
                   || pg_catalog.quote_ident(t.tgname) AS remedy
        FROM pg_catalog.pg_trigger AS t JOIN ours AS o ON o.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
        UNION ALL
        SELECT k.kind || pg_catalog.quote_ident(k.thing), o.name, d.refobjid, 20,
               pg_catalog.format(k.remedy, o.name, pg_catalog.quote_ident(k.thing))
        FROM (
            SELECT 'rule '::text AS kind, 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                       AS class, r.oid, r.ev_class AS table, r.rulename::text AS thing,
                   'DROP RULE %2$s ON %1$s'::text AS remedy
            FROM pg_catalog.pg_rewrite AS r
            UNION ALL
            SELECT 'constraint ', 'pg_catalog.pg_constraint'::pg_catalog.regclass,
                   c.oid, c.conrelid, c.conname, 'ALTER TABLE %1$s DROP CONSTRAINT %2$s'
            FROM pg_catalog.pg_constraint AS c
            UNION ALL
            SELECT 'policy ', 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid,
                   p.polrelid, p.polname, 'DROP POLICY %2$s ON %1$s'
            FROM pg_catalog.pg_policy AS p
        ) AS k
        JOIN ours AS o ON o.oid = k.table
        JOIN pg_catalog.pg_depend AS d
            ON d.classid = k.class AND d.objid = k.oid
               AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    )
    SELECT DISTINCT h.thing || ' of '::text || h.name, h.name, h.events::integer,
           h.function, h.remedy
    FROM hung AS h JOIN pg_catalog.pg_proc AS p ON p.oid = h.function
    WHERE p.pronamespace NOT IN ('pgagent'::pg_catalog.regnamespace,
                                 'pg_catalog'::pg_catalog.regnamespace)
    ORDER BY 1
"""

_DISABLED: LiteralString = """
    SELECT c.relname::text, pg_catalog.string_agg(
               pg_catalog.quote_ident(t.tgname), ', ' ORDER BY t.tgname)
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    WHERE c.relnamespace = 'pgagent'::pg_catalog.regnamespace
          AND p.pronamespace = c.relnamespace AND t.tgenabled IN ('D', 'R')
    GROUP BY c.relname ORDER BY c.relname
"""

_FUNCTION: LiteralString = """
    SELECT p.oid::pg_catalog.regprocedure::text, l.lanname::text,
           pg_catalog."left"(p.prosrc, %s),
           EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS c
                   WHERE c ~ '^search_path=')
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE p.oid = %s
"""

# Where the names are that pg_catalog does not have: of relations, and of functions.
_KNOWN: LiteralString = """
    SELECT w.name, pg_catalog.quote_ident(n.nspname)
    FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::boolean[]))
        AS w (name, is_called)
    CROSS JOIN LATERAL (
        SELECT c.relnamespace AS schema
        FROM pg_catalog.pg_class AS c
        WHERE NOT w.is_called AND c.relname = w.name
              AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
        UNION ALL
        SELECT p.pronamespace FROM pg_catalog.pg_proc AS p
        WHERE w.is_called AND p.proname = w.name
    ) AS o
    JOIN pg_catalog.pg_namespace AS n ON n.oid = o.schema
    WHERE n.nspname !~ '^(pg_|information_schema$)'
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_class AS c
              WHERE NOT w.is_called AND c.relname = w.name
                    AND c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace)
          AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_proc AS p
              WHERE w.is_called AND p.proname = w.name
                    AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)
    ORDER BY n.nspname = 'public' DESC, 2, 1
"""
_CALLED_THERE: LiteralString = """
    SELECT p.oid
    FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]))
        AS w (schema, name)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
    JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = w.name
    WHERE n.nspname NOT IN ('pg_catalog', 'pgagent')
"""

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_NAME = r'(?<![\w.$"])((?:[a-zA-Z_\x80-\U0010ffff][\w$]*)|"(?:[^"]|"")+")(?![\w$"])'
_RELATION = re.compile(
    r"(?<!distinct )\b(?:from|join|into|update|only|table|using)\s+(?:only\s+)?"
    + _NAME
    + r"(?!\s*[.(])",
    re.IGNORECASE,
)
_CALLED = re.compile(_NAME + r"\s*\(")
_QUALIFIED = re.compile(
    r'([a-zA-Z_\x80-\U0010ffff][\w$]*|"(?:[^"]|"")+")\s*\.'
    r'\s*([a-zA-Z_\x80-\U0010ffff][\w$]*|"(?:[^"]|"")+")\s*\('
)
_WITH = re.compile(
    r"(?:\bwith\s+(?:recursive\s+)?|,\s*)(\w+)\s+as\s*(?:not\s+|materialized\s+)*\(",
    re.IGNORECASE,
)
_DECLARED = re.compile(r"^\s*(\w+)\s", re.MULTILINE)
_IS_DYNAMIC = re.compile(r"\bexecute\b|plpy\.|spi_", re.IGNORECASE)

# What a runner does to the tables, as bits of pg_trigger.tgtype.
_INSERT, _DELETE, _UPDATE = 4, 8, 16
_OF_RUNNER = {
    "pgagent.pga_job": _UPDATE,
    "pgagent.pga_schedule": _UPDATE,
    "pgagent.pga_joblog": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobsteplog": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobagent": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobsession": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobskip": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobaside": _INSERT | _DELETE | _UPDATE,
    "pgagent.pga_jobrequest": _DELETE,
}


class _Function(NamedTuple):
    signature: str
    language: str
    code: str
    is_pinned: bool


class _Unqualified(NamedTuple):
    name: str
    schema: str
    function: str  # that uses it


def triggers(case: Case) -> Iterator[Finding]:
    """Look for what would not find its names when the runner calls it."""
    for table, disabled in case.ask().rows(_DISABLED):
        yield fault(
            "triggers",
            f"triggers of pgagent itself are disabled on pgagent.{table}: {disabled}",
            f"ALTER TABLE pgagent.{table} ENABLE TRIGGER USER",
        )
    hung = case.ask().rows(_HUNG)
    is_fine = True
    for thing, table, events, function, remedy in hung:
        missing = _unqualified(case, function)
        if missing is None:
            continue
        is_fine = False
        told = (
            f"{thing} calls {missing.function}, which does not qualify"
            f" {identifier(missing.name)}, and has no search_path of its own: it does"
            " not find it"
        )
        mending = (
            f"ALTER FUNCTION {missing.function} SET search_path = {missing.schema},"
            f" pg_temp; or {remedy}"
        )
        if events & _OF_RUNNER.get(table, 0):
            yield fault("triggers", f"{told} when the runner calls it", mending)
        else:
            yield warning(
                "triggers", f"{told} when functions of pgagent call it", mending
            )
    if hung and is_fine:
        yield ok("triggers", f"{len(hung)} of yours find their names")


def _unqualified(case: Case, function: int) -> _Unqualified | None:
    """Return a name that a function, or one that it calls, would not find."""
    database = case.ask()
    todo: list[int] = [function]
    seen: set[int] = set()
    while todo and len(seen) < _MOST_CALLED:
        oid = todo.pop()
        seen.add(oid)
        it = _Function(*database.row(_FUNCTION, [_LONGEST_CODE, oid]))
        if it.is_pinned:  # and so is what it calls
            continue
        relations, called = names_in(it.code, it.language)
        names = [*relations, *called]
        kinds = [False] * len(relations) + [True] * len(called)
        known = database.rows(_KNOWN, [names, kinds]) if names else []
        if known:
            name, schema = known[0]
            return _Unqualified(name, schema, it.signature)
        qualified = _QUALIFIED.findall(it.code)
        schemas = _folded_all(schema for schema, _ in qualified)
        functions = _folded_all(name for _, name in qualified)
        rows = database.rows(_CALLED_THERE, [schemas, functions]) if qualified else []
        todo += [found for (found,) in rows if found not in seen]
    return None


def names_in(code: str, language: str) -> tuple[list[str], list[str]]:
    """Return the names of relations and functions that a text does not qualify.

    A guess: nothing but those that there are counts in the end.
    """
    if language in ("c", "internal"):
        return [], []
    text = _COMMENT.sub(" ", code) if language in ("sql", "plpgsql") else code
    if language == "sql" or (language == "plpgsql" and not _IS_DYNAMIC.search(text)):
        text = _TEXT.sub("''", text)
    defined = {name.lower() for name in _WITH.findall(text)}
    if language == "plpgsql":
        head, begin, _ = text.partition("BEGIN")
        defined |= {name.lower() for name in _DECLARED.findall(head if begin else "")}
    if language in ("sql", "plpgsql"):
        relations = _folded(_RELATION.findall(text))
        called = _folded(_CALLED.findall(text))
    else:  # SQL in texts of another language, whose own calls mean nothing here
        relations, called = _folded(_RELATION.findall(text)), []
    return [n for n in relations if n not in defined], called


def _folded(names: Iterable[str]) -> list[str]:
    """Return names as the catalogue has them, each once."""
    return list(dict.fromkeys(_folded_all(names)))


def _folded_all(names: Iterable[str]) -> list[str]:
    return [
        name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
        for name in names
    ]
