"""Calls in which every argument is given, with its exact type.

Where somebody may create functions in the schema pgagent, other calls can be caught.
"""

import re
from typing import NamedTuple

from psycopg import sql
from support import ROOT

HOSTILE = (ROOT / "tests/extension/hostile.sql").read_text()

_FUNCTIONS = """
    SELECT p.oid, p.proname, p.pronargs - p.pronargdefaults,
           p.proargnames[1:p.pronargs],
           ARRAY(SELECT format('%%I.%%I', n.nspname, t.typname)
                 FROM unnest(p.proargtypes) WITH ORDINALITY AS u (oid, place)
                 JOIN pg_type AS t ON t.oid = u.oid JOIN pg_namespace AS n ON n.oid = t.typnamespace
                 ORDER BY u.place),
           pg_get_function_identity_arguments(p.oid)
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname LIKE %s
"""


class Function(NamedTuple):
    """A function of the extension."""

    oid: int
    name: str
    required: int
    parameters: "list[str] | None"
    types: "list[str]"
    identity: str


def functions(conn, pattern="%"):
    """Return the functions of the schema pgagent of this name."""
    return [Function(*row) for row in conn.execute(_FUNCTIONS, [pattern])]


class Calls:
    """Makes calls exact; knows the functions as they are when it is made."""

    def __init__(self, conn):
        self._known = [
            (function, self._defaults(conn, function)) for function in functions(conn)
        ]

    def __call__(self, template):
        """Complete a statement such as "SELECT pgagent.run_job(job_name => 'a')"."""
        match = re.fullmatch(r"(SELECT .*?)pgagent\.(\w+)\((.*)\)", template, re.DOTALL)
        assert match, template
        head, name, rest = match.groups()
        given = dict(
            re.findall(r'"?(\w+)"? => (.*?)(?:, (?="?\w+"? => )|$)', rest, re.DOTALL)
        )
        suitable = [
            (function, defaults)
            for function, defaults in self._known
            if function.name == name
            and given.keys() <= set(function.parameters or [])
            and set((function.parameters or [])[: function.required]) <= given.keys()
        ]
        # PostgreSQL prefers text to our domains over text, and to names.
        if len(suitable) > 1:
            suitable = [
                (function, defaults)
                for function, defaults in suitable
                if not re.search(r"pgagent\.|\.name\b", " ".join(function.types))
            ]
        ((function, defaults),) = suitable
        arguments = ", ".join(
            f"{given.get(parameter, defaults[place])}::{type_}"
            for place, (parameter, type_) in enumerate(
                zip(function.parameters or [], function.types, strict=True)
            )
        )
        return f"{head}pgagent.{name}({arguments})"

    @staticmethod
    def _defaults(conn, function):
        """Return what its defaults are now, as literals; None where there is none."""
        known = []
        for place in range(1, len(function.types) + 1):
            (text,) = conn.execute(
                "SELECT pg_get_function_arg_default(%s, %s)", [function.oid, place]
            ).fetchone()
            if text is not None:
                (value,) = conn.execute(f"SELECT ({text})::text").fetchone()
                text = sql.quote(value) if value is not None else "NULL"
            known.append(text)
        return known


def overloads(conn):
    """Return statements that create what could be called in place of our functions."""
    conn.execute(HOSTILE)
    ours = functions(conn)
    found = []
    for function in ours:
        signatures = conn.execute(
            "SELECT array_agg(oidvectortypes(proargtypes)) FROM pg_proc"
            " WHERE pronamespace = 'pgagent'::regnamespace AND proname = %s",
            [function.name],
        ).fetchone()
        query = "SELECT * FROM public.overloads(%s, %s)"
        found += conn.execute(query, [function.oid, *signatures]).fetchall()
    assert len(found) > 1000
    return [statement for (statement,) in found]
