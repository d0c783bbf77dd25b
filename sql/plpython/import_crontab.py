"""Reads a user's crontab: what cron makes of each line, and how a job does the same."""

import getopt
import re
import shlex
from pathlib import PurePath

VARIABLE = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s"'=]+))\s*=\s*(.*)$""")
ENTRY = re.compile(r"\s*-?(@\S+|\S+(?:\s+\S+){4})\s+(.*)$")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
NICKNAMES = {
    *("@reboot", "@hourly", "@daily", "@midnight"),
    *("@weekly", "@monthly", "@yearly", "@annually"),
}
ZONES = ("CRON_TZ", "TZ")  # the first that is set counts
NOT_KEPT = {
    "MAILTO": "nobody gets mail: output is kept in the log",
    "MAILFROM": "nobody gets mail: output is kept in the log",
    "CONTENT_TYPE": "nobody gets mail: output is kept in the log",
    "CONTENT_TRANSFER_ENCODING": "nobody gets mail: output is kept in the log",
    "RANDOM_DELAY": "runs are not delayed at random",
}
LIKE_SH = {"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"}
NAME_LENGTH = 60
# What changes neither the effect of a command in psql nor where it runs.
PSQL_SHORT = "c:d:qwX"
PSQL_LONG = ["command=", "dbname=", "quiet", "no-password", "no-psqlrc"]
OF_SHORT = {"-c": "--command", "-d": "--dbname"}


def read_crontab(text, database):
    """Return a list with a dict for each line that means something.

    Keys: line (its number), command, action, and where they apply problem, refused; for
    a job also job_name, schedule, timezone, kind and database.

    database: where to run what is nothing but `psql -c`, as SQL; None: leave it a
    batch step.
    """
    variables, names, found = {}, set(), []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        variable, entry = VARIABLE.match(line), ENTRY.match(line)
        if variable:
            row = set_variable(variables, variable)
        elif entry:
            row = job(entry[1], entry[2], variables, database)
            row["job_name"] = unused(row["job_name"], names)
        else:
            row = refuse(line.strip(), "wanted are NAME=value, or five fields and a command")
        found.append({"line": number, **row})
    return found


def set_variable(variables, found):
    """Keep the value for the lines that follow; return what that means."""
    name = found[1] or found[2] or found[3]
    value = found[4].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    shown = f"{name}={value}"
    if name in NOT_KEPT:
        return {"command": shown, "action": "drop", "problem": NOT_KEPT[name]}
    if not IDENTIFIER.match(name):
        return refuse(shown, f'"{name}" is no name for a variable')
    variables[name] = value
    action = "set the time zone of" if name in ZONES else "set the variable for"
    return {"command": shown, "action": action + " the lines below"}


def refuse(command, problem):
    """Return the row of a line that can't be imported."""
    return {"command": command, "action": "refuse", "problem": problem, "refused": True}


def job(schedule, command, variables, database):
    """Return the row of a line that makes a job."""
    row = {
        "job_name": shortened(split_input(command)[0]),
        "schedule": schedule,
        "timezone": next((variables[z] for z in ZONES if z in variables), None),
        "action": "create",
    }
    if schedule.startswith("@") and schedule not in NICKNAMES:
        known = ", ".join(sorted(NICKNAMES))
        return {**row, **refuse(command, f"{schedule} is not known; cron has {known}")}
    if schedule == "@reboot":
        row["problem"] = "runs when an agent starts, not only after a boot of the host"
    sql = database and sql_of(command, variables, database)
    if sql:
        return {**row, "kind": "sql", "command": sql[0], "database": sql[1]}
    return {**row, "kind": "batch", "command": script(command, variables)}


def shortened(command):
    """Return the beginning of a command, as a name."""
    words = " ".join(command.split())
    return words if len(words) <= NAME_LENGTH else words[: NAME_LENGTH - 1] + "…"


def unused(name, names):
    """Return the name, with a number if it is in `names` already; remember it."""
    free, number = name, 1
    while free in names:
        number += 1
        free = f"{name} ({number})"
    names.add(free)
    return free


def script(command, variables):
    """Return a shell script that does what cron does with a command."""
    shell = variables.get("SHELL", "/bin/sh")
    command, text = split_input(command)
    interpreter, run = shell, command
    if PurePath(shell).name not in LIKE_SH or not shell.startswith("/") or " " in shell:
        interpreter, run = "/bin/sh", f"exec {shlex.quote(shell)} -c {shlex.quote(command)}"
    exports = (
        f"export {name}={shlex.quote(value)}"
        for name, value in variables.items()
        if name != "CRON_TZ"
    )
    lines = [f"#!{interpreter}", *exports, 'cd "${HOME:-/}" || exit']
    if text:
        lines += here_document(text)
    return "\n".join([*lines, run, ""])


def split_input(command):
    r"""Return the command and, after the first %, its input; "\%" is a percent sign."""
    whole = re.match(r"((?:[^\\%]|\\.|\\$)*)%?(.*)$", command)
    text = re.sub(r"(\\)?%", lambda m: "%" if m[1] else "\n", whole[2])
    return whole[1].replace("\\%", "%").strip(), text


def here_document(text):
    """Return the lines that make a text the standard input of what follows them."""
    if text.endswith("\n"):
        text = text[:-1]
    end = "END"
    while end in text.split("\n"):
        end += "_"
    return [f"exec <<'{end}'", text, end]


def sql_of(command, variables, database):
    """Return (SQL, database) of a command that is nothing but `psql -c`, else None."""
    if set(command) & set("$`%\\") or any(name.startswith("PG") for name in variables):
        return None
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.commenters = ""
        program, *words = lexer
        given, rest = getopt.gnu_getopt(words, PSQL_SHORT, PSQL_LONG)
    except (ValueError, getopt.GetoptError):
        return None
    given = [(OF_SHORT.get(name, name), value) for name, value in given]
    sql = [value for name, value in given if name == "--command"]
    databases = [value for name, value in given if name == "--dbname"] + rest
    plain = PurePath(program).name == "psql" and len(sql) == 1 and len(databases) < 2
    if not plain or any(re.search(r"=|://|^[();<>|&]+$", name) for name in databases):
        return None
    return sql[0], (databases or [database])[0]
