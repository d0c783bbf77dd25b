"""The machine: limits of processes, the locale, files with passwords, the service."""

import locale
import os
import pwd
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from psycopg import pq

from pgagent_runner.catalog import parse_conninfo
from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import Finding, fault, shell, warning
from pgagent_runner.options import descriptors_for

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PROCESSES_A_RUN = 3  # a guardian, a script, and what it starts
_OWN_PROCESSES = 10
_SERVICE = "pgagent.service"
_NOWHERE = "/nowhere/pgagent"  # a file that is not there


def limits(case: Case) -> Iterator[Finding]:
    """Look whether a process may have as many files and processes as runs need."""
    workers = case.options.workers or case.workers
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_for(workers)
    if files != resource.RLIM_INFINITY and files < needed:
        yield warning(
            "limits",
            f"a runner of {workers} jobs at a time may need {needed} files and"
            f" connections, and a process may have {files} open",
            f"ulimit -Hn {needed}, or systemd's LimitNOFILE={needed}",
        )
    needed = _OWN_PROCESSES + _PROCESSES_A_RUN * workers
    for told, free, remedy in _processes():
        if free < needed:
            yield warning(
                "limits",
                f"{workers} scripts at a time may need {needed} processes, and {told}",
                remedy.format(needed=needed),
            )


def _processes() -> Iterator[tuple[str, int, str]]:
    """Yield how many processes there may be besides those that there are."""
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:  # which it does not limit
        yield (
            f"this user may have {most}",
            most,
            "ulimit -Hu, or systemd's LimitNPROC={needed}",
        )
    for folder in _control_groups():
        try:
            text = (folder / "pids.max").read_text().strip()
            used = int((folder / "pids.current").read_text())
        except (OSError, ValueError):
            continue
        if text.isdigit():
            told = f"the control group has {used} of at most {text}"
            yield (told, int(text) - used, "systemd's TasksMax={needed}")


def _control_groups() -> Iterator[Path]:
    """Yield the control group of this process (version 2), and those around it."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            own = root / line.removeprefix("0::/")
            yield own
            yield from (one for one in own.parents if one.is_relative_to(root))


def words(case: Case) -> Iterator[Finding]:
    """Look whether this machine knows the locale that scripts get."""
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        names = ("LC_ALL", "LC_CTYPE", "LANG")
        which = next((name for name in names if case.environ.get(name)), "LC_…")
        value = case.environ.get(which, "")
        yield warning(
            "locale",
            f"this machine does not know the locale that {which} names: {value!r};"
            " programs of batch steps may complain",
            f"sudo locale-gen {value}, or {which}=C.UTF-8",
        )
    finally:
        locale.setlocale(locale.LC_ALL, "C")


def passwords(case: Case) -> Iterator[Finding]:
    """Look for files with passwords that libpq would ignore, or others can read."""
    path = _passfile(case)
    if path is None:
        return
    for finding in _of_passfile(path):
        yield finding
        # libpq would say with each connection that it ignores it.
        case.environ["PGPASSFILE"] = _NOWHERE


def _of_passfile(path: Path) -> Iterator[Finding]:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        yield fault("passwords", f"{path} can't be read: {e.strerror}", _own(path))
        return
    if not stat.S_ISREG(status.st_mode):
        told = f"{path} is no ordinary file: libpq ignores it"
        yield fault("passwords", told, "make it one, of mode 0600")
    elif status.st_mode & _OTHERS:
        told = f"others have rights on {path}: libpq ignores it"
        yield fault("passwords", told, shell("chmod", "0600", path))
    elif not os.access(path, os.R_OK):
        told = f"user {os.geteuid()} may not read {path}"
        yield fault("passwords", told, _own(path))


def _own(path: Path) -> str:
    return shell("sudo", "chown", str(os.geteuid()), path)


def _passfile(case: Case) -> Path | None:
    """Return the file of passwords that libpq looks into."""
    named = parse_conninfo(case.options.conninfo).get("passfile")
    if named := named or case.environ.get("PGPASSFILE"):
        return Path(str(named))
    try:
        # As libpq: HOME counts, and without it what the system says of the user.
        home = case.environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return None
    return Path(home, ".pgpass")


def services(case: Case) -> Iterator[Finding]:
    """Look whether libpq would wait for ever for the file of services."""
    named = case.environ.get("PGSERVICEFILE")
    home = case.environ.get("HOME")
    if not named and not home:
        return
    path = Path(named) if named else Path(str(home), ".pg_service.conf")
    if path.exists() and not (path.is_file() or path.is_dir()):
        told = (
            f"the file of services {path} is no ordinary file, and libpq waits for it"
        )
        yield fault("services", told, "make it one")
        case.environ["PGSERVICEFILE"] = _NOWHERE


def libpq(case: Case) -> Iterator[Finding]:
    """Look whether libpq keeps passwords of steps from being sent in clear."""
    if pq.version() < 160000 and not case.options.allow_clear_password:  # noqa: PLR2004
        yield warning(
            "versions",
            f"libpq {pq.version_pretty(pq.version())} can't keep a password from being"
            " sent in clear: steps with a connection string fail",
            "pip install 'psycopg[binary]', which has a newer one",
        )


def service(case: Case) -> Iterator[Finding]:
    """Look how the service of systemd is, if there is one."""
    if case.is_served or shutil.which("systemctl") is None:
        return
    names = ("LoadState", "ActiveState", "Result")
    command = ["systemctl", "show", _SERVICE, f"--property={','.join(names)}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=3
        )
    except (OSError, subprocess.SubprocessError):  # there is none to be asked
        return
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if found.get("LoadState") == "loaded" and found.get("ActiveState") == "failed":
        told = f"the service {_SERVICE} has failed ({found.get('Result')})"
        yield warning("service", told, f"journalctl -u {_SERVICE} -n 50")
