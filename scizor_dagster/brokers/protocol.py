"""What Scizor asks of a broker, in Scizor's words.

What belongs here: the protocol, its value objects and their states. What does not: anything that
one broker does differently from another; that stays inside its adapter.

Quantities and money are `Decimal`; a quantity is unsigned in orders and fills (the side gives the
sign) and signed in positions. All instants are aware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    BRACKET = "bracket"
    """A market entry with a take-profit limit and a stop-loss that live once it has filled."""


class TimeInForce(StrEnum):
    DAY = "day"
    OPG = "opg"
    """Only in the session's opening auction."""
    CLS = "cls"
    """Only in the session's closing auction."""


class PositionIntent(StrEnum):
    """What the order may do to the position; a broker that infers another one refuses it."""

    BUY_TO_OPEN = "buy_to_open"
    BUY_TO_CLOSE = "buy_to_close"
    SELL_TO_OPEN = "sell_to_open"
    SELL_TO_CLOSE = "sell_to_close"


class OrderStatus(StrEnum):
    ACCEPTED = "accepted"
    """Resting: taken by the broker, waiting for its session or its price."""
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """The broker says something of it that its adapter has no word for: it may still fill, or have ended."""

    @property
    def terminal(self) -> bool:
        return self not in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.UNKNOWN)


class VenuePhase(StrEnum):
    """Where the venue stands in a session."""

    AHEAD = "ahead"
    """Not open yet: orders rest."""
    OPEN = "open"
    CLOSING = "closing"
    """The last moment at which an order still trades in the session."""
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the broker takes, asked at plan time so that nothing is planned that it would refuse.

    Attributes:
        quantity_decimals: Decimals of a fractional quantity; 0 where only whole shares trade.
        min_notional: Smallest value of an opening order in the account's currency.
        full_exit_below_minimum: Whether a full exit may be smaller than `min_notional`.
        unique_client_ids: Whether a second order with the same client order id is refused.
        times_in_force: What an order of whole shares may say; a fraction is always for the day.
        refuses_wash_trades: Whether an order is refused while one of the other side is open.
        stop_distance: Smallest distance of a bracket's stop from the price at which it is checked.
        fractional_order_types: What an order with a fraction of a share may be.
        short_equity: Equity from which on the account may sell short, in its currency.
        fills_from: First session whose fills the broker still shows whole; None where it shows all there ever were.
        orders_from: First session whose ended orders the broker still lists, those without a fill included; None
            where it lists all there ever were.
        tells_payments: Whether `Broker.activities` tells of dividends, interest, fees and transfers.
        sends_at_once: Orders that may be under way to the broker at the same time, each of another instrument.
        visible_after: How long after it was sent an order may still be missing from everything that is read. A look
            that does not find it proves nothing before, nor sooner than this after the look before.
        absent_looks: Looks that must not find an order until it counts as absent.
    """

    fractional: bool
    quantity_decimals: int
    short: bool
    order_types: frozenset[OrderType]
    min_notional: Decimal
    full_exit_below_minimum: bool
    unique_client_ids: bool
    max_client_id_length: int
    times_in_force: frozenset[TimeInForce] = frozenset({TimeInForce.DAY})
    refuses_wash_trades: bool = True
    stop_distance: Decimal = Decimal("0.01")
    fractional_order_types: frozenset[OrderType] = frozenset({OrderType.MARKET})
    short_equity: Decimal = Decimal(0)
    fills_from: date | None = None
    orders_from: date | None = None
    tells_payments: bool = True
    sends_at_once: int = 1
    visible_after: timedelta = timedelta(0)
    absent_looks: int = 1


@dataclass(frozen=True, slots=True)
class BrokerIdentity:
    """What the broker itself says it is: matched against the configuration before anything is sent."""

    broker: str
    environment: str
    account_id: str


@dataclass(frozen=True, slots=True)
class AccountState:
    """Money of an account.

    Attributes:
        cash: In `currency` alone.
        equity: Of everything, in `currency`.
        other_cash: What is held in other currencies, less what is borrowed there, at the broker's own rates in
            `currency`. It pays for nothing unless somebody lets it.
    """

    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    currency: str
    as_of: datetime
    other_cash: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    symbol: str
    qty: Decimal
    """Signed: negative is short."""
    market_price: Decimal | None
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order as it goes out. Every field is part of the parameter hash in the ledger."""

    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    session: date
    intent: PositionIntent
    limit_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """An order as the broker knows it. `qty` is what it was for; some show of a filled order what it filled alone."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    filled_qty: Decimal
    average_price: Decimal | None
    status: OrderStatus
    submitted_at: datetime
    updated_at: datetime
    reason: str = ""
    parent_client_order_id: str | None = None
    """Set on the take-profit and stop-loss legs of a bracket, which have client ids of their own."""
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def shows_no_more_than_filled(self) -> bool:
        """Whether its quantity may be no more than what stands of it: an execution that was taken back is missing."""
        return self.status is OrderStatus.FILLED and self.qty == self.filled_qty


@dataclass(frozen=True, slots=True)
class BrokerFill:
    """One execution, as the broker states it now.

    Attributes:
        fill_id: The broker's, unique for ever, and the same in every correction; a repeat is the same fill.
        qty: Unsigned shares; zero where the execution was taken back (busted).
        revision: Grows with every correction where the broker numbers them: the highest one is the truth, in
            whatever order they come. A broker that does not number its corrections says 1, and what it says last holds.
    """

    fill_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    session: date
    executed_at: datetime
    revision: int = 1


@dataclass(frozen=True, slots=True)
class BrokerActivity:
    """A change of cash or quantity without a trade.

    Attributes:
        kind: `split`, `dividend`, `delisting`, `fee`, `interest`, `deposit` or `withdrawal`.
        qty_factor: For a split: new quantity per old one; 0 for a delisting, which ends a holding for `amount`.
        amount: Signed cash in the account's currency; zero for a split.
    """

    activity_id: str
    kind: str
    session: date
    symbol: str | None
    amount: Decimal
    qty_factor: Decimal | None
    description: str = ""


class Broker(Protocol):
    """One account at one broker.

    Reads are complete or raise `BrokerUnavailable`: an empty answer means empty, never "could not
    tell". `submit` returns, or raises `OrderRejected` or `OutcomeUnknown`, and nothing else.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def identity(self) -> BrokerIdentity: ...

    def account(self) -> AccountState: ...

    def positions(self) -> Sequence[BrokerPosition]: ...

    def submit(self, order: OrderRequest) -> BrokerOrder:
        """Send once.

        Raises:
            OrderRejected: a definite refusal; no such order exists.
            OutcomeUnknown: anything else that is not an acknowledgement.
        """
        ...

    def find(self, client_order_id: str) -> BrokerOrder | None:
        """Look an order up. None where the broker was asked completely and does not show it; raises
        `BrokerUnavailable` where that cannot be told. What None proves says `Capabilities.visible_after`.
        """
        ...

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Every order of the session, open or ended, bracket legs and foreign orders included."""
        ...

    def open_orders(self) -> Sequence[BrokerOrder]:
        """Every order that may still fill, of whatever session."""
        ...

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        """Every fill of the sessions from `first` to `last`, both included; of a corrected one, the newest revision.

        One that was taken back comes with the quantity zero, or not at all where the broker drops it from its list.
        """
        ...

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        """Every non-trade activity of the sessions from `first` to `last`, both included."""
        ...

    def cancel(self, client_order_id: str) -> None:
        """Ask for a cancel. Final only when a later read says so."""
        ...

    def phase(self, session: date) -> VenuePhase:
        """Where the venue stands in `session`, from its own books or clock."""
        ...

    def advance(self, session: date) -> bool:
        """Let the venue take one step of `session` if it has data for it; True while more may follow.

        A real venue moves by itself and always returns False.
        """
        ...
