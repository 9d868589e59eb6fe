"""What a door asks of the exchange: the protocols that the REST and socket doors are written against.

What belongs here: the calls of the venue, and of a source of faults. What does not: the words that they take
and answer with (`venue_orders`, `venue_views`), and what the exchange does (`paper_venue`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from scizor_dagster.paper_exchange.venue_orders import (
    Amendment,
    Execution,
    House,
    Mishap,
    OrderQuery,
    Ticket,
    VenueEvent,
    VenueOrder,
)
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

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.traces import Trace


Listener = Callable[[VenueEvent], None]


class Venue(Protocol):
    """Every account of the exchange, at one clock. Safe to call from several threads.

    Each call first brings the books to `now()`: what happened in between has happened before the call.
    """

    @property
    def calendar(self) -> TradingCalendar: ...

    def now(self) -> datetime:
        """The exchange's clock, never backwards."""
        ...

    def run(self) -> datetime | None:
        """Bring the books to `now()`; the next instant at which something may happen, None when never."""
        ...

    def accounts(self, house: House) -> Sequence[str]: ...

    def account(self, account: str) -> AccountView: ...

    def change_settings(self, account: str, changes: Mapping[str, Any]) -> AccountSettings: ...

    def change_watchlists(self, account: str, change: ListsChange) -> Sequence[Watchlist]:
        """Put other watchlists in the place of the account's; what `change` raises leaves them as they are."""
        ...

    def listings(self) -> Sequence[VenueListing]: ...

    def listing(self, symbol: str) -> VenueListing | None: ...

    def quote(self, symbol: str) -> Quote | None:
        """None where no price is known: there is no order and no value without one."""
        ...

    def bars(self, symbols: Sequence[str], first: date, last: date) -> Mapping[str, Sequence[DailyBar]]:
        """Bars of sessions that have closed at `now()`, with the running session's bar so far where it has begun."""
        ...

    def traces(self, symbol: str, first: date, last: date) -> Sequence[Trace]:
        """What has been seen of a symbol within each session from `first` to `last` that has bars, ascending."""
        ...

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> Sequence[Any]: ...

    def place(self, account: str, ticket: Ticket, mishap: Mishap | None = None) -> VenueOrder:
        """Take an order, its legs with it.

        A `mishap` befalls it once it is taken and before anything of it could fill; the order that is returned
        is as it was taken.

        Raises:
            Refused: a rule of the house or of the venue is broken; `duplicate_client_order_id` where the id exists.
        """
        ...

    def preview(self, account: str, ticket: Ticket) -> tuple[AccountView, AccountView]:
        """The account before and after the order, as if it were placed; nothing changes. Raises as `place` does."""
        ...

    def amend(self, account: str, order_id: str, changes: Amendment) -> VenueOrder:
        """Change an open order in place (the IBKR way). Raises `Refused`."""
        ...

    def replace(
        self, account: str, order_id: str, changes: Amendment, client_order_id: str | None = None
    ) -> VenueOrder:
        """End an open order as `replaced` and open its successor (the Alpaca way); the successor. Raises `Refused`."""
        ...

    def cancel(self, account: str, order_id: str) -> VenueOrder:
        """Cancel an open order, its family with it. Raises `Refused`: `order_not_found`, `order_not_open`."""
        ...

    def cancel_many(self, account: str, order_ids: Sequence[str]) -> Sequence[VenueOrder]:
        """Cancel several orders at once, in this order; those that were open when their turn came, as they ended."""
        ...

    def strike(self, account: str, order_id: str, mishap: Mishap) -> VenueOrder:
        """Let a mishap befall an open order; the order after it. For fault injection alone. Raises `Refused`."""
        ...

    def correct(self, account: str, execution_id: str, qty: Decimal, price: Decimal) -> Execution:
        """Correct an execution, or bust it with quantity zero; money and position with it. For fault injection alone.

        Raises `Refused`: `execution_not_found`.
        """
        ...

    def order(self, account: str, order_id: str) -> VenueOrder | None: ...

    def order_by_client_id(self, account: str, client_order_id: str) -> VenueOrder | None: ...

    def orders(self, account: str, query: OrderQuery = ...) -> Sequence[VenueOrder]:
        """Orders, legs among them as rows of their own."""
        ...

    def positions(self, account: str) -> Sequence[PositionView]: ...

    def executions(
        self, account: str, first: datetime, last: datetime, newest: int | None = None
    ) -> Sequence[Execution]:
        """Fills from `first` to `last`, both included, oldest first; with `newest`, the last so many of them alone."""
        ...

    def activities(self, account: str, first: date, last: date) -> Sequence[NonTrade]: ...

    def subscribe(self, account: str, listener: Listener) -> Callable[[], None]:
        """Be told of every event from now on, after it is stored; the returned function ends it."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call, for a door to carry out.

    Attributes:
        kind: One of the door's fault words.
        detail: Figures of it: seconds of a delay, the HTTP status, the error code, the lag of a read.
    """

    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)


class Faults(Protocol):
    def next(self, door: str, call: str) -> Fault | None:
        """The fault that this call of `door` (`alpaca`, `tws`, `in_process`) meets, scripted or by chance."""
        ...
