"""What the kernel says of this process, under the names that all exporters use."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from pgagent_runner.exposition import Family

_SELF = Path("/proc/self")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_STARTED = 19  # the place of the start in `stat`, behind the name of the program


def families() -> Iterator[Family]:
    """Yield what is known; of other systems than Linux, less is."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield _family(
        *("process_cpu_seconds_total", usage.ru_utime + usage.ru_stime),
        *("Processor time of this process.", "counter"),
    )
    with suppress(OSError):
        pages = (_SELF / "statm").read_text().split()
        help_ = "Memory of this process that is resident."
        yield _family("process_resident_memory_bytes", int(pages[1]) * _PAGE, help_)
        help_ = "Addresses that this process has reserved."
        yield _family("process_virtual_memory_bytes", int(pages[0]) * _PAGE, help_)
    with suppress(OSError):
        help_ = "When this process started, in seconds since 1970."
        yield _family("process_start_time_seconds", _started(), help_)
    with suppress(OSError):
        open_ = sum(1 for _ in (_SELF / "fd").iterdir()) - 1  # that of this look
        yield _family("process_open_fds", open_, "Files and sockets that are open.")
    help_ = "Files and sockets that this process may have open."
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = float("inf") if limit == resource.RLIM_INFINITY else limit
    yield _family("process_max_fds", shown, help_)


@cache  # the clock may be set, and whoever sees another start believes in a new one
def _started() -> float:
    _, _, rest = (_SELF / "stat").read_text().rpartition(") ")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(rest.split()[_STARTED]) / _TICKS
    return round(time.time() - age, 2)


def _family(name: str, value: float, help_: str, kind: str = "gauge") -> Family:
    family = Family(name, kind, help_)
    family.add(value)
    return family
