"""Sentences on a whole plan: what its inputs, its rules and its broker do not do for it.

What belongs here: facts that no line can say. What does not: notes on one instrument, which whoever makes
them adds to its line.
"""

from __future__ import annotations

from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.planning.quantities import plain
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules


def label(inputs: PlanInputs) -> list[str]:
    if inputs.adjustment == "raw":
        return []
    return [f"Prices are labelled '{inputs.adjustment}', not raw: this plan never sizes a live order."]


def minimum_note(rules: PlanningRules, venue: Venue) -> list[str]:
    if not 0 < rules.min_order_notional < venue.minimum:
        return []
    wanted, taken = plain(rules.min_order_notional), plain(venue.minimum)
    return [f"The broker takes no order below {taken}; the rules' minimum of {wanted} is lower and has no effect."]


def unvalued_note(rows: list[Row], inputs: PlanInputs) -> list[str]:
    """Where neither the cash nor a price is known, nothing says how much of equity sits in a holding."""
    if inputs.cash is not None:
        return []
    held = [row.symbol for row in rows if row.held and row.usable_price is None]
    if not held:
        return []
    return [f"Held without a price: {', '.join(held)}. Its value is not set aside, so the buys may exceed the cash."]


def collar_note(orders: tuple[PlannedOrder, ...], rules: PlanningRules) -> list[str]:
    without = sum(order.limit_price is None for order in orders)
    if rules.price_collar is None or not without:
        return []
    return [
        f"{without} of {len(orders)} orders have no limit price: planning.price_collar = {plain(rules.price_collar)} "
        "does not hold them. execution.mode_on_buy and mode_on_sell = limit would."
    ]
