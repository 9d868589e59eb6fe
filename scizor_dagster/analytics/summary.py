"""A portfolio's performance over a period, in one object: returns, ratios, profits, exposure, drawdowns.

What belongs here: putting together what the modules beside this one compute, and what is said where something is
missing. What does not: reading stores (`flow.performance`), and printing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.attribution import AMOUNTS, By
from scizor_dagster.analytics.exposure import Exposure, exposure_of, exposures
from scizor_dagster.analytics.money_weighted import MoneyWeighted, money_weighted
from scizor_dagster.analytics.ratios import FEWEST, benchmark_ratios, ratios
from scizor_dagster.analytics.rolling import MEASURES, WINDOWS, Drawdown, rolling, worst_drawdowns
from scizor_dagster.signals.arithmetic import exact_arithmetic

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Period:
    """What is summarised.

    Attributes:
        start: The close that the first return counts from.
        equity: At that close, in the portfolio's currency.
        rows: Measured sessions of the period, at least one, oldest first (columns of `performance`).
        profits: Their sums as `attribution.read_sums` gives them.
        held: Lines of the last session as `attribution.read_lines` gives them.
        benchmark: Its name, empty for none.
        benchmark_returns: By session of `rows`, each from the measured session before; NaN where not known.
    """

    portfolio: str
    currency: str
    start: date
    equity: float
    rows: pd.DataFrame
    profits: Mapping[By, Sequence[Mapping[str, Any]]]
    held: Mapping[By, Sequence[Mapping[str, Any]]]
    sessions_a_year: int
    benchmark: str = ""
    benchmark_returns: pd.Series[float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def returns(self) -> pd.Series[float]:
        """Time-weighted, by session."""
        found: pd.Series[float] = self.rows.set_index("session")["return"].astype(float)
        return found


@dataclass(frozen=True)
class PerformanceSummary:
    """See `Period`; money is in the portfolio's currency, returns and ratios are fractions.

    Attributes:
        amounts: Sums of `attribution.AMOUNTS` over the period, exact: profit = realised + unrealised + income - fees.
        time_weighted: Of the whole period.
        turnover: Mean one-way turnover of a session as a share of its equity, times the sessions of a year; NaN where
            there are fewer sessions than ratios need.
        rolling: The newest value of each measure of `rolling` by window.
        exposure: At the last session's close.
        notes: Sentences on what is missing, and why.
    """

    portfolio: str
    currency: str
    start: date
    first: date
    last: date
    sessions: int
    sessions_a_year: int
    equity_before: float
    equity: float
    flows: float
    amounts: Mapping[str, Decimal]
    time_weighted: float
    money_weighted: MoneyWeighted
    ratios: Mapping[str, float]
    benchmark: str
    benchmark_ratios: Mapping[str, float]
    turnover: float
    rolling: Mapping[int, Mapping[str, float]]
    drawdowns: tuple[Drawdown, ...]
    exposure: Exposure
    exposures: Mapping[By, Mapping[str, Exposure]]
    profits: Mapping[By, Sequence[Mapping[str, Any]]]
    notes: tuple[str, ...]


def summarise(period: Period) -> PerformanceSummary:
    """Everything that is known of the period."""
    rows, year = period.rows, period.sessions_a_year
    returns = period.returns
    last = rows["session"].iloc[-1]
    figures = ratios(returns, year)
    flows = [(day, amount) for day, amount in zip(rows["session"], rows["flows"].astype(float), strict=True) if amount]
    compared = period.benchmark_returns
    return PerformanceSummary(
        portfolio=period.portfolio,
        currency=period.currency,
        start=period.start,
        first=rows["session"].iloc[0],
        last=last,
        sessions=len(rows),
        sessions_a_year=year,
        equity_before=period.equity,
        equity=float(rows["equity"].iloc[-1]),
        flows=float(rows["flows"].sum()),
        amounts=_whole(period.profits["instrument"]),
        time_weighted=figures["total_return"],
        money_weighted=money_weighted(period.start, period.equity, flows, last, float(rows["equity"].iloc[-1])),
        ratios=figures,
        benchmark=period.benchmark,
        benchmark_ratios={} if compared is None else benchmark_ratios(returns, compared, year),
        turnover=float(rows["turnover"].astype(float).mean()) * year if len(rows) >= FEWEST else math.nan,
        rolling=_newest_of_each(rolling(returns, compared, sessions_a_year=year)),
        drawdowns=tuple(worst_drawdowns(period.start, returns)),
        exposure=exposure_of(period.held["instrument"]),
        exposures={by: exposures(of, by) for by, of in period.held.items()},
        profits=period.profits,
        notes=(*period.notes, *_notes(period, returns)),
    )


@exact_arithmetic()
def _whole(groups: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    return {name: sum((row[name] for row in groups), Decimal(0)) for name in AMOUNTS}


def _newest_of_each(measures: pd.DataFrame) -> dict[int, dict[str, float]]:
    newest = measures.iloc[-1]
    return {window: {name: float(newest[f"{name}_{window}"]) for name in MEASURES} for window in WINDOWS}


def _notes(period: Period, returns: pd.Series[float]) -> list[str]:
    rows = period.rows
    known = int(returns.notna().sum())
    notes = []
    if known < FEWEST:
        notes.append(f"{known} sessions have a return; figures of a year and ratios need {FEWEST}.")
    if known < len(rows):
        notes.append(f"{len(rows) - known} sessions after an equity of zero or less have no return.")
    unpriced = rows.loc[rows["unpriced"] > 0, "session"]
    if len(unpriced):
        of = f"In {len(unpriced)} sessions, last on {unpriced.iloc[-1]},"
        notes.append(f"{of} a holding had no price and counted nothing.")
    without = rows.loc[rows["account_money"].isna(), "session"]
    if len(without):
        notes.append(
            f"{len(without)} sessions were measured by an earlier version, up to {without.iloc[-1]}: of these there "
            "are no profits by instrument and strategy. Measure them again with scizor reconcile."
        )
    if not period.benchmark:
        notes.append("No benchmark is configured (portfolios.<name>.benchmark): there is no alpha, beta or comparison.")
    elif period.benchmark_returns is not None and period.benchmark_returns.isna().any():
        missing = int(period.benchmark_returns.isna().sum())
        notes.append(
            f"Of {missing} sessions there is no return of the benchmark {period.benchmark}; they are left out."
        )
    if bool(rows["synthetic"].any()):
        notes.append("Prices are synthetic: these figures say nothing of any market.")
    return notes
