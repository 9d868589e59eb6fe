"""One file, or one per day: which files are a strategy's content, and what they say together.

What belongs here: `path` as a pattern, the hash over several files, and dates that two of them give. What does not:
reading and judging one file (`readers`, `intake`).

Only the name may be a pattern (`signals/weights_*.csv`); every regular file that it matches belongs to the content,
except checksums beside them and what editors and downloads leave (`passed_over`). Each is read whole; one that is
refused refuses all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from scizor_dagster.signals.manifest import StrategyEntry, is_pattern
from scizor_dagster.signals.readers import SIDECAR, WeightFileMissing, read_bytes
from scizor_dagster.signals.report import Findings, SignalReport, Violation, WeightSum

if TYPE_CHECKING:
    import pandas as pd

_SCRAP_STARTS = (".", "~$")
_SCRAP_ENDS = ("~", "#", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", ".lock", ".bak")
MAX_FILES = 1000
"""Files of one strategy: four years of days. Each costs a process that reads it, once."""


def has_several(entry: StrategyEntry, path: Path | None = None) -> bool:
    """Whether the strategy's own path, or the one that the user names, is a pattern."""
    return is_pattern(entry.path if path is None else str(path)) and not Path(path or entry.path).exists()


def files_of(entry: StrategyEntry, path: Path | None = None) -> tuple[Path, ...]:
    """The files that the pattern matches, by name.

    Raises:
        WeightFileMissing: there is none, there are more than `MAX_FILES`, or the folder cannot be read.
    """
    pattern = Path(entry.path) if path is None else path
    try:
        found = sorted(file for file in pattern.parent.iterdir() if _matches(file, pattern.name))
    except OSError as error:
        problem = f"the folder of the weight files cannot be read ({error.strerror})."
        raise WeightFileMissing(entry.id, str(pattern), problem) from error
    if not found:
        raise WeightFileMissing(entry.id, str(pattern), "no weight file has a name that matches.")
    if len(found) > MAX_FILES:
        problem = f"{len(found)} weight files match; {MAX_FILES} are allowed. Move the oldest away."
        raise WeightFileMissing(entry.id, str(pattern), problem)
    return tuple(found)


def entry_of(entry: StrategyEntry, file: Path) -> StrategyEntry:
    """The entry of one of the files."""
    return entry.model_copy(update={"path": str(file)})


def content_hash(entry: StrategyEntry) -> str:
    """The hash of the strategy's content as it is now: that of its file, or over the names and hashes of all.

    A file that may not be read (a link that leads elsewhere, too large) has no hash of its own: an empty one.

    Raises:
        WeightFileMissing: there is no file.
    """
    if not has_several(entry):
        return read_bytes(entry)[0].file_hash
    return hash_of({file.name: read_bytes(entry_of(entry, file))[0].file_hash for file in files_of(entry)})


def hash_of(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the sorted names and hashes of several files."""
    return hashlib.sha256("".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def file_name(entry: StrategyEntry, rows: pd.DataFrame) -> str | None:
    """The file that all `rows` of one session are of; None where the strategy has only one."""
    return Path(rows["path"].iloc[0]).name if len(rows) and is_pattern(entry.path) else None


def combined(
    entry: StrategyEntry,
    pattern: Path,
    reports: Sequence[SignalReport],
    frames: Sequence[pd.DataFrame],
    ignored: Sequence[str] = (),
) -> SignalReport:
    """One report over several files, each finding with the file it is of.

    Args:
        entry: The strategy.
        pattern: What the files match.
        reports: One for each file.
        frames: Of the accepted files, columns `intake.FRAME_COLUMNS`.
        ignored: Names that match as well, and were not read.
    """
    violations, warnings = Findings(_same_dates(entry, frames)), Findings(map(_not_read, ignored))
    for report in reports:
        name = Path(report.path).name
        violations.extend(replace(item, file=name) for item in report.violations)
        warnings.extend(replace(item, file=name) for item in report.warnings)
    found = violations.listed()
    sums = [report.weight_sum for report in reports if report.weight_sum]
    return SignalReport(
        status="refused" if found else "accepted",
        strategy=entry.id,
        path=str(pattern),
        file_hash=hash_of({Path(report.path).name: report.file_hash for report in reports}),
        rows=sum(report.rows for report in reports),
        dates=sum(report.dates for report in reports),
        first_date=min((report.first_date for report in reports if report.first_date), default=None),
        last_date=max((report.last_date for report in reports if report.last_date), default=None),
        weight_sum=WeightSum(min(s.lowest for s in sums), max(s.highest for s in sums)) if sums else None,
        violations=found,
        warnings=warnings.listed(),
    )


def passed_over(entry: StrategyEntry, path: Path | None = None) -> tuple[str, ...]:
    """Names that the pattern matches, and that no delivery has: hidden files, locks, half-made copies."""
    pattern = Path(entry.path) if path is None else path
    names = (file.name for file in pattern.parent.iterdir() if file.is_file())
    return tuple(sorted(name for name in names if fnmatchcase(name, pattern.name) and _is_scrap(name)))


def _matches(file: Path, pattern: str) -> bool:
    scrap = file.name.endswith(SIDECAR) or _is_scrap(file.name)
    return fnmatchcase(file.name, pattern) and not scrap and file.is_file()


def _is_scrap(name: str) -> bool:
    return name.startswith(_SCRAP_STARTS) or name.casefold().endswith(_SCRAP_ENDS)


def _not_read(name: str) -> Violation:
    problem = "The file was not read: by its name it is hidden, a lock or a copy that is not finished."
    return Violation("ignored_file", problem, "Delete it, or give it another name.", file=name)


def _same_dates(entry: StrategyEntry, frames: Sequence[pd.DataFrame]) -> Iterator[Violation]:
    """Sessions that two files give weights for: nobody can say which was meant, so that each of the two is refused."""
    firsts: dict[object, tuple[str, int, str | None]] = {}
    for frame in frames:
        columns = ("session", "path", "line", "sheet")
        for session, path, line, sheet in frame.drop_duplicates("session")[list(columns)].itertuples(index=False):
            this = (Path(path).name, int(line), sheet)
            other = firsts.setdefault(session, this)
            for one, two in ((other, this), (this, other)) if other is not this else ():
                problem = f"Session {session} has weights here and in {two[0]} (line {two[1]})."
                yield Violation(
                    "two_files_one_date",
                    problem,
                    "Keep one of the two files.",
                    line=one[1],
                    sheet=one[2],
                    column=entry.columns["trade_date"],
                    value=str(session),
                    file=one[0],
                )
