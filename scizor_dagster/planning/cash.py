"""The one rule of what a set of orders takes from the cash, for a plan and for its release alike.

What belongs here: the sum and how it compares with the cash. What does not: which orders give way
where it does not fit (`fit` withholds them in a plan, `execution.funding` scales them).

Both sides count in the same way, so that what a plan fits into the cash is not cut again when it is
released at the same cash and the same prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

ZERO = Decimal(0)


def net_cost(trades: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """What signed quantities at their reference prices take from the cash; negative where they bring some.

    Buys and covers of shorts cost, sales and short sales bring: the proceeds of a short sale pay for
    buys of the same plan.
    """
    return sum((quantity * price for quantity, price in trades), ZERO)


def excess_over(spare_cash: Decimal, trades: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """By how much `trades` cost more than `spare_cash`, which is cash less the buffer; negative where room is left."""
    return net_cost(trades) - spare_cash
