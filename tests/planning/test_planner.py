"""One rule, one example: what the planner does with a small book."""

import subprocess
import sys
from dataclasses import replace
from decimal import Context, Decimal, localcontext

import pytest

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side
from scizor_dagster.errors import InputError, RiskLimitBreached
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import GREATEST_NUMBER, Target
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, CLOSED, WHOLE_ONLY, filled, inputs_of, line_of, price

PLAIN = PlanningRules()
SHORT = PlanningRules(allow_short=True)


def plan_of(weights, prices, holdings=(), rules=PLAIN, capabilities=ALPACA_LIKE, **others):
    return make_plan(inputs_of(weights, prices, holdings, **others), rules, capabilities)


def test_a_target_is_rounded_toward_zero_to_the_precision():
    plan = plan_of({"A": "0.1"}, {"A": 33}, equity=1000)
    assert line_of(plan, "A").target_qty == Decimal("3.03")


def test_the_order_is_the_exact_difference_from_what_is_held():
    plan = plan_of({"A": "0.5"}, {"A": 10}, {"A": "51.840434087"}, equity=1000)
    assert [(order.side, order.qty) for order in plan.orders] == [(Side.SELL, Decimal("1.840434087"))]


@pytest.mark.parametrize("rules", [PlanningRules(fractional=False), PLAIN])
@pytest.mark.parametrize("fractionable", [True, False])
def test_binary_noise_does_not_cost_an_increment(rules, fractionable):
    # Each weight is what a strategy computes in floats for exactly `shares` shares.
    instruments = {"A": Instrument("A", "XNYS", "USD", fractionable=fractionable)}
    for shares in range(1, 300):
        plan = plan_of({"A": shares * 7 / 3000}, {"A": 7}, equity=3000, rules=rules, instruments=instruments)
        assert line_of(plan, "A").target_qty == shares


def test_a_quotient_that_is_really_below_an_increment_stays_below_it():
    plan = plan_of({"A": "0.0599999"}, {"A": 10}, equity=1000, rules=PlanningRules(fractional=False))
    assert line_of(plan, "A").target_qty == 5


def test_the_cash_buffer_is_taken_off_before_anything_is_sized():
    plan = plan_of({"A": 1}, {"A": 10}, equity=1000, rules=PlanningRules(min_cash_buffer_pct=Decimal("0.02")))
    assert line_of(plan, "A").target_qty == 98
    assert plan.cash_buffer == 20


def test_every_target_bears_its_share_of_the_cash_buffer():
    rules = PlanningRules(min_cash_buffer_pct=Decimal("0.02"))
    plan = plan_of({"A": "0.5", "B": "0.3"}, {"A": 10, "B": 10}, equity=1000, rules=rules)
    assert [line.target_qty for line in plan.lines] == [49, Decimal("29.4")]


def test_a_target_is_no_finer_than_what_the_broker_takes():
    coarse = replace(ALPACA_LIKE, quantity_decimals=2)
    plan = plan_of({"A": "0.1"}, {"A": 33}, equity=1000, rules=PlanningRules(quantity_precision=4), capabilities=coarse)
    assert plan.orders[0].qty == line_of(plan, "A").target_qty == Decimal("3.03")


def test_weights_within_the_tolerance_are_scaled_by_one_recorded_factor():
    plan = plan_of({"A": "0.5", "B": "0.501"}, {"A": 1, "B": 1})
    assert plan.overflow_factor == Decimal("0.999000999000")
    assert line_of(plan, "A").target_qty == Decimal("49950.04")
    assert any("0.999000999" in note for note in plan.notes)


def test_weights_within_the_tolerance_are_trimmed_to_the_cash_where_scaling_is_off():
    rules = PlanningRules(adjust_for_overflow=False)
    plan = plan_of({"A": "0.5", "B": "0.501"}, {"A": 1, "B": 1}, rules=rules)
    assert plan.overflow_factor == 1
    assert sum(order.notional for order in plan.orders) == 100_000
    assert "The weights sum to 1.001, above their maximum but within the tolerance." in plan.notes


@pytest.mark.parametrize(
    ("weights", "rules"),
    [
        ({"A": "1.00201"}, PLAIN),
        ({"A": "0.9", "B": "-0.2"}, SHORT),
        ({"A": "1.2"}, PlanningRules(max_total_weight=Decimal(2))),
        ({"A": 50, "B": 50}, PLAIN),
    ],
)
def test_weights_above_the_maximum_and_its_tolerance_are_refused(weights, rules):
    with pytest.raises(InputError, match="at most 1 is allowed"):
        plan_of(weights, {"A": 1, "B": 1}, rules=rules)


@pytest.mark.parametrize("equity", ["0", "-1", "NaN", "Infinity"])
def test_an_equity_that_is_no_amount_is_refused(equity):
    with pytest.raises(InputError, match="equity"):
        plan_of({"A": "0.1"}, {"A": 1}, equity=equity)


@pytest.mark.parametrize("weight", ["NaN", "Infinity"])
def test_a_weight_that_is_no_number_is_refused(weight):
    with pytest.raises(InputError, match="weight of A"):
        plan_of({"A": weight}, {"A": 1})


def test_a_weight_above_its_limit_is_refused():
    with pytest.raises(InputError, match="max_weight"):
        plan_of({"A": "0.3"}, {"A": 1}, rules=PlanningRules(max_weight=Decimal("0.25")))


def test_the_greatest_number_is_an_equity_and_a_holding_and_one_more_is_refused():
    assert line_of(plan_of({"A": "0.1"}, {"A": 1e12}, equity=GREATEST_NUMBER), "A").target_qty == 100_000
    with pytest.raises(InputError, match="equity"):
        plan_of({"A": "0.1"}, {"A": 1e12}, equity=GREATEST_NUMBER + 1)
    kept = PlanningRules(blacklist=("A",))
    assert line_of(plan_of({}, {"A": 1}, {"A": GREATEST_NUMBER}, kept), "A").current_qty == GREATEST_NUMBER
    with pytest.raises(InputError, match="holding of A"):
        plan_of({}, {"A": 1}, {"A": GREATEST_NUMBER + 1}, kept)


def test_a_symbol_targeted_twice_is_refused():
    again = Target(("9",), "A", "A.XNYS", Decimal("0.1"))
    with pytest.raises(InputError, match="targeted twice"):
        plan_of({"A": "0.1"}, {"A": 1}, targets=(again,))


def test_what_is_held_and_not_targeted_is_sold_to_the_last_digit():
    plan = plan_of({}, {"A": 10}, {"A": "0.000000001"})
    assert line_of(plan, "A").reason is Reason.LIQUIDATE
    assert plan.orders[0].qty == Decimal("1E-9")
    assert plan.orders[0].intent is PositionIntent.SELL_TO_CLOSE


def test_a_rest_that_the_broker_does_not_sell_is_dust():
    plan = plan_of({}, {"A": 10}, {"A": "0.4"}, capabilities=WHOLE_ONLY)
    assert (line_of(plan, "A").reason, plan.orders) == (Reason.DUST, ())


def test_only_an_exit_that_leaves_nothing_is_exempt_from_the_minimum():
    lenient = replace(WHOLE_ONLY, full_exit_below_minimum=True)
    whole, rest = (plan_of({}, {"A": "0.5"}, {"A": held}, capabilities=lenient) for held in ("1", "1.5"))
    assert (line_of(whole, "A").reason, line_of(rest, "A").reason) == (Reason.LIQUIDATE, Reason.DUST)


def test_where_only_whole_shares_trade_a_full_exit_leaves_the_fraction_and_says_so():
    plan = plan_of({}, {"A": 10}, {"A": "7.4"}, capabilities=WHOLE_ONLY)
    assert plan.orders[0].qty == 7
    assert "0.4 remains" in line_of(plan, "A").note


def test_a_broker_that_takes_whole_shares_only_is_sent_no_fraction_however_many_decimals_it_knows():
    exact = replace(WHOLE_ONLY, quantity_decimals=9)
    plan = plan_of({"B": "0.2"}, {"A": 10, "B": 7}, {"A": "7.4", "B": "0.6"}, capabilities=exact, equity=1000)
    assert [(order.symbol, order.qty) for order in plan.orders] == [("A", 7), ("B", 27)]


def test_a_change_below_the_minimum_is_not_ordered_but_shown():
    plan = plan_of(
        {"A": "0.5"},
        {"A": 10},
        {"A": "50.1"},
        equity=1000,
        rules=PlanningRules(min_order_notional=Decimal(2)),
    )
    line = line_of(plan, "A")
    assert (line.reason, line.delta_qty, plan.orders) == (Reason.BELOW_MIN_NOTIONAL, Decimal("-0.1"), ())


def test_an_order_of_exactly_the_minimum_is_sent():
    plan = plan_of(
        {"A": "0.5"},
        {"A": 10},
        {"A": "50.2"},
        equity=1000,
        rules=PlanningRules(min_order_notional=Decimal(2)),
    )
    assert plan.orders[0].notional == 2


def test_the_brokers_minimum_counts_where_it_is_the_larger_one():
    rules = PlanningRules(min_order_notional=Decimal(0))
    assert plan_of({"A": "0.0009"}, {"A": 10}, equity=1000, rules=rules).orders == ()


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ({}, Reason.NO_PRICE),
        ({"A": "NaN"}, Reason.BAD_PRICE),
        ({"A": 0}, Reason.BAD_PRICE),
        ({"A": -3}, Reason.BAD_PRICE),
        ({"A": "Infinity"}, Reason.BAD_PRICE),
        ({"A": "1E+400"}, Reason.BAD_PRICE),
    ],
)
def test_without_a_usable_price_a_position_is_kept(prices, reason):
    plan = plan_of({"A": "0.5"}, prices, {"A": 7})
    line = line_of(plan, "A")
    assert (line.reason, line.delta_qty, line.target_qty, plan.orders) == (reason, 0, None, ())
    assert (line.price_source, line.price_session) == (("test", CLOSED) if prices else ("", None))


def test_what_is_neither_held_nor_wanted_needs_no_price():
    assert line_of(plan_of({"A": 0}, {}), "A").reason is Reason.ON_TARGET


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"frozen_symbols": {"A": "Order X is unknown."}}, Reason.FROZEN),
        ({"action_symbols": {"A": "It splits today."}}, Reason.CORPORATE_ACTION),
        ({"stale_symbols": frozenset("A")}, Reason.STALE_PRICE),
        ({"quarantined_symbols": {"A": "Its close of 10 is held."}}, Reason.QUARANTINED),
        ({"instruments": {"A": Instrument("A", "XNYS", "USD", tradable=False)}}, Reason.NOT_TRADABLE),
        ({"instruments": {"A": Instrument("A", "XASX", "AUD")}}, Reason.NOT_TRADABLE),
        ({"rules": PlanningRules(blacklist=("A",))}, Reason.NOT_TRADABLE),
    ],
)
def test_what_may_not_be_traded_keeps_its_position(others, reason):
    plan = plan_of({}, {"A": 10}, {"A": 7}, **others)
    assert (line_of(plan, "A").reason, plan.orders) == (reason, ())


def test_a_held_symbol_outside_the_universe_is_kept():
    inputs = inputs_of({"A": "0.1"}, {"A": 1, "X": 1}, {"X": 5})
    known = {symbol: known for symbol, known in inputs.instruments.items() if symbol != "X"}
    plan = make_plan(replace(inputs, instruments=known), PLAIN, ALPACA_LIKE)
    assert (line_of(plan, "X").reason, line_of(plan, "X").note) == (Reason.NOT_TRADABLE, "It is not in the universe.")
    banned = make_plan(inputs, PlanningRules(blacklist=("X",)), ALPACA_LIKE)
    assert (line_of(banned, "X").reason, line_of(banned, "X").note) == (Reason.NOT_TRADABLE, "It is on the blacklist.")


def test_a_stuck_holding_makes_the_other_weights_share_what_is_left():
    plan = plan_of(
        {"A": "0.3", "B": "0.6"},
        {"A": 1, "B": 1, "X": 1},
        {"X": 550},
        equity=1000,
        frozen_symbols={"X": "Frozen."},
    )
    assert (line_of(plan, "A").target_qty, line_of(plan, "B").target_qty) == (150, 300)
    assert any("0.5" in note for note in plan.notes)


def test_where_stuck_holdings_leave_no_room_nothing_is_bought_and_nothing_sold():
    plan = plan_of({"A": "0.5"}, {"A": 1, "X": 1}, {"A": 10, "X": 990}, equity=900, frozen_symbols={"X": "Frozen."})
    assert (line_of(plan, "A").reason, plan.orders) == (Reason.NO_CASH, ())


def test_sales_left_out_by_the_minimum_do_not_let_the_buys_overdraw_the_cash():
    weights, prices = {"A": "0.5", "B": "0.5"}, {"A": 1, "B": 1}
    plan = plan_of(weights, prices, {"A": "501.9"}, equity=1000, rules=PlanningRules(min_order_notional=Decimal(2)))
    assert line_of(plan, "A").reason is Reason.BELOW_MIN_NOTIONAL
    assert [(order.symbol, order.qty) for order in plan.orders] == [("B", Decimal("498.10"))]


def test_cash_that_is_known_counts_even_where_a_holding_has_no_price():
    inputs = inputs_of({"A": 1}, {"A": 1}, {"X": 5}, equity=1000, cash=Decimal(400))
    plan = make_plan(inputs, PLAIN, ALPACA_LIKE)
    assert sum(order.notional for order in plan.orders) == 400


def test_the_value_of_an_unpriced_holding_leaves_less_room_for_every_weight():
    plan = plan_of({"A": "0.5", "B": "0.3"}, {"A": 1, "B": 1}, {"X": 5}, equity=1000, cash=Decimal(400))
    assert [line_of(plan, symbol).target_qty for symbol in "AB"] == [250, 150]


def test_the_value_of_an_unpriced_holding_is_part_of_the_largest_gross_weight():
    rules = PlanningRules(max_total_weight=Decimal("0.8"))
    plan = plan_of({"A": "0.6"}, {"A": 1}, {"X": 5}, rules, equity=1000, cash=Decimal(700))
    assert line_of(plan, "A").target_qty == 500


def test_shorts_are_whole_and_only_where_they_are_allowed():
    instruments = {"B": Instrument("B", "XNYS", "USD", shortable=False)}
    prices = {"A": 30, "B": 30}
    plan = plan_of({"A": "-0.1", "B": "-0.1"}, prices, equity=1000, rules=SHORT, instruments=instruments)
    assert [(order.symbol, order.qty, order.intent) for order in plan.orders] == [("A", 3, PositionIntent.SELL_TO_OPEN)]
    assert line_of(plan, "B").reason is Reason.NOT_SHORTABLE
    assert line_of(plan_of({"A": "-0.1"}, prices), "A").reason is Reason.NOT_SHORTABLE


@pytest.mark.parametrize(("exempt", "reason"), [(False, Reason.DUST), (True, Reason.CROSS_ZERO)])
def test_a_crossing_whose_holding_is_too_small_to_close_is_left_out_unless_the_broker_takes_it(exempt, reason):
    terms = replace(ALPACA_LIKE, full_exit_below_minimum=exempt, min_notional=Decimal(50))
    plan = plan_of({"A": "-0.3"}, {"A": 10}, {"A": 2}, SHORT, terms, equity=1000)
    assert (line_of(plan, "A").reason, len(plan.orders)) == (reason, 2 if exempt else 0)
    assert ("too small to close" in line_of(plan, "A").note) is not exempt


def test_crossing_zero_closes_whole_before_it_opens_the_other_side():
    plan = plan_of({"A": "-0.3"}, {"A": 10}, {"A": "20.5"}, equity=1000, rules=SHORT)
    first, second = plan.orders
    assert (first.intent, first.qty, first.phase) == (PositionIntent.SELL_TO_CLOSE, Decimal("20.5"), 1)
    assert (second.intent, second.qty, second.phase) == (PositionIntent.SELL_TO_OPEN, 30, 2)
    assert second.depends_on == (first.client_order_id,)


def test_covering_a_short_to_go_long_is_two_buys_in_the_second_phase():
    plan = plan_of({"A": "0.3"}, {"A": 10}, {"A": -5}, equity=1000, rules=SHORT)
    assert [(order.intent, order.qty, order.phase) for order in plan.orders] == [
        (PositionIntent.BUY_TO_CLOSE, 5, 2),
        (PositionIntent.BUY_TO_OPEN, 30, 2),
    ]


def test_an_order_above_the_maximum_is_split_evenly_and_exactly():
    plan = plan_of({}, {"A": 100}, {"A": "10.000000001"}, rules=PlanningRules(max_notional_per_order=Decimal(400)))
    assert [order.qty for order in plan.orders] == [Decimal("3.34"), Decimal("3.33"), Decimal("3.330000001")]


def test_whole_orders_are_split_into_whole_slices():
    rules = PlanningRules(max_notional_per_order=Decimal(400), mode_on_sell="limit")
    plan = plan_of({}, {"A": 100}, {"A": 10}, rules=rules)
    assert [order.qty for order in plan.orders] == [4, 3, 3]
    assert {order.order_type for order in plan.orders} == {OrderType.LIMIT}


def test_a_share_dearer_than_the_maximum_gives_no_order_where_fractions_do_not_trade():
    rules = PlanningRules(max_notional_per_order=Decimal(400), fractional=False)
    plan = plan_of({"A": 1}, {"A": 500}, rules=rules)
    assert (line_of(plan, "A").reason, plan.orders) == (Reason.LIMIT, ())


def test_more_shares_than_the_limit_give_no_order():
    plan = plan_of({"A": 1}, {"A": 1}, rules=PlanningRules(max_share_per_order=Decimal(99_999)))
    assert (line_of(plan, "A").reason, plan.orders) == (Reason.LIMIT, ())
    most = plan_of({"A": 1}, {"A": 1}, rules=PlanningRules(max_share_per_order=Decimal(100_000)))
    assert [order.qty for order in most.orders] == [100_000]


def test_a_plan_above_the_total_limit_is_refused_with_its_sum():
    with pytest.raises(RiskLimitBreached, match=r"100000\.00.*99999"):
        plan_of({"A": 1}, {"A": 1}, rules=PlanningRules(max_total_notional=Decimal(99_999)))


@pytest.mark.parametrize(("quote", "limit"), [("33.333", "33.39"), ("0.5", "0.5010"), ("1000", "1002.00")])
def test_a_buy_limit_never_pays_more_than_the_offset(quote, limit):
    rules = PlanningRules(mode_on_buy="limit", fractional=False)
    order = plan_of({"A": 1}, {"A": quote}, rules=rules).orders[0]
    assert (order.order_type, order.limit_price) == (OrderType.LIMIT, Decimal(limit))


def test_a_sell_limit_never_gives_more_than_the_offset():
    order = plan_of({}, {"A": "33.333"}, {"A": 3}, rules=PlanningRules(mode_on_sell="limit")).orders[0]
    assert order.limit_price == Decimal("33.27")


def test_a_fraction_is_a_market_order_where_the_broker_takes_no_other():
    rules = PlanningRules(mode_on_buy="limit", mode_on_sell="limit")
    plan = plan_of({"A": "0.1"}, {"A": 33, "B": 5}, {"B": "0.5"}, rules=rules)
    assert {order.order_type for order in plan.orders} == {OrderType.MARKET}


@pytest.mark.parametrize("mode", ["limit", "bracket"])
def test_an_order_type_that_the_broker_does_not_have_is_a_market_order_and_the_line_says_so(mode):
    simple = replace(ALPACA_LIKE, order_types=frozenset({OrderType.MARKET}))
    plan = plan_of({"A": "0.1"}, {"A": 10}, rules=PlanningRules(mode_on_buy=mode), capabilities=simple)
    assert [order.order_type for order in plan.orders] == [OrderType.MARKET]
    assert f"Market order instead of {mode}: " in line_of(plan, "A").note


def test_a_bracket_opens_whole_shares_with_both_prices_on_the_tick():
    rules = PlanningRules(mode_on_buy="bracket", fractional=False)
    order = plan_of({"A": 1}, {"A": "13.165"}, rules=rules).orders[0]
    assert (order.order_type, order.take_profit, order.stop_loss) == (
        OrderType.BRACKET,
        Decimal("13.82"),
        Decimal("12.78"),
    )


def test_a_bracket_is_a_market_order_where_it_would_be_refused():
    rules = PlanningRules(mode_on_buy="bracket", fractional=False, allow_short=True)
    no_brackets = replace(ALPACA_LIKE, order_types=frozenset({OrderType.MARKET}))
    cover = plan_of({}, {"A": 10}, {"A": -5}, rules=rules)
    penny = plan_of({"A": "0.1"}, {"A": "0.2"}, rules=rules)
    plain = plan_of({"A": "0.1"}, {"A": 10}, rules=rules, capabilities=no_brackets)
    assert {order.order_type for plan in (cover, penny, plain) for order in plan.orders} == {OrderType.MARKET}


def test_lots_are_respected_where_fractions_do_not_trade():
    instruments = {"A": Instrument("A", "XASX", "USD", lot=100, fractionable=False)}
    assert plan_of({"A": "0.1"}, {"A": 33}, instruments=instruments).orders[0].qty == 300


def test_prices_that_are_not_raw_are_named_on_the_plan():
    inputs = replace(inputs_of({"A": 1}, {"A": 1}), adjustment="split")
    assert any("never sizes a live order" in note for note in make_plan(inputs, PLAIN, ALPACA_LIKE).notes)


def test_every_input_rule_and_capability_is_part_of_the_plan_id():
    inputs = inputs_of({"A": "0.1"}, {"A": 1})
    base = make_plan(inputs, PLAIN, ALPACA_LIKE).plan_id
    changed = [
        (replace(inputs, equity=Decimal(99_999)), PLAIN, ALPACA_LIKE),
        (replace(inputs, batch=2), PLAIN, ALPACA_LIKE),
        (replace(inputs, prices={"A": price("1.01")}), PLAIN, ALPACA_LIKE),
        (replace(inputs, holdings={"A": Decimal(1)}), PLAIN, ALPACA_LIKE),
        (replace(inputs, frozen_symbols={"B": "x"}), PLAIN, ALPACA_LIKE),
        (inputs, replace(PLAIN, quantity_precision=3), ALPACA_LIKE),
        (inputs, PLAIN, WHOLE_ONLY),
    ]
    assert len({base, *(make_plan(*case).plan_id for case in changed)}) == len(changed) + 1


def test_two_spellings_of_one_number_are_one_plan():
    inputs = inputs_of({"A": "0.1"}, {"A": "1.0"}, {"A": "10"})
    same = replace(inputs, holdings={"A": Decimal("10.000")}, equity=Decimal("1E+5"))
    assert make_plan(same, PLAIN, ALPACA_LIKE).plan_id == make_plan(inputs, PLAIN, ALPACA_LIKE).plan_id


@pytest.mark.parametrize("zero", ["-0", "-0.0", "0.00", "0E-9", "-0E+3"])
def test_zero_is_zero_however_it_is_written(zero):
    inputs = inputs_of({"A": "0.1"}, {"A": 1}, {"B": 0})
    same = replace(inputs, holdings={"B": Decimal(zero)})
    assert make_plan(same, PLAIN, ALPACA_LIKE).plan_id == make_plan(inputs, PLAIN, ALPACA_LIKE).plan_id


def test_two_processes_make_the_same_bytes():
    code = (
        "from tests.planning.books import *; from scizor_dagster.planning.planner import make_plan;"
        "print([make_plan(*random_book(seed, True)) for seed in range(20)])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "PlannedOrder" in runs[0]


def test_a_plan_is_the_same_whatever_arithmetic_its_caller_has_set():
    weights, prices = {"A": "0.123456789", "B": "0.345678901"}, {"A": "123456.123456789", "B": "0.987654321"}
    inputs = inputs_of(weights, prices, {"A": "1.123456789"}, equity="987654321.123456789", cash=Decimal("0.1"))
    with localcontext(Context(prec=6)):
        rough = make_plan(inputs, PLAIN, ALPACA_LIKE)
    assert rough == make_plan(inputs, PLAIN, ALPACA_LIKE)


def test_the_filled_result_of_a_crossing_needs_nothing_more():
    inputs = inputs_of({"A": "-0.3"}, {"A": 10}, {"A": "20.5"}, equity=1000)
    plan = make_plan(inputs, SHORT, ALPACA_LIKE)
    assert make_plan(filled(inputs, plan), SHORT, ALPACA_LIKE).orders == ()
