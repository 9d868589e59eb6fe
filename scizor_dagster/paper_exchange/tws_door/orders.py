"""Placing, changing and cancelling: what a client asks for becomes what the venue does.

What belongs here: order ids, held-back orders, brackets, refusals with their codes. What does not:
what is told of an order afterwards (`pushes`), and whether the venue takes it (`venue`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.tws_door.book import Book
from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.order_echo import owner_of
from scizor_dagster.paper_exchange.tws_door.order_messages import Address, preview
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError, Terms, invalid, terms_of
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.tws_door.words import refusal, spelled, stamp, status_of
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_orders import Duration, Mishap, Refused, Status, Ticket, VenueOrder
from scizor_dagster.paper_exchange.venue_views import AccountView, VenueListing

READ_ONLY = "Error validating request.-'bQ' : cause - The API interface is currently in Read-Only mode."


@dataclass(frozen=True, slots=True)
class Draft:
    """An order of a client before the venue has seen it."""

    request: Request
    terms: Terms
    listing: VenueListing
    account: str
    address: Address

    @property
    def parent(self) -> Address | None:
        number = self.request.number_of("parentId")
        return Address(self.address.client, number) if number > 0 else None


@dataclass(frozen=True, slots=True)
class Placed:
    """What came of one draft: the order, or the refusal, and a warning to send with it."""

    address: Address
    account: str
    order: VenueOrder | None = None
    error: ApiError | None = None
    warning: str = ""


class Orders:
    """The orders of every client. Drafts that are not to be transmitted wait here, and nowhere else."""

    def __init__(self, venue: Venue, book: Book, contracts: Contracts, switches: Switches) -> None:
        self._venue = venue
        self._book = book
        self._contracts = contracts
        self._switches = switches
        self._waiting: dict[Address, Draft] = {}

    def place(self, client: int, request: Request, mishap: Mishap | None = None) -> list[Placed]:
        """Take a new order with the family that waited for it, or change the order that has its id.

        A `mishap` befalls the order of this request, and not its family.

        Returns:
            Nothing for an order that waits; else one result for every order that was sent on.

        Raises:
            ApiError: this request is refused, and nothing has changed.
        """
        if self._switches.read_only:
            raise ApiError(321, READ_ONLY)
        address = Address(client, request.number_of("orderId"))
        listing, terms = self._understood(request)
        draft = Draft(request, terms, listing, self._account(request), address)
        existing = self._book.find(address)
        if existing is not None and address not in self._waiting:
            return [self._change(draft, *existing)]
        if existing is None and address not in self._waiting and address.order < self._book.next_id(client):
            raise ApiError(103, "Duplicate order id")
        self._book.spend_id(address)
        if not request.flag("transmit"):
            self._waiting[address] = draft
            return []
        return self._send_on(draft, mishap)

    def preview(self, client: int, request: Request) -> list[Field]:
        """The answer to a what-if; nothing changes.

        Raises:
            ApiError: the order would be refused.
        """
        (listing, terms), account = self._understood(request), self._account(request)
        ticket = terms.ticket(request, listing, client_order_id=f"what-if-{client}-{request.req_id}")
        try:
            views = self._venue.preview(account, ticket)
        except Refused as refused:
            raise ApiError(*refusal(refused)) from refused
        return preview(request.fields, listing, self._book.ids[account], views, self._commission(ticket, *views))

    def _commission(self, ticket: Ticket, before: AccountView, after: AccountView) -> Decimal:
        """What is gone from the cash besides the price of the shares: that of the limit, else that of the quote."""
        quote = self._venue.quote(ticket.symbol)
        price = ticket.limit_price
        if price is None and quote is not None:
            price = quote.ask if ticket.side is Side.BUY else quote.bid
        paid = (ticket.qty or Decimal(0)) * (price or Decimal(0)) * ticket.side.sign
        return max(before.cash - after.cash - paid, Decimal(0))

    def cancel(self, client: int, request: Request) -> tuple[str, VenueOrder] | None:
        """Cancel an order; None for one that only waited here.

        Raises:
            ApiError: there is no such order, or it has ended.
        """
        if self._switches.read_only:
            raise ApiError(321, READ_ONLY)
        number = request.number_of("orderId")
        address = Address(client, number)
        if self._waiting.pop(address, None) is not None:
            return None
        found = self._book.find(address)
        if found is None and self._switches.other_clients_cancel:
            others = self._book.open_with_id(number)
            found = others[0] if len(others) == 1 else None
        if found is None:
            raise ApiError(10147, f"OrderId {number} that needs to be cancelled is not found.")
        account, order = found
        try:
            return account, self._venue.cancel(account, order.order_id)
        except Refused as refused:
            state = status_of(self._venue.order(account, order.order_id) or order)
            text = f"OrderId {number} that needs to be cancelled cannot be cancelled, state: {state}."
            raise ApiError(10148, text) from refused

    def cancel_all(self) -> None:
        """Cancel every open order of every client, and forget what waited."""
        self._waiting.clear()
        for account, order in self._book.open_orders():
            try:
                self._venue.cancel(account, order.order_id)
            except Refused as refused:
                if refused.code not in ("order_not_open", "order_not_found"):
                    raise

    def resolve(self, request: Request) -> VenueListing:
        """The one listing that a contract means and that trades here.

        Raises:
            ApiError: 200 for none or several, 460 for one that does not trade.
        """
        matches = self._contracts.matches(request)
        if not matches:
            raise ApiError(200, "No security definition has been found for the request")
        if len(matches) > 1:
            raise ApiError(200, f"The contract description specified for {request['symbol']} is ambiguous.")
        if not self._contracts.tradable(matches[0]):
            raise ApiError(460, "No trading permissions.")
        return matches[0]

    def _understood(self, request: Request) -> tuple[VenueListing, Terms]:
        """What an order is for, and what it says of itself.

        Raises:
            ApiError: it says nothing that could be placed here.
        """
        if request["malformed"]:
            raise ApiError(
                320, "Server error when reading an API client request: the order has other fields than its own"
            )
        listing, terms = self.resolve(request), terms_of(request, self._switches.time_zone)
        if terms.good_till is not None and terms.good_till <= self._venue.now():
            raise ApiError(201, "Order rejected - reason:The good-till date and time have passed.")
        return listing, terms

    def _account(self, request: Request) -> str:
        account = self._book.account_named(request["account"])
        if account is None:
            raise invalid("You must specify an account." if not request["account"] else "Invalid account code")
        return account

    def _send_on(self, draft: Draft, mishap: Mishap | None) -> list[Placed]:
        """The draft with its family: the parent that waits, the siblings that wait, then the draft itself."""
        self._waiting.pop(draft.address, None)
        family = self._waiting_family(draft)
        grouped = f"{draft.account}-children-{draft.parent.client}-{draft.parent.order}" if draft.parent else None
        results: list[Placed] = []
        for member in [*family, draft]:
            if any(row.error for row in results):
                error = ApiError(201, "Order rejected - reason:Parent order was rejected.")
                results.append(Placed(member.address, member.account, error=error))
                continue
            befalls = mishap if member is draft else None
            results.append(self._place_one(member, grouped if member.parent else None, befalls))
        return results

    def _waiting_family(self, draft: Draft) -> list[Draft]:
        if draft.parent is None:
            return []
        parent = self._waiting.pop(draft.parent, None)
        siblings = [row for row in self._waiting.values() if row.parent == draft.parent]
        for row in siblings:
            del self._waiting[row.address]
        return [*([parent] if parent else []), *sorted(siblings, key=lambda row: row.address.order)]

    def _place_one(self, draft: Draft, siblings: str | None, mishap: Mishap | None) -> Placed:
        address = draft.address
        parent_id = None
        if draft.parent is not None:
            parent = self._book.find(draft.parent)
            if parent is None:
                error = invalid("Parent order is not found")
                return Placed(address, draft.account, error=error)
            parent_id = parent[1].ticket.client_order_id
        ticket = draft.terms.ticket(
            draft.request,
            draft.listing,
            client_order_id=f"tws-{address.client}-{address.order}-{self._book.used(address) + 1}",
            owner=owner_of(address.client, address.order, draft.request.fields),
            parent=parent_id,
            group=draft.request["ocaGroup"] or siblings,
        )
        try:
            order = self._venue.place(draft.account, ticket, mishap)
        except Refused as refused:
            return Placed(address, draft.account, error=ApiError(*refusal(refused)))
        self._book.note(draft.account, order)
        return Placed(address, draft.account, order, warning=self._warning(order, ticket, draft.listing))

    def _warning(self, order: VenueOrder, ticket: Ticket, listing: VenueListing) -> str:
        """Text of message 399 for an order that rests until the venue opens, or until its own time."""
        now, calendar = self._venue.now(), self._contracts.calendar(listing)
        if order.status is not Status.ACCEPTED or order.live_at is None:
            return ""
        opens = order.live_at
        if ticket.duration is Duration.CLS:
            opens = calendar.open_at(calendar.session_on_or_before(opens.astimezone(calendar.timezone).date()))
        if opens <= now:
            return ""
        return (
            f"Order Message:\n{ticket.side.value.upper()} {ticket.qty} {spelled(ticket.symbol)}\nWarning: Your order "
            f"will not be placed at the exchange until {stamp(opens, self._switches.time_zone)}."
        )

    def _change(self, draft: Draft, account: str, order: VenueOrder) -> Placed:
        if order.status is Status.FILLED:
            raise ApiError(104, "Cannot modify a filled order.")
        if order.status.terminal:
            raise ApiError(103, "Duplicate order id")
        if order.ticket.symbol != draft.listing.instrument.symbol or account != draft.account:
            raise ApiError(105, "Order being modified does not match original order")
        changes = draft.terms.changes(order, draft.request["orderRef"])
        try:
            return Placed(draft.address, account, self._venue.amend(account, order.order_id, changes))
        except Refused as refused:
            raise ApiError(*refusal(refused)) from refused
