"""Several files that belong together: all of them are replaced, or none.

What belongs here: getting bytes to their names. What does not: the bytes (`writers`).

Every file is on the disk before the first one gets its name. Where a name cannot be taken, the names taken before it
get back what they had. A process that is killed between two names leaves whole files, of which some are the former.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from scizor_dagster.errors import InputError


def write_whole(
    contents: Iterable[tuple[str, bytes]], folder: Path, *, what: str, remedy: str, obsolete: Collection[str] = ()
) -> dict[str, Path]:
    """Write every content to its name under the folder, which is made where it is not there.

    Args:
        contents: Names, maybe with a folder of their own, and bytes; they may be made one after the other.
        folder: Where they go.
        what: What is written, as an error calls it at the beginning of a sentence.
        remedy: What an error says is to be done.
        obsolete: Names under the folder that go with the same step, where they are there.

    Raises:
        InputError: the folder cannot be made or written to, or a name is taken by something that is no file. Nothing
            was changed.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as scratch:
            names = _stage(contents, Path(scratch) / "fresh")
            for name in (*names, *obsolete):
                _require_file(folder / name, what)
            _replace_all(names, obsolete, folder, Path(scratch))
    except BaseException as error:
        _remove_empty(missing)
        if isinstance(error, OSError):
            problem = f"{what} cannot be written ({error.strerror})."
            raise InputError(problem, remedy=remedy, where=str(folder)) from error
        raise
    return {name: folder / name for name in names}


def _stage(contents: Iterable[tuple[str, bytes]], fresh: Path) -> list[str]:
    names = []
    for name, content in contents:
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        names.append(name)
    return names


def _require_file(path: Path, what: str) -> None:
    if path.exists() and not path.is_file():
        raise InputError(
            f"{what} cannot be written: something that is no file has this name.",
            remedy="Move it away, or name another folder with --out.",
            where=str(path),
        )


def _replace_all(names: Collection[str], obsolete: Collection[str], folder: Path, scratch: Path) -> None:
    """A mixed set would be two plans in one folder: where one name fails, what was there before comes back."""
    former, made, done = scratch / "former", list[Path](), list[str]()
    for name in (*names, *obsolete):
        if (folder / name).exists():
            (former / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, former / name)
    try:
        for name in names:
            parent = (folder / name).parent
            if not parent.exists():
                parent.mkdir()
                made.append(parent)
            os.replace(scratch / "fresh" / name, folder / name)
            done.append(name)
        for name in obsolete:
            (folder / name).unlink(missing_ok=True)
            done.append(name)
    except OSError:
        for name in done:
            if (former / name).exists():
                os.replace(former / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        _remove_empty(reversed(made))
        raise


def _remove_empty(folders: Iterable[Path]) -> None:
    """Take away folders that were made for nothing, the deepest first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
