"""A weight file as it is now, beside what was accepted of it.

What belongs here: its bytes, and a line of it. What does not: which file and line are meant (`explain_facts`,
`explain_lines`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scizor_dagster.signals.readers import MAX_FILE_BYTES

_TEXT_FILES = (".csv", ".tsv", ".txt")
_LONGEST_LINE = 160


@dataclass(frozen=True)
class FileNow:
    """A weight file as it is now.

    Attributes:
        same: Whether its content is what was accepted; None where there is no such file to read.
        text: The line as it stands in a file of text; empty where it cannot be shown.
    """

    same: bool | None
    text: str


def content_of(path: Path) -> bytes | None:
    """The bytes of a weight file; None where it is gone, too large or not to be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None


def text_line(path: Path, data: bytes, line: int) -> str:
    """A line of a file of text, counted from 1; empty where the file is none, or shorter."""
    if path.suffix.lower() not in _TEXT_FILES:
        return ""
    lines = data.decode("utf-8", "replace").splitlines()
    if not 0 < line <= len(lines):
        return ""
    found = lines[line - 1]
    return found if len(found) <= _LONGEST_LINE else f"{found[:_LONGEST_LINE]} ..."
