"""What shells complete: verbs, options, and the names that are in the database.

A script per shell, made from the table of verbs. Names of jobs and ids of runs are
asked for by `pgagent completion --names`, which says nothing where it can't.
"""

import os
import re
import shlex
from pathlib import Path
from typing import LiteralString

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.verbs.database import connect, fetch
from pgagent_runner.verbs.frame import FAILED, Argument, Given, Verb, VerbError
from pgagent_runner.verbs.output import write_raw
from pgagent_runner.verbs.table import VERBS

_NAMES: dict[str, LiteralString] = {
    "jobs": "SELECT j.jobname, '' FROM pgagent.pga_job AS j ORDER BY j.jobname",
    "runs": """
        SELECT l.jlgid::text, j.jobname
        FROM pgagent.pga_joblog AS l JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid
        ORDER BY l.jlgid DESC LIMIT 20
    """,
}
_SHELLS = Path(__file__).parent / "shells"
_NOTHING = "''"  # is proposed where no further argument comes
_PATIENCE = "2"  # seconds: somebody has pressed the tab key


def print_completion(given: Given) -> int:
    """Print the script of a shell, or the names that it asks for."""
    if given.names:
        return _print_names(given)
    if given.shell is None:
        raise ConfigurationError("name the shell: bash, zsh or fish")
    write_raw(script(given.shell))
    return 0


def _print_names(given: Given) -> int:
    os.environ.setdefault("PGCONNECT_TIMEOUT", _PATIENCE)
    try:
        with connect(given) as session:
            rows = fetch(session, _NAMES[given.names]).rows
    except (VerbError, ConfigurationError):
        return FAILED
    names = [row for row in rows if "\n" not in row[0] and "\t" not in row[0]]
    lines = ["\t".join(filter(None, row)) for row in names]
    write_raw("".join(f"{line}\n" for line in lines))
    return 0


def script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _positionals(verb: Verb) -> list[Argument]:
    return [one for one in verb.all_arguments if not one.is_option]


def _options(verb: Verb) -> list[Argument]:
    return [one for one in verb.all_arguments if one.is_option]


def _proposals(one: Argument) -> str:
    return one.completes or " ".join(one.choices)


def _template(shell: str) -> str:
    return (_SHELLS / f"pgagent.{shell}").read_text()


def _bash() -> str:
    options, values = [], []
    for verb in VERBS:
        valued = [one for one in _options(verb) if not one.is_switch]
        flags = [flag for one in _options(verb) for flag in one.flags]
        places = [shlex.quote(_proposals(one)) for one in _positionals(verb)]
        if not places or _positionals(verb)[-1].nargs not in ("*", "+"):
            places.append(_NOTHING)
        options.append(
            f"        {verb.name})\n"
            f"            options='{' '.join([*flags, '--help'])}'\n"
            f"            valued='{' '.join(f for one in valued for f in one.flags)}'\n"
            f"            places=({' '.join(places)}) ;;"
        )
        for one in valued:
            if proposed := _proposals(one):
                cases = " | ".join(f"{verb.name}:{flag}" for flag in one.flags)
                word = shlex.quote(proposed)
                values.append(f"        {cases}) _pgagent_propose {word}; return ;;")
    text = _template("bash").replace("@VERBS@", " ".join(one.name for one in VERBS))
    text = text.replace("@OPTIONS@", "\n".join(options))
    return text.replace("@VALUES@", "\n".join(values))


def _short(text: str) -> str:
    """Return the beginning of a help text: what a menu has room for."""
    return re.split(r"[;:]|\. | \(default", text)[0]


def _zsh() -> str:
    verbs = [
        _quoted(f"{verb.name}:{verb.summary.replace(':', ' -')}") for verb in VERBS
    ]
    cases = []
    for verb in VERBS:
        specs = [spec for one in _options(verb) for spec in _zsh_option(verb, one)]
        specs.append("--help[show what the verb takes]")
        specs += [_zsh_place(one) for one in _positionals(verb)]
        lines = " \\\n".join(f"                {_quoted(spec)}" for spec in specs)
        cases.append(f"        {verb.name})\n            _arguments \\\n{lines} ;;")
    text = _template("zsh").replace("@OPTIONS@", "\n".join(cases))
    return text.replace("@VERBS@", "\n".join(f"            {one}" for one in verbs))


def _zsh_option(verb: Verb, one: Argument) -> list[str]:
    others = [
        flag
        for other in _options(verb)
        if other is one or (one.excludes and other.excludes == one.excludes)
        for flag in other.flags
    ]
    value = "" if one.is_switch else f":{one.metavar or 'value'}:{_zsh_action(one)}"
    excluded = f"({' '.join(others)})"
    return [f"{excluded}{flag}[{_bracketed(one.help)}]{value}" for flag in one.flags]


def _zsh_place(one: Argument) -> str:
    many = "*" if one.nargs in ("*", "+") else ""
    optional = ":" if one.nargs == "?" else ""
    return (
        f"{many}:{optional}{one.value.lower().replace('|', ' or ')}:{_zsh_action(one)}"
    )


def _zsh_action(one: Argument) -> str:
    if one.choices:
        return f"({' '.join(one.choices)})"
    actions = {"jobs": "_pgagent_jobs", "runs": "_pgagent_runs", "files": "_files"}
    return actions.get(one.completes, " ")


def _bracketed(text: str) -> str:
    return _short(text).replace("[", "").replace("]", "")


def _quoted(text: str) -> str:
    return shlex.quote(text)


def _fish() -> str:
    head = "complete -c pgagent -n __pgagent_no_verb -a"
    lines = [f"{head} {verb.name} -d {_quoted(verb.summary)}" for verb in VERBS]
    for verb in VERBS:
        head = f"complete -c pgagent -n '__pgagent_verb {verb.name}'"
        lines += [f"{head} {_fish_option(one)}" for one in _options(verb)]
        proposed = dict.fromkeys(map(_fish_values, _positionals(verb)))
        lines += [f"{head} {values}" for values in proposed if values]
    return _template("fish").replace("@LINES@", "\n".join(lines))


def _fish_option(one: Argument) -> str:
    flags = [
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
        for flag in one.flags
    ]
    value = [] if one.is_switch else ["-x" if one.completes != "files" else "-r -F"]
    return " ".join(
        [
            *flags,
            *value,
            *filter(None, [_fish_values(one)]),
            "-d",
            _quoted(_short(one.help)),
        ]
    )


def _fish_values(one: Argument) -> str:
    if one.choices:
        return f"-a '{' '.join(one.choices)}'"
    if one.completes in ("jobs", "runs"):
        return f"-a '(__pgagent_names {one.completes})'"
    return "-F" if one.completes == "files" and not one.is_option else ""
