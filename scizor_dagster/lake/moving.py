"""A lake taken elsewhere: its catalog with every state that is kept, and the files that it names.

What belongs here: copying both while others read and write, and telling that two lakes hold the same. What does not:
where an archive lies and what else is in it (`flow.archives`), and rows of a catalog on a server (`catalog_rows`).

Rows that DuckLake keeps in the catalog itself are written into files first, as the weekly clean-up does: the catalog
then holds nothing but what names files, and is the same on every kind of database.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from scizor_dagster import table_copies
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.lake import taking
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.inlined import drop_inlined, flush
from scizor_dagster.lake.location import LakeLocation

CATALOG = "catalog.sqlite"
DATA = "data"
_ATTEMPTS = 20
_CHUNK = 1 << 20
_OF_A_TABLE = """
    SELECT DISTINCT s.path, s.path_is_relative, t.path, t.path_is_relative, f.path, f.path_is_relative,
        f.file_size_bytes
    FROM {files} f JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id
"""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a catalog names: its path below the lake's data, and its size."""

    path: str
    bytes: int


def copy_lake(lake: Lake, folder: Path) -> Iterator[tuple[str, str]]:
    """Copy a lake into the empty `folder`, as an embedded one; path and SHA-256 of each file of data, as it is copied.

    Raises:
        InputError: its data lies in an object store.
        DataError: a file that the catalog names is gone, or others write without end.
        OSError: something cannot be read or written.
    """
    require_folder(lake.location)
    copy_catalog(lake, folder / CATALOG)
    yield from copy_data(Path(lake.location.data_path), folder / CATALOG, folder / DATA)


def require_folder(location: LakeLocation) -> None:
    """Refuse an object store, whose files are not copied from here.

    Raises:
        InputError: the lake's data lies in one.
    """
    if location.in_object_store:
        raise InputError(
            "The lake's data lies in an object store, which is not copied from here.",
            remedy="Let the store keep versions or a replica of it, and give --only ledger.",
            where=location.data_path,
        )


def copy_catalog(lake: Lake, target: Path) -> None:
    """Write the catalog, as it is at one instant, into the new file `target`; every row of it is in files.

    Raises:
        DataError: others write without end.
    """
    take = _take_file if lake.location.lock_path is not None else _take_from_server
    for _ in range(_ATTEMPTS):
        flush(lake)
        with lake.at_rest():
            if take(lake, target):
                return
    raise DataError(
        "Others write to the lake without a pause.",
        remedy="Nothing was written. Try again when they are through.",
        where=lake.location.place,
    )


def _take_file(lake: Lake, target: Path) -> bool:
    taking.take(Path(lake.location.catalog.partition(":")[2]), target)
    with closing(sqlite3.connect(target)) as copied:
        if not drop_inlined(copied):
            return False
        # Files that wait to be deleted belong to no state any more.
        copied.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
        copied.commit()
        return True


def _take_from_server(lake: Lake, target: Path) -> bool:
    from scizor_dagster.lake.catalog_rows import engine_of, take_from_server

    with TemporaryDirectory(dir=target.parent) as scratch:
        empty = Lake(LakeLocation.embedded(Path(scratch)))
        empty.snapshot()
        empty.close()
        taking.take(Path(scratch) / CATALOG, target)
    engine = engine_of(lake.location)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            return take_from_server(connection, target)
    finally:
        engine.dispose()


def data_files(catalog: Path) -> list[DataFile]:
    """Every file that any state of a catalog names.

    Raises:
        DataError: one lies outside of the lake's own folder.
    """
    found: list[DataFile] = []
    with closing(table_copies.opened_still(catalog)) as connection:
        for table in ("ducklake_data_file", "ducklake_delete_file"):
            for *steps, size in connection.execute(_OF_A_TABLE.format(files=table)):
                found.append(DataFile(_joined(steps, catalog), int(size)))
    return sorted(set(found), key=lambda item: item.path)


def copy_data(source: Path, catalog: Path, target: Path) -> Iterator[tuple[str, str]]:
    """Copy the files that `catalog` names from the folder `source` to `target`; path and SHA-256 of each.

    One that is there already, with the same content, stays: names of files are never used twice.

    Raises:
        DataError: one is gone, or is not as long as the catalog says.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in data_files(catalog):
        origin, copy = source / file.path, target / file.path
        if not origin.is_file() or origin.stat().st_size != file.bytes:
            raise DataError(
                f"The lake's file {file.path} is missing or cut off.",
                remedy="Nothing was written. See: scizor doctor. Restore the lake from an older backup, or collect "
                "what it held again.",
                where=str(source),
            )
        digest = copy_file(origin, copy)
        yield file.path, digest


def copy_file(source: Path, target: Path) -> str:
    """Copy one file so that it stays, and return its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def contents_of(lake: Lake) -> dict[str, tuple[int, str]]:
    """By table of the newest state, its rows and a hash over all their columns; equal for equal content."""
    found: dict[str, tuple[int, str]] = {}
    with lake.read() as cursor:
        names = cursor.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY table_name"
        ).fetchall()
        for (name,) in names:
            row = cursor.execute(f'SELECT count(*), sum(hash(r)) FROM "{name}" r').fetchone()
            assert row is not None
            found[str(name)] = (int(row[0]), str(row[1] or 0))
    return found


@contextmanager
def opened_copy(folder: Path) -> Iterator[Lake]:
    """The lake in a folder that `copy_lake` has written, for reading: nothing in the folder is changed."""
    with TemporaryDirectory(prefix="scizor-lake-") as name:
        scratch = LakeLocation.embedded(Path(name))
        shutil.copyfile(folder / CATALOG, Path(name) / CATALOG)
        lake = Lake(replace(scratch, data_path=str(folder / DATA)))
        try:
            yield lake
        finally:
            lake.close()


def _joined(steps: list[str | int], catalog: Path) -> str:
    path = PurePosixPath()
    for part, is_relative in zip(steps[::2], steps[1::2], strict=True):
        path /= str(part)
        if not is_relative or ".." in path.parts or path.is_absolute():
            raise DataError(
                f"The lake names a file outside of its own folder ({part}).",
                remedy="Nothing was copied. Collect what it holds into the lake itself.",
                where=str(catalog),
            )
    return str(path)
