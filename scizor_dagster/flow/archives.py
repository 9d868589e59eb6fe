"""An archive of a whole home: a folder with a manifest that names every file in it by its SHA-256.

What belongs here: the manifest, checking a folder against it, and telling the archives of a place apart from whatever
else lies there. What does not: filling one (`flow.backing_up`), and bringing one back (`flow.restoring`).

In the folder are `manifest.json`; `ledger.zip` (see `ledger.backup`); `lake/`, which is a lake by itself, its catalog
in SQLite whatever it was in; `config/`, the files that the configuration names; and `dagster/`, where it was asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter

from scizor_dagster.errors import InputError

FORMAT = 1
MANIFEST = "manifest.json"
LEDGER = "ledger.zip"
LAKE = "lake"
CONFIG = "config"
DAGSTER = "dagster"
_NAME = re.compile(r"(?P<at>scizor-\d{8}T\d{6}Z)(?:-(?P<number>\d+))?")
_NONE = ("", 0)
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What an archive says of itself.

    Attributes:
        release: The version of Scizor that wrote it.
        stores: By part (`ledger`, `lake`, `dagster`), the kind of store it was taken from.
        seq: Number of the ledger's last entry; `seal` is its hash.
        snapshot: The lake's newest state.
        rows: By part, the rows of each table.
        contents: By table of the lake, a hash over all columns of all rows, by `engine`.
        engine: The version of DuckDB that wrote it: another one may hash otherwise.
        files: SHA-256 of each file, by its path in the folder.
        left_out: What is not in it, in words.
    """

    format: int
    release: str
    made_at: str
    stores: dict[str, str]
    seq: int
    seal: str
    snapshot: int | None
    rows: dict[str, dict[str, int]]
    contents: dict[str, str]
    engine: str
    files: dict[str, str] = field(repr=False)
    left_out: list[str] = field(default_factory=list)

    def has(self, part: str) -> bool:
        return part in self.stores


_ADAPTER = TypeAdapter(ArchiveManifest)


def write_manifest(folder: Path, manifest: ArchiveManifest) -> None:
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> ArchiveManifest:
    """What the archive says of itself.

    Raises:
        InputError: the folder is no archive, or one of a newer version.
    """
    try:
        found = _ADAPTER.validate_json((folder / MANIFEST).read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        raise InputError(
            "This is no backup: its manifest is missing or cannot be read.",
            remedy="Name a folder that `scizor backup` has written.",
            where=str(folder),
        ) from error
    if found.format > FORMAT:
        raise InputError(
            f"The backup was written by a newer version ({found.release}).",
            remedy="Use that version of Scizor, or a newer one.",
            where=str(folder),
        )
    return found


def check_files(folder: Path, manifest: ArchiveManifest) -> None:
    """Compare every file with what the manifest says of it.

    Raises:
        InputError: one is missing, was changed, or is none of the archive's.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}
    for name, digest in manifest.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name not in found:
            raise _not_whole(folder, f"{name} is missing")
        if (folder / name).is_symlink() or digest_of(folder / name) != digest:
            raise _not_whole(folder, f"{name} is not what was written")
    if strange := sorted(found - set(manifest.files)):
        raise _not_whole(folder, f"{strange[0]} is none of its files")


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def archives_in(place: Path) -> list[Path]:
    """The archives in a folder, the oldest first: by name and manifest, so that nothing else is taken for one."""
    if not place.is_dir():
        return []
    return sorted((path for path in place.iterdir() if _age(path) != _NONE and (path / MANIFEST).is_file()), key=_age)


def next_name(place: Path, now: datetime) -> str:
    """What an archive of this instant is called: after all that there are of the same second, also where some went."""
    name = f"scizor-{now:%Y%m%dT%H%M%SZ}"
    numbers = [number for at, number in map(_age, place.iterdir()) if at == name]
    return f"{name}-{max(numbers) + 1}" if numbers else name


def _age(path: Path) -> tuple[str, int]:
    """Grows with the instant at which an archive was begun; of a name that is none of an archive, ("", 0)."""
    found = _NAME.fullmatch(path.name)
    return (found["at"], int(found["number"] or 1)) if found else _NONE


def prune(place: Path, keep: int) -> list[Path]:
    """Delete each archive of a folder that has `keep` newer ones with all the stores that it has; which ones."""
    archives = archives_in(place)
    holding = {path: _stores_of(path) for path in archives}
    gone = [
        path
        for number, path in enumerate(archives)
        if holding[path] and sum(holding[path] <= holding[newer] for newer in archives[number + 1 :]) >= keep
    ]
    for path in gone:
        # Without its manifest it is an archive no more, whatever becomes of the rest.
        (path / MANIFEST).unlink()
        shutil.rmtree(path)
    return gone


def _stores_of(archive: Path) -> frozenset[str]:
    """Nothing for one that cannot be read, which is left to a person."""
    try:
        return frozenset(read_manifest(archive).stores)
    except InputError:
        return frozenset()


def unfinished_in(place: Path) -> Iterator[Path]:
    """What a backup that died has left."""
    return (path for path in place.glob(".scizor-*.part") if path.is_dir())


def _not_whole(folder: Path, what: str) -> InputError:
    return InputError(
        f"The backup is not whole: {what}.", remedy="Nothing was restored. Take another one.", where=str(folder)
    )
