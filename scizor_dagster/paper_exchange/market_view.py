"""What the venue sees of the market at an instant: prices that have happened, and none that has not.

What belongs here: marks, quotes and bars at an instant, out of `SessionData` and the calendar. What
does not: orders and accounts.

Of a running session only the path up to the instant is shown. A session whose bar is not there has no
price of its own: what is shown is the last close, with the instant of that close.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import RLock
from typing import TypeVar

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar, SessionData
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.price_path import Hours, PricePath, touch
from scizor_dagster.paper_exchange.traces import Trace, on_step
from scizor_dagster.paper_exchange.venue_views import DailyBar, Quote
from scizor_dagster.sessions import TradingCalendar

_Kept = TypeVar("_Kept")
_SESSIONS_KEPT = 16
_SHOWN_SHARE = 100
"""Part of a volume that a quote shows at its touch: one in so many shares of the session before, which is known."""


class MarketView:
    """Safe to use from several threads; `data` is asked by one at a time."""

    def __init__(
        self, data: SessionData, calendar: TradingCalendar, instruments: Mapping[str, Instrument], rules: Rules
    ) -> None:
        self.calendar = calendar
        self.instruments = instruments
        self._data = data
        self._rules = rules
        self._lock = RLock()
        self._hours: dict[date, Hours] = {}
        self._bars: dict[date, Mapping[str, SessionBar]] = {}
        self._absent: set[date] = set()
        self._closes: dict[date, tuple[datetime | None, Mapping[str, Decimal]]] = {}

    def hours(self, session: date) -> Hours:
        found = self._hours.get(session)
        if found is None:
            found = Hours(session, self.calendar.open_at(session), self.calendar.close_at(session))
            self._hours[session] = found
        return found

    def session_at(self, at: datetime) -> date:
        """The last session that has opened at `at`."""
        session = self.calendar.session_on_or_before(at.astimezone(self.calendar.timezone).date())
        return session if self.hours(session).open <= at else self.calendar.previous_session(session)

    def is_open(self, at: datetime) -> bool:
        return at < self.hours(self.session_at(at)).close

    def look(self) -> None:
        """Ask again for bars that were not there."""
        with self._lock:
            self._absent.clear()

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        """Bars of a session; where there are none, that is so until the next `look`."""
        with self._lock:
            found = self._bars.get(session)
            if found is None and session not in self._absent:
                found = self._data.bars(session)
                if found is None:
                    self._absent.add(session)
                else:
                    _remember(self._bars, session, found)
            return found

    def passed_without_trading(self, session: date) -> bool:
        with self._lock:
            return self._data.passed_without_trading(session)

    def actions(self, first: date, last: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        with self._lock:
            return self._data.actions_between(first, last, symbols)

    def actions_after(self, previous: date, session: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        """Actions that take effect at the open of `session`, those dated on days since `previous` among them."""
        return self.actions(previous + timedelta(days=1), session, symbols)

    def path(self, session: date, symbol: str) -> PricePath | None:
        """The symbol's way through a session; None without a bar, and for what is not listed here."""
        bar = (self.bars(session) or {}).get(symbol)
        return None if bar is None or symbol not in self.instruments else PricePath(bar, self.hours(session))

    def previous_closes(self, session: date, at: datetime) -> Mapping[str, Decimal]:
        """Last closes before `session`, in its units.

        Kept for good once the session before has its bars; until then for one venue minute.
        """
        with self._lock:
            minute = at.replace(second=0, microsecond=0)
            kept = self._closes.get(session)
            if kept is None or kept[0] not in (None, minute):
                known = self.bars(self.calendar.previous_session(session)) is not None
                kept = (None if known else minute, self._data.last_prices(session))
                _remember(self._closes, session, kept)
            return kept[1]

    def mark(self, symbol: str, session: date, at: datetime) -> Decimal | None:
        """Price of an instrument at `at`, in the units of `session`, the last one entered."""
        path = self.path(session, symbol)
        if path is not None:
            return path.price(at)
        return self.previous_closes(session, at).get(symbol)

    def touch(self, symbol: str, middle: Decimal) -> tuple[Decimal, Decimal]:
        """Bid and ask around a price."""
        return touch(middle, self.instruments[symbol], self._rules.half_spread_bps)

    def quote(self, symbol: str, at: datetime) -> Quote | None:
        if symbol not in self.instruments:
            return None
        session = self.session_at(at)
        path = self.path(session, symbol)
        previous = self.previous_closes(session, at).get(symbol)
        if path is None:
            return self._last_close(symbol, session, previous)
        middle, instrument = path.price(at), self.instruments[symbol]
        bid, ask = self.touch(symbol, middle)
        low, high = (on_step(price, instrument) for price in path.extremes(at))
        before = (self.bars(self.calendar.previous_session(session)) or {}).get(symbol)
        size = int(path.volume(at) if before is None else before.volume) // _SHOWN_SHARE
        return Quote(
            symbol,
            min(at, path.hours.close),
            bid,
            ask,
            on_step(middle, instrument),
            size,
            size,
            day_open=path.bar.open,
            day_high=high,
            day_low=low,
            day_volume=path.volume(at).quantize(Decimal(1)),
            previous_close=previous,
        )

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, at: datetime) -> dict[str, list[DailyBar]]:
        """Bars of closed sessions, and the running session's so far; a symbol without any is left out."""
        running = self.session_at(at)
        with self._lock:
            past = self._data.history(symbols, first, min(last, self.calendar.previous_session(running)))
        found = {
            symbol: [_shown(symbol, session, bar) for session, bar in rows.items()] for symbol, rows in past.items()
        }
        if first <= running <= last:
            bars = self.bars(running) or {}
            for symbol in symbols:
                if symbol in bars:
                    found.setdefault(symbol, []).append(self._daily_bar(symbol, running, bars[symbol], at))
        return found

    def traces(self, symbol: str, first: date, last: date, at: datetime) -> list[Trace]:
        """What has been seen of a symbol in each session with a bar, those from `first` to `last`, ascending."""
        running = self.session_at(at)
        if symbol not in self.instruments or first > min(last, running):
            return []
        with self._lock:
            before = min(last, self.calendar.previous_session(running))
            bars = dict(self._data.history([symbol], first, before).get(symbol, {}))
        if last >= running and (today := (self.bars(running) or {}).get(symbol)) is not None:
            bars[running] = today
        instrument = self.instruments[symbol]
        return [
            Trace(symbol, PricePath(bar, self.hours(day)), at, instrument, lambda price: self.touch(symbol, price))
            for day, bar in bars.items()
        ]

    def _daily_bar(self, symbol: str, session: date, bar: SessionBar, at: datetime) -> DailyBar:
        hours = self.hours(session)
        if at >= hours.close:
            return _shown(symbol, session, bar)
        path, instrument = PricePath(bar, hours), self.instruments[symbol]
        low, high, last = (on_step(price, instrument) for price in (*path.extremes(at), path.price(at)))
        volume = path.volume(at).quantize(Decimal(1))
        return DailyBar(symbol, session, bar.open, max(high, bar.open), min(low, bar.open), last, volume)

    def _last_close(self, symbol: str, session: date, previous: Decimal | None) -> Quote | None:
        if previous is None:
            return None
        bid, ask = self.touch(symbol, previous)
        closed = self.hours(self.calendar.previous_session(session)).close
        return Quote(symbol, closed, bid, ask, previous, 0, 0, previous_close=previous)


def _shown(symbol: str, session: date, bar: SessionBar) -> DailyBar:
    return DailyBar(symbol, session, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _remember(kept: dict[date, _Kept], session: date, value: _Kept) -> None:
    kept[session] = value
    if len(kept) > _SESSIONS_KEPT:
        del kept[min(kept)]
