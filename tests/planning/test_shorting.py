"""What may not be sold short is still covered and still closed; only an order that would be short is withheld."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES, PAPER_CAPABILITIES
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import make_plan
from tests.planning.books import filled, inputs_of, line_of
from tests.planning.examples import WHOLE, outcome, plan_of, rules_of

SHORTS = rules_of(allow_short=True)
CASES = [
    (-2000, Reason.REBALANCE, [1000]),
    (-1000, Reason.ON_TARGET, []),
    (-400, Reason.NOT_SHORTABLE, []),
    (0, Reason.NOT_SHORTABLE, []),
    (300, Reason.LIQUIDATE, [-300]),
]


@pytest.mark.parametrize(("held", "reason", "orders"), CASES)
@pytest.mark.parametrize("by_instrument", [True, False])
def test_a_short_is_covered_and_a_holding_is_closed_though_nothing_may_be_sold_short(
    held, reason, orders, by_instrument
):
    # The target is 1,000 short: 10 % of 100,000 at 10.
    rules = SHORTS if by_instrument else WHOLE
    named = {"A": Instrument("A", "XNYS", "USD", shortable=not by_instrument)}
    plan = plan_of({"A": "-0.1"}, {"A": 10}, {"A": held}, rules, instruments=named)
    assert outcome(plan) == (reason, orders)
    if held >= 0 or reason is Reason.NOT_SHORTABLE:
        why = "It may not be sold short." if by_instrument else "weights.allow_short is not set."
        assert why in line_of(plan, "A").note


def test_the_kernel_covers_and_closes_in_the_same_way():
    held = np.array([case[0] for case in CASES], dtype=float)
    book = Book(np.full(len(held), -0.1), np.full(len(held), 10.0), held, shortable=np.zeros(len(held), dtype=np.bool_))
    for rules in (WHOLE, SHORTS):
        sizing = size(book, 100_000.0, rules)
        assert [REASONS[code] for code in sizing.codes] == [reason for _, reason, _ in CASES]
        assert sizing.target.tolist() == [-1000, -1000, -400, 0, 0]


def test_a_cover_with_nothing_else_to_do_ends_flat():
    plan = plan_of({"A": "-0.00001"}, {"A": 10}, {"A": -40})
    assert outcome(plan) == (Reason.LIQUIDATE, [40])


def test_what_a_refused_short_leaves_does_not_move_the_others():
    named = {"A": Instrument("A", "XNYS", "USD", shortable=False), "K": Instrument("K", "XNYS", "USD", tradable=False)}
    inputs = inputs_of({"A": "-0.1", "B": "0.6"}, {"A": 10, "B": 7, "K": 10}, {"A": 300, "K": 6000}, instruments=named)
    plan = make_plan(inputs, SHORTS, ALPACA_CAPABILITIES)
    assert outcome(plan) == (Reason.LIQUIDATE, [-300])
    assert make_plan(filled(inputs, plan), SHORTS, ALPACA_CAPABILITIES).orders == ()


@pytest.mark.parametrize(
    ("equity", "allowed", "capabilities", "reason"),
    [
        (1999, None, ALPACA_CAPABILITIES, Reason.NOT_SHORTABLE),
        (2000, None, ALPACA_CAPABILITIES, Reason.OPEN),
        (1999, True, ALPACA_CAPABILITIES, Reason.OPEN),
        (5000, False, ALPACA_CAPABILITIES, Reason.NOT_SHORTABLE),
        (1999, None, IBKR_CAPABILITIES, Reason.OPEN),
        (1999, None, PAPER_CAPABILITIES, Reason.OPEN),
    ],
)
def test_an_account_below_the_brokers_equity_for_shorts_opens_none_and_says_so(equity, allowed, capabilities, reason):
    plan = plan_of({"A": "-0.5"}, {"A": 10}, {}, SHORTS, capabilities, equity=equity, shorts_allowed=allowed)
    assert outcome(plan)[0] is reason
    if reason is Reason.NOT_SHORTABLE:
        assert "short sales from an equity of 2000 on" in line_of(plan, "A").note


def test_an_account_below_that_equity_still_covers():
    plan = plan_of({"A": "-0.5"}, {"A": 10}, {"A": -80}, SHORTS, equity=1000)
    assert outcome(plan) == (Reason.REBALANCE, [30])


def test_a_broker_without_short_sales_says_so():
    plan = plan_of({"A": "-0.5"}, {"A": 10}, {}, SHORTS, replace(ALPACA_CAPABILITIES, short=False))
    assert "The broker takes no short sales." in line_of(plan, "A").note
    assert Decimal(0) == line_of(plan, "A").delta_qty


def test_a_short_that_its_weight_means_in_whole_lots_is_none_that_would_have_to_be_enlarged():
    # 280 are wanted, 200 in lots: the 250 that are held are no less.
    lots = {"A": Instrument("A", "XNYS", "USD", lot=100, shortable=False)}
    plan = plan_of({"A": "-0.28"}, {"A": 1}, {"A": -250}, rules_of(allow_short=True), equity=1000, instruments=lots)
    assert (line_of(plan, "A").target_qty, outcome(plan)) == (-200, (Reason.ON_TARGET, []))
