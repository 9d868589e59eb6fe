"""The laws of a plan hold under every rule, alone and together, and beside other orders in the account.

`SCIZOR_TORTURE=1` tries thousands of books for each law.
"""

import os
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import ReferencePrice
from scizor_dagster.planning.laws import book_after
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.open_orders import net
from scizor_dagster.planning.planner import make_plan
from tests.planning.books import (
    books,
    crowded_book,
    crowded_books,
    filled,
    goes_on_later,
    line_of,
    orders_of,
    ruled_book,
    ruled_books,
    signed,
)

ZERO = Decimal(0)
TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
COUNT = 3_000 if TORTURE else 150
pytestmark = pytest.mark.timeout(3_600 if TORTURE else 300)
many = settings(max_examples=COUNT, deadline=None, derandomize=True)
any_ruled = st.one_of(ruled_books(), ruled_books(shorts=True))
any_crowded = st.one_of(crowded_books(), crowded_books(shorts=True))
anything = st.one_of(any_ruled, any_crowded)
CAPS = ("max_turnover", "max_participation")
CLOSING = (PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE)


def traded(plan):
    return sum((order.notional for order in plan.orders), ZERO)


def moves(plan, symbol):
    return sum(map(signed, orders_of(plan, symbol)), ZERO)


def working(inputs):
    return {symbol: resting.working for symbol, resting in net(inputs.open_orders).items()}


@many
@given(st.one_of(books(), ruled_books()), st.sampled_from(["0", "0.0005", "0.01", "0.08"]))
def test_cash_keeps_its_buffer_if_fills_are_worse_by_the_slippage_allowance(book, slippage):
    inputs, rules, capabilities = book
    slip = Decimal(slippage)
    plan = make_plan(replace(inputs, cash=None), replace(rules, slippage_allowance_pct=slip), capabilities)
    if any(order.intent is PositionIntent.BUY_TO_OPEN for order in plan.orders):
        priced = [line for line in plan.lines if line.price is not None and line.price > 0]
        held = sum(((line.current_qty + moves(plan, line.symbol)) * line.price for line in priced), ZERO)
        assert plan.equity - held - slip * traded(plan) >= plan.cash_buffer


@many
@given(ruled_books(shorts=True))
def test_known_cash_of_a_long_short_book_keeps_its_buffer_too(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    if inputs.cash is not None and any(order.intent is PositionIntent.BUY_TO_OPEN for order in plan.orders):
        spent = sum((signed(order) * order.price_used for order in plan.orders), ZERO)
        assert inputs.cash - spent - rules.slippage_allowance_pct * traded(plan) >= plan.cash_buffer


@many
@given(any_crowded)
def test_known_cash_keeps_its_buffer_with_what_open_orders_take(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    if inputs.cash is not None and any(order.intent is PositionIntent.BUY_TO_OPEN for order in plan.orders):
        assert all(line.price is not None or line.working_qty <= 0 for line in plan.lines)
        coming = sum((line.working_qty * line.price for line in plan.lines if line.price is not None), ZERO)
        spent = sum((signed(order) * order.price_used for order in plan.orders), ZERO)
        assert inputs.cash - coming - spent - rules.slippage_allowance_pct * traded(plan) >= plan.cash_buffer


@many
@given(anything)
def test_every_plan_fits_its_book(book):
    inputs, rules, capabilities = book
    plan = make_plan(replace(inputs, cash=None), rules, capabilities)
    assert book_after(plan, rules.max_total_weight).fits


@many
@given(any_crowded)
def test_gross_with_what_is_on_order_never_rises_above_the_maximum(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    coming = working(inputs)
    if any(order.intent not in CLOSING for order in plan.orders):
        final = {line.symbol: line.current_qty + coming.get(line.symbol, ZERO) for line in plan.lines}
        gross = sum(
            abs(final[line.symbol] + moves(plan, line.symbol)) * line.price
            for line in plan.lines
            if line.price is not None and line.price > 0
        )
        assert gross <= rules.max_total_weight * (plan.equity - plan.cash_buffer)


@many
@given(anything)
def test_no_order_is_below_the_minimum_but_a_full_exit(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    minimum = max(rules.min_order_notional, capabilities.min_notional)
    for order in plan.orders:
        whole_exit = line_of(plan, order.symbol).reason in (Reason.LIQUIDATE, Reason.CROSS_ZERO)
        exempt = order.intent in CLOSING and whole_exit and capabilities.full_exit_below_minimum
        assert order.notional >= minimum or exempt


@many
@given(anything)
def test_a_close_takes_only_what_is_held_and_not_already_being_closed(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    resting = net(inputs.open_orders)
    for line in plan.lines:
        rests, others = resting.get(line.symbol), inputs.foreign.get(line.symbol, ZERO)
        for side, intent in ((Side.SELL, PositionIntent.SELL_TO_CLOSE), (Side.BUY, PositionIntent.BUY_TO_CLOSE)):
            closed = sum((order.qty for order in orders_of(plan, line.symbol) if order.intent is intent), ZERO)
            if closed:
                held = -side.sign * line.current_qty
                assert closed <= held - (rests.own.get(side, ZERO) if rests else ZERO)
                assert closed <= held - side.sign * others - (rests.all.get(side, ZERO) if rests else ZERO)


@many
@given(any_crowded)
def test_no_order_meets_an_open_one_of_the_other_side_where_that_is_refused(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, replace(capabilities, refuses_wash_trades=True))
    resting = net(inputs.open_orders)
    for order in plan.orders:
        opposite = Side.SELL if order.side is Side.BUY else Side.BUY
        assert order.symbol not in resting or opposite not in resting[order.symbol].live


@many
@given(any_crowded)
def test_the_broker_infers_the_intent_that_the_order_states(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for order in plan.orders:
        if order.leg == 1:
            accounts = inputs.holdings.get(order.symbol, ZERO) + inputs.foreign.get(order.symbol, ZERO)
            assert (accounts * order.side.sign < 0) == (order.intent in CLOSING)


@many
@given(anything)
def test_the_slices_of_a_leg_sum_to_it(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for line in plan.lines:
        assert bool(orders_of(plan, line.symbol)) == (line.reason in ORDERING_REASONS)
        if line.reason in ORDERING_REASONS:
            assert moves(plan, line.symbol) == line.delta_qty


@many
@given(anything)
def test_no_slice_is_above_a_limit_of_one_order(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for order in plan.orders:
        assert rules.max_notional_per_order is None or order.notional <= rules.max_notional_per_order
        assert rules.max_share_per_order is None or order.qty <= rules.max_share_per_order


@many
@given(st.one_of(ruled_books(shorts=True), crowded_books(shorts=True)), st.booleans())
def test_what_may_not_be_sold_short_is_covered_or_closed_and_nothing_else(book, allowed):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, replace(rules, allow_short=allowed), capabilities)
    for line in plan.lines:
        known = inputs.instruments.get(line.symbol)
        if known is not None and not (allowed and known.shortable and capabilities.short):
            assert all(order.intent is not PositionIntent.SELL_TO_OPEN for order in orders_of(plan, line.symbol))
            if line.reason is Reason.NOT_SHORTABLE:
                assert line.target_weight < 0
                assert line.current_qty + line.working_qty <= 0


@many
@given(anything)
def test_current_working_and_orders_make_the_target_within_one_increment(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    coming = working(inputs)
    for line in plan.lines:
        if line.reason in ORDERING_REASONS:
            whole = not (rules.fractional and capabilities.fractional and inputs.instruments[line.symbol].fractionable)
            after = line.current_qty + coming.get(line.symbol, ZERO) + line.delta_qty
            assert abs(after - line.target_qty) < (1 if whole else Decimal("1e-9"))


@settings(max_examples=2 * COUNT, deadline=None, derandomize=True)
@given(any_ruled)
def test_planning_again_without_caps_gives_no_order_whatever_the_band(book):
    inputs, rules, capabilities = book
    rules = replace(rules, max_turnover=None, max_participation=None, slippage_allowance_pct=ZERO)
    plan = make_plan(inputs, rules, capabilities)
    assert make_plan(filled(inputs, plan), rules, capabilities).orders == () or goes_on_later(plan)


@settings(max_examples=2 * COUNT, deadline=None, derandomize=True)
@given(any_crowded)
def test_planning_again_beside_open_orders_gives_no_order(book):
    inputs, rules, capabilities = book
    rules = replace(rules, max_turnover=None, max_participation=None, slippage_allowance_pct=ZERO)
    plan = make_plan(inputs, rules, capabilities)
    opens_later = any("The other side of zero waits" in line.note for line in plan.lines)
    assert make_plan(filled(inputs, plan), rules, capabilities).orders == () or goes_on_later(plan) or opens_later


@many
@given(ruled_books())
def test_capped_plans_get_to_rest_session_by_session(book):
    inputs, rules, capabilities = book
    rules = replace(rules, max_turnover=Decimal("0.4"), max_participation=None, slippage_allowance_pct=ZERO)
    values = []
    for _ in range(40):
        plan = make_plan(inputs, rules, capabilities)
        values.append(traded(plan))
        if not plan.orders:
            break
        assert values[-1] <= rules.max_turnover * inputs.equity
        inputs = filled(inputs, plan)
    assert values[-1] == 0


@many
@given(any_ruled)
def test_orders_together_are_within_the_turnover_cap(book):
    inputs, rules, capabilities = book
    cap = rules.max_turnover or Decimal("0.25")
    plan = make_plan(inputs, replace(rules, max_turnover=cap), capabilities)
    assert traded(plan) <= cap * plan.equity


@many
@given(anything)
def test_an_instrument_trades_at_most_its_share_of_volume_with_what_is_open(book):
    inputs, rules, capabilities = book
    share = rules.max_participation or Decimal("0.05")
    plan = make_plan(inputs, replace(rules, max_participation=share), capabilities)
    resting = net(inputs.open_orders)
    for symbol in {order.symbol for order in plan.orders}:
        quantity = sum((order.qty for order in orders_of(plan, symbol)), ZERO)
        busy = resting[symbol].busy if symbol in resting else ZERO
        assert quantity + busy <= share * inputs.adv.get(symbol, ZERO)


@many
@given(anything)
def test_overrides_jumps_and_collars_hold_in_every_plan(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    overrides = dict(rules.overrides)
    for order in plan.orders:
        rule = overrides.get(order.symbol)
        assert rule != "never_touch"
        assert not (rule == "no_buy" and order.side is Side.BUY)
        assert not (rule == "no_sell" and order.side is Side.SELL)
        assert not (rule == "reduce_only" and order.intent not in CLOSING)
        before = inputs.previous_prices.get(order.symbol, order.price_used)
        assert abs(order.price_used - before) <= rules.max_price_move * before
        if order.limit_price is not None and rules.price_collar is not None:
            assert (order.limit_price - order.price_used) * order.side.sign <= rules.price_collar * order.price_used


@many
@given(anything)
def test_every_order_has_a_type_and_a_price_that_the_broker_takes(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for order in plan.orders:
        instrument = inputs.instruments[order.symbol]
        assert order.order_type in capabilities.order_types
        assert order.time_in_force in capabilities.times_in_force
        simple = order.order_type is OrderType.MARKET and order.time_in_force is TimeInForce.DAY
        assert order.qty % 1 == 0 or simple
        for price in (order.limit_price, order.take_profit, order.stop_loss):
            assert price is None or (price > 0 and price % instrument.price_step(price) == 0)
        if order.order_type is OrderType.BRACKET:
            assert order.stop_loss <= order.price_used - capabilities.stop_distance
            assert order.price_used < order.take_profit


@many
@given(any_crowded, st.randoms(use_true_random=False))
def test_the_order_of_any_input_changes_no_byte(book, shuffler):
    inputs, rules, capabilities = book

    def shuffled(items):
        items = list(items)
        shuffler.shuffle(items)
        return items

    mappings = ("holdings", "prices", "instruments", "previous_prices", "adv", "atr", "foreign")
    other = replace(
        inputs,
        targets=tuple(shuffled(inputs.targets)),
        open_orders=tuple(shuffled(inputs.open_orders)),
        **{name: dict(shuffled(getattr(inputs, name).items())) for name in mappings},
    )
    rules_again = replace(rules, overrides=tuple(shuffled(rules.overrides)))
    assert repr(make_plan(other, rules_again, capabilities)) == repr(make_plan(inputs, rules, capabilities))


@many
@given(any_ruled, st.sampled_from([2, 4, 10]))
def test_a_split_of_everything_changes_nothing_that_matters(book, ratio):
    inputs, rules, capabilities = book
    # Quantities scale by the ratio only where their increments do; sums of money do in any case.
    rules = replace(
        rules, fractional=True, quantity_precision=9, max_share_per_order=None, max_notional_per_order=None,
        mode_on_buy="market", mode_on_sell="market", sl_atr=None, tp_atr=None, allow_short=False,
    )  # fmt: skip
    capabilities = replace(capabilities, fractional=True, quantity_decimals=12, full_exit_below_minimum=True)
    whole = {name: replace(known, fractionable=True) for name, known in inputs.instruments.items()}
    inputs = replace(inputs, instruments=whole)
    # Shorts are whole shares, and scale by no ratio.
    inputs = replace(inputs, targets=tuple(replace(known, weight=abs(known.weight)) for known in inputs.targets))
    after = replace(
        inputs,
        holdings={name: quantity * ratio for name, quantity in inputs.holdings.items()},
        adv={name: volume * ratio for name, volume in inputs.adv.items()},
        prices={name: ReferencePrice(q.price / ratio, q.session, q.source) for name, q in inputs.prices.items()},
        previous_prices={name: price / ratio for name, price in inputs.previous_prices.items()},
    )
    one, two = make_plan(inputs, rules, capabilities), make_plan(after, rules, capabilities)
    noise = Decimal("0.0001")
    for before, split in zip(one.lines, two.lines, strict=True):
        if before.price is not None and before.price > 0:
            # In money: rounding of one instrument moves what a cap leaves for another.
            assert abs(before.delta_qty * ratio - split.delta_qty) * split.price <= noise
    assert abs(traded(one) - traded(two)) <= noise


def test_the_books_of_these_laws_do_meet_every_rule():
    # Guards the strategies above: a rule that never decides anything would prove nothing.
    seen, kinds = set(), set()
    for seed in range(500):
        for make in (ruled_book, crowded_book):
            plan = make_plan(*make(seed, shorts=seed % 2 == 0))
            seen |= {line.reason for line in plan.lines}
            kinds |= {(order.order_type, order.time_in_force) for order in plan.orders}
    wanted = {
        Reason.INSIDE_BAND, Reason.TURNOVER_CAP, Reason.PARTICIPATION_CAP, Reason.NO_VOLUME, Reason.PRICE_COLLAR,
        Reason.OVERRIDE, Reason.FOREIGN, Reason.HELD_BY_ORDER, Reason.WASH_TRADE, Reason.NO_ATR,
    }  # fmt: skip
    assert wanted <= seen
    assert {(OrderType.MARKET, TimeInForce.OPG), (OrderType.MARKET, TimeInForce.CLS)} <= kinds
    assert {OrderType.LIMIT, OrderType.BRACKET} <= {kind for kind, _ in kinds}


def test_an_australian_books_first_purchases_are_at_least_the_parcel():
    for seed in range(COUNT):
        inputs, rules, capabilities = ruled_book(seed)
        listed = {name: Instrument(name, "XASX", "AUD") for name in inputs.instruments}
        inputs = replace(inputs, instruments=listed, currency="AUD")
        for order in make_plan(inputs, rules, capabilities).orders:
            first = inputs.holdings.get(order.symbol, ZERO) <= 0
            assert not (order.intent is PositionIntent.BUY_TO_OPEN and first) or order.notional >= 500
