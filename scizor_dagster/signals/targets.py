"""Targets of one session: one per instrument, each with the lines of weight files that it is made of.

What belongs here: their shape, and storing and reading them without losing a digit. What does not: how
they come about (`identity`, `blend`, `overlays`, `consolidation`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.signals.arithmetic import exact_arithmetic, plain_text

if TYPE_CHECKING:
    import pandas as pd

TARGET_COLUMNS = ("target", "symbol", "instrument_id", "target_weight", "status", "note", "candidates")
ATTRIBUTION_COLUMNS = (
    "target", "symbol", "instrument_id", "strategy", "asset_id", "line", "file_hash", "weight_stated", "contribution",
)  # fmt: skip


class TargetStatus(StrEnum):
    OK = "ok"
    UNKNOWN_ID = "unknown_id"
    """No ticker, or one that the market's universe does not have."""
    AMBIGUOUS_ID = "ambiguous_id"
    """Several tickers, and no choice between them was possible or wanted."""
    RETIRED_ASSET = "retired_asset"
    """It is not traded any more."""
    QUARANTINED = "quarantined"
    """On the portfolio's blacklist."""
    STRATEGY_IDLE = "strategy_idle"
    """Only strategies that are paused or stopped have a part in it: no order, what is held is kept."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one line of a weight file has in one target.

    Attributes:
        line: Line of the weight file.
        weight_stated: Share of the strategy as the file states it.
        contribution: Share of the portfolio that comes of it; may be 0, where other lines outweigh it.
    """

    strategy: str
    asset_id: str
    line: int
    file_hash: str
    weight_stated: Decimal
    contribution: Decimal


@dataclass(frozen=True, slots=True)
class TargetWeight:
    """The target of one instrument, or of one identifier that has none.

    Attributes:
        symbol: Ticker; empty where none is known.
        instrument_id: Empty where the universe does not have the ticker.
        target_weight: Share of the portfolio: exactly the sum of the contributions.
        note: Sentences for a person where there is something to say.
        candidates: Tickers that the identifier may mean; what is held of them must not be sold.
        contributions: At least one, by strategy and line.
    """

    symbol: str
    instrument_id: str
    target_weight: Decimal
    status: TargetStatus
    note: str
    candidates: tuple[str, ...]
    contributions: tuple[Contribution, ...]

    @property
    def asset_ids(self) -> tuple[str, ...]:
        """Identifiers of the weight files that it answers for, each once."""
        return tuple(dict.fromkeys(item.asset_id for item in self.contributions))


@dataclass(frozen=True)
class TargetWeights:
    """All targets of one session, in the order of strategies and lines. Weights are shares of the portfolio."""

    rows: tuple[TargetWeight, ...]
    warnings: tuple[str, ...] = ()

    @property
    def set_aside(self) -> tuple[TargetWeight, ...]:
        """Rows that will not be traded."""
        return tuple(row for row in self.rows if row.status is not TargetStatus.OK)

    @property
    def total(self) -> Decimal:
        """Sum of the weights that will be traded."""
        return exact_sum(row.target_weight for row in self.rows if row.status is TargetStatus.OK)

    @property
    def weight_set_aside(self) -> Decimal:
        """Sum of the absolute weights that will not be traded."""
        return exact_sum(abs(row.target_weight) for row in self.set_aside)

    @property
    def by_strategy(self) -> dict[str, Decimal]:
        """What each strategy has in the targets that will be traded; they sum to `total`."""
        parts: dict[str, list[Decimal]] = {}
        for row in self.rows:
            for item in row.contributions:
                parts.setdefault(item.strategy, []).append(item.contribution if row.status == "ok" else Decimal(0))
        return {strategy: exact_sum(values) for strategy, values in parts.items()}

    def frame(self) -> pd.DataFrame:
        """One row per target, columns `TARGET_COLUMNS`: `target` counts from 1, weights are plain text, candidates
        are joined by a comma.
        """
        import pandas as pd

        values = [(*_key(number, row), *_said(row)) for number, row in enumerate(self.rows, start=1)]
        return pd.DataFrame(values, columns=list(TARGET_COLUMNS))

    def attribution(self) -> pd.DataFrame:
        """One row per contribution, columns `ATTRIBUTION_COLUMNS`; `target` is that of `frame`."""
        import pandas as pd

        values = [
            (*_key(number, row), *_origin(item))
            for number, row in enumerate(self.rows, start=1)
            for item in row.contributions
        ]
        return pd.DataFrame(values, columns=list(ATTRIBUTION_COLUMNS))


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    with exact_arithmetic():
        return sum(values, Decimal(0))


def _key(number: int, row: TargetWeight) -> tuple[int, str, str]:
    return (number, row.symbol, row.instrument_id)


def _said(row: TargetWeight) -> tuple[str, ...]:
    return (plain_text(row.target_weight), row.status.value, row.note, ",".join(row.candidates))


def _origin(item: Contribution) -> tuple[str | int, ...]:
    weights = (plain_text(item.weight_stated), plain_text(item.contribution))
    return (item.strategy, item.asset_id, item.line, item.file_hash, *weights)


def store_targets(lake: Lake, portfolio: str, session: date, targets: TargetWeights, now: datetime) -> int:
    """Replace the stored targets of `portfolio` in `session`, and what they are made of, in one transaction.

    `now` is aware, and becomes `fetched_at`.

    Returns:
        The number of targets stored.
    """
    assert now.tzinfo is not None, now
    attribution = targets.attribution()
    strategies = ",".join(dict.fromkeys(attribution["strategy"]))
    with lake.write() as cursor:
        for table, frame in (("target_weights", targets.frame()), ("target_attribution", attribution)):
            rows = frame.assign(portfolio=portfolio, session=session, source=f"strategy:{strategies}", fetched_at=now)
            replace_rows(cursor, table, rows, "portfolio = ? AND session = ?", [portfolio, session])
    return len(targets.rows)


def read_targets(lake: Lake, portfolio: str, session: date) -> TargetWeights:
    """Stored targets of one session, equal to those that were stored but for the warnings."""
    key = [portfolio, session]
    with lake.read() as cursor:
        made = cursor.execute(_query("target_weights", TARGET_COLUMNS, "target"), key).fetchall()
        order = "target, strategy, line, asset_id"
        parts = cursor.execute(_query("target_attribution", ATTRIBUTION_COLUMNS, order), key).fetchall()
    contributions: dict[int, list[Contribution]] = {}
    for target, _, _, strategy, asset_id, line, file_hash, stated, contribution in parts:
        item = Contribution(strategy, asset_id, line, file_hash, Decimal(stated), Decimal(contribution))
        contributions.setdefault(target, []).append(item)
    return TargetWeights(tuple(_target(row, tuple(contributions.get(row[0], ()))) for row in made))


def _query(table: str, columns: tuple[str, ...], order: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} WHERE portfolio = ? AND session = ? ORDER BY {order}"


def _target(row: tuple[Any, ...], contributions: tuple[Contribution, ...]) -> TargetWeight:
    _, symbol, instrument_id, weight, status, note, candidates = row
    return TargetWeight(
        symbol,
        instrument_id,
        Decimal(weight),
        TargetStatus(status),
        note or "",
        tuple(candidates.split(",")) if candidates else (),
        contributions,
    )
