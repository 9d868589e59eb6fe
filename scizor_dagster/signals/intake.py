"""A weight file, accepted whole or refused whole.

What belongs here: the order of the steps from bytes to a verdict, the memory of files already read,
and storing an accepted session. What does not: the rules themselves (`cells`, `columns`, `rules`,
`dating`, `mapping`, `guards`) and targets per instrument (`consolidation`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from scizor_dagster.config import FractionalShares, WeightRules
from scizor_dagster.errors import SignalRefused
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.cells import ParsedRows
from scizor_dagster.signals.dating import AsOf, chosen_session, missing_sessions, moved_dates, sessions_of
from scizor_dagster.signals.deliveries import combined, entry_of, file_name, files_of, has_several, passed_over
from scizor_dagster.signals.guards import Background, judge
from scizor_dagster.signals.identity import KnownMarket, resolve
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import read_identifier_map, unresolved
from scizor_dagster.signals.readers import WeightFile, read_bytes, read_rows
from scizor_dagster.signals.report import Findings, SignalReport, Violation, WeightSum, about_asset
from scizor_dagster.signals.rules import RULES, WARNINGS, limits_of
from scizor_dagster.signals.sandbox import CIRCUMSTANCES
from scizor_dagster.signals.spec import NOBODY, Owner

FRAME_COLUMNS = ("weights_date", "session", "asset_id", "weight", "sheet", "line", "path")
REMEMBERED_ROWS = 4_000_000
"""Rows of the files that a process remembers; a file counts as `_LEAST_ROWS` at least."""
_LEAST_ROWS = 4000
NOTHING_KNOWN = Background()


@dataclass(frozen=True)
class AcceptedSignals:
    """A file that was accepted.

    Attributes:
        frame: One row per asset and date, in the file's order, columns `FRAME_COLUMNS`: dates as
            `date`, the weight as a share of the portfolio, `sheet` None for a CSV, `path` of the file. Read it, do
            not write to it: it is shared by all who read the same file.
        path: The file, or the pattern of several.
        file_hash: SHA-256 of exactly the bytes that were read; of several files as `deliveries.hash_of` makes it.
        warnings: What was found and did not matter enough to refuse.
        wide: Whether assets are columns, so that a weight has no column of its own.
    """

    strategy: str
    path: str
    file_hash: str
    frame: pd.DataFrame
    warnings: tuple[Violation, ...]
    report: SignalReport
    wide: bool = False

    @cached_property
    def sessions(self) -> tuple[date, ...]:
        """Sessions that the file trades in, ascending."""
        return tuple(sorted(set(self.frame["session"])))

    def refusal(self, *violations: Violation, session: date | None = None) -> SignalRefused:
        """The exception that refuses a session of this accepted file."""
        return replace(self.report, status="refused", violations=violations, session=session).refusal()

    def holding(self, *violations: Violation, session: date) -> SignalRefused:
        """The exception that holds a session of this accepted file for a person (a `SignalHeld`)."""
        return replace(self.report, status="held", violations=violations, session=session).refusal()


@dataclass(frozen=True)
class _Verdict:
    report: SignalReport
    frame: pd.DataFrame | None
    wide: bool = False


def take_in(
    entry: StrategyEntry,
    calendar: TradingCalendar,
    weights: WeightRules,
    fractional: FractionalShares,
    path: Path | None = None,
    owner: Owner = NOBODY,
) -> AcceptedSignals:
    """Read, check and date a whole weight file.

    The bytes are read and hashed each time; the same content under the same settings is parsed once in a
    process.

    Args:
        entry: The strategy.
        calendar: The market's.
        weights: The portfolio's rules on single weights.
        fractional: The portfolio's rules, for the maximum of the sum.
        path: Instead of the entry's path.
        owner: Whose session it is: a file that names another account or portfolio is refused.

    Raises:
        WeightFileMissing: there is no file.
        SignalRefused: with a report of every violation.
        ConfigError: the mapping table cannot be used.
    """
    verdict = _verdict(entry, calendar, weights, fractional, path, owner)
    if verdict.frame is None:
        raise verdict.report.refusal()
    found = _unidentified(entry, verdict.frame, KnownMarket())
    unidentified = Findings(about_asset(item, wide=verdict.wide) for item in found).listed()
    report = replace(verdict.report, warnings=(*verdict.report.warnings, *unidentified))
    return AcceptedSignals(
        entry.id, report.path, report.file_hash, verdict.frame, report.warnings, report, verdict.wide
    )


def check_file(
    entry: StrategyEntry,
    calendar: TradingCalendar,
    weights: WeightRules,
    fractional: FractionalShares,
    path: Path | None = None,
    *,
    session: date | None = None,
    as_of: AsOf = "exact",
    max_age_sessions: int = 0,
    known: Background = NOTHING_KNOWN,
    owner: Owner = NOBODY,
) -> SignalReport:
    """The verdict on a file as a report, for one session where one is given. Arguments as of `take_in`.

    Identifiers are judged by the strategy's policies, against the universe that is `known`, on the rows that would
    trade: those of the session, else those of the file's last one. Elsewhere in the file they are warnings: a company
    that has since left the mapping table does not spoil today's weights. So are the guards (`guards.judge`).

    Raises:
        WeightFileMissing: there is no file.
        NotASession: `session` is none of the calendar's.
        ConfigError: the mapping table cannot be used.
    """
    verdict = _verdict(entry, calendar, weights, fractional, path, owner)
    if session is not None:
        calendar.require(session)
    report, frame = replace(verdict.report, session=session), verdict.frame
    if frame is None:
        return report
    found = sorted(set(frame["session"]))
    before = known.taken.get(report.file_hash)
    chosen = chosen_session(found, session, as_of, max_age_sessions, calendar, before) if session else found[-1]
    if isinstance(chosen, Violation):
        return replace(report, status="refused", violations=(chosen,), session_rows=0)
    rows = frame[frame["session"] == chosen]
    wide = verdict.wide
    refusing = tuple(about_asset(item, wide=wide) for item in _refused_ids(entry, rows, known.market, weights))
    unidentified = Findings(about_asset(item, wide=wide) for item in _unidentified(entry, frame, known.market)).listed()
    report = replace(report, warnings=(*report.warnings, *unidentified))
    if session is not None:
        total = float(rows["weight"].sum())
        report = replace(report, session_rows=len(rows), weight_sum=WeightSum(total, total))
    if refusing:
        return replace(report, status="refused", violations=refusing)
    judged = judge(entry, frame, rows, report.file_hash, session or chosen, known, wide=wide)
    report = replace(report, warnings=(*report.warnings, *judged.approved), rows_hash=judged.rows_hash)
    return replace(report, status="held", violations=judged.held) if judged.held else report


def store_signals(
    lake: Lake, strategy: str, session: date, rows: pd.DataFrame, accepted: AcceptedSignals, now: datetime
) -> int:
    """Store the rows of `strategy` in `session`, beside those of other contents of the file.

    `rows` are those of `select_session`; with `as_of: latest` their own session may be an earlier one. `now`
    is aware, and becomes `fetched_at`.

    Returns:
        The number of rows stored.
    """
    assert now.tzinfo is not None, now
    frame = rows[["weights_date", "asset_id", "weight", "sheet", "line", "path"]].assign(
        strategy=strategy,
        session=session,
        file_hash=accepted.file_hash,
        source=[f"file:{Path(path).name}" for path in rows["path"]],
        fetched_at=now,
    )
    key = [strategy, session, accepted.file_hash]
    with lake.write() as cursor:
        return replace_rows(cursor, "signals", frame, "strategy = ? AND session = ? AND file_hash = ?", key)


_remembered: OrderedDict[Hashable, _Verdict] = OrderedDict()
_guard = threading.Lock()


def _verdict(
    entry: StrategyEntry,
    calendar: TradingCalendar,
    weights: WeightRules,
    fractional: FractionalShares,
    path: Path | None,
    owner: Owner,
) -> _Verdict:
    if not has_several(entry, path):
        return _verdict_of_one(entry, calendar, weights, fractional, path, owner)
    parts = [
        _verdict_of_one(entry_of(entry, file), calendar, weights, fractional, None, owner)
        for file in files_of(entry, path)
    ]
    frames = [part.frame for part in parts if part.frame is not None]
    ignored = passed_over(entry, path)
    report = combined(entry, path or Path(entry.path), [part.report for part in parts], frames, ignored)
    wide = any(part.wide for part in parts)
    return _Verdict(report, pd.concat(frames, ignore_index=True) if report.accepted else None, wide)


def _verdict_of_one(
    entry: StrategyEntry,
    calendar: TradingCalendar,
    weights: WeightRules,
    fractional: FractionalShares,
    path: Path | None,
    owner: Owner,
) -> _Verdict:
    file, unusable = read_bytes(entry, path)
    if unusable:
        return _Verdict(_report(entry, file, 0, None, Findings(unusable), Findings()), None)
    # By content, not by modification time: a file may be rewritten within one tick of the clock.
    settings = (entry.model_dump_json(), "cash_column" in entry.model_fields_set, weights, fractional, owner)
    key = (file.path, file.file_hash, file.verified, *settings, calendar.code)
    with _guard:
        if key in _remembered:
            _remembered.move_to_end(key)
            return _remembered[key]
    verdict = _examine(entry, calendar, weights, fractional, file, owner)
    if any(item.rule in CIRCUMSTANCES for item in verdict.report.violations):
        return verdict
    with _guard:
        _remembered[key] = verdict
        while len(_remembered) > 1 and sum(map(_size, _remembered.values())) > REMEMBERED_ROWS:
            _remembered.popitem(last=False)
    return verdict


def _size(verdict: _Verdict) -> int:
    return max(verdict.report.rows, _LEAST_ROWS)


def _examine(
    entry: StrategyEntry,
    calendar: TradingCalendar,
    weights: WeightRules,
    fractional: FractionalShares,
    file: WeightFile,
    owner: Owner,
) -> _Verdict:
    reading = read_rows(entry, file, owner)
    rows, violations, warnings = reading.rows, reading.violations, reading.warnings
    violations.extend(_other_count(entry, reading.count))
    if rows is None:
        return _Verdict(_report(entry, file, reading.count, None, violations, warnings), None)
    limits = limits_of(entry, weights, fractional)
    sessions, misdated = sessions_of(rows, calendar, entry.weights_dated)
    violations.extend(misdated)
    holes = violations if entry.every_session else warnings
    holes.extend(missing_sessions(sessions, rows, calendar, required=entry.every_session))
    warnings.extend(moved_dates(sessions, rows, entry.weights_dated))
    for rule in RULES:
        violations.extend(rule(rows, limits))
    for rule in WARNINGS:
        warnings.extend(rule(rows, limits))
    report = _report(entry, file, reading.count, rows, violations, warnings)
    return _Verdict(report, _frame(rows, sessions, file.path) if report.accepted else None, rows.wide)


def _other_count(entry: StrategyEntry, rows: int) -> Iterator[Violation]:
    if entry.expect is not None and entry.expect.rows not in (None, rows):
        problem = f"The file has {rows} rows; the strategy manifest expects {entry.expect.rows}."
        yield Violation("row_count_differs", problem, "Deliver the file again, whole.", value=str(rows))


def _unidentified(entry: StrategyEntry, frame: pd.DataFrame, market: KnownMarket) -> Iterator[Violation]:
    """Identifiers that mapping table and universe do not settle, each on the first line it stands on."""
    table = read_identifier_map(entry)
    firsts = frame.drop_duplicates(["asset_id", "weights_date"] if table.is_dated else "asset_id")
    seen: set[str | None] = set()
    for path in dict.fromkeys(firsts["path"]):
        part = firsts[firsts["path"] == path]
        columns = (part["line"], part["asset_id"], part["weights_date"])
        sheet, header = part["sheet"].iloc[0], entry.columns["asset_id"]
        for item in unresolved(*columns, sheet, header, table, market.why_unknown):
            if item.value not in seen:
                seen.add(item.value)
                yield replace(item, file=file_name(entry, part))


def _refused_ids(
    entry: StrategyEntry, rows: pd.DataFrame, market: KnownMarket, weights: WeightRules
) -> tuple[Violation, ...]:
    """What the strategy's policies refuse among the rows of one session."""
    found = resolve(rows, entry, read_identifier_map(entry), market, weights.blacklist).violations
    return tuple(replace(item, file=file_name(entry, rows)) for item in found)


def _report(
    entry: StrategyEntry,
    file: WeightFile,
    count: int,
    rows: ParsedRows | None,
    violations: Findings,
    warnings: Findings,
) -> SignalReport:
    found = violations.listed()
    days = sorted(set(rows.dates)) if rows else []
    return SignalReport(
        status="refused" if found else "accepted",
        strategy=entry.id,
        path=file.path,
        file_hash=file.file_hash,
        rows=count,
        dates=len(days),
        first_date=days[0] if days else None,
        last_date=days[-1] if days else None,
        weight_sum=_weight_sum(rows) if rows and days else None,
        violations=found,
        warnings=warnings.listed(),
    )


def _weight_sum(rows: ParsedRows) -> WeightSum:
    sums = pd.Series(rows.weights).groupby(pd.Series(rows.dates)).sum()
    return WeightSum(float(sums.min()), float(sums.max()))


def _frame(rows: ParsedRows, sessions: dict[date, date], path: str) -> pd.DataFrame:
    values = {
        "weights_date": pd.Series(rows.dates, dtype=object),
        "session": pd.Series([sessions[day] for day in rows.dates], dtype=object),
        "asset_id": pd.Series(rows.asset_ids, dtype=str),
        "weight": pd.Series(rows.weights, dtype=float),
        "sheet": pd.Series([rows.sheet] * len(rows.lines), dtype=object),
        "line": pd.Series(list(rows.lines), dtype=int),
        "path": pd.Series([path] * len(rows.lines), dtype=object),
    }
    return pd.DataFrame(values)[list(FRAME_COLUMNS)]
