"""A document that people have written, brought up to date: their comments stay.

Only what differs is written anew, by what apply_jobs() has found: a schedule that says
`@daily` goes on saying so. Needs tomlkit, which `pgagent-runner[files]` brings along.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT
from tomlkit.items import Table as Tables

from pgagent_runner.verbs import toml
from pgagent_runner.verbs.plans import Difference

Table = Any
"""A table of tomlkit, in a document or on its own."""

Part = Mapping[str, Any]


class NotKeptError(Exception):
    """The document can't be changed in its place: a sentence that says why."""


class Updated(NamedTuple):
    """A document, and the texts of those of its commands that stand beside it."""

    text: str
    commands: list[tuple[str, str]]


class _Changes:
    """In what the document differs from the database, object by object."""

    def __init__(self, differences: Iterable[Difference]) -> None:
        self._attributes: dict[tuple[str | None, str], set[str]] = {}
        for one in differences:
            found = self._attributes.setdefault((one.job, one.object), set())
            if one.action == "alter" and one.attribute is not None:
                found.add(one.attribute)

    def of(self, job: str | None, name: str) -> set[str] | None:
        """Return the attributes in which it differs; None if it is the same."""
        return self._attributes.get((job, name))


def updated(text: str, exported: Part, differences: Sequence[Difference]) -> Updated:
    """Return a document with what has been exported, as far as that differs from it.

    differences: between the document and the database, see apply_jobs(). What stands
    in the document alone is left out, what is in the database alone comes last.
    """
    try:
        document = tomlkit.parse(text)
        before = tomlkit.dumps(document)  # which need not be the text to the byte
        commands = _update(document, exported, _Changes(differences))
        after = tomlkit.dumps(document)
        return Updated(text if after == before else after, commands)
    except TOMLKitError as e:
        raise NotKeptError(str(e)) from e


def _update(
    document: Table, exported: Part, changes: _Changes
) -> list[tuple[str, str]]:
    commands: list[tuple[str, str]] = []
    for old, new in _pairs(document, "classes", exported):
        _set_all(old, new, changes.of(None, f"class {_name_of(new)}"))
    for old, new in _pairs(document, "jobs", exported):
        job = _name_of(new)
        _set_all(old, new, changes.of(job, "job"))
        for before, after in _pairs(old, "steps", new):
            attributes = changes.of(job, f"step {_name_of(after)}")
            if attributes and "command" in attributes and "command_file" in before:
                commands.append((str(before["command_file"]), after["command"]))
                attributes = attributes - {"command"}
            _set_all(before, after, attributes)
        _update_schedules(old, new, changes)
    return commands


def _update_schedules(old: Table, new: Part, changes: _Changes) -> None:
    """Bring the schedules of a job up to date.

    One of a document may be two in the database, where cron means either of two days:
    unless something differs, they are one. If anything does, both are written.
    """

    def changed(name: str) -> set[str] | None:
        return changes.of(_name_of(new), f"schedule {name}")

    said, meant = old.get("schedules", []), new.get("schedules", [])
    counts: dict[str, list[int]] = {}
    for place, parts in enumerate((said, meant)):
        for part in parts:
            counts.setdefault(_name_of(part), [0, 0])[place] += 1
    uneven = {name for name, (had, has) in counts.items() if had < has and had}
    kept = {name for name in uneven if changed(name) is None}
    for place in reversed(range(len(said))):
        if _name_of(said[place]) in uneven - kept:
            del said[place]
    wanted = [part for part in meant if _name_of(part) not in kept]
    wanted += [part for part in said if _name_of(part) in kept]
    for before, after in _pairs(old, "schedules", {"schedules": wanted}):
        if _name_of(after) not in kept:
            attributes = changed(_name_of(after)) or set()
            # Its text may have been its name.
            unnamed = {"name"} if attributes and "name" not in before else set()
            _set_all(before, after, attributes | unnamed)
            _update_exceptions(before, after)


def _update_exceptions(old: Table, new: Part) -> None:
    said = sorted(_spelled(one) for one in old.get("exceptions", []))
    meant = sorted(_spelled(one) for one in new.get("exceptions", []))
    if said != meant:
        _set(old, "exceptions", new.get("exceptions"))


def _spelled(exception: Part) -> tuple[str, str]:
    """Return an exception in one spelling: times without seconds."""
    hours, _, rest = str(exception.get("time", "")).partition(":")
    return str(exception.get("date", "")), f"{hours.zfill(2)}:{rest[:2]}"


def _pairs(container: Table, name: str, exported: Part) -> list[tuple[Table, Part]]:
    """Have a list of tables be as long as it should; return its old and new tables.

    Tables are told by their names, and by their order among those of one name.
    """
    olds = container.get(name, [])
    left = list(exported.get(name, []))
    pairs: list[tuple[Table, Part]] = []
    superfluous = []
    for place, old in enumerate(olds):
        new = next((one for one in left if _name_of(one) == _name_of(old)), None)
        if new is None:
            superfluous.append(place)
        else:
            left = [one for one in left if one is not new]
            pairs.append((old, new))
    for place in reversed(superfluous):
        del olds[place]
    if left and name not in container:
        container[name] = tomlkit.aot()
    for part in left:
        container[name].append(_made(part))
    if not container.get(name, True):
        del container[name]
    return pairs


def _name_of(part: Part) -> str:
    """Return the name of a job or part; a schedule may have none but its text."""
    if "name" in part:
        return str(part["name"])
    if "schedule" in part:
        return str(part["schedule"]).strip(" ")
    return "".join(f"@{word} {part[word]}" for word in ("every", "at") if word in part)


def _set_all(old: Table, new: Part, attributes: set[str] | None) -> None:
    """Have these attributes be what they are in the database."""
    for attribute in sorted(attributes or ()):
        _set(old, attribute, new.get(attribute))


def _set(table: Table, name: str, value: object) -> None:
    """Have a value stand in a table, where it stood before; None: have it go."""
    if value is None:
        if name in table:
            del table[name]
        return
    # As our own writer has it: a text of many lines, for example.
    item = tomlkit.parse(toml.dumps({name: value}))[name]
    values = [key for key, one in table.items() if not isinstance(one, AoT | Tables)]
    if name not in table and values and isinstance(table, Tables):
        # Not behind the comment on what comes next.
        table.value._insert_after(values[-1], name, item)  # noqa: SLF001
        dict.__setitem__(table, name, item)
    else:
        table[name] = item


def _made(part: Part) -> Table:
    """Return a table of its own, with the lists of tables in it."""
    made: Any = tomlkit.parse(toml.dumps({"made": [part]}))["made"]
    return made[0]
