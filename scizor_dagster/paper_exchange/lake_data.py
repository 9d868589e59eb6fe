"""The exchange's market data out of the lake: stored bars and corporate actions of one market.

What belongs here: the two tables as the exchange reads them. What does not: how they got there
(`market_data`), and what they do to the books (`matching`, `overnight`).

Prices that are split-adjusted already know their splits, and total-return prices their dividends
too: such actions are left out, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

from scizor_dagster.lake.connection import Lake
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar

LOOK_BACK = timedelta(days=90)
"""A close older than this is no price to trade on."""

_BARS = "SELECT symbol, open, high, low, close, volume FROM bars WHERE market = ? AND session = ?"
_LAST = """
    SELECT symbol, max(session), arg_max(close, session), arg_max(adjustment, session)
    FROM bars WHERE market = ? AND session < ? AND session >= ? GROUP BY symbol"""
_SPLITS = """
    SELECT DISTINCT symbol, ex_session, ratio FROM corporate_actions
    WHERE market = ? AND kind = 'split' AND ratio > 0 AND ex_session > ? AND ex_session <= ?"""
_ACTIONS = """
    SELECT DISTINCT symbol, kind, ratio, amount FROM corporate_actions
    WHERE market = ? AND ex_session = ? AND kind IN ('split', 'dividend') ORDER BY ALL"""
_ACTION_DAYS = "SELECT DISTINCT ex_session FROM corporate_actions WHERE market = ? AND kind IN ('split', 'dividend')"
_ADJUSTMENTS = """
    SELECT symbol, arg_max(adjustment, session) FROM bars
    WHERE market = ? AND session <= ? AND session >= ? AND list_contains(?, symbol) GROUP BY symbol"""
_IN_PRICES = {"raw": (), "split": ("split",), "total_return": ("split", "dividend")}


class LakeSessionData:
    """`SessionData` of one market of the lake.

    The sessions that have actions, and the bars of the session asked for last, are read once: open a new
    one after collecting.

    Args:
        market: Name of the market in the configuration.
    """

    def __init__(self, lake: Lake, market: str) -> None:
        self._lake = lake
        self._market = market
        self._bars: tuple[date, Mapping[str, SessionBar]] | None = None

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        """Bars of a stored session; None while the lake has none of it."""
        if self._bars is None or self._bars[0] != session:
            with self._lake.read() as cursor:
                rows = cursor.execute(_BARS, [self._market, session]).fetchall()
            found = {str(row[0]): SessionBar(*map(_exact, row[1:])) for row in rows}
            # A session that is not stored yet is asked for again; one that is, is read once for all its steps.
            self._bars = (session, found) if found else None
        return self._bars[1] if self._bars else None

    def actions(self, session: date) -> Sequence[SessionAction]:
        """Splits and dividends with this ex session that the stored prices do not know already."""
        if session not in self._action_days:
            return ()
        with self._lake.read() as cursor:
            rows = cursor.execute(_ACTIONS, [self._market, session]).fetchall()
            if not rows:
                return ()
            symbols = sorted({str(row[0]) for row in rows})
            adjustments = dict(
                cursor.execute(_ADJUSTMENTS, [self._market, session, session - LOOK_BACK, symbols]).fetchall()
            )
        return [
            SessionAction(symbol, session, kind, _exact_or_none(ratio), _exact_or_none(amount))
            for symbol, kind, ratio, amount in rows
            if kind not in _IN_PRICES[adjustments.get(symbol, "raw")]
        ]

    @cached_property
    def _action_days(self) -> frozenset[date]:
        # A clock that crosses a quarter asks for every session of it; most have no action.
        with self._lake.read() as cursor:
            rows = cursor.execute(_ACTION_DAYS, [self._market]).fetchall()
        return frozenset(day for (day,) in rows)

    def last_prices(self, before: date) -> Mapping[str, Decimal]:
        """Last close of the 90 days before `before`, in the units that trade on `before`."""
        oldest = before - LOOK_BACK
        with self._lake.read() as cursor:
            rows = cursor.execute(_LAST, [self._market, before, oldest]).fetchall()
            splits = cursor.execute(_SPLITS, [self._market, oldest, before]).fetchall()
        return {
            symbol: _in_units(_exact(close), session, _splits_of(symbol, splits) if adjustment == "raw" else ())
            for symbol, session, close, adjustment in rows
        }


def _splits_of(symbol: str, splits: Iterable[tuple[str, date, float]]) -> list[tuple[date, float]]:
    return [(session, ratio) for name, session, ratio in splits if name == symbol]


def _in_units(price: Decimal, of: date, splits: Iterable[tuple[date, float]]) -> Decimal:
    for session, ratio in splits:
        if session > of:
            price /= _exact(ratio)
    return price


def _exact(value: float) -> Decimal:
    """The shortest decimal that is this double: what the source wrote, not its binary expansion."""
    return Decimal(repr(float(value)))


def _exact_or_none(value: float | None) -> Decimal | None:
    return None if value is None else _exact(value)
