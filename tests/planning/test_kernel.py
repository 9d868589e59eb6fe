"""The sizing kernel against the planner's exact border, and its masks."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, inputs_of

RULES = PlanningRules()


def book_of(weights, prices, current, **masks):
    return Book(*(np.array(values, dtype=float) for values in (weights, prices, current)), **masks)


def reasons(sizing):
    return [REASONS[code] for code in sizing.codes]


def test_each_row_has_the_code_of_what_happens_to_it():
    sizing = size(
        book_of(
            [0.1, 0.1, 0.0, 0.1, 0.1, 0.1, 0.0],
            [10, 10, 10, np.nan, -1, 10, np.nan],
            [0, 5, 5, 1, 1, 10.01, 0],
        ),
        1000.0,
        RULES,
    )
    assert reasons(sizing) == [
        Reason.OPEN,
        Reason.REBALANCE,
        Reason.LIQUIDATE,
        Reason.NO_PRICE,
        Reason.BAD_PRICE,
        Reason.BELOW_MIN_NOTIONAL,
        Reason.ON_TARGET,
    ]
    assert sizing.target.tolist() == [10, 10, 0, 1, 1, 10, 0]
    assert sizing.delta[3:5].tolist() == [0, 0]


def test_masks_keep_the_holding():
    on = np.array([True, False])
    assert reasons(size(book_of([0.1, 0.1], [1, 1], [3, 3], tradable=on), 1000.0, RULES))[1] is Reason.NOT_TRADABLE
    assert reasons(size(book_of([0.1, 0.1], [1, 1], [3, 3], frozen=on), 1000.0, RULES))[0] is Reason.FROZEN
    short = replace(RULES, allow_short=True)
    shorts = size(book_of([-0.1, -0.1], [30, 30], [0, 0], shortable=on), 1000.0, short)
    assert reasons(shorts) == [Reason.OPEN, Reason.NOT_SHORTABLE]
    assert shorts.target.tolist() == [-3, 0]


def test_rows_that_are_not_fractionable_are_whole_lots():
    sizing = size(
        book_of([0.1, 0.1], [33, 33], [0, 0], fractionable=np.array([False, True]), lots=np.array([2.0, 1.0])),
        1000.0,
        RULES,
    )
    assert sizing.target.tolist() == [2, 3.03]


@pytest.mark.parametrize(("quote", "held"), [(1e-9, 4e11), (1e12, 4e-10)])
def test_what_is_stuck_at_the_least_or_the_greatest_price_takes_its_room_from_the_others(quote, held):
    book = book_of([0.0, 0.8], [quote, 1], [held, 0], frozen=np.array([True, False]))
    assert size(book, 1000.0, RULES).target.tolist() == pytest.approx([held, 600])


def test_where_fractions_are_off_every_target_is_whole_whatever_their_precision():
    sizing = size(book_of([0.1, -0.1], [33, 33], [0, 0]), 1000.0, replace(RULES, fractional=False, allow_short=True))
    assert sizing.target.tolist() == [3, -3]


def test_the_inputs_are_left_as_they_are():
    book = book_of([0.1, 0.2], [33, np.nan], [1, 2], frozen=np.array([False, True]))
    before = [values.copy() for values in book[:3]]
    size(book, 1000.0, RULES)
    for values, copy in zip(book[:3], before, strict=True):
        np.testing.assert_array_equal(values, copy)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(1, 90_000), st.integers(0, 40_000)),
        min_size=1,
        max_size=30,
    )
)
def test_kernel_and_planner_agree_on_a_plain_book(rows):
    total = sum(weight for weight, _, _ in rows) or 1
    # Half of the equity, so that the laws of the whole book do not bind and the kernel stands alone.
    weights = [Decimal(weight * 500_000 // total).scaleb(-6) for weight, _, _ in rows]
    prices = [Decimal(cents).scaleb(-2) for _, cents, _ in rows]
    held = [Decimal(quantity).scaleb(-2) for _, _, quantity in rows]
    names = [f"S{number:02}" for number in range(len(rows))]
    equity = 10**9
    rules = PlanningRules(min_order_notional=Decimal("7.77"))
    plan = make_plan(
        inputs_of(
            dict(zip(names, weights, strict=True)),
            dict(zip(names, prices, strict=True)),
            dict(zip(names, held, strict=True)),
            equity=equity,
        ),
        rules,
        ALPACA_LIKE,
    )
    sizing = size(book_of(weights, prices, held), float(equity), rules)
    for line, target, reason in zip(plan.lines, sizing.target.tolist(), reasons(sizing), strict=True):
        assert line.target_qty == Decimal(str(target))
        assert line.reason is reason


def test_a_short_is_whole_beside_a_share_that_is_not_fractionable():
    book = book_of([-0.1, 0.1, 0.1], [33, 33, 33], [0, 0, 0], fractionable=np.array([True, False, True]))
    assert size(book, 1000.0, replace(RULES, allow_short=True)).target.tolist() == [-3, 3, 3.03]
