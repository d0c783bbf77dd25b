"""The chains of pg_timetable 4 and later: what becomes of each.

What it does with them is written down in its documents, and otherwise in its source: a
chain runs in the minutes for which all five fields hold, at the clock of its time zone;
its tasks of the kind SQL that are not autonomous are one transaction; `parameter` has a
row for each time that a task's command is executed.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from pgagent_runner.catalog.conninfo import without_secrets
from pgagent_runner.verbs.imports.crontab_lines import quoted
from pgagent_runner.verbs.imports.found import Attributes, Found, Note, job, span
from pgagent_runner.verbs.imports.placeholders import literal, with_values

Row = dict[str, Any]
"""A row of a table of pg_timetable, with those columns that this version of it has."""

MOST_INSTANCES = 16  # of a chain that names no number
HIGHEST = (59, 23, 31, 12, 7)  # of each field
LONGEST = 366 * 86400  # seconds of an interval

ALONE = (
    "one run at a time: times that pass meanwhile are left out, where pg_timetable runs"
    f" up to {MOST_INSTANCES} instances of a chain at once"
)
MISSED = (
    "a time that passes while no runner is alive is made up for by one run, where"
    ' pg_timetable leaves it out (missed = "skip" does, too)'
)
NO_ZONE = (
    "times are in {}, the server's time zone; pg_timetable has used the one of its own"
    " session, which is written nowhere"
)


@dataclass
class Timetable:
    """What is in the schema timetable.

    database, zone: of the server, for what names none itself. seconds: of an interval.
    """

    chains: list[Row]
    tasks: list[Row]
    parameters: list[Row]
    database: str
    zone: str
    seconds: Callable[[str], int]

    def tasks_of(self, chain: Row) -> list[Row]:
        """Return the tasks of a chain in their order, with their `parameters`."""
        ours = [task for task in self.tasks if task["chain_id"] == chain["chain_id"]]
        return [
            task | {"parameters": self._parameters_of(task)}
            for task in sorted(ours, key=itemgetter("task_order", "task_id"))
        ]

    def _parameters_of(self, task: Row) -> list[object]:
        rows = [row for row in self.parameters if row["task_id"] == task["task_id"]]
        rows.sort(key=itemgetter("order_id"))
        return [row["value"] for row in rows if row["value"] is not None]


def import_chains(timetable: Timetable, client: str | None = None) -> Found:
    """Return the jobs that chains become.

    client: of pg_timetable; chains that only others run are left out.
    """
    found = Found("pg_timetable")
    for chain in sorted(timetable.chains, key=itemgetter("chain_id")):
        whose = chain.get("client_name")
        if client is not None and whose not in (None, client):
            found.leave_out(chain["chain_name"], f"only the client {whose} runs it")
            continue
        converter = _Chain(timetable, chain)
        found.add(converter.job(), *converter.notes)
    if not all("run_at_time_zone" in chain for chain in timetable.chains):
        found.notes.insert(0, Note(None, NO_ZONE.format(timetable.zone)))
    for task in timetable.tasks:
        if task["chain_id"] is None:
            name = f"task {task['task_id']}"
            found.leave_out(name, "it belongs to no chain, and so never runs")
    found.say_of_all(ALONE, MISSED)
    return found


class _Chain:
    """A chain on its way to be a job."""

    def __init__(self, timetable: Timetable, chain: Row) -> None:
        self.notes: list[str] = []
        self._timetable = timetable
        self._chain = chain
        self._tasks = timetable.tasks_of(chain)
        self._zone = chain.get("run_at_time_zone") or timetable.zone
        self._can_run = True

    def job(self) -> Attributes:
        """Return the job."""
        steps = [*self._steps()]
        schedule = self._schedule()
        self._say_what_differs()
        chain = self._chain
        on_error = chain.get("on_error")
        return job(
            chain["chain_name"],
            description=f"pg_timetable's on_error: {on_error}" if on_error else None,
            enabled=None if chain["live"] and self._can_run else False,
            timeout=_limit(chain),
            steps=steps or None,
            schedules=[schedule] if schedule else None,
        )

    def _say_what_differs(self) -> None:
        """Say what there is no counterpart of."""
        chain = self._chain
        if not self._can_run and chain["live"]:
            self.notes.append("disabled, because of what can't be taken over")
        elif not chain["live"]:
            self.notes.append("disabled, as it was")
        if (most := chain.get("max_instances")) is not None and most > 1:
            self.notes.append(f"max_instances = {most}: one run at a time here")
        if chain.get("exclusive_execution"):
            self.notes.append(
                "exclusive_execution is not taken over: others run beside it"
            )
        if whose := chain.get("client_name"):
            self.notes.append(
                f"client_name = {whose} is not taken over: any runner may run it; host"
                " names the only host whose runners may"
            )
        if chain.get("on_error"):
            self.notes.append(
                "on_error is not taken over: nothing is executed when the job fails;"
                " its text is in the description"
            )
        together = sum(map(_is_in_transaction, self._tasks))
        if together > 1:
            self.notes.append(
                f"its {together} SQL tasks that are not autonomous were one"
                " transaction, all of which a failure rolled back; each step commits by"
                " itself"
            )

    # When it runs.

    def _schedule(self) -> Attributes | None:
        chain = self._chain
        run_at = chain["run_at"]
        if chain.get("max_instances") == 0:
            self._refuse("max_instances = 0: pg_timetable never runs it")
        if run_at == "@reboot":
            return job(run_at, schedule=run_at)
        if run_at is not None and run_at.startswith(("@every", "@after")):
            return self._interval(run_at)
        if run_at is None:
            run_at = "* * * * *"
            self.notes.append("it had no run_at: that is each minute")
        if _is_moved_by_clocks(run_at, self._zone):
            self.notes.append(
                f"where the clocks of {self._zone} go forward, a time that is left out"
                " is made up for right after the gap; where they go back, a time that"
                " comes twice is used once. pg_timetable leaves out the one, and uses"
                " the other twice"
            )
        return job(run_at, schedule=_line(run_at), timezone=self._zone)

    def _interval(self, run_at: str) -> Attributes | None:
        seconds = self._timetable.seconds(run_at[len("@every") :])
        if not 1 <= seconds <= LONGEST:
            self._refuse(
                f'no schedule: the interval of "{run_at}" is not from one second to 366'
                " days"
            )
            return None
        if run_at.startswith("@after"):
            self.notes.append(
                f'"{run_at}" counted from the end of a run; now it is "@every", which'
                " counts from the schedule's start, whatever runs take"
            )
        else:
            self.notes.append(
                f'"{run_at}" counted from the start of pg_timetable; now it counts from'
                " the schedule's start"
            )
        return job(run_at, schedule=f"@every {_interval_of(seconds)}")

    # What it does.

    def _steps(self) -> Iterator[Attributes]:
        tasks = self._tasks
        if not tasks:
            self.notes.append("it has no tasks, and the job no steps")
        goes_itself = bool(self._chain.get("self_destruct"))
        width = len(str(len(tasks) + goes_itself))
        for number, task in enumerate(tasks, 1):
            name = task.get("task_name") or f"task {task['task_id']}"
            yield self._step(f"{number:0{width}} {name}", task)
        if goes_itself:
            self.notes.append(
                "self_destruct: its last step disables the job after a run without"
                " failure, where pg_timetable deletes the chain; the runner's login"
                " needs the right to change jobs"
            )
            yield job(
                f"{len(tasks) + 1:0{width}} disable this job",
                command="SELECT pgagent.alter_job("
                f"{literal(self._chain['chain_name'])}, active => false)",
            )

    def _step(self, name: str, task: Row) -> Attributes:
        try:
            attributes = self._action(task)
        except ValueError as e:
            self._refuse(f'step "{name}" is disabled: {e}')
            attributes = {
                "kind": "batch",
                "command": _remark(f"{task['kind']} {task['command']}"),
                "enabled": False,
            }
        if "timetable." in task["command"]:
            self.notes.append(
                f'step "{name}" speaks of pg_timetable\'s own schema or settings'
            )
        return job(
            name,
            **attributes,
            on_error="ignore" if task["ignore_error"] else None,
            timeout=_limit(task),
        )

    def _action(self, task: Row) -> Attributes:
        """Return what a step does; raise ValueError if there is no counterpart."""
        kinds = {"SQL": self._sql, "PROGRAM": _program, "BUILTIN": _builtin}
        if not task["command"].strip():
            raise ValueError("its command is empty")
        if _REFERENCE.search(json.dumps(task["parameters"])):
            raise ValueError("a secret of pg_timetable is among its parameters")
        return kinds[task["kind"]](task)

    def _sql(self, task: Row) -> Attributes:
        commands = [
            with_values(task["command"], _list(values, "the parameters"))
            for values in task["parameters"]
        ] or [task["command"]]
        is_split = len(commands) > 1 and task["autonomous"]
        command = ";\n".join(text.rstrip().rstrip(";") for text in commands)
        attributes: Attributes = {
            "command": commands[0] if len(commands) == 1 else command + ";\n",
            "mode": "autocommit" if is_split else None,
        }
        if any(
            isinstance(v, list) for values in task["parameters"] for v in values or ()
        ):
            self.notes.append("an array among the parameters is written as JSON")
        role = _role(task["run_as"])
        if task["database_connection"] is None:
            if role:
                self.notes.append(f"runs as {role} if allow_run_as() lets it")
            return attributes | {"database": self._timetable.database, "run_as": role}
        return attributes | self._elsewhere(task["database_connection"], role)

    def _elsewhere(self, connection: str, role: str | None) -> Attributes:
        """Return with which connection string a step runs."""
        if role:
            raise ValueError(
                f"run_as = {role} with a database_connection has no counterpart:"
                " connect as that role"
            )
        try:
            conninfo, had_secret = without_secrets(_REFERENCE.sub(_KEPT, connection))
        except ValueError as e:
            raise ValueError(f"its database_connection can't be used: {e}") from None
        if _KEPT in conninfo:
            raise ValueError("more than the password of its connection is a secret")
        if had_secret:
            self.notes.append(
                "the password of a database_connection is not taken over: keep it in a"
                " password file of the runner, or in passfile=secrets/NAME"
            )
        return {"conninfo": conninfo}

    def _refuse(self, reason: str) -> None:
        """Have the job be disabled."""
        self.notes.append(reason)
        self._can_run = False


# Secrets of pg_timetable 7, which it keeps encrypted.
_REFERENCE = re.compile(r"\$\{secret:[^}]*\}")
_KEPT = "kept-by-pg_timetable"


def _is_in_transaction(task: Row) -> bool:
    return (
        task["kind"] == "SQL"
        and not task["autonomous"]
        and task["database_connection"] is None
    )


def _limit(row: Row) -> str | None:
    """Return the time limit of a chain or task, if it has one."""
    milliseconds = row.get("timeout")
    return span(milliseconds) if milliseconds else None


def _list(values: object, what: str) -> list[object]:
    if values is None:
        return []
    if not isinstance(values, list):
        raise ValueError(f"{what} are no array")  # noqa: TRY004  it is data, not code
    return values


def _program(task: Row) -> Attributes:
    """Return the script that calls a program as pg_timetable does: without a shell."""
    calls = [
        " ".join(quoted(str(word)) for word in (task["command"].strip(), *arguments))
        for values in task["parameters"] or [None]
        for arguments in [_list(values, "the arguments")]
    ]
    if len(calls) > 1:  # all are made, whichever of them fail
        calls = ["failed=0", *(f"{call} || failed=1" for call in calls), "exit $failed"]
    return {"kind": "batch", "command": "\n".join(["#!/bin/sh", *calls, ""])}


def _builtin(task: Row) -> Attributes:
    """Return a step that does the same as a task of pg_timetable's own."""
    name = task["command"].strip()
    values = task["parameters"] or [None]
    if name == "NoOp":
        commands = ["SELECT 'NoOp'"]
    elif name == "Sleep" and all(type(value) is int for value in values):
        commands = [f"SELECT pg_catalog.pg_sleep({value})" for value in values]
    elif name == "Log":
        texts = [literal(value if value is not None else "") for value in values]
        commands = [f"SELECT {text} AS log" for text in texts]
    else:
        raise ValueError(f"there is nothing here that does what {name} does")
    return {"command": ";\n".join(commands)}


def _remark(text: str) -> str:
    """Return a script that does nothing but tell what should stand there."""
    lines = "".join(f"# {line}\n" for line in text.splitlines())
    return f"# Not taken over from pg_timetable:\n{lines}exit 1\n"


def _role(run_as: str | None) -> str | None:
    """Return the role that SET ROLE takes this for."""
    if not run_as or not run_as.strip():
        return None
    text = run_as.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text.lower()


def _line(run_at: str) -> str:
    """Return the five fields of pg_timetable as a schedule: with both kinds of days."""
    fields = run_at.split()
    if len(fields) != len(HIGHEST):
        return run_at
    fields = [
        re.sub(r"(?<![-*\d])(\d+)/", rf"\1-{highest}/", text)
        for text, highest in zip(fields, HIGHEST, strict=True)
    ]
    if not fields[2].startswith("*") and not fields[4].startswith("*"):
        fields[4] = "&" + fields[4]
    return " ".join(fields)


def _is_moved_by_clocks(run_at: str, zone: str) -> bool:
    """Whether a schedule names hours, in a zone whose clocks are changed."""
    hours = (run_at.split() + [""] * 2)[1]
    if hours == "*":
        return False
    try:
        key = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # not known here; the server may know it
        return zone.upper() not in ("UTC", "GMT")
    return _has_two_offsets(key)


def _has_two_offsets(zone: ZoneInfo) -> bool:
    months = (datetime(2031, month, 1, tzinfo=zone) for month in range(1, 13))
    return len({one.utcoffset() for one in months}) > 1


def _interval_of(seconds: int) -> str:
    """Return an interval as schedules have it: 1h30m."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = ((days, "d"), (hour, "h"), (minute, "m"), (second, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
