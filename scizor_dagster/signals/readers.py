"""A weight file: its bytes, read once and only when they are whole, and what they say.

What belongs here: opening a file safely, its checksum where one was delivered, the limit of its size.
What does not: the process that reads the bytes (`sandbox`) and the formats (`reading`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from scizor_dagster.errors import ScizorError, SignalRefused
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.reading import Reading
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.sandbox import read_in_child
from scizor_dagster.signals.spec import NOBODY, Owner

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest weight file that is opened; the largest real one seen has 17 MB (1,800 dates x 214 assets)."""
SIDECAR = ".sha256"
_MAX_SIDECAR_BYTES = 10_000


class WeightFileMissing(SignalRefused):
    """There is no weight file where the manifest, or the caller, says (exit code 2). `rule` is what reports call it."""

    exit_code = 2

    def __init__(self, strategy: str, path: str, problem: str, rule: str = "file_missing") -> None:
        self.rule = rule
        super().__init__(strategy, path, ())
        remedy = "Deliver the file, or correct 'path' in the strategy manifest."
        ScizorError.__init__(self, f"Strategy '{strategy}': {problem}", remedy=remedy, where=path)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """The bytes of one file, read once, and their SHA-256 in hexadecimal; `verified` where one was delivered too."""

    path: str
    data: bytes
    file_hash: str
    verified: bool = False


def read_bytes(entry: StrategyEntry, path: Path | None = None) -> tuple[WeightFile, tuple[Violation, ...]]:
    """Read a file whole, once: that of the strategy, or another one that the user names.

    Returns:
        The file and what forbids using it: too large or a link that leads elsewhere (then nothing was
        read), still being written, or not what its checksum says.

    Raises:
        WeightFileMissing: it does not exist, is no regular file, or cannot be read.
    """
    file = Path(entry.path) if path is None else path
    if path is None and _leads_elsewhere(file):
        return WeightFile(str(file), b"", ""), (_link(file),)
    with _opened(entry, file) as stream:
        before = os.fstat(stream.fileno())
        if before.st_size > MAX_FILE_BYTES:
            return WeightFile(str(file), b"", ""), (_too_large(before.st_size),)
        data = stream.read(MAX_FILE_BYTES + 1)
        after = os.fstat(stream.fileno())
    result = WeightFile(str(file), data, hashlib.sha256(data).hexdigest())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed or len(data) != before.st_size:
        return result, (_being_written(),)
    stated = _stated_checksums(entry, file)
    return replace(result, verified=bool(stated)), tuple(_checksums(stated, result.file_hash))


def read_rows(entry: StrategyEntry, file: WeightFile, owner: Owner = NOBODY) -> Reading:
    """What the bytes say, read as the manifest states; `owner` is whose session it is for. Raises nothing."""
    reading = read_in_child(file.data, replace(entry.read_spec, account=owner.account, portfolio=owner.portfolio))
    if file.verified and reading.rows is not None:
        # Whole beyond doubt, however its last line ends.
        reading.rows.unfinished = None
    return reading


def _opened(entry: StrategyEntry, file: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise WeightFileMissing(entry.id, str(file), "the weight file is not a regular file.", "not_a_file")
        # Not blocking: a pipe that has just taken the file's place would wait for its writer.
        return os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        problem = f"the weight file cannot be read ({error.strerror})."
        rule = "file_missing" if isinstance(error, FileNotFoundError) else "file_unreadable"
        raise WeightFileMissing(entry.id, str(file), problem, rule) from error


def _leads_elsewhere(file: Path) -> bool:
    """Whether the file is a link to a place outside its folder. A folder that is a link is the owner's choice."""
    return file.is_symlink() and file.parent.resolve() not in file.resolve().parents


def _stated_checksums(entry: StrategyEntry, file: Path) -> dict[str, str]:
    """The checksums that were delivered for the file, by where they stand."""
    expected = {"the strategy manifest": entry.expect.sha256} if entry.expect and entry.expect.sha256 else {}
    beside = file.with_name(file.name + SIDECAR)
    if beside.is_file():
        expected[str(beside)] = _stated(beside)
    return expected


def _checksums(stated: Mapping[str, str], file_hash: str) -> Iterator[Violation]:
    for source, value in stated.items():
        if value.casefold() != file_hash:
            problem = f"The file is not the one whose SHA-256 {source} gives."
            remedy = "Deliver the file again, whole, and its checksum after it."
            yield Violation("checksum_differs", problem, remedy, value=value)


def _stated(beside: Path) -> str:
    """The first word of a checksum file, as `sha256sum` writes it; what cannot be read agrees with nothing."""
    with beside.open("rb") as stream:
        words = stream.read(_MAX_SIDECAR_BYTES).decode("utf-8", "replace").split()
    return words[0].lstrip("\\") if words else ""


def _link(file: Path) -> Violation:
    problem = f"The file is a link that leads out of its folder, to {os.readlink(file)}."
    remedy = "Deliver the file itself, or name its real place in the strategy manifest."
    return Violation("link_leads_elsewhere", problem, remedy)


def _too_large(size: int) -> Violation:
    problem = f"The file has {size} bytes; {MAX_FILE_BYTES} are allowed."
    return Violation("too_large", problem, "Deliver only the dates that still matter.", value=str(size))


def _being_written() -> Violation:
    remedy = "Write to another name and rename when done; then try again."
    return Violation("still_being_written", "The file changed while it was read.", remedy)
