"""What one order cost: the implementation shortfall against the price that it was decided on, in parts.

What belongs here: the exact arithmetic of one order. What does not: where prices come from (`flow.costs`), estimates
before the trade (`costs_model`), sums over many orders (`costs_summary`).

After Perold, "The Implementation Shortfall: Paper versus Reality", Journal of Portfolio Management 14 (1988), with the
parts of Wagner and Edwards, "Best Execution", Financial Analysts Journal 49 (1993). With side s (1 or -1), planned
quantity Q, filled quantity F, value of the fills V, decision price d, arrival price a, close c and half spread h:

    delay       = s F (a - d)          spread = F h            impact = s (V - F a) - spread
    fees        = of the fills         missed = s (Q - F) (c - d)
    total       = s Q (c - d) - (s (F c - V) - fees), the paper portfolio's gain less the real one's

Where a later plan of the session ordered the instrument anew, what was left of the order was that plan's to decide:
it is missed up to the price r that the later plan was decided on, in place of c, and from there on it is in the later
order. Summed over both, the paper portfolio trades each plan at its price, the later in place of the earlier.

Everything is money, and positive is a cost. The parts sum to the total exactly. All quantities and prices are of one
unit: that of the session (`costs_units`).

No price, no part: what is not known is None, with a reason, and the total says what it leaves out. Without an arrival
price delay, spread and impact are not known apart, but their sum is, and the total is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, localcontext
from enum import StrEnum
from typing import NamedTuple

from scizor_dagster.brokers.protocol import Side

ZERO = Decimal(0)
BASIS_POINTS = Decimal(10_000)
# A sum that would round raises: the parts sum to the whole exactly, or there is no answer.
_EXACT = Context(prec=120, traps=[Inexact])
_BPS_STEP = Decimal("0.0001")


class Part(StrEnum):
    """A part of an order's cost."""

    DELAY = "delay"
    """From the decision to the moment at which the order was sent."""
    SPREAD = "spread"
    """Half the spread, on what was filled."""
    IMPACT = "impact"
    """From arrival to the fills, less the spread: the order's own push, and what the market did meanwhile."""
    FEES = "fees"
    """Commission and taxes, as the broker states them with each fill."""
    MISSED = "missed"
    """What was planned and not filled, from the decision to the close, or to the plan that took it over."""


PARTS = tuple(Part)
BENCHMARKS = ("decision", "arrival", "open", "close", "vwap")


class Known(NamedTuple):
    """A number with where it is from; without a value, `source` says why there is none."""

    value: Decimal | None
    source: str


class Execution(NamedTuple):
    """One fill: unsigned shares, price per share, and what the broker took for it."""

    qty: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """One order as it was meant and as it went, in the units of its session.

    Attributes:
        planned_qty: Unsigned shares that the plan wanted of it, whatever was released or sent.
        fills: As they stand; one that was taken back has the quantity zero, or is absent.
        prices: By the names of `BENCHMARKS`; one that is absent is not known.
        half_spread_bps: Half the spread, in basis points of the arrival price.
        replanned: What a later plan of the session that ordered the instrument anew was decided on; None without one.
    """

    side: Side
    planned_qty: Decimal
    fills: Sequence[Execution]
    prices: Mapping[str, Known]
    half_spread_bps: Known
    replanned: Known | None = None

    def price(self, name: str) -> Known:
        return self.prices.get(name, Known(None, f"there is no {name} price"))


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The cost of one order, in the instrument's currency; positive is a cost.

    Attributes:
        filled_qty: Unsigned shares.
        filled_value: Sum of quantity times price over the fills.
        decision_value: Planned quantity less `replanned_qty` at the decision price, what basis points are of; None
            without that price.
        replanned_qty: Unsigned shares that a later plan of the session took over.
        parts: Each part, or None where it is not known.
        reasons: Why, for each part that is None.
        total: Everything that is known of it; None where neither what was filled nor what was missed can be priced.
        left_out: Parts that are not in the total. Empty: it is the whole cost.
        against: Cost of the fills against each benchmark that is known, fees left out.
    """

    filled_qty: Decimal
    filled_value: Decimal
    decision_value: Decimal | None
    replanned_qty: Decimal
    parts: Mapping[Part, Decimal | None]
    reasons: Mapping[Part, str]
    total: Decimal | None
    left_out: tuple[Part, ...]
    against: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def total_bps(self) -> Decimal | None:
        """The total in basis points of the decision's value."""
        return in_bps(self.total, self.decision_value)

    @property
    def slippage(self) -> Decimal | None:
        """Spread and impact together: the fills against the arrival price."""
        return ZERO if not self.filled_qty else self.against.get("arrival")


def shortfall(order: OrderFacts) -> Shortfall:
    """Take an order's cost apart.

    Raises:
        decimal.Inexact: a figure has more digits than money and shares ever have.
    """
    with localcontext(_EXACT):
        return _shortfall(order)


def in_bps(amount: Decimal | None, value: Decimal | None) -> Decimal | None:
    """`amount` in basis points of `value`, to four decimals; None where either is not known, or nothing was decided."""
    if amount is None or not value:
        return None
    return (amount * BASIS_POINTS / value).quantize(_BPS_STEP)


def _shortfall(order: OrderFacts) -> Shortfall:
    sign = Decimal(order.side.sign)
    filled = sum((fill.qty for fill in order.fills), ZERO)
    value = sum((fill.qty * fill.price for fill in order.fills), ZERO)
    fees = sum((fill.fee for fill in order.fills), ZERO)
    missed = order.planned_qty - filled
    prices = {name: order.price(name).value for name in BENCHMARKS}
    against = {name: sign * (value - filled * price) for name, price in prices.items() if price is not None and filled}
    decision, arrival = prices["decision"], prices["arrival"]
    until = prices["close"] if order.replanned is None else order.replanned.value
    replanned = ZERO if order.replanned is None else missed
    parts: dict[Part, Decimal | None] = dict.fromkeys(PARTS)
    parts[Part.FEES] = fees
    if not filled:
        parts |= {Part.DELAY: ZERO, Part.SPREAD: ZERO, Part.IMPACT: ZERO}
    elif arrival is not None:
        if decision is not None:
            parts[Part.DELAY] = sign * filled * (arrival - decision)
        if order.half_spread_bps.value is not None:
            spread = filled * arrival * order.half_spread_bps.value / BASIS_POINTS
            parts |= {Part.SPREAD: spread, Part.IMPACT: against["arrival"] - spread}
    if not missed:
        parts[Part.MISSED] = ZERO
    elif decision is not None and until is not None:
        parts[Part.MISSED] = sign * missed * (until - decision)
    total, left_out = _total(parts, filled, against)
    return Shortfall(
        filled,
        value,
        None if decision is None else (order.planned_qty - replanned) * decision,
        replanned,
        parts,
        {part: _reason(order, part) for part in PARTS if parts[part] is None},
        total,
        left_out,
        against,
    )


def _total(
    parts: Mapping[Part, Decimal | None], filled: Decimal, against: Mapping[str, Decimal]
) -> tuple[Decimal | None, tuple[Part, ...]]:
    """What is known of the cost, and which parts are not in it."""
    left_out: list[Part] = []
    trading: Decimal | None = ZERO
    if filled and "decision" in against:
        trading = against["decision"]
    elif filled and "arrival" in against:
        trading = against["arrival"]
        left_out.append(Part.DELAY)
    elif filled:
        trading = None
        left_out += [Part.DELAY, Part.SPREAD, Part.IMPACT]
    missed, fees = parts[Part.MISSED], parts[Part.FEES]
    assert fees is not None
    if missed is None:
        left_out.append(Part.MISSED)
    nothing_known = trading is None or (not filled and missed is None)
    return None if nothing_known else (trading or ZERO) + (missed or ZERO) + fees, tuple(left_out)


def _reason(order: OrderFacts, part: Part) -> str:
    """Why the part is not known: the first thing that it needs and that is not there."""
    needed = {
        Part.DELAY: ("decision", "arrival"),
        Part.SPREAD: ("arrival", "half_spread"),
        Part.IMPACT: ("arrival", "half_spread"),
        Part.MISSED: ("decision", "until"),
    }
    until = order.replanned or order.price("close")
    for name in needed[part]:
        found = {"half_spread": order.half_spread_bps, "until": until}.get(name) or order.price(name)
        if found.value is None:
            return found.source
    raise AssertionError(part)
