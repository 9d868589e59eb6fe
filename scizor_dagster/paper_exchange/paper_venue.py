"""The venue itself: every account behind the doors, at one clock, over stored books.

What belongs here: locks, transactions, listeners, and which operation runs. What does not: what an
operation does to the books (`desk`, `continuous`), and how a door spells it.

Each call first brings the account's books to the instant of the clock and stores what happened on the
way; then it does its own work in a second transaction. One lock per account makes calls from several
threads wait for each other, and a version in the account's row makes processes do so. Listeners are told
in the order of the events, after the commit, by the thread that caused them and while it holds the lock of
the account: they hand over and return, and call no other account.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from threading import Lock, RLock
from typing import Any, TypeVar

import sqlalchemy as sa

from scizor_dagster.errors import InputError
from scizor_dagster.paper_exchange.account_settings import changed_settings
from scizor_dagster.paper_exchange.clocks import VenueClock
from scizor_dagster.paper_exchange.continuous import Engine
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.desk import Desk, Lookup
from scizor_dagster.paper_exchange.halts import Halts
from scizor_dagster.paper_exchange.house_alpaca import AlpacaRules
from scizor_dagster.paper_exchange.house_ibkr import IbkrRules
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.traces import Trace
from scizor_dagster.paper_exchange.venue import Listener
from scizor_dagster.paper_exchange.venue_books import VenueBooks, VenueState
from scizor_dagster.paper_exchange.venue_late import put_right
from scizor_dagster.paper_exchange.venue_orders import (
    Amendment,
    Execution,
    House,
    Mishap,
    OrderQuery,
    Refused,
    Ticket,
    VenueEvent,
    VenueOrder,
)
from scizor_dagster.paper_exchange.venue_store import VenueAccount, VenueStore
from scizor_dagster.paper_exchange.venue_views import (
    AccountSettings,
    AccountView,
    DailyBar,
    NonTrade,
    PositionView,
    Quote,
    VenueListing,
)
from scizor_dagster.paper_exchange.watchlists import ListsChange, Watchlist
from scizor_dagster.sessions import TradingCalendar

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_ANY_ORDER = OrderQuery()
_MINUTE = timedelta(minutes=1)


class PaperVenue:
    """Implements `venue.Venue`; see the module. Made by `opening.open_venue`."""

    def __init__(
        self,
        store: VenueStore,
        market: MarketView,
        rules: Rules,
        clock: VenueClock,
        listings: Mapping[str, VenueListing],
        accounts: Sequence[str],
    ) -> None:
        self._store = store
        self._market = market
        self._clock = clock
        self._listings = listings
        self._houses: dict[str, House] = {}
        self._locks = {name: RLock() for name in accounts}
        self._listeners: dict[str, list[Listener]] = {name: [] for name in accounts}
        self._now_lock = Lock()
        self._latest = store.latest(accounts)
        self._halts = Halts(store, market.calendar.code)
        self._engine = Engine(
            market, rules, {House.ALPACA: AlpacaRules(), House.IBKR: IbkrRules()}, self._halts.is_halted
        )
        self._desk = Desk(self._engine)

    def open_accounts(self, accounts: Sequence[VenueAccount]) -> None:
        """Create what does not exist yet."""
        now = self.now()
        for account in accounts:
            self._store.open(account, self._market.session_at(now), now)
            self._houses[account.name] = account.house

    @property
    def calendar(self) -> TradingCalendar:
        return self._market.calendar

    def now(self) -> datetime:
        """The exchange's clock; never before what this venue's accounts have reached."""
        self._market.look()
        with self._now_lock:
            instant = self._clock.now()
            self._latest = instant if self._latest is None else max(instant, self._latest)
            return self._latest

    def _no_earlier(self, now: datetime, reached: datetime) -> datetime:
        """`now`, or what the books have reached where another process, whose clock is ahead, has brought them there."""
        with self._now_lock:
            self._latest = reached if self._latest is None else max(reached, self._latest)
        return max(now, reached)

    def run(self) -> datetime | None:
        """Bring every account to `now()`; the next instant at which something may happen."""
        now = self.now()
        states = [self._brought(name, now) for name in self._locks]
        hours = self._market.hours(self._market.session_at(now))
        opens = self._market.hours(self._market.calendar.next_session(hours.session)).open
        if not any(state.orders for state in states):
            return opens
        if now >= hours.close:
            waiting = any(state.at < hours.close for state in states if state.orders)
            return min(opens, now + _MINUTE) if waiting else opens
        return hours.next_after(now)

    def accounts(self, house: House) -> Sequence[str]:
        return [name for name, own in self._houses.items() if own is house]

    def account(self, account: str) -> AccountView:
        now = self.now()
        state = self._brought(account, now)
        return self._desk.view(VenueBooks(state), max(now, state.at))

    def change_settings(self, account: str, changes: Mapping[str, Any]) -> AccountSettings:
        """Change what the owner may choose.

        Raises:
            Refused: `invalid_setting`, for an unknown name or value.
        """

        def change(books: VenueBooks, now: datetime, lookup: Lookup) -> AccountSettings:  # noqa: ARG001
            books.settings = changed_settings(books.settings, changes)
            return books.settings

        return self._change(account, change)

    def change_watchlists(self, account: str, change: ListsChange) -> Sequence[Watchlist]:
        def put(books: VenueBooks, now: datetime, lookup: Lookup) -> Sequence[Watchlist]:  # noqa: ARG001
            books.settings = replace(books.settings, watchlists=tuple(change(books.settings.watchlists)))
            return books.settings.watchlists

        return self._change(account, put)

    def listings(self) -> Sequence[VenueListing]:
        return list(self._listings.values())

    def listing(self, symbol: str) -> VenueListing | None:
        return self._listings.get(symbol)

    def quote(self, symbol: str) -> Quote | None:
        return self._market.quote(symbol, self.now())

    def bars(self, symbols: Sequence[str], first: date, last: date) -> Mapping[str, Sequence[DailyBar]]:
        return self._market.daily_bars(symbols, first, last, self.now())

    def traces(self, symbol: str, first: date, last: date) -> Sequence[Trace]:
        return self._market.traces(symbol, first, last, self.now())

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> Sequence[SessionAction]:
        """Actions with an ex session from `first` to `last` that have taken effect at `now()`."""
        return self._market.actions(first, min(last, self._market.session_at(self.now())), symbols)

    def place(self, account: str, ticket: Ticket, mishap: Mishap | None = None) -> VenueOrder:
        return self._change(account, lambda books, now, lookup: self._desk.place(books, ticket, now, lookup, mishap))

    def preview(self, account: str, ticket: Ticket) -> tuple[AccountView, AccountView]:
        now = self.now()
        state = self._brought(account, now)
        now = max(now, state.at)
        with self._store.read() as connection:
            after = self._desk.preview(VenueBooks(state), ticket, now, self._lookup(connection, account))
        return self._desk.view(VenueBooks(state), now), after

    def amend(self, account: str, order_id: str, changes: Amendment) -> VenueOrder:
        return self._change_order(
            account,
            order_id,
            lambda books, order, now, lookup: self._desk.amend(books, order, changes, now),  # noqa: ARG005
        )

    def replace(
        self, account: str, order_id: str, changes: Amendment, client_order_id: str | None = None
    ) -> VenueOrder:
        def change(books: VenueBooks, order: VenueOrder, now: datetime, lookup: Lookup) -> VenueOrder:
            name = client_order_id or books.identifier("replacement", books.next_order)
            return self._desk.replace(books, order, changes, name, now, lookup)

        return self._change_order(account, order_id, change)

    def cancel(self, account: str, order_id: str) -> VenueOrder:
        return self._change_order(
            account,
            order_id,
            lambda books, order, now, lookup: self._desk.cancel(books, order, now, "canceled on request"),  # noqa: ARG005
        )

    def cancel_many(self, account: str, order_ids: Sequence[str]) -> Sequence[VenueOrder]:
        return self._change(account, lambda books, now, _: self._desk.cancel_many(books, order_ids, now))

    def strike(self, account: str, order_id: str, mishap: Mishap) -> VenueOrder:
        return self._change_order(
            account,
            order_id,
            lambda books, order, now, lookup: self._desk.strike(books, order, mishap, now),  # noqa: ARG005
        )

    def correct(self, account: str, execution_id: str, qty: Decimal, price: Decimal) -> Execution:
        """Correct an execution, or bust it with quantity zero. Raises `Refused`: `execution_not_found`."""

        def change(books: VenueBooks, now: datetime, lookup: Lookup) -> Execution:  # noqa: ARG001
            with self._store.read() as connection:
                old = self._store.execution(connection, account, execution_id)
                if old is None:
                    raise Refused("execution_not_found", f"execution not found for {execution_id}")
                order = self._store.order(connection, account, old.order_id)
            assert order is not None
            return books.correct(old, order, qty, price, now)

        return self._change(account, change)

    def halt(self, symbol: str) -> None:
        """Stop trading in an instrument from now on: its orders rest. One that is halted stays so."""
        self._settle()
        self._halts.stop(symbol, self.now())

    def resume(self, symbol: str) -> None:
        """End the halt of an instrument."""
        self._settle()
        self._halts.resume(symbol, self.now())

    def order(self, account: str, order_id: str) -> VenueOrder | None:
        with self._reading(account) as connection:
            return self._store.order(connection, account, order_id)

    def order_by_client_id(self, account: str, client_order_id: str) -> VenueOrder | None:
        with self._reading(account) as connection:
            return self._store.order_by_client_id(connection, account, client_order_id)

    def orders(self, account: str, query: OrderQuery = _ANY_ORDER) -> Sequence[VenueOrder]:
        with self._reading(account) as connection:
            return self._store.orders(connection, account, query)

    def positions(self, account: str) -> Sequence[PositionView]:
        now = self.now()
        state = self._brought(account, now)
        return self._desk.positions(VenueBooks(state), max(now, state.at))

    def executions(
        self, account: str, first: datetime, last: datetime, newest: int | None = None
    ) -> Sequence[Execution]:
        with self._reading(account) as connection:
            return self._store.executions(connection, account, first, last, newest)

    def activities(self, account: str, first: date, last: date) -> Sequence[NonTrade]:
        with self._reading(account) as connection:
            return self._store.activities(connection, account, first, last)

    def subscribe(self, account: str, listener: Listener) -> Callable[[], None]:
        self._known(account)
        self._listeners[account].append(listener)

        def end() -> None:
            if listener in self._listeners[account]:
                self._listeners[account].remove(listener)

        return end

    def _known(self, account: str) -> None:
        if account not in self._locks:
            raise InputError(
                f"The exchange has no account '{account}'.",
                remedy=f"Use one of: {', '.join(sorted(self._locks)) or 'none is open'}.",
            )

    def _reading(self, account: str) -> AbstractContextManager[sa.Connection]:
        self._brought(account, self.now())
        return self._store.read()

    def _lookup(self, connection: sa.Connection, account: str) -> Lookup:
        return lambda client_order_id: self._store.order_by_client_id(connection, account, client_order_id)

    def _settle(self) -> None:
        """Store that every account has reached `now()`: what changes for the market there changes nothing before."""
        now = self.now()
        for name in self._locks:
            self._brought(name, now, is_kept=True)

    def _brought(self, account: str, now: datetime, *, is_kept: bool = False) -> VenueState:
        """The account's books at `now`, stored where they have changed or are to be kept."""
        self._known(account)
        with self._locks[account]:
            while True:
                with self._store.read() as connection:
                    state = self._store.load(connection, account, lock=False)
                    now = self._no_earlier(now, state.at)
                    books = VenueBooks(state)
                    books.is_kept = is_kept
                    self._engine.advance(books, now)
                    if books.session != state.session:
                        self._put_right(connection, books)
                if not books.is_changed:
                    after = books.state()
                    self._store.remember(after)
                    return after
                with self._store.change() as connection:
                    # Another process has been faster: start over on its books.
                    if self._store.load(connection, account, lock=True).version != state.version:
                        continue
                    after = self._store.save(connection, books)
                self._store.remember(after)
                self._tell(account, books.events)
                return after

    def _put_right(self, connection: sa.Connection, books: VenueBooks) -> None:
        account = books.account
        put_right(
            books,
            self._market,
            self._store.first_fills(connection, account),
            lambda symbols: self._store.past(connection, account, symbols),
            self._market.hours(books.session).open,
        )

    def _change(self, account: str, operation: Callable[[VenueBooks, datetime, Lookup], _T]) -> _T:
        """Carry out one request in one transaction, and tell of it."""
        self._known(account)
        with self._locks[account]:
            now = self.now()
            self._brought(account, now)
            with self._store.change() as connection:
                books = VenueBooks(self._store.load(connection, account, lock=True))
                now = self._no_earlier(now, books.at)
                self._engine.advance(books, now)
                result = operation(books, now, self._lookup(connection, account))
                after = self._store.save(connection, books)
            self._store.remember(after)
            self._tell(account, books.events)
            return result

    def _change_order(
        self, account: str, order_id: str, operation: Callable[[VenueBooks, VenueOrder, datetime, Lookup], _T]
    ) -> _T:
        def change(books: VenueBooks, now: datetime, lookup: Lookup) -> _T:
            order = books.order(order_id)
            if order is None:
                with self._store.read() as connection:
                    order = self._store.order(connection, account, order_id)
            if order is None:
                raise Refused("order_not_found", f"order not found for {order_id}")
            return operation(books, order, now, lookup)

        return self._change(account, change)

    def _tell(self, account: str, events: Sequence[VenueEvent]) -> None:
        for event in events:
            for listener in tuple(self._listeners[account]):
                try:
                    listener(event)
                except Exception:
                    # What has been stored has happened; a listener's failure is its own.
                    _log.exception("A listener of account %s failed on event %s", account, event.number)
