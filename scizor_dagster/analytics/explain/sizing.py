"""How a plan's line came to its quantity: the planner's own numbers, step by step, from what the plan was made from.

What belongs here: asking the planner for the numbers between inputs and line. What does not: planning (`planning`), and
the words for them (`reasons`, `flow.explaining`).

Nothing is computed by other rules than the planner's: its rows are made and sized again by the same functions, so that
what is shown is what decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext

from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.inputs import with_unmatched
from scizor_dagster.planning.open_orders import net
from scizor_dagster.planning.planner import overflow_factor, venue_of, without_kept
from scizor_dagster.planning.quantities import EXACT, ZERO
from scizor_dagster.planning.rows import Row, make_rows
from scizor_dagster.planning.shaping import shapers_of
from scizor_dagster.planning.sizing import effective_buffer, size_rows

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Sizing:
    """The numbers of one line, before the rules of the whole book (turnover, cash, gross) had their say.

    Attributes:
        buffer_share: Share of equity that is not invested, an allowance for slippage included.
        investable: Equity less that share.
        overflow_factor: Brings the weights to their maximum; 1 where they were within it.
        room: What is left of the budget where holdings cannot be traded; 1 where nothing is.
        value: Signed value of the target before it is rounded, in the plan's currency.
        price: What one share was sized at; None where there was no usable price.
        step: Increment of the target quantity.
        target: After rounding; None where nothing was sized.
        band: Half width of the no-trade band in force for this line; 0 for none.
        minimum: Smallest value of an order of this line.
        largest: Most shares of one order; None for no limit.
        delta: Change after the line's own rules.
        reason: After the line's own rules.
        scaled: What the planner says it scaled.
    """

    equity: Decimal
    cash: Decimal | None
    buffer_share: Decimal
    investable: Decimal
    overflow_factor: Decimal
    room: Decimal
    weight: Decimal
    value: Decimal
    price: Decimal | None
    step: Decimal
    target: Decimal | None
    held: Decimal
    working: Decimal
    band: Decimal
    minimum: Decimal
    largest: Decimal | None
    delta: Decimal
    reason: str
    scaled: tuple[str, ...]

    @property
    def unrounded(self) -> Decimal | None:
        """Shares that the value buys, before rounding."""
        return None if not self.price else self.value / self.price

    @property
    def rounded(self) -> Decimal | None:
        """The target that these numbers give: value over price, toward zero to the increment."""
        if self.unrounded is None:
            return None
        return (self.unrounded / self.step).to_integral_value(rounding=ROUND_DOWN) * self.step

    @property
    def held_value(self) -> Decimal | None:
        return None if self.price is None else (self.held + self.working) * self.price


def sizings(archive: PlanArchive) -> dict[str, Sizing]:
    """The numbers of every line by symbol; none of a manual order, which no weight has sized.

    Raises:
        InputError: the inputs are such that no plan can be made from them.
    """
    rules = archive.rules
    if archive.inputs.manual is not None:
        return {}
    with localcontext(EXACT):
        inputs = without_kept(with_unmatched(archive.inputs, rules))
        venue = venue_of(rules, archive.capabilities, inputs)
        factor, scaled = overflow_factor(inputs, rules)
        resting = net(inputs.open_orders)
        rows = make_rows(inputs, rules, resting)
        scaled += size_rows(rows, inputs, venue, factor, shapers_of(inputs, rules, archive.capabilities, resting))
        share = effective_buffer(venue.rules)
        investable = inputs.equity - inputs.equity * share
        full = investable * factor

        def of(row: Row) -> Sizing:
            relative = venue.rules.band_relative * abs(row.value)
            widths = [width for width in (venue.band, relative) if width > 0]
            usual = row.weight * full
            return Sizing(
                equity=inputs.equity,
                cash=inputs.cash,
                buffer_share=share,
                investable=investable,
                overflow_factor=factor,
                room=row.value / usual if row.value and usual else ONE,
                weight=row.weight,
                value=row.value,
                price=row.usable_price,
                step=venue.target_step(row),
                target=row.target,
                held=row.held,
                working=row.current - row.held,
                band=min(widths, default=ZERO) if row.value else ZERO,
                minimum=venue.least(row),
                largest=venue.largest(row) if row.usable_price is not None else None,
                delta=row.delta,
                reason=row.reason.value,
                scaled=tuple(scaled),
            )

        return {row.symbol: of(row) for row in rows}
