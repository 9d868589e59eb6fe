"""Splits, dividends and delistings in a backtest, and bars that are missing: as they happen in life."""

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest

from scizor_dagster.backtest.engine_actions import tables_of
from scizor_dagster.backtest.engine_loop import in_cents
from scizor_dagster.backtest.model import Action, ActionKind
from scizor_dagster.errors import InputError
from scizor_dagster.planning.kernel_model import REASONS
from scizor_dagster.planning.model import Reason
from tests.backtest.engine_cases import AT_CLOSE, FINE, NAN, WHOLE, as_it_stands, history_of, run, schedule_of  # noqa: F401

pytestmark = pytest.mark.usefixtures("as_it_stands")
UNIT = 10**9
SPLIT, DIVIDEND, DELISTING = ActionKind.SPLIT, ActionKind.DIVIDEND, ActionKind.DELISTING


def reasons(result):
    return [[REASONS[code] for code in row] for row in result.codes]


def test_a_split_multiplies_what_is_held_and_leaves_its_value():
    history = history_of([10.0, 10.0, 5.0, 5.0], actions=[Action(SPLIT, 2, 0, 2.0)])
    result = run(history, {1: 0.5})
    assert result.counts[:, 0].tolist() == [0, 50 * UNIT, 100 * UNIT, 100 * UNIT]
    assert result.equity.tolist() == [1000.0] * 4


def test_a_plan_for_the_session_of_a_split_leaves_the_instrument_as_it_is():
    history = history_of([10.0, 10.0, 5.0, 5.0], actions=[Action(SPLIT, 2, 0, 2.0)])
    result = run(history, {1: 0.5, 2: 0.2, 3: 0.2})
    assert reasons(result) == [[Reason.OPEN], [Reason.CORPORATE_ACTION], [Reason.REBALANCE]]
    assert result.counts[-1, 0] == 40 * UNIT


def test_a_split_without_a_bar_is_marked_in_new_units_until_the_next_bar():
    history = history_of([10.0, 10.0, NAN, 5.5], actions=[Action(SPLIT, 2, 0, 2.0)])
    result = run(history, {1: 0.5, 3: 0.2})
    assert result.equity.tolist() == [1000.0, 1000.0, 1000.0, 1050.0]
    assert reasons(result)[1] == [Reason.CORPORATE_ACTION]


def test_a_dividend_is_paid_on_what_was_held_before_its_session_by_a_short_too():
    rules = FINE.__class__(allow_short=True, min_order_notional=Decimal(0), max_price_move=None)
    history = history_of([[10.0, 10.0]] * 4, actions=[Action(DIVIDEND, 2, 0, 0.125), Action(DIVIDEND, 2, 1, 0.25)])
    result = run(history, {1: [0.5, -0.2], 2: [0.0, 0.0]}, rules)
    assert result.income[:, 0].tolist() == [0.0, 0.0, 6.25 - 5.0, 0.0]


def test_a_dividend_on_the_day_of_a_split_is_on_new_shares():
    history = history_of([10.0, 10.0, 5.0], actions=[Action(DIVIDEND, 2, 0, 0.1), Action(SPLIT, 2, 0, 2.0)])
    assert run(history, {1: 0.5}).income[2, 0] == 10.0


@pytest.mark.parametrize(("value", "price"), [(NAN, 10.0), (7.0, 7.0)])
def test_a_delisting_ends_a_holding_in_cash_at_the_last_close_unless_it_says_what_it_pays(value, price):
    history = history_of([10.0, 10.0, NAN, NAN], actions=[Action(DELISTING, 2, 0, value)])
    result = run(history, {1: 0.5, 2: 0.3, 3: 0.3})
    assert result.counts[:, 0].tolist() == [0, 50 * UNIT, 0, 0]
    assert result.income[2, 3] == 50 * price
    assert result.equity[-1] == 500.0 + 50 * price
    assert reasons(result)[1:] == [[Reason.CORPORATE_ACTION]] * 2


def test_dividends_in_the_loop_round_as_decimals_do_whatever_is_held():
    chance = np.random.default_rng(5)
    amounts = [0.25, 0.125, 0.005, 1.115, 0.3333333, 2.5, 0.0001, 0.24, 17.123456789, 0.12345678901234]
    tables = tables_of([Action(DIVIDEND, 0, 0, amount) for amount in amounts], 1)
    ties = 0
    for count in [*chance.integers(-(10**13), 10**13, 300).tolist(), *(k * UNIT // 100 for k in range(-300, 300))]:
        for entry, amount in enumerate(amounts):
            exact = Decimal(count).scaleb(-9) * Decimal(repr(amount))
            expected = exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
            digits, half = int(tables["paid_digits"][entry]), int(tables["paid_half"][entry])
            assert in_cents(count, amount, digits, half) == float(expected), (count, amount)
            ties += exact * 1000 % 10 in (5, -5)
    assert ties > 50


def test_without_a_bar_nothing_fills_and_the_last_close_marks():
    history = history_of([10.0, NAN, 12.0], open=[10.0, NAN, 11.0])
    result = run(history, {1: 0.5, 2: 0.5})
    assert result.counts[:, 0].tolist() == [0, 0, 50 * UNIT]
    assert result.trades["count"].tolist() == [0, 50 * UNIT]
    assert result.trades["reference"].tolist() == [10.0, 10.0]


def test_a_price_that_is_too_old_sizes_nothing_and_one_that_never_was_neither():
    close = [[10.0, NAN, 10.0]] + [[NAN, NAN, 10.0]] * 4
    result = run(history_of(close), {row: [0.3, 0.3, 0.3] for row in (2, 3)}, max_price_age=1)
    assert reasons(result) == [
        [Reason.OPEN, Reason.NO_PRICE, Reason.OPEN],
        [Reason.STALE_PRICE, Reason.NO_PRICE, Reason.ON_TARGET],
    ]


def test_a_tie_beside_a_stale_price_is_settled_with_the_same_reason():
    close = [[10.0, 10.0]] + [[NAN, 10.0]] * 3
    result = run(history_of(close), {3: [0.3, 0.06]}, WHOLE, max_price_age=1, fills=AT_CLOSE)
    assert result.settled == 1
    assert reasons(result) == [[Reason.STALE_PRICE, Reason.OPEN]]
    assert result.counts[-1].tolist() == [0, 6 * UNIT]


def test_a_split_into_more_shares_than_an_array_holds_is_refused():
    history = history_of([10.0, 10.0, 10.0], actions=[Action(SPLIT, 2, 0, 1e9)])
    with pytest.raises(InputError, match=r"The split of S00, 1000000000\.0 for 1, leaves more shares"):
        run(history, {1: 0.5}, capital=1e9)


def test_what_a_schedule_sets_aside_keeps_its_holding_and_takes_no_order():
    history = history_of([[10.0, 10.0], [10.0, 10.0], [12.0, 10.0], [12.0, 10.0]])
    schedule = schedule_of({1: [0.4, 0.4], 2: [0.0, 0.2], 3: [0.0, 0.2]})
    kept = np.array([[False, False], [True, False], [False, False]])
    result = run(history, replace(schedule, kept=kept))
    assert result.counts[:, 0].tolist() == [0, 40 * UNIT, 40 * UNIT, 0]
    assert reasons(result)[1] == [Reason.QUARANTINED, Reason.REBALANCE]
    nothing_held = run(history, replace(schedule, kept=kept[::-1].copy()))
    assert nothing_held.counts[1, 0] == 40 * UNIT
    with pytest.raises(InputError, match="What the schedule keeps is 2 x 2, the schedule is 3 x 2"):
        run(history, replace(schedule, kept=kept[:2]))
