"""A source's own adjusted closes as a check of its dividends and splits; they are compared and not stored.

What belongs here: finding the sessions in which a source's adjusted close and its actions contradict each other, and
which of these are dividends that nobody lists. What does not: our own factors (`factors`, `adjustment`), and writing
such dividends (`observed_dividends`).

Between two bars the ratio of adjusted close to close steps by what took effect in between: `1 - amount / close` for a
dividend, `1 / ratio` for a split of a raw source. A dividend without its step is one that the vendor has not adjusted
for; a step without an action is a dividend, or a split, that it does not list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.jumps import Action
from scizor_dagster.market_data.provider import Adjustment
from scizor_dagster.market_data.restated_series import common_split
from scizor_dagster.market_data.rounding import half_step

ROOM = 2e-4
"""The smallest step that is told from noise: two hundredths of a percent."""
_EPOCH = date(1970, 1, 1)
_LONGEST_PAUSE = 30
_PRECISE = 0.05
"""How exactly a dividend must be known to be taken: prices are rounded, and it is a small step."""
_LARGEST_YIELD = 0.2


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One step of the adjusted close that the actions do not explain.

    Attributes:
        session, before: The session with the step, and the one of the bar before it.
        found, expected: By what factor adjusted close per close is lower before the step; what the actions say.
        close: Of the bar before the step.
        noise: How far rounding can have moved `found`.
    """

    symbol: str
    session: date
    before: date
    found: float
    expected: float
    close: float
    noise: float

    @property
    def amount(self) -> float:
        """Cash per share that the step stands for."""
        return float(f"{(1 - self.found) * self.close:.6g}")

    def is_dividend(self, adjustment: Adjustment) -> bool:
        """Whether this can only be a dividend that is not listed, of an amount that is known to within a twentieth."""
        if self.expected != 1.0 or not 1.0 - _LARGEST_YIELD < self.found < 1.0:
            return False
        # A source of raw prices steps for a stock dividend of 21:20 just as for cash.
        split = adjustment == "raw" and common_split(1.0 / self.found) is not None
        return not split and self.noise <= _PRECISE * (1.0 - self.found)

    def fault(self, *, taken: bool) -> FeedFault:
        """What is told of it; `taken`: it is stored as a dividend."""
        found, expected = (1 - self.found) * self.close, (1 - self.expected) * self.close
        told = (
            f"on {self.session} the adjusted close of {self.symbol} has a factor of {self.found:.6g}, that is "
            f"{found:.4g} on a close of {self.close:g}; its actions say {self.expected:.6g}, that is {expected:.4g}: "
        )
        told += "taken as a dividend until the source lists it" if taken else "mend the actions or the source"
        return FeedFault("adjusted_close", self.session, self.session, 1, 0, told)


def contradictions(bars: pd.DataFrame, actions: Mapping[str, Sequence[Action]]) -> tuple[Contradiction, ...]:
    """Sessions in which the adjusted close does not step as the actions say.

    Args:
        bars: Columns symbol, session, close, adj_close; sound closes, a missing adjusted close is passed over.
        actions: Known actions by symbol, as they show in the closes.
    """
    usable = bars[bars["adj_close"] > 0].sort_values(["symbol", "session"])
    steps: list[Contradiction] = []
    for symbol, own in usable.groupby("symbol", sort=True):
        days = own["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
        close, adjusted = own["close"].to_numpy(dtype=np.float64), own["adj_close"].to_numpy(dtype=np.float64)
        expected = _expected(days, close, actions.get(str(symbol), ()))
        share = adjusted / close
        found = share[:-1] / share[1:]
        rounding = half_step(close) / close + half_step(adjusted) / adjusted
        noise = rounding[:-1] + rounding[1:]
        apart = np.abs(found / expected - 1) > ROOM + noise
        apart &= np.diff(days) <= _LONGEST_PAUSE
        steps += [
            Contradiction(
                str(symbol), _date(days[at + 1]), _date(days[at]),
                float(found[at]), float(expected[at]), float(close[at]), float(noise[at]),
            )
            for at in np.flatnonzero(apart)
        ]  # fmt: skip
    return tuple(steps)


def _date(day: np.int64) -> date:
    return _EPOCH + timedelta(days=int(day))


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
