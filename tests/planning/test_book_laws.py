"""The book that a plan leads to, held against its limits."""

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given, settings

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.planning.laws import book_after
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.planning.planner import make_plan
from tests.planning.books import books


def plan_of(*trades: tuple[str, object, object], equity: object = 1000, buffer: object = 0) -> Plan:
    """A plan from symbol, quantity held and signed quantity ordered, each at a price of 10."""
    lines, orders = [], []
    for symbol, held, ordered in trades:
        current, qty = D(str(held)), D(str(ordered))
        line = PlanLine(symbol, symbol, current, D(0), D(10), None, "", None, qty, Reason.REBALANCE)
        lines.append(line)
        if qty:
            orders.append(order_of(symbol, qty))
    head = ("p", "main", "paper", None, 1, "USD", D(str(equity)), D(str(buffer)), None, "raw", D(1))
    return Plan(*head, lines=tuple(lines), orders=tuple(orders))  # type: ignore[arg-type]


def order_of(symbol: str, qty: D) -> PlannedOrder:
    side = Side.BUY if qty > 0 else Side.SELL
    kind = (OrderType.MARKET, TimeInForce.DAY, PositionIntent.BUY_TO_OPEN)
    return PlannedOrder(f"o-{symbol}", symbol, symbol, side, abs(qty), *kind, D(10), 1, 1, 1, Reason.REBALANCE)


def test_a_long_short_book_within_its_gross_maximum_fits():
    after = book_after(plan_of(("AAA", 0, 95), ("BBB", 0, -40)), D("1.5"))
    assert (after.net, after.gross) == (D(550), D(1350))
    assert (after.net_limit, after.gross_limit) == (D(1000), D(1500))
    assert after.fits


def test_gross_above_its_maximum_does_not_fit():
    after = book_after(plan_of(("AAA", 0, 95), ("BBB", 0, -60)), D("1.5"))
    assert after.gross_excess == 50
    assert not after.fits


def test_the_buffer_is_taken_off_both_limits():
    assert book_after(plan_of(("AAA", 0, 98), buffer=20), D(1)).fits
    assert not book_after(plan_of(("AAA", 0, "98.1"), buffer=20), D(1)).fits
    assert not book_after(plan_of(("AAA", 0, "98.1"), buffer=20), D(2)).fits


def test_a_cent_is_rounding_and_two_are_not():
    assert book_after(plan_of(("AAA", 0, "100.001")), D(1)).fits
    assert not book_after(plan_of(("AAA", 0, "100.002")), D(1)).fits


def test_kept_holdings_count_with_what_is_held():
    after = book_after(plan_of(("KEPT", 90, 0), ("NEW", 0, 20)), D(1))
    assert after.net == 1100
    assert after.net_excess == 100
    assert not after.fits
    assert book_after(plan_of(("KEPT", 90, 0), ("NEW", 0, 10)), D(1)).fits


def test_an_order_beyond_the_plans_lines_counts():
    plan = plan_of(("AAA", 0, 50))
    assert not book_after(replace(plan, orders=(*plan.orders, order_of("BBB", D(60)))), D(1)).fits


@pytest.mark.parametrize(
    "trades",
    [
        [("KEPT", 120, 0)],
        [("KEPT", 120, 0), ("AAA", 50, -10)],
        [("KEPT", 120, 0), ("AAA", -50, 10)],
        [("KEPT", 120, 0), ("AAA", -50, 50)],
        [("KEPT", 120, 0), ("AAA", -50, 0)],
    ],
)
def test_a_book_above_its_maximum_may_be_kept_or_brought_down(trades):
    assert book_after(plan_of(*trades), D(1)).fits


@pytest.mark.parametrize(
    "trades",
    [
        [("KEPT", 120, 0), ("AAA", 0, 1)],
        [("KEPT", 120, 0), ("AAA", 50, -10), ("BBB", 0, 5)],
        [("KEPT", 120, 0), ("AAA", 0, -1)],
        [("KEPT", 120, 0), ("AAA", -5, 10)],
        [("KEPT", 120, 0), ("AAA", 5, -10)],
    ],
)
def test_a_book_above_its_maximum_may_not_be_added_to(trades):
    assert not book_after(plan_of(*trades), D(1)).fits


def test_covering_a_short_may_reach_into_the_buffer():
    assert book_after(plan_of(("AAA", 98, 0), ("BBB", -50, 50), equity=980, buffer=50), D(2)).fits


def test_a_holding_without_a_price_counts_on_neither_side():
    plan = plan_of(("AAA", 0, 100))
    unpriced = plan.lines[0]._replace(symbol="OLD", current_qty=D(500), price=None)
    assert book_after(replace(plan, lines=(*plan.lines, unpriced)), D(1)).fits


@settings(max_examples=250, deadline=None, derandomize=True)
@given(books(shorts=True))
def test_every_plan_that_is_made_fits(book):
    inputs, rules, capabilities = book
    plan = make_plan(replace(inputs, cash=None), rules, capabilities)
    assert book_after(plan, rules.max_total_weight).fits
