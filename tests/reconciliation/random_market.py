"""A random market for the embedded exchange: walks with splits, dividends, halts and delistings, session by session.

What belongs here: what happened in the market, from a seed. What does not: what is planned on it, and what the
exchange makes of it. Nothing is computed over all sessions: the thousandth costs what the first one does.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.planning.inputs import ReferencePrice

CENT = Decimal("0.01")
LISTED = 8
RATIOS = tuple(map(Decimal, ("2", "3", "1.5", "0.5", "0.1")))


class RandomMarket:
    """`SessionData` of the sessions that were opened; the newest has no bars before they are revealed.

    Attributes:
        instruments: What is listed, and what once was.
        closes: Last close by symbol, in the units of the session that was opened last.
        events: Actions by their session, as far as they are known.
    """

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)
        self.instruments: dict[str, Instrument] = {}
        self.closes: dict[str, Decimal] = {}
        self.priced_on: dict[str, date] = {}
        self.events: dict[date, list[SessionAction]] = {}
        self._late: list[SessionAction] = []
        self._bars: dict[date, Mapping[str, SessionBar]] = {}
        self._hidden: dict[date, Mapping[str, SessionBar]] = {}
        self._numbers = 0
        self._newest: date | None = None
        self._marks: dict[date, Mapping[str, Decimal]] = {}

    def open(self, session: date) -> list[SessionAction]:
        """Begin a session: its actions take effect, its bars are made and not shown. Actions known before its open."""
        chance = self._chance
        while len(self.closes) < LISTED:
            self._list(session)
        known = [self._late.pop() for _ in range(len(self._late)) if chance.random() < 0.5]
        for action in known:
            self.events.setdefault(action.session, []).append(action)
        actions = self._actions(session)
        self.events.setdefault(session, []).extend(actions)
        self._marks[session] = dict(self.closes)
        # A halt: no trade in the session.
        trading = [symbol for symbol in self.closes if chance.random() < 0.97]
        self._hidden[session] = {symbol: self._bar(self.closes[symbol]) for symbol in trading}
        self._newest = session
        return actions

    def reveal(self, session: date) -> None:
        """The session's bars are there."""
        bars = self._hidden.pop(session, None)
        if bars is not None:
            self._bars[session] = bars
            self.closes |= {symbol: bar.close for symbol, bar in bars.items()}
            self.priced_on |= dict.fromkeys(bars, session)

    def prices(self) -> dict[str, ReferencePrice]:
        """Reference prices of the last closes, in today's units."""
        return {symbol: ReferencePrice(close, self.priced_on[symbol], "walk") for symbol, close in self.closes.items()}

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        return self._bars.get(session)

    def history(self, symbols: Collection[str], first: date, last: date) -> Mapping[str, Mapping[date, SessionBar]]:
        found: dict[str, dict[date, SessionBar]] = {}
        for session in sorted(day for day in self._bars if first <= day <= last):
            for symbol, row in self._bars[session].items():
                if symbol in symbols:
                    found.setdefault(symbol, {})[session] = row
        return found

    def passed_without_trading(self, session: date) -> bool:
        return session not in self._bars and session not in self._hidden

    def actions(self, session: date) -> Sequence[SessionAction]:
        return self.events.get(session, ())

    def actions_between(self, first: date, last: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        days = [day for day in self.events if first <= day <= last]
        return [row for day in sorted(days) for row in self.events[day] if row.symbol in symbols]

    def last_prices(self, before: date) -> Mapping[str, Decimal]:
        return self._marks[before]

    def _list(self, session: date) -> None:
        symbol = f"S{self._numbers}"
        self._numbers += 1
        self.instruments[symbol] = Instrument(symbol, "XNYS", "USD", fractionable=self._numbers % 4 != 0)
        self.closes[symbol] = Decimal(self._chance.randint(800, 20_000)) / 100
        self.priced_on[symbol] = session

    def _actions(self, session: date) -> list[SessionAction]:
        chance, made = self._chance, []
        for symbol in sorted(self.closes):
            drawn = chance.random()
            if drawn < 0.004:
                ratio = chance.choice([ratio for ratio in RATIOS if (ratio > 1) == (self.closes[symbol] > 20)])
                made.append(SessionAction(symbol, session, "split", ratio=ratio))
                self.closes[symbol] = max((self.closes[symbol] / ratio).quantize(CENT), CENT)
            elif drawn < 0.016:
                amount = (self.closes[symbol] * Decimal(chance.randint(1, 12)) / 1000).quantize(Decimal("0.0001"))
                paid = SessionAction(symbol, session, "dividend", amount=amount)
                if chance.random() < 0.25:
                    # The source tells of it some sessions later.
                    self._late.append(paid)
                else:
                    made.append(paid)
            elif drawn < 0.0175:
                made.append(SessionAction(symbol, session, "delisting", amount=self.closes.pop(symbol)))
        return made

    def _bar(self, close: Decimal) -> SessionBar:
        chance = self._chance
        opened, high, low, closed = (close * Decimal(1 + chance.gauss(0, 0.02)).quantize(CENT / 100) for _ in range(4))
        prices = [max(price.quantize(CENT), CENT) for price in (opened, high, low, closed)]
        volume = Decimal(chance.choice([0, 300, 20_000, 20_000, 1_000_000]))
        return SessionBar(prices[0], max(prices), min(prices), prices[3], volume)
