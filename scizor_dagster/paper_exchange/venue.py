"""What a door asks of the exchange: the protocol that the REST and socket doors are written against.

What belongs here: the words of an order at any door, what the exchange answers, and the protocol. What
does not: how one door spells them (`alpaca_door`, `tws_door`), and what the exchange does (`engine`).

An account belongs to a *house*, the broker whose habits it keeps. At `ALPACA` an order never crosses
zero, a client order id is unique for ever, and opposite orders are refused as wash trades. At `IBKR` an
order may cross zero, ids are the client's, references are free text, and fractions are refused.

Every instant is aware. Quantities of orders and executions are unsigned, of positions signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.watchlists import ListsChange, Watchlist
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.traces import Trace

ZERO = Decimal(0)


class House(StrEnum):
    ALPACA = "alpaca"
    IBKR = "ibkr"


class OrderKind(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class Duration(StrEnum):
    """Time in force."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class OrderClass(StrEnum):
    SIMPLE = "simple"
    BRACKET = "bracket"
    OCO = "oco"
    OTO = "oto"


class Status(StrEnum):
    """Life of an order at the venue."""

    PENDING_NEW = "pending_new"
    """Taken, and not yet at the exchange."""
    ACCEPTED = "accepted"
    """Taken while the venue is closed; it rests for the next open."""
    NEW = "new"
    HELD = "held"
    """Waits for its parent's fill, or is the sleeping one of two legs."""
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"

    @property
    def terminal(self) -> bool:
        return self in (Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED, Status.REPLACED)


class Refused(Exception):
    """The venue does not take the request; nothing has changed.

    Attributes:
        code: Stable word of the rule, e.g. `wash_trade`; a door turns it into its own number.
        message: For people.
        details: Figures of the refusal, by the names that Alpaca gives them.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a bracket, OCO or OTO that comes with its parent's ticket."""

    kind: OrderKind
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as a client asks for it.

    Attributes:
        client_order_id: Unique within the account for ever; the door makes one where its clients have none.
        qty: Shares; None where `notional` says the money.
        intent: What it may do to the position; None lets the house infer it.
        legs: Take-profit and stop-loss of an order class, made with the parent in one step.
        parent: Client order id of the order whose complete fill wakes this one (TWS children).
        group: Orders of one group share one quantity: what one fills the others no longer hold.
        reference: Free text of the client, not unique (TWS `orderRef`).
        owner: The door's own address of the order, kept as it is (`7/12`: client id and order id).
        session: Only this session; None is the one that trades now or opens next.
        stop_price: Of a trailing stop where it begins to trail from, at a house that lets its clients say so.
        good_after: It rests until then.
        good_till: When an order ends that is good till cancelled.
    """

    client_order_id: str
    symbol: str
    side: Side
    kind: OrderKind
    duration: Duration
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    legs: tuple[Leg, ...] = ()
    intent: PositionIntent | None = None
    parent: str | None = None
    group: str | None = None
    reference: str = ""
    owner: str = ""
    session: date | None = None
    good_after: datetime | None = None
    good_till: datetime | None = None


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a client wants changed; None leaves a field as it is. `qty` is the total, with what has filled."""

    qty: Decimal | None = None
    duration: Duration | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    kind: OrderKind | None = None
    reference: str | None = None
    good_till: datetime | None = None


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue knows it.

    Attributes:
        number: Grows with every order of the account; the door makes its permanent id of it.
        order_id: A UUID, the same for ever.
        qty: None only of a notional order that has not filled.
        expires_at: Close of the session of a DAY order; 90 days on for GTC.
        high_water_mark: Best price since a trailing stop went live.
        live_at: From when on it may fill; None while it waits for its parent.
        triggered: Whether the price of a stop has been touched: from then on it is a market or a limit order.
        is_stuck: Whether the venue has lost sight of it: it neither fills nor ends (`Mishap.STICK`).
    """

    number: int
    order_id: str
    ticket: Ticket
    qty: Decimal | None
    status: Status
    created_at: datetime
    submitted_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    intent: PositionIntent
    filled_qty: Decimal = ZERO
    average_price: Decimal | None = None
    filled_at: datetime | None = None
    canceled_at: datetime | None = None
    expired_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    parent_id: str | None = None
    high_water_mark: Decimal | None = None
    reason: str = ""
    live_at: datetime | None = None
    triggered: bool = False
    is_stuck: bool = False

    @property
    def remaining(self) -> Decimal:
        return (self.qty or ZERO) - self.filled_qty


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. `correction` grows when the venue corrects it; a bust has quantity zero.

    `number` grows with every fill of the account, `realized_pnl` is at average cost and after commission.
    """

    execution_id: str
    order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    commission: Decimal
    at: datetime
    session: date
    cumulative_qty: Decimal
    leaves_qty: Decimal
    position_qty: Decimal
    realized_pnl: Decimal = ZERO
    correction: int = 1
    number: int = 0


@dataclass(frozen=True, slots=True)
class PositionView:
    """A position with its prices; `available` is what no open order holds, signed as `qty`."""

    symbol: str
    qty: Decimal
    available: Decimal
    average_price: Decimal
    price: Decimal
    last_day_price: Decimal


@dataclass(frozen=True, slots=True)
class AccountSettings:
    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: int = 4
    trade_confirm_email: str = "all"
    watchlists: tuple[Watchlist, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountView:
    """Money of an account at one instant, in its currency; short values are negative."""

    name: str
    account_id: str
    house: House
    currency: str
    created_at: datetime
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    long_market_value: Decimal
    short_market_value: Decimal
    buying_power: Decimal
    regt_buying_power: Decimal
    non_marginable_buying_power: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    last_maintenance_margin: Decimal
    settings: AccountSettings = AccountSettings()


@dataclass(frozen=True, slots=True)
class NonTrade:
    """Cash or quantity that moved without a trade: `split`, `dividend`, `rename`, `delisting`.

    Attributes:
        session: Day of the corporate action, which takes effect at the next open.
        qty: Signed change of the position.
        per_share: Cash per share of a dividend; new shares per old one of a split.
        number: Grows with every one of the account.
    """

    activity_id: str
    kind: str
    session: date
    at: datetime
    symbol: str | None
    amount: Decimal
    qty: Decimal
    per_share: Decimal | None
    description: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class VenueListing:
    """An instrument with the ids that doors show: a UUID and a contract id, both the same for ever."""

    instrument: Instrument
    asset_id: str
    contract_id: int
    marginable: bool = True
    easy_to_borrow: bool = True
    active: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """What the venue shows of an instrument at one instant."""

    symbol: str
    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    day_open: Decimal | None = None
    day_high: Decimal | None = None
    day_low: Decimal | None = None
    day_volume: Decimal = ZERO
    previous_close: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DailyBar:
    symbol: str
    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class EventKind(StrEnum):
    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"
    HELD = "held"
    RESTATED = "restated"


@dataclass(frozen=True, slots=True)
class VenueEvent:
    """Something that happened to an order, told to listeners after it is stored, in order of `number`."""

    number: int
    account: str
    kind: EventKind
    at: datetime
    order: VenueOrder
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Orders by state, submission instant (both ends exclusive) and symbol, newest first unless `ascending`.

    Attributes:
        state: `open`, `closed` or `all`.
        above: Those alone that come after the order with this instant of submission and number; `below` before it.
        parents: The legs and children of these orders alone.
        rolled_up: Leave out what hangs on another order that is in the answer, or would be without `limit`.
    """

    state: str = "open"
    after: datetime | None = None
    until: datetime | None = None
    symbols: frozenset[str] = frozenset()
    side: Side | None = None
    ascending: bool = False
    limit: int | None = None
    above: tuple[datetime, int] | None = None
    below: tuple[datetime, int] | None = None
    parents: frozenset[str] = frozenset()
    rolled_up: bool = False


Listener = Callable[[VenueEvent], None]


class Mishap(StrEnum):
    """What may befall an open order that its client did not ask for."""

    REJECT = "reject"
    """It was taken, and ends as rejected."""
    FILL = "fill"
    """All that is left of it fills now, at the quote."""
    PARTIAL_CANCEL = "partial_cancel"
    """Half of what is left of it fills now, at the quote, a share at least; the rest is canceled."""
    STICK = "stick"
    """It neither fills nor ends any more, and a cancel of it stays pending."""


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
