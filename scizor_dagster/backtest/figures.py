"""What a result says of itself: the curve, months, instruments, and single figures, as the live analytics define them.

What belongs here: from a `Result` to the frames that the lake keeps and pages are made from. What does not: the ratios
(`analytics.ratios`), storing (`storage`), and words (`pages`).

Equity is marked at each session's closes. Money in a frame is in the history's currency; costs are money that was paid,
income is money that came. Quantities are whole units, a billionth of a share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.analytics.performance import equity_curve
from scizor_dagster.analytics.ratios import FEWEST, benchmark_ratios, ratios
from scizor_dagster.backtest.model import ActionKind, History, Result
from scizor_dagster.planning.kernel_model import REASONS, UNIT

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

INCOME = ("dividends", "interest", "borrow_fees", "delistings")
COSTS = ("commission", "spread", "slippage", "impact")
_AT_ONCE = 500_000
"""Rows of holdings that are made at a time."""


@dataclass(frozen=True)
class Facts:
    """What a result does not know of itself.

    Attributes:
        begins: The row that the first return counts from.
        benchmark: Returns from each session from there on to the next; None without one.
    """

    begins: int
    sessions_a_year: int
    benchmark: NDArray[Any] | None


@dataclass(frozen=True)
class Frames:
    """What a page is made from; each is small beside the positions, which stay where they are.

    Attributes:
        equity: A row for each session: the columns of `performance` that a backtest has, `INCOME`, `COSTS`, `traded`
            (money bought and sold), `positions` (held at the close), `gross` and `net` (their value), `needed` (share
            of the planned purchases that cash paid for; NaN without a plan) and `benchmark_return`.
        months: month (its first day), return, benchmark_return, profit, costs, turnover, sessions.
        trades: session, symbol, planned, filled (signed units), reference, price, `COSTS` and reason.
        instruments: symbol, profit, income, costs, traded, orders, units and value at the end.
        figures: Single figures by name.
    """

    equity: pd.DataFrame
    months: pd.DataFrame
    trades: pd.DataFrame
    instruments: pd.DataFrame
    figures: Mapping[str, float]


def frames_of(result: Result, facts: Facts) -> Frames:
    """Everything that is known of a result but its positions."""
    marks = marks_of(result.history)
    equity = _equity(result, facts, marks)
    trades = trades_frame(result)
    figures = figures_of(equity, result.choices.capital, facts.sessions_a_year)
    instruments = _instruments(result, marks)
    return Frames(equity, _months(equity, result.choices.capital), trades, instruments, figures)


def marks_of(history: History) -> NDArray[Any]:
    """T x N closes, each the last known one where a session has none, in the units of its own session."""
    units = np.ones_like(history.close)
    for action in history.actions:
        if action.kind is ActionKind.SPLIT:
            units[action.row :, action.column] *= action.value
    marks = history.close * units
    rows = np.where(np.isnan(marks), 0, np.arange(len(marks))[:, None])
    np.maximum.accumulate(rows, axis=0, out=rows)
    marks = np.take_along_axis(marks, rows, axis=0)
    marks /= units
    return marks


def _equity(result: Result, facts: Facts, marks: NDArray[Any]) -> pd.DataFrame:
    import pandas as pd

    history, first = result.history, facts.begins + 1
    sessions = history.sessions[first:]
    traded = np.abs(_value(result.trades))
    paid = {name: np.nan_to_num(result.trades[name]) for name in COSTS}
    columns: dict[str, Any] = {"session": list(sessions), "equity": result.equity[first:], "cash": result.cash[first:]}
    columns["market_value"] = columns["equity"] - columns["cash"]
    columns |= {"flows": 0.0, "earlier_flows": 0.0, "unpriced": 0}
    for name, values in {**paid, "traded": traded}.items():
        columns[name] = np.bincount(result.trades["row"], values, minlength=len(history.sessions))[first:]
    columns |= {name: result.income[first:, at] for at, name in enumerate(INCOME)}
    columns["fees"] = columns["commission"]
    frame = pd.DataFrame(columns)
    frame["return"] = np.nan
    frame = equity_curve(frame, result.choices.capital)
    frame["turnover"] = (frame["traded"] / 2 / frame["equity"].where(frame["equity"] > 0)).fillna(0.0)
    held = _held(result, marks)
    for name, values in held.items():
        frame[name] = values[first:]
    needed = np.full(len(history.sessions), np.nan)
    needed[result.schedule.rows] = result.needed
    frame["needed"] = needed[first:]
    frame["benchmark_return"] = np.nan if facts.benchmark is None else facts.benchmark
    return frame


def _value(trades: NDArray[Any]) -> NDArray[Any]:
    """Signed money of trades at their fills' prices; 0 for one that did not fill."""
    value: NDArray[Any] = trades["count"] / UNIT * np.nan_to_num(trades["price"])
    return value


def _held(result: Result, marks: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Number, gross and net value of the holdings by session; NaN where positions were not kept."""
    sessions = len(result.history.sessions)
    names = ("positions", "gross", "net")
    if len(result.counts) < sessions:
        return {name: np.full(sessions, np.nan) for name in names}
    found = {name: np.zeros(sessions) for name in names}
    step = max(_AT_ONCE // max(len(result.history.instruments), 1), 1)
    for start in range(0, sessions, step):
        part = slice(start, start + step)
        counts = result.counts[part]
        value = np.where(counts != 0, counts / UNIT * marks[part], 0.0)
        found["positions"][part] = (counts != 0).sum(axis=1)
        found["gross"][part], found["net"][part] = np.abs(value).sum(axis=1), value.sum(axis=1)
    return found


def trades_frame(result: Result) -> pd.DataFrame:
    """One row for each trade, as `Frames.trades`."""
    import pandas as pd

    history, trades = result.history, result.trades
    names = ("planned", "reference", "price", *COSTS)
    columns: dict[str, Any] = {
        "session": np.array(history.sessions, dtype="datetime64[s]")[trades["row"]],
        "symbol": _names(trades["column"], [item.symbol for item in history.instruments]),
        "filled": trades["count"],
        **{name: trades[name] for name in names},
        "reason": _names(trades["code"], [str(reason) for reason in REASONS]),
    }
    return pd.DataFrame(columns)


def _names(codes: NDArray[Any], names: Sequence[str]) -> Any:
    """A column of texts, each kept once."""
    import pandas as pd

    return pd.Categorical.from_codes(codes, pd.Index(list(names)))


def positions_frames(result: Result, marks: NDArray[Any], begins: int) -> Iterator[pd.DataFrame]:
    """Holdings that are not zero: session, symbol, units, close (the last known one) and value, some rows at a time."""
    import pandas as pd

    history = result.history
    if len(result.counts) < len(history.sessions):
        return
    days = np.array(history.sessions, dtype="datetime64[s]")
    symbols = [item.symbol for item in history.instruments]
    step = max(_AT_ONCE // max(len(symbols), 1), 1)
    for start in range(begins + 1, len(days), step):
        rows, columns = np.nonzero(result.counts[start : start + step])
        if not len(rows):
            continue
        units, close = result.counts[start + rows, columns], marks[start + rows, columns]
        values = {"session": days[start + rows], "symbol": _names(columns, symbols)}
        yield pd.DataFrame(values | {"units": units, "close": close, "value": units / UNIT * close})


def decisions_frames(result: Result) -> Iterator[pd.DataFrame]:
    """What each plan decided of what it wants or held: session, symbol, weight and reason, some rows at a time."""
    import pandas as pd

    history, schedule = result.history, result.schedule
    if not len(result.codes):
        return
    days = np.array(history.sessions, dtype="datetime64[s]")
    symbols = [item.symbol for item in history.instruments]
    step = max(_AT_ONCE // max(len(symbols), 1), 1)
    for start in range(0, len(schedule.rows), step):
        part = slice(start, start + step)
        sessions = schedule.rows[part]
        held = result.counts[np.maximum(sessions - 1, 0)] != 0
        rows, columns = np.nonzero(held | (schedule.weights[part] != 0) | (result.counts[sessions] != 0))
        if not len(rows):
            continue
        codes = result.codes[part][rows, columns]
        values = {
            "session": days[sessions[rows]],
            "symbol": _names(columns, symbols),
            "weight": schedule.weights[part][rows, columns],
            "reason": _names(codes, [str(reason) for reason in REASONS]),
        }
        yield pd.DataFrame(values)


def _instruments(result: Result, marks: NDArray[Any]) -> pd.DataFrame:
    """What each instrument came to: profit = value at the end + sold - bought + income - commission."""
    import pandas as pd

    history, trades = result.history, result.trades
    size = len(history.instruments)
    value = _value(trades)

    def by_column(values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(trades["column"], values, minlength=size)

    last = np.where(result.counts[-1] != 0, result.counts[-1] / UNIT * marks[-1], 0.0)
    income = _income_by_column(result, marks)
    costs = sum((by_column(np.nan_to_num(trades[name])) for name in COSTS), np.zeros(size))
    commission = by_column(np.nan_to_num(trades["commission"]))
    frame = pd.DataFrame(
        {
            "symbol": [item.symbol for item in history.instruments],
            "profit": last - by_column(value) + income - commission,
            "income": income,
            "costs": costs,
            "traded": by_column(np.abs(value)),
            "orders": np.bincount(trades["column"], minlength=size),
            "units": result.counts[-1],
            "value": last,
        }
    )
    return frame[(frame["orders"] > 0) | (frame["units"] != 0)].reset_index(drop=True)


def _income_by_column(result: Result, marks: NDArray[Any]) -> NDArray[Any]:
    """Dividends and what delistings paid, by instrument; NaN where positions were not kept and there are any."""
    history = result.history
    income = np.zeros(len(history.instruments))
    kept = len(result.counts) == len(history.sessions)
    splits: dict[tuple[int, int], float] = {}
    for action in history.actions:
        place = (action.row, action.column)
        if action.kind is ActionKind.SPLIT:
            splits[place] = splits.get(place, 1.0) * action.value
            continue
        if not kept:
            income[action.column] = np.nan
            continue
        factor = splits.get(place, 1.0)
        held = result.counts[action.row - 1, action.column] / UNIT * factor if action.row else 0.0
        if held and action.kind is ActionKind.DELISTING and math.isnan(action.value):
            income[action.column] += held * marks[action.row - 1, action.column] / factor
        elif held:
            income[action.column] += held * action.value
    return income


def _months(equity: pd.DataFrame, capital: float) -> pd.DataFrame:
    import pandas as pd

    days = pd.to_datetime(equity["session"])
    month = days.dt.to_period("M").dt.start_time.dt.date
    before = equity["equity"].shift(1, fill_value=capital)
    spent = equity[list(COSTS)].sum(axis=1)
    grouped = equity.assign(profit=equity["equity"] - before, costs=spent).groupby(month.rename("month"))
    linked = grouped[["return", "benchmark_return"]].agg(_linked)
    sums = grouped[["profit", "costs", "turnover"]].sum()
    return linked.join(sums).join(grouped.size().rename("sessions")).reset_index()


def _linked(returns: pd.Series[float]) -> float:
    """Returns one after the other; NaN where one of them is not known."""
    return math.prod(1.0 + float(value) for value in returns) - 1.0


def figures_of(equity: pd.DataFrame, capital: float, year: int) -> dict[str, float]:
    """Ratios as the live analytics have them, and sums; NaN where one is not defined."""
    returns = equity.set_index("session")["return"].astype(float)
    found = ratios(returns, year)
    compared = equity.set_index("session")["benchmark_return"].astype(float)
    if compared.notna().any():
        found |= benchmark_ratios(returns, compared, year)
    found |= {name: float(equity[name].sum()) for name in (*COSTS, *INCOME, "traded")}
    enough = len(equity) >= FEWEST
    worth = equity["equity"].where(equity["equity"] > 0)
    return found | {
        "profit": float(equity["equity"].iloc[-1] - capital),
        "turnover_a_year": float(equity["turnover"].mean() * year) if enough else math.nan,
        "gross_exposure": float((equity["gross"] / worth).mean()),
        "net_exposure": float((equity["net"] / worth).mean()),
        "positions": float(equity["positions"].mean()),
    }
