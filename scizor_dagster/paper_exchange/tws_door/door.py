"""Everything that the connections of one TWS share.

What belongs here: who is connected, connectivity, the way from the venue's threads into the loop. What
does not: threads and sockets of the server (`server`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from scizor_dagster.paper_exchange.tws_door.account_answers import send_account, send_position, send_summary
from scizor_dagster.paper_exchange.tws_door.book import MANUAL, Book
from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.history import History
from scizor_dagster.paper_exchange.tws_door.market_data import MarketData
from scizor_dagster.paper_exchange.tws_door.order_messages import Address
from scizor_dagster.paper_exchange.tws_door.orders import Orders
from scizor_dagster.paper_exchange.tws_door.profit import send_profit
from scizor_dagster.paper_exchange.tws_door.pushes import Pushes
from scizor_dagster.paper_exchange.tws_door.session import Session
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue import Fault, Faults, Venue
from scizor_dagster.paper_exchange.venue_orders import VenueEvent, VenueOrder
from scizor_dagster.paper_exchange.venue_views import PositionView

_log = logging.getLogger(__name__)
LOST = (1100, "Connectivity between IB and Trader Workstation has been lost.")
RESTORED = (1102, "Connectivity between IB and Trader Workstation has been restored - data maintained.")
RESTORED_EMPTY = (1101, "Connectivity between IB and Trader Workstation has been restored - data lost.")
CALL_DOOR = "tws"
_ACCOUNT_BEATS = 10
"""One telling of prices in so many brings the account's values too, where it holds anything."""
_ACCOUNT_DELAY = 0.05
"""Seconds after a fill; a batch of orders would otherwise bring every value of the account once for each."""


class Door:
    """One TWS. All of it runs in `loop`; `on_event` alone may be called from elsewhere."""

    def __init__(
        self,
        venue: Venue,
        accounts: Sequence[str],
        faults: Faults | None,
        switches: Switches,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.venue = venue
        self.switches = switches
        self.contracts = Contracts(venue, switches.foreign_listings)
        self.book = Book(venue, accounts, self.contracts)
        self.orders = Orders(venue, self.book, self.contracts, switches)
        self.market_data = MarketData(venue, switches)
        self.history = History(venue, self.contracts, switches)
        self.pushes = Pushes(self)
        self.sessions: dict[int, Session] = {}
        self.connected_to_servers = True
        self._faults = faults
        self._loop = loop
        self._unpublished: set[str] = set()
        self._beats = False
        self._beat_number = 0
        self._watchers: dict[int, Session] = {}
        self._outage: tuple[int, bool] | None = None
        self._cancels: dict[str, tuple[str, int, datetime | None]] = {}
        self.stale_positions: dict[str, Sequence[PositionView]] = {}
        """Positions by account as they were before the newest order."""

    def fault(self, call: str) -> Fault | None:
        """The fault that this call meets."""
        return self._faults.next(CALL_DOOR, call) if self._faults is not None else None

    def enter(self, session: Session) -> bool:
        """Take a client in; False where its id is in use."""
        if self.sessions.get(session.client) is not None:
            return False
        self.sessions[session.client] = session
        self.beat_on()
        return True

    def leave(self, session: Session) -> None:
        if self.sessions.get(session.client) is session:
            del self.sessions[session.client]

    def keep_positions(self) -> None:
        """An order is about to be placed: what is held before it may have to be shown, where a script says so."""
        if self._faults is not None:
            self.stale_positions = {account: self.venue.positions(account) for account in self.book.accounts}

    def positions(self, account: str, session: Session) -> Sequence[PositionView]:
        """Positions as `session` sees them: those before the newest order, where a fault says so."""
        if session.stale:
            return self.stale_positions.get(account, ())
        return self.venue.positions(account)

    def sessions_for(self, address: Address) -> list[Session]:
        """Who is told of an order: its owner, and who cancels another client's."""
        clients = [self.sessions.get(address.client)] if address != MANUAL else []
        watcher = self._watchers.get(address.order)
        if watcher is not None and self.sessions.get(watcher.client) is watcher:
            clients.append(watcher)
        return list(dict.fromkeys(session for session in clients if session is not None))

    def bind_manual(self, account: str, order: VenueOrder) -> None:
        """Give a manual order an id of client 0, where that client binds them."""
        zero = self.sessions.get(MANUAL.client)
        if zero is not None and zero.auto_bind and self.book.note(account, order) == MANUAL:
            self.book.bind(order, account, MANUAL.client)

    def cancel_later(self, account: str, order: VenueOrder, detail: Mapping[str, Any]) -> None:
        """Cancel an order at a look at the open orders: the one of number `reads`, or the first after `seconds`."""
        due = self.venue.now() + timedelta(seconds=float(detail["seconds"])) if "seconds" in detail else None
        self._cancels[order.order_id] = (account, 0 if due else int(detail.get("reads", 3)), due)

    def on_look(self) -> None:
        """The open orders are about to be looked at."""
        for order_id, (account, left, due) in list(self._cancels.items()):
            self._cancels[order_id] = (account, left - 1, due)
            if left > 1 or (due is not None and self.venue.now() < due):
                continue
            del self._cancels[order_id]
            order = self.venue.order(account, order_id)
            if order is not None and not order.status.terminal:
                self.venue.cancel(account, order_id)

    def watch(self, order_id: int, session: Session) -> None:
        """Tell `session` too of the order of another client that has this id."""
        self._watchers[order_id] = session

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call after the events that have been told up to now."""
        self._loop.call_soon_threadsafe(call, *arguments)

    def later(self, seconds: float, call: Callable[..., Any], *arguments: Any) -> None:
        """Call after so many seconds of real time. In the loop alone."""
        self._loop.call_later(seconds, call, *arguments)

    def on_event(self, event: VenueEvent) -> None:
        """Listener of the venue, on whatever thread it runs."""
        self.soon(self.pushes.on_event, event)

    def publish_trade(self, account: str, symbol: str) -> None:
        """The position that a fill has moved, now; money, portfolio and prices soon, once for all fills until then."""
        for session in self.sessions.values():
            if session.positions_wanted:
                send_position(session, account, symbol)
        if account not in self._unpublished:
            self._unpublished.add(account)
            self.later(_ACCOUNT_DELAY, self._publish_account, account)

    def _publish_account(self, account: str) -> None:
        self._unpublished.discard(account)
        for session in self.sessions.values():
            if session.account_wanted == account:
                send_account(session, account)
            for req_id in session.summaries:
                send_summary(session, account, req_id)
            for req_id in [key for key, (name, _) in session.profits.items() if name == account]:
                send_profit(session, req_id)
            for feed in session.feeds.values():
                session.tell_feed(feed)

    def beat_on(self) -> None:
        """Tell who is connected of prices, again and again until nobody is."""
        if not self._beats and self.sessions and self.switches.beat is not None:
            self._beats = True
            self.later(self.switches.beat, self._beat)

    def _beat(self) -> None:
        self._beats = False
        self._beat_number += 1
        if self.connected_to_servers:
            for session in list(self.sessions.values()):
                try:
                    self._tell_prices(session)
                except Exception:
                    _log.exception("client %s was not told of prices", session.client)
        self.beat_on()

    def _tell_prices(self, session: Session) -> None:
        for req_id in session.profits:
            send_profit(session, req_id)
        for feed in session.feeds.values():
            session.tell_feed(feed)
        account = session.account_wanted
        if account is not None and self._beat_number % _ACCOUNT_BEATS == 0 and session.portfolio_held.get(account):
            send_account(session, account)

    def lose_connectivity(self, *, requests: int | None = None, kept: bool = False) -> None:
        """Message 1100 to all: the servers are gone, and come back after so many more requests, or on command."""
        self.connected_to_servers = False
        self._outage = None if requests is None else (requests, kept)
        self.push(*LOST)

    def on_request(self) -> None:
        """A request has come: an outage that is counted in requests comes nearer to its end."""
        if self._outage is None:
            return
        left, kept = self._outage
        self._outage = (left - 1, kept)
        if left <= 1:
            self.restore_connectivity(data_lost=not kept)

    def restore_connectivity(self, *, data_lost: bool = False) -> None:
        """Message 1102 to all, or 1101 where subscriptions are gone."""
        self.connected_to_servers = True
        self._outage = None
        if data_lost:
            for session in self.sessions.values():
                session.feeds.clear()
        self.push(*(RESTORED_EMPTY if data_lost else RESTORED))

    def push(self, code: int, text: str) -> None:
        """A system message to every client."""
        for session in self.sessions.values():
            session.error(-1, code, text)

    def close_all(self) -> None:
        for session in list(self.sessions.values()):
            session.close()
