"""The one planner: inputs, rules and capabilities in, a plan out. Pure, and deterministic to the byte.

What belongs here: the order in which the parts of planning are applied. What does not: reading
inputs or storing plans (`frames`, `files`, the assets).

The steps: check the inputs; one row per instrument (`rows`); scale an excess of weights within its
tolerance; size all rows at once (`kernel`); be exact again, instrument by instrument (`decisions`, then
`shaping`); cap the turnover (`turnover`); hold the laws of the whole book (`fit`); write the orders (`orders`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal, localcontext

import numpy as np

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.errors import InputError, RiskLimitBreached
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.decisions import Venue, check_limits, decide
from scizor_dagster.planning.fit import fit
from scizor_dagster.planning.inputs import PlanInputs, check, plain, plan_digest
from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import ORDERING_REASONS, Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.planning.open_orders import net
from scizor_dagster.planning.orders import orders_of, sort_key
from scizor_dagster.planning.quantities import EXACT, ZERO
from scizor_dagster.planning.rows import Row, make_rows
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import Shaper, shape, shapers_of
from scizor_dagster.planning.turnover import cap_turnover

ONE = Decimal(1)
DIGITS_OF_A_DOUBLE = 15
WEIGHT_NOISE = ONE + Decimal("1e-15")
"""A weight of that many digits was computed in doubles and means any number this close; `fit` takes back the excess."""
_FACTOR_STEP = Decimal("1e-12")
_KEPT_BY_KERNEL = frozenset({Reason.NO_PRICE, Reason.BAD_PRICE, Reason.NOT_TRADABLE, Reason.NOT_SHORTABLE})


def make_plan(inputs: PlanInputs, rules: PlanningRules, capabilities: Capabilities) -> Plan:
    """Plan one portfolio for one session.

    Raises:
        InputError: inputs that no plan can be made from, as weights above their maximum.
        RiskLimitBreached: the orders together exceed `max_total_notional`; none is planned.
    """
    with localcontext(EXACT):
        check(inputs, rules)
        plan_id = plan_digest(inputs, rules, capabilities)
        inputs = _with_foreign(inputs) if rules.manage_foreign and inputs.foreign else inputs
        venue = _venue(rules, capabilities, inputs.equity)
        factor, notes = overflow_factor(inputs, rules)
        resting = net(inputs.open_orders)
        rows = make_rows(inputs, rules, resting)
        buffer = inputs.equity * rules.min_cash_buffer_pct
        notes += _size(rows, inputs, venue, factor, shapers_of(inputs, rules, capabilities, resting))
        notes += cap_turnover(rows, venue, inputs.equity)
        spare_cash = None if inputs.cash is None else inputs.cash - buffer - _on_order(rows)
        fit(rows, venue, investable=inputs.equity - buffer, spare_cash=spare_cash)
        orders = _orders(rows, inputs, venue, plan_id)
        _check_total(orders, rules)
        return Plan(
            plan_id=plan_id,
            portfolio=inputs.portfolio,
            account=inputs.account,
            session=inputs.session,
            batch=inputs.batch,
            currency=inputs.currency,
            equity=inputs.equity,
            cash_buffer=buffer,
            priced_on=inputs.priced_on,
            adjustment=inputs.adjustment,
            overflow_factor=factor,
            lines=tuple(_line(row) for row in rows),
            orders=orders,
            notes=(*inputs.notes, *_label(inputs), *_minimum_note(rules, venue), *_unvalued_note(rows, inputs), *notes),
        )


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
            factor = min(factor, (maximum / total).quantize(_FACTOR_STEP, rounding=ROUND_DOWN))
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


def _on_order(rows: list[Row]) -> Decimal:
    """What open orders still take from the cash at reference prices."""
    return sum(((row.current - row.held) * row.usable_price for row in rows if row.usable_price is not None), ZERO)


def _effective_buffer(rules: PlanningRules) -> Decimal:
    """The buffer with the slippage allowance: the share of equity that targets leave over.

    A plan sells and buys at most a gross `g` each, so that fills which are worse by `s` cost `s * g` of equity for
    the sales and as much of what is invested for the purchases: (1 - b - s * g) / (1 + s * g) can be invested.
    It depends on the rules alone, and a plan on the filled result finds the same one.
    """
    cost = rules.slippage_allowance_pct * max(rules.max_total_weight, ONE)
    if not cost:
        return rules.min_cash_buffer_pct
    share = ((ONE - rules.min_cash_buffer_pct - cost) / (ONE + cost)).quantize(_FACTOR_STEP, rounding=ROUND_DOWN)
    return ONE - max(share, ZERO)


def _venue(rules: PlanningRules, capabilities: Capabilities, equity: Decimal) -> Venue:
    """The rules as far as the broker can follow them: what it would refuse is not planned."""
    decimals = capabilities.quantity_decimals
    fractional = rules.fractional and capabilities.fractional and decimals > 0
    minimum = max(rules.min_order_notional, capabilities.min_notional)
    usable = replace(
        rules,
        fractional=fractional,
        quantity_precision=min(rules.quantity_precision, decimals) if fractional else 0,
        allow_short=rules.allow_short and capabilities.short,
        min_order_notional=minimum,
        min_cash_buffer_pct=_effective_buffer(rules),
    )
    return Venue(usable, capabilities, minimum, usable.quantity_precision, rules.band_absolute * equity)


def _size(rows: list[Row], inputs: PlanInputs, venue: Venue, factor: Decimal, shapers: tuple[Shaper, ...]) -> list[str]:
    """Give every row its exact target, change and reason; returns what was scaled, as sentences."""
    sizing = size(
        _book(rows),
        float(inputs.equity),
        venue.rules,
        scale=float(factor),
        reserved=float(_reserved(rows, inputs)),
    )
    share = Decimal(repr(sizing.scale / float(factor)))
    budget = (inputs.equity - inputs.equity * venue.rules.min_cash_buffer_pct) * factor * share
    for row, target, code in zip(rows, sizing.target.tolist(), sizing.codes.tolist(), strict=True):
        if row.kept is None and REASONS[code] in _KEPT_BY_KERNEL:
            row.kept = REASONS[code]
        if row.kept is not None:
            row.reason = row.kept
            continue
        row.whole = _is_whole(row, venue.rules)
        row.target = _exact_target(row, target, budget, venue) if row.weight else ZERO
        decide(row, venue)
        if shapers:
            shape(row, venue, shapers)
        check_limits(row, venue)
    if sizing.scale == float(factor):
        return []
    return [f"Holdings that cannot be traded leave less room; all other weights were scaled by {share:.6f}."]


def _exact_target(row: Row, estimate: float, budget: Decimal, venue: Venue) -> Decimal:
    """The most increments that the row's weight pays for; the kernel's float is a first guess, off by one at times."""
    assert row.usable_price is not None, row.symbol
    step, weight = venue.target_step(row), row.weight
    value, cost = abs(weight) * budget, row.usable_price * step
    # The length of its text is quicker to have, and never less than the number of its digits.
    if len(str(weight)) >= DIGITS_OF_A_DOUBLE and len(weight.as_tuple().digits) >= DIGITS_OF_A_DOUBLE:
        value *= WEIGHT_NOISE
    count = Decimal(round(abs(estimate) / float(step)))
    spent = count * cost
    if not spent <= value < spent + cost:
        count = (value / cost).to_integral_value(rounding=ROUND_DOWN)
    return -count * step if weight.is_signed() else count * step


def _book(rows: list[Row]) -> Book:
    instruments = [row.instrument for row in rows]
    lots = np.array([float(known.lot) if known else 1.0 for known in instruments])
    return Book(
        weights=np.array([float(row.weight) for row in rows]),
        prices=np.array([_float_price(row) for row in rows]),
        current=np.array([float(row.current) for row in rows]),
        tradable=np.array([known is None or known.tradable for known in instruments], dtype=np.bool_),
        fractionable=np.array([known is None or known.fractionable for known in instruments], dtype=np.bool_),
        shortable=np.array([known is None or known.shortable for known in instruments], dtype=np.bool_),
        frozen=np.array([row.kept is not None for row in rows], dtype=np.bool_),
        lots=lots if bool((lots != 1.0).any()) else None,
    )


def _float_price(row: Row) -> float:
    if row.price is None:
        return float("nan")
    return float(row.price.price) if row.price.price.is_finite() else float("inf")


def _reserved(rows: list[Row], inputs: PlanInputs) -> Decimal:
    """Value of the holdings that have no price, which follows from equity where the cash is known."""
    unpriced = any(row.current and row.usable_price is None for row in rows)
    if inputs.cash is None or not unpriced:
        return ZERO
    priced = sum((row.current * price for row in rows if (price := row.usable_price) is not None), ZERO)
    return inputs.equity - inputs.cash - priced


def _is_whole(row: Row, rules: PlanningRules) -> bool:
    if not rules.fractional or row.instrument is None or not row.instrument.fractionable:
        return True
    # A short is covered in whole shares but for its exact end: no broker sells a fraction short again.
    return row.weight < 0 or (not row.weight and row.current < 0)


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
    orders = [order for row in rows if row.reason in ORDERING_REASONS for order in orders_of(row, venue, ids)]
    return tuple(sorted(orders, key=sort_key))


def _check_total(orders: tuple[PlannedOrder, ...], rules: PlanningRules) -> None:
    total = sum((order.notional for order in orders), ZERO)
    if rules.max_total_notional is not None and total > rules.max_total_notional:
        raise RiskLimitBreached(
            f"The {len(orders)} orders of the plan are worth {total:.2f}; "
            f"risk.max_total_notional allows {plain(rules.max_total_notional)}.",
            remedy="Nothing is planned. Check weights, prices and equity, or raise the limit.",
        )


def _line(row: Row) -> PlanLine:
    price = row.price
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
    )


def _minimum_note(rules: PlanningRules, venue: Venue) -> list[str]:
    if not 0 < rules.min_order_notional < venue.minimum:
        return []
    wanted, taken = plain(rules.min_order_notional), plain(venue.minimum)
    return [f"The broker takes no order below {taken}; the rules' minimum of {wanted} is lower and has no effect."]


def _unvalued_note(rows: list[Row], inputs: PlanInputs) -> list[str]:
    """Where neither the cash nor a price is known, nothing says how much of equity sits in a holding."""
    if inputs.cash is not None:
        return []
    held = [row.symbol for row in rows if row.current and row.usable_price is None]
    if not held:
        return []
    return [f"Held without a price: {', '.join(held)}. Its value is not set aside, so the buys may exceed the cash."]


def _label(inputs: PlanInputs) -> list[str]:
    if inputs.adjustment == "raw":
        return []
    return [f"Prices are labelled '{inputs.adjustment}', not raw: this plan never sizes a live order."]
