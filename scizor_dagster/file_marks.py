"""Whether files were written since they were looked at, told by their marks alone.

What belongs here: the marks, and when one may be believed. What does not: what the files hold, and what is kept of it
(the lake's versions, the keys of the services).

Files are looked at and not opened: to close a file of SQLite gives up the locks that the process has on it elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SETTLED_NS = 30_000_000
"""A file that was written later than so long ago may be written once more without a sign of it: a kernel may count the
times of files in steps of ten milliseconds."""
Mark = tuple[int, ...]


def sqlite_files(path: Path) -> tuple[Path, Path]:
    """The files of a database in WAL mode of which every commit writes one."""
    return path, Path(f"{path}-wal")


def mark_of(files: Sequence[Path]) -> Mark:
    """Which file it is, when it was written and how long it is, of each; zeros where there is none."""
    return tuple(number for file in files for number in _written(file))


def is_settled(mark: Mark, now_ns: int) -> bool:
    """Whether a mark that was taken at `now_ns`, by the machine's clock, differs from that of any later write."""
    return now_ns - max(mark[1::3], default=now_ns) > SETTLED_NS


def _written(file: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size
