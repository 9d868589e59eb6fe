"""Every break whole: what a person reads at a moment when something is wrong, and what a program files it under."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import BrokerPosition, OrderStatus, OrderType, Side
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.reconciliation.model import OrderResult
from tests.reconciliation.world import (
    World,
    activity,
    batch,
    broker_fill,
    intent,
    ledger_fill,
    order,
    plan_of,
    planned,
)

FIND = (
    "Find the trade, transfer or corporate action behind it. What a portfolio shall own from now on, or owns under "
    "a new name: scizor adopt."
)
LEFT = "Held outside of Scizor, and left alone; scizor adopt hands it to a portfolio."
LOOK = "Compare with the broker's own records before anything else is traded."
FOLLOW = "Follow the orders again: scizor run for the session, or the job follow_orders."
STRANGER = "Somebody else trades this account; keep to instruments that the portfolio does not."
FILL = "F1: buy 10 AAA at 100.5, fee 0.1"
NOTHING_SENT = {"orders": [], "fills": [], "broker_fills": []}

UNTOUCHED = {**NOTHING_SENT, "batches": [], "intents": [], "owned": {}, "positions": [], "cash": None}
RESTING = World(
    orders=[order(status=OrderStatus.ACCEPTED, filled_qty=D(0))],
    intents=[intent(state=IntentState.WORKING, filled_qty=D(0))],
    fills=[],
    broker_fills=[],
)
HELD = World(intents=[intent(state=IntentState.READY, broker_order_id=None, filled_qty=D(0))], **NOTHING_SENT)
BRACKET = {"order_type": OrderType.BRACKET, "limit_price": D(99), "take_profit": D(110), "stop_loss": D("95.50")}

CASES = [
    (
        World(plan=plan_of(planned(), planned(client_order_id="other"))),
        ("planned_without_intent", "error", "AAA", "other", "buy 10 AAA market sized at 100", "none",
         "The batch was not admitted whole; restore the ledger from its backup."),
    ),
    (
        World(plan=plan_of(planned(**BRACKET))),
        ("intent_differs", "error", "AAA", "buy-aaa",
         "buy 10 AAA bracket limit 99 take-profit 110 stop 95.5 sized at 100", "buy 10 AAA market sized at 100", LOOK),
    ),
    (
        World(plan=replace(plan_of(), orders=())),
        ("intent_without_plan", "error", "AAA", "buy-aaa", "none", "buy 10 AAA market sized at 100",
         "The stored plan is not whole; restore the lake from its backup."),
    ),
    (
        World(plan=None),
        ("plan_missing", "error", None, None, "plan plan-one of batch 1", "none",
         "Restore the lake from its backup: without its plan nobody can say what the batch was meant to do."),
    ),
    (
        World(more_plans=[plan_of(planned(client_order_id="x"), plan_id="another-plan-of-the-session")]),
        ("plan_not_admitted", "error", None, None, "plan another-plan", "admitted: plan-one",
         "Restore the plan that was admitted; a new one must be asked for with the next batch number."),
    ),
    (
        World(**UNTOUCHED),
        ("plan_not_admitted", "info", None, None, "plan plan-one", "admitted: none",
         "Its session is over; the next plan starts from what is held."),
    ),
    (
        World(intents=[intent(state=IntentState.UNKNOWN)]),
        ("outcome_unknown", "error", "AAA", "buy-aaa", "unknown: buy 10 AAA", "buy 10 AAA, filled, 10 filled", FOLLOW),
    ),
    (
        World(intents=[intent(state=IntentState.SENDING)], orders=[]),
        ("outcome_unknown", "error", "AAA", "buy-aaa", "sending: buy 10 AAA", "none found", FOLLOW),
    ),
    (World(orders=[]), ("missing_at_broker", "error", "AAA", "buy-aaa", "buy 10 AAA", "none", LOOK)),
    (
        World(intents=[intent(state=IntentState.BLOCKED)]),
        ("sent_unexpectedly", "error", "AAA", "buy-aaa", "blocked", "buy 10 AAA, filled, 10 filled", LOOK),
    ),
    (
        World(orders=[order(side=Side.SELL)]),
        ("order_differs", "error", "AAA", "buy-aaa", "buy 10 AAA", "sell 10 AAA", LOOK),
    ),
    (
        World(orders=[order(raw={"limit_price": "99.50"})]),
        ("order_differs", "error", "AAA", "buy-aaa", "buy 10 AAA", "buy 10 AAA limit 99.5", LOOK),
    ),
    (World(orders=[order(filled_qty=D(9))]), ("filled_qty_differs", "error", "AAA", "buy-aaa", "10", "9", FOLLOW)),
    (
        World(orders=[order(status=OrderStatus.PARTIALLY_FILLED)]),
        ("state_differs", "error", "AAA", "buy-aaa", "filled", "partially_filled", FOLLOW),
        ("open_order", "info", "AAA", "buy-aaa", "ended with its session",
         "buy 10 AAA, partially_filled, 10 filled", FOLLOW),
    ),
    (
        RESTING,
        ("open_order", "error", "AAA", "buy-aaa", "ended with its session", "buy 10 AAA, accepted, 0 filled", FOLLOW),
    ),
    (HELD, ("not_sent", "error", "AAA", "buy-aaa", "buy 10 AAA", "ready", FOLLOW)),
    (World(fills=[]), ("fill_missing_in_ledger", "error", "AAA", "buy-aaa", "none", FILL, FOLLOW)),
    (
        World(broker_fills=[]),
        ("fill_missing_at_broker", "error", "AAA", "buy-aaa", FILL, "none",
         f"The broker took the execution back, or its answer was incomplete. {FOLLOW}"),
    ),
    (
        World(broker_fills=[broker_fill(price=D(100))]),
        ("fill_differs", "error", "AAA", "buy-aaa", FILL, "buy 10 AAA at 100, fee 0.1",
         f"The broker has corrected the execution. {FOLLOW}"),
    ),
    (
        World(broker_fills=[broker_fill(), broker_fill(fill_id="F9", client_order_id="stranger")]),
        ("foreign_fill", "info", "AAA", "stranger", "none", "F9: buy 10 AAA at 100.5, fee 0.1",
         "Not an order of Scizor's."),
    ),
    (
        World(orders=[order(), order(client_order_id="stranger", broker_order_id="O9", status=OrderStatus.ACCEPTED)]),
        ("foreign_order", "error", "AAA", "stranger", "none", "buy 10 AAA, accepted, 10 filled", STRANGER),
    ),
    (
        World(orders=[order(), order(client_order_id="stranger", broker_order_id="O9", symbol="ZZZ")]),
        ("foreign_order", "info", "ZZZ", "stranger", "none", "buy 10 ZZZ, filled, 10 filled", STRANGER),
    ),
    (
        World(broker_activities=[activity()[0]]),
        ("activity_missing_in_ledger", "error", "AAA", None, "none", "dividend 2.40 dividend", FOLLOW),
    ),
    (
        World(differences={"AAA": D(-1)}),
        ("position_differs", "error", "AAA", None, "11", "10",
         FIND),
    ),
    (
        World(positions=[BrokerPosition("ZZZ", D(3), D(7))], owned={}, differences={"ZZZ": D(3)}),
        ("foreign_position", "info", "ZZZ", None, "0", "3", LEFT),
    ),
    (
        World(cash=D("8994.91")),
        ("cash_differs", "error", None, None, "8994.91", "8994.90",
         "Find the fee, interest, deposit or fill that the ledger does not have."),
    ),
    (
        World(cash=None, cash_note="cash is not compared: the orders of another are open"),
        ("cash_not_compared", "info", None, None, "cash is not compared: the orders of another are open", "8994.90",
         "It is compared once those orders have ended: reconcile the session again then."),
    ),
]  # fmt: skip


def told(world: World, **when: bool) -> list[tuple[object, ...]]:
    return [
        (row.kind.value, row.severity.value, row.symbol, row.client_order_id, row.expected, row.found, row.remedy)
        for row in world.report(**when).break_rows
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[1][0])
def test_a_break_says_what_was_expected_what_was_found_and_what_to_do_next(case):
    world, *expected = case
    assert told(world) == expected


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (RESTING, ("open_order", "working", "AAA", "buy-aaa", "open", "buy 10 AAA, accepted, 0 filled", FOLLOW)),
        (HELD, ("not_sent", "working", "AAA", "buy-aaa", "buy 10 AAA", "ready", FOLLOW)),
        (
            World(**UNTOUCHED),
            ("plan_not_admitted", "working", None, None, "plan plan-one", "admitted: none", "Execute it."),
        ),
    ],
    ids=["open_order", "not_sent", "plan_not_admitted"],
)
def test_what_the_rest_of_the_session_may_settle_is_at_work_until_then(world, expected):
    assert told(world, session_over=False) == [expected]
    assert world.report(session_over=False).state == "working"


def test_a_venue_that_has_not_come_so_far_is_told_with_the_session_it_has_yet_to_go_through():
    assert told(World(), session_over=True, venue_behind=True) == [
        ("venue_behind", "working", None, None, "the venue has gone through 2024-03-04", "not yet",
         "End or execute what is open up to the session first: scizor run for it, or the job follow_orders."),
    ]  # fmt: skip


def test_several_admitted_batches_are_all_named_beside_a_plan_that_is_none_of_theirs():
    batches = [batch(), batch(batch_id="paper/main/2024-03-04/2", batch=2, plan_id="plan-two")]
    world = World(batches=batches, more_plans=[plan_of(planned(client_order_id="x"), plan_id="plan-three")])
    found = [row[5] for row in told(world) if row[0] == "plan_not_admitted"]
    assert found == ["admitted: plan-one, plan-two"]


def test_the_summary_counts_errors_apart_from_what_is_at_work_and_what_is_only_to_be_known():
    world = World(
        orders=[
            order(qty=D(11)),
            order(client_order_id="one", symbol="ZZZ"),
            order(client_order_id="two", symbol="ZZZ"),
        ],
        positions=[BrokerPosition("ZZZ", D(3), D(7))],
    )
    assert world.report().summary.splitlines()[4:] == [
        "breaks   1, 2 info",
        "  order_differs AAA buy-aaa: expected buy 10 AAA, found buy 11 AAA",
    ]
    lines = RESTING.report(session_over=False).summary.splitlines()
    assert lines == [
        "main 2024-03-04: working",
        "orders   1 (1 working)",
        "traded   bought 0.00, sold 0.00, fees 0.00",
        "account  equity 10,004.90 USD, cash 8,994.90",
        "breaks   0, 1 working",
    ]


def test_a_row_of_results_is_whole_for_an_exit_and_for_an_order_that_was_never_admitted():
    leg = order(
        client_order_id="buy-aaa.tp", broker_order_id="O2", side=Side.SELL, parent_client_order_id="buy-aaa",
        status=OrderStatus.CANCELED, qty=D(10), reason="the other exit has filled",
    )  # fmt: skip
    part = {"fill_id": "F2", "client_order_id": "buy-aaa.tp", "side": Side.SELL, "qty": D(4), "fee": D("0.05")}
    parts = [
        ledger_fill(**part, price=D(105)),
        ledger_fill(**(part | {"fill_id": "F3", "qty": D(2)}), price=D(102)),
    ]
    world = World(
        plan=plan_of(planned(), planned(client_order_id="late", symbol="BBB", qty=D(7), price_used=D(20))),
        orders=[order(), leg],
        fills=[ledger_fill(), *parts],
    )
    assert world.report().order_rows[1:] == (
        OrderResult(
            "buy-aaa.tp", "AAA", Side.SELL, D(0), D(10), D(6), D("104.00000000"), D("0.10"), D(100), "canceled", None,
            "exit of buy-aaa: the other exit has filled",
        ),
        OrderResult(
            "late", "BBB", Side.BUY, D(7), D(0), D(0), None, D(0), D(20), "not_admitted", None,
            "the plan was not executed",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "broker_id", "sent"),
    [
        (IntentState.FILLED, "O1", 10),
        (IntentState.EXPIRED, "O1", 10),
        (IntentState.EXPIRED, None, 0),
        (IntentState.READY, None, 0),
        (IntentState.HELD, None, 0),
        (IntentState.CANCELED, None, 10),
    ],
)
def test_only_what_went_out_counts_as_sent(state, broker_id, sent):
    (row,) = World(intents=[intent(state=state, broker_order_id=broker_id)], **NOTHING_SENT).report().order_rows
    assert (row.sent_qty, row.planned_qty, row.state) == (sent, 10, state.value)
