"""Whether a finished plan keeps the two laws of the whole book, computed again from its lines and orders.

What belongs here: the sums over a plan as it is stored, so that a mistake in making it does not hide
itself. What does not: withholding orders until the laws hold (`fit`).

    net:   long less short value after the plan  <=  equity - buffer
    gross: long plus short value after the plan  <=  max_total_weight * (equity - buffer)

Values are at the plan's reference prices; what is kept counts with the quantity held, and what the portfolio's
open orders still bring counts as if filled. A book that is
above a maximum already may be brought down in any number of steps: what counts against a plan is the
part of an excess that its own opening orders make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.quantities import is_usable

ZERO = Decimal(0)
TOLERANCE = Decimal("0.01")
"""In the plan's currency; reference prices are decimal numbers, so that only the last cent is rounding."""


@dataclass(frozen=True, slots=True)
class BookAfter:
    """The book that a plan leads to, in the plan's currency.

    Attributes:
        net: Long less short value.
        gross: Long plus short value.
        net_limit: Equity less the cash buffer.
        gross_limit: `max_total_weight` times that.
        net_excess: Part of an excess over `net_limit` that the plan's purchases beyond zero make.
        gross_excess: Part of an excess over `gross_limit` that the plan's opening orders make.
    """

    net: Decimal
    gross: Decimal
    net_limit: Decimal
    gross_limit: Decimal
    net_excess: Decimal
    gross_excess: Decimal

    @property
    def fits(self) -> bool:
        return max(self.net_excess, self.gross_excess) <= TOLERANCE


def book_after(plan: Plan, max_total_weight: Decimal) -> BookAfter:
    """The book after every order of `plan` has filled at the price that sized it.

    Args:
        plan: Any plan, as it is stored. A holding without a usable price counts on neither side, as
            it is not in the equity.
        max_total_weight: Largest gross weight, of the rules that the plan was made with.
    """
    net = gross = bought = sold_short = ZERO
    for current, final, price in _quantities(plan):
        net += final * price
        gross += abs(final) * price
        bought += (max(final, ZERO) - max(current, ZERO)).max(ZERO) * price
        sold_short += (max(-final, ZERO) - max(-current, ZERO)).max(ZERO) * price
    net_limit = plan.equity - plan.cash_buffer
    gross_limit = max_total_weight * net_limit
    return BookAfter(
        net=net,
        gross=gross,
        net_limit=net_limit,
        gross_limit=gross_limit,
        net_excess=min(net - net_limit, bought).max(ZERO),
        gross_excess=min(gross - gross_limit, bought + sold_short).max(ZERO),
    )


def _quantities(plan: Plan) -> Iterator[tuple[Decimal, Decimal, Decimal]]:
    """Of each instrument with a price: signed quantity before and after the plan's orders, and the price."""
    ordered: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    prices = {line.symbol: line.price for line in plan.lines}
    for order in plan.orders:
        ordered[order.symbol] += order.qty * order.side.sign
        prices[order.symbol] = order.price_used
    held = {line.symbol: line.current_qty + line.working_qty for line in plan.lines}
    for symbol, price in prices.items():
        if price is not None and is_usable(price):
            current = held.get(symbol, ZERO)
            yield current, current + ordered[symbol], price
