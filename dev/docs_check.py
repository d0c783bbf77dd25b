"""Follow the documents on a fresh Debian, to the letter: `make docs-check`.

What is typed there is taken from the pages (dev/documents.py), on a machine of its own
for each part: a copy of what debootstrap makes, in namespaces of its own. SUITE=trixie
chooses another Debian than bookworm, BASE=DIRECTORY what debootstrap has made already,
ONLY=word some of the parts. What was typed and answered is kept in
build/docs-check/.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from documents import block, inline

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/docs-check"
USER = "tester"
CLONE = f"/home/{USER}/pgagent"
MINUTES = 60.0
CONNINFO = "dbname=postgres"

# systemd's own, for a unit that sets none.
SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
# How this machine reaches the archives, if it needs more than others do.
HANDED_ON = re.compile(r"(?i)(.*_proxy|PIP_CERT|PIP_DEFAULT_TIMEOUT|SSL_CERT_FILE)$")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# A process that keeps the namespaces; all others of the machine die with it.
KEEP = """
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs -o mode=1777 shm "$0/dev/shm"
exec chroot "$0" sleep infinity
"""
# What a fresh installation of Debian has and a chroot lacks: a user who may use sudo,
# and somebody who says yes to apt. What is only recommended must not be needed.
KEPT = "DEBIAN_FRONTEND SYSTEMD_OFFLINE PIP_* SSL_CERT_FILE *_proxy"
FURNISH = f"""
apt-get -q update && apt-get -qy install --no-install-recommends sudo ca-certificates
useradd --create-home --shell /bin/bash {USER}
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
echo 'Defaults env_keep += "{KEPT}"' >>/etc/sudoers.d/{USER}
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/99docs
echo 'APT::Install-Recommends "false";' >>/etc/apt/apt.conf.d/99docs
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/99docs
"""
START_SERVER = """
for c in $(pg_lsclusters -h | cut -d' ' -f1); do pg_ctlcluster $c main start; done
"""


class DocumentError(Exception):
    """A document does not work when it is followed."""


class Machine:
    """A fresh Debian, the project in a user's home: `with Machine(...) as machine`."""

    def __init__(self, base: Path, folder: Path, log: IO[str]) -> None:
        """Copy the base into a folder; what happens is written into the log."""
        self.root = folder / "machine"
        self._log = log
        subprocess.run(["cp", "-a", base, self.root], check=True)

    def __enter__(self) -> Self:
        """Start it, and furnish it."""
        self._keeper = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-euc", KEEP, str(self.root)),
            ],
            stderr=self._log,
        )
        try:
            self._pid = self._first_process()
            shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
            self.root_types(FURNISH)
            if CERTIFICATES.exists():
                shutil.copy(CERTIFICATES, self.root / CERTIFICATES.relative_to("/"))
            self._copy_project()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all that runs on it."""
        self._keeper.kill()
        self._keeper.wait()
        # What it has had mounted is gone with its last process.
        until(lambda: not Path(f"/proc/{self._pid}").exists(), 10, "its end")

    def _first_process(self) -> str:
        """Wait for the process that all others are entered through; return its id."""
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children")
        until(children.read_text, 10, "the machine's first process")
        pid = children.read_text().split()[0]
        root = Path(f"/proc/{pid}/root")
        until(lambda: root.readlink() == self.root, 10, "the machine")
        return pid

    def _copy_project(self) -> None:
        """Copy what a clone would have, and what is not committed yet."""
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            text=True,
        )
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                target = self.root / CLONE.lstrip("/") / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self.root_types(f"chown -R {USER}: {CLONE}")

    def types(self, command: str, *, stdin: str = "", refused: bool = False) -> str:
        """Have the user type this in the project's folder; return what is answered.

        Raises DocumentError if it fails, or if it does not although it should.
        """
        # A login of its own each time, as somebody has who opens another terminal.
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        words += ["env", f"HOME=/home/{USER}", f"USER={USER}", f"LOGNAME={USER}"]
        words += ["bash", "-lc", f"cd {CLONE}; set -e; {command}"]
        return self._execute(words, command, USER, stdin, refused=refused)

    def root_types(self, command: str) -> str:
        """Have root type this."""
        return self._execute(["bash", "-lc", f"set -e; {command}"], command, "root")

    def starts(self, command: str) -> None:
        """Have the user start this, and go on."""
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        words += ["env", f"HOME=/home/{USER}", f"USER={USER}"]
        self._log.write(f"\n{USER}$ {command} &\n")
        self.start([*words, "bash", "-lc", f"cd {CLONE}; exec {command}"])

    def start(self, words: list[str], environ: dict[str, str] | None = None) -> None:
        """Start a program, which ends with the machine; what it says is logged."""
        self._log.flush()
        subprocess.Popen(
            [*self._inside(environ), *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return (self.root / path.lstrip("/")).read_text()

    def _inside(self, environ: dict[str, str] | None = None) -> list[str]:
        known = {n: v for n, v in os.environ.items() if HANDED_ON.match(n)}
        known |= {"LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        known |= {"SYSTEMD_OFFLINE": "1"} | (environ or {})
        enter = [
            "nsenter",
            f"--target={self._pid}",
            "--mount",
            "--pid",
            "--root",
            "--wd",
        ]
        variables = [f"{name}={value}" for name, value in known.items()]
        return [*enter, "env", "-i", f"PATH={SERVICE_PATH}:/sbin:/bin", *variables]

    def _execute(
        self,
        words: list[str],
        command: str,
        user: str,
        stdin: str = "",
        *,
        refused: bool = False,
    ) -> str:
        self._log.write(f"\n{user}$ {command}\n{stdin}")
        done = subprocess.run(
            [*self._inside(), *words],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._log.write(done.stdout)
        self._log.flush()
        if (done.returncode != 0) != refused:
            raise DocumentError(
                f"exit code {done.returncode} of\n{command}\n{done.stdout[-3000:]}"
            )
        return done.stdout


def until(is_so: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something; raises DocumentError if it does not come."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise DocumentError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(1)


def expect(text: str, wanted: str) -> None:
    """Expect this in what was answered."""
    if wanted not in text:
        raise DocumentError(f"{wanted!r} is not in\n{text[-3000:]}")


# What is typed on the way.


def major(machine: Machine) -> str:
    """Return the number of the server, as its packages have it."""
    return machine.root_types("pg_lsclusters -h").split()[0]


def with_server(machine: Machine, packages: str = "") -> None:
    """Have a server, as somebody has who wants jobs for it."""
    machine.root_types(f"apt-get -qy install postgresql {packages}; {START_SERVER}")
    machine.types(inline("README.md", "sudo -u postgres createuser"))


def sql(machine: Machine, text: str, database: str = "postgres") -> str:
    """Have psql execute this; return what it prints without any ornament."""
    psql = f"psql -XAtq -v ON_ERROR_STOP=1 -d {database}"
    return machine.types(psql, stdin=text).strip()


def runs_of(machine: Machine, job: str) -> int:
    """Return how many runs of a job have succeeded."""
    log = "pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid"
    condition = f"jobname = '{job}' AND jlgstatus = 's'"
    return int(sql(machine, f"SELECT count(*) FROM {log} WHERE {condition}"))


def see_runs(machine: Machine, job: str) -> None:
    """See that a job is run."""
    before = runs_of(machine, job)
    until(lambda: runs_of(machine, job) > before, 2 * MINUTES, f"a run of {job}")


def with_conninfo(command: str) -> str:
    """Put a connection string where a document has dots."""
    return re.sub(r'"host=…[^"]*"|"…"', f'"{CONNINFO}"', command)


def lines_of(text: str) -> list[str]:
    """Return the lines of a block without comments."""
    return [line.split("  #")[0].rstrip() for line in text.splitlines()]


# The parts.


def installing(machine: Machine) -> None:
    """README: a server, the extension, a runner and a first job; the demo."""
    machine.root_types(inline("README.md", "apt install make git"))
    told = machine.types(block("README.md", "sudo apt install make git"))
    machine.root_types(START_SERVER)
    number = major(machine)
    expect(told, f"files are in /usr/share/postgresql/{number}/extension")
    machine.types("pgagent --version")  # in a new login
    root_owned = machine.types("find . -user root")
    if root_owned:
        raise DocumentError(f"make install has left files of root's: {root_owned}")
    named = inline("README.md", "sudo make install PG_CONFIG=")
    machine.types(named.replace("/15/", f"/{number}/"))
    machine.types(inline("README.md", "sudo -u postgres createuser"))
    psql = inline("README.md", "psql -d postgres")
    machine.types(psql, stdin=block("README.md", "CREATE EXTENSION pgagent"))
    machine.starts(block("README.md", "pgagent run"))
    see_runs(machine, "tick")

    plpython = block("docs/python.md", "sudo apt install postgresql-plpython3")
    machine.types(plpython.replace("-15", f"-{number}"))
    machine.types(
        psql, stdin=block("docs/python.md", "CREATE EXTENSION pgagent_python")
    )
    # The second line would test all that is tested already.
    demo, _ = lines_of(block("README.md", "make demo"))
    expect(machine.types(demo), "What has run")


def service(machine: Machine) -> None:
    """docs/operating.md: a service with a user, a path and a password of its own."""
    machine.root_types("apt-get -qy install systemd")
    machine.types(block("README.md", "sudo apt install make git"))
    with_server(machine)
    sql(machine, "CREATE EXTENSION pgagent")
    sql(machine, block("docs/security.md", "CREATE ROLE pgagent_runner"))
    machine.types(block("docs/operating.md", "sudo apt install adduser"))
    machine.types(block("docs/operating.md", "psql -d postgres -c"))
    # There is no systemd here to start it: that comes below.
    enable = block("docs/operating.md", "sudo install -m 644 systemd")
    machine.types(enable.replace("enable --now", "enable"))

    unit = "/etc/systemd/system/pgagent.service"
    told = machine.root_types(f"systemd-analyze verify --man=no {unit} 2>&1")
    if told.strip():
        raise DocumentError(f"systemd finds fault with the unit: {told}")
    start_as_systemd_does(machine, machine.read(unit))
    sql(machine, "SELECT pgagent.schedule('often', '1 second', 'SELECT 1')")
    see_runs(machine, "often")
    machine.types(block("docs/operating.md", "make all\nsudo env PIPX_HOME"))


def start_as_systemd_does(machine: Machine, unit: str) -> None:
    """Start what a unit says, as whom and with which environment it says."""
    said = dict(re.findall(r"^(\w+)=-?(.+)$", unit, re.MULTILINE))
    user, words = said["User"], said["ExecStart"].split()
    lines = machine.read(said["EnvironmentFile"]).splitlines()
    environ = dict(line.split("=", 1) for line in lines if "=" in line)
    home = machine.root_types(f"getent passwd {user}").split(":")[5]
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    environ |= {"PATH": SERVICE_PATH, "HOME": home, "USER": user}
    machine.start([*drop, *words], environ)


def installed_4_2(machine: Machine) -> None:
    """Have Debian's pgAgent at work, with a job of every minute."""
    with_server(machine, "pgagent")
    sql(machine, "CREATE EXTENSION pgagent")
    every = "array_fill(false, ARRAY[{}])".format
    sql(
        machine,
        f"""
        INSERT INTO pgagent.pga_job (jobid, jobjclid, jobname) VALUES (1, 1, 'old');
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
        VALUES (1, 'a', 's', 'SELECT 1', 'postgres');
        INSERT INTO pgagent.pga_schedule
            (jscjobid, jscname, jscminutes, jschours, jscweekdays, jscmonthdays,
             jscmonths)
        VALUES (1, 'a', {every(60)}, {every(24)}, {every(7)}, {every(32)},
                {every(12)});
        """,
    )
    machine.starts(f'/usr/bin/pgagent -f -t 1 "{CONNINFO}"')
    see_runs(machine, "old")


def type_take_over(machine: Machine, text: str) -> None:
    """Type the lines of a take-over, the last of which starts the runner."""
    *lines, last = lines_of(text)
    for line in lines:
        machine.types(line.replace("psql ", "psql -d postgres "))
    start_runner(machine, last)


def start_runner(machine: Machine, line: str) -> None:
    """Start a runner by a line of a document, and see that it runs a job."""
    machine.starts(with_conninfo(line))
    see_runs(machine, "old")
    version = "SELECT max(extversion) FROM pg_extension WHERE extname = 'pgagent'"
    if sql(machine, version) == "4.2":
        raise DocumentError("the update has not been done")


def taking_over(machine: Machine) -> None:
    """README: from Debian's pgAgent at work to the runner."""
    installed_4_2(machine)
    type_take_over(machine, block("README.md", "sudo apt remove pgagent"))


def upgrading(machine: Machine) -> None:
    """docs/upgrading.md: the update, the way back, and Debian's package beside."""
    installed_4_2(machine)
    machine.types(
        block(
            "docs/upgrading.md",
            "sudo apt remove pgagent\nsudo apt-mark hold pgagent\nsudo apt install",
        )
    )
    update = block("docs/upgrading.md", "psql -c 'ALTER EXTENSION")
    machine.types(update.replace("psql", "psql -d postgres"))
    stop, start = lines_of(block("docs/upgrading.md", "sudo sh -c"))
    machine.types(stop)
    start_runner(machine, start)

    machine.root_types("kill $(pidof -x pgagent)")
    fetch, start = lines_of(block("docs/upgrading.md", "apt download pgagent"))
    machine.types(fetch)
    machine.starts(with_conninfo(start))
    see_runs(machine, "old")
    machine.types(inline("docs/upgrading.md", "apt show pgagent"))

    beside(machine)
    from_5_0(machine)


def beside(machine: Machine) -> None:
    """Install Debian's package over ours, and put ours back."""
    install_theirs = f"sudo {inline('docs/upgrading.md', 'apt install pgagent')}"
    machine.types(install_theirs, refused=True)  # it is held
    machine.root_types("apt-mark unhold pgagent")
    machine.types(install_theirs)
    machine.types("psql -d postgres -c 'ALTER EXTENSION pgagent UPDATE'", refused=True)
    machine.types(f"sudo {inline('docs/upgrading.md', 'apt remove pgagent')}")
    sql(machine, "CREATE DATABASE fresh")
    psql = "psql -d fresh -c 'CREATE EXTENSION pgagent'"
    machine.types(psql, refused=True)
    machine.types(
        block(
            "docs/upgrading.md",
            "sudo apt remove pgagent\nsudo apt-mark hold pgagent\nsudo make install",
        )
    )
    machine.types(psql)
    expect(sql(machine, r"\dx pgagent", "fresh"), version())


def from_5_0(machine: Machine) -> None:
    """Update both extensions and the runner from the version before."""
    folder = f"/usr/share/postgresql/{major(machine)}/extension"
    machine.root_types(f"cp {CLONE}/tests/baseline/*.sql {folder}")
    sql(machine, "DROP EXTENSION pgagent; CREATE EXTENSION pgagent VERSION '5.0.0'")
    python = (ROOT / "tests/baseline/pgagent_python--5.0.0.sql").exists()
    if python:
        machine.root_types(f"apt-get -qy install postgresql-plpython3-{major(machine)}")
        sql(machine, "CREATE EXTENSION plpython3u")
        sql(machine, "CREATE EXTENSION pgagent_python VERSION '5.0.0'")
    for line in lines_of(
        block("docs/upgrading.md", "make all\nsudo make install\npsql")
    ):
        if python or "pgagent_python" not in line:
            machine.types(line.replace("psql ", "psql -d postgres "))
    expect(sql(machine, r"\dx pgagent"), version())


def version() -> str:
    """Return the version of this project."""
    control = (ROOT / "extension/pgagent.control").read_text()
    return control.partition("default_version = '")[2].partition("'")[0]


def without_extension(machine: Machine) -> None:
    """docs/plain.md: the catalogue by `pgagent init`."""
    machine.root_types("apt-get -qy install make pipx")
    with_server(machine)
    *lines, run = lines_of(block("docs/plain.md", "make all"))
    for line in lines:
        machine.types(with_conninfo(line))
    sql(machine, "SELECT pgagent.schedule('often', '1 second', 'SELECT 1')")
    machine.starts(with_conninfo(run))
    see_runs(machine, "often")

    sql(machine, "CREATE DATABASE other")
    dry = inline("docs/plain.md", "pgagent init --dry-run").replace("…", "dbname=other")
    machine.types(dry)
    expect(sql(machine, "SELECT pgagent.pgagent_version()", "other"), version())
    machine.types(inline("docs/plain.md", "pipx install --force"))
    update = inline("docs/plain.md", "pgagent update CONNINFO")
    machine.types(update.replace("CONNINFO", CONNINFO))


PARTS = {
    "installing": installing,
    "service": service,
    "taking over": taking_over,
    "upgrading": upgrading,
    "without extension": without_extension,
}


@contextmanager
def base_directory() -> Iterator[Path]:
    """Give a directory with a fresh Debian.

    Raises SystemExit with what is missing.
    """
    if os.geteuid() != 0:
        sys.exit("docs-check: it makes machines by chroot, so it has to be run as root")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5432)) == 0:
            sys.exit("docs-check: stop what listens on port 5432, which machines share")
    if base := os.environ.get("BASE"):
        yield Path(base)
        return
    if not shutil.which("debootstrap"):
        sys.exit(
            "docs-check: apt install debootstrap, or BASE=DIRECTORY that it has made"
        )
    suite = os.environ.get("SUITE") or "bookworm"
    directory = ROOT / "build/docs-check" / suite
    if not (directory / "etc/debian_version").exists():
        print(f"docs-check: debootstrap makes {directory}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", suite, str(directory)]
        with (LOGS / "debootstrap.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log)
    yield directory


def main() -> int:
    """Try the parts; return how many documents do not work."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # machines are removed then
    only = os.environ.get("ONLY") or ""
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = 0
    with base_directory() as base:
        for name, part in PARTS.items():
            if only in name:
                failed += not works(base, name, part)
    return failed


def works(base: Path, name: str, part: Callable[[Machine], None]) -> bool:
    """Try a part on a machine of its own, and print how it went."""
    begin = time.monotonic()
    debian = (base / "etc/debian_version").read_text().strip()
    path = LOGS / f"{name.replace(' ', '-')}-{debian}.log"
    folder = Path(tempfile.mkdtemp(prefix="pgagent-docs-"))
    problem = ""
    try:
        with path.open("w") as log, Machine(base, folder, log) as machine:
            part(machine)
    except DocumentError as e:
        problem = str(e)
    finally:
        shutil.rmtree(folder)
    seconds = time.monotonic() - begin
    verdict = "FAILS" if problem else "works"
    print(f"{verdict}  Debian {debian}, {name}: {seconds:.0f} s", flush=True)
    if problem:
        print(f"{problem}\n{path.relative_to(ROOT)} has it all", flush=True)
    return not problem


if __name__ == "__main__":
    sys.exit(bool(main()))
