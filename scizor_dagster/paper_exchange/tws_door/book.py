"""Whose order is which: client and order ids of the API against the venue's orders.

What belongs here: addresses, order ids that come next, permanent ids. All of it is made of the venue's
own orders, so that it is the same after a restart. What does not: what an order may do (`orders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.order_echo import address_in
from scizor_dagster.paper_exchange.tws_door.order_messages import Address, Told
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_orders import OrderQuery, VenueOrder

_NUMBERS_PER_ACCOUNT = 100_000_000
MANUAL = Address(0, 0)
"""Where an order belongs that no client of this door has placed."""


class Book:
    """Every order of the accounts that this TWS is logged in to.

    Args:
        accounts: Names of the accounts at the venue, in the order in which the API lists them.
    """

    def __init__(self, venue: Venue, accounts: Sequence[str], contracts: Contracts) -> None:
        self._venue = venue
        self._contracts = contracts
        self.accounts = tuple(accounts)
        self.ids = {name: venue.account(name).account_id for name in self.accounts}
        self._addresses: dict[str, Address] = {}
        self._places: dict[Address, list[tuple[str, str]]] = {}
        self._next: dict[int, int] = {}
        for account in self.accounts:
            for order in venue.orders(account, OrderQuery(state="all", ascending=True)):
                self.note(account, order)

    def account_named(self, account_id: str) -> str | None:
        """The account of an id; the only one where none is named."""
        if not account_id and len(self.accounts) == 1:
            return self.accounts[0]
        return next((name for name, known in self.ids.items() if known == account_id), None)

    def note(self, account: str, order: VenueOrder) -> Address:
        """Remember an order and whose it is."""
        known = self._addresses.get(order.order_id)
        if known is not None:
            return known
        owner = address_in(order.ticket.owner)
        address = Address(*owner) if owner is not None else MANUAL
        self._addresses[order.order_id] = address
        if address != MANUAL:
            self._places.setdefault(address, []).append((account, order.order_id))
            self._raise_next(address)
        return address

    def bind(self, order: VenueOrder, account: str, client: int) -> Address:
        """Give a manual order an id of `client`, so that it can change and cancel it."""
        address = Address(client, self.next_id(client))
        self._addresses[order.order_id] = address
        self._places.setdefault(address, []).append((account, order.order_id))
        self._raise_next(address)
        return address

    def next_id(self, client: int) -> int:
        return self._next.get(client, 1)

    def spend_id(self, address: Address) -> None:
        """An order id that was used up without an order."""
        self._raise_next(address)

    def forget_ids(self) -> None:
        """What a restart of the real thing has done: the next id is an old one again."""
        self._next.clear()

    def used(self, address: Address) -> int:
        """How many orders have had this address."""
        return len(self._places.get(address, ()))

    def find(self, address: Address) -> tuple[str, VenueOrder] | None:
        """The newest order at an address, with its account."""
        places = self._places.get(address)
        if not places:
            return None
        account, order_id = places[-1]
        order = self._venue.order(account, order_id)
        return None if order is None else (account, order)

    def open_with_id(self, order_id: int) -> list[tuple[str, VenueOrder]]:
        """Open orders of any client with this order id."""
        return [
            (account, order)
            for account, order in self.open_orders()
            if self.note(account, order).order == order_id != MANUAL.order
        ]

    def open_orders(self) -> list[tuple[str, VenueOrder]]:
        return self._orders(OrderQuery(state="open", ascending=True))

    def completed_since(self, instant: datetime) -> list[tuple[str, VenueOrder]]:
        """Orders that have ended at or after `instant`."""
        ended = self._orders(OrderQuery(state="closed", ascending=True))
        return [(account, order) for account, order in ended if order.updated_at >= instant]

    def told(self, account: str, order: VenueOrder) -> Told | None:
        """An order with all that messages say of it; None where its instrument is no longer known."""
        listing = self._contracts.by_symbol(order.ticket.symbol)
        if listing is None:
            return None
        parent = self._venue.order_by_client_id(account, order.ticket.parent) if order.ticket.parent else None
        return Told(
            order=order,
            listing=listing,
            account_id=self.ids[account],
            address=self.note(account, order),
            perm_id=self.perm_id(account, order),
            parent=self.note(account, parent) if parent else None,
            parent_perm_id=self.perm_id(account, parent) if parent else None,
        )

    def perm_id(self, account: str, order: VenueOrder) -> int:
        """The same for ever, and grows with every order of an account."""
        return (self.accounts.index(account) + 1) * _NUMBERS_PER_ACCOUNT + order.number

    def _orders(self, query: OrderQuery) -> list[tuple[str, VenueOrder]]:
        return [(account, order) for account in self.accounts for order in self._venue.orders(account, query)]

    def _raise_next(self, address: Address) -> None:
        self._next[address.client] = max(self.next_id(address.client), address.order + 1)
