"""A plan beside the one before it: what a person looks at before it is carried out.

What belongs here: the differences and sums of two plans. What does not: which plan was before (`flow.approving`), and
showing it (the command line, the assets).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scizor_dagster.planning.model import Plan

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TargetChange:
    """One instrument whose target is another one. Weights are shares of equity; 0 where a plan has none of it."""

    symbol: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What a plan changes and orders.

    Attributes:
        before: Session of the plan that it is compared with; None where there is none.
        changes: Targets that differ, the largest change first.
        buys: Value of what it buys, in the plan's currency; `sales` likewise.
        turnover: Both together, over equity.
        warnings: Notes on the plan, and on lines that have one.
    """

    before: date | None
    changes: tuple[TargetChange, ...]
    orders: int
    buys: Decimal
    sales: Decimal
    turnover: Decimal
    warnings: tuple[str, ...]

    @property
    def notional(self) -> Decimal:
        """Gross value of all orders, in the plan's currency."""
        return self.buys + self.sales


def compare(plan: Plan, before: Plan | None) -> PlanDifference:
    """The difference between `plan` and the one `before` it."""
    then, now = _weights(before), _weights(plan)
    changes = (TargetChange(symbol, then.get(symbol, ZERO), now.get(symbol, ZERO)) for symbol in then.keys() | now)
    changed = [change for change in changes if change.before != change.after]
    buys = sum((order.notional for order in plan.orders if order.side == "buy"), ZERO)
    sales = sum((order.notional for order in plan.orders if order.side == "sell"), ZERO)
    return PlanDifference(
        before=before.session if before is not None else None,
        changes=tuple(sorted(changed, key=lambda change: (-abs(change.after - change.before), change.symbol))),
        orders=len(plan.orders),
        buys=buys,
        sales=sales,
        turnover=(buys + sales) / plan.equity,
        warnings=(*plan.notes, *(f"{line.symbol}: {line.note}" for line in plan.lines if line.note)),
    )


def _weights(plan: Plan | None) -> dict[str, Decimal]:
    return {} if plan is None else {line.symbol: line.target_weight for line in plan.lines}
