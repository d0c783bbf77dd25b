"""What processes use, as /proc tells."""

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def peak_rss(pids: Iterable[int]) -> float:
    """Return the most memory that these processes have had resident, in MB."""
    return _sum_of_status(pids, "VmHWM") / 1024


def rss(pids: Iterable[int]) -> float:
    """Return the memory that these processes have resident, in MB."""
    return _sum_of_status(pids, "VmRSS") / 1024


def threads(pids: Iterable[int]) -> int:
    """Return how many threads these processes have."""
    return _sum_of_status(pids, "Threads")


def pss(pids: Iterable[int]) -> float:
    """Return the memory of these processes, each page shared out to its users, in MB.

    Raises PermissionError if they are protected from whoever asks.
    """
    texts = [(PROC / str(pid) / "smaps_rollup").read_text() for pid in pids]
    return sum(_number(text, "Pss") for text in texts) / 1024


def cpu_seconds(pids: Iterable[int], *, children: bool = False) -> float:
    """Return the processor time of these processes, with that of ended children."""
    last = 15 if children else 13
    ticks = sum(int(n) for pid in pids for n in _stat(pid)[11:last])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    families: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            families.setdefault(int(stat[1]), []).append(int(entry.name))
    found = list(families.get(pid, []))
    for child in found:  # it grows meanwhile
        found += families.get(child, [])
    return found


def name(pid: int) -> str:
    """Return the name of a process's program; nothing, if it has ended."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """Return what follows the name in a process's stat; nothing, if it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _sum_of_status(pids: Iterable[int], what: str) -> int:
    texts = [(PROC / str(pid) / "status").read_text() for pid in pids]
    return sum(_number(text, what) for text in texts)


def _number(text: str, what: str) -> int:
    """Return the number of a line; 0 if there is no such line, as of a zombie."""
    _, found, rest = text.partition(f"{what}:")
    return int(rest.split()[0]) if found else 0
