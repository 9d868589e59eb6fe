"""Between the exact rules and the kernel: rules, rows and quantities as plain numbers, and back.

What belongs here: conversions, and what has no plain number. What does not: decisions.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.kernel_model import CODE, GREATEST_COUNT, NONE, UNIT, Cells, Numbers
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rows import Row

DECIMALS = 9
"""Of a share in one unit."""
ONE = Decimal(1)
UNITS = Decimal(UNIT)
FACTOR_STEP = Decimal("1e-12")


def numbers_of(venue: Venue, sizing_buffer: Decimal) -> Numbers:
    """The rules as plain numbers. `sizing_buffer`: share of equity that targets leave over."""
    rules, capabilities = venue.rules, venue.capabilities
    decimals = min(capabilities.quantity_decimals, DECIMALS) if capabilities.fractional else 0
    return Numbers(
        minimum=float(venue.minimum),
        buffer=float(rules.min_cash_buffer_pct),
        sizing_buffer=float(sizing_buffer),
        invests=float(ONE - rules.min_cash_buffer_pct),
        sizing_invests=float(ONE - sizing_buffer),
        slippage=float(rules.slippage_allowance_pct),
        max_gross=float(rules.max_total_weight),
        sum_tolerance=float(rules.sum_tolerance),
        short_equity=float(capabilities.short_equity) if rules.allow_short and capabilities.short else NONE,
        band_absolute=float(rules.band_absolute),
        band_relative=float(rules.band_relative),
        max_turnover=limit(rules.max_turnover),
        max_participation=limit(rules.max_participation),
        max_move=limit(rules.max_price_move),
        max_weight=limit(rules.max_weight),
        max_value=limit(rules.max_notional_per_order),
        max_shares=limit(rules.max_share_per_order),
        max_total=limit(rules.max_total_notional),
        fine=10 ** (DECIMALS - venue.precision) if venue.precision <= DECIMALS else 1,
        order_unit=10 ** (DECIMALS - decimals),
        fractional=rules.fractional,
        adjust=rules.adjust_for_overflow,
        exit_exempt=capabilities.full_exit_below_minimum,
        to_edge=rules.trade_to == "edge",
    )


def limit(value: Decimal | None) -> float:
    return NONE if value is None else float(value)


def count_of(quantity: Decimal) -> int | None:
    """A quantity in units; None where it is no whole number of them, or too large."""
    if not quantity:
        return 0
    units = quantity * UNITS
    count = int(units)
    return count if count == units and -GREATEST_COUNT < count < GREATEST_COUNT else None


def quantity_of(count: int) -> Decimal:
    """A number of units in shares, exactly."""
    return Decimal(count).scaleb(-DECIMALS).normalize() + ZERO if count else ZERO


def cells_of(row: Row, volume: Decimal | None, ban: int) -> Cells:
    """A row's numbers; it is special where its holding has no exact count."""
    count, known, price = count_of(row.current), row.instrument, row.usable_price
    return Cells(
        weight=float(row.weight),
        price=float(price) if price is not None else float("nan") if row.price is None else float("inf"),
        volume=float("nan") if volume is None else float(volume),
        parcel=float(row.parcel) if row.parcel else 0.0,
        held=float(row.current),
        count=count or 0,
        lot=known.lot * UNIT if known is not None else UNIT,
        fact=CODE[row.kept] if row.kept is not None else 0,
        ban=ban,
        special=count is None,
        tradable=known is None or known.tradable,
        fractionable=known is not None and known.fractionable,
        shortable=known is None or known.shortable,
    )
