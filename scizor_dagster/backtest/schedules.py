"""Target weights to a schedule: which session's plan has which weights, by the columns of a history.

What belongs here: dates to sessions as the intake of weight files moves them, and frames or arrays to a `Schedule`.
What does not: reading weight files (`signals`), combining strategies (`flow.backtest_weights`).

A date belongs to the session that its weights trade in: a day that is no session belongs to the next one, and weights
of a `signal_close` trade in the first session after it (`signals.dating`). Weights of a symbol that has no prices stay
in cash, and a note names it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.backtest.histories import few
from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.errors import InputError
from scizor_dagster.signals.dating import WeightsDated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def schedule_of(
    history: History,
    days: Sequence[date],
    symbols: Sequence[str],
    weights: NDArray[Any],
    dated: WeightsDated = "trade_session",
    *,
    first: date | None = None,
    last: date | None = None,
    delay: int = 1,
    notes: Sequence[str] = (),
    aside: NDArray[Any] | None = None,
) -> Schedule:
    """Make a schedule of weights by date and symbol.

    Args:
        history: Whose sessions and columns the schedule is of.
        days: R dates, each once, in any order.
        symbols: N tickers, each once.
        weights: R x N shares of equity, finite.
        dated: What the dates are of.
        first: Sessions before it are left out; by default those that the history cannot trade in.
        last: Sessions after it are left out.
        delay: Sessions from a signal's close to its fills: of dates of a `signal_close`, the first one after it is 1.
        notes: Sentences that come along.
        aside: R x N, True where what is held stays as it is; see `Schedule.kept`.

    Raises:
        InputError: a date or symbol stands twice, two dates belong to one session, a weight is no number, or nothing
            trades in the history.
    """
    values = np.asarray(weights, dtype=np.float64)
    _check(days, symbols, values)
    rows, moved = _rows(history, days, dated, delay)
    # A plan needs a close before its fills, and a curve one before its first return.
    begins = max(bisect_left(history.sessions, first) if first is not None else 1, delay, 1)
    ends = bisect_right(history.sessions, last) if last is not None else len(history.sessions)
    order = sorted(range(len(days)), key=lambda at: days[at])
    kept = [at for at in order if begins <= rows[at] < ends]
    said = [*notes, *moved, *_left_out(days, rows, begins, ends)]
    if not kept:
        span = f"{min(days)} to {max(days)}" if days else "no date at all"
        raise InputError(
            f"No weights trade in the sessions of this backtest: they are of {span}, and the prices of "
            f"{history.sessions[0]} to {history.sessions[-1]}, of which the first session only sizes.",
            remedy="Give prices and weights of the same time, or another --from and --to.",
        )
    placed, without = _placed(history, symbols, values[kept])
    if without:
        said.append(without)
    left = None if aside is None or not aside[kept].any() else _placed(history, symbols, aside[kept])[0] != 0
    return Schedule(np.array([rows[at] for at in kept], dtype=np.int64), placed, tuple(said), left)


def schedule_of_frame(
    history: History,
    frame: pd.DataFrame,
    dated: WeightsDated = "trade_session",
    *,
    first: date | None = None,
    last: date | None = None,
    delay: int = 1,
) -> Schedule:
    """A schedule of a frame with a row for each date and a column for each symbol; its index holds dates or midnights.

    A cell without a number is refused, for it may mean "not held" as well as "not known". The rest as `schedule_of`.

    Raises:
        InputError: as of `schedule_of`, or the index holds no dates.
    """
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    days, symbols = days_of(frame, "weights"), list(map(str, frame.columns))
    return schedule_of(history, days, symbols, values, dated, first=first, last=last, delay=delay)


def days_of(frame: pd.DataFrame, what: str) -> list[date]:
    """The dates of a frame's index: dates, midnights without a zone, or ISO 8601 texts.

    Raises:
        InputError: it holds anything else; `what` says of which frame.
    """
    import pandas as pd

    try:
        # Any other spelling would leave day and month to a guess.
        stamps = pd.DatetimeIndex(pd.to_datetime(list(frame.index), format="ISO8601"))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"The index of the {what} holds no dates ({error}).", remedy="Give a frame with a row for each date."
        ) from error
    if stamps.tz is not None or (stamps != stamps.normalize()).any():
        raise InputError(
            f"The index of the {what} holds times of a day, such as {stamps[0]}.",
            remedy="Give dates: frame.index = frame.index.tz_localize(None).normalize(), where that is what they mean.",
        )
    return [stamp.date() for stamp in stamps]


def _check(days: Sequence[date], symbols: Sequence[str], values: NDArray[Any]) -> None:
    if values.shape != (len(days), len(symbols)):
        raise InputError(
            f"The weights are {' x '.join(map(str, values.shape))} and belong to {len(days)} dates and {len(symbols)} "
            "symbols.",
            remedy="Give a row for each date and a column for each symbol.",
        )
    for names, what in ((list(map(str, days)), "date"), (list(symbols), "symbol")):
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise InputError(f"The {what} {twice[0]} stands twice in the weights.", remedy="Keep one of the two.")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = map(int, bad[0])
        raise InputError(
            f"The weight of {symbols[column]} on {days[row]} is {values[row, column]}.",
            remedy="Write 0 where it is not held; frame.fillna(0.0) does, where that is what a gap means.",
        )


def _rows(history: History, days: Sequence[date], dated: WeightsDated, delay: int) -> tuple[list[int], list[str]]:
    """The row that each date trades in, one past the last row where it is after all of them; and notes."""
    find = bisect_right if dated == "signal_close" else bisect_left
    later = delay - 1 if dated == "signal_close" else 0
    rows = [find(history.sessions, day) + later for day in days]
    owners: dict[int, date] = {}
    for day, row in sorted(zip(days, rows, strict=True)):
        if row < len(history.sessions) and day >= history.sessions[0] and row in owners:
            raise InputError(
                f"The weights of {owners[row]} and of {day} belong to one session, {history.sessions[row]}.",
                remedy="Keep one of the two dates.",
            )
        if day >= history.sessions[0]:
            owners[row] = day
    if dated == "signal_close":
        return rows, []
    moved = [
        f"{day} to {history.sessions[row]}"
        for day, row in zip(days, rows, strict=True)
        if row < len(history.sessions) and day >= history.sessions[0] and history.sessions[row] != day
    ]
    return rows, [f"{len(moved)} dates are no sessions and trade in the next one: {few(moved)}."] if moved else []


def _left_out(days: Sequence[date], rows: Sequence[int], begins: int, ends: int) -> list[str]:
    early = [str(day) for day, row in sorted(zip(days, rows, strict=True)) if row < begins]
    late = [str(day) for day, row in sorted(zip(days, rows, strict=True)) if row >= ends]
    notes = []
    if early:
        notes.append(f"{len(early)} dates are before the first session that trades and are left out: {few(early)}.")
    if late:
        notes.append(f"{len(late)} dates are after the last session and are left out: {few(late)}.")
    return notes


def _placed(history: History, symbols: Sequence[str], values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Weights in the history's columns, and a sentence on those that have none."""
    columns = {item.symbol: at for at, item in enumerate(history.instruments)}
    placed = np.zeros((len(values), len(history.instruments)))
    without: Mapping[str, float] = {}
    for at, symbol in enumerate(symbols):
        if symbol in columns:
            placed[:, columns[symbol]] = values[:, at]
        elif values[:, at].any():
            without = {**without, symbol: float(np.abs(values[:, at]).max())}
    if not without:
        return placed, ""
    named = [f"{symbol} (up to {weight:.2%})" for symbol, weight in sorted(without.items())]
    return placed, f"Without prices in this backtest, so that their weight stays in cash: {few(named)}."
