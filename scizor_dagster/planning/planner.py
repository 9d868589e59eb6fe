"""The one planner: inputs, rules and capabilities in, a plan out. Pure, and deterministic to the byte.

What belongs here: the order in which the parts of planning are applied. What does not: reading
inputs or storing plans (`frames`, `files`, the assets).

The steps: check the inputs; one row per instrument (`rows`); scale an excess of weights within its
tolerance; size all rows at once (`kernel`) and be exact again, instrument by instrument (`sizing`); cap the
turnover (`turnover`); hold the laws of the whole book (`fit`); write the orders (`orders`). A manual order has one row
that is decided (`manual`), and goes through the rest as any other.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal, localcontext
from operator import attrgetter

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.errors import InputError, RiskLimitBreached
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.columns import FACTOR_STEP
from scizor_dagster.planning.decisions import Venue, closing_part, exit_only
from scizor_dagster.planning.fit import fit
from scizor_dagster.planning.inputs import ManualInstruction, PlanInputs, check, plan_digest, with_unmatched
from scizor_dagster.planning.manual import decide_manual, manual_rules, require_form, require_whole, with_row
from scizor_dagster.planning.model import MANUAL, ORDERING_REASONS, Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.planning.notes import collar_note, label, minimum_note, unvalued_note
from scizor_dagster.planning.open_orders import net
from scizor_dagster.planning.orders import frees_cash, orders_of
from scizor_dagster.planning.quantities import EXACT, ZERO, plain
from scizor_dagster.planning.rows import Row, make_rows
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import Shaper, shapers_of
from scizor_dagster.planning.sizing import decide_rows
from scizor_dagster.planning.turnover import cap_turnover

ONE = Decimal(1)


def make_plan(inputs: PlanInputs, rules: PlanningRules, capabilities: Capabilities) -> Plan:
    """Plan one portfolio for one session.

    Raises:
        InputError: inputs that no plan can be made from, as weights above their maximum.
        RiskLimitBreached: the orders together exceed `max_total_notional`; none is planned.
    """
    return _planned(inputs, rules, capabilities, exactly=False)


def _planned(inputs: PlanInputs, rules: PlanningRules, capabilities: Capabilities, *, exactly: bool) -> Plan:
    """The plan. `exactly`: let the exact rules decide everything, to compare the kernel with them."""
    with localcontext(EXACT):
        check(inputs, rules)
        inputs = with_unmatched(inputs, rules)
        plan_id = plan_digest(inputs, rules, capabilities)
        if inputs.manual is not None:
            return _manual(inputs, inputs.manual, manual_rules(rules, inputs.manual), capabilities, plan_id)
        apart, inputs = inputs.set_apart, without_kept(inputs)
        inputs = _with_foreign(inputs) if rules.manage_foreign and inputs.foreign else inputs
        venue = venue_of(rules, capabilities, inputs)
        factor, notes = overflow_factor(inputs, rules)
        resting = net(inputs.open_orders)
        rows = make_rows(inputs, rules, resting)
        shapers = shapers_of(inputs, rules, capabilities, resting)
        notes += decide_book(rows, inputs, venue, factor, shapers, exactly=exactly)
        orders = _orders(rows, inputs, venue, plan_id)
        check_total(sum((order.notional for order in orders), ZERO), len(orders), rules)
        made = _made(inputs, rules, venue, plan_id, rows, orders, notes)
        lines = (_line(row, apart.get(row.symbol, ZERO)) for row in rows)
        return replace(made, overflow_factor=factor, lines=tuple(lines))


def _manual(
    inputs: PlanInputs, asked: ManualInstruction, rules: PlanningRules, capabilities: Capabilities, plan_id: str
) -> Plan:
    """The plan of the one line that a person asks for, under the laws of the whole book."""
    venue, resting = venue_of(rules, capabilities, inputs), net(inputs.open_orders)
    rows = make_rows(with_row(inputs, asked), rules, resting)
    mine = decide_manual(rows, inputs, asked, venue, shapers_of(inputs, rules, capabilities, resting))
    _wait_for_unvalued(rows, venue)
    notes = _hold_laws(rows, inputs, venue)
    require_whole(mine, asked)
    orders = tuple(row._replace(reason=Reason.MANUAL) for row in _orders([mine], inputs, venue, plan_id))
    require_form(orders, mine, asked)
    check_total(sum((order.notional for order in orders), ZERO), len(orders), rules)
    line = _line(mine)
    made = _made(inputs, rules, venue, plan_id, rows, orders, notes)
    return replace(made, lines=(line._replace(reason=Reason.MANUAL) if orders else line,), origin=MANUAL)


def _made(
    inputs: PlanInputs,
    rules: PlanningRules,
    venue: Venue,
    plan_id: str,
    rows: list[Row],
    orders: tuple[PlannedOrder, ...],
    notes: list[str],
) -> Plan:
    """The plan without its lines."""
    return Plan(
        plan_id=plan_id,
        portfolio=inputs.portfolio,
        account=inputs.account,
        session=inputs.session,
        batch=inputs.batch,
        currency=inputs.currency,
        equity=inputs.equity,
        cash_buffer=inputs.equity * rules.min_cash_buffer_pct,
        priced_on=inputs.priced_on,
        adjustment=inputs.adjustment,
        overflow_factor=ONE,
        lines=(),
        orders=orders,
        notes=(
            *inputs.notes,
            *label(inputs),
            *minimum_note(rules, venue),
            *unvalued_note(rows, inputs),
            *notes,
            *collar_note(orders, rules),
        ),
    )


def decide_book(
    rows: list[Row],
    inputs: PlanInputs,
    venue: Venue,
    factor: Decimal,
    shapers: tuple[Shaper, ...],
    *,
    exactly: bool = False,
) -> list[str]:
    """Decide every row and hold the laws of the whole book; returns what was scaled, as sentences.

    The rows are those of one plan, by symbol, and are changed in place. With `exactly` the exact rules decide
    everything, whatever the kernel could: to compare the two.
    """
    decided = decide_rows(rows, inputs, venue, factor, shapers, exactly=exactly)
    _wait_for_unvalued(rows, venue)
    if decided.fits(rows, _spare_cash(rows, inputs, venue)):
        return decided.said
    return decided.said + _hold_laws(rows, inputs, venue)


def _hold_laws(rows: list[Row], inputs: PlanInputs, venue: Venue) -> list[str]:
    """Cap the turnover and hold the laws of the whole book, exactly; returns what was scaled, as sentences."""
    spare_cash = _spare_cash(rows, inputs, venue)
    capped = cap_turnover(rows, venue, inputs.equity)
    buffer = inputs.equity * venue.rules.min_cash_buffer_pct
    fit(rows, venue, investable=inputs.equity - buffer, spare_cash=spare_cash)
    return capped


def _spare_cash(rows: list[Row], inputs: PlanInputs, venue: Venue) -> Decimal | None:
    """The cash above its buffer that no open order takes; None where the cash is not known."""
    if inputs.cash is None:
        return None
    taken = [_on_order(row) for row in rows]
    if inputs.manual is not None:
        # It is sent at once, and what open sales will bring is not there yet.
        taken = [max(value, ZERO) for value in taken]
    return inputs.cash - inputs.equity * venue.rules.min_cash_buffer_pct - sum(taken, ZERO)


def overflow_factor(inputs: PlanInputs, rules: PlanningRules) -> tuple[Decimal, list[str]]:
    """Factor that brings the weights to their maximum, and the sentence that says so.

    Two sums have a maximum: gross, the sum of absolute weights (`max_total_weight`), and net (1,
    because nothing is bought with borrowed money). Within `sum_tolerance` above it the weights are
    scaled down, if `adjust_for_overflow` is set; without it they stay, and `fit` withholds what
    does not fit.

    Raises:
        InputError: a sum is above its maximum by more than the tolerance.
    """
    gross = sum((abs(target.weight) for target in inputs.targets), ZERO)
    net = sum((target.weight for target in inputs.targets), ZERO)
    factor = ONE
    for name, total, maximum in (("absolute weights", gross, rules.max_total_weight), ("weights", net, ONE)):
        if total > maximum + rules.sum_tolerance:
            raise InputError(
                f"The {name} sum to {plain(total)}; at most {plain(maximum)} is allowed "
                f"(tolerance {plain(rules.sum_tolerance)}).",
                remedy="Correct the weights; shares of equity are fractions (0.05 is 5 %). "
                "risk.fractional_shares.max_total_weight sets the maximum of the absolute ones.",
            )
        if total > maximum:
            factor = min(factor, (maximum / total).quantize(FACTOR_STEP, rounding=ROUND_DOWN))
    if factor == ONE:
        return ONE, []
    if not rules.adjust_for_overflow:
        return ONE, [f"The weights sum to {plain(gross)}, above their maximum but within the tolerance."]
    return factor, [f"The weights sum to {plain(gross)}; all were scaled by {plain(factor)} to the maximum."]


def _with_foreign(inputs: PlanInputs) -> PlanInputs:
    """The inputs with what the account holds beside the portfolio counted as the portfolio's."""
    holdings = dict(inputs.holdings)
    for symbol, quantity in inputs.foreign.items():
        holdings[symbol] = holdings.get(symbol, ZERO) + quantity
    note = f"Managed though no portfolio owns it: {', '.join(sorted(inputs.foreign))}."
    return replace(inputs, holdings=holdings, foreign={}, notes=(*inputs.notes, note))


def without_kept(inputs: PlanInputs) -> PlanInputs:
    """The inputs with what is set apart for manual orders taken out; the account holds it beside the plan."""
    if not inputs.set_apart:
        return inputs
    holdings, siblings = dict(inputs.holdings), dict(inputs.siblings)
    for symbol, quantity in inputs.set_apart.items():
        holdings[symbol] = holdings.get(symbol, ZERO) - quantity
        siblings[symbol] = siblings.get(symbol, ZERO) + quantity
    named = ", ".join(f"{plain(quantity)} {symbol}" for symbol, quantity in sorted(inputs.set_apart.items()))
    note = f"Set apart, as manual orders have bought it, and no part of the equity that is sized on: {named}."
    return replace(inputs, holdings=holdings, siblings=siblings, notes=(*inputs.notes, note))


def _on_order(row: Row) -> Decimal:
    """What the row's open orders still take from the cash at the reference price; below zero what they bring."""
    price = row.usable_price
    return (row.current - row.held) * price if row.busy and price else ZERO


def _wait_for_unvalued(rows: list[Row], venue: Venue) -> None:
    """Buy nothing while an open purchase takes a sum from the cash that nobody knows."""
    unknown = [row.symbol for row in rows if row.current > row.held and row.usable_price is None]
    if not unknown:
        return
    note = f"What the open purchase of {', '.join(unknown)} will cost is not known: it has no price."
    for row in rows:
        if row.reason is Reason.CROSS_ZERO and row.delta > 0:
            exit_only(row, venue, note)
        elif row.reason in ORDERING_REASONS and row.delta > closing_part(row):
            row.withhold(Reason.NO_CASH, note)


def venue_of(rules: PlanningRules, capabilities: Capabilities, inputs: PlanInputs) -> Venue:
    """The rules as far as the broker can follow them: what it would refuse is not planned."""
    no_shorts = _no_shorts(rules, capabilities, inputs)
    decimals = capabilities.quantity_decimals
    fractional = rules.fractional and capabilities.fractional and decimals > 0
    minimum = max(rules.min_order_notional, capabilities.min_notional)
    usable = replace(
        rules,
        fractional=fractional,
        quantity_precision=min(rules.quantity_precision, decimals) if fractional else 0,
        allow_short=not no_shorts,
        min_order_notional=minimum,
    )
    band = rules.band_absolute * inputs.equity
    return Venue(usable, capabilities, minimum, usable.quantity_precision, band, no_shorts)


def _no_shorts(rules: PlanningRules, capabilities: Capabilities, inputs: PlanInputs) -> str:
    """Why nothing may be sold short; empty where it may."""
    least = capabilities.short_equity
    if not rules.allow_short:
        return "weights.allow_short is not set."
    if not capabilities.short:
        return "The broker takes no short sales."
    if not (inputs.equity >= least if inputs.shorts_allowed is None else inputs.shorts_allowed):
        return f"The broker takes short sales from an equity of {plain(least)} on, and the account has less."
    return ""


def _orders(rows: list[Row], inputs: PlanInputs, venue: Venue, plan_id: str) -> tuple[PlannedOrder, ...]:
    ids = ClientOrderIds(
        venue.rules.client_order_id_prefix,
        account=inputs.account,
        session=inputs.session,
        portfolio=inputs.portfolio,
        plan_id=plan_id,
        batch=inputs.batch,
        max_length=venue.capabilities.max_client_id_length,
    )
    ordering = [row for row in rows if row.reason in ORDERING_REASONS]
    after_sales = any(frees_cash(row) for row in ordering)
    orders = [order for row in ordering for order in orders_of(row, venue, ids, after_sales=after_sales)]
    # Rows come by symbol and their orders by leg and slice: what is left of `sort_key` is the phase.
    return tuple(sorted(orders, key=attrgetter("phase")))


def check_total(total: Decimal, orders: int, rules: PlanningRules) -> None:
    """Refuse a plan whose `orders` are worth `total`, in the plan's currency, if that is too much.

    Raises:
        RiskLimitBreached: it exceeds `max_total_notional`.
    """
    if rules.max_total_notional is not None and total > rules.max_total_notional:
        raise RiskLimitBreached(
            f"The {orders} orders of the plan are worth {total:.2f}; "
            f"risk.max_total_notional allows {plain(rules.max_total_notional)}.",
            remedy="Nothing is planned. Check weights, prices and equity, or raise the limit.",
        )


def _line(row: Row, kept: Decimal = ZERO) -> PlanLine:
    price = row.price
    if kept:
        row.add_note(f"{plain(kept)} are set apart for manual orders.")
        row.reason = row.reason if row.held or row.weight else Reason.KEPT
    return PlanLine(
        row.symbol,
        row.instrument_id,
        row.held,
        row.weight,
        price.price if price else None,
        price.session if price else None,
        price.source if price else "",
        row.target,
        row.delta,
        row.reason,
        row.note,
        row.asset_ids,
        row.current - row.held,
        kept,
    )
