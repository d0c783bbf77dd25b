"""The faults that a scenario can cause, and whether this machine lets it."""

import os
import secrets
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from farm import PEERS

BUFFER = 65536


class Proxy:
    """A way to the server that can be cut without either end being told.

    While it is cut, nothing is forwarded, nothing is closed, and what is sent waits, as
    packets that are lost and sent again do.
    """

    def __init__(self, server: str) -> None:
        """Lead to the Unix socket `server`, from a free port of 127.0.0.1."""
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = False

    def __enter__(self) -> Self:
        """Begin to forward."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the sessions and take no more."""
        self._closing = True
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Forward nothing from now on."""
        self._flowing.clear()

    def mend(self) -> None:
        """Forward again, what has piled up first."""
        self._flowing.set()

    def retarget(self, server: str) -> None:
        """Lead new sessions elsewhere, as a virtual address that has moved."""
        self._server = server

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                session = threading.Thread(
                    target=self._forward, args=[client], daemon=True
                )
                session.start()

    def _forward(self, client: socket.socket) -> None:
        self._flowing.wait()
        with (
            client,
            socket.socket(socket.AF_UNIX) as server,
            suppress(OSError),
        ):
            server.connect(self._server)
            other = {client: server, server: client}
            while not self._closing:
                for source in select.select(other, [], [], 1)[0]:
                    data = source.recv(BUFFER)
                    self._flowing.wait()
                    if not data:
                        return
                    other[source].sendall(data)


class Network:
    """A network namespace behind a router that can be told to swallow every packet.

    Unlike behind the proxy, both kernels see what happens at a broken switch: both ends
    stay up, and nothing is ever acknowledged.
    """

    def __init__(self) -> None:
        """Choose names; nothing is made yet."""
        mark = secrets.token_hex(2)
        self._router, self._far = f"pgc{mark}m", f"pgc{mark}r"
        self._near = f"pgc{mark}h"
        block = secrets.randbelow(250)
        self.server_address = f"10.213.{block}.1"
        self._addresses = [f"10.213.{block}.{n}" for n in (1, 2, 5, 6)]
        self._subnet = f"10.213.{block}.4/30"

    def __enter__(self) -> Self:
        """Make the namespaces; raise OSError or CalledProcessError if not permitted."""
        near, router_near, router_far, far = self._addresses
        try:
            _ip(f"netns add {self._router}")
            _ip(f"netns add {self._far}")
            _ip(f"link add {self._near} type veth peer name m0 netns {self._router}")
            _ip(f"-n {self._router} link add m1 type veth peer r0 netns {self._far}")
            _ip(f"addr add {near}/30 dev {self._near}")
            _ip(f"link set {self._near} up")
            for device, address in (("m0", router_near), ("m1", router_far)):
                _ip(f"-n {self._router} addr add {address}/30 dev {device}")
                _ip(f"-n {self._router} link set {device} up")
            _ip(f"-n {self._far} addr add {far}/30 dev r0")
            _ip(f"-n {self._far} link set r0 up")
            _ip(f"-n {self._far} route add default via {router_far}")
            _ip(f"route add {self._subnet} via {router_near}")
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the namespaces, and with them their devices."""
        for name in (self._router, self._far):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip(f"netns del {name}")

    def command(self) -> list[str]:
        """Return what to put before a command that is to run behind the router."""
        return ["ip", "netns", "exec", self._far]

    def cut(self) -> None:
        """Lose every packet."""
        self._forward("0")

    def mend(self) -> None:
        """Lose no more."""
        self._forward("1")

    def _forward(self, value: str) -> None:
        script = f"echo {value} >/proc/sys/net/ipv4/ip_forward"
        command = ["ip", "netns", "exec", self._router, "sh", "-c", script]
        subprocess.run(command, check=True, capture_output=True)


def why_no_network() -> str:
    """Return why there can be no `Network` here; '' if there can."""
    if shutil.which("ip") is None:
        return "the program ip is missing"
    try:
        with Network():
            return ""
    except (OSError, subprocess.CalledProcessError) as e:
        detail = getattr(e, "stderr", b"") or b""
        return f"no network namespaces here: {detail.decode().strip() or e}"


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


class Clock:
    """The clock of a process, wrong by what it is told, at any time."""

    def __init__(self, directory: Path, offset: str = "+0") -> None:
        """Keep the offset, such as "+3600" or "-1h", in a file of `directory`."""
        self._file = directory / f"clock-{secrets.token_hex(4)}"
        self.step(offset)

    def step(self, offset: str) -> None:
        """Let the clock jump."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.rename(self._file)

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which a process has this clock.

        Clocks that measure waiting are left alone: real ones do not jump either.
        """
        return {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def faketime_library() -> Path | None:
    """Return libfaketime for programs with threads, if dev/peers could fetch it."""
    return next(PEERS.glob("usr/lib/*/faketime/libfaketimeMT.so.1"), None)


@contextmanager
def small_disk(megabytes: int, owner: int) -> Iterator[Path]:
    """Give a file system of this size; raise CalledProcessError if not permitted."""
    path = Path(f"/tmp/pgagent-disk-{secrets.token_hex(4)}")
    path.mkdir(mode=0o700)
    options = f"size={megabytes}m,uid={owner},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield path
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
    finally:
        path.rmdir()


def fill(directory: Path) -> Path:
    """Fill a file system to the last byte; return the file that does."""
    path = directory / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def reuse_pid(wanted: int, fork: Callable[[], int], attempts: int = 50) -> bool:
    """Have `fork`, which returns a new process's id, get the wanted one.

    Raises OSError where the kernel does not let us choose.
    """
    for _ in range(attempts):
        LAST_PID.write_text(str(wanted - 1))
        if fork() == wanted:
            return True
    return False


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] != b"Z"


def processes_with(mark: str) -> list[int]:
    """Return the processes that have this word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if (
                mark.encode() in path.read_bytes()
                and int(path.parent.name) != os.getpid()
            ):
                found.append(int(path.parent.name))
    return [pid for pid in found if is_alive(pid)]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(condition: Callable[[], object], seconds: float) -> float | None:
    """Return the seconds until the condition held; None if it did not within these."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            return None
        time.sleep(0.01)
    return time.monotonic() - start
