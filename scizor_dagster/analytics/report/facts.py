"""What the page of a session is made from, as it was read from the stores.

What belongs here: value objects. What does not: reading them (`flow.reporting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.attribution import By
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.analytics.exposure import Exposure
from scizor_dagster.ledger.breaks import BreakRow
from scizor_dagster.ledger.days import DayRow
from scizor_dagster.ledger.manual_orders import ManualOrder
from scizor_dagster.ledger.rows import BatchRow, FillRow, IntentRow
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.trading_state import Standing

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A weight file that targets of the session are made of.

    Attributes:
        path: As a person finds it; None where the lake does not say it.
        lines: First and last line that a target is made of.
        count: How many lines that is.
    """

    strategy: str
    path: str | None
    sha256: str
    lines: tuple[int, int]
    count: int


@dataclass(frozen=True)
class Trading:
    """From the plan to its fills.

    Attributes:
        plan: That was admitted last, else the newest; None without one.
        head: Its row in `plans`.
        price_ages: Age in sessions of a price by its session, counted to the one that the plan was priced on.
        origins: By symbol, where its weight stands, such as `trend.csv:3 (0.4)`.
        batches: What the ledger has admitted of the session.
        intents: Their orders, in plan order.
        fills: Executions as they stand, by client order id, exits of brackets among them.
        results: Rows of `order_results`.
        costs: Empty where they have not been measured.
        by_hand: The requests of those of the batches that people have placed.
    """

    plan: Plan | None
    head: Row
    price_ages: Mapping[date, int]
    files: Sequence[SourceFile]
    origins: Mapping[str, Sequence[str]]
    batches: Sequence[BatchRow]
    intents: Sequence[IntentRow]
    fills: Mapping[str, Sequence[FillRow]]
    results: Sequence[Row]
    costs: Sequence[OrderCost]
    by_hand: Sequence[ManualOrder] = ()


@dataclass(frozen=True)
class Reconciled:
    """What comparing came to.

    Attributes:
        passes: Rows of `reconciliations`, oldest first.
        breaks: Rows of `breaks` of the newest one.
        open_breaks: Those of the account that are open in the ledger, whenever they were found.
        day: The ledger's; None where it was never reconciled.
        positions: Rows of `end_of_day_positions`.
        ages: Age in sessions of their prices, by the price's session.
    """

    passes: Sequence[Row]
    breaks: Sequence[Row]
    open_breaks: Sequence[BreakRow]
    day: DayRow | None
    positions: Sequence[Row]
    ages: Mapping[date, int]


@dataclass(frozen=True)
class Measured:
    """The curve up to the session, and what it was made of.

    Attributes:
        rows: Columns of `performance`, oldest first; empty where nothing was measured.
        starting_equity: What the portfolio began with.
        starts: The close that the first return counts from; None without a row.
        profits: Of the session, and of its year up to it: sums by group (`attribution.read_sums`).
        exposures: At the session's close, by group.
        benchmark: Its name; empty for none.
        benchmark_returns: By session of `rows`; None where there is no benchmark, or no price of it.
    """

    rows: pd.DataFrame
    starting_equity: float
    starts: date | None
    profits: Mapping[str, Mapping[By, Sequence[Row]]]
    exposures: Mapping[By, Mapping[str, Exposure]]
    sessions_a_year: int
    benchmark: str
    benchmark_returns: pd.Series[float] | None
    notes: Sequence[str]

    @property
    def row(self) -> Row | None:
        """The newest one."""
        return None if self.rows.empty else {str(name): value for name, value in self.rows.iloc[-1].items()}


@dataclass(frozen=True)
class Quality:
    """What the lake holds of the session's prices.

    Attributes:
        collected: Whether there is any.
        quarantined: Rows of `quarantined_bars` of the session, of what the portfolio holds or wants.
        elsewhere: How many there are of other instruments of the market.
    """

    collected: bool
    quarantined: Sequence[Row]
    elsewhere: int


@dataclass(frozen=True)
class ReportFacts:
    """One session of one portfolio.

    Attributes:
        zone: The exchange's.
        is_over: Whether the session has closed.
        is_synthetic: Whether its prices were made up.
        summary: As `flow.summary.session_summary` gives it.
        standing: Whether it may trade now.
    """

    portfolio: str
    account: str
    market: str
    session: date
    currency: str
    zone: tzinfo
    is_over: bool
    is_synthetic: bool
    summary: Row
    standing: Standing
    trading: Trading
    reconciled: Reconciled
    measured: Measured
    quality: Quality

    @property
    def is_measured(self) -> bool:
        row = self.measured.row
        return row is not None and row["session"] == self.session


def decimal(value: Any) -> Decimal | None:
    """A number that the lake keeps as text."""
    return None if value is None else Decimal(str(value))
