"""A portfolio's performance from what is stored: measured sessions, their profits, and prices of the benchmark.

What belongs here: reading one period. What does not: the figures (`analytics`), and measuring (`measuring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.analytics.attribution import GROUPINGS, read_lines, read_sums
from scizor_dagster.analytics.performance import began_with
from scizor_dagster.analytics.ratios import sessions_a_year
from scizor_dagster.analytics.summary import PerformanceSummary, Period, summarise
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import measured_sessions
from scizor_dagster.flow.money import starting_cash
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.reading import prices

if TYPE_CHECKING:
    import pandas as pd

A_DAY = timedelta(days=1)


def performance_of(
    desk: Desk, portfolio: str, first: date | None = None, last: date | None = None
) -> PerformanceSummary:
    """What the measured sessions from `first` to `last` came to; by default all there are. Stores nothing.

    Raises:
        InputError: no session of the period was measured.
    """
    desk.portfolio(portfolio)
    if not desk.has_lake:
        raise _nothing(portfolio, first, last)
    with desk.lake.pinned() as lake:
        return summarise(_period(desk, lake, portfolio, first or date.min, last or date.max))


def _period(desk: Desk, lake: Lake, portfolio: str, first: date, last: date) -> Period:
    measured = measured_sessions(desk, portfolio, last, lake)
    rows = measured[measured["session"] >= first].reset_index(drop=True)
    if rows.empty:
        raise _nothing(portfolio, None if first == date.min else first, None if last == date.max else last)
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    begins, ends = rows["session"].iloc[0], rows["session"].iloc[-1]
    before = measured[measured["session"] < begins]
    start = calendar.previous_session(begins) if before.empty else before["session"].iloc[-1]
    compared, notes = benchmark_returns(desk, lake, portfolio, [start, *rows["session"]])
    return Period(
        portfolio=portfolio,
        currency=desk.market(settings.market).currency,
        start=start,
        equity=began_with(rows, float(starting_cash(desk, portfolio)))
        if before.empty
        else float(before["equity"].iloc[-1]),
        rows=rows,
        profits={by: read_sums(lake, by, portfolio, begins, ends) for by in GROUPINGS},
        held={by: read_lines(lake, by, portfolio, ends, ends) for by in GROUPINGS},
        sessions_a_year=sessions_a_year(calendar, ends.year),
        benchmark=settings.benchmark or "",
        benchmark_returns=compared,
        notes=notes,
    )


def benchmark_returns(
    desk: Desk, lake: Lake, portfolio: str, days: Sequence[date]
) -> tuple[pd.Series[float] | None, tuple[str, ...]]:
    """Total returns of the portfolio's benchmark from each of `days` to the next, by the later one.

    None without a benchmark, and with a sentence where its prices are not in the lake. NaN where one is missing.
    """
    settings = desk.portfolio(portfolio)
    if settings.benchmark is None:
        return None, ()
    symbol = _benchmark_symbol(desk, portfolio)
    if symbol is None:
        return None, (_not_listed(desk, portfolio),)
    stored = prices(lake, settings.market, [symbol], days[0], days[-1])
    closes = stored.set_index("session")["total_return_close"].astype(float)
    if closes.isna().all():
        return None, (_not_collected(desk, portfolio),)
    # A price of another day is no price of this one: a gap is one in the returns.
    return closes.reindex(list(days)).pct_change(fill_method=None).iloc[1:], ()


def benchmark_problem(desk: Desk, portfolio: str) -> str:
    """Why the portfolio's benchmark can be set against nothing, with the remedy; empty where it can, or will be."""
    settings = desk.portfolio(portfolio)
    if settings.benchmark is None:
        return ""
    symbol = _benchmark_symbol(desk, portfolio)
    if symbol is None:
        return _not_listed(desk, portfolio)
    if not desk.has_lake:
        return ""
    with desk.lake.read() as cursor:
        first, last = cursor.execute(
            "SELECT min(session), max(session) FROM bars WHERE market = ?", [settings.market]
        ).fetchone() or (None, None)
    if first is None:
        return ""
    stored = prices(desk.lake, settings.market, [symbol], first, last)
    return "" if stored["total_return_close"].notna().any() else _not_collected(desk, portfolio)


def _benchmark_symbol(desk: Desk, portfolio: str) -> str | None:
    """The benchmark's symbol in its market's universe; None where it is not in there."""
    settings = desk.portfolio(portfolio)
    known = {item.id: symbol for symbol, item in desk.instruments(settings.market).items()}
    return known.get(settings.benchmark or "")


def _not_listed(desk: Desk, portfolio: str) -> str:
    settings = desk.portfolio(portfolio)
    return (
        f"The benchmark {settings.benchmark} is not in the universe of market '{settings.market}': add it to one "
        f"of its files ({', '.join(desk.market(settings.market).universes)}) and collect its history."
    )


def _not_collected(desk: Desk, portfolio: str) -> str:
    settings = desk.portfolio(portfolio)
    collect = f"scizor collect history --market {settings.market}"
    return f"The lake holds no total-return prices of {settings.benchmark}; collect them: {collect}."


def with_benchmark(desk: Desk, portfolio: str, curve: pd.DataFrame) -> pd.DataFrame:
    """`curve` (columns of `performance`) with a column `benchmark` where there is one: what the equity that it began
    with would be worth in it. Over a session of which it has no return, it stays as it was.
    """
    if curve.empty or desk.portfolio(portfolio).benchmark is None:
        return curve
    start = desk.calendar(desk.portfolio(portfolio).market).previous_session(curve["session"].iloc[0])
    returns, _ = benchmark_returns(desk, desk.lake, portfolio, [start, *curve["session"]])
    if returns is None:
        return curve
    growth = (1 + returns.fillna(0.0)).cumprod().to_numpy()
    return curve.assign(benchmark=began_with(curve, float(starting_cash(desk, portfolio))) * growth)


def _nothing(portfolio: str, first: date | None, last: date | None) -> InputError:
    span = "".join((f" from {first}" if first else "", f" to {last}" if last else ""))
    return InputError(
        f"No session of portfolio '{portfolio}'{span} was measured.",
        remedy="A session is measured once it has been traded and its prices are collected: scizor run, or scizor "
        f"reconcile --portfolio {portfolio} --date YYYY-MM-DD.",
        where=f"portfolio {portfolio}",
    )
