"""A SQLite file copied as it is at one instant, by a process of its own.

What belongs here: that copy, and nothing that needs more than the standard library: the process is this file. What does
not: what the copy is for (`moving`).

SQLite's locks belong to a process and not to a connection, and DuckDB brings a SQLite of its own along: whoever opens a
catalog a second time in one process, and closes it, takes the locks of the other connection away with it, and may take
its journal for left over.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path


def take(source: Path, target: Path) -> None:
    """Copy the database `source`, which others may have open, to the new file `target`.

    Raises:
        OSError: it cannot be read or written.
    """
    command = [sys.executable, "-I", __file__, source.resolve().as_uri(), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(None, (done.stderr.strip().splitlines() or ["the copy has ended early"])[-1], str(source))


def _main(source: str, target: str) -> None:
    with closing(sqlite3.connect(f"{source}?mode=rw", uri=True)) as found, closing(sqlite3.connect(target)) as copied:
        found.backup(copied)
        copied.execute("PRAGMA journal_mode=DELETE")


if __name__ == "__main__":
    _main(*sys.argv[1:])
