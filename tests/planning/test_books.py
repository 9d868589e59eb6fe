"""Planning on arrays: what is refused, what a session may say, and which way each number takes."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.errors import InputError, RiskLimitBreached
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning import compiled
from scizor_dagster.planning.books import KEPT, plan_book, prepare
from scizor_dagster.planning.kernel_model import REASONS, UNIT
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, WHOLE_ONLY

PLAIN = PlanningRules()


@pytest.fixture(autouse=True)
def as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})


def instruments_of(symbols, **facts):
    return [Instrument(symbol, "XNYS", "USD", **facts) for symbol in symbols]


def decided(
    weights, prices, shares=None, rules=PLAIN, *, equity=1_000.0, capabilities=ALPACA_LIKE, facts=None, **session
):
    """Reason and shares traded of each row, and how many the exact rules decided."""
    symbols = [f"S{number}" for number in range(len(weights))]
    book = prepare(instruments_of(symbols, **(facts or {})), rules, capabilities, currency="USD")
    counts = np.array([int(Decimal(str(held)) * UNIT) for held in shares or [0] * len(weights)], dtype=np.int64)
    found = plan_book(book, np.array(weights), np.array(prices, dtype=float), counts, equity=equity, **session)
    reasons = [REASONS[code] for code in found.codes.tolist()]
    return reasons, [count / UNIT for count in found.trades.tolist()], found.settled


@pytest.mark.parametrize("symbols", [("B", "A"), ("A", "A")])
def test_instruments_out_of_order_or_twice_are_refused(symbols):
    with pytest.raises(InputError, match="A is out of order among the instruments, or stands twice"):
        prepare(instruments_of(symbols), PLAIN, ALPACA_LIKE, currency="USD")


def test_a_broker_of_finer_quantities_than_a_unit_is_refused():
    with pytest.raises(InputError, match="10 decimals, arrays have 9"):
        prepare(instruments_of("A"), PLAIN, replace(ALPACA_LIKE, quantity_decimals=10), currency="USD")


def test_brackets_in_true_ranges_are_refused_because_arrays_do_not_have_these():
    rules = PlanningRules(mode_on_buy="bracket", sl_atr=Decimal(2))
    with pytest.raises(InputError, match="true ranges"):
        prepare(instruments_of("A"), rules, ALPACA_LIKE, currency="USD")
    prepare(instruments_of("A"), replace(rules, mode_on_buy="market"), ALPACA_LIKE, currency="USD")


@pytest.mark.parametrize(
    ("weights", "rules", "words"),
    [
        ([0.9, 0.2], PLAIN, "weights sum to 1.1"),
        ([0.5, np.nan], PLAIN, "The weight of S1 is NaN"),
        ([0.5, 0.2], PlanningRules(max_weight=Decimal("0.4")), "weights.max_weight allows 0.4"),
        ([0.7, -0.7], PlanningRules(allow_short=True), "absolute weights sum to 1.4"),
    ],
)
def test_what_no_plan_can_be_made_from_is_refused_in_the_words_of_a_plan(weights, rules, words):
    with pytest.raises(InputError, match=words):
        decided(weights, [10, 10], rules=rules)


@pytest.mark.parametrize("cash", [np.inf, -2e18])
def test_a_cash_that_is_no_amount_is_refused(cash):
    with pytest.raises(InputError, match="The cash is"):
        decided([0.5], [10], cash=cash)


@pytest.mark.parametrize("equity", [0.0, -1.0, np.nan, np.inf, 2e18])
def test_an_equity_that_nothing_can_be_sized_on_is_refused(equity):
    with pytest.raises(InputError, match="equity"):
        decided([0.5], [10], equity=equity)


def test_orders_that_exceed_the_total_limit_are_refused_and_those_that_meet_it_go():
    rules = PlanningRules(max_total_notional=Decimal(500))
    assert decided([0.5], [10], rules=rules)[1] == [50]
    with pytest.raises(RiskLimitBreached, match="The 2 orders of the plan are worth 600"):
        decided([0.5, 0.1], [10, 10], rules=rules)


def test_more_shares_than_an_array_holds_are_refused():
    with pytest.raises(InputError, match="which an array cannot hold"):
        decided([0.5], [1e-9])


def test_what_a_session_keeps_is_kept_in_that_session_alone():
    book = prepare(instruments_of("AB"), PLAIN, ALPACA_LIKE, currency="USD")
    weights, prices, counts = np.array([0.5, 0.3]), np.array([10.0, 7.0]), np.array([10, 0]) * UNIT
    kept = np.array([KEPT[Reason.FROZEN], 0], dtype=np.int8)
    first = plan_book(book, weights, prices, counts, equity=1_000.0, kept=kept)
    assert [REASONS[code] for code in first.codes] == [Reason.FROZEN, Reason.OPEN]
    second = plan_book(book, weights, prices, counts, equity=1_000.0)
    assert [REASONS[code] for code in second.codes] == [Reason.REBALANCE, Reason.OPEN]


def test_the_callers_arrays_stay_as_they_are_and_may_be_read_only_or_part_of_others():
    book = prepare(instruments_of("AB"), PLAIN, ALPACA_LIKE, currency="USD")
    days = np.array([[0.5, 0.3], [10.0, 7.0]]).T.copy().T
    days.flags.writeable = False
    found = plan_book(book, days[0], days[1], np.zeros(2, dtype=np.int64), equity=1_000.0)
    assert found.trades.tolist() == [50 * UNIT, 42_850_000_000]
    assert days.tolist() == [[0.5, 0.3], [10.0, 7.0]]


def test_what_sells_a_holding_is_told_apart_from_the_short_that_it_waits_for():
    rules = PlanningRules(allow_short=True)
    book = prepare(instruments_of("AB"), rules, ALPACA_LIKE, currency="USD")
    found = plan_book(book, np.array([-0.35, 0.31]), np.array([10.0, 7.0]), np.array([20, 0]) * UNIT, equity=1_000.0)
    assert (found.trades.tolist(), found.sales.tolist()) == ([-55 * UNIT, 44_280_000_000], [20 * UNIT, 0])


def test_a_tie_is_settled_for_its_row_alone():
    reasons, trades, settled = decided([0.06, 0.31], [10, 7])
    assert (reasons, trades, settled) == ([Reason.OPEN, Reason.OPEN], [6, 44.28], 1)


def test_weights_that_sum_to_their_maximum_but_for_noise_have_their_exact_sum():
    weights = [0.7] + [0.1] * 3
    assert sum(weights) != 1
    assert decided(weights, [7, 7, 7, 7])[1:] == ([100, 14.28, 14.28, 14.28], 1)
    assert decided([0.333, 0.667], [7.1, 3.3])[2] == 0


def test_a_holding_without_a_price_leaves_the_others_what_the_cash_says():
    reasons, trades, settled = decided([0.0, 1.0], [np.nan, 9], [3, 0], cash=700.0)
    assert (reasons, trades, settled) == ([Reason.NO_PRICE, Reason.OPEN], [0, 77.77], 0)


def test_a_book_without_room_is_decided_exactly():
    assert decided([0.0, 1.0], [np.nan, 9], [3, 0], cash=30.0) == ([Reason.NO_PRICE, Reason.OPEN], [0, 3.33], 2)


def test_equal_changes_under_a_cap_are_served_in_the_order_of_their_ids():
    rules = PlanningRules(max_turnover=Decimal("0.5"), fractional=False)
    assert decided([0.3, 0.3, 0.3], [37, 37, 37], rules=rules, equity=1_000.0)[1:] == ([5, 4, 4], 3)


def test_a_cap_that_is_met_exactly_cuts_nothing():
    rules = PlanningRules(max_turnover=Decimal("0.6"))
    assert decided([0.3, 0.3], [10, 10], rules=rules) == ([Reason.OPEN] * 2, [30, 30], 2)


def test_a_larger_order_than_a_slice_is_decided_exactly_and_the_laws_of_its_book_too():
    rules = PlanningRules(max_share_per_order=Decimal(20), max_turnover=Decimal("0.2"))
    reasons, trades, settled = decided([0.0, 0.31], [10, 7], [30, 0], rules)
    assert (reasons, trades, settled) == ([Reason.REBALANCE, Reason.LIMIT], [-20, 0], 2)


def test_a_share_below_one_price_step_is_bought_exactly_or_not_at_all():
    rules = PlanningRules(mode_on_buy="limit")
    assert decided([0.31], [0.0061], rules=rules)[2] == 1
    assert decided([0.31], [0.0161], rules=rules)[2] == 0


def test_a_broker_that_takes_no_small_exit_leaves_a_crossing_as_dust():
    rules = PlanningRules(allow_short=True, min_order_notional=Decimal(50))
    assert decided([-0.31], [7], [2], rules, capabilities=WHOLE_ONLY)[0] == [Reason.DUST]


def test_a_book_of_nothing_trades_nothing():
    assert decided([], []) == ([], [], 0)


def test_at_the_very_edge_of_its_band_a_row_is_settled_exactly_and_stays():
    rules = PlanningRules(band_absolute=Decimal("0.01"))
    assert decided([0.5], [10], [51], rules) == ([Reason.INSIDE_BAND], [0], 1)
    assert decided([0.5], [10], [51.01], rules)[1] == [-1.01]


def test_a_price_that_is_too_old_keeps_its_holding_also_where_the_exact_rules_decide_beside_it():
    kept = np.array([KEPT[Reason.STALE_PRICE], 0], dtype=np.int8)
    reasons, trades, settled = decided([0.3, 0.06], [10, 10], [5, 0], kept=kept)
    assert (reasons, trades, settled) == ([Reason.STALE_PRICE, Reason.OPEN], [0, 6], 1)
    rules = PlanningRules(max_turnover=Decimal("0.06"))
    assert decided([0.3, 0.06], [10, 10], [5, 0], rules, kept=kept)[:2] == ([Reason.STALE_PRICE, Reason.OPEN], [0, 6])
