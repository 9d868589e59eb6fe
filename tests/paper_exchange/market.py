"""A small market for the exchange's tests: three sessions, a few instruments, prices written out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path

from scizor_dagster.brokers.protocol import OrderRequest, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.paper_exchange.model import Position, Rules, State
from tests.ledgers import sqlite_ledger

DAY1, DAY2, DAY3 = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
NOW = datetime(2024, 3, 4, 14, 0, tzinfo=UTC)
FREE = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D(1))
"""No spread, no impact, all of the volume: what a price is in a step shows bare."""

INSTRUMENTS: dict[str, Instrument] = {
    "AAA": Instrument("AAA", "XNYS", "USD"),
    "BBB": Instrument("BBB", "XNYS", "USD"),
    "WHOLE": Instrument("WHOLE", "XNYS", "USD", fractionable=False),
    "HARD": Instrument("HARD", "XNYS", "USD", shortable=False),
    "SHUT": Instrument("SHUT", "XNYS", "USD", tradable=False),
    "SCARCE": Instrument("SCARCE", "XNYS", "USD", easy_to_borrow=False),
    "NEW": Instrument("NEW", "XNYS", "USD"),
}
PRICES: dict[str, D] = {name: D(100) for name in INSTRUMENTS if name != "NEW"}


def bar(
    open_: object = 100, high: object = 110, low: object = 90, close: object = 103, volume: object = 3000
) -> SessionBar:
    return SessionBar(*(D(str(value)) for value in (open_, high, low, close, volume)))


@dataclass
class FakeData:
    """`SessionData` out of dictionaries. `asked` records every session whose bars were asked for."""

    sessions: dict[date, dict[str, SessionBar]] = field(default_factory=dict)
    events: list[SessionAction] = field(default_factory=list)
    prices: dict[str, D] = field(default_factory=lambda: dict(PRICES))
    asked: list[date] = field(default_factory=list)

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        self.asked.append(session)
        return self.sessions.get(session)

    def history(self, symbols: Collection[str], first: date, last: date) -> Mapping[str, Mapping[date, SessionBar]]:
        found: dict[str, dict[date, SessionBar]] = {}
        for session in sorted(day for day in self.sessions if first <= day <= last):
            for symbol, row in self.sessions[session].items():
                if symbol in symbols:
                    found.setdefault(symbol, {})[session] = row
        return found

    def actions(self, session: date) -> Sequence[SessionAction]:
        return [event for event in self.events if event.session == session]

    def passed_without_trading(self, session: date) -> bool:
        return session not in self.sessions and any(day > session for day in self.sessions)

    def actions_between(self, first: date, last: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        return [event for event in self.events if first <= event.session <= last and event.symbol in symbols]

    def last_prices(self, before: date) -> Mapping[str, D]:
        closes = dict(self.prices)
        for session in sorted(day for day in self.sessions if day < before):
            closes |= {symbol: row.close for symbol, row in self.sessions[session].items()}
        for event in self.events:
            if event.kind == "split" and event.session == before and event.symbol in closes:
                assert event.ratio is not None
                closes[event.symbol] /= event.ratio
        return closes


def fresh_ledger(folder: Path) -> Ledger:
    """An empty ledger in `folder`; migrated once for all tests, and not fsynced."""
    return Ledger.open(sqlite_ledger(folder), synchronous="OFF")


def request(
    side: str = "buy",
    qty: object = 10,
    symbol: str = "AAA",
    id: str = "one",
    *,
    intent: str | None = None,
    limit: object = None,
    profit: object = None,
    stop: object = None,
    session: date = DAY1,
) -> OrderRequest:
    """An order; its type follows from the prices given, its intent from the side."""
    kind = OrderType.BRACKET if profit or stop else OrderType.LIMIT if limit else OrderType.MARKET
    default = {"buy": "buy_to_open", "sell": "sell_to_close"}[side]
    prices = [None if value is None else D(str(value)) for value in (limit, profit, stop)]
    return OrderRequest(
        id,
        symbol,
        Side(side),
        D(str(qty)),
        kind,
        TimeInForce.DAY,
        session,
        PositionIntent(intent or default),
        *prices,
    )


def state(cash: object = 100_000, **held: object) -> State:
    """Books with a cash balance and positions at the price 100."""
    positions = {name: Position(name, D(str(qty)), D(100), D(100)) for name, qty in held.items()}
    return State("test", "USD", D(str(cash)), positions=positions)
