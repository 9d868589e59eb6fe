"""What rules beside the sizing make of one instrument's change: left out, cut, or closed only.

What belongs here: overrides, open orders and foreign holdings, share of volume, protection, price
collar; and the one way to cut a change. What does not: bands, which decide whether there is a change
(`decisions`), and rules over the whole plan (`turnover`, `fit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Decimal
from functools import partial

from scizor_dagster.brokers.protocol import Capabilities, OrderType, Side
from scizor_dagster.planning.decisions import Venue, closing_part, exit_only
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.open_orders import NOTHING, Resting, closable
from scizor_dagster.planning.orders import bracket_prices, limit_offset, limit_price, mode_of
from scizor_dagster.planning.quantities import ZERO, plain
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules

Shaper = Callable[[Row, Venue], None]


def shapers_of(
    inputs: PlanInputs, rules: PlanningRules, capabilities: Capabilities, resting: Mapping[str, Resting]
) -> tuple[Shaper, ...]:
    """The rules that these inputs call for, in the order in which they apply; none for a plain rebalance."""
    shapers: list[Shaper] = []
    kinds = capabilities.order_types
    if rules.overrides:
        shapers.append(partial(_override, overrides=dict(rules.overrides)))
    if resting or inputs.foreign or inputs.siblings:
        shapers.append(partial(_respect_account, resting=resting, foreign=inputs.foreign, siblings=inputs.siblings))
    if rules.max_participation is not None:
        shapers.append(partial(_share_of_volume, volumes=inputs.adv, share=rules.max_participation))
    if rules.mode_on_buy == "bracket" and OrderType.BRACKET in kinds:
        in_ranges = rules.tp_atr is not None or rules.sl_atr is not None
        shapers.append(partial(_protect, ranges=inputs.atr, needed=in_ranges))
    if "limit" in (rules.mode_on_buy, rules.mode_on_sell) and OrderType.LIMIT in kinds:
        shapers.append(partial(_near_the_price, most=limit_offset(rules)))
    return tuple(shapers)


def shape(row: Row, venue: Venue, shapers: tuple[Shaper, ...]) -> None:
    """Apply each rule to a decided row, until one leaves no order."""
    for rule in shapers:
        if row.reason not in ORDERING_REASONS:
            return
        rule(row, venue)


def cut(row: Row, venue: Venue, allowed: Decimal, reason: Reason, note: str) -> None:
    """Reduce a row's change to at most `allowed` shares, in its increments.

    A crossing keeps closing whole before it opens. What becomes too small to send is withheld with `reason`.
    """
    if allowed >= abs(row.delta):
        return
    closing, step, price = closing_part(row), venue.target_step(row), row.usable_price
    assert price is not None, row.symbol
    least = venue.minimum if closing else venue.least(row)
    quantity = _floor(allowed, step)
    if row.reason is Reason.CROSS_ZERO and allowed >= closing:
        opening = _floor(allowed - closing, step)
        if opening * price < venue.least(row) or not opening:
            exit_only(row, venue, note)
            return
        quantity = closing + opening
    elif not quantity or quantity * price < least:
        row.withhold(reason, note)
        return
    else:
        row.reason = Reason.OPEN if row.reason is Reason.OPEN else Reason.REBALANCE
    row.add_note(f"Cut from {plain(abs(row.delta))} to {plain(quantity)}: {note}")
    row.delta = row.side.sign * quantity
    row.target = row.current + row.delta


def _floor(quantity: Decimal, step: Decimal) -> Decimal:
    return (quantity / step).to_integral_value(rounding=ROUND_FLOOR) * step


def _override(row: Row, venue: Venue, overrides: Mapping[str, str]) -> None:
    rule = overrides.get(row.symbol)
    if rule is None:
        return
    note = f"planning.overrides says {rule}."
    if rule == "reduce_only" and row.reason is Reason.CROSS_ZERO:
        exit_only(row, venue, note)
        return
    forbidden = {"no_buy": row.delta > 0, "no_sell": row.delta < 0, "reduce_only": row.current * row.delta >= 0}
    if forbidden[rule]:
        row.withhold(Reason.OVERRIDE, note)


def _respect_account(
    row: Row,
    venue: Venue,
    resting: Mapping[str, Resting],
    foreign: Mapping[str, Decimal],
    siblings: Mapping[str, Decimal],
) -> None:
    """Hold a change to what open orders and what others hold in the account leave of it."""
    rests = resting.get(row.symbol, NOTHING)
    unowned, others = foreign.get(row.symbol, ZERO), siblings.get(row.symbol, ZERO)
    if rests is NOTHING and not unowned and not others:
        return
    opposite = Side.SELL if row.side is Side.BUY else Side.BUY
    if venue.capabilities.refuses_wash_trades and opposite in rests.live:
        row.withhold(Reason.WASH_TRADE, f"A {opposite} of it is open in the account, and this would be a {row.side}.")
        return
    if row.reason is Reason.CROSS_ZERO:
        # A crossing is planned only where its first leg can be sent alone: an exit is left.
        exit_only(row, venue, "The other side of zero waits until no other order or holding is in its way.")
    if not closing_part(row):
        _opening_beside(row, unowned, others)
        return
    free, alone = closable(row.held, unowned + others, rests), closable(row.held, unowned, rests)
    reason, note = Reason.HELD_BY_ORDER, f"only {plain(free)} of {plain(abs(row.held))} held can be closed now."
    if free < alone:
        reason, note = Reason.ACCOUNT_NET, f"{_netted(others)} {note}"
    cut(row, venue, free, reason, note)


def _opening_beside(row: Row, unowned: Decimal, others: Decimal) -> None:
    sign = row.side.sign
    if row.held * sign < 0:
        row.withhold(Reason.HELD_BY_ORDER, f"{plain(row.held)} is held until the order that closes it has filled.")
    elif (row.held + unowned) * sign < 0:
        row.withhold(Reason.FOREIGN, "The broker would take the order as closing what no portfolio owns.")
    elif (row.held + unowned + others) * sign < 0:
        row.withhold(Reason.ACCOUNT_NET, f"{_netted(others)} it would take the order as closing that.")


def _netted(others: Decimal) -> str:
    return f"The account's other portfolios hold {plain(others)}, and the broker nets the account:"


def _share_of_volume(row: Row, venue: Venue, volumes: Mapping[str, Decimal], share: Decimal) -> None:
    volume = volumes.get(row.symbol)
    if volume is None:
        row.withhold(Reason.NO_VOLUME, "Its average daily volume is not known; planning.max_participation needs it.")
        return
    note = f"planning.max_participation allows {plain(share)} of {plain(volume)} shares a day."
    if row.busy:
        note += f" Open orders trade {plain(row.busy)} of them."
    cut(row, venue, max(volume * share - row.busy, ZERO), Reason.PARTICIPATION_CAP, note)


def _protect(row: Row, venue: Venue, ranges: Mapping[str, Decimal], *, needed: bool) -> None:
    """Give what is bought its bracket; where one in true ranges is wanted, nothing whole is opened without it."""
    opening = row.delta - closing_part(row)
    if opening <= 0:
        return
    atr = ranges.get(row.symbol)
    row.bracket = bracket_prices(row, venue, atr)
    if row.bracket is not None or not needed or opening < 1:
        return
    known = "is not known" if atr is None else f"is {plain(atr)}, which leaves no valid prices"
    note = f"Its average true range {known}; a bracket needs it."
    if row.reason is Reason.CROSS_ZERO:
        exit_only(row, venue, note)
    else:
        row.withhold(Reason.NO_ATR, note)


def _near_the_price(row: Row, venue: Venue, most: Decimal) -> None:
    """Withhold a purchase below one price step: the smallest limit that there is gives more than it may."""
    price = row.usable_price
    assert price is not None, row.symbol
    if mode_of(row, venue) != "limit":
        return
    if row.delta % 1 != 0 and OrderType.LIMIT not in venue.capabilities.fractional_order_types:
        return
    limit, collar = limit_price(row, venue), venue.rules.price_collar
    if row.limit is not None:
        if collar is not None and abs(limit - price) > collar * price:
            note = f"Its limit is {limit}; planning.price_collar allows {plain(collar)} around {plain(price)}."
            row.withhold(Reason.PRICE_COLLAR, note)
        return
    if (limit - price) * row.side.sign > most * price:
        row.withhold(
            Reason.PRICE_COLLAR, f"No limit price lies within {plain(most)} of {plain(price)}; the next is {limit}."
        )
