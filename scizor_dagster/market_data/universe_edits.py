"""Adding a line to a universe file and taking one out, without touching any other.

What belongs here: the edit of one file, whole or not at all. What does not: reading universes (`universe`), and what
the lake keeps of who left (`symbols`).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.universe import UniverseEntry, read_universe

_BOM = "\ufeff"


def add_line(path: Path, values: Mapping[str, str], market: str) -> UniverseEntry:
    """Add one instrument at the end of the file at `path`.

    Args:
        path: A universe file.
        values: By column; one that the file does not have is left out, one that is not given is empty.
        market: Name of its market, for the message of an error.

    Raises:
        InputError: the file cannot be used, or would not be one with that line; it stays as it is.
    """
    read_universe([path], market)
    text = path.read_bytes().decode("utf-8")
    ending = "\r\n" if "\r\n" in text else "\n"
    header = [name.strip() for name in next(csv.reader(text.removeprefix(_BOM).splitlines()))]
    line = io.StringIO()
    csv.writer(line, lineterminator=ending).writerow([values.get(name, "") for name in header])
    joined = text if text.endswith(("\n", "\r")) else text + ending
    entries = _replace(path, joined + line.getvalue(), market)
    return next(entry for entry in entries if entry.instrument.symbol == values["symbol"])


def remove_line(path: Path, entry: UniverseEntry, market: str) -> None:
    """Take the line of `entry` out of the file at `path`.

    Raises:
        InputError: the file would have no instrument left, or the entry stands on several lines; it stays as it is.
    """
    lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
    cells = next(csv.reader([lines[entry.line - 1]]), [])
    if entry.instrument.symbol not in [cell.strip() for cell in cells]:
        raise InputError(
            f"The line of {entry.instrument.symbol} goes over several lines of the file.",
            remedy="Take it out by hand.",
            where=f"{path}:{entry.line}",
        )
    _replace(path, "".join([*lines[: entry.line - 1], *lines[entry.line :]]), market)


def _replace(path: Path, text: str, market: str) -> tuple[UniverseEntry, ...]:
    """Put `text` in the place of the file at once, if it is a universe."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        entries = _read_draft(draft, path, market)
        draft.chmod(path.stat().st_mode)
        draft.replace(path)
    except OSError as error:
        raise InputError(
            f"The universe file cannot be written ({error.strerror}).",
            remedy="Give yourself the right to write the file and its folder.",
            where=str(path),
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return entries


def _read_draft(draft: Path, path: Path, market: str) -> tuple[UniverseEntry, ...]:
    try:
        return read_universe([draft], market)
    except InputError as error:
        where = (error.where or "").replace(str(draft), str(path))
        raise InputError(error.problem, remedy=f"{error.remedy} Nothing was changed.", where=where) from error
