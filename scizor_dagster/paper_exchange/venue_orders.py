"""The words of an order at the venue: what a client asks for, what it becomes, and what happens to it.

What belongs here: tickets, orders, executions, their events and refusals, at any door. What does not: what
is shown of accounts and of the market (`venue_views`), what can be asked of the exchange (`venue`), how one
door spells it (`alpaca_door`, `tws_door`), and rows of tables (`venue_rows`).

An account belongs to a *house*, the broker whose habits it keeps. At `ALPACA` an order never crosses
zero, a client order id is unique for ever, and opposite orders are refused as wash trades. At `IBKR` an
order may cross zero, ids are the client's, references are free text, and fractions are refused.

Every instant is aware. Quantities of orders and executions are unsigned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side

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
