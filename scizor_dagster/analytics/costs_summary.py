"""Many orders' costs as a person reads them: sums, basis points and counts by what the orders have in common.

What belongs here: grouping and adding up. What does not: what one order cost (`costs`).

Basis points are of the money that was decided on, over all orders of a group: large orders weigh more. An order whose
total is not known, or whose decision has no price, is in no sum of money that is set against another; it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.costs import PARTS, ZERO, Part, in_bps
from scizor_dagster.analytics.costs_store import OrderCost

UNKNOWN = "unknown"
_SIZES = ((0.001, "below 0.1 %"), (0.01, "0.1 to 1 %"), (0.05, "1 to 5 %"), (0.1, "5 to 10 %"))
_LARGEST = "10 % and more"
_SHARE_STEP = Decimal("0.000000000001")
Shares = Mapping[tuple[date, str], Mapping[str, Decimal]]
"""By session and symbol: what each strategy wanted of it, signed shares of equity."""


@dataclass(frozen=True, slots=True)
class CostGroup:
    """Sums over orders that have something in common. Money in the portfolio's currency; positive is a cost.

    Attributes:
        orders: How many there are; a part of an order's money counts as the order in each of its groups.
        unpriced: Those of them that are in no sum, for their total or their decision's value is not known.
        incomplete: Those whose total leaves a part out.
        parts: Sum of each part over the orders that know it.
        missed_value: What was planned and not filled, at the decision's prices.
        estimated: Sum of the estimates of before, spread, impact and fees, over the filled orders that have one.
        realised: Spread, impact and fees that came of the same orders.
        estimated_value: What those orders filled.
    """

    label: str
    orders: int
    unpriced: int
    incomplete: int
    decision_value: Decimal
    filled_value: Decimal
    missed_value: Decimal
    parts: Mapping[Part, Decimal]
    total: Decimal
    estimated: Decimal
    realised: Decimal
    estimated_value: Decimal

    @property
    def total_bps(self) -> Decimal | None:
        return in_bps(self.total, self.decision_value)

    def part_bps(self, part: Part) -> Decimal | None:
        return in_bps(self.parts[part], self.decision_value)

    @property
    def estimated_bps(self) -> Decimal | None:
        return in_bps(self.estimated, self.estimated_value)

    @property
    def realised_bps(self) -> Decimal | None:
        return in_bps(self.realised, self.estimated_value)

    def record(self) -> dict[str, object]:
        """As one row of a table or of an answer in JSON."""
        return {
            "group": self.label,
            "orders": self.orders,
            "unpriced": self.unpriced,
            "incomplete": self.incomplete,
            "decision_value": self.decision_value,
            "missed_value": self.missed_value,
            **{part.value: self.parts[part] for part in PARTS},
            "total": self.total,
            **{f"{part.value}_bps": self.part_bps(part) for part in PARTS},
            "total_bps": self.total_bps,
            "estimated_bps": self.estimated_bps,
            "realised_bps": self.realised_bps,
        }


def size_bucket(order: OrderCost) -> str:
    """The order's planned size as a share of the average daily volume, in words."""
    if order.size is None:
        return UNKNOWN
    return next((label for bound, label in _SIZES if order.size < bound), _LARGEST)


KEYS: Mapping[str, Callable[[OrderCost], str]] = {
    "session": lambda row: row.session.isoformat(),
    "month": lambda row: row.session.strftime("%Y-%m"),
    "symbol": lambda row: row.symbol,
    "side": lambda row: row.side.value,
    "order_type": lambda row: row.order_type if row.kind == "order" else row.kind,
    "size": size_bucket,
    "state": lambda row: row.state,
}
BY_STRATEGY = "strategy"
GROUPINGS = (*KEYS, BY_STRATEGY)


def group_costs(rows: Sequence[OrderCost], by: str, shares: Shares | None = None) -> list[CostGroup]:
    """Groups by label; sizes from small to large.

    Args:
        rows: Of one portfolio.
        by: One of `GROUPINGS`.
        shares: For `strategy`: an order's money is divided by what each strategy wanted of its symbol, by size. One
            that no strategy wanted any more, a full exit, is under `unknown`.
    """
    if by == BY_STRATEGY:
        parts = [(label, row, share) for row in rows for label, share in _strategies(row, shares or {})]
    else:
        parts = [(KEYS[by](row), row, Decimal(1)) for row in rows]
    groups: dict[str, list[tuple[OrderCost, Decimal]]] = {}
    for label, row, share in parts:
        groups.setdefault(label, []).append((row, share))
    labels = sorted(groups)
    if by == "size":
        order = [label for _, label in _SIZES] + [_LARGEST, UNKNOWN]
        labels.sort(key=order.index)
    return [_sum(label, groups[label]) for label in labels]


def all_costs(rows: Sequence[OrderCost], label: str = "all") -> CostGroup:
    """Everything as one group."""
    return _sum(label, [(row, Decimal(1)) for row in rows])


def worst_orders(rows: Iterable[OrderCost], count: int) -> list[OrderCost]:
    """The orders that cost the most money, worst first; those whose total is not known are left out."""
    known = [row for row in rows if row.total is not None and row.total > 0]
    return sorted(known, key=lambda row: (-(row.total or ZERO), row.client_order_id))[:count]


def _strategies(row: OrderCost, shares: Shares) -> list[tuple[str, Decimal]]:
    wanted = {name: abs(share) for name, share in shares.get((row.session, row.symbol), {}).items() if share}
    if not wanted:
        return [(UNKNOWN, Decimal(1))]
    whole = sum(wanted.values(), ZERO)
    *names, last = sorted(wanted)
    found = [(name, (wanted[name] / whole).quantize(_SHARE_STEP)) for name in names]
    # The last one has the rest, so that the strategies' sums are the portfolio's.
    return [*found, (last, 1 - sum((share for _, share in found), ZERO))]


def _sum(label: str, parts: Sequence[tuple[OrderCost, Decimal]]) -> CostGroup:
    priced = [(row, share) for row, share in parts if row.total is not None and row.decision_value is not None]
    compared = [(row, share, *found) for row, share in parts if (found := _compared(row)) is not None]

    def add(values: Iterable[tuple[Decimal | None, Decimal]]) -> Decimal:
        return sum((value * share for value, share in values if value is not None), ZERO)

    return CostGroup(
        label=label,
        orders=len(parts),
        unpriced=len(parts) - len(priced),
        incomplete=sum(bool(row.left_out) for row, _ in parts),
        decision_value=add((row.decision_value, share) for row, share in priced),
        filled_value=add((row.filled_value, share) for row, share in parts),
        missed_value=add((row.missed_qty * (row.decision_price or ZERO), share) for row, share in priced),
        parts={part: add((row.part(part), share) for row, share in priced) for part in PARTS},
        total=add((row.total, share) for row, share in priced),
        estimated=add((estimated, share) for _, share, estimated, _ in compared),
        realised=add((realised, share) for _, share, _, realised in compared),
        estimated_value=add((row.filled_value, share) for row, share, _, _ in compared),
    )


def _compared(row: OrderCost) -> tuple[Decimal, Decimal] | None:
    """What was estimated of an order, for the part of it that filled, and what came; None where either is not known."""
    estimates = (row.estimated_spread, row.estimated_impact, row.estimated_fees)
    if not row.filled_qty or row.against_arrival is None or None in estimates or not row.planned_qty:
        return None
    estimated = sum((Decimal(repr(value)) for value in estimates if value is not None), ZERO)
    return estimated * row.filled_qty / row.planned_qty, row.against_arrival + row.fees
