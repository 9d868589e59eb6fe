"""The difference of two runs in parts: each part on a case made by hand, and their sum on runs made by chance."""

import os
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from scizor_dagster.backtest.parity import Told
from scizor_dagster.backtest.parity_split import Parts, order_parts, split
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from tests.backtest.told_runs import FIRST, key_of, order, pairs_of_runs, run_of

EXAMPLES = 5_000 if os.environ.get("SCIZOR_TORTURE") else 60
CLOSE = Decimal(12)
BUY = key_of()


def parts(**amounts):
    return Parts(**{name: Decimal(amount) for name, amount in amounts.items()})


def of(model, recorded, key=BUY):
    return order_parts(key, model, recorded, CLOSE)


def test_equal_orders_have_no_part():
    made = order(BUY, 5, ("5", "10.01", "0.10", "10"))
    assert of(made, made) == Parts()


def test_a_fill_at_another_time_at_the_same_cost_is_delay():
    model, recorded = (order(BUY, 5, ("5", price, "0", mid)) for price, mid in (("10.01", "10"), ("11.01", "11")))
    assert of(model, recorded) == parts(delay=-5)


def test_a_fill_at_the_same_time_at_a_worse_price_is_price():
    model, recorded = (order(BUY, 5, ("5", price, "0", "10")) for price in ("10.01", "10.04"))
    assert of(model, recorded) == parts(price="-0.15")


def test_a_sale_at_a_better_price_is_a_gain():
    key = key_of(side=Side.SELL)
    model, recorded = (order(key, 5, ("5", price, "0", "10")) for price in ("9.99", "9.98"))
    assert of(model, recorded, key) == parts(price="-0.05")


def test_a_fill_whose_market_price_nobody_knows_is_price_and_no_delay():
    model, recorded = order(BUY, 5, ("5", "10", "0", "10")), order(BUY, 5, ("5", "11", "0", None))
    assert of(model, recorded) == parts(price=-5)


def test_a_part_of_an_order_that_did_not_fill_is_quantity():
    """Two shares less at 10 with a close of 12 are 4 less."""
    model, recorded = order(BUY, 5, ("5", "10", "0", "10")), order(BUY, 5, ("3", "10", "0", "10"), state="expired")
    assert of(model, recorded) == parts(quantity=-4)


def test_an_order_that_one_side_did_not_fill_at_all_is_quantity_at_the_price_of_the_other():
    filled, expired = order(BUY, 5, ("5", "10", "0", "10")), order(BUY, 5, state="expired")
    assert of(filled, expired) == parts(quantity=-10)
    assert of(expired, filled) == parts(quantity=10)
    assert of(expired, expired) == Parts()


def test_an_order_that_was_sized_on_another_book_is_carry_over_and_what_it_did_not_fill_is_quantity():
    model, recorded = order(BUY, 5, ("5", "10", "0", "10")), order(BUY, 8, ("7", "10", "0", "10"))
    assert of(model, recorded) == parts(carry_over=6, quantity=-2)


def test_a_fee_that_the_model_does_not_know_is_fee():
    model, recorded = (order(BUY, 5, ("5", "10", fee, "10")) for fee in ("0", "1.25"))
    assert of(model, recorded) == parts(fee="-1.25")


def test_an_order_that_one_side_does_not_have_is_missing_with_its_fee():
    made = order(BUY, 5, ("5", "10", "1", "10"))
    assert of(made, None) == parts(missing=-9)
    assert of(None, made) == parts(missing=9)


def test_several_fills_count_at_their_average():
    model = order(BUY, 5, ("5", "10", "0", "10"))
    recorded = order(BUY, 5, ("2", "11", "0", "10.5"), ("3", "10", "0", "10"))
    assert of(model, recorded) == parts(delay=-1, price=-1)


def closes(*prices):
    return [{"closes": {"A": Decimal(price)}} for price in prices]


def test_what_was_held_otherwise_before_is_carry_over_through_splits_and_dividends():
    """Ten shares more at 10: a move of 2, a split into two, a dividend of a half on each new share."""
    days = closes(10, 12, 6)
    days[2] |= {"splits": {"A": Decimal(2)}, "dividends": {"A": Decimal("0.5")}}
    model, recorded = (run_of({"A": Decimal(held)}, cash, days) for held, cash in ((10, 1_000), (20, 900)))
    found = split(model, recorded)
    assert [row.parts for row in found.sessions] == [parts(carry_over=20), parts(carry_over=10)]
    assert (found.began, found.ended, found.rest) == (0, 30, 0)


def test_a_position_that_differs_since_a_fill_is_carry_over_from_the_next_session_on():
    def side(qty):
        days = closes(10, 12, 15)
        days[1]["orders"] = [order(BUY, 5, (qty, "10", "0", "10"))]
        return run_of({}, 1_000, days)

    found = split(side("5"), side("3"))
    assert [row.parts for row in found.sessions] == [parts(quantity=-4), parts(carry_over=-6)]
    assert found.orders == {BUY: parts(quantity=-4)}
    assert found.ended == -10


def test_a_rate_that_differs_is_fx_and_other_parts_count_at_the_models():
    days = closes(10, 11)
    model, recorded = run_of({"A": Decimal(10)}, 0, days), run_of({"A": Decimal(20)}, -100, days)
    model = Told((), tuple(replace(day, rate=Decimal(2)) for day in model.days))
    recorded = Told(
        (), tuple(replace(day, rate=rate) for day, rate in zip(recorded.days, (2, Decimal("2.1")), strict=True))
    )
    found = split(model, recorded)
    assert found.parts == parts(carry_over=20, fx=12)
    assert (found.began, found.ended, found.rest, found.equity) == (0, 32, 0, 252)


def test_money_that_came_from_nowhere_is_the_rest_and_is_not_explained():
    model = run_of({}, 1_000, closes(10, 10))
    paid = Told((), (model.days[0], replace(model.days[1], cash=Decimal(1_001), equity=Decimal(1_001))))
    found = split(model, paid)
    assert (found.rest, found.explained, found.sessions[0].rest) == (1, False, 1)
    assert split(model, model).explained


def test_runs_of_other_sessions_are_refused():
    model = run_of({}, 1_000, closes(10, 10, 10))
    with pytest.raises(InputError, match="3 from 2024-03-03 to 2024-03-05 and 2 from 2024-03-03 to 2024-03-04"):
        split(model, Told((), model.days[:2]))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(pairs_of_runs())
def test_the_parts_sum_to_the_difference_whatever_the_runs(pair):
    model, recorded = pair
    found = split(model, recorded)
    scale = sum((abs(day.equity) for day in (*model.days, *recorded.days)), Decimal(1))
    assert abs(found.rest) <= Decimal("1e-18") * scale
    assert all(abs(row.rest) <= Decimal("1e-18") * scale for row in found.sessions)
    assert split(recorded, recorded).parts == Parts()
    assert all(key.session >= FIRST for key in found.orders)
