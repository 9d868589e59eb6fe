"""What a backtest is not run on, and how it ends early: each with what is wrong and where."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import Commission
from scizor_dagster.backtest.engine import BLOCK, BacktestCancelled
from scizor_dagster.backtest.model import Action, ActionKind, Costs, FillAt, Fills, Schedule
from scizor_dagster.errors import InputError, RiskLimitBreached
from tests.backtest.engine_cases import FINE, NAN, as_it_stands, history_of, run  # noqa: F401

pytestmark = pytest.mark.usefixtures("as_it_stands")
PLAIN = history_of([10.0] * 4)
DAY = PLAIN.sessions


def changed(**fields):
    return replace(PLAIN, **fields)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (history_of([[]]), "The history has no instrument"),
        (changed(sessions=()), "The history has no session"),
        (changed(sessions=(DAY[1], DAY[0], *DAY[2:])), "Session 2024-01-01 stands after 2024-01-02"),
        (changed(adjustment="some"), "The adjustment is 'some'"),
        (changed(close=np.ones((3, 1))), "The close prices are 3 x 1, the history is 4 x 1"),
        (changed(volume=np.ones((4, 2))), "The volume prices are 4 x 2"),
        (changed(actions=(Action(ActionKind.SPLIT, 4, 0, 2.0),)), "A split is in row 4, column 0"),
        (changed(actions=(Action(ActionKind.SPLIT, 1, 0, -2.0),)), "The split of S00 on 2024-01-02 is -2.0"),
        (changed(actions=(Action(ActionKind.DIVIDEND, 1, 0, NAN),)), "The dividend of S00 on 2024-01-02 is nan"),
        (
            changed(actions=(Action(ActionKind.SPLIT, 2, 0, 2.0), Action(ActionKind.SPLIT, 1, 0, 2.0))),
            "The split of S00 on 2024-01-02 is out of order",
        ),
        (
            changed(adjustment="split", actions=(Action(ActionKind.SPLIT, 1, 0, 2.0),)),
            "The split of S00 on 2024-01-02 is in the prices already: they are split",
        ),
        (
            changed(adjustment="total_return", actions=(Action(ActionKind.DIVIDEND, 1, 0, 2.0),)),
            "The dividend of S00 on 2024-01-02 is in the prices already: they are total_return",
        ),
    ],
)
def test_a_history_that_cannot_be_is_refused(history, words):
    with pytest.raises(InputError, match=words):
        run(history, Schedule(np.array([1]), np.full((1, len(history.instruments)), 0.5)))


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf")])
@pytest.mark.parametrize("name", ["close", "open"])
def test_a_price_that_is_no_number_above_zero_is_named(price, name):
    prices = np.full((4, 1), 10.0)
    prices[2] = price
    with pytest.raises(InputError, match=f"The {name} of S00 on 2024-01-03 is {price}"):
        run(changed(**{name: prices}), {1: 0.5, 2: 0.2})


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule(np.array([2, 1]), np.ones((2, 1))), "The weights of 2024-01-02 stand after those of 2024-01-03"),
        (Schedule(np.array([1, 1]), np.ones((2, 1))), "The weights of 2024-01-02 stand after those of 2024-01-02"),
        (Schedule(np.array([0]), np.ones((1, 1))), "no close 1 session.s. before 2024-01-01"),
        (Schedule(np.array([4]), np.ones((1, 1))), "row 4 of 4 sessions"),
        (Schedule(np.array([1]), np.ones((1, 2))), "The weights are 1 x 2, the schedule is 1 x 1"),
    ],
)
def test_a_schedule_that_cannot_be_traded_is_refused(schedule, words):
    with pytest.raises(InputError, match=words):
        run(PLAIN, schedule)


def test_with_a_longer_delay_rows_of_weights_have_to_lie_as_far_apart():
    with pytest.raises(InputError, match="The plan for 2024-01-04 would be made before the orders for 2024-01-03"):
        run(PLAIN, {2: 0.5, 3: 0.2}, fills=Fills(delay=2))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({1: 0.5, 2: 1.4}, "session 2024-01-03: .*weights sum to 1.4"),
        ({1: 0.5, 2: NAN}, "session 2024-01-03: .*The weight of S00 is NaN"),
        ({1: float("inf")}, "session 2024-01-02: "),
    ],
)
def test_weights_that_the_planner_refuses_name_their_session(weights, words):
    with pytest.raises(InputError, match=words):
        run(PLAIN, weights)


def test_orders_above_the_total_limit_name_their_session():
    with pytest.raises(RiskLimitBreached, match="session 2024-01-02"):
        run(PLAIN, {1: 0.5}, replace(FINE, max_total_notional=Decimal(100)))


def test_equity_that_is_gone_ends_the_run_where_it_is_gone():
    history = history_of([10.0, 10.0, 40.0, 40.0], open=[10.0, 10.0, 40.0, 40.0])
    with pytest.raises(InputError, match=r"session 2024-01-04: .*equity"):
        run(history, {1: -0.5, 3: 0.2}, replace(FINE, allow_short=True))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"capital": 0.0}, "The capital is 0.0"),
        ({"capital": NAN}, "The capital is nan"),
        ({"fills": Fills(delay=0)}, "would trade at a price before the plan is made"),
        ({"fills": Fills(delay=-1)}, "A delay of -1"),
        ({"fills": Fills(FillAt.VWAP)}, "need high prices"),
        ({"fills": Fills(volume_share=0.0)}, "volume_share is 0.0"),
        ({"max_price_age": -1}, "max_price_age is -1"),
        ({"costs": Costs(half_spread_bps=-1.0)}, "half_spread_bps is -1.0"),
        ({"costs": Costs(cash_rate=float("inf"))}, "cash_rate is inf"),
        ({"costs": Costs(Commission(minimum=NAN))}, "commission.minimum is nan"),
        ({"costs": Costs(slippage_bps=10_000.0)}, "take all of a price"),
        ({"costs": Costs(impact_bps=1.0)}, "need volumes"),
        ({"costs_of": {"XYZ": Costs()}}, "costs_of names XYZ"),
        ({"costs_of": {"S00": Costs(max_participation=0.1)}}, "Impact and participation of S00 need volumes"),
    ],
)
def test_choices_that_mean_nothing_are_refused(choices, words):
    with pytest.raises(InputError, match=words):
        run(PLAIN, {1: 0.5}, **choices)


def test_fills_at_the_open_need_opens():
    with pytest.raises(InputError, match="Fills at the open need open prices, which a list of closes has not"):
        run(changed(open=None, source="a list of closes"), {1: 0.5})


def test_a_rule_that_reads_volumes_needs_them():
    with pytest.raises(InputError, match="max_participation needs volumes"):
        run(PLAIN, {1: 0.5}, replace(FINE, max_participation=Decimal("0.1")))


def test_a_run_tells_how_far_it_is_and_ends_without_a_result_where_it_is_told_to():
    history = history_of(np.full(2 * BLOCK + 10, 10.0))
    told = []

    def go_on(done, total):
        told.append((done, total))
        return True

    run(history, {1: 0.5}, progress=go_on)
    assert told == [(BLOCK, 510), (2 * BLOCK, 510), (510, 510)]
    with pytest.raises(BacktestCancelled, match="cancelled after 500 of 510 sessions"):
        run(history, {1: 0.5}, progress=lambda done, _: done < 2 * BLOCK)


def test_orders_that_would_not_be_plain_market_orders_are_told():
    assert run(PLAIN, {1: 0.5}).notes == ()
    (note,) = run(PLAIN, {1: 0.5}, replace(FINE, mode_on_buy="limit")).notes
    assert "all fill as market orders" in note
