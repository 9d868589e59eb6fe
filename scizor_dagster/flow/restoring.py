"""A home brought back from an archive: checked first, made whole beside what is there, and then put in its place.

What belongs here: the order in which stores come back, and what becomes of those that were there. What does not: the
archive's form (`flow.archives`), and what a ledger that came back may no longer do (`flow.ledger_care`).

Nothing of what is there is touched before everything that comes back is whole on the disk. Then files change places
under a mark: a process that dies in between leaves a home that refuses to trade until the command is given again.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.flow import archives, moving, restoring_on_server
from scizor_dagster.flow.archives import ArchiveManifest
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import restore_ledger
from scizor_dagster.flow.ledger_choice import refuse_forgotten_server
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.moving import contents_of, copy_file, opened_copy
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.settings import Settings

PARTS = ("ledger", "lake", "dagster")
_SCRATCH = ".restoring"
_COMMAND, _ONLY = "scizor restore", " --only "


@dataclass(frozen=True, slots=True)
class Restored:
    """What has come back.

    Attributes:
        parts: Of the home, those that were replaced or filled.
        halted: The accounts that are halted; none where the ledger stayed as it is.
        aside: Where what was there before lies now.
        configuration: Files of the configuration that are not as the archive has them; its own copies are in it.
    """

    manifest: ArchiveManifest
    parts: tuple[str, ...]
    halted: tuple[str, ...]
    aside: str | None
    configuration: tuple[str, ...]


def restore_home(
    desk: Desk,
    archive: Path,
    *,
    actor: str,
    now: datetime,
    only: str | None = None,
    replace: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring the stores of an archive back into the desk's home.

    Raises:
        InputError: the archive is not whole, has not what is asked for, or there is something already and `replace` was
            not said.
        LedgerError: somebody works with the stores that would be replaced, or the ledger is not what its history says.
    """
    manifest = archives.read_manifest(archive)
    parts = _chosen(manifest, archive, only)
    step("checking the backup")
    archives.check_files(archive, manifest)
    refuse_forgotten_server(desk.settings)
    going_on = _goes_on(desk.settings, only)
    command = f"{_COMMAND} {shlex.quote(str(archive.resolve()))} --replace" + (f"{_ONLY}{only}" if only else "")
    replace = replace or going_on
    if desk.settings.on_server:
        parts = tuple(part for part in parts if part in restoring_on_server.PARTS)
        halted, aside = restoring_on_server.restore_on_server(
            desk,
            archive,
            parts,
            actor=actor,
            now=now,
            command=command,
            same=lambda lake: require_same_lake(lake, manifest),
            replace=replace,
        )
    else:
        halted, aside = _restore_files(desk, archive, manifest, parts, actor, now, command, replace, step)
    return Restored(manifest, parts, tuple(halted), aside, tuple(_other_configuration(desk, manifest)))


def _restore_files(
    desk: Desk,
    archive: Path,
    manifest: ArchiveManifest,
    parts: Sequence[str],
    actor: str,
    now: datetime,
    command: str,
    replace: bool,
    step: Callable[[str], None],
) -> tuple[list[str], str | None]:
    settings = desk.settings
    there = [path for part in parts for path in _places(desk, part) if path.exists()]
    if there and not replace:
        raise InputError(
            f"There is something already: {', '.join(path.name for path in there)}.",
            remedy="Give --replace: what is there is moved aside, and never deleted. Or name an empty SCIZOR_HOME.",
            where=str(settings.home),
        )
    if there:
        moving.require_rest(settings, settings.ledger_url if "ledger" in parts else None, now)
    scratch = settings.home / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    halted = _prepare(desk, archive, manifest, parts, scratch, actor, now, step)
    step("putting it in its place")
    aside = settings.home / f"replaced-{now:%Y%m%dT%H%M%SZ}"
    # Once more: to make all this whole takes its time.
    moving.begin_move(settings, command, settings.ledger_url if "ledger" in parts else None, now)
    for part in parts:
        moving.put_aside(_places(desk, part), aside)
        for path in sorted(scratch.glob(f"{part}/*")):
            os.replace(path, settings.home / path.name)
    moving.end_move(settings)
    shutil.rmtree(scratch, ignore_errors=True)
    return halted, str(aside) if aside.exists() else None


def _goes_on(settings: Settings, only: str | None) -> bool:
    """Whether a restore was begun that this one goes on with: of the same parts, perhaps from another archive.

    Raises:
        LedgerError: a move was begun that this one does not bring to its end.
    """
    begun = moving.begun(settings)
    if begun is None:
        return False
    parts = begun.partition(_ONLY)[2] or None
    if not begun.startswith(_COMMAND) or only not in (None, parts):
        moving.refuse_unfinished_move(settings)
    return True


def _chosen(manifest: ArchiveManifest, archive: Path, only: str | None) -> tuple[str, ...]:
    wanted: Sequence[str] = PARTS if only is None else (only,)
    found = tuple(part for part in wanted if manifest.has(part))
    if not found:
        raise InputError(
            f"The backup holds no {only}.", remedy=f"It holds: {', '.join(manifest.stores)}.", where=str(archive)
        )
    return found


def _places(desk: Desk, part: str) -> list[Path]:
    settings = desk.settings
    places = {
        "ledger": moving.ledger_files(settings),
        "lake": [settings.lake_folder],
        "dagster": [settings.dagster_home],
    }
    return places[part]


def _prepare(
    desk: Desk,
    archive: Path,
    manifest: ArchiveManifest,
    parts: Sequence[str],
    scratch: Path,
    actor: str,
    now: datetime,
    step: Callable[[str], None],
) -> list[str]:
    """Make every part whole in `scratch`; the accounts that are halted in the ledger."""
    halted: list[str] = []
    for part in parts:
        step(f"the {part}")
        if part == "ledger":
            ledger = Ledger.open(f"sqlite:///{scratch / 'ledger' / desk.settings.ledger_file.name}")
            try:
                path = archive / archives.LEDGER
                _, halted = restore_ledger(desk, ledger, path, actor=actor, now=now, name=archive.name)
            finally:
                ledger.close()
            continue
        target = scratch / part / (desk.settings.lake_folder if part == "lake" else desk.settings.dagster_home).name
        for name in manifest.files:
            if name.startswith(f"{part}/"):
                copy_file(archive / name, target / name.partition("/")[2])
        if part == "lake":
            with opened_copy(target) as lake:
                require_same_lake(lake, manifest)
    return halted


def require_same_lake(lake: Lake, manifest: ArchiveManifest) -> None:
    """Compare every table of the lake that was put together with what was backed up.

    Raises:
        LedgerError: it is another one.
    """
    found = contents_of(lake)
    rows = {name: number for name, (number, _) in found.items()}
    same = rows == manifest.rows["lake"]
    if manifest.engine == duckdb.__version__:
        same = same and {name: text for name, (_, text) in found.items()} == manifest.contents
    if not same:
        raise LedgerError(
            "The lake that was put together is not the one that was backed up.",
            remedy="Do not trade with it. Look after the disk, then restore again, this backup or another one.",
            where=lake.location.place,
        )


def _other_configuration(desk: Desk, manifest: ArchiveManifest) -> list[str]:
    """Files of the configuration that are missing here, or say something else."""
    folder, prefix = desk.config.folder, f"{archives.CONFIG}/"
    return [
        name.removeprefix(prefix)
        for name, digest in manifest.files.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}elsewhere/")
        and not ((path := folder / name.removeprefix(prefix)).is_file() and archives.digest_of(path) == digest)
    ]  # fmt: skip
