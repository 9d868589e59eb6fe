"""What a reconciliation is made of: the two sides as they were read, and what came of comparing them.

What belongs here: value objects and their frames. What does not: reading (`gather`), comparing (`plans`, `orders`,
`fills`, `positions`, `cash`, `reconcile`) and storing (`storage`, `records`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    Side,
)
from scizor_dagster.ledger.rows import ActivityRow, BatchRow, FillRow, IntentRow
from scizor_dagster.risk.breaks import LockScope

if TYPE_CHECKING:
    import pandas as pd


class Severity(StrEnum):
    ERROR = "error"
    """Unexplained: counted as a break, and nothing is traded after it until it is cleared."""
    WORKING = "working"
    """Not ended yet, and rightly so."""
    INFO = "info"
    """Outside of what Scizor manages, or left out of the comparison with a reason."""


class Stage(StrEnum):
    """What is compared, in this order: what differs further up explains what follows from it further down."""

    ORDERS = "orders"
    FILLS = "fills"
    POSITIONS = "positions"
    CASH = "cash"


class BreakClass(StrEnum):
    """What a difference is, whichever comparison has found it."""

    MISSING = "missing"
    """The party further from the plan does not have it."""
    UNEXPECTED = "unexpected"
    """Nobody before that party has meant it."""
    QUANTITY = "quantity"
    """Other quantity or side."""
    PRICE = "price"
    DUPLICATE = "duplicate"
    LATE = "late"
    """It came after its order had ended, or after the first pass."""
    FOREIGN = "foreign"
    """Somebody else's doing on this account."""
    CORPORATE_ACTION = "corporate_action"
    CURRENCY = "currency"
    ROUNDING = "rounding"
    DIVIDEND_OR_FEE = "dividend_or_fee"
    BUST = "bust"
    """An execution that was taken back."""
    STATE = "state"
    """How far an order or a session has come."""
    UNKNOWN = "unknown"
    """The outcome of an order is not known."""


class Pass(StrEnum):
    FIRST = "first"
    """After the session."""
    SECOND = "second"
    """Before the next one: what came overnight is in, and the day is closed where everything agrees."""


class Source(StrEnum):
    """Whose word is compared with the plan."""

    BROKER = "broker"
    LOGS = "logs"
    """The ledger's alone: its orders, and what it has recorded of the broker's last words."""


class BreakKind(StrEnum):
    PLAN_NOT_ADMITTED = "plan_not_admitted"
    """The stored plan is not the one that the ledger has admitted, or none was."""
    PLAN_MISSING = "plan_missing"
    """The plan that the ledger has admitted is not stored."""
    INTENT_WITHOUT_PLAN = "intent_without_plan"
    """The batch has an order that its plan does not have."""
    PLANNED_WITHOUT_INTENT = "planned_without_intent"
    INTENT_DIFFERS = "intent_differs"
    """An intent is not what the plan says."""
    NOT_SENT = "not_sent"
    OUTCOME_UNKNOWN = "outcome_unknown"
    MISSING_AT_BROKER = "missing_at_broker"
    SENT_UNEXPECTEDLY = "sent_unexpectedly"
    """The broker has an order that the ledger says was never sent, or was refused."""
    ORDER_DIFFERS = "order_differs"
    """The broker's order has other terms than were sent."""
    ORDER_RETURNED = "order_returned"
    """The broker had shown the order as ended, and has shown it at work or filled after that."""
    STATE_DIFFERS = "state_differs"
    FILLED_QTY_DIFFERS = "filled_qty_differs"
    OPEN_ORDER = "open_order"
    DUPLICATE_ORDER = "duplicate_order"
    """The broker has several orders with one id of ours."""
    FOREIGN_ORDER = "foreign_order"
    FILL_MISSING_IN_LEDGER = "fill_missing_in_ledger"
    FILL_MISSING_AT_BROKER = "fill_missing_at_broker"
    FILL_DIFFERS = "fill_differs"
    FOREIGN_FILL = "foreign_fill"
    FILLS_NOT_COMPARED = "fills_not_compared"
    """The broker shows executions of the session no more: what is held stands for them."""
    CAME_LATE = "came_late"
    """Recorded since the first pass: a late fill, a correction, a bust, a split, a payment."""
    ACTIVITY_MISSING_IN_LEDGER = "activity_missing_in_ledger"
    ACTIVITY_DIFFERS = "activity_differs"
    POSITION_DIFFERS = "position_differs"
    FRACTION_HELD = "fraction_held"
    """A fraction of what trades in whole shares only, on which ledger and broker agree."""
    FOREIGN_POSITION = "foreign_position"
    CASH_DIFFERS = "cash_differs"
    CASH_NOT_COMPARED = "cash_not_compared"
    VENUE_BEHIND = "venue_behind"
    """The session has closed, but the venue has not gone through it: both sides are of before it."""


class ReconciliationState(StrEnum):
    NO_PLAN = "no_plan"
    NOTHING_TO_DO = "nothing_to_do"
    WORKING = "working"
    RECONCILED = "reconciled"
    BREAKS = "breaks"


@dataclass(frozen=True, slots=True)
class Break:
    """One difference between two of the three parties.

    Attributes:
        expected: What the one of the two says that is nearer to the plan.
        found: What the other one says.
        stage: Where it was found.
        break_class: What it is.
        cause: What is behind it as far as that can be known, as a clause.
        qty: Signed shares, found less expected; None where it is of none.
        amount: Signed money in `currency`, found less expected; None where it is of none.
        value: What it may be worth in the account's currency, unsigned; None where nobody can say.
        locks: What does not trade until it is cleared.
        plan: What the plan says, as text; empty where it says nothing.
        ledger: What the ledger says.
        broker: What the broker says.
        break_id: By which the ledger knows it; empty for what is no break.
    """

    kind: BreakKind
    symbol: str | None
    client_order_id: str | None
    expected: str
    found: str
    severity: Severity
    remedy: str
    stage: Stage = Stage.ORDERS
    break_class: BreakClass = BreakClass.STATE
    cause: str = ""
    qty: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    value: Decimal | None = None
    locks: LockScope = LockScope.NONE
    plan: str = ""
    ledger: str = ""
    broker: str = ""
    break_id: str = ""


@dataclass(frozen=True, slots=True)
class Measures:
    """By what a difference is judged.

    Attributes:
        quantity: Shares up to which a position that differs is rounding.
        cash: Money up to which cash that differs is rounding.
        price_bps: Basis points up to which a fill's price that differs is rounding.
        whole: Symbols that trade in whole shares only.
        fractional: Whether the broker takes fractions at all.
        payments_told: Whether the broker tells of dividends, interest, fees and transfers; where it does not, cash
            that differs is as a rule one of those, and information.
    """

    quantity: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    price_bps: Decimal = Decimal(0)
    whole: Collection[str] = ()
    fractional: bool = True
    payments_told: bool = True


@dataclass(frozen=True, slots=True)
class When:
    """At what point of a session's life it is compared.

    Attributes:
        session_over: Whether the exchange has closed and its data are there: an order that is still open then is a
            break, and before then it is working.
        which: The pass.
        first_at: When the first pass was; None where there was none, or this is the first.
        source: Whose word is compared.
        venue_behind: Whether the venue has yet to go through the session, so that no side knows what happened in it.
        orders_listed: Whether the broker still lists orders of the session that have ended without a fill.
        fills_shown: Whether the broker still shows the session's executions; positions and cash stand for them where
            it does not, and the broker's last words on each order, as the ledger has them.
    """

    session_over: bool = True
    which: Pass = Pass.FIRST
    first_at: datetime | None = None
    source: Source = Source.BROKER
    venue_behind: bool = False
    orders_listed: bool = True
    fills_shown: bool = True


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What became of one order: planned, sent, filled, and at what cost.

    Attributes:
        sent_qty: What the broker was asked for; 0 for an order that was never sent.
        average_price: Over the recorded fills; None without any.
        slippage_bps: Cost against `price_used` in basis points of it; positive is worse. None
            without a fill, and on the exits of a bracket, which no price of the plan sized.
    """

    client_order_id: str
    symbol: str
    side: Side
    planned_qty: Decimal
    sent_qty: Decimal
    filled_qty: Decimal
    average_price: Decimal | None
    fees: Decimal
    price_used: Decimal
    state: str
    slippage_bps: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class EndOfDayPosition:
    """What the portfolio holds after the session.

    Attributes:
        qty: Signed shares that the ledger assigns to the portfolio.
        broker_qty: The same with the broker's difference in it; equal to `qty` when explained.
        target_qty: What the plan wanted; None where the plan has no line or no quantity.
        price: Last close, and `price_session` its session; None without one.
    """

    symbol: str
    qty: Decimal
    broker_qty: Decimal
    target_qty: Decimal | None
    price: Decimal | None
    price_session: date | None
    market_value: Decimal | None


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger's side.

    Attributes:
        batches: Every batch of the portfolio in the session, by number.
        intents: Their orders, in plan order.
        known_orders: Every intent that a broker order or fill of the session names, of whatever portfolio.
        fills: Recorded fills of the account in the session, foreign ones included.
        owned: What the portfolio owns at the end of the session, by symbol.
        differences: Broker quantity less what all portfolios of the account own now, by symbol;
            agreement is left out.
        cash: What the account must hold if the ledger is complete; None where that cannot be said now.
        cash_note: Why `cash` is None, as a sentence.
        returned: Orders of the session that had ended and were taken back, by id, with how they had ended.
        changed: Orders of the session that were seen to end with other terms than they were sent with, by id.
        foreign: Signed shares by symbol that recorded fills of nobody's have brought; some may be adopted by now.
        under_way: Symbols with an order at the broker, of whatever session and portfolio of the account.
        doubted: Symbols whose position did not agree at an earlier look, and has not been found to agree since.
        accepted: Who takes a difference as it is, by its `break_id`.
    """

    batches: Sequence[BatchRow]
    intents: Sequence[IntentRow]
    known_orders: Mapping[str, IntentRow]
    fills: Sequence[FillRow]
    activities: Sequence[ActivityRow]
    owned: Mapping[str, Decimal]
    differences: Mapping[str, Decimal]
    cash: Decimal | None = None
    cash_note: str = ""
    returned: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, Decimal] = field(default_factory=dict)
    under_way: Collection[str] = frozenset()
    doubted: Collection[str] = frozenset()
    accepted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokerView:
    """The broker's side: orders, fills and activities of the session, positions and money now."""

    orders: Sequence[BrokerOrder]
    fills: Sequence[BrokerFill]
    activities: Sequence[BrokerActivity]
    positions: Sequence[BrokerPosition]
    account: AccountState


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """What comparing plan, ledger and broker came to. The tables are also there as frames."""

    portfolio: str
    account: str
    session: date
    state: ReconciliationState
    break_rows: tuple[Break, ...]
    order_rows: tuple[OrderResult, ...]
    position_rows: tuple[EndOfDayPosition, ...]
    summary: str
    when: When = When()

    @property
    def break_count(self) -> int:
        """Number of unexplained differences; what is working or foreign is not counted."""
        return sum(row.severity is Severity.ERROR for row in self.break_rows)

    @property
    def filled_count(self) -> int:
        return sum(row.filled_qty > 0 and row.filled_qty >= row.sent_qty for row in self.order_rows)

    @property
    def working_count(self) -> int:
        return sum(row.severity is Severity.WORKING for row in self.break_rows)

    @property
    def breaks(self) -> pd.DataFrame:
        return _frame(self.break_rows, Break)

    @property
    def order_results(self) -> pd.DataFrame:
        return _frame(self.order_rows, OrderResult)

    @property
    def positions(self) -> pd.DataFrame:
        return _frame(self.position_rows, EndOfDayPosition)


def _frame(rows: Sequence[Any], kind: type[Any]) -> pd.DataFrame:
    import pandas as pd

    names = [column.name for column in fields(kind)]
    return pd.DataFrame([{key: _plain(value) for key, value in asdict(row).items()} for row in rows], columns=names)


def _plain(value: Any) -> Any:
    """Text for what a frame would round or misread: quantities, money, enumerations."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, StrEnum) else value
