"""Exact quantities and prices: increments, ticks, slices and texts in `Decimal`.

What belongs here: pure arithmetic at the border between the float kernel and the broker. What does
not: which order is wanted (`decisions`), and what it is called (`orders`).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from functools import cache

ZERO = Decimal(0)
EXACT = Context(prec=60)
"""Context of all planning arithmetic: no product of a quantity and a price is ever rounded in it."""


LEAST_PRICE, GREATEST_PRICE = Decimal("1e-9"), Decimal("1e12")
"""Prices outside are mistakes of whoever gave them: nothing is sized on them."""


def is_usable(price: Decimal) -> bool:
    """Whether a holding can be valued at `price`."""
    return price.is_finite() and LEAST_PRICE <= price <= GREATEST_PRICE


def plain(number: Decimal) -> str:
    """One text for one number: 10, 10.0 and 1E+1 are all `10`, and -0 is `0`."""
    if not number:
        return "0"
    text = str(number)
    if "E" in text:
        text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@cache
def increment_of(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def toward_zero(quantity: Decimal, decimals: int) -> Decimal:
    """`quantity` cut to `decimals`; unchanged where it has no more."""
    cut = quantity.quantize(increment_of(decimals), rounding=ROUND_DOWN)
    return quantity if cut == quantity else cut


def tick_down(price: Decimal, step: Decimal) -> Decimal:
    """The highest multiple of `step` that is not above `price`, at least one step."""
    return max(step, (price / step).to_integral_value(rounding=ROUND_FLOOR) * step)


def tick_up(price: Decimal, step: Decimal) -> Decimal:
    """The lowest multiple of `step` that is not below `price`."""
    return (price / step).to_integral_value(rounding=ROUND_CEILING) * step


MAX_SLICES = 100
"""More slices than this are a limit set too low, not an order."""


def slices(
    quantity: Decimal, price: Decimal, largest: Decimal, minimum: Decimal, steps: tuple[Decimal, ...]
) -> tuple[Decimal, ...] | None:
    """Split `quantity` into pieces of at most `largest` each, as few and as even as can be.

    Args:
        quantity: Unsigned, above zero.
        price: Reference price.
        largest: Largest quantity of a piece.
        minimum: Smallest value of a piece.
        steps: Increments of a piece, the preferred first; the last piece takes the exact rest.

    Returns:
        Pieces that sum to `quantity` exactly, or None where no such split exists.
    """
    for step in steps:
        pieces = _even_slices(quantity, largest, step)
        if pieces is not None and min(pieces) * price >= minimum:
            return pieces
    return None


def _even_slices(quantity: Decimal, largest: Decimal, step: Decimal) -> tuple[Decimal, ...] | None:
    count = int((quantity / largest).to_integral_value(rounding=ROUND_CEILING))
    while count <= MAX_SLICES:
        piece = (quantity / count / step).to_integral_value(rounding=ROUND_FLOOR) * step
        if piece <= 0:
            return None
        rest = quantity - piece * count
        # The rest is spread one step at a time; what is finer than a step goes to the last piece.
        extra = int(rest / step)
        pieces = [piece + step] * extra + [piece] * (count - extra)
        pieces[-1] += rest - extra * step
        if max(pieces) <= largest:
            return tuple(pieces)
        count += 1
    return None
