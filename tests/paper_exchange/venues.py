"""A venue in a few lines: synthetic bars, a clock that is moved by hand, one account of each house."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal as D
from pathlib import Path
from zoneinfo import ZoneInfo

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.clocks import Manual
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.opening import open_venue
from scizor_dagster.paper_exchange.paper_venue import PaperVenue
from scizor_dagster.paper_exchange.venue_orders import (
    Duration,
    House,
    Leg,
    OrderClass,
    OrderKind,
    OrderQuery,
    Ticket,
    VenueEvent,
    VenueOrder,
)
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.market import DAY1, DAY2, DAY3, INSTRUMENTS, FakeData, bar, fresh_ledger

ALPACA, IBKR = "alpaca-one", "DU1000001"
ACCOUNTS = (VenueAccount(ALPACA, House.ALPACA, "USD", D(100_000)), VenueAccount(IBKR, House.IBKR, "USD", D(100_000)))
BARE = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D(1), opening_share=D(1))
"""No spread, no impact, and the whole day's volume from the open on: a price shows bare."""
THIN = Rules(half_spread_bps=D(0), impact_bps=D(0), max_participation=D("0.1"), opening_share=D("0.05"))
"""A tenth of the volume, of which a twentieth counts from the open on."""
NEW_YORK = ZoneInfo("America/New_York")


def at(clock: str, session: date = DAY1) -> datetime:
    """An instant of a session in New York time, such as `09:30` or `12:00:30`."""
    return datetime.combine(session, time.fromisoformat(clock), NEW_YORK).astimezone(UTC)


@dataclass
class Hall:
    """A venue with its clock, its data and its ledger; `events` are told by both accounts."""

    venue: PaperVenue
    clock: Manual
    data: FakeData
    ledger: Ledger
    events: list[VenueEvent]

    def to(self, clock: str, session: date = DAY1) -> None:
        """Move the clock, and bring the books there."""
        self.clock.move_to(at(clock, session))
        self.venue.run()

    def place(self, account: str = ALPACA, **facts: object) -> VenueOrder:
        """Place a ticket; the order as it is afterwards."""
        taken = self.venue.place(account, ticket(**facts))
        return self.order(taken.order_id, account)

    def order(self, order_id: str, account: str = ALPACA) -> VenueOrder:
        found = self.venue.order(account, order_id)
        assert found is not None
        return found

    def all_orders(self, account: str = ALPACA) -> Sequence[VenueOrder]:
        return self.venue.orders(account, OrderQuery(state="all", ascending=True))

    def held(self, account: str = ALPACA) -> dict[str, D]:
        return {row.symbol: row.qty for row in self.venue.positions(account)}


def make_venue(
    folder: Path,
    *,
    start: datetime | None = None,
    bars: Mapping[date, Mapping[str, SessionBar]] | None = None,
    instruments: Mapping[str, Instrument] = INSTRUMENTS,
    accounts: Sequence[VenueAccount] = ACCOUNTS,
    rules: Rules = BARE,
    ledger: Ledger | None = None,
    data: FakeData | None = None,
    calendar: str = "XNYS",
) -> Hall:
    """A venue on an empty ledger, or on `ledger` again: by default three sessions of AAA and BBB, before the first.

    AAA opens at 100, falls to 90, rises to 110 and closes at 103 in each session; BBB stands at 100.
    """
    flat = bar(100, 100, 100, 100, 1_000_000)
    usual = {day: {"AAA": bar(volume=1_000_000), "BBB": flat, "WHOLE": flat} for day in (DAY1, DAY2, DAY3)}
    sessions = usual if bars is None else bars
    market = data or FakeData(sessions={day: dict(rows) for day, rows in sessions.items()})
    store = ledger or fresh_ledger(folder)
    clock = Manual(start or at("08:00"))
    venue = open_venue(store, accounts, market, TradingCalendar(calendar), clock, instruments, rules)
    events: list[VenueEvent] = []
    for account in accounts:
        venue.subscribe(account.name, events.append)
    return Hall(venue, clock, market, store, events)


def ticket(
    side: str = "buy",
    qty: object = 10,
    symbol: str = "AAA",
    id: str = "one",
    *,
    kind: str = "market",
    duration: str = "day",
    limit: object = None,
    stop: object = None,
    trail: object = None,
    percent: object = None,
    notional: object = None,
    intent: str | None = None,
    profit: object = None,
    loss: object = None,
    loss_limit: object = None,
    order_class: str = "simple",
    **more: object,
) -> Ticket:
    """A ticket with prices given as anything that a Decimal is made of."""

    def money(value: object) -> D | None:
        return None if value is None else D(str(value))

    legs: list[Leg] = []
    if profit is not None:
        legs.append(Leg(OrderKind.LIMIT, limit_price=money(profit)))
    if loss is not None:
        stop_kind = OrderKind.STOP if loss_limit is None else OrderKind.STOP_LIMIT
        legs.append(Leg(stop_kind, limit_price=money(loss_limit), stop_price=money(loss)))
    return Ticket(
        id,
        symbol,
        Side(side),
        OrderKind(kind),
        Duration(duration),
        qty=None if notional is not None else money(qty),
        notional=money(notional),
        limit_price=money(limit),
        stop_price=money(stop),
        trail_price=money(trail),
        trail_percent=money(percent),
        intent=None if intent is None else PositionIntent(intent),
        order_class=OrderClass(order_class),
        legs=tuple(legs),
        **more,  # type: ignore[arg-type]
    )
