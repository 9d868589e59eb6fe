"""Embedded stores taken to a Postgres database: all of them or none, every row of every table compared.

What belongs here: the order, what is refused, and what becomes of the files. What does not: how rows are copied
(`ledger.backup`, `lake.catalog_rows`, `flow.dagster_rows`).

Everything is stored on the server by one commit. Before it, nothing there is more than empty tables; after it, the
files are only put aside. Whoever is killed anywhere gives the command again: what is on the server already is compared
with the files once more, and is not copied twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.databases import parse, place_of
from scizor_dagster.errors import CommitInDoubt, DataError, InputError, LedgerError, ScizorError
from scizor_dagster.flow import dagster_rows, moving
from scizor_dagster.flow.ledger_choice import note_server
from scizor_dagster.lake import catalog_rows
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation, lake_location
from scizor_dagster.lake.moving import CATALOG, copy_catalog, copy_data, require_folder
from scizor_dagster.lake.tables import initialise
from scizor_dagster.ledger.backup import restore, write_backup
from scizor_dagster.ledger.comparing import contents_of, differences
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify
from scizor_dagster.settings import Settings

COMMAND = "scizor migrate"
_SCRATCH = ".migrating"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What has been done.

    Attributes:
        place: The database, without its password.
        parts: The stores that were embedded and are on the server now, each with rows by table.
        found_there: Those of them that were there already, from an attempt that was cut off.
        aside: Where the files lie now.
        left: What stays in them alone, in words.
    """

    place: str
    parts: Mapping[str, Mapping[str, int]]
    found_there: tuple[str, ...]
    aside: Path | None
    left: tuple[str, ...]


def migrate_home(
    settings: Settings,
    *,
    now: datetime,
    prepare_dagster: Callable[[], None] | None,
    step: Callable[[str], None] = lambda _: None,
) -> Migrated:
    """Take the embedded stores of a home to the database that `DATABASE_URL` names.

    Args:
        settings: With `DATABASE_URL`.
        now: Aware instant.
        prepare_dagster: Makes Dagster's empty tables on the server; None leaves its storage in the files.
        step: Called with a few words before each step.

    Raises:
        InputError: `DATABASE_URL` is not set, or nothing is embedded here.
        LedgerError, DataError: somebody works with the home, or the server holds something else already.
    """
    if not settings.on_server:
        raise InputError(
            "DATABASE_URL is not set.",
            remedy="Set it to the database that the stores are taken to.",
            where="environment",
        )
    embedded = _embedded(settings)
    found = [name for name in ("ledger", "lake", "dagster") if _is_there(embedded, name)]
    parts = [name for name in found if name != "dagster" or prepare_dagster is not None]
    interrupted = moving.begun(settings) == COMMAND
    if not interrupted:
        # A restore of which a part may be missing: what is found is not all that the home had.
        moving.refuse_unfinished_move(settings)
    stored_in = moving.perhaps_stored_in(settings)
    _require_same_place(settings, stored_in)
    if not found and interrupted:
        # All was put aside already.
        moving.end_move(settings)
        return Migrated(place_of(parse(settings.ledger_url)), {}, (), None, ())
    if not found:
        raise InputError(
            "Nothing is embedded in this home.", remedy="Name the home with SCIZOR_HOME.", where=str(settings.home)
        )
    location = lake_location(settings)
    require_folder(location)
    scratch = settings.home / _SCRATCH
    copying = _Copying(settings, embedded, location, scratch, parts, stored=stored_in is not None)
    moving.begin_move(embedded, COMMAND, embedded.ledger_url, now)
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        done = copying.run(now, prepare_dagster, step)
    except BaseException as error:
        # Where it may be stored, by this attempt or an earlier one, the mark stays: the files trade no more.
        told = isinstance(error, ScizorError) and not isinstance(error, CommitInDoubt)
        if not interrupted and (told or not copying.storing):
            moving.end_move(settings)
        raise
    step("putting the files aside")
    aside = settings.home / f"embedded-{now:%Y%m%dT%H%M%SZ}"
    for part in found:
        moving.put_aside(_files(settings, part), aside)
    moving.end_move(settings)
    shutil.rmtree(scratch, ignore_errors=True)
    left = dagster_rows.LEFT if "dagster" in parts else dagster_rows.ALL_LEFT if "dagster" in found else ()
    return replace(done, aside=aside if aside.exists() else None, left=left)


def _require_same_place(settings: Settings, stored_in: str | None) -> None:
    """A commit may have come to its end there: the same stores in another place as well would both be traded with."""
    if stored_in is not None and stored_in != place_of(parse(settings.ledger_url)):
        raise LedgerError(
            f"The stores of this home were being taken to {stored_in}, and may lie there.",
            remedy="Nothing was copied. Set DATABASE_URL as it was set then, and give the command again.",
            where=str(moving.mark_of(settings)),
        )


class _Copying:
    """One attempt; `stored` where an earlier one, at this place, may have come to its commit.

    Attributes:
        storing: Nothing is left to do but the commit: whatever ends the attempt from here on may come after it.
    """

    def __init__(
        self,
        settings: Settings,
        embedded: Settings,
        location: LakeLocation,
        scratch: Path,
        parts: list[str],
        *,
        stored: bool,
    ) -> None:
        self._stored = stored
        self._gone_on = False
        self._settings = settings
        self._embedded = embedded
        self._lake = Lake(location)
        self._scratch = scratch
        self._parts = parts
        self._rows: dict[str, dict[str, int]] = {}
        self._there: list[str] = []
        self.storing = False

    def run(self, now: datetime, prepare_dagster: Callable[[], None] | None, step: Callable[[str], None]) -> Migrated:
        ledger = Ledger.open(self._settings.ledger_url)
        try:
            if "dagster" in self._parts and prepare_dagster is not None:
                step("making Dagster's tables")
                prepare_dagster()
            if "lake" in self._parts:
                step("the lake's files")
                self._take_lake()
            with self._lake.at_rest() if "lake" in self._parts else nullcontext():
                self._store(ledger, now, step)
            note_server(self._settings, ledger.place, holds=Ledger.holds_anything(self._settings.ledger_url))
            return Migrated(ledger.place, self._rows, tuple(self._there), None, ())
        finally:
            self._lake.close()
            ledger.close()

    def _take_lake(self) -> None:
        source = Lake(lake_location(self._embedded))
        try:
            initialise(source)
            copy_catalog(source, self._scratch / CATALOG)
        finally:
            source.close()
        # Also where the tables are there already: what an earlier version made is brought to this one's shape.
        initialise(self._lake)
        here, there = Path(source.location.data_path), Path(self._lake.location.data_path)
        if here != there:
            for _ in copy_data(here, self._scratch / CATALOG, there):
                pass

    def _store(self, ledger: Ledger, now: datetime, step: Callable[[str], None]) -> None:
        """Everything in one transaction."""
        if "ledger" not in self._parts or self._ledger_is_there(ledger):
            with ledger.transaction() as connection:
                self._store_others(connection, step)
            return
        step("the ledger")
        source = Ledger.open(self._embedded.ledger_url)
        try:
            manifest = write_backup(source, self._scratch / "ledger.zip", now=now)
        finally:
            source.close()
        self._rows["ledger"] = {name: int(text.split()[0]) for name, text in manifest.contents.items()}
        restore(ledger, self._scratch / "ledger.zip", then=lambda connection: self._store_others(connection, step))

    def _ledger_is_there(self, ledger: Ledger) -> bool:
        """Whether the server's ledger is this one.

        Raises:
            LedgerError: it is another one.
        """
        with ledger.read() as connection:
            there = contents_of(connection)
        if not any(int(text.split()[0]) for text in there.values()):
            return False
        source = Ledger.open(self._embedded.ledger_url)
        try:
            with source.read() as connection:
                here = contents_of(connection)
        finally:
            source.close()
        # A copy ends every lease, so that its table is never the same.
        odd = differences({name: text for name, text in here.items() if name != "leases"}, there)
        self._gone_on = bool(odd) and self._stored and self._is_continued_by(ledger)
        if odd and not self._gone_on:
            raise LedgerError(
                f"The ledger on the server is another one than the embedded one: {odd[0]}.",
                remedy="Nothing was copied. Name an empty database in DATABASE_URL; never trade with both.",
                where=ledger.place,
            )
        self._there.append("ledger")
        self._rows["ledger"] = {name: int(text.split()[0]) for name, text in here.items()}
        return True

    def _is_continued_by(self, ledger: Ledger) -> bool:
        """Whether the server's history begins with all of the embedded one: others have traded with it since."""
        source = Ledger.open(self._embedded.ledger_url)
        try:
            with source.read() as connection:
                last = connection.execute(sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc())).first()
        finally:
            source.close()
        with ledger.read() as connection:
            return last is not None and verify(connection, seq=last.seq, seal=last.hash) == []

    def _store_others(self, connection: sa.Connection, step: Callable[[str], None]) -> None:
        # Reading files takes as long as it takes; the server is to wait for it.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        if self._gone_on:
            # One commit had all of them.
            self._there += [part for part in self._parts if part != "ledger"]
            return
        if "lake" in self._parts:
            step("the lake's catalog")
            self._store_lake(connection)
        if "dagster" in self._parts:
            step("Dagster's storage")
            rows, there = dagster_rows.copy(self._embedded.dagster_home, connection)
            self._rows["dagster"] = rows
            self._there += ["dagster"] if there else []
        moving.may_be_stored(self._settings, place_of(parse(self._settings.ledger_url)))
        self.storing = True

    def _store_lake(self, connection: sa.Connection) -> None:
        catalog = self._scratch / CATALOG
        if catalog_rows.is_empty(connection):
            contents = catalog_rows.fill_server(catalog, connection)
        elif odd := catalog_rows.differences(catalog, connection):
            raise DataError(
                f"The lake on the server is not empty, and is another one than the embedded one: {odd[0]} differs.",
                remedy="Nothing was copied. Name an empty database in DATABASE_URL.",
                where=self._lake.location.place,
            )
        else:
            self._there.append("lake")
            contents = catalog_rows.contents_on_server(connection)
        self._rows["lake"] = {name: int(text.split()[0]) for name, text in contents.items()}


def _embedded(settings: Settings) -> Settings:
    kept = {name: value for name, value in settings.environment.items() if name != "DATABASE_URL"}
    return replace(settings, environment=kept)


def _is_there(settings: Settings, part: str) -> bool:
    if part == "ledger":
        return settings.ledger_file.exists() and Ledger.holds_anything(settings.embedded_ledger_url)
    return (settings.lake_folder / CATALOG if part == "lake" else settings.dagster_home / dagster_rows.RUNS).exists()


def _files(settings: Settings, part: str) -> list[Path]:
    """What is put aside: files that would be traded with, the one that counts last. The lake's data stays."""
    if part == "ledger":
        return moving.ledger_files(settings)
    if part == "lake":
        return [settings.lake_folder / name for name in (f"{CATALOG}-wal", f"{CATALOG}-shm", CATALOG)]
    return [settings.dagster_home / name for name in ("schedules", "history")]
