"""Asking the database that a helper runs in. Knows PL/Python's plpy."""

from typing import Any


def ask(query: str, types: str = "", *values: Any) -> "list[dict[str, Any]]":  # noqa: ANN401
    """Return the rows of a query; `types` are those of its parameters: "text int"."""
    return plpy.execute(plpy.prepare(query, types.split()), [*values])
