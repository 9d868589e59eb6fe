"""Memory of processes as the kernel keeps it, in MB.

`ru_maxrss` is no measure of a child: it begins with what its parent had.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def rss_mb(pid: int) -> float:
    """What is resident, with pages that others share."""
    return _field(PROC / str(pid) / "status", "VmRSS:")


def peak_mb(pid: int) -> float:
    """The most that was ever resident."""
    return _field(PROC / str(pid) / "status", "VmHWM:")


def pss_mb(pid: int) -> float:
    """What is resident, each shared page divided by those that share it: sums over processes mean something."""
    return _field(PROC / str(pid) / "smaps_rollup", "Pss:")


def tree(pid: int) -> Iterator[int]:
    """The process and all of its children that live."""
    yield pid
    for task in (PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from tree(int(child))


def _field(path: Path, name: str) -> float:
    with path.open(encoding="ascii") as stream:
        line = next(line for line in stream if line.startswith(name))
    return int(line.split()[1]) / 1024
