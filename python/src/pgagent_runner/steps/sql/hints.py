"""What helps against errors of SQL steps that the server has no remedy for."""

import re
from itertools import islice

from pgagent_runner.model import Step, StepMode
from pgagent_runner.steps.sql.statements import LONGEST_TO_READ, split

# VACUUM, CREATE DATABASE and their kin; COMMIT and ROLLBACK in procedures.
_WANT_NO_TRANSACTION = ("25001", "2D000")
_SYNTAX_ERROR = "42601"
_TOO_LATE = "SET TRANSACTION"  # has the same SQLSTATE, and no mode helps

_BACKSLASH = re.compile(rb"^[ \t]*(\\(?:[A-Za-z]+|[.!?]))", re.MULTILINE)
_AT_A_COLON = re.compile(r'["„“«»]\s?:\s?["“”«»]')  # in whatever language
_VARIABLE = re.compile(rb"(?<![:\w]):(?:['\"{]?[A-Za-z_]\w*)")

_AUTOCOMMIT = (
    "{} With mode autocommit each statement commits by itself:"
    " UPDATE pgagent.pga_jobstep SET jstmode = 'autocommit' WHERE jstid = {}"
)


def hint(step: Step, code: bytes, sqlstate: str, message: str) -> str:
    """Return a line that tells a remedy for the error of a step, or ''."""
    text = ""
    code = code[:LONGEST_TO_READ]
    if sqlstate in _WANT_NO_TRANSACTION and _TOO_LATE not in message:
        text = _about_transactions(step, code)
    elif sqlstate == _SYNTAX_ERROR:
        text = _about_psql(code, message.partition("\n")[0])
    return text and f"HINT:  {text}."


def _about_transactions(step: Step, code: bytes) -> str:
    if step.mode == StepMode.ATOMIC:
        return _AUTOCOMMIT.format("An atomic step is one transaction.", step.id)
    if step.mode == StepMode.SINGLE and _has_several(code):
        sent = "All statements of the step are sent as one query, one transaction."
        return _AUTOCOMMIT.format(sent, step.id)
    return ""


def _has_several(code: bytes) -> bool:
    return len(list(islice(filter(None, split(code)), 2))) > 1


def _about_psql(code: bytes, message: str) -> str:
    if command := _BACKSLASH.search(code):
        return (
            f"{command[1].decode()} is a command of psql, not of SQL."
            " A step of kind batch may call psql; the server itself reads files and"
            " programs by COPY ... FROM"
        )
    if _AT_A_COLON.search(message) and (variable := _VARIABLE.search(code)):
        name = variable[0].decode(errors="backslashreplace")
        return (
            f"{name} looks like a variable of psql, which SQL does not have."
            " A step of kind batch may call psql"
        )
    return ""
