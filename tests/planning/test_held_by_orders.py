"""Shares that an open order is about to sell are not sold twice, whoever sent it and whatever it is for."""

from datetime import date
from decimal import Decimal

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder, closable, net
from tests.planning.books import inputs_of, line_of
from tests.planning.examples import WHOLE, outcome, plan_of

D = Decimal


def sale(quantity: int, *, own: bool, protective: bool = False, group: str = "") -> OpenOrder:
    return OpenOrder("A", Side.SELL, D(quantity), own, protective, group)


@pytest.mark.parametrize(
    ("orders", "sold"),
    [
        ((sale(60, own=False),), 40),
        ((sale(60, own=True, protective=True),), 40),
        ((sale(60, own=False), sale(30, own=False)), 10),
        # The two exits of a bracket are one: whichever fills, the other ends.
        ((sale(60, own=True, protective=True, group="g"), sale(55, own=True, protective=True, group="g")), 40),
        ((sale(60, own=True, protective=True, group="g"), sale(20, own=True, protective=True, group="h")), 20),
    ],
)
def test_what_an_open_sale_holds_is_left_to_it(orders: tuple[OpenOrder, ...], sold: int) -> None:
    plan = plan_of({"A": "0"}, {"A": 10}, {"A": 100}, WHOLE, open_orders=orders)
    assert [order.qty for order in plan.orders] == [sold]
    assert f"only {sold} of 100 held can be closed now." in line_of(plan, "A").note


def test_where_open_sales_hold_everything_nothing_is_sold() -> None:
    plan = plan_of({"A": "0"}, {"A": 10}, {"A": 100}, WHOLE, open_orders=(sale(100, own=False),))
    assert outcome(plan) == (Reason.HELD_BY_ORDER, [])


def test_an_own_sale_that_is_no_exit_counts_as_sold_already() -> None:
    plan = plan_of({"A": "0"}, {"A": 10}, {"A": 100}, WHOLE, open_orders=(sale(60, own=True),))
    assert outcome(plan)[1] == [-40]
    assert line_of(plan, "A").working_qty == -60


@pytest.mark.parametrize(
    ("held", "foreign", "side", "own", "free"),
    [(100, 0, Side.SELL, True, 40), (100, -50, Side.SELL, False, 0), (-100, 0, Side.BUY, True, 40),
     (-100, 0, Side.SELL, True, 100), (100, 30, Side.SELL, False, 70), (100, 0, Side.BUY, True, 100)],
)  # fmt: skip
def test_only_orders_of_the_closing_side_hold_shares_and_the_account_must_have_them(
    held: int, foreign: int, side: Side, own: bool, free: int
) -> None:
    resting = net([OpenOrder("A", side, D(60), own)])["A"]
    assert closable(D(held), D(foreign), resting) == free


def test_a_plan_carries_the_facts_of_its_inputs() -> None:
    inputs = inputs_of({"A": "0.5"}, {"A": 10})
    plan = plan_of({"A": "0.5"}, {"A": 10})
    assert (plan.portfolio, plan.account, plan.session, plan.batch, plan.currency, plan.equity, plan.adjustment) == (
        "main", "paper", date(2025, 7, 28), 1, "USD", inputs.equity, "raw",
    )  # fmt: skip
    assert plan.priced_on == inputs.priced_on
