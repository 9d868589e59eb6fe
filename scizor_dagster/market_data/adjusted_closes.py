"""A source's own adjusted closes as a check of its dividends and splits; they are compared and not stored.

What belongs here: finding the sessions in which a source's adjusted close and its actions contradict each other. What
does not: our own factors (`factors`, `adjustment`).

Between two bars the ratio of adjusted close to close steps by what took effect in between: `1 - amount / close` for a
dividend, `1 / ratio` for a split of a raw source. A dividend without its step is one that the vendor has not adjusted
for; a step without an action is a dividend, or a split, that it does not list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.jumps import Action
from scizor_dagster.market_data.rounding import half_step

ROOM = 2e-4
"""The smallest step that is told from noise: two hundredths of a percent."""
_EPOCH = date(1970, 1, 1)
_LONGEST_PAUSE = 30


def contradictions(bars: pd.DataFrame, actions: Mapping[str, Sequence[Action]]) -> tuple[FeedFault, ...]:
    """Sessions in which the adjusted close does not step as the actions say.

    Args:
        bars: Columns symbol, session, close, adj_close; sound closes, a missing adjusted close is passed over.
        actions: Known actions by symbol, as they show in the closes.
    """
    usable = bars[bars["adj_close"] > 0].sort_values(["symbol", "session"])
    faults: list[FeedFault] = []
    for symbol, own in usable.groupby("symbol", sort=True):
        days = own["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
        close, adjusted = own["close"].to_numpy(dtype=np.float64), own["adj_close"].to_numpy(dtype=np.float64)
        expected = _expected(days, close, actions.get(str(symbol), ()))
        share = adjusted / close
        found = share[:-1] / share[1:]
        noise = half_step(close) / close + half_step(adjusted) / adjusted
        apart = np.abs(found / expected - 1) > ROOM + noise[:-1] + noise[1:]
        apart &= np.diff(days) <= _LONGEST_PAUSE
        faults += [
            _fault(str(symbol), int(days[at + 1]), float(found[at]), float(expected[at]), float(close[at]))
            for at in np.flatnonzero(apart)
        ]
    return tuple(faults)


def _expected(days: NDArray[np.int64], close: NDArray[np.float64], actions: Sequence[Action]) -> NDArray[np.float64]:
    """By how much the ratio is lower before each step than after it."""
    expected = np.ones(len(days) - 1)
    # A dividend is per share after a split of the same session.
    for action in sorted(actions, key=lambda each: (each.day, each.amount)):
        after = int(np.searchsorted(days, action.day))
        if 0 < after < len(days):
            price = close[after - 1] * expected[after - 1]
            expected[after - 1] *= (1 - action.amount / price if action.amount < price else 1.0) / action.ratio
    return expected


def _fault(symbol: str, day: int, found: float, expected: float, close: float) -> FeedFault:
    session = _EPOCH + timedelta(days=day)
    told = (
        f"on {session} the adjusted close of {symbol} has a factor of {found:.6g}, that is {(1 - found) * close:.4g} "
        f"on a close of {close:g}; its actions say {expected:.6g}, that is {(1 - expected) * close:.4g}: "
        "mend the actions or the source"
    )
    return FeedFault("adjusted_close", session, session, 1, 0, told)
