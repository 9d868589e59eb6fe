from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import BrokerPosition, OrderStatus, Side
from scizor_dagster.ledger.states import IntentState
from tests.reconciliation.world import (
    DAY,
    World,
    activity,
    batch,
    broker_fill,
    intent,
    ledger_fill,
    line,
    order,
    plan_of,
    planned,
)

ERROR, WORKING, INFO = "error", "working", "info"


def test_three_sides_that_agree_have_no_break():
    report = World().report()
    assert report.break_rows == ()
    assert (report.state, report.break_count, report.filled_count, report.working_count) == (
        "reconciled",
        0,
        1,
        0,
    )


def test_every_break_says_what_was_expected_found_and_what_to_do():
    report = World(orders=[order(qty=D(11))]).report()
    (row,) = report.break_rows
    assert (row.expected, row.found) == ("buy 10 AAA", "buy 11 AAA")
    assert row.remedy.endswith(".")
    assert report.state == "breaks"


@pytest.mark.parametrize(
    ("world", "kind"),
    [
        (World(plan=plan_of(planned(), planned(client_order_id="other"))), "planned_without_intent"),
        (World(plan=plan_of(planned(qty=D(9)))), "intent_differs"),
        (World(plan=plan_of(planned(price_used=D(99)))), "intent_differs"),
        (World(plan=plan_of(planned(limit_price=D(99)))), "intent_differs"),
        (World(plan=plan_of(planned(symbol="BBB"))), "intent_differs"),
        (World(plan=plan_of(planned(side=Side.SELL))), "intent_differs"),
        (World(plan=plan_of(plan_id="another")), "plan_not_admitted"),
        (World(plan=plan_of(plan_id="another")), "plan_missing"),
        (World(plan=None), "plan_missing"),
        (World(plan=replace(plan_of(), orders=())), "intent_without_plan"),
        (World(intents=[intent(state=IntentState.UNKNOWN)]), "outcome_unknown"),
        (World(intents=[intent(state=IntentState.SENDING)], orders=[]), "outcome_unknown"),
        (World(orders=[]), "missing_at_broker"),
        (World(intents=[intent(state=IntentState.BLOCKED)]), "sent_unexpectedly"),
        (World(intents=[intent(state=IntentState.REJECTED)]), "sent_unexpectedly"),
        (World(orders=[order(side=Side.SELL)]), "order_differs"),
        (World(orders=[order(raw={"limit_price": "99"})]), "order_differs"),
        (World(orders=[order(filled_qty=D(9))]), "filled_qty_differs"),
        (World(orders=[order(status=OrderStatus.PARTIALLY_FILLED)]), "state_differs"),
        (World(fills=[]), "fill_missing_in_ledger"),
        (World(broker_fills=[]), "fill_missing_at_broker"),
        (World(broker_fills=[broker_fill(price=D(100))]), "fill_differs"),
        (World(broker_fills=[broker_fill(fee=D(0))]), "fill_differs"),
        (World(broker_activities=[activity()[0]]), "activity_missing_in_ledger"),
        (World(differences={"AAA": D(-1)}), "position_differs"),
        (World(cash=D("8994.91")), "cash_differs"),
    ],
)
def test_each_difference_is_an_error_of_its_own_kind(world, kind):
    assert (kind, ERROR) in [row[:2] for row in world.found()]
    assert world.report().break_count >= 1


def test_equal_numbers_with_other_zeros_are_no_difference():
    world = World(orders=[order(qty=D("10.000"), filled_qty=D("10.0"))], broker_fills=[broker_fill(price=D("100.50"))])
    assert world.found() == []


def test_a_split_that_a_person_has_stated_is_the_one_that_the_broker_tells_of_later():
    there, here = activity()
    split = {"kind": "split", "symbol": "AAA", "amount": D(0), "qty_factor": D(2)}
    told = replace(there, activity_id="b1", **split)
    stated = replace(here, activity_id="stated/AAA/2026-03-02", **split)
    assert World(broker_activities=[told], activities=[stated]).found() == []
    assert "activity_missing_in_ledger" in str(World(broker_activities=[told]).found())


def test_a_recorded_activity_and_a_cent_fraction_of_cash_are_no_difference():
    there, here = activity()
    assert World(broker_activities=[there], activities=[here], cash=D("8994.9049")).found() == []


def test_cash_is_not_compared_where_others_share_the_account():
    assert World(cash=None).found() == []


def test_cash_that_cannot_be_compared_now_is_named_and_is_no_break():
    world = World(cash=None, cash_note="cash is not compared: the orders of another are open")
    assert world.found() == [("cash_not_compared", INFO, None)]
    report = world.report()
    assert (report.state, report.break_count) == ("reconciled", 0)
    assert report.summary.splitlines()[-1].strip() == world.cash_note


def test_a_session_that_the_venue_has_not_gone_through_is_working_once_it_is_over():
    assert World().report(session_over=False, venue_behind=True).break_rows == ()
    report = World().report(session_over=True, venue_behind=True)
    assert [(row.kind, row.severity) for row in report.break_rows] == [("venue_behind", WORKING)]
    assert report.state == "working"


@pytest.mark.parametrize(("session_over", "severities"), [(False, {WORKING}), (True, {ERROR, INFO})])
def test_an_order_that_fills_while_both_sides_are_read_is_at_work_until_its_session_is_over(session_over, severities):
    world = World(
        intents=[intent(state=IntentState.WORKING, filled_qty=D(0))],
        orders=[order(status=OrderStatus.ACCEPTED, filled_qty=D(4))],
        broker_fills=[broker_fill(qty=D(4))],
        fills=[],
        owned={},
        positions=[],
    )
    rows = [row for row in world.report(session_over).break_rows if row.stage in ("orders", "fills")]
    kinds = {"filled_qty_differs", "fill_missing_in_ledger", "open_order"}
    assert {row.kind for row in rows} >= kinds - {"open_order"}
    assert {row.severity for row in rows} == severities


def two_batches() -> World:
    """A session that was planned again: each batch has a plan and an order of its own."""
    again = {"client_order_id": "buy-bbb", "symbol": "BBB"}
    return World(
        more_plans=[replace(plan_of(planned(**again), plan_id="plan-two", lines=(line(symbol="BBB"),)), batch=2)],
        batches=[batch(), batch(batch_id="paper/main/2024-03-04/2", batch=2, plan_id="plan-two")],
        intents=[intent(), intent(**again, batch_id="paper/main/2024-03-04/2", broker_order_id="O2")],
        orders=[order(), order(**again, broker_order_id="O2")],
        fills=[ledger_fill(), ledger_fill(**again, fill_id="F2")],
        broker_fills=[broker_fill(), broker_fill(**again, fill_id="F2")],
        cash=None,
    )


def test_each_batch_of_a_session_is_compared_with_its_own_plan():
    world = two_batches()
    assert world.found() == []
    assert [(row.client_order_id, row.state) for row in world.report().order_rows] == [
        ("buy-aaa", "filled"),
        ("buy-bbb", "filled"),
    ]
    world.more_plans = []
    assert world.found() == [("plan_missing", ERROR, None)]


def test_an_order_in_the_batch_of_another_plan_is_an_error_on_both():
    world = two_batches()
    world.intents[1] = replace(world.intents[1], batch_id=world.batches[0].batch_id)
    assert world.found() == [("intent_without_plan", ERROR, "buy-bbb"), ("planned_without_intent", ERROR, "buy-bbb")]


def resting(state: IntentState = IntentState.WORKING) -> World:
    return World(
        intents=[intent(state=state, filled_qty=D(0))],
        fills=[],
        broker_fills=[],
        owned={},
        positions=[],
        orders=[order(status=OrderStatus.ACCEPTED, filled_qty=D(0), average_price=None)],
    )


def test_an_open_order_is_working_until_its_session_is_over():
    assert resting().found(session_over=False) == [("open_order", WORKING, "buy-aaa")]
    assert resting().report(session_over=False).state == "working"
    assert resting().found(session_over=True) == [("open_order", ERROR, "buy-aaa")]


def test_an_order_that_waits_for_its_release_is_working_until_its_session_is_over():
    world = resting(IntentState.HELD)
    world.orders = []
    assert world.found(session_over=False) == [("not_sent", WORKING, "buy-aaa")]
    assert world.found(session_over=True) == [("not_sent", ERROR, "buy-aaa")]


def test_a_plan_that_nobody_has_executed_is_no_break():
    world = World(batches=[], intents=[], fills=[], broker_fills=[], owned={}, positions=[], orders=[], cash=None)
    assert world.found(session_over=False) == [("plan_not_admitted", WORKING, None)]
    assert world.found(session_over=True) == [("plan_not_admitted", INFO, None)]
    assert [row.state for row in world.report().order_rows] == ["not_admitted"]


def test_a_session_without_plan_says_so():
    world = World(
        plan=None,
        batches=[],
        intents=[],
        fills=[],
        broker_fills=[],
        owned={},
        positions=[],
        orders=[],
        cash=None,
    )
    assert world.report().state == "no_plan"
    world.batches = [batch()]
    world.plan = replace(plan_of(), orders=())
    assert world.report().state == "nothing_to_do"


def test_orders_that_ended_unfilled_or_were_refused_agree():
    for state, status in (
        (IntentState.EXPIRED, OrderStatus.EXPIRED),
        (IntentState.CANCELED, OrderStatus.CANCELED),
    ):
        world = resting(state)
        world.orders = [order(status=status, filled_qty=D(0), average_price=None)]
        assert world.found() == []
    refused = resting(IntentState.REJECTED)
    refused.orders = []
    assert refused.found() == []


def test_a_strangers_order_in_another_instrument_is_information():
    stranger = order(client_order_id="manual", broker_order_id="O9", symbol="ZZZ")
    assert World(orders=[order(), stranger]).found() == [("foreign_order", INFO, "manual")]


def test_a_strangers_open_order_in_an_instrument_of_ours_is_an_error():
    stranger = order(client_order_id="manual", broker_order_id="O9", status=OrderStatus.ACCEPTED, filled_qty=D(0))
    assert World(orders=[order(), stranger]).found() == [("foreign_order", ERROR, "manual")]


def test_a_strangers_order_that_has_ended_is_no_break_of_its_own_what_it_left_behind_is_compared():
    stranger = order(client_order_id="manual", broker_order_id="O9")
    assert World(orders=[order(), stranger]).found() == [("foreign_order", INFO, "manual")]


def test_a_strangers_fill_is_information_and_another_portfolios_is_its_own_matter():
    strange = broker_fill(fill_id="F9", client_order_id="manual", symbol="ZZZ")
    assert World(broker_fills=[broker_fill(), strange]).found() == [("foreign_fill", INFO, "manual")]
    other = intent(client_order_id="theirs", portfolio="second", symbol="ZZZ")
    world = World(
        elsewhere=[other],
        orders=[order(), order(client_order_id="theirs", symbol="ZZZ")],
        broker_fills=[broker_fill(), broker_fill(fill_id="F9", client_order_id="theirs", symbol="ZZZ")],
    )
    assert world.found() == []


def test_exits_of_our_own_bracket_are_not_foreign():
    leg = order(
        client_order_id="buy-aaa.tp",
        side=Side.SELL,
        parent_client_order_id="buy-aaa",
        status=OrderStatus.FILLED,
    )
    exit_fill = {"fill_id": "F2", "client_order_id": "buy-aaa.tp", "side": Side.SELL, "price": D(105)}
    world = World(
        orders=[order(), leg],
        fills=[ledger_fill(), ledger_fill(**exit_fill)],
        broker_fills=[broker_fill(), broker_fill(**exit_fill)],
        owned={},
        positions=[],
    )
    assert world.found() == []
    report = world.report()
    assert [(row.client_order_id, row.filled_qty, row.slippage_bps is None) for row in report.order_rows] == [
        ("buy-aaa", D(10), False),
        ("buy-aaa.tp", D(10), True),
    ]
    world.fills = [ledger_fill()]
    assert world.found() == [("fill_missing_in_ledger", ERROR, "buy-aaa.tp")]


def test_exits_that_rest_are_working():
    leg = order(
        client_order_id="buy-aaa.sl",
        side=Side.SELL,
        parent_client_order_id="buy-aaa",
        status=OrderStatus.ACCEPTED,
        filled_qty=D(0),
        average_price=None,
    )
    assert World(orders=[order(), leg]).found(session_over=False) == [("open_order", WORKING, "buy-aaa.sl")]


def test_a_position_that_no_portfolio_owns_is_information():
    world = World(differences={"ZZZ": D(5)}, positions=[BrokerPosition("ZZZ", D(5), None)])
    assert world.found() == [("foreign_position", INFO, None)]
    assert world.report().state == "reconciled"


def test_a_bought_position_that_the_broker_does_not_show_is_an_error_with_both_quantities():
    (row,) = World(differences={"AAA": D(-10)}, positions=[]).report().break_rows
    assert (row.kind, row.expected, row.found) == ("position_differs", "10", "0")


def test_order_results_measure_cost_against_the_price_that_sized_the_order():
    (row,) = World().report().order_rows
    assert (row.planned_qty, row.sent_qty, row.filled_qty, row.average_price, row.fees) == (
        D(10),
        D(10),
        D(10),
        D("100.5"),
        D("0.10"),
    )
    assert row.slippage_bps == pytest.approx(50.0)


def test_a_sale_below_its_price_costs_as_much_as_a_purchase_above_it():
    world = World(
        plan=plan_of(planned(side=Side.SELL)),
        intents=[intent(side=Side.SELL)],
        orders=[order(side=Side.SELL)],
        fills=[ledger_fill(side=Side.SELL, price=D("99.5"))],
        broker_fills=[broker_fill(side=Side.SELL, price=D("99.5"))],
    )
    assert world.report().order_rows[0].slippage_bps == pytest.approx(50.0)


def test_end_of_day_positions_show_what_is_held_and_what_was_meant():
    world = World(
        plan=plan_of(lines=(line(), line(symbol="BBB", target_qty=D(4)), line(symbol="CCC", target_qty=D(0)))),
        differences={"AAA": D(-1)},
        owned={"AAA": D(10), "OLD": D(3)},
        closes={"AAA": Close(D("101.015"), DAY)},
    )
    rows = {row.symbol: row for row in world.report().position_rows}
    assert list(rows) == ["AAA", "BBB", "OLD"]
    assert (rows["AAA"].qty, rows["AAA"].broker_qty, rows["AAA"].target_qty) == (D(10), D(9), D(10))
    assert rows["AAA"].market_value == D("1010.15")
    assert (rows["BBB"].qty, rows["BBB"].target_qty, rows["BBB"].price) == (D(0), D(4), None)
    assert (rows["OLD"].target_qty, rows["OLD"].market_value) == (None, None)


def test_the_summary_fits_a_screen_and_names_the_first_breaks():
    assert World().report().summary.splitlines() == [
        "main 2024-03-04: reconciled",
        "orders   1 (1 filled)",
        "traded   bought 1,005.00, sold 0.00, fees 0.10",
        "account  equity 10,004.90 USD, cash 8,994.90",
        "breaks   0",
    ]
    resting = {"status": OrderStatus.ACCEPTED, "filled_qty": D(0)}
    strangers = [order(client_order_id=f"manual-{number}", **resting) for number in range(14)]
    lines = World(orders=[order(), *strangers]).report().summary.splitlines()
    assert len(lines) == 5 + 10 + 1
    assert lines[5] == "  foreign_order AAA manual-0: expected none, found buy 10 AAA, accepted, 0 filled"
    assert lines[-1] == "  and 4 more"


def test_the_report_shows_its_tables_as_frames_also_when_they_are_empty():
    report = World().report()
    assert list(report.breaks.columns)[:3] == ["kind", "symbol", "client_order_id"]
    assert report.order_results.loc[0, "average_price"] == "100.50000000"
    assert report.positions.loc[0, "market_value"] == "1010.00"


def test_an_order_that_was_refused_on_both_sides_is_no_break():
    refused = {"filled_qty": D(0), "state": IntentState.REJECTED, "broker_order_id": None}
    world = World(
        intents=[intent(**refused)],
        orders=[order(status=OrderStatus.REJECTED, filled_qty=D(0), average_price=None)],
        fills=[],
        broker_fills=[],
        owned={},
        positions=[],
    )
    assert world.found() == []


def test_a_plan_without_orders_that_was_not_admitted_is_no_break():
    nothing = World(
        plan=replace(plan_of(), orders=()),
        batches=[],
        intents=[],
        orders=[],
        fills=[],
        broker_fills=[],
        owned={},
        positions=[],
    )
    assert nothing.found() == []
    assert nothing.found(session_over=False) == []


def test_an_exit_of_another_portfolios_bracket_is_left_to_that_portfolio():
    parent = intent(client_order_id="theirs", portfolio="second", symbol="ZZZ")
    leg = order(
        client_order_id="theirs.sl",
        symbol="ZZZ",
        side=Side.SELL,
        parent_client_order_id="theirs",
        status=OrderStatus.ACCEPTED,
        filled_qty=D(0),
        average_price=None,
    )
    bracket = order(client_order_id="theirs", symbol="ZZZ")
    world = World(elsewhere=[parent], orders=[order(), bracket, leg])
    world.broker_fills.append(broker_fill(fill_id="F9", client_order_id="theirs", symbol="ZZZ"))
    assert world.found() == []
