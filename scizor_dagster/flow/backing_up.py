"""The whole home in one archive, while others trade: ledger, lake, configuration, and Dagster's storage where asked.

What belongs here: what goes into an archive, in which order, and that it is what it says before it has its name. What
does not: the archive's form (`flow.archives`), the ledger's file (`ledger.backup`), the lake's (`lake.moving`).

The ledger comes first, then the lake: whatever the ledger names of the lake's states is then in it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.flow import archives
from scizor_dagster.flow.archives import ArchiveManifest
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import backup_ledger
from scizor_dagster.lake.moving import CATALOG, DATA, contents_of, copy_file, copy_lake, opened_copy
from scizor_dagster.ledger.backup import read_manifest as read_ledger_manifest
from scizor_dagster.marks import BACKUP, leave
from scizor_dagster.version import release

PARTS = ("ledger", "lake")
_SECRET_NAMES = (".env", ".pem", ".key", ".p12", ".pfx")
NEVER = "secrets: .env, and every variable that the configuration names"
NO_DAGSTER = "Dagster's storage: the record of runs, which decides nothing (--with-dagster)"
DAGSTER_ON_SERVER = "Dagster's storage: it lies on the server, whose own backup holds it"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup has done.

    Attributes:
        folder: The archive.
        pruned: Older archives that are gone.
    """

    folder: Path
    manifest: ArchiveManifest
    bytes: int
    pruned: tuple[Path, ...]


def back_up(
    desk: Desk,
    place: Path | None,
    *,
    now: datetime,
    parts: Sequence[str] = PARTS,
    with_dagster: bool = False,
    keep: int | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> BackedUp:
    """Write an archive into the folder `place`, `SCIZOR_HOME/backups` where none is named.

    Raises:
        InputError: there is nothing to back up, or the folder cannot be written.
        LedgerError: the ledger is gone, or is not what its history says, so that a backup of it would be none.
        DataError: the lake's files are not what its catalog says.
    """
    if "ledger" in parts:
        desk.require_no_lost_ledger()
    present = [name for name in parts if (desk.has_ledger if name == "ledger" else desk.has_lake)]
    if not present:
        raise InputError(
            "There is nothing to back up here.",
            remedy="Name the home with SCIZOR_HOME.",
            where=str(desk.settings.home),
        )
    chosen = place or desk.settings.home / "backups"
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        with FileLock(chosen / ".scizor.lock"), _scratch(chosen, now) as (scratch, target):
            manifest = _fill(desk, scratch, present, with_dagster, now, step)
            step("verifying")
            archives.write_manifest(scratch, manifest)
            archives.check_files(scratch, archives.read_manifest(scratch))
            size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
            _sync_folders(scratch)
            os.replace(scratch, target)
            _sync_folder(chosen)
            pruned = archives.prune(chosen, keep) if keep else []
    except OSError as error:
        raise InputError(
            f"The backup cannot be written: {error.strerror}.",
            remedy="Give another place, with room.",
            where=str(chosen),
        ) from error
    if manifest.has("ledger"):
        # One of what can be collected again is none that an operator may rely on.
        leave(desk.settings.home, BACKUP, now)
    return BackedUp(target, manifest, size, tuple(pruned))


def configuration_files(desk: Desk) -> list[Path]:
    """The files that the configuration consists of. None of them holds a secret: `${NAME}` stands in its place."""
    config = desk.config
    named = [config.folder / config.strategy_manifest]
    named += [config.folder / name for market in config.markets.values() for name in market.universes]
    named += [config.folder / file.path for file in config.fx.files]
    named += [Path(entry.mapping.file) for entry in desk.manifest.strategies if entry.mapping is not None]
    found = dict.fromkeys([desk.settings.config_path, *(path.resolve() for path in named)])
    return [path for path in found if path.is_file() and not path.name.endswith(_SECRET_NAMES)]


def _fill(
    desk: Desk, folder: Path, parts: Sequence[str], with_dagster: bool, now: datetime, step: Callable[[str], None]
) -> ArchiveManifest:
    import duckdb

    made = ArchiveManifest(
        archives.FORMAT, release(), now.isoformat(), {}, 0, "", None, {}, {}, duckdb.__version__, {}, [NEVER]
    )
    if "ledger" in parts:
        step("the ledger")
        made = _add_ledger(desk, folder, made, now)
    if "lake" in parts:
        step("the lake")
        made = _add_lake(desk, folder, made)
    made.files.update(_add_configuration(desk, folder))
    if not with_dagster or desk.settings.on_server:
        made.left_out.append(DAGSTER_ON_SERVER if with_dagster else NO_DAGSTER)
    elif desk.settings.dagster_home.is_dir():
        step("Dagster's storage")
        made.stores["dagster"] = "sqlite"
        made.files.update(_add_dagster(desk.settings.dagster_home, folder))
    return made


def _add_ledger(desk: Desk, folder: Path, made: ArchiveManifest, now: datetime) -> ArchiveManifest:
    path = folder / archives.LEDGER
    backup_ledger(desk, path, now)
    # Read back: what was meant to be written is not yet what is there.
    ledger = read_ledger_manifest(path)
    made.files[archives.LEDGER] = archives.digest_of(path)
    made.stores["ledger"] = "sqlite" if desk.ledger.path is not None else "postgres"
    made.rows["ledger"] = {name: int(content.split()[0]) for name, content in ledger.contents.items()}
    return replace(made, seq=ledger.seq, seal=ledger.seal)


def _add_lake(desk: Desk, folder: Path, made: ArchiveManifest) -> ArchiveManifest:
    target = folder / archives.LAKE
    target.mkdir()
    copied = dict(copy_lake(desk.lake, target))
    with opened_copy(target) as copy:
        snapshot, found = copy.snapshot(), contents_of(copy)
    with desk.lake.at(snapshot) as then:
        expected = contents_of(then)
    if expected != found:
        odd = sorted(name for name in expected if expected[name] != found.get(name))
        raise DataError(
            f"What was copied of the lake is not what it holds: {', '.join(odd)}.",
            remedy="Nothing was written. Look after the disks, then try again.",
            where=str(target),
        )
    made.files[f"{archives.LAKE}/{CATALOG}"] = archives.digest_of(target / CATALOG)
    made.files.update({f"{archives.LAKE}/{DATA}/{path}": digest for path, digest in copied.items()})
    made.stores["lake"] = desk.lake.location.catalog.partition(":")[0]
    made.rows["lake"] = {name: rows for name, (rows, _) in found.items()}
    made.contents.update({name: text for name, (_, text) in found.items()})
    return replace(made, snapshot=snapshot)


def _add_configuration(desk: Desk, folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    root = desk.config.folder.resolve()
    for number, path in enumerate(configuration_files(desk)):
        inside = path.is_relative_to(root)
        name = path.relative_to(root).as_posix() if inside else f"elsewhere/{number}-{path.name}"
        files[f"{archives.CONFIG}/{name}"] = copy_file(path, folder / archives.CONFIG / name)
    return files


def _add_dagster(home: Path, folder: Path) -> dict[str, str]:
    """Each database as it is at one instant. What runs have printed is not among them."""
    files: dict[str, str] = {}
    for path in sorted(home.rglob("*.db")):
        name = f"{archives.DAGSTER}/{path.relative_to(home).as_posix()}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(folder / name)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        files[name] = archives.digest_of(folder / name)
    return files


@contextmanager
def _scratch(place: Path, now: datetime) -> Iterator[tuple[Path, Path]]:
    for left in archives.unfinished_in(place):
        shutil.rmtree(left)
    target = archives.next_name(place, now)
    scratch = place / f".{target}.part"
    scratch.mkdir()
    try:
        yield scratch, place / target
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync_folders(folder: Path) -> None:
    for path in (folder, *(item for item in folder.rglob("*") if item.is_dir())):
        _sync_folder(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
