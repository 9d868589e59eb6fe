"""A ledger in one file, to be kept elsewhere, and a ledger made from one: on either kind of store.

What belongs here: writing and reading the file. What does not: when, and what must be asked of the broker
afterwards (`flow.ledger_care`).

The file is a zip of lines of JSON: the history (`events.jsonl`), from which the tables are made again, the tables
that it does not make (leases, for their fencing numbers; the embedded exchange's own books), and `manifest.json` with
counts, a digest of each and the last entry's seal. It holds no secret, since the history holds none.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger.changes import plain_row, typed
from scizor_dagster.ledger.comparing import contents_of, differences
from scizor_dagster.ledger.replay import VENUE, journaled, replayed
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.store import HEAD, Ledger
from scizor_dagster.ledger.tables import events, leases
from scizor_dagster.ledger.verification import verify

FORMAT = 1
MANIFEST = "manifest.json"
_BATCH = 1000
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        schema: The migration that the ledger was at.
        seq: Number of its last entry, 0 for an empty history.
        seal: Hash of that entry.
        rows: Rows by table.
        digests: SHA-256 of each member, by table.
        contents: What every table held, those included that the history makes; see `comparing`. Nothing in a backup of
            an earlier version.
    """

    format: int
    schema: str
    made_at: str
    seq: int
    seal: str
    rows: dict[str, int]
    digests: dict[str, str]
    contents: dict[str, str] = field(default_factory=dict)


_MANIFEST = TypeAdapter(Manifest)


def write_backup(ledger: Ledger, path: Path, *, now: datetime) -> Manifest:
    """Write the ledger as it is at one instant; others go on reading and writing meanwhile.

    The file appears whole or not at all.

    Raises:
        InputError: there is a file already, or it cannot be written.
        LedgerError: the ledger cannot be read.
    """
    if path.exists():
        raise InputError("There is a file already.", remedy="Give another name.", where=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two that write at a time must not share a file.
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as file:
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, ledger.read() as connection:
                    manifest = _write(connection, archive, now)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"The backup cannot be written: {error.strerror}.", remedy="Give another place, with room.", where=str(path)
        ) from error
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What the backup says of itself.

    Raises:
        InputError: it is no backup, or one of a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _MANIFEST.validate_json(archive.read(MANIFEST), strict=True)
    # Whatever the reading of a zip and of JSON makes of bytes that are none, or that were damaged.
    except Exception as error:
        raise InputError(
            f"This is no backup of a ledger ({_words(error)}).",
            remedy="Give what `scizor backup` has written.",
            where=str(path),
        ) from error
    if found.format > FORMAT or found.schema > HEAD:
        raise InputError(
            f"The backup was written by a newer version (schema {found.schema}; this one knows {HEAD}).",
            remedy="Use the version of Scizor that wrote it, or a newer one.",
            where=str(path),
        )
    return found


def restore(ledger: Ledger, path: Path, *, then: Callable[[sa.Connection], None]) -> Manifest:
    """Fill an empty ledger from a backup, in one transaction, and verify the whole of it.

    `then` is called in that transaction, with what was restored in place: what must hold before anything trades.

    Raises:
        InputError: the file is no backup, or is not whole.
        LedgerError: the ledger is not empty, or what was restored is not what its history says.
    """
    manifest = read_manifest(path)
    with zipfile.ZipFile(path) as archive, ledger.transaction() as connection:
        _require_empty(connection, ledger)
        ledger.unhurried(connection)
        with _whole(path):
            _fill(connection, archive, manifest)
        found = verify(connection, seq=manifest.seq or None, seal=manifest.seal)
        if manifest.schema == HEAD:
            found += differences(manifest.contents, contents_of(connection))
        if found:
            named = " ".join(found[:_MOST_NAMED])
            raise LedgerError(
                f"What the backup holds is not what its history says: {len(found)} difference(s). {named}",
                remedy="Nothing was restored. Take an older backup.",
                where=str(path),
            )
        # Whoever held an account when the backup was made holds it no more.
        connection.execute(leases.update().values(holder=None, token=leases.c.token + 1))
        then(connection)
    return manifest


def _write(connection: sa.Connection, archive: zipfile.ZipFile, now: datetime) -> Manifest:
    rows: dict[str, int] = {}
    digests: dict[str, str] = {}
    last: dict[str, Any] = {"seq": 0, "hash": ""}
    for table in [events, *_beside()]:
        digest, count = hashlib.sha256(), 0
        with archive.open(_member(table), "w") as member:
            statement = sa.select(table).order_by(*table.primary_key.columns)
            for row in connection.execute(statement, execution_options={"yield_per": _BATCH}):
                plain = plain_row(dict(row._mapping))
                line = (json.dumps(plain) + "\n").encode()
                digest.update(line)
                member.write(line)
                count += 1
                last = plain if table is events else last
        rows[table.name], digests[table.name] = count, digest.hexdigest()
    contents = contents_of(connection)
    manifest = Manifest(FORMAT, HEAD, now.isoformat(), last["seq"], last["hash"], rows, digests, contents)
    archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2))
    return manifest


def _beside() -> list[sa.Table]:
    """The tables that the history does not make."""
    journal = {table.name for table in journaled()}
    beside = [table for table in metadata.sorted_tables if table.name not in journal and table.name != events.name]
    assert all(table.name.startswith(VENUE) or table is leases for table in beside), beside
    return beside


def _member(table: sa.Table) -> str:
    return f"{table.name}.jsonl"


def _fill(connection: sa.Connection, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    beside = [table for table in _beside() if table.name in manifest.rows]
    for table in [events, *beside]:
        _check_member(archive, table, manifest)
    _insert(connection, events, _lines(archive, events))
    for name, rows in replayed(connection).items():
        _insert(connection, metadata.tables[name], iter(rows.values()))
    for table in beside:
        _insert(connection, table, _lines(archive, table))


def _check_member(archive: zipfile.ZipFile, table: sa.Table, manifest: Manifest) -> None:
    """Before any row of it is believed."""
    digest, count = hashlib.sha256(), 0
    with archive.open(_member(table)) as member:
        for line in member:
            digest.update(line)
            count += 1
    if (count, digest.hexdigest()) != (manifest.rows[table.name], manifest.digests[table.name]):
        raise ValueError(f"{_member(table)} is not what the manifest says")


def _lines(archive: zipfile.ZipFile, table: sa.Table) -> Iterator[dict[str, Any]]:
    with archive.open(_member(table)) as member:
        yield from map(json.loads, member)


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append({column.name: typed(column, row.get(column.name)) for column in table.columns})
        if len(batch) == _BATCH:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)


def _require_empty(connection: sa.Connection, ledger: Ledger) -> None:
    for table in metadata.sorted_tables:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise LedgerError(
                f"The ledger is not empty: there are rows in '{table.name}'.",
                remedy="A backup fills an empty ledger only. Move this one away first; never trade with both.",
                where=ledger.place,
            )


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say that the backup is not whole, whatever is wrong with what it holds. A failure of the database is its own."""
    try:
        yield
    except Exception as error:
        if isinstance(error, sa.exc.DBAPIError) and not isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
            raise
        raise InputError(
            f"The backup is not whole ({_words(error)}).",
            remedy="Nothing was restored. Take another backup.",
            where=str(path),
        ) from error


def _words(error: Exception) -> str:
    """The first line of an error, or its kind where it has no words."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
