"""The venue itself, driven by hand: its clock, its prices, its fills.

Its accounts are at Interactive Brokers unless another house is named.

Every instrument stands at 100 in each session, with no spread, unless `history` gives it closes of its own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from tempfile import mkdtemp

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.clocks import Manual
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.paper_exchange.listings import list_instruments
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.paper_venue import PaperVenue
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.paper_exchange.venue_orders import House, VenueOrder
from scizor_dagster.paper_exchange.venue_store import VenueAccount, VenueStore
from scizor_dagster.paper_exchange.venue_views import VenueListing
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.market import DAY1, DAY2, DAY3, FakeData, bar, fresh_ledger
from tests.paper_exchange.venues import BARE

ACCOUNT = "DU1000000"
NOON = datetime(2024, 3, 4, 17, 0, tzinfo=UTC)
MORNING = NOON - timedelta(hours=3)


class Floor(PaperVenue):
    """See the module. `market_data` may be changed for sessions that nobody has looked at yet."""

    def __init__(
        self,
        folder: Path,
        instruments: Sequence[Instrument] = (),
        *,
        cash: object = 100_000,
        now: datetime = NOON,
        accounts: Sequence[str] = (ACCOUNT,),
        currency: str = "USD",
        calendar: str = "XNYS",
        history: Mapping[str, Mapping[date, object]] | None = None,
        actions: Sequence[SessionAction] = (),
        prices: Mapping[str, object] | None = None,
        rules: Rules = BARE,
        house: House = House.IBKR,
    ) -> None:
        listed = {row.symbol: row for row in instruments}
        self.clock = Manual(now)
        self.market_data = FakeData(prices={symbol: D(100) for symbol in listed}, events=list(actions))
        for day in (DAY1, DAY2, DAY3):
            self.market_data.sessions[day] = {symbol: flat((prices or {}).get(symbol, 100)) for symbol in listed}
        for symbol, closes in (history or {}).items():
            for day, close in closes.items():
                self.market_data.sessions.setdefault(day, {})[symbol] = flat(close, spread=1)
        market = MarketView(self.market_data, TradingCalendar(calendar), listed, rules)
        store = VenueStore(fresh_ledger(Path(mkdtemp(dir=folder))))
        super().__init__(store, market, rules, self.clock, list_instruments(listed, {}), accounts)
        self.open_accounts([VenueAccount(name, house, currency, D(str(cash))) for name in accounts])

    def move_to(self, instant: datetime) -> None:
        """Let time pass, and tell of what happens on the way."""
        self.clock.move_to(instant)
        self.run()

    def trade(self, session: date) -> None:
        """Let the session pass, to its close."""
        self.move_to(self.calendar.close_at(session))

    def settle(self, session: date) -> None:
        """Let the session pass, until its prices are final."""
        self.move_to(self.calendar.settled_at(session))

    def fill(self, order_id: str, qty: object | None = None, price: object = 100, account: str = ACCOUNT) -> VenueOrder:
        """Fill an open order now at a price of the test's, wholly unless `qty` says how much."""
        return self._change_order(
            account,
            order_id,
            lambda books, order, now, _: self._engine.execute(
                books, order, order.remaining if qty is None else D(str(qty)), D(str(price)), now
            ),
        )


class ScriptedFaults:
    """Faults by call, each striking once, in order; None lets a call pass."""

    def __init__(self) -> None:
        self._by_call: dict[str, list[Fault | None]] = {}

    def add(self, call: str, kind: str, *, after: int = 0, times: int = 1, **detail: object) -> None:
        self._by_call.setdefault(call, []).extend([*[None] * after, *[Fault(kind, detail)] * times])

    def next(self, door: str, call: str) -> Fault | None:
        assert door == "tws"
        waiting = self._by_call.get(call)
        return waiting.pop(0) if waiting else None


def listing(instrument: Instrument) -> VenueListing:
    """A listing with ids of its own."""
    return list_instruments({instrument.symbol: instrument}, {})[instrument.symbol]


def in_a_row(first: date, closes: Sequence[object]) -> dict[date, object]:
    """Closes by session, from `first` on."""
    calendar, found, session = TradingCalendar("XNYS"), {}, first
    for close in closes:
        found[session] = close
        session = calendar.next_session(session)
    return found


def flat(price: object, spread: int = 0) -> SessionBar:
    """A session that stays at one price, or within `spread` of it."""
    at = D(str(price))
    return bar(at, at + spread, at - spread, at, 100_000)
