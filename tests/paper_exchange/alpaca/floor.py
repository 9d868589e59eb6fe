"""The engine under the door, with a clock and prices that a test moves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from threading import Lock
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_orders import House, OrderQuery, Status, Ticket, VenueOrder
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from scizor_dagster.paper_exchange.venue_views import DailyBar, NonTrade
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.market import FakeData, bar
from tests.paper_exchange.venues import Hall, make_venue

CALENDAR = TradingCalendar("XNYS")
INSTRUMENTS = {
    "AAA": Instrument("AAA", "XNYS", "USD", name="Triple A Corporation"),
    "BBB": Instrument("BBB", "XNAS", "USD"),
    "WHOLE": Instrument("WHOLE", "XNYS", "USD", fractionable=False),
    "HARD": Instrument("HARD", "ARCX", "USD", shortable=False),
    "SCARCE": Instrument("SCARCE", "XNYS", "USD", easy_to_borrow=False),
}
VOLUME = 10_000_000
CLOSES = datetime(2024, 3, 4, 21, tzinfo=UTC)


class Floor:
    """A venue of the house ALPACA that is opened when it is first asked: until then `at` may be set anywhere.

    Everything costs 100 on three days, until `price` says otherwise; what is not named here is the venue's own.
    """

    def __init__(
        self,
        folder: Path,
        at: datetime,
        *,
        accounts: tuple[str, ...] = ("main",),
        instruments: Mapping[str, Instrument] = INSTRUMENTS,
    ) -> None:
        self._folder, self._start, self._accounts, self._instruments = folder, at, accounts, instruments
        self._hall: Hall | None = None
        self._lock = Lock()
        flat = bar(100, 100, 100, 100, VOLUME)
        days = CALENDAR.sessions(at.date(), at.date() + timedelta(days=5))[:3]
        self.data = FakeData(
            sessions={day: dict.fromkeys(instruments, flat) for day in days}, prices=dict.fromkeys(instruments, D(100))
        )
        self.booked: list[NonTrade] = []
        self.shown: Callable[[VenueOrder], VenueOrder] = lambda row: row

    @property
    def hall(self) -> Hall:
        with self._lock:
            if self._hall is None:
                accounts = [VenueAccount(name, House.ALPACA, "USD", D(100_000)) for name in self._accounts]
                self._hall = make_venue(
                    self._folder, start=self._start, accounts=accounts, instruments=self._instruments, data=self.data
                )
            return self._hall

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.hall.venue, name)

    @property
    def at(self) -> datetime:
        return self._start if self._hall is None else self.hall.clock.now()

    @at.setter
    def at(self, instant: datetime) -> None:
        if self._hall is None:
            self._start = instant
        else:
            self.hall.clock.move_to(instant)

    def move_to(self, instant: datetime) -> None:
        self.hall.clock.move_to(instant)
        self.hall.venue.run()

    def price(self, symbol: str, price: object, volume: object = VOLUME) -> None:
        """Let the rest of this day, and those to come, trade at a price; a minute passes."""
        for session, rows in self.data.sessions.items():
            if session >= self.at.date():
                rows[symbol] = bar(price, price, price, price, volume)
        self._read_again()
        self.move_to(self.at + timedelta(minutes=1))

    def store(self, *rows: DailyBar) -> None:
        """These bars in place of all others."""
        self.data.sessions.clear()
        for row in rows:
            prices = SessionBar(row.open, row.high, row.low, row.close, row.volume)
            self.data.sessions.setdefault(row.session, {})[row.symbol] = prices
        self._read_again()

    def act(self, *actions: SessionAction) -> None:
        """These corporate actions in place of all others."""
        self.data.events[:] = actions

    def rest(self, tickets: Sequence[tuple[Ticket, datetime]], account: str = "main") -> None:
        """Let many orders rest that were taken at these instants, stored at once."""
        store = self.hall.venue._store
        with store.change() as connection:
            books = VenueBooks(store.load(connection, account, lock=True))
            for ticket, at in tickets:
                books.open(ticket, PositionIntent.BUY_TO_OPEN, Status.NEW, at, live_at=at, expires_at=CLOSES)
            after = store.save(connection, books)
        store.remember(after)

    def listeners(self, account: str) -> list[object]:
        """Who is told of the account's events, the hall itself left out."""
        return [told for told in self.hall.venue._listeners[account] if told != self.hall.events.append]

    def activities(self, account: str, first: date, last: date) -> list[NonTrade]:
        """What the exchange has booked, and what a broker books that the exchange never does (`booked`)."""
        own = self.hall.venue.activities(account, first, last)
        return [*own, *(row for row in self.booked if first <= row.session <= last)]

    def orders(self, account: str, query: OrderQuery = OrderQuery()) -> list[VenueOrder]:  # noqa: B008
        """Orders, as `shown` makes them: what a broker says otherwise than the exchange."""
        every = replace(query, after=None, until=None, limit=None, rolled_up=False)
        rows = [
            row
            for row in map(self.shown, self.hall.venue.orders(account, every))
            if (query.after is None or row.submitted_at > query.after)
            and (query.until is None or row.submitted_at < query.until)
        ]
        ids = {row.order_id for row in rows} if query.rolled_up else set()
        return [row for row in rows if row.parent_id not in ids][: query.limit]

    def _read_again(self) -> None:
        market = self.hall.venue._market
        market._bars.clear()
        market._closes.clear()
