"""Marks in a home: when something that should be done again and again was done last, for whoever watches.

What belongs here: leaving a mark and reading it. What does not: what leads to one (a backup that was verified), and how
old one may be (the alert rules). A mark says nothing that any decision rests on; a home without one is in order.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

BACKUP = "backup"
"""A backup of this home, written and verified."""


def leave(home: Path, name: str, at: datetime) -> None:
    """Say that it was done at `at`, in the file `marks/NAME` of the home, which is never half there.

    Raises:
        OSError: the home cannot be written.
    """
    folder = home / "marks"
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f".{name}.{os.getpid()}"
    written.write_text(at.astimezone(UTC).isoformat() + "\n", encoding="utf-8")
    written.replace(folder / name)


def left(home: Path, name: str) -> datetime | None:
    """When it was done last; None where it never was, or nobody can tell."""
    try:
        at = datetime.fromisoformat((home / "marks" / name).read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None
    return at if at.tzinfo is not None else None
