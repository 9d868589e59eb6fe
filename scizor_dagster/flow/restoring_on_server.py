"""An archive brought back into a Postgres database: ledger and lake by one commit.

What belongs here: the order on a server, and what becomes of what was there. What does not: checking the archive, and a
home of files (`flow.restoring`).

What is replaced is renamed, in the same database, and a mark in the home keeps this host from trading until the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster import table_copies
from scizor_dagster.errors import CommitInDoubt, DataError, InputError, LedgerError, ScizorError
from scizor_dagster.flow import archives, moving
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import restore_ledger
from scizor_dagster.flow.ledger_choice import note_server
from scizor_dagster.lake import catalog_rows
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import SCHEMA as LAKE_SCHEMA
from scizor_dagster.lake.location import LakeLocation, lake_location, unreachable
from scizor_dagster.lake.moving import CATALOG, DATA, copy_file, data_files, opened_copy, require_folder
from scizor_dagster.lake.tables import initialise
from scizor_dagster.ledger.backup import read_manifest
from scizor_dagster.ledger.postgres import SCHEMA as LEDGER_SCHEMA
from scizor_dagster.ledger.store import Ledger

PARTS = {"ledger": LEDGER_SCHEMA, "lake": LAKE_SCHEMA}
"""Dagster's storage is not brought back here: it decides nothing, and the server's own backup holds it."""
_SCRATCH = ".restoring"


def schemas_in_use(desk: Desk, parts: Sequence[str]) -> list[str]:
    """Of the parts that are to come back, the schemas that hold rows already, or that cannot be read.

    Raises:
        LedgerError, DataError: the server cannot be asked.
    """
    found = []
    if "ledger" in parts and _ledger_in_use(desk):
        found.append(LEDGER_SCHEMA)
    if "lake" in parts and _lake_in_use(desk):
        found.append(LAKE_SCHEMA)
    return found


def _ledger_in_use(desk: Desk) -> bool:
    url = desk.settings.ledger_url
    if not Ledger.exists(url):
        return _has_tables(desk, LEDGER_SCHEMA)
    try:
        return Ledger.holds_anything(url)
    except LedgerError as error:
        if moving.unreadable(error.__cause__):
            return True
        raise


def _lake_in_use(desk: Desk) -> bool:
    try:
        with _connected(desk) as connection:
            if catalog_rows.exists(connection):
                return not catalog_rows.is_empty(connection)
    except sa.exc.DBAPIError as error:
        if moving.unreadable(error):
            return True
        raise unreachable(lake_location(desk.settings), error.orig or error) from error
    return _has_tables(desk, LAKE_SCHEMA)


def _has_tables(desk: Desk, schema: str) -> bool:
    """Whether a schema without the table by which a store is known is one that has lost it."""
    try:
        with _connected(desk) as connection:
            return bool(sa.inspect(connection).get_table_names(schema))
    except sa.exc.DBAPIError as error:
        raise unreachable(lake_location(desk.settings), error.orig or error) from error


@contextmanager
def _connected(desk: Desk) -> Iterator[sa.Connection]:
    """A transaction in the database, committed when the block ends."""
    engine = catalog_rows.engine_of(lake_location(desk.settings))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def restore_on_server(
    desk: Desk,
    archive: Path,
    parts: Sequence[str],
    *,
    actor: str,
    now: datetime,
    command: str,
    same: Callable[[Lake], None],
    replace: bool,
) -> tuple[list[str], str | None]:
    """Bring the parts of a checked archive back.

    Args:
        desk: Its settings name the database.
        archive: The folder.
        parts: `ledger`, `lake`, or both.
        actor: Who does it.
        now: Aware instant.
        command: What is to be given again if it dies.
        same: Raises where the lake that came back is not the one of the archive.
        replace: Whether what is there may be renamed.

    Returns:
        The accounts that are halted, and what was there is called now.

    Raises:
        InputError: there is something already.
        LedgerError, DataError: somebody works with it, or it is not what was backed up.
    """
    settings, location = desk.settings, lake_location(desk.settings)
    if "lake" in parts:
        require_folder(location)
    in_use = schemas_in_use(desk, parts)
    if in_use and not replace:
        raise InputError(
            f"There is something already: schema {' and '.join(in_use)} on the server.",
            remedy="Give --replace: what is there is renamed, and never deleted. Or name an empty database.",
            where=location.place,
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger_url = settings.ledger_url if "ledger" in parts else None
    if in_use:
        moving.require_rest(settings, ledger_url, now)
    _rehearse(desk, archive, parts, actor, now, same)
    earlier = moving.begun(settings)
    # Once more: to rehearse all this takes its time.
    moving.begin_move(settings, command, ledger_url, now)
    renamed = _rename(desk, in_use, now)
    halted: list[str] = []
    lake = Lake(location)
    try:
        if "lake" in parts:
            initialise(lake)
            lake.close()
        halted = _store(desk, archive, parts, lake, actor, now)
        if "lake" in parts:
            same(lake)
    except Exception as error:
        lake.close()
        if not _in_doubt(error) and _renamed_back(desk, parts, in_use, now):
            if earlier is None:
                moving.end_move(settings)
            undone = _undone(error, location.place)
            if undone is not error:
                raise undone from error
        raise
    finally:
        lake.close()
    moving.end_move(settings)
    return halted, renamed


def _rehearse(
    desk: Desk, archive: Path, parts: Sequence[str], actor: str, now: datetime, same: Callable[[Lake], None]
) -> None:
    """Whatever the archive itself would be refused for is found while everything stands; the lake's files are taken.

    Raises:
        InputError, LedgerError, DataError: it cannot be brought back by this version, or is not what was backed up.
    """
    scratch = desk.settings.home / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        if "ledger" in parts:
            read_manifest(archive / archives.LEDGER)
            ledger = Ledger.open(f"sqlite:///{scratch / 'ledger.sqlite'}")
            try:
                restore_ledger(desk, ledger, archive / archives.LEDGER, actor=actor, now=now, name=archive.name)
            finally:
                ledger.close()
        if "lake" in parts:
            folder = archive / archives.LAKE
            _require_known_catalog(folder / CATALOG, scratch / "lake")
            with opened_copy(folder) as copied:
                same(copied)
            _take_files(folder, Path(lake_location(desk.settings).data_path))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_known_catalog(catalog: Path, scratch: Path) -> None:
    """Refuse a catalog of another version than the one that DuckLake makes here."""
    scratch.mkdir()
    lake = Lake(LakeLocation.embedded(scratch))
    try:
        lake.snapshot()
    finally:
        lake.close()
    here, there = _version(scratch / CATALOG), _version(catalog)
    if here != there:
        raise DataError(
            f"The backup's lake is of version {there}, and this program makes version {here}.",
            remedy="Nothing was changed. Restore it with the version of Scizor that wrote it, or give --only ledger.",
            where=str(catalog),
        )


def _version(catalog: Path) -> str | None:
    with closing(table_copies.opened_still(catalog)) as file:
        found = file.execute("SELECT value FROM ducklake_metadata WHERE key = 'version'").fetchone()
    return str(found[0]) if found else None


def _take_files(folder: Path, target: Path) -> None:
    """Beside those of the lake that is there, which may name some of them: none is ever cut off, not for a moment."""
    for file in data_files(folder / CATALOG):
        origin, copy = folder / DATA / file.path, target / file.path
        if not origin.is_file() or origin.stat().st_size != file.bytes:
            raise DataError(
                f"The lake's file {file.path} is missing or cut off.",
                remedy="Nothing was changed. Take another backup.",
                where=str(folder),
            )
        if copy.is_file() and archives.digest_of(copy) == archives.digest_of(origin):
            continue
        part = copy.with_name(f".{copy.name}.part")
        try:
            copy_file(origin, part)
            part.replace(copy)
        finally:
            part.unlink(missing_ok=True)


def _in_doubt(error: Exception) -> bool:
    """Whether the commit was perhaps stored."""
    lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, CommitInDoubt)


def _renamed_back(desk: Desk, parts: Sequence[str], schemas: Sequence[str], now: datetime) -> bool:
    """Whether everything is called again as it was; not where something was stored already."""
    try:
        if schemas_in_use(desk, parts):
            return False
        with _connected(desk) as connection:
            for schema in schemas:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
                connection.exec_driver_sql(f"ALTER SCHEMA {moving.renamed(schema, now)} RENAME TO {schema}")
    except (sa.exc.DBAPIError, ScizorError):
        # The mark stays, and the first error is the one that is told.
        return False
    return True


def _undone(error: Exception, place: str) -> ScizorError:
    said = "What was there before is in its place again, as it was."
    if isinstance(error, ScizorError):
        error.remedy = f"{said} {error.remedy}"
        return error
    words = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return DataError(f"The backup could not be brought back ({words}).", remedy=f"{said} Try again.", where=place)


def _store(desk: Desk, archive: Path, parts: Sequence[str], lake: Lake, actor: str, now: datetime) -> list[str]:
    """By one commit."""

    def fill(connection: sa.Connection) -> None:
        if "lake" in parts:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            catalog_rows.fill_server(archive / archives.LAKE / CATALOG, connection)

    if "ledger" not in parts:
        engine = catalog_rows.engine_of(lake.location)
        try:
            with lake.at_rest(), engine.begin() as connection:
                fill(connection)
        finally:
            engine.dispose()
        return []
    ledger = Ledger.open(desk.settings.ledger_url)
    try:
        with lake.at_rest():
            path = archive / archives.LEDGER
            _, halted = restore_ledger(desk, ledger, path, actor=actor, now=now, name=archive.name, also=fill)
        note_server(desk.settings, ledger.place, holds=True)
        return halted
    finally:
        ledger.close()


def _rename(desk: Desk, schemas: Sequence[str], now: datetime) -> str | None:
    if not schemas:
        return None
    engine = catalog_rows.engine_of(lake_location(desk.settings))
    names = {schema: moving.renamed(schema, now) for schema in schemas}
    try:
        with engine.begin() as connection:
            for schema, name in names.items():
                connection.exec_driver_sql(f"ALTER SCHEMA {schema} RENAME TO {name}")
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            # Perhaps it was: the mark stays.
            raise unreachable(lake_location(desk.settings), error.orig or error) from error
        moving.end_move(desk.settings)
        raise DataError(
            f"What is there cannot be renamed ({str(error.orig).strip().splitlines()[0]}).",
            remedy="Nothing was changed. Let this user own the schemas and create others, or name an empty database.",
            where=lake_location(desk.settings).place,
        ) from error
    finally:
        engine.dispose()
    return f"schema {', '.join(names.values())} of the same database"
