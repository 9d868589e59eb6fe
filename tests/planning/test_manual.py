"""A manual order: one line that a person asks for, by the rules of every plan, whole or not at all."""

from dataclasses import replace
from decimal import Decimal

import pytest

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.archives import PlanArchive, digest_of, read_archive
from scizor_dagster.planning.inputs import ManualInstruction, plan_digest
from scizor_dagster.planning.model import MANUAL, OF_WEIGHTS, Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of, line_of
from tests.planning.examples import rules_of

WHOLE = PlanningRules(fractional=False)
FRACTIONS = PlanningRules()
BUY, SELL = Side.BUY, Side.SELL
D = Decimal


def ask(**terms):
    terms = {name: D(str(value)) if isinstance(value, int | float) else value for name, value in terms.items()}
    return ManualInstruction(**({"key": "k-1", "actor": "jo", "reason": "a tip", "symbol": "A"} | terms))


def inputs(asked, held=0, price=10, cash=None, prices=None, **others):
    prices = {"A": price, "B": 20} if prices is None else prices
    cash = D(50_000) if cash is None else D(cash)
    holdings = {"A": held, "B": 100} if held else {"B": 100}
    return inputs_of({}, prices, holdings, cash=cash, manual=asked, **others)


def manual(asked, rules=WHOLE, capabilities=ALPACA_CAPABILITIES, **others):
    return make_plan(inputs(asked, **others), rules, capabilities)


def signed(plan):
    return [order.side.sign * order.qty for order in plan.orders]


def outcome(plan):
    (line,) = plan.lines
    return line.reason, signed(plan)


def test_a_manual_order_is_a_plan_of_one_line_that_says_who_asked_and_why() -> None:
    plan = manual(ask(side=BUY, quantity=30))
    (line,) = plan.lines
    assert (plan.origin, line.symbol, line.reason, line.current_qty, line.target_qty) == (MANUAL, "A", "manual", 0, 30)
    assert line.note == "Manual order k-1 by jo: a tip."
    (order,) = plan.orders
    assert (order.qty, order.side, order.intent, order.reason) == (30, BUY, PositionIntent.BUY_TO_OPEN, "manual")
    assert line.target_weight == D("0.003")


@pytest.mark.parametrize(
    ("terms", "held", "rules", "expected"),
    [
        ({"side": BUY, "quantity": 30}, 10, WHOLE, [30]),
        ({"side": SELL, "quantity": 4}, 10, WHOLE, [-4]),
        ({"side": SELL, "quantity": 10}, 10, WHOLE, [-10]),
        ({"side": BUY, "quantity": 1.5}, 0, FRACTIONS, [1.5]),
        ({"side": BUY, "notional": 99}, 0, WHOLE, [9]),
        ({"side": BUY, "notional": 99.99}, 0, FRACTIONS, [D("9.99")]),
        ({"side": SELL, "notional": 99}, 0, rules_of(FRACTIONS, allow_short=True), [-9]),
        ({"side": BUY, "notional": 99.99}, -20, rules_of(FRACTIONS, allow_short=True), [9]),
        ({"target": 0}, 7, WHOLE, [-7]),
        ({"target": 0}, -7, WHOLE, [7]),
        ({"target": 12}, 7, WHOLE, [5]),
        ({"target": -5}, 7, rules_of(WHOLE, allow_short=True), [-7, -5]),
    ],
)
def test_quantity_notional_and_target_give_the_order_in_the_increments_that_trade(terms, held, rules, expected) -> None:
    assert outcome(manual(ask(**terms), rules, held=held)) == (Reason.MANUAL, [D(str(qty)) for qty in expected])


def test_an_open_order_counts_toward_a_target() -> None:
    plan = manual(ask(target=30), held=10, open_orders=(OpenOrder("A", BUY, D(5)),))
    assert signed(plan) == [15]


def test_nothing_to_do_is_no_order() -> None:
    assert outcome(manual(ask(target=10), held=10)) == (Reason.ON_TARGET, [])


@pytest.mark.parametrize(
    ("terms", "rules", "others", "reason"),
    [
        (
            {"target": 3},
            WHOLE,
            {"prices": {"B": 20}, "instruments": {"A": Instrument("A", "XNYS", "USD")}},
            Reason.NO_PRICE,
        ),
        ({"target": 3}, WHOLE, {"price": 0}, Reason.BAD_PRICE),
        ({"target": 3}, WHOLE, {"stale_symbols": frozenset({"A"})}, Reason.STALE_PRICE),
        ({"target": 3}, WHOLE, {"frozen_symbols": {"A": "an order is unknown"}}, Reason.FROZEN),
        ({"target": 3}, replace(WHOLE, blacklist=("A",)), {}, Reason.NOT_TRADABLE),
        ({"symbol": "Z", "target": 3}, WHOLE, {}, Reason.NOT_TRADABLE),
        ({"side": BUY, "notional": 5}, rules_of(FRACTIONS, min_order_notional=D(20)), {}, Reason.BELOW_MIN_NOTIONAL),
        ({"side": BUY, "quantity": 5}, rules_of(WHOLE, max_share_per_order=D(4)), {}, Reason.LIMIT),
        ({"side": SELL, "quantity": 5}, WHOLE, {}, Reason.NOT_SHORTABLE),
        ({"side": SELL, "quantity": 15}, WHOLE, {"held": 10}, Reason.NOT_SHORTABLE),
        ({"side": BUY, "quantity": 5}, replace(WHOLE, overrides=(("A", "no_buy"),)), {}, Reason.OVERRIDE),
        ({"side": BUY, "quantity": 5}, WHOLE, {"cash": 5}, Reason.NO_CASH),
    ],
)
def test_what_keeps_a_rebalance_from_ordering_keeps_a_person_from_it_too(terms, rules, others, reason) -> None:
    assert outcome(manual(ask(**terms), rules, **others)) == (reason, [])


def test_what_may_not_be_sold_short_says_how_much_can_be_sold() -> None:
    instruments = {"A": Instrument("A", "XNYS", "USD", shortable=False)}
    asked = ask(side=SELL, quantity=15)
    line = manual(asked, rules_of(WHOLE, allow_short=True), held=10, instruments=instruments).lines[0]
    assert line.note == "Manual order k-1 by jo: a tip. 10 can be sold. It may not be sold short."


def test_a_short_may_be_covered_in_part_where_no_new_one_may_be_opened() -> None:
    assert outcome(manual(ask(target=-3), held=-7)) == (Reason.MANUAL, [4])


def test_the_no_trade_band_is_of_weights_alone() -> None:
    rules = rules_of(WHOLE, band_absolute=0.05, band_relative=0.5)
    assert outcome(manual(ask(side=BUY, quantity=3), rules, held=100)) == (Reason.MANUAL, [3])


@pytest.mark.parametrize(
    ("terms", "rules", "others", "said"),
    [
        ({"side": BUY, "quantity": 1.5}, WHOLE, {}, "Of the 1.5 that were asked for, 1 can be ordered"),
        ({"side": BUY, "quantity": 30}, WHOLE, {"cash": 200}, "Of the 30 that were asked for, 20 can be ordered"),
        ({"target": 30}, rules_of(WHOLE, max_turnover=0.001), {}, "planning.max_turnover leaves the rest"),
        ({"target": 30}, rules_of(WHOLE, max_participation=0.01), {"adv": {"A": D(1000)}}, "10 can be ordered"),
        ({"side": BUY, "notional": 900}, WHOLE, {"cash": 200}, "Of the 20 that were asked for, 20"),
    ],
)
def test_an_order_that_would_be_cut_is_refused_with_what_could_be_had(terms, rules, others, said) -> None:
    if "notional" in terms:
        # Its quantity is what the value buys, whatever the cash allows.
        assert signed(manual(ask(**terms), rules, **others)) == [20]
        return
    with pytest.raises(InputError, match=said):
        manual(ask(**terms), rules, **others)


def test_a_lot_is_not_broken() -> None:
    instruments = {"A": Instrument("A", "XNYS", "USD", lot=10)}
    assert signed(manual(ask(side=BUY, notional=355), instruments=instruments)) == [30]
    with pytest.raises(InputError, match="Of the 35 that were asked for, 30 can be ordered"):
        manual(ask(side=BUY, quantity=35), instruments=instruments)


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        (None, (OrderType.MARKET, TimeInForce.DAY, None)),
        ("market", (OrderType.MARKET, TimeInForce.DAY, None)),
        ("moo", (OrderType.MARKET, TimeInForce.OPG, None)),
        ("moc", (OrderType.MARKET, TimeInForce.CLS, None)),
        ("limit", (OrderType.LIMIT, TimeInForce.DAY, D("10.02"))),
    ],
)
def test_an_order_has_the_form_that_it_names_or_that_of_the_portfolio(mode, form) -> None:
    auctions = replace(ALPACA_CAPABILITIES, times_in_force=frozenset(TimeInForce))
    (order,) = manual(ask(side=BUY, quantity=5, mode=mode), capabilities=auctions).orders
    assert (order.order_type, order.time_in_force, order.limit_price) == form


def test_a_manual_order_has_no_bracket() -> None:
    (order,) = manual(ask(side=BUY, quantity=5), rules_of(WHOLE, mode_on_buy="bracket")).orders
    assert (order.order_type, order.take_profit) == (OrderType.MARKET, None)


def test_a_limit_price_that_is_named_is_the_orders() -> None:
    for side, held in ((BUY, 0), (SELL, 10)):
        (order,) = manual(ask(side=side, quantity=5, mode="limit", limit_price=9.5), held=held).orders
        assert (order.order_type, order.limit_price, order.price_used) == (OrderType.LIMIT, D("9.5"), D(10))


def test_a_named_limit_price_is_held_to_the_collar_on_both_sides() -> None:
    rules = rules_of(WHOLE, price_collar=0.05)
    for limit, reason in ((9.5, "manual"), (10.5, "manual"), (9.4, "price_collar"), (10.6, "price_collar")):
        line = manual(ask(side=BUY, quantity=5, mode="limit", limit_price=limit), rules).lines[0]
        assert line.reason == reason
    assert "planning.price_collar allows 0.05 around 10" in line.note


@pytest.mark.parametrize(
    ("limit", "said"),
    [(9.505, "not on the price step of 0.01. Use 9.5 or 9.51."), (1e13, "The limit price is 10000000000000")],
)
def test_a_limit_price_that_is_none_is_refused(limit, said) -> None:
    asked = ask(side=BUY, quantity=5, mode="limit", limit_price=limit)
    with pytest.raises(InputError) as refused:
        manual(asked)
    assert said in str(refused.value)


def test_an_order_that_cannot_have_its_form_is_refused_instead_of_sent_as_another() -> None:
    with pytest.raises(InputError, match=r"It cannot be a moo order.*is no whole number of shares"):
        manual(ask(side=BUY, quantity=1.5, mode="moo"), FRACTIONS)
    without = replace(ALPACA_CAPABILITIES, order_types=frozenset({OrderType.MARKET}))
    with pytest.raises(InputError, match=r"It cannot be a limit order.*the broker has none"):
        manual(ask(side=BUY, quantity=5, mode="limit"), capabilities=without)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "gives neither quantity, notional nor target; exactly one of them counts"),
        ({"side": BUY, "quantity": 1, "target": 2}, "gives quantity and target; exactly one of them counts"),
        ({"quantity": 1}, "needs a side: buy or sell"),
        ({"side": BUY, "target": 1}, "names a target, which has its own side"),
        ({"target": 1, "limit_price": 5}, "has a limit price and is of no named type, not limit"),
        ({"target": 1, "limit_price": 5, "mode": "moc"}, "has a limit price and is moc, not limit"),
        ({"side": BUY, "quantity": 0}, "The quantity of the order is 0"),
        ({"side": BUY, "notional": -5}, "The notional of the order is -5"),
        ({"target": D("NaN")}, "The target of the order is NaN"),
        ({"side": BUY, "quantity": D("1e19")}, "Give a number above zero"),
    ],
)
def test_a_request_that_says_too_much_or_too_little_is_refused(terms, said) -> None:
    with pytest.raises(InputError) as refused:
        manual(ask(**terms))
    assert said in str(refused.value)


def test_a_plan_worth_more_than_allowed_is_refused() -> None:
    with pytest.raises(Exception, match="max_total_notional allows 100"):
        manual(ask(side=BUY, quantity=30), rules_of(WHOLE, max_total_notional=D(100)))


def test_slices_and_legs_are_those_of_every_plan() -> None:
    plan = manual(ask(side=BUY, quantity=50), rules_of(WHOLE, max_notional_per_order=D(200)))
    assert signed(plan) == [20, 20, 10] or sorted(signed(plan)) == [16, 17, 17]
    assert sum(signed(plan)) == 50


def test_nothing_else_of_the_portfolio_is_touched() -> None:
    plan = manual(ask(side=BUY, quantity=5), prices={"A": 10})
    assert outcome(plan) == (Reason.MANUAL, [5])


def test_while_an_open_purchase_has_no_price_nothing_more_is_bought() -> None:
    plan = manual(ask(side=BUY, quantity=5), prices={"A": 10}, open_orders=(OpenOrder("B", BUY, D(5)),))
    assert outcome(plan) == (Reason.NO_CASH, [])


def test_a_manual_order_is_made_again_from_its_archive() -> None:
    asked = ask(side=BUY, quantity=5, mode="limit", limit_price=9.5)
    archive = PlanArchive(inputs(asked), WHOLE, ALPACA_CAPABILITIES)
    text = archive.text()
    assert read_archive(text, digest_of(text), "here").plan() == archive.plan()


def test_two_requests_have_plans_of_their_own() -> None:
    made = {manual(ask(side=BUY, quantity=5, key=key)).plan_id for key in ("one", "two", "two")}
    assert len(made) == 2


def test_a_plan_of_weights_is_what_it_was_before_there_were_manual_orders() -> None:
    plain = inputs_of({"A": "0.1"}, {"A": 10})
    archive = PlanArchive(plain, WHOLE, ALPACA_CAPABILITIES)
    assert "manual" not in archive.text()
    assert "set_apart" not in archive.text()
    plan = archive.plan()
    assert plan.origin == OF_WEIGHTS
    assert plan.plan_id == plan_digest(plain, WHOLE, ALPACA_CAPABILITIES)
    # The id of this very plan by the version before.
    assert plan.plan_id == BEFORE


BEFORE = "a00d275201f157f009b24090a3b9523a60a26c1f60adbe9121c7377d574b9c5d"


def kept(weights, held, apart, rules=WHOLE, **others):
    given = inputs_of(
        weights, {"A": 10, "B": 20}, held, set_apart={name: D(qty) for name, qty in apart.items()}, **others
    )
    return make_plan(given, rules, ALPACA_CAPABILITIES)


def test_what_is_set_apart_is_neither_sold_nor_counted_toward_the_target() -> None:
    plan = kept({"A": "0.01"}, {"A": 130}, {"A": 50})
    line = line_of(plan, "A")
    assert (line.current_qty, line.kept_qty, line.target_qty, line.target_in_all) == (80, 50, 100, 150)
    assert signed(plan) == [20]
    assert "50 are set apart for manual orders." in line.note
    assert "Set apart, as manual orders have bought it" in plan.notes[0]


def test_what_only_manual_orders_have_bought_has_a_line_and_no_order() -> None:
    plan = kept({"A": "0.01"}, {"A": 100, "B": 7}, {"B": 7})
    line = line_of(plan, "B")
    assert (line.reason, line.current_qty, line.kept_qty, line.target_in_all) == (Reason.KEPT, 0, 7, 7)
    assert plan.orders == ()


def test_an_instrument_without_a_target_is_sold_but_for_what_is_set_apart() -> None:
    plan = kept({}, {"A": 130}, {"A": 50})
    assert signed(plan) == [-80]
    assert line_of(plan, "A").reason is Reason.LIQUIDATE


def test_what_is_set_apart_is_not_sold_by_a_short_target() -> None:
    plan = kept({"A": "-0.01"}, {"A": 50}, {"A": 50}, rules_of(WHOLE, allow_short=True))
    assert signed(plan) == []
    assert line_of(plan, "A").reason is Reason.ACCOUNT_NET


def test_what_open_sales_will_bring_buys_nothing_by_hand_yet() -> None:
    sale = OpenOrder("B", SELL, D(100))
    with pytest.raises(InputError, match="Of the 30 that were asked for, 10 can be ordered"):
        manual(ask(side=BUY, quantity=30), cash=100, open_orders=(sale,))
    purchase = OpenOrder("B", BUY, D(5))
    with pytest.raises(InputError, match="Of the 30 that were asked for, 20 can be ordered"):
        manual(ask(side=BUY, quantity=30), cash=300, open_orders=(purchase,))
