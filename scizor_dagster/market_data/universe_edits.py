"""Adding a line to a universe file and taking one out, without touching any other.

What belongs here: the edit of one file, whole or not at all, and one at a time. What does not: reading universes
(`universe`), and what the lake keeps of who left (`symbols`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.universe import UniverseEntry, read_universe
from scizor_dagster.tabular.spreadsheet import csv_line

LOCK_SECONDS = 30.0
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
    with _one_at_a_time(path):
        read_universe([path], market)
        text = path.read_bytes().decode("utf-8")
        ending = "\r\n" if "\r\n" in text else "\n"
        header = [name.strip() for name in next(csv.reader(text.removeprefix(_BOM).splitlines()))]
        line = csv_line([values.get(name, "") for name in header], ending)
        joined = text if text.endswith(("\n", "\r")) else text + ending
        entries = _replace(path, joined + line, market)
    return next(entry for entry in entries if entry.instrument.symbol == values["symbol"])


def remove_line(path: Path, symbol: str, market: str) -> None:
    """Take the line of `symbol` out of the file at `path`, wherever it stands by now.

    Raises:
        InputError: the file would have no instrument left, the symbol stands on several lines, or on none any more;
            it stays as it is.
    """
    with _one_at_a_time(path):
        entries = read_universe([path], market)
        entry = next((entry for entry in entries if entry.instrument.symbol == symbol), None)
        if entry is None:
            raise InputError(
                f"{symbol} is not in the universe file any more.", remedy="Nothing is left to do.", where=str(path)
            )
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        cells = next(csv.reader([lines[entry.line - 1]]), [])
        if symbol not in [cell.strip() for cell in cells]:
            raise InputError(
                f"The line of {symbol} goes over several lines of the file.",
                remedy="Take it out by hand.",
                where=f"{path}:{entry.line}",
            )
        _replace(path, "".join([*lines[: entry.line - 1], *lines[entry.line :]]), market)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Read and replace the file while nobody else does: two edits from one reading would lose a line."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"Another process has been changing the universe file for more than {LOCK_SECONDS:.0f} s.",
            remedy="Wait for it, or end it; the lock goes with the process.",
            where=str(path),
        ) from error
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _cannot_be_written(path: Path, error: OSError) -> InputError:
    return InputError(
        f"The universe file cannot be written ({error.strerror}).",
        remedy="Give yourself the right to write the file and its folder.",
        where=str(path),
    )


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
        raise _cannot_be_written(path, error) from error
    finally:
        draft.unlink(missing_ok=True)
    return entries


def _read_draft(draft: Path, path: Path, market: str) -> tuple[UniverseEntry, ...]:
    try:
        return read_universe([draft], market)
    except InputError as error:
        where = (error.where or "").replace(str(draft), str(path))
        raise InputError(error.problem, remedy=f"{error.remedy} Nothing was changed.", where=where) from error
