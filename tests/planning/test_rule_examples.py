"""Each rule of a plan by example: the order or the reason that it gives, with numbers done by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES, PAPER_CAPABILITIES
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import filled, inputs_of, line_of
from tests.planning.examples import WHOLE, outcome, plan_of, rules_of

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("held", "band", "expected"),
    [
        (995, {"band_absolute": 0.001}, (Reason.INSIDE_BAND, [])),
        (980, {"band_absolute": 0.001}, (Reason.REBALANCE, [20])),
        (980, {"band_absolute": 0.001, "trade_to": "edge"}, (Reason.REBALANCE, [10])),
        (1030, {"band_absolute": 0.001, "trade_to": "edge"}, (Reason.REBALANCE, [-20])),
        (951, {"band_relative": 0.05}, (Reason.INSIDE_BAND, [])),
        (940, {"band_relative": 0.05}, (Reason.REBALANCE, [60])),
        (940, {"band_relative": 0.05, "trade_to": "edge"}, (Reason.REBALANCE, [10])),
        (960, {"band_absolute": 0.001, "band_relative": 0.05}, (Reason.REBALANCE, [40])),
    ],
)
def test_a_band_leaves_small_differences_and_trades_to_the_target_or_its_edge(held, band, expected):
    # The target is 1,000 shares of 10: 10 % of 100,000. 0.001 of equity is 10 shares, 5 % of the target 50.
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, {"A": held}, rules_of(**band))) == expected


def test_a_band_never_holds_a_full_exit_back_and_a_crossing_trades_to_its_target():
    rules = rules_of(band_absolute=0.2, trade_to="edge")
    assert outcome(plan_of({}, {"A": 10}, {"A": 5}, rules)) == (Reason.LIQUIDATE, [-5])
    rules = replace(rules, band_absolute=Decimal("0.001"), allow_short=True)
    assert outcome(plan_of({"A": "-0.1"}, {"A": 10}, {"A": 5}, rules)) == (Reason.CROSS_ZERO, [-5, -1000])


def test_the_turnover_cap_serves_exits_then_reductions_then_scales_purchases_by_one_factor():
    # Exit 10,000, reduction 20,000, purchases 10,000 and 30,000; 50 % of 100,000 leaves 20,000 for those.
    weights, prices = {"B": "0.1", "C": "0.1", "D": "0.3"}, dict.fromkeys("ABCD", 10)
    plan = plan_of(weights, prices, {"A": 1000, "B": 3000}, rules_of(max_turnover=0.5))
    assert [outcome(plan, name) for name in "ABCD"] == [
        (Reason.LIQUIDATE, [-1000]),
        (Reason.REBALANCE, [-2000]),
        (Reason.OPEN, [500]),
        (Reason.OPEN, [1500]),
    ]
    assert any("0.7000 of equity" in note and "by 0.5" in note for note in plan.notes)


def test_where_exits_alone_exceed_the_turnover_cap_they_are_scaled_and_nothing_else_trades():
    plan = plan_of({"B": "0.5"}, {"A": 10, "B": 10}, {"A": 5000}, rules_of(max_turnover=0.2))
    assert outcome(plan) == (Reason.REBALANCE, [-2000])
    assert outcome(plan, "B") == (Reason.TURNOVER_CAP, [])
    rest = "planning.max_turnover leaves the rest to later sessions."
    assert [line_of(plan, name).note for name in "AB"] == [f"Cut from 5000 to 2000: {rest}", rest]


def test_a_crossing_that_the_turnover_cap_cuts_closes_before_it_opens():
    rules = rules_of(max_turnover=0.05, allow_short=True)
    assert outcome(plan_of({"A": "-0.1"}, {"A": 10}, {"A": 300}, rules)) == (Reason.CROSS_ZERO, [-300, -200])
    rules = rules_of(max_turnover=0.02, allow_short=True)
    assert outcome(plan_of({"A": "-0.1"}, {"A": 10}, {"A": 300}, rules)) == (Reason.REBALANCE, [-200])


def test_an_order_is_cut_to_its_share_of_volume_also_a_full_exit():
    rules = rules_of(max_participation=0.1)
    volumes = {"A": Decimal(4_005), "B": Decimal(0)}
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, rules=rules, adv=volumes)) == (Reason.OPEN, [400])
    assert outcome(plan_of({}, {"A": 10}, {"A": 700}, rules, adv=volumes)) == (Reason.REBALANCE, [-400])
    assert outcome(plan_of({"B": "0.1"}, {"B": 10}, rules=rules, adv=volumes), "B") == (Reason.PARTICIPATION_CAP, [])
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, rules=rules)) == (Reason.NO_VOLUME, [])


@pytest.mark.parametrize(
    ("before", "withheld"), [("10", False), ("6.67", False), ("6.66", True), ("1", True), ("100", True)]
)
def test_a_price_that_has_jumped_without_a_corporate_action_sizes_nothing(before, withheld):
    plan = plan_of({"A": "0.1"}, {"A": 10}, {"A": 7}, previous_prices={"A": Decimal(before)})
    assert outcome(plan) == ((Reason.PRICE_COLLAR, []) if withheld else (Reason.REBALANCE, [993]))


def test_a_limit_is_never_further_off_than_the_collar():
    rules = rules_of(mode_on_buy="limit", mode_on_sell="limit", limit_offset_pct=0.03, price_collar=0.01)
    assert plan_of({"A": "0.1"}, {"A": 50}, rules=rules).orders[0].limit_price == Decimal("50.50")
    assert plan_of({}, {"A": 50}, {"A": 9}, rules).orders[0].limit_price == Decimal("49.50")
    assert outcome(plan_of({"A": "0.1"}, {"A": "0.00004"}, rules=rules)) == (Reason.PRICE_COLLAR, [])


def test_what_costs_less_than_a_price_step_is_not_bought_at_a_whole_one_though_no_collar_is_set():
    # The smallest limit is 0.0001: more than the offset of 0.2 % above the price.
    rules = rules_of(mode_on_buy="limit", mode_on_sell="limit")
    plan = plan_of({"A": "0.1"}, {"A": "0.00004"}, rules=rules)
    assert outcome(plan) == (Reason.PRICE_COLLAR, [])
    assert "No limit price lies within 0.002 of 0.00004; the next is 0.0001." in line_of(plan, "A").note
    assert plan_of({"A": "0.1"}, {"A": "0.0001"}, rules=rules).orders[0].limit_price == Decimal("0.0001")
    sale = plan_of({}, {"A": "0.00004"}, {"A": 300_000}, rules)
    assert [order.limit_price for order in sale.orders] == [Decimal("0.0001")]


@pytest.mark.parametrize(
    ("rule", "weight", "held", "expected"),
    [
        ("no_buy", "0.1", 900, (Reason.OVERRIDE, [])),
        ("no_buy", "0.1", 1100, (Reason.REBALANCE, [-100])),
        ("no_sell", "0.1", 1100, (Reason.OVERRIDE, [])),
        ("no_sell", "0.1", 900, (Reason.REBALANCE, [100])),
        ("reduce_only", "0.1", 900, (Reason.OVERRIDE, [])),
        ("reduce_only", "0.1", 1100, (Reason.REBALANCE, [-100])),
        ("reduce_only", "-0.1", 50, (Reason.LIQUIDATE, [-50])),
        ("reduce_only", "-0.1", 0, (Reason.OVERRIDE, [])),
        ("never_touch", "0", 900, (Reason.OVERRIDE, [])),
    ],
)
def test_an_override_forbids_what_it_says_and_names_itself(rule, weight, held, expected):
    plan = plan_of({"A": weight}, {"A": 10}, {"A": held}, rules_of(overrides=(("A", rule),), allow_short=True))
    assert outcome(plan) == expected
    if expected[0] is Reason.OVERRIDE:
        assert f"planning.overrides says {rule}" in line_of(plan, "A").note


def test_an_override_of_a_known_instrument_that_no_plan_line_is_about_is_no_slip_of_the_pen():
    spare = {"SPARE": Instrument("SPARE", "XNYS", "USD")}
    for symbol, named in (("SPARE", False), ("SPAR", True)):
        rules = rules_of(overrides=((symbol, "no_buy"),))
        notes = plan_of({"A": "0.1"}, {"A": 10}, rules=rules, instruments=spare).notes
        assert any("planning.overrides names SPAR," in note for note in notes) is named


def test_what_may_never_be_touched_keeps_its_room_and_the_other_weights_share_the_rest():
    rules = rules_of(overrides=(("X", "never_touch"),))
    plan = plan_of({"A": "0.5", "X": "0.5"}, {"A": 10, "X": 10}, {"X": 8000}, rules)
    assert outcome(plan) == (Reason.OPEN, [2000])
    assert (line_of(plan, "X").target_qty, line_of(plan, "X").delta_qty) == (None, 0)


def test_what_no_portfolio_owns_is_reported_and_left_alone_unless_it_is_managed():
    foreign = {"A": Decimal(40), "X": Decimal(7)}
    plan = plan_of({"A": "0.1"}, {"A": 10, "X": 5}, foreign=foreign)
    assert outcome(plan) == (Reason.OPEN, [1000])
    assert outcome(plan, "X") == (Reason.FOREIGN, [])
    assert "40" in line_of(plan, "A").note
    assert line_of(plan, "X").current_qty == 0
    managed = plan_of({"A": "0.1"}, {"A": 10, "X": 5}, rules=rules_of(manage_foreign=True), foreign=foreign)
    assert outcome(managed) == (Reason.REBALANCE, [960])
    assert outcome(managed, "X") == (Reason.LIQUIDATE, [-7])
    ours = plan_of({"A": "0.1"}, {"A": 10}, {"A": 100}, rules_of(manage_foreign=True), foreign={"A": Decimal(40)})
    assert outcome(ours) == (Reason.REBALANCE, [860])


def test_a_crossing_beside_what_others_hold_only_closes_and_says_what_the_other_side_waits_for():
    plan = plan_of({"A": "-0.1"}, {"A": 10}, {"A": 50}, rules_of(allow_short=True), foreign={"A": Decimal(7)})
    assert outcome(plan) == (Reason.LIQUIDATE, [-50])
    waits = "The other side of zero waits until no other order or holding is in its way."
    assert line_of(plan, "A").note == f"The account holds 7 of it that no portfolio owns. {waits}"


def test_the_other_side_of_a_holding_that_an_open_order_closes_waits_until_it_has_filled():
    closing = (OpenOrder("A", SELL, Decimal(50)),)
    plan = plan_of({"A": "-0.1"}, {"A": 10}, {"A": 50}, rules_of(allow_short=True), open_orders=closing)
    assert outcome(plan) == (Reason.HELD_BY_ORDER, [])
    assert line_of(plan, "A").note.endswith("sell 50. 50 is held until the order that closes it has filled.")


def test_an_open_order_of_which_no_more_is_said_is_ones_own_a_plain_one_and_alone():
    said = OpenOrder("A", BUY, Decimal(5), own=True, protective=False, group="")
    plain, full = (
        plan_of({"A": "0.1"}, {"A": 10}, open_orders=(order,)) for order in (OpenOrder("A", BUY, Decimal(5)), said)
    )
    assert plain.plan_id == full.plan_id


def test_an_order_that_would_close_what_no_portfolio_owns_is_not_planned():
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, foreign={"A": Decimal(-5)})) == (Reason.FOREIGN, [])
    sold_by_hand = plan_of({}, {"A": 10}, {"A": 60}, foreign={"A": Decimal(-20)})
    assert outcome(sold_by_hand) == (Reason.REBALANCE, [-40])


def test_an_open_order_of_ones_own_is_counted_and_nothing_is_ordered_twice():
    orders = (OpenOrder("A", BUY, Decimal(600)),)
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, open_orders=orders)) == (Reason.REBALANCE, [400])
    orders = (OpenOrder("A", BUY, Decimal(1000)),)
    plan = plan_of({"A": "0.1"}, {"A": 10}, open_orders=orders)
    assert outcome(plan) == (Reason.ON_TARGET, [])
    assert "still buy 1000" in line_of(plan, "A").note


def test_cash_that_open_orders_will_take_is_not_spent_again():
    orders = (OpenOrder("B", BUY, Decimal(600)),)
    weights = {"A": "0.5", "B": "0.06"}
    inputs = inputs_of(weights, {"A": 10, "B": 10}, {"C": 0}, cash=Decimal(50_000), open_orders=orders)
    plan = make_plan(inputs, WHOLE, ALPACA_CAPABILITIES)
    assert outcome(plan) == (Reason.OPEN, [4400])


@pytest.mark.parametrize("own", [True, False])
def test_what_resting_orders_hold_is_not_sold_again(own):
    stop = OpenOrder("A", SELL, Decimal(30), own=own, protective=True, group="b")
    target = OpenOrder("A", SELL, Decimal(30), own=own, protective=True, group="b")
    assert outcome(plan_of({}, {"A": 10}, {"A": 40}, open_orders=(stop, target))) == (Reason.REBALANCE, [-10])
    whole = replace(stop, remaining=Decimal(40))
    assert outcome(plan_of({}, {"A": 10}, {"A": 40}, open_orders=(whole,))) == (Reason.HELD_BY_ORDER, [])


def test_what_ones_own_orders_hold_is_not_made_up_for_by_what_nobody_owns():
    stop = OpenOrder("A", SELL, Decimal(30), protective=True)
    plan = plan_of({}, {"A": 10}, {"A": 60}, foreign={"A": Decimal(40)}, open_orders=(stop, replace(stop)))
    assert outcome(plan) == (Reason.HELD_BY_ORDER, [])
    plan = plan_of({}, {"A": 10}, {"A": 60}, foreign={"A": Decimal(40)}, open_orders=(stop,))
    assert outcome(plan) == (Reason.REBALANCE, [-30])


def test_a_foreign_sale_of_a_foreign_holding_leaves_the_portfolios_own_free():
    order = OpenOrder("A", SELL, Decimal(40), own=False)
    assert outcome(plan_of({}, {"A": 10}, {"A": 60}, foreign={"A": Decimal(40)}, open_orders=(order,))) == (
        Reason.LIQUIDATE,
        [-60],
    )


def test_an_order_against_an_open_one_waits_where_the_broker_refuses_wash_trades():
    orders = (OpenOrder("A", SELL, Decimal(5), own=False),)
    held = {"A": 100}
    assert outcome(plan_of({"A": "0.1"}, {"A": 10}, held, open_orders=orders)) == (Reason.WASH_TRADE, [])
    ibkr = plan_of({"A": "0.1"}, {"A": 10}, held, open_orders=orders, capabilities=IBKR_CAPABILITIES)
    assert outcome(ibkr) == (Reason.REBALANCE, [900])


def asx(**others):
    return {"instruments": {"A": Instrument("A", "XASX", "AUD", fractionable=False)}, **others}


def make_asx(weight, quote, holdings=(), rules=WHOLE):
    inputs = inputs_of({"A": weight}, {"A": quote}, holdings, **asx())
    return make_plan(replace(inputs, currency="AUD"), rules, IBKR_CAPABILITIES)


def test_a_first_purchase_on_the_asx_is_worth_at_least_500():
    assert outcome(make_asx("0.00499", 1)) == (Reason.FIRST_PARCEL, [])
    assert outcome(make_asx("0.00500", 1)) == (Reason.OPEN, [500])
    assert outcome(make_asx("0.00499", 1, {"A": 100})) == (Reason.REBALANCE, [399])
    assert outcome(make_asx("0.00499", 1, {"A": 1})) == (Reason.REBALANCE, [498])
    assert outcome(make_asx("0.00499", 1, rules=rules_of(first_parcel=False))) == (Reason.OPEN, [499])


@pytest.mark.parametrize(("quote", "limit"), [("0.0523", "0.052"), ("0.5031", "0.500"), ("2.0431", "2.04")])
def test_limits_on_the_asx_stand_on_its_price_steps(quote, limit):
    rules = rules_of(mode_on_buy="limit", limit_offset_pct=0.0)
    assert make_asx("0.5", quote, rules=rules).orders[0].limit_price == Decimal(limit)


def test_a_bracket_in_true_ranges_lies_that_far_from_the_price():
    rules = rules_of(mode_on_buy="bracket", tp_atr=3.0, sl_atr=2.0)
    order = plan_of({"A": "0.1"}, {"A": 50}, rules=rules, atr={"A": Decimal("1.234")}).orders[0]
    assert (order.order_type, order.take_profit, order.stop_loss) == (
        OrderType.BRACKET,
        Decimal("53.70"),
        Decimal("47.54"),
    )


@pytest.mark.parametrize("atr", [{}, {"A": Decimal(25)}, {"A": Decimal("0.001")}])
def test_nothing_is_opened_unprotected_where_no_bracket_can_be_made_of_the_true_range(atr):
    rules = rules_of(mode_on_buy="bracket", sl_atr=2.0)
    assert outcome(plan_of({"A": "0.1"}, {"A": 50}, rules=rules, atr=atr)) == (Reason.NO_ATR, [])
    closing = plan_of({"A": "0.1"}, {"A": 50}, {"A": 300}, rules, atr=atr)
    assert outcome(closing) == (Reason.REBALANCE, [-100])


def test_a_crossing_for_which_no_bracket_can_be_made_only_closes_and_says_why():
    rules = rules_of(mode_on_buy="bracket", sl_atr=2.0, allow_short=True)
    unknown, wide = (plan_of({"A": "0.1"}, {"A": 50}, {"A": -30}, rules, atr=atr) for atr in ({}, {"A": Decimal(25)}))
    assert outcome(unknown) == outcome(wide) == (Reason.LIQUIDATE, [30])
    assert line_of(unknown, "A").note == "Its average true range is not known; a bracket needs it."
    assert line_of(wide, "A").note == (
        "Its average true range is 25, which leaves no valid prices; a bracket needs it."
    )


@pytest.mark.parametrize(("mode", "lasting"), [("moo", TimeInForce.OPG), ("moc", TimeInForce.CLS)])
def test_auction_orders_go_where_broker_and_exchange_have_them_else_a_note_says_so(mode, lasting):
    rules = rules_of(mode_on_buy=mode, mode_on_sell=mode)
    buy, sale = ({"A": "0.1"}, {"A": 10}), ({}, {"A": 10}, {"A": 5})
    for plan in (plan_of(*case, rules=rules, capabilities=IBKR_CAPABILITIES) for case in (buy, sale)):
        assert (plan.orders[0].order_type, plan.orders[0].time_in_force) == (OrderType.MARKET, lasting)
    for unasked in (PAPER_CAPABILITIES, ALPACA_CAPABILITIES):
        plan = plan_of({"A": "0.1"}, {"A": 10}, rules=rules, capabilities=unasked)
        assert plan.orders[0].time_in_force is TimeInForce.DAY
        assert f"instead of {mode}" in line_of(plan, "A").note
    assert make_asx("0.1", 10, rules=rules).orders[0].time_in_force is TimeInForce.DAY


@pytest.mark.parametrize("mode", ["moo", "moc"])
def test_what_waits_for_a_sale_or_for_a_first_leg_is_no_auction_order(mode):
    rules = rules_of(mode_on_buy=mode, mode_on_sell=mode, allow_short=True)
    lasting = {"moo": TimeInForce.OPG, "moc": TimeInForce.CLS}[mode]
    terms = {"rules": rules, "capabilities": IBKR_CAPABILITIES}
    crossing = plan_of({"A": "0.1"}, {"A": 10}, {"A": -5}, **terms)
    assert [order.time_in_force for order in crossing.orders] == [lasting, TimeInForce.DAY]
    paid_by_a_sale = plan_of({"B": "0.1", "C": "-0.1"}, {"A": 10, "B": 10, "C": 10}, {"A": 5, "C": -50}, **terms)
    assert {order.symbol: order.time_in_force for order in paid_by_a_sale.orders} == {
        "A": lasting, "B": TimeInForce.DAY, "C": TimeInForce.DAY,
    }  # fmt: skip
    assert f"Market order instead of {mode}: it waits" in line_of(paid_by_a_sale, "B").note
    kept = plan_of({"B": "0.1"}, {"A": 10, "B": 10}, {"A": 5}, rules=replace(rules, blacklist=("A",)),
                   capabilities=IBKR_CAPABILITIES)  # fmt: skip
    assert [order.time_in_force for order in kept.orders] == [lasting]


def test_a_purchase_of_less_than_a_share_frees_no_cash_that_an_auction_order_would_wait_for():
    rules = PlanningRules(mode_on_buy="moo")
    terms = replace(ALPACA_CAPABILITIES, times_in_force=frozenset(TimeInForce))
    plan = plan_of({"A": "0.1", "B": "0.1005"}, {"A": 10, "B": 100}, {"B": 100}, rules, terms)
    assert {order.symbol: (order.qty, order.time_in_force) for order in plan.orders} == {
        "A": (1000, TimeInForce.OPG), "B": (Decimal("0.5"), TimeInForce.DAY),
    }  # fmt: skip


def test_a_fraction_that_takes_no_bracket_says_so_on_its_line():
    plan = plan_of({"A": "0.1"}, {"A": 33}, rules=PlanningRules(mode_on_buy="bracket"))
    assert plan.orders[0].order_type is OrderType.MARKET
    assert "instead of bracket" in line_of(plan, "A").note


def test_a_130_30_book_trades_within_gross_1_6_and_net_1():
    longs, shorts = {f"L{n}": "0.13" for n in range(10)}, {f"S{n}": "-0.03" for n in range(10)}
    prices = dict.fromkeys((*longs, *shorts), "12.5")
    rules = PlanningRules(allow_short=True, max_total_weight=Decimal("1.6"))
    inputs = inputs_of(longs | shorts, prices, {"S1": "15", "L1": "-20"})
    plan = make_plan(inputs, rules, ALPACA_CAPABILITIES)
    after = {name: (held + line_of(plan, name).delta_qty) * Decimal("12.5") for name, held in _held(inputs, prices)}
    assert sum(after.values()) == pytest.approx(Decimal(100_000), abs=Decimal(100))
    assert sum(after.values()) <= 100_000
    assert sum(map(abs, after.values())) == pytest.approx(Decimal(160_000), abs=Decimal(200))
    assert all(order.qty % 1 == 0 for order in plan.orders if order.intent is PositionIntent.SELL_TO_OPEN)
    assert outcome(plan, "S1") == (Reason.CROSS_ZERO, [-15, -240])
    assert outcome(plan, "L1") == (Reason.CROSS_ZERO, [20, 1040])
    with pytest.raises(InputError, match=r"absolute weights sum to 1\.63"):
        plan_of(longs | dict.fromkeys(shorts, "-0.033"), prices, rules=rules)
    with pytest.raises(InputError, match=r"The weights sum to 1\.3"):
        plan_of(longs, prices, rules=rules)


def _held(inputs, prices):
    return [(name, inputs.holdings.get(name, Decimal(0))) for name in prices]


def test_the_slippage_allowance_leaves_cash_for_worse_fills_and_asks_for_nothing_later():
    rules = replace(PlanningRules(), slippage_allowance_pct=Decimal("0.01"))
    inputs = inputs_of({"A": 1}, {"A": 10}, {"B": 10_000}, instruments={}, cash=Decimal(0))
    inputs = replace(inputs, prices=inputs.prices | inputs_of({}, {"B": 10}).prices)
    plan = make_plan(inputs, rules, ALPACA_CAPABILITIES)
    assert outcome(plan, "B") == (Reason.LIQUIDATE, [-10_000])
    bought = outcome(plan)[1][0]
    assert bought == Decimal("9801.98")
    assert 100_000 * Decimal("0.99") - bought * 10 * Decimal("1.01") >= 0
    assert make_plan(filled(inputs, plan), rules, ALPACA_CAPABILITIES).orders == ()


@pytest.mark.parametrize(
    "facts",
    [
        {"adv": {"A": Decimal(-1)}},
        {"adv": {"A": Decimal("NaN")}},
        {"atr": {"A": Decimal(0)}},
        {"previous_prices": {"A": Decimal(0)}},
        {"foreign": {"A": Decimal("Infinity")}},
        {"open_orders": (OpenOrder("A", BUY, Decimal(0)),)},
    ],
)
def test_a_fact_that_cannot_be_one_is_refused_with_its_symbol(facts):
    with pytest.raises(InputError, match="of A"):
        plan_of({"A": "0.1"}, {"A": 10}, **facts)


def test_every_fact_and_rule_is_part_of_the_plan_id():
    inputs = inputs_of({"A": "0.1"}, {"A": 10})
    facts = [
        {"adv": {"A": Decimal(5)}},
        {"atr": {"A": Decimal(5)}},
        {"previous_prices": {"A": Decimal(9)}},
        {"foreign": {"A": Decimal(5)}},
        {"open_orders": (OpenOrder("A", BUY, Decimal(5)),)},
        {"open_orders": (OpenOrder("A", BUY, Decimal(5), own=False),)},
    ]
    ids = {make_plan(replace(inputs, **fact), WHOLE, ALPACA_CAPABILITIES).plan_id for fact in facts}
    ids |= {make_plan(inputs, rules_of(overrides=(("B", "no_buy"),)), ALPACA_CAPABILITIES).plan_id}
    ids |= {make_plan(inputs, WHOLE, replace(ALPACA_CAPABILITIES, refuses_wash_trades=False)).plan_id}
    assert len(ids | {make_plan(inputs, WHOLE, ALPACA_CAPABILITIES).plan_id}) == len(facts) + 3


def test_a_short_is_covered_in_whole_shares_but_for_its_exact_end():
    rules = replace(rules_of(max_participation=0.1, allow_short=True), fractional=True)
    cut = plan_of({}, {"A": 100}, {"A": -10}, rules, adv={"A": Decimal(33)})
    assert outcome(cut) == (Reason.REBALANCE, [3])
    whole = plan_of({}, {"A": 100}, {"A": "-6.7"}, rules, adv={"A": Decimal(10_000)})
    assert outcome(whole) == (Reason.LIQUIDATE, [Decimal("6.7")])


def test_a_fraction_short_that_a_split_has_left_is_enlarged_by_whole_shares():
    rules = PlanningRules(allow_short=True)
    assert outcome(plan_of({"A": "-0.05"}, {"A": 100}, {"A": "-6.7"}, rules)) == (Reason.REBALANCE, [-43])
