"""Batch steps: a script in a private directory, run as a process group."""

import errno
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping

from pgagent_runner.model import Run, Step
from pgagent_runner.steps.batch.nursery import Nursery
from pgagent_runner.steps.batch.script import (
    Request,
    Script,
    StartError,
    describe_signal,
    supervised,
)
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.users import User

_INHERITED = frozenset(
    ("PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR")
)

# The kernel takes no variable above 128 KiB, and a character has up to 4 bytes.
_LONGEST_NAME = 16 * 1024

_NOT_FOUND = 127  # the shell's exit codes
_NOT_EXECUTABLE = 126


def batch_environment(
    environ: Mapping[str, str], extra_names: Iterable[str] = ()
) -> dict[str, str]:
    """Select what batch steps may see: the usual names, `LC_*` and the extra ones.

    Nothing that libpq reads (`PG*`) is passed on, not even by an extra name.
    """
    allowed = _INHERITED.union(extra_names)
    return {
        name: value
        for name, value in environ.items()
        if (name in allowed or name.startswith("LC_")) and not name.startswith("PG")
    }


async def run_script(  # noqa: PLR0913, PLR0917
    step: Step,
    run: Run,
    settings: StepSettings,
    cancellation: Cancellation,
    output: BoundedOutput,
    nursery: Nursery,
    on_start: Callable[[Script], None],
) -> int:
    """Run the step's script and return 0, its exit code.

    Raise StepError with any other code (-N for signal N), StepAbortedError when
    cancelled, OSError if the system has no room for it. `on_start` is called as soon as
    there is something to be kept alive; what the script has used is known afterwards.
    """
    code = _normalized(step.code)
    directory = _new_directory(settings.environment.get("TMPDIR"))
    command = [*_interpreter(code), os.fsencode(f"{directory}/script")]
    user = settings.batch_users.user_for(step.owner)
    environment = _environment(step, run, _as_of(user, settings.environment))
    whom = None if user is None else (user.uid, user.gid, user.groups, user.home)
    request = Request(command, environment, directory, code, user=whom)
    try:
        async with supervised(
            nursery, request, output, settings.lease, cancellation
        ) as script:
            on_start(script)
            await _wait(script, settings, cancellation, output)
    except StartError as error:
        raise _unusable(command[0], error) from None
    exit_code = script.exit_code or 0
    if exit_code < 0:
        raise StepError(
            f"killed by {describe_signal(-exit_code)}", exit_code, cause=str(exit_code)
        )
    if exit_code > 0:
        raise StepError(
            "", exit_code, reason=f"exit code {exit_code}", cause=str(exit_code)
        )
    return exit_code


async def _wait(
    script: Script,
    settings: StepSettings,
    cancellation: Cancellation,
    output: BoundedOutput,
) -> None:
    """See the script to its end, and its output to the end or as long as allowed."""
    try:
        await script.wait_for_exit(cancellation)
        drained = await script.drain(settings.drain_time, cancellation)
    except StepAbortedError as aborted:
        await script.terminate(settings.kill_grace)
        code = script.exit_code
        raise StepAbortedError(str(aborted), -1 if code is None else code) from None
    if not drained:
        await script.terminate_group(settings.kill_grace)
        output.line(
            "a background process held the output open after the script had ended;"
            " the process group was terminated"
        )


def _normalized(code: str) -> bytes:
    """Undo what editors on Windows do to a script."""
    data = code.encode(errors="surrogateescape")
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")


def _new_directory(parent: str | None) -> str:
    """Give the name of a directory that nobody can foretell."""
    name = f"pgagent-{secrets.token_hex(8)}"
    return os.path.abspath(f"{parent or tempfile.gettempdir()}/{name}")  # noqa: PTH100


def _interpreter(code: bytes) -> list[bytes]:
    """Read the first line as the kernel does: a program and at most one argument."""
    first_line = code.partition(b"\n")[0]
    if first_line.startswith(b"#!"):
        words = first_line[2:].strip(b" \t").split(maxsplit=1)
        if words:
            return words
    return [b"/bin/sh"]


def interpreter_of(code: str) -> list[bytes]:
    """Return the program that runs a script, and the argument that it gets first."""
    return _interpreter(_normalized(code))


def _as_of(user: User | None, inherited: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with what a login of the user would change in it."""
    if user is None:
        return inherited
    own = {"HOME": user.home, "SHELL": user.shell}
    return {**inherited, **own, "USER": user.name, "LOGNAME": user.name}


def _environment(
    step: Step, run: Run, inherited: Mapping[str, str]
) -> dict[bytes, bytes]:
    own = {
        "PGAGENT_JOB_ID": str(run.job_id),
        "PGAGENT_JOB_NAME": run.job_name,
        "PGAGENT_RUN_ID": str(run.id),
        "PGAGENT_STEP_ID": str(step.id),
        "PGAGENT_STEP_NAME": step.name,
    }
    own = {name: value.replace("\0", "")[:_LONGEST_NAME] for name, value in own.items()}
    if run.input is not None:
        own["PGAGENT_INPUT"] = run.input  # of 100 kB at most
    # As bytes, since the locale's encoding may not know every character of a name.
    return {
        os.fsencode(name): os.fsencode(value) for name, value in inherited.items()
    } | {
        name.encode(): value.encode(errors="surrogateescape")
        for name, value in own.items()
    }


def _unusable(program: bytes, error: StartError) -> StepError | StartError:
    """Explain why the interpreter is of no use, if that is what the error means."""
    interpreter = program.decode(errors="backslashreplace")
    if error.errno == errno.ENOENT:
        return StepError(f"interpreter {interpreter} not found", _NOT_FOUND)
    if error.errno in {errno.EACCES, errno.ENOEXEC}:
        reason = f"interpreter {interpreter}: {error.strerror}"
        return StepError(reason, _NOT_EXECUTABLE)
    return error
