"""The exchange's market data out of the lake: stored bars and corporate actions of one market.

What belongs here: the two tables as the exchange reads them. What does not: how they got there
(`market_data`), and what they do to the books (`matching`, `overnight`).

Prices that are split-adjusted already know their splits, and total-return prices their dividends
too: such actions are left out, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.reading import coverage, too_many_missing
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar

LOOK_BACK = timedelta(days=90)
"""A close older than this is no price to trade on."""

_BARS = "SELECT symbol, open, high, low, close, volume FROM bars WHERE market = ? AND session = ?"
_HISTORY = """
    SELECT symbol, session, open, high, low, close, volume FROM bars
    WHERE market = ? AND session BETWEEN ? AND ? AND list_contains(?, symbol) ORDER BY symbol, session"""
_LAST = """
    SELECT symbol, max(session), arg_max(close, session), arg_max(adjustment, session)
    FROM bars WHERE market = ? AND session < ? AND session >= ? GROUP BY symbol"""
_SPLITS = f"""
    SELECT DISTINCT symbol, ex_session, ratio FROM {whole("corporate_actions")}
    WHERE market = ? AND kind = 'split' AND ratio > 0 AND ex_session > ? AND ex_session <= ?"""
_KINDS = "('split', 'dividend', 'delisting', 'rename')"
_ACTIONS = f"""
    SELECT DISTINCT symbol, ex_session, kind, ratio, amount, new_symbol FROM {whole("corporate_actions")}
    WHERE market = ? AND ex_session BETWEEN ? AND ? AND kind IN {_KINDS}"""
_ACTION_DAYS = f"SELECT DISTINCT ex_session FROM {whole('corporate_actions')} WHERE market = ? AND kind IN {_KINDS}"
_LAST_BEFORE = """
    SELECT max(session), arg_max(close, session), arg_max(adjustment, session)
    FROM bars WHERE market = ? AND symbol = ? AND session < ?"""
_EMPTY = f"SELECT fetched_at FROM {whole('empty_sessions')} WHERE market = ? AND session = ?"
_LATER = """
    SELECT session, min(fetched_at) FROM bars WHERE market = ? AND session > ?
    GROUP BY session ORDER BY count(*) DESC, session LIMIT 3"""
_ADJUSTMENTS = """
    SELECT symbol, arg_max(adjustment, session) FROM bars
    WHERE market = ? AND session <= ? AND session >= ? AND list_contains(?, symbol) GROUP BY symbol"""
_RENAMES = f"""
    SELECT DISTINCT new_symbol, symbol FROM {whole("corporate_actions")}
    WHERE market = ? AND kind = 'rename' AND new_symbol IS NOT NULL ORDER BY ALL"""
_IN_PRICES = {"raw": (), "split": ("split",), "total_return": ("split", "dividend")}


def former_names(lake: Lake, market: str) -> dict[str, str]:
    """The symbol that an instrument had before its last rename, by the one that it has since."""
    with lake.read() as cursor:
        return dict(cursor.execute(_RENAMES, [market]).fetchall())


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
        """Bars of a stored session; None while the lake has too few of them to plan on.

        An order that ends for want of a bar ends for good, so a feed that has failed is waited for.
        """
        if self._bars is None or self._bars[0] != session:
            with self._lake.read() as cursor:
                rows = cursor.execute(_BARS, [self._market, session]).fetchall()
            found = {str(row[0]): SessionBar(*map(_exact, row[1:])) for row in rows}
            # A session that is not stored yet is asked for again; one that is, is read once for all its steps.
            self._bars = (session, found) if found and self._is_covered(session) else None
        return self._bars[1] if self._bars else None

    def history(self, symbols: Collection[str], first: date, last: date) -> Mapping[str, Mapping[date, SessionBar]]:
        """Stored bars of a range, those of sessions that are not whole among them: they are shown, not traded on."""
        with self._lake.read() as cursor:
            rows = cursor.execute(_HISTORY, [self._market, first, last, sorted(symbols)]).fetchall()
        found: dict[str, dict[date, SessionBar]] = {}
        for symbol, session, *prices in rows:
            found.setdefault(symbol, {})[session] = SessionBar(*map(_exact, prices))
        return found

    def passed_without_trading(self, session: date) -> bool:
        """Whether the source had no bar of `session` when it was asked with enough bars of a later one stored.

        A session that was merely not collected has not passed: its orders wait until it is.
        """
        with self._lake.read() as cursor:
            asked = cursor.execute(_EMPTY, [self._market, session]).fetchone()
            if asked is None or cursor.execute(_BARS + " LIMIT 1", [self._market, session]).fetchone() is not None:
                return False
            later = cursor.execute(_LATER, [self._market, session]).fetchall()
        return any(stored <= asked[0] and self._is_covered(day) for day, stored in later)

    def _is_covered(self, session: date) -> bool:
        """The gate that a plan has to pass; where no universe is stored, every bar there is will do."""
        _, expected, missing = coverage(self._lake, self._market, session)
        return expected == 0 or not too_many_missing(len(missing), expected)

    def actions(self, session: date) -> Sequence[SessionAction]:
        """Actions with this ex session that the stored prices do not know already."""
        return self._actions(session, session, None) if session in self._action_days else ()

    def actions_between(self, first: date, last: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        """Actions of `symbols` with these ex sessions that the stored prices do not know already."""
        return self._actions(first, last, symbols) if symbols else ()

    def _actions(self, first: date, last: date, symbols: Collection[str] | None) -> Sequence[SessionAction]:
        only, named = (" AND list_contains(?, symbol)", [sorted(symbols)]) if symbols is not None else ("", [])
        with self._lake.read() as cursor:
            rows = cursor.execute(f"{_ACTIONS}{only} ORDER BY ALL", [self._market, first, last, *named]).fetchall()
            if not rows:
                return ()
            found = sorted({str(row[0]) for row in rows})
            adjustments = dict(cursor.execute(_ADJUSTMENTS, [self._market, last, first - LOOK_BACK, found]).fetchall())
            return [
                SessionAction(
                    symbol,
                    session,
                    kind,
                    _exact_or_none(ratio),
                    self._last_close(cursor, symbol, session) if kind == "delisting" else _exact_or_none(amount),
                    new_symbol,
                )
                for symbol, session, kind, ratio, amount, new_symbol in rows
                if kind not in _IN_PRICES[adjustments.get(symbol, "raw")]
            ]

    def _last_close(self, cursor: duckdb.DuckDBPyConnection, symbol: str, before: date) -> Decimal | None:
        """Last close before `before`, however old, in the units that traded then."""
        row = cursor.execute(_LAST_BEFORE, [self._market, symbol, before]).fetchone()
        if row is None or row[0] is None:
            return None
        session, close, adjustment = row
        splits = cursor.execute(_SPLITS, [self._market, session, before]).fetchall() if adjustment == "raw" else ()
        return _in_units(_exact(close), session, _splits_of(symbol, splits))

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
