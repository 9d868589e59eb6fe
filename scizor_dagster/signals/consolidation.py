"""From accepted rows to one target per identifier, each with its instrument or the reason why not.

What belongs here: mode `select` (one strategy), the policies for identifiers without exactly one
instrument, and storing targets. What does not: prices, sizing and scaling a sum (`planning`).

A weight that is set aside is never spread over the others: it stays in cash, and what is held of its
candidates is left alone by the planner.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from scizor_dagster.config import FractionalShares, WeightRules
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.signals.intake import AcceptedSignals
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap, too_much_set_aside
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.rules import limits_of

if TYPE_CHECKING:
    import pandas as pd

TARGET_COLUMNS = (
    "symbol",
    "instrument_id",
    "target_weight",
    "strategy",
    "asset_id",
    "line",
    "file_hash",
    "status",
    "note",
    "candidates",
)
_ROUNDING = 1e-9


class TargetStatus(StrEnum):
    OK = "ok"
    UNKNOWN_ID = "unknown_id"
    """No ticker, or one that the market's universe does not have."""
    AMBIGUOUS_ID = "ambiguous_id"
    """Several tickers, and no choice between them was possible or wanted."""
    QUARANTINED = "quarantined"
    """On the portfolio's blacklist."""


@dataclass(frozen=True, slots=True)
class TargetWeight:
    """One identifier's target.

    Attributes:
        symbol: Ticker; empty where none is known.
        instrument_id: Empty unless `status` is `ok` or `quarantined`.
        target_weight: Share of the portfolio as the file states it.
        line: Line of the weight file.
        note: A sentence for a person where there is something to say.
        candidates: Tickers that the identifier may mean; what is held of them must not be sold.
    """

    symbol: str
    instrument_id: str
    target_weight: float
    strategy: str
    asset_id: str
    line: int
    file_hash: str
    status: TargetStatus
    note: str = ""
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetWeights:
    """All targets of one session, in the file's order. Weights are shares of the portfolio."""

    rows: tuple[TargetWeight, ...]
    warnings: tuple[str, ...] = ()

    @property
    def set_aside(self) -> tuple[TargetWeight, ...]:
        """Rows that will not be traded."""
        return tuple(row for row in self.rows if row.status is not TargetStatus.OK)

    @property
    def total(self) -> float:
        """Sum of the weights that will be traded."""
        return math.fsum(row.target_weight for row in self.rows if row.status is TargetStatus.OK)

    @property
    def weight_set_aside(self) -> float:
        """Sum of the absolute weights that will not be traded."""
        return math.fsum(abs(row.target_weight) for row in self.set_aside)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, warnings: tuple[str, ...] = ()) -> TargetWeights:
        """Targets as `read_targets` gives them."""
        records = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
        rows = (TargetWeight(**row | {"status": TargetStatus(row["status"])}) for row in records)
        return cls(tuple(rows), warnings)

    def frame(self) -> pd.DataFrame:
        """One row per target, columns `TARGET_COLUMNS`; candidates joined by a comma."""
        import pandas as pd

        values = [
            asdict(row) | {"status": row.status.value, "candidates": ",".join(row.candidates)} for row in self.rows
        ]
        return pd.DataFrame(values, columns=list(TARGET_COLUMNS))


@dataclass(frozen=True)
class _Resolver:
    entry: StrategyEntry
    identifiers: IdentifierMap
    instruments: Mapping[str, Instrument]
    priced: Collection[str] | None
    blacklist: frozenset[str]
    market: str
    file_hash: str

    def target(self, asset_id: str, weight: float, line: int) -> TargetWeight:
        candidates = self.identifiers.resolve(asset_id)
        if not candidates:
            note = f"'{asset_id}' is not in the mapping table"
            return self._made(asset_id, weight, line, TargetStatus.UNKNOWN_ID, "", note, ())
        symbol, note = candidates[0], ""
        if len(candidates) > 1:
            chosen = self._first_priced(candidates)
            if chosen is None:
                note = f"'{asset_id}' may be {' or '.join(candidates)}" + self._why_undecided()
                return self._made(asset_id, weight, line, TargetStatus.AMBIGUOUS_ID, "", note, candidates)
            symbol = chosen
            note = f"'{asset_id}' may be {' or '.join(candidates)}; {symbol} is the first of them with a price"
        if symbol not in self.instruments:
            note = f"'{symbol}' is not in the universe of market {self.market}"
            return self._made(asset_id, weight, line, TargetStatus.UNKNOWN_ID, symbol, note, candidates)
        if {symbol, asset_id} & self.blacklist:
            note = f"'{symbol}' is on the blacklist: its weight stays in cash, what is held is left alone"
            return self._made(asset_id, weight, line, TargetStatus.QUARANTINED, symbol, note, candidates)
        return self._made(asset_id, weight, line, TargetStatus.OK, symbol, note, candidates)

    def _first_priced(self, candidates: tuple[str, ...]) -> str | None:
        if self.identifiers.on_ambiguous != "first_priced" or self.priced is None:
            return None
        return next((name for name in candidates if name in self.priced and name in self.instruments), None)

    def _why_undecided(self) -> str:
        if self.identifiers.on_ambiguous != "first_priced":
            return ""
        return ", and no prices were given to decide" if self.priced is None else ", and none of them has a price"

    def _made(
        self,
        asset_id: str,
        weight: float,
        line: int,
        status: TargetStatus,
        symbol: str,
        note: str,
        candidates: tuple[str, ...],
    ) -> TargetWeight:
        known = status in (TargetStatus.OK, TargetStatus.QUARANTINED)
        return TargetWeight(
            symbol,
            self.instruments[symbol].id if known else "",
            weight,
            self.entry.id,
            asset_id,
            line,
            self.file_hash,
            status,
            note,
            candidates if len(candidates) > 1 or not known else (),
        )


def consolidate(
    rows: pd.DataFrame,
    entry: StrategyEntry,
    identifiers: IdentifierMap,
    instruments: Mapping[str, Instrument],
    *,
    priced: Collection[str] | None,
    weights: WeightRules,
    fractional: FractionalShares,
    accepted: AcceptedSignals,
    market: str,
) -> TargetWeights:
    """Make one target per row.

    Args:
        rows: From `dating.select_session`.
        entry: The strategy, for its policies.
        identifiers: The strategy's mapping.
        instruments: The market's universe by ticker.
        priced: Tickers with a usable price, for `on_ambiguous: first_priced`; None when not known.
        weights: The portfolio's rules; its `blacklist` names tickers or the strategy's own ids.
        fractional: For the maximum of the sum, which the planner scales to.
        accepted: The file, for refusals.
        market: Name of the market, for notes.

    Raises:
        SignalRefused: an id without an instrument under `on_unknown_id: refuse`, several instruments
            under `on_ambiguous: refuse`, two ids with one instrument, or more weight set aside than
            `max_quarantined_weight`. The blacklist is the owner's own choice and does not count there.
    """
    resolver = _Resolver(
        entry, identifiers, instruments, priced, frozenset(weights.blacklist), market, accepted.file_hash
    )
    made = [
        resolver.target(str(asset_id), float(weight), int(line))
        for asset_id, weight, line in zip(rows["asset_id"], rows["weight"], rows["line"], strict=True)
    ]
    sheet = rows["sheet"].iloc[0] if len(rows) else None
    found = [*_by_policy(made, entry, identifiers, sheet), *_colliding(made, sheet)]
    found += _too_much_set_aside(made, entry) if not found else []
    if found:
        raise accepted.refusal(*found)
    targets = TargetWeights(tuple(made))
    limit = limits_of(entry, weights, fractional).max_total
    return TargetWeights(targets.rows, tuple(_warnings(targets, limit)))


def _by_policy(
    made: list[TargetWeight], entry: StrategyEntry, identifiers: IdentifierMap, sheet: str | None
) -> Iterator[Violation]:
    refusing = {
        TargetStatus.UNKNOWN_ID: (
            entry.on_unknown_id == "refuse",
            "Add it, or set on_unknown_id: quarantine.",
        ),
        TargetStatus.AMBIGUOUS_ID: (
            identifiers.on_ambiguous == "refuse",
            "Keep one of them in the mapping table.",
        ),
    }
    for row in made:
        refuses, remedy = refusing.get(row.status, (False, ""))
        if refuses:
            yield Violation(row.status.value, f"{row.note}.", remedy, line=row.line, sheet=sheet, value=row.asset_id)


def _colliding(made: list[TargetWeight], sheet: str | None) -> Iterator[Violation]:
    first: dict[str, TargetWeight] = {}
    for row in made:
        if not row.instrument_id:
            continue
        other = first.setdefault(row.instrument_id, row)
        if other is not row:
            yield Violation(
                "two_ids_one_instrument",
                f"'{row.asset_id}' and '{other.asset_id}' (line {other.line}) are both {row.symbol}.",
                "Keep one of them, or correct the mapping table.",
                line=row.line,
                sheet=sheet,
                value=row.asset_id,
            )


def _too_much_set_aside(made: list[TargetWeight], entry: StrategyEntry) -> Iterator[Violation]:
    without = (TargetStatus.UNKNOWN_ID, TargetStatus.AMBIGUOUS_ID)
    rows = [(row.asset_id, row.line, row.target_weight) for row in made if row.status in without]
    return too_much_set_aside(entry, rows)


def _warnings(targets: TargetWeights, max_total: float) -> Iterator[str]:
    for row in targets.rows:
        if row.note:
            yield f"line {row.line}: {row.note} (weight {row.target_weight:.6g})."
    gross = math.fsum(abs(row.target_weight) for row in targets.rows if row.status is TargetStatus.OK)
    if gross > max_total + _ROUNDING:
        yield f"The weights sum to {gross:.9g}, above {max_total:g} but within the tolerance."


def store_targets(lake: Lake, portfolio: str, session: date, targets: TargetWeights, now: datetime) -> int:
    """Replace the stored targets of `portfolio` in `session`.

    `now` is aware, and becomes `fetched_at`.

    Returns:
        The number of rows stored.
    """
    assert now.tzinfo is not None, now
    frame = targets.frame()
    frame = frame.assign(
        portfolio=portfolio,
        session=session,
        source=[f"strategy:{name}" for name in frame["strategy"]],
        fetched_at=now,
    )
    with lake.write() as cursor:
        return replace_rows(cursor, "target_weights", frame, "portfolio = ? AND session = ?", [portfolio, session])


def read_targets(lake: Lake, portfolio: str, session: date) -> pd.DataFrame:
    """Stored targets of one session in the file's order, columns `TARGET_COLUMNS`; candidates as tuples."""
    columns = ", ".join(TARGET_COLUMNS)
    with lake.read() as cursor:
        frame = cursor.execute(
            f"SELECT {columns} FROM target_weights WHERE portfolio = ? AND session = ? ORDER BY line, symbol",
            [portfolio, session],
        ).df()
    frame["candidates"] = [tuple(text.split(",")) if text else () for text in frame["candidates"]]
    return frame
