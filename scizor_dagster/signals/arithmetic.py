"""Exact decimals: sums without rounding, and shares that sum to what was shared.

What belongs here: arithmetic that the parts of consolidation need alike. What does not: what is shared,
and why (`blend`, `overlays`).

A weight enters as the decimal text of its float, so that 0.1 is 0.1. Sums and products keep every digit;
only a division rounds, at `STEP`, and what it rounds away goes to the largest part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import ROUND_DOWN, Context, Decimal, localcontext

STEP = Decimal("1e-24")
"""Far below the 17 digits of a float, so that no rounding here is ever the larger one."""
_DIGITS = 1200
"""Enough for the sum of 1 and the product of two of the smallest floats, which have 324 decimals each."""


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Within it, sums and products of weights do not round."""
    with localcontext(Context(prec=_DIGITS)):
        yield


def decimal_of(weight: float) -> Decimal:
    """The decimal number that a person wrote: 0.1 is 0.1, without binary noise."""
    return Decimal(repr(float(weight)))


def plain_text(value: Decimal) -> str:
    """One text for one number, without an exponent and without zeros at the end; keeps every digit."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def scaled(
    parts: Sequence[Decimal], numerator: Decimal, denominator: Decimal, total: Decimal, step: Decimal = STEP
) -> tuple[Decimal, ...]:
    """Each part times `numerator / denominator`, toward zero, and the rest to the largest: they sum to `total`.

    `total` is what the parts' exact sum comes to, so that the rest is only what rounding to `step` took; of several
    largest, the first gets it. Without parts the total must be 0.
    """
    if numerator == denominator:
        made = list(parts)
    else:
        made = [(part * numerator / denominator).quantize(step, ROUND_DOWN) for part in parts]
    rest = total - sum(made, Decimal(0))
    if rest:
        largest = max(range(len(made)), key=lambda index: abs(made[index]))
        made[largest] += rest
    return tuple(made)
