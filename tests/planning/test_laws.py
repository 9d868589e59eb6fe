"""The laws of a plan, over random books."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.planner import make_plan
from tests.planning.books import books, filled, goes_on_later, line_of, orders_of, signed

ZERO = Decimal(0)
OPENING = (PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_OPEN)
any_book = st.one_of(books(), books(shorts=True))
many = settings(max_examples=250, deadline=None, derandomize=True)


def price_of(line):
    return line.price if line.price is not None else ZERO


def final_quantities(plan):
    return {line.symbol: line.current_qty + sum(map(signed, orders_of(plan, line.symbol)), ZERO) for line in plan.lines}


@many
@given(books())
def test_cash_never_falls_below_the_buffer_if_orders_fill_at_reference_prices(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    final = final_quantities(plan)
    held = sum((final[line.symbol] * price_of(line) for line in plan.lines), ZERO)
    buys = [order for order in plan.orders if order.intent is PositionIntent.BUY_TO_OPEN]
    if buys and inputs.cash is None:
        assert held <= inputs.equity - plan.cash_buffer
    if buys and inputs.cash is not None:
        spent = sum((signed(order) * order.price_used for order in plan.orders), ZERO)
        assert inputs.cash - spent >= plan.cash_buffer


@many
@given(books(shorts=True))
def test_opening_orders_of_a_long_short_book_never_use_borrowed_cash(book):
    inputs, rules, capabilities = book
    plan = make_plan(replace(inputs, cash=None), rules, capabilities)
    final = final_quantities(plan)
    held = sum((final[line.symbol] * price_of(line) for line in plan.lines), ZERO)
    if any(order.intent is PositionIntent.BUY_TO_OPEN for order in plan.orders):
        assert held <= plan.equity - plan.cash_buffer


@many
@given(any_book)
def test_gross_never_rises_above_the_maximum(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    final = final_quantities(plan)
    gross = sum((abs(final[line.symbol]) * price_of(line) for line in plan.lines), ZERO)
    if any(order.intent in OPENING for order in plan.orders):
        assert gross <= rules.max_total_weight * (plan.equity - plan.cash_buffer)


@many
@given(any_book)
def test_no_order_is_below_the_minimum_except_full_exits(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    minimum = max(rules.min_order_notional, capabilities.min_notional)
    for order in plan.orders:
        closes = order.intent in (PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE)
        exits = closes and line_of(plan, order.symbol).reason in (Reason.LIQUIDATE, Reason.CROSS_ZERO)
        assert order.notional >= minimum or (exits and capabilities.full_exit_below_minimum)


@many
@given(any_book)
def test_a_sale_never_exceeds_what_is_held_and_an_order_never_crosses_zero(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for line in plan.lines:
        sold = [order for order in orders_of(plan, line.symbol) if order.intent is PositionIntent.SELL_TO_CLOSE]
        covered = [order for order in orders_of(plan, line.symbol) if order.intent is PositionIntent.BUY_TO_CLOSE]
        assert sum((order.qty for order in sold), ZERO) <= max(ZERO, line.current_qty)
        assert sum((order.qty for order in covered), ZERO) <= max(ZERO, -line.current_qty)
        if any(order.intent in OPENING for order in orders_of(plan, line.symbol)) and (sold or covered):
            assert sum((order.qty for order in sold + covered), ZERO) == abs(line.current_qty)


@many
@given(any_book)
def test_the_slices_sum_to_the_change_and_none_is_above_the_maximum(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for line in plan.lines:
        orders = orders_of(plan, line.symbol)
        assert bool(orders) == (line.reason in ORDERING_REASONS)
        if orders:
            assert sum(map(signed, orders), ZERO) == line.delta_qty
            assert all(order.qty > 0 for order in orders)
            for leg in {order.leg for order in orders}:
                of_leg = [order.slice for order in orders if order.leg == leg]
                assert of_leg == list(range(1, len(of_leg) + 1))
    if rules.max_notional_per_order is not None:
        assert all(order.notional <= rules.max_notional_per_order for order in plan.orders)


@many
@given(any_book)
def test_current_plus_orders_is_the_target_within_one_increment(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for line in plan.lines:
        if line.reason in ORDERING_REASONS:
            assert line.target_qty is not None
            off = abs(line.current_qty + line.delta_qty - line.target_qty)
            whole = not (rules.fractional and capabilities.fractional and inputs.instruments[line.symbol].fractionable)
            assert off < (1 if whole else Decimal("1e-9"))


@settings(max_examples=600, deadline=None, derandomize=True)
@given(any_book)
def test_planning_again_on_the_filled_result_gives_no_order(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    again = make_plan(filled(inputs, plan), rules, capabilities)
    assert again.orders == () or goes_on_later(plan)


@many
@given(any_book, st.randoms(use_true_random=False))
def test_permuting_the_rows_changes_no_byte(book, shuffler):
    inputs, rules, capabilities = book
    shuffled = replace(
        inputs,
        targets=tuple(_shuffled(inputs.targets, shuffler)),
        holdings=dict(_shuffled(inputs.holdings.items(), shuffler)),
        prices=dict(_shuffled(inputs.prices.items(), shuffler)),
        instruments=dict(_shuffled(inputs.instruments.items(), shuffler)),
    )
    assert repr(make_plan(shuffled, rules, capabilities)) == repr(make_plan(inputs, rules, capabilities))


@many
@given(any_book)
def test_client_order_ids_are_unique_and_short_and_plain(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    ids = [order.client_order_id for order in plan.orders]
    assert len(set(ids)) == len(ids)
    assert all(len(name) <= 48 and name.replace("_", "").replace("-", "").isalnum() for name in ids)


@many
@given(any_book)
def test_sales_come_first_and_the_second_leg_waits_for_every_slice_of_the_first(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    assert [order.phase for order in plan.orders] == sorted(order.phase for order in plan.orders)
    for order in plan.orders:
        assert (order.phase == 1) == (order.intent is PositionIntent.SELL_TO_CLOSE)
        first = [o.client_order_id for o in orders_of(plan, order.symbol) if o.leg == 1]
        assert order.depends_on == (tuple(first) if order.leg == 2 else ())


@many
@given(any_book)
def test_nothing_is_planned_that_the_broker_would_refuse(book):
    inputs, rules, capabilities = book
    plan = make_plan(inputs, rules, capabilities)
    for order in plan.orders:
        instrument = inputs.instruments[order.symbol]
        assert instrument.tradable
        if not (instrument.fractionable and capabilities.fractional):
            assert order.qty % 1 == 0
        if order.qty % 1 != 0:
            assert order.order_type.value == "market"
            assert order.intent is not PositionIntent.SELL_TO_OPEN
        if order.intent is PositionIntent.SELL_TO_OPEN:
            assert instrument.shortable
        if order.order_type.value == "bracket":
            assert order.intent is PositionIntent.BUY_TO_OPEN
            assert order.stop_loss < order.price_used < order.take_profit


@pytest.mark.parametrize("side", list(Side))
def test_the_books_of_these_laws_do_hold_orders_of_both_sides(side):
    # Guards the strategies above: laws over plans without orders would prove nothing.
    seen = []

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(any_book)
    def collect(book):
        seen.extend(order for order in make_plan(*book).orders if order.side is side)

    collect()
    assert len(seen) > 20


def _shuffled(items, shuffler: random.Random):
    items = list(items)
    shuffler.shuffle(items)
    return items
