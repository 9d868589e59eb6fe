"""The plan: every instrument with its orders, or the reason why there are none.

What belongs here: the value objects that the planner makes and that execution, reconciliation,
files and the lake read. What does not: how they are computed (`kernel`, `orders`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce

OF_WEIGHTS = "plan"
"""Origin of a plan that weights have made."""
MANUAL = "manual"
"""Origin of a plan of one line that a person has asked for; so is its batch's."""
SYNTHETIC = "The prices are synthetic."
"""Note on a plan whose prices no market has made."""


class Reason(StrEnum):
    """Why a plan line looks as it does. One reason per line; `rebalance` and its kin carry orders."""

    REBALANCE = "rebalance"
    OPEN = "open"
    LIQUIDATE = "liquidate"
    """A full exit, the exact quantity held: no longer targeted, or its target rounds to zero, which the note says."""
    CROSS_ZERO = "cross_zero"
    ON_TARGET = "on_target"
    """Nothing to do: the difference is smaller than one increment of quantity."""
    BELOW_MIN_NOTIONAL = "below_min_notional"
    DUST = "dust"
    """A rest too small for the broker to sell."""
    NO_PRICE = "no_price"
    BAD_PRICE = "bad_price"
    STALE_PRICE = "stale_price"
    NOT_TRADABLE = "not_tradable"
    NOT_SHORTABLE = "not_shortable"
    AMBIGUOUS_ID = "ambiguous_id"
    UNKNOWN_ID = "unknown_id"
    QUARANTINED = "quarantined"
    STRATEGY_IDLE = "strategy_idle"
    """Only strategies that are paused or stopped want it: its position is left as it is."""
    FROZEN = "frozen"
    CORPORATE_ACTION = "corporate_action"
    LIMIT = "limit"
    NO_CASH = "no_cash"
    """A buy withheld because what cannot be sold leaves no cash for it."""
    INSIDE_BAND = "inside_band"
    """The difference is within the no-trade band around the target."""
    TURNOVER_CAP = "turnover_cap"
    """What the plan's turnover cap leaves of the change is too small to order."""
    PARTICIPATION_CAP = "participation_cap"
    """What the share of average daily volume allows is too small to order."""
    NO_VOLUME = "no_volume"
    """A share of average daily volume is the limit, and the volume is not known."""
    PRICE_COLLAR = "price_collar"
    """The reference price has moved too far, or no limit price is near enough to it."""
    OVERRIDE = "override"
    FOREIGN = "foreign"
    """Held in the account and owned by no portfolio: reported and left alone."""
    ACCOUNT_NET = "account_net"
    """The account's net position, with what its other portfolios hold, would make another order of it."""
    HELD_BY_ORDER = "held_by_order"
    """What would be sold is being sold by an open order already."""
    WASH_TRADE = "wash_trade"
    """An open order of the other side would make the broker refuse it."""
    FIRST_PARCEL = "first_parcel"
    """The venue takes no first purchase of so small a value."""
    NO_ATR = "no_atr"
    """A bracket is wanted in average true ranges, and none gives valid prices: nothing is opened unprotected."""
    MANUAL = "manual"
    """A person has asked for the orders of this line, not a weight."""
    KEPT = "kept"
    """All that is held of it was bought by manual orders, and is set apart from what weights decide."""


ORDERING_REASONS = frozenset({Reason.REBALANCE, Reason.OPEN, Reason.LIQUIDATE, Reason.CROSS_ZERO, Reason.MANUAL})


class PlannedOrder(NamedTuple):
    """One order of a plan: a slice of a leg of an instrument's change.

    A named tuple, as `PlanLine` is: a plan has thousands, and a frozen dataclass takes eight times as long to make.

    Attributes:
        client_order_id: Pure function of account, session, portfolio, plan and leg; at most 48 characters.
        leg: 1, or 2 for the part of a zero crossing that waits for the fill of leg 1.
        slice: From 1 within the leg, where `max_notional_per_order` split it.
        phase: 1 for orders that free cash (sales of what is held), 2 for orders that need it.
        depends_on: Client order ids that must have filled whole before this one is released.
        price_used: Reference price that sized it, in the instrument's currency.
    """

    client_order_id: str
    symbol: str
    instrument_id: str
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    intent: PositionIntent
    price_used: Decimal
    leg: int
    slice: int
    phase: int
    reason: Reason
    depends_on: tuple[str, ...] = ()
    limit_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None

    @property
    def notional(self) -> Decimal:
        return self.qty * self.price_used


class PlanLine(NamedTuple):
    """One instrument of a plan. Quantities are signed shares, weights are shares of equity.

    `current_qty` is what is held; `working_qty` is what the portfolio's open orders still bring, and `delta_qty`
    counts it. `kept_qty` is what manual orders have bought and the portfolio sets apart: neither `current_qty` nor
    `target_qty` counts it.
    """

    symbol: str
    instrument_id: str
    current_qty: Decimal
    target_weight: Decimal
    price: Decimal | None
    price_session: date | None
    price_source: str
    target_qty: Decimal | None
    delta_qty: Decimal
    reason: Reason
    note: str = ""
    asset_ids: tuple[str, ...] = ()
    """Ids of the weight file that this line answers for."""
    working_qty: Decimal = Decimal(0)
    kept_qty: Decimal = Decimal(0)

    @property
    def target_in_all(self) -> Decimal | None:
        """Signed shares that the portfolio is to own, what is set apart counted; None where there is no target."""
        return None if self.target_qty is None else self.target_qty + self.kept_qty


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a stored plan comes from: no input of it, so that its id says nothing of either.

    Attributes:
        lake_snapshot: State of the lake that its inputs were read from.
        code_version: Version of the code that made it.
    """

    lake_snapshot: int
    code_version: str


@dataclass(frozen=True, slots=True)
class Plan:
    """An immutable plan. Same inputs give the same `plan_id` and the same bytes.

    Attributes:
        plan_id: SHA-256 over every input and line, hexadecimal.
        session: The session it trades in.
        priced_on: Last session whose close sized it; None where prices came from a file.
        adjustment: `raw`, or what the price source is labelled with; anything else never trades live.
        overflow_factor: Factor that scaled the weights to the maximum; 1 when none was needed.
        notes: Sentences for a person: what was scaled, left out, or labelled.
        origin: `plan`, or `manual` for the one line of a manual order.
        provenance: As it is stored; None for a plan that is not read from the lake.
    """

    plan_id: str
    portfolio: str
    account: str
    session: date
    batch: int
    currency: str
    equity: Decimal
    cash_buffer: Decimal
    priced_on: date | None
    adjustment: str
    overflow_factor: Decimal
    lines: tuple[PlanLine, ...]
    orders: tuple[PlannedOrder, ...]
    notes: tuple[str, ...] = ()
    origin: str = OF_WEIGHTS
    provenance: Provenance | None = field(default=None, compare=False)
