"""Jumps of one instrument's price that no corporate action explains.

What belongs here: the walk over one series. What does not: which series are walked (`plausibility`).

A bar jumps when the whole of it lies beyond the allowed factor of the price that the last believed bar
and the actions since let expect, or its close beyond the square of the factor. A reference is the last
*believed* bar: after a jump the bars at the new level jump as well, until it is explained or accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from scizor_dagster.market_data.provider import Adjustment
from scizor_dagster.market_data.restated_series import ratio_text

CONFIRMING_SESSIONS = 20
UNITS = (100.0, 1000.0)
_UNIT_ROOM = 1.3
_SPLIT_ROOM = 0.12
_VOLUME_ROOM = 3.0
_RATIOS = (*(float(whole) for whole in range(2, 51)), 1.5, 2.5)
_USUAL_SESSIONS = 20
UNIT_ERROR = 10.0
"""A move that large is a mistaken unit before it is a price; no number of sessions makes it believed."""

Floats = NDArray[np.float64]
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Action:
    """What an ex session does to the price: expected is price / `ratio` - `amount`; a `break_` ends the series.

    Attributes:
        day: Ex session as days since 1970.
    """

    day: int
    ratio: float = 1.0
    amount: float = 0.0
    break_: bool = False
    kind: str = ""

    @classmethod
    def of(cls, kind: str, ex_session: date, ratio: float, amount: float, adjustment: Adjustment) -> Action | None:
        """The action as it shows in prices of `adjustment`; None where it does not show."""
        day = (ex_session - _EPOCH).days
        # What a spin-off takes from the price is not known beforehand.
        if kind in ("rename", "delisting", "spin_off"):
            return cls(day, break_=True, kind=kind)
        if kind == "split" and adjustment == "raw":
            return cls(day, ratio=ratio, kind=f"split of {ratio:g}")
        if kind == "dividend" and adjustment != "total_return":
            return cls(day, amount=amount, kind=f"dividend of {amount:g}")
        return None


def outside(low: Floats, high: Floats, close: Floats, expected: Floats, factor: float) -> NDArray[np.bool_]:
    """Where a bar is a jump from the expected price; nowhere where nothing is expected (NaN)."""
    with np.errstate(invalid="ignore"):
        whole = (low > factor * expected) | (high < expected / factor)
        return whole | (close > factor**2 * expected) | (close < expected / factor**2)


@dataclass(frozen=True, slots=True)
class Jumps:
    """One series, ascending by day."""

    days: NDArray[np.int64]
    low: Floats
    high: Floats
    close: Floats
    volume: Floats
    believed: NDArray[np.bool_]
    actions: tuple[Action, ...]
    factor: float
    look_back: int

    def found(self) -> dict[int, tuple[str, str]]:
        """Positions of the bars that jump, each with a reason and what was expected of it."""
        result: dict[int, tuple[str, str]] = {}
        reference: int | None = None
        for index in range(len(self.days)):
            expected = None if reference is None else self._expected(reference, index)
            if self._is_believed(index, expected):
                reference = index
            else:
                assert reference is not None
                assert expected is not None
                result[index] = self._named(reference, index, expected)
        return result

    def _is_believed(self, index: int, expected: float | None) -> bool:
        if self.believed[index] or expected is None:
            return True
        return not self._jumps(index, expected) or self._confirmed(index, expected)

    def _expected(self, earlier: int, later: int) -> float | None:
        """Price that the earlier bar lets expect of the later one; None where it says nothing of it."""
        first, last = int(self.days[earlier]), int(self.days[later])
        if last - first > self.look_back:
            return None
        price = float(self.close[earlier])
        for action in self._between(first, last):
            price = price / action.ratio - action.amount
            if action.break_ or price <= 0:
                return None
        return price

    def _between(self, first: int, last: int) -> list[Action]:
        # A dividend is per share after a split of the same session.
        chosen = [action for action in self.actions if first < action.day <= last]
        return sorted(chosen, key=lambda action: (action.day, action.amount))

    def _jumps(self, index: int, expected: float) -> bool:
        bar = (self.low[index : index + 1], self.high[index : index + 1], self.close[index : index + 1])
        return bool(outside(*bar, np.array([expected]), self.factor)[0])

    def _confirmed(self, index: int, expected: float) -> bool:
        """Whether enough bars follow at the new level, each in reach of the one before it."""
        apart = self.close[index] / expected
        if max(apart, 1 / apart) >= UNIT_ERROR or len(self.days) - index < CONFIRMING_SESSIONS:
            return False
        for later in range(index + 1, index + CONFIRMING_SESSIONS):
            follows = self._expected(later - 1, later)
            if follows is None or self._jumps(later, follows):
                return False
        return True

    def _named(self, reference: int, index: int, expected: float) -> tuple[str, str]:
        """The reason: a split by price and volume, a unit by the price alone, or a jump of which nothing is known."""
        detail = self._detail(reference, index, expected)
        apart = float(self.close[index]) / expected
        volume = self._volume_factor(reference, index)
        step = max(apart, 1 / apart)
        nearest = min(_RATIOS, key=lambda ratio: abs(step / ratio - 1))
        inverse = volume is not None and 1 / _VOLUME_ROOM < volume * apart < _VOLUME_ROOM
        # A price that a known split has not moved is no second one.
        listed = any(action.ratio != 1.0 for action in self._between(int(self.days[reference]), int(self.days[index])))
        if inverse and not listed and abs(step / nearest - 1) < _SPLIT_ROOM:
            text = ratio_text(nearest if apart < 1 else 1 / nearest)
            return "suspected_split", f"suspected split {text}, by price and volume: {detail}"
        if not inverse and any(unit / _UNIT_ROOM < step < unit * _UNIT_ROOM for unit in UNITS):
            return "unit_error", f"another unit of the currency (pence for pounds, cents for dollars): {detail}"
        return "price_jump", detail

    def _volume_factor(self, reference: int, index: int) -> float | None:
        """Volume per usual volume up to the last believed bar; None where too little is traded to say."""
        usual = float(np.median(self.volume[max(0, reference + 1 - _USUAL_SESSIONS) : reference + 1]))
        now = float(self.volume[index])
        return now / usual if usual > 0 and now > 0 else None

    def _detail(self, reference: int, index: int, expected: float) -> str:
        since, now = int(self.days[reference]), int(self.days[index])
        known = ", ".join(action.kind for action in self._between(since, now)) or "no corporate action"
        day = _EPOCH + timedelta(days=since)
        return (
            f"close {self.close[index]:g} after {self.close[reference]:g} of {day}; "
            f"with {known} since, about {expected:g} is expected"
        )
