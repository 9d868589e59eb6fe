"""One unit for one order's prices and quantities: that of the session it traded in.

What belongs here: by what a decision's price and quantity, and a session's bar, are to be scaled. What does not: the
cost itself (`costs`).

A split between the decision and the session makes old shares of what was planned. A source that is not raw gives its
whole series anew after a split or a dividend: its bars are then in other units than the fills of their own session.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from scizor_dagster.instruments import split_quantity

ONE = Decimal(1)
_PRICE_STEP = Decimal("0.0000000001")
_SAME = Decimal("0.0001")
_CORRECTED = Decimal("0.02")
"""A correction of a bar is smaller than this, and any split is larger."""


class Units(NamedTuple):
    """How to bring everything to the session's units.

    Attributes:
        shares: New shares for one of the decision's; its price is divided by it.
        bars: What the session's stored prices are multiplied by.
    """

    shares: Decimal
    bars: Decimal


def units_between(
    adjustment: str,
    *,
    price_used: Decimal,
    stored_close: Decimal | None,
    before: Decimal,
    after: Decimal,
) -> Units | str:
    """Units of a decision and of a session's bar against the session's fills, or the reason why they are not known.

    Args:
        adjustment: What the stored series is now: `raw`, `split` or `total_return`.
        price_used: The decision's price, as it was then.
        stored_close: The close that is stored now for the session that the decision's price was of.
        before: Product of the ratios of splits after the decision's price and up to the session.
        after: The same of splits after the session.
    """
    if adjustment == "raw":
        return Units(before, ONE)
    if stored_close is None:
        return Units(ONE, ONE) if before == after == ONE else _restated(adjustment, "no stored close tells by what")
    ratio = price_used / stored_close
    nearness = _SAME if adjustment == "total_return" else _CORRECTED
    ways = ((ONE, Units(ONE, ONE)), (before, Units(before, ONE)), (before * after, Units(before, after)))
    for scale, units in (*ways, (after, Units(ONE, after))):
        if abs(ratio / scale - 1) <= nearness:
            return units
    return _restated(adjustment, f"its close was {price_used.normalize():f} and is {stored_close.normalize():f} now")


def _restated(adjustment: str, why: str) -> str:
    return f"the {adjustment}-adjusted series was restated since the plan: {why}"


def scaled_price(price: Decimal, units: Units, dividend: Decimal = Decimal(0)) -> Decimal:
    """A decision's price in the session's units, less the dividend per new share that a buyer of the session misses."""
    return price if units.shares == ONE and not dividend else (price / units.shares - dividend).quantize(_PRICE_STEP)


def scaled_quantity(qty: Decimal, units: Units) -> Decimal:
    """A planned quantity in the session's units."""
    return qty if units.shares == ONE else split_quantity(qty, units.shares)


def scaled_bar(price: Decimal, units: Units) -> Decimal:
    """A stored price of the session in the units that traded then."""
    return price if units.bars == ONE else (price * units.bars).quantize(_PRICE_STEP)
