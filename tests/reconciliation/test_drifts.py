"""Every way in which plan, ledger and broker can drift apart: found, named once, for what it is, and locked.

Each drift changes one thing in a session on which the three agree. It must be found by the next reconciliation, with
its class, cause, amount, remedy and lock; nothing else may be called a break; and what it locks is not traded.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from typing import Any, NamedTuple

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import AccountState, BrokerActivity, BrokerPosition, OrderStatus, OrderType, Side
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.rows import ActivityRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.model import Break, Measures, Pass, ReconciliationReport
from scizor_dagster.reconciliation.records import record_report
from scizor_dagster.risk.breaks import BreakLimits, holds_of
from tests.execution.scenario import START, UNLIMITED, model, run
from tests.execution.scenario import order as meant
from tests.execution.scenario import plan_of as plan_in
from tests.reconciliation.drift_table import DRIFT, table_of
from tests.reconciliation.world import (
    AT,
    DAY,
    MONEY,
    World,
    broker_fill,
    intent,
    ledger_fill,
    line,
    order,
    plan_of,
    planned,
)

CASH = MONEY.cash
LATER = AT + timedelta(hours=20)
HELD = BrokerPosition("AAA", D(10), D(101))
SOLD = {"side": Side.SELL, "qty": D(4), "fee": D(0)}


def cash(more: str, **changes: Any) -> AccountState:
    return replace(MONEY, cash=CASH + D(more), **changes)


def shown(qty: str, price: str = "101", symbol: str = "AAA") -> BrokerPosition:
    return BrokerPosition(symbol, D(qty), D(price))


def paid(kind: str, amount: str, symbol: str | None = None, factor: str | None = None) -> BrokerActivity:
    return BrokerActivity("A1", kind, DAY, symbol, D(amount), D(factor) if factor else None, kind)


def recorded(kind: str, amount: str, symbol: str | None = None) -> ActivityRow:
    return ActivityRow("paper", "A1", kind, DAY, symbol, D(amount), None, kind, AT)


class Drift(NamedTuple):
    """What was changed, and what must be said of it. `beside` are kinds that follow from it, and are information."""

    world: Callable[[], World]
    kind: str
    named: str
    locks: str
    cause: str
    qty: str | None = None
    amount: str | None = None
    stage: str = "orders"
    beside: tuple[str, ...] = ()


def canceled(**changes: Any) -> World:
    """An order that the ledger has seen canceled with nothing filled, and of which four have filled after that."""
    part = broker_fill(qty=D(4), fee=D(0), price=D(100))
    return World(
        intents=[intent(state=IntentState.CANCELED, filled_qty=D(0))],
        orders=[order(status=OrderStatus.CANCELED, filled_qty=D(4))],
        fills=[], broker_fills=[part], owned={}, differences={"AAA": D(4)}, positions=[shown("4")],
        cash=CASH, account=cash("-400"), **changes,
    )  # fmt: skip


LIMITED = {"order_type": OrderType.LIMIT, "limit_price": D(101)}
LIMIT = {"plan": plan_of(planned(**LIMITED)), "intents": [intent(**LIMITED)]}
SPLIT = {"owned": {"AAA": D(10)}, "closes": {"AAA": Close(D(101), DAY)}}
STRANGER = {"fill_id": "F9", "client_order_id": "manual", "qty": D(5), "fee": D(0), "price": D(100)}
FOUR = {"differences": {"AAA": D(-4)}, "positions": [shown("6")]}

REVERSED = {"closes": {"AAA": Close(D(101), DAY)}, "positions": [shown("3", "303")], "differences": {"AAA": D(-7)}}

DRIFTS: dict[str, Drift] = {
    "missing order at the broker": Drift(
        lambda: World(orders=[]),
        "missing_at_broker", "missing", "instrument", "acknowledged it as O1, and shows it no more", "-10",
    ),
    "missing intent": Drift(
        lambda: World(intents=[], fills=[ledger_fill(portfolio=None)]),
        "planned_without_intent", "missing", "instrument", "the ledger has lost the order", "-10",
    ),
    "plan that has lost an order": Drift(
        lambda: World(plan=replace(plan_of(), orders=())),
        "intent_without_plan", "unexpected", "instrument", "the stored plan has lost the order", "10",
    ),
    "plan edited": Drift(
        lambda: World(plan=plan_of(planned(qty=D(9)))),
        "intent_differs", "quantity", "instrument", "changed after the plan was admitted: another quantity", "1",
    ),
    "intent edited": Drift(
        lambda: World(intents=[intent(price_used=D(99))]),
        "intent_differs", "price", "instrument", "another price or form", amount="-10",
    ),
    "plan gone": Drift(
        lambda: World(plan=None),
        "plan_missing", "missing", "portfolio", "the lake does not hold the plan",
    ),
    "another plan in its place": Drift(
        lambda: World(more_plans=[plan_of(planned(client_order_id="x"), plan_id="another")]),
        "plan_not_admitted", "unexpected", "portfolio", "another plan than the one that the ledger has admitted",
    ),
    "foreign order on our symbol": Drift(
        lambda: World(orders=[order(), order(client_order_id="manual", broker_order_id="O9", qty=D(5),
                                             filled_qty=D(0), status=OrderStatus.ACCEPTED)]),
        "foreign_order", "foreign", "instrument", "it can still fill in an instrument of ours", "5",
    ),
    "foreign trade on our symbol": Drift(
        lambda: World(
            orders=[order(), order(client_order_id="manual", broker_order_id="O9", qty=D(5), filled_qty=D(5))],
            broker_fills=[broker_fill(), broker_fill(**STRANGER)], fills=[ledger_fill(), ledger_fill(
                **STRANGER, portfolio=None)],
            foreign={"AAA": D(5)}, differences={"AAA": D(5)}, positions=[shown("15")]),
        "position_differs", "foreign", "instrument", "5 by recorded executions of orders that nobody here has placed",
        "5", stage="positions", beside=("foreign_order",),
    ),
    "foreign order elsewhere": Drift(
        lambda: World(orders=[order(), order(client_order_id="manual", broker_order_id="O9", symbol="ZZZ",
                                             status=OrderStatus.ACCEPTED)]),
        "", "", "", "", beside=("foreign_order",),
    ),
    "wrong quantity": Drift(
        lambda: World(orders=[order(qty=D(11))]),
        "order_differs", "quantity", "instrument", "its quantity was changed at the broker", "1",
    ),
    "wrong side": Drift(
        lambda: World(orders=[order(side=Side.SELL)]),
        "order_differs", "quantity", "instrument", "its side was changed at the broker", "-20",
    ),
    "wrong limit": Drift(
        lambda: World(**LIMIT, orders=[order(raw={"limit_price": "101.50"})]),
        "order_differs", "price", "instrument", "its limit was changed at the broker", amount="5",
    ),
    "duplicate order": Drift(
        lambda: World(orders=[order(), order(broker_order_id="O2", filled_qty=D(0), status=OrderStatus.CANCELED)]),
        "duplicate_order", "duplicate", "instrument", "the broker has O2 beside O1 with the same id", "10",
    ),
    "duplicate execution": Drift(
        lambda: World(broker_fills=[broker_fill(), broker_fill(fill_id="F2")]),
        "fill_missing_in_ledger", "duplicate", "instrument", "it is F1 once more: the order has filled 10 in all",
        "10", "-1005.10", stage="fills",
    ),
    "execution booked twice": Drift(
        lambda: World(fills=[ledger_fill(), ledger_fill(fill_id="F2")], owned={"AAA": D(20)},
                      differences={"AAA": D(-10)}, cash=CASH - D("1005.10")),
        "fill_missing_at_broker", "duplicate", "instrument", "the ledger has F1 twice, and the broker holds it once",
        "-10", "1005.10", stage="fills", beside=("position_differs", "cash_differs"),
    ),
    "late fill": Drift(
        canceled,
        "fill_missing_in_ledger", "late", "instrument", "after the ledger had seen its order end as canceled",
        "4", "-400", stage="fills", beside=("filled_qty_differs", "position_differs", "cash_differs"),
    ),
    "fill missing in the ledger": Drift(
        lambda: World(fills=[], owned={}, differences={"AAA": D(10)}, cash=CASH + D("1005.10")),
        "fill_missing_in_ledger", "missing", "instrument", "the ledger has counted it with its order", "10", "-1005.10",
        stage="fills", beside=("position_differs", "cash_differs"),
    ),
    "fill missing at the broker": Drift(
        lambda: World(broker_fills=[]),
        "fill_missing_at_broker", "missing", "instrument", "lists it no more, and holds what it has brought", "-10",
        "1005.10", stage="fills",
    ),
    "bust": Drift(
        lambda: World(broker_fills=[broker_fill(qty=D(0), price=D(0), fee=D(0))], positions=[],
                      differences={"AAA": D(-10)}, account=cash("1005.10")),
        "fill_differs", "bust", "instrument", "the broker has taken the execution back", "-10", "1005.10",
        stage="fills", beside=("position_differs", "cash_differs"),
    ),
    "bust by silence": Drift(
        lambda: World(broker_fills=[], positions=[], differences={"AAA": D(-10)}, account=cash("1005.10")),
        "fill_missing_at_broker", "bust", "instrument", "lists it no more, and does not hold its shares", "-10",
        "1005.10", stage="fills", beside=("position_differs", "cash_differs"),
    ),
    "price corrected": Drift(
        lambda: World(broker_fills=[broker_fill(price=D("100.60"))], account=cash("-1.00")),
        "fill_differs", "price", "none", "the broker has corrected its price", amount="-1.00", stage="fills",
        beside=("cash_differs",),
    ),
    "fee corrected": Drift(
        lambda: World(broker_fills=[broker_fill(fee=D("0.35"))], account=cash("-0.25")),
        "fill_differs", "dividend_or_fee", "none", "the broker has corrected its fee", amount="-0.25", stage="fills",
        beside=("cash_differs",),
    ),
    "split that is not recorded": Drift(
        lambda: World(**SPLIT, positions=[shown("40", "25.30")], differences={"AAA": D(30)},
                      broker_activities=[paid("split", "0", "AAA", "4")]),
        "activity_missing_in_ledger", "corporate_action", "instrument", "the broker's split is not recorded",
        amount="0", stage="positions", beside=("position_differs",),
    ),
    "split that nobody tells of": Drift(
        lambda: World(**SPLIT, positions=[shown("40", "25.30")], differences={"AAA": D(30)}),
        "position_differs", "corporate_action", "instrument", "a split of 4 for 1 that nobody has recorded", "30",
        stage="positions",
    ),
    "reverse split with cash in lieu": Drift(
        lambda: World(**SPLIT, positions=[shown("3", "303")], differences={"AAA": D(-7)}, account=cash("101"),
                      broker_activities=[paid("split", "101", "AAA", "0.3333333333333333")]),
        "activity_missing_in_ledger", "corporate_action", "instrument", "the broker's split is not recorded",
        amount="101", stage="positions", beside=("position_differs", "cash_differs"),
    ),
    "rename": Drift(
        lambda: World(positions=[shown("10", symbol="BBB")], differences={"AAA": D(-10), "BBB": D(10)}),
        "position_differs", "corporate_action", "instrument", "it seems to be called BBB now", "-10",
        stage="positions", beside=("foreign_position",),
    ),
    "symbol reused": Drift(
        lambda: World(**SPLIT, positions=[shown("7", "3.10")], differences={"AAA": D(-3)}),
        "position_differs", "corporate_action", "instrument", "may be another instrument's by now", "-3",
        stage="positions",
    ),
    "dividend missing": Drift(
        lambda: World(broker_activities=[paid("dividend", "2.40", "AAA")], account=cash("2.40")),
        "activity_missing_in_ledger", "dividend_or_fee", "none", "the broker's dividend is not recorded",
        amount="2.40", stage="cash", beside=("cash_differs",),
    ),
    "dividend of another amount": Drift(
        lambda: World(broker_activities=[paid("dividend", "2.40", "AAA")], account=cash("0.40"),
                      activities=[recorded("dividend", "2.00", "AAA")]),
        "activity_differs", "dividend_or_fee", "none", "the broker's dividend was recorded otherwise",
        amount="0.40", stage="cash", beside=("cash_differs",),
    ),
    "fee missing": Drift(
        lambda: World(broker_activities=[paid("fee", "-12.00")], account=cash("-12.00")),
        "activity_missing_in_ledger", "dividend_or_fee", "none", "the broker's fee is not recorded",
        amount="-12.00", stage="cash", beside=("cash_differs",),
    ),
    "fee that nobody tells of": Drift(
        lambda: World(account=cash("-12.00")),
        "cash_differs", "missing", "none", "12.00 less than every recorded execution and payment comes to",
        amount="-12.00", stage="cash",
    ),
    "quantity of an execution corrected": Drift(
        lambda: World(broker_fills=[broker_fill(qty=D(8))], orders=[order(filled_qty=D(8))], positions=[shown("8")],
                      differences={"AAA": D(-2)}, account=cash("201.00")),
        "fill_differs", "quantity", "instrument", "the broker has corrected its quantity", "-2", "201.00",
        stage="fills", beside=("filled_qty_differs", "position_differs", "cash_differs"),
    ),
    "price corrected by less than the tolerance": Drift(
        lambda: World(broker_fills=[broker_fill(price=D("100.501"))], account=cash("-0.01"),
                      measures=Measures(price_bps=D(1))),
        "", "", "", "", beside=("fill_differs", "cash_differs"),
    ),
    "order of another instrument": Drift(
        lambda: World(orders=[order(symbol="BBB")]),
        "order_differs", "unexpected", "instrument", "its instrument was changed at the broker",
    ),
    "intent of another instrument": Drift(
        lambda: World(plan=plan_of(planned(symbol="BBB"))),
        "intent_differs", "unexpected", "instrument", "another instrument",
    ),
    "deposit": Drift(
        lambda: World(broker_activities=[paid("deposit", "500")], account=cash("500")),
        "activity_missing_in_ledger", "foreign", "none", "the broker's deposit is not recorded",
        amount="500", stage="cash", beside=("cash_differs",),
    ),
    "deposit that nobody tells of": Drift(
        lambda: World(account=cash("500")),
        "cash_differs", "unexpected", "none", "500.00 more than every recorded execution and payment comes to",
        amount="500", stage="cash",
    ),
    "cash in another currency": Drift(
        lambda: World(account=cash("-650", other_cash=D(650))),
        "cash_differs", "currency", "none", "650 USD are held in other currencies", amount="-650", stage="cash",
    ),
    "rounding of a fraction": Drift(
        lambda: World(positions=[shown("10.00004")], differences={"AAA": D("0.00004")},
                      measures=Measures(quantity=D("0.0001"))),
        "", "", "", "", beside=("position_differs",),
    ),
    "rounding of a cent": Drift(
        lambda: World(account=cash("0.01"), measures=Measures(cash=D("0.01"))),
        "", "", "", "", beside=("cash_differs",),
    ),
    "foreign position": Drift(
        lambda: World(positions=[HELD, shown("7", symbol="ZZZ")], differences={"ZZZ": D(7)}),
        "", "", "", "", beside=("foreign_position",),
    ),
    "position vanished": Drift(
        lambda: World(positions=[], differences={"AAA": D(-10)}),
        "position_differs", "missing", "instrument", "10 have left the account, and no execution says how", "-10",
        stage="positions",
    ),
    "position of the other side": Drift(
        lambda: World(positions=[shown("-10")], differences={"AAA": D(-20)}),
        "position_differs", "quantity", "instrument", "the other side of what the portfolios own", "-20",
        stage="positions",
    ),
    "position of which a part is gone": Drift(
        lambda: World(**FOUR), "position_differs", "quantity", "instrument", "explains -4", "-4", stage="positions",
    ),
    "shares without an execution": Drift(
        lambda: World(owned={}, fills=[], broker_fills=[], orders=[order(status=OrderStatus.CANCELED, filled_qty=D(0))],
                      intents=[intent(state=IntentState.CANCELED, filled_qty=D(0))], differences={"AAA": D(10)},
                      cash=CASH),
        "position_differs", "unexpected", "instrument", "10 have come, and no execution says how", "10",
        stage="positions",
    ),
    "fraction of what trades whole": Drift(
        lambda: World(positions=[shown("10.5")], differences={"AAA": D("0.5")}, measures=Measures(whole={"AAA"})),
        "position_differs", "quantity", "instrument", "the broker shows 10.5, and only whole shares trade there", "0.5",
        stage="positions",
    ),
    "order returned after its end": Drift(
        lambda: World(intents=[intent(state=IntentState.CANCELED, filled_qty=D(0))], fills=[], broker_fills=[],
                      orders=[order(status=OrderStatus.ACCEPTED, filled_qty=D(0))], owned={}, positions=[]),
        "state_differs", "state", "instrument", "it has ended on one side alone", "10", beside=("open_order",),
    ),
    "unknown outcome": Drift(
        lambda: World(intents=[intent(state=IntentState.UNKNOWN, filled_qty=D(0))], orders=[], fills=[],
                      broker_fills=[], owned={}, positions=[]),
        "outcome_unknown", "unknown", "order", "no answer can be relied on", "10",
    ),
    "sent although it was stopped": Drift(
        lambda: World(intents=[intent(state=IntentState.BLOCKED)]),
        "sent_unexpectedly", "unexpected", "instrument", "the ledger says that it is blocked", "10",
    ),
    "never sent": Drift(
        lambda: World(intents=[intent(state=IntentState.READY, broker_order_id=None, filled_qty=D(0))], orders=[],
                      fills=[], broker_fills=[], owned={}, positions=[]),
        "not_sent", "state", "instrument", "its session is over, and no run has ended it", "-10",
    ),
}  # fmt: skip


def errors_of(report: ReconciliationReport) -> list[Break]:
    return [row for row in report.break_rows if row.severity == "error"]


def test_a_session_on_which_all_agree_closes_its_day(ledger: Ledger) -> None:
    report = World(which=Pass.SECOND).report()
    with ledger.transaction() as connection:
        record_report(connection, report, now=LATER)
        assert is_closed(connection, "paper", "main", DAY)
    assert report.break_rows == ()


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_is_found_named_once_for_what_it_is_and_keeps_what_it_locks_from_trading(
    name: str, ledger: Ledger, record_property: Any
) -> None:
    drift = DRIFTS[name]
    # Before anything is judged: one that is not found is in the table as well.
    record_property(DRIFT, [name, drift.named or "information", "by the next reconciliation"])
    report = replace(drift.world(), which=Pass.SECOND).report()
    found = errors_of(report)
    beside = {row.kind.value for row in report.break_rows if row not in found}
    assert beside == set(drift.beside)
    with ledger.transaction() as connection:
        record_report(connection, report, now=LATER)
        rows = open_breaks(connection, "paper")
        holds = holds_of(connection, "paper", "main", BreakLimits(), lambda: None)
        assert is_closed(connection, "paper", "main", DAY) == (not drift.kind)
    if not drift.kind:
        assert (found, rows, holds) == ([], [], {})
        return
    (row,) = found
    assert (row.kind, row.break_class, row.stage, row.locks) == (drift.kind, drift.named, drift.stage, drift.locks)
    assert drift.cause in row.cause
    assert row.remedy.endswith(".")
    assert row.qty == (None if drift.qty is None else D(drift.qty))
    if drift.amount is not None:
        assert (row.amount, row.currency) == (D(drift.amount), "USD")
    assert [(one.break_id, one.kind, one.locks, one.cause) for one in rows] == [
        (row.break_id, row.kind, row.locks, row.cause)
    ]
    assert set(holds) == {"instrument": {row.symbol}, "portfolio": {None}}.get(row.locks, set())
    _assert_not_traded(ledger, row)


def _assert_not_traded(ledger: Ledger, row: Break) -> None:
    """The next plan orders the instrument; what is locked does not go out."""
    broker = model(ledger)
    plan = plan_in([meant("next", "AAA", Side.BUY, "1")])
    if row.locks == "portfolio":
        with pytest.raises(Exception, match="Plan, ledger and broker do not agree"):
            run(ledger, broker, plan)
    else:
        run(ledger, broker, plan, limits=UNLIMITED)
    assert broker.book.attempts == ([] if row.locks in ("portfolio", "instrument") else ["next"])


@pytest.mark.parametrize("name", [name for name, drift in DRIFTS.items() if drift.kind])
def test_a_lock_ends_by_itself_once_the_parties_agree_again(name: str, ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        record_report(connection, DRIFTS[name].world().report(), now=START)
        assert open_breaks(connection, "paper")
        record_report(connection, World(which=Pass.SECOND).report(), now=LATER)
        assert open_breaks(connection, "paper") == []
        assert is_closed(connection, "paper", "main", DAY)


@pytest.mark.parametrize("name", [name for name, drift in DRIFTS.items() if drift.kind])
def test_what_a_person_has_accepted_is_information_as_long_as_it_stays_the_same(name: str) -> None:
    world = DRIFTS[name].world()
    (row,) = errors_of(world.report())
    world.accepted = {row.break_id: "ann: mine"}
    report = world.report()
    assert errors_of(report) == []
    assert [one.cause.endswith("accepted by ann: mine") for one in report.break_rows if one.break_id] == [True]


def test_the_second_pass_names_what_was_recorded_since_the_first() -> None:
    bust = ledger_fill(fill_id="F3", qty=D(0), version=2, recorded_at=LATER)
    fixed = ledger_fill(fill_id="F4", version=2, recorded_at=LATER)
    late = ledger_fill(fill_id="F2", recorded_at=LATER)
    elsewhere = ledger_fill(fill_id="F5", portfolio="other", recorded_at=LATER)
    world = World(
        fills=[ledger_fill(), late, bust, fixed, elsewhere],
        broker_fills=[broker_fill(), broker_fill(fill_id="F2"), broker_fill(fill_id="F4")],
        activities=[replace(recorded("dividend", "2.40", "AAA"), recorded_at=LATER), replace(
            recorded("split", "0", "AAA"), activity_id="A2", recorded_at=LATER), recorded("fee", "-1")],
        which=Pass.SECOND,
        first_at=AT + timedelta(hours=8),
    )  # fmt: skip
    rows = [row for row in world.report().break_rows if row.kind == "came_late"]
    assert [(row.break_class, row.stage, row.severity) for row in rows] == [
        ("late", "fills", "info"),
        ("bust", "fills", "info"),
        ("late", "fills", "info"),
        ("dividend_or_fee", "cash", "info"),
        ("corporate_action", "positions", "info"),
    ]
    assert [row.kind for row in replace(world, first_at=None).report().break_rows if row.kind == "came_late"] == []


def test_cash_in_lieu_of_an_unseen_reverse_split_is_told_by_its_worth() -> None:
    rows = {row.kind.value: row for row in World(**REVERSED, account=cash("101.00")).report().break_rows}
    assert "a split of 0.3333 for 1 that nobody has recorded" in rows["position_differs"].cause
    assert rows["cash_differs"].cause == "101.00 is about what 0.33 AAA are worth: cash in lieu of it"
    assert rows["cash_differs"].break_class == "corporate_action"
    (other,) = [row for row in World(**REVERSED, account=cash("900")).report().break_rows if row.stage == "cash"]
    assert other.break_class == "unexpected"
    unpriced = World(account=cash("101.00"), positions=[BrokerPosition("AAA", D(3), None)], differences={"AAA": D(-7)})
    assert {row.break_class for row in unpriced.report().break_rows} == {"quantity", "unexpected"}


@pytest.mark.parametrize(
    ("which", "over", "severity", "named"),
    [
        (Pass.FIRST, False, "working", "missing"),
        (Pass.FIRST, True, "error", "missing"),
        (Pass.SECOND, True, "error", "late"),
    ],
)
def test_a_fill_of_an_order_at_work_is_late_only_in_the_second_pass(
    which: Pass, over: bool, severity: str, named: str
) -> None:
    world = World(
        intents=[intent(state=IntentState.WORKING, filled_qty=D(0))], fills=[], owned={}, which=which,
        orders=[order(status=OrderStatus.PARTIALLY_FILLED, filled_qty=D(0))], broker_fills=[broker_fill(qty=D(4))],
    )  # fmt: skip
    (row,) = [row for row in world.report(session_over=over).break_rows if row.stage == "fills"]
    assert (row.severity, row.break_class) == (severity, named)


def test_a_corrected_fee_says_nothing_of_how_much_the_order_has_filled() -> None:
    fewer = [order(filled_qty=D(8), status=OrderStatus.CANCELED)]
    rows = errors_of(World(broker_fills=[broker_fill(fee=D("0.35"))], orders=fewer, account=cash("-0.25")).report())
    assert {(row.kind.value, row.locks.value) for row in rows} == {
        ("filled_qty_differs", "instrument"),
        ("fill_differs", "none"),
    }


def test_two_instruments_that_came_in_the_quantity_of_one_that_left_are_no_rename() -> None:
    world = World(
        positions=[shown("10", symbol="BBB"), shown("10", symbol="CCC")],
        differences={"AAA": D(-10), "BBB": D(10), "CCC": D(10)},
    )
    (row,) = errors_of(world.report())
    assert (row.symbol, row.break_class) == ("AAA", "missing")


@pytest.mark.parametrize(
    ("recorded", "causes"),
    [
        ("3", "3 by recorded executions of orders that nobody here has placed; no execution, split or rounding"),
        ("9", "5 by recorded executions of orders that nobody here has placed"),
        ("-3", "no execution, split or rounding explains 5"),
    ],
)
def test_of_what_others_have_traded_no_more_is_claimed_than_differs(recorded: str, causes: str) -> None:
    world = World(foreign={"AAA": D(recorded)}, differences={"AAA": D(5)}, positions=[shown("15")])
    (row,) = errors_of(world.report())
    assert row.cause.startswith(causes)


def test_an_unrecorded_trade_of_nobodys_is_a_part_of_the_position() -> None:
    world = World(
        broker_fills=[broker_fill(), broker_fill(**STRANGER)], differences={"AAA": D(5)}, positions=[shown("15")]
    )
    (row,) = errors_of(world.report())
    assert (row.break_class, row.cause) == ("foreign", "5 by F9, an order of nobody's")


@pytest.mark.parametrize(("more", "told"), [("2.40", "2.40"), ("-30", "-30.00"), ("0", None)])
def test_at_a_broker_that_tells_of_no_payment_a_difference_of_cash_is_information(
    more: str, told: str | None, ledger: Ledger
) -> None:
    silent = Measures(payments_told=False)
    world = World(account=cash(more), measures=silent, which=Pass.SECOND)
    report = world.report()
    with ledger.transaction() as connection:
        record_report(connection, report, now=LATER)
        assert open_breaks(connection, "paper") == []
        assert is_closed(connection, "paper", "main", DAY)
    assert [(row.kind, row.severity, f"{row.amount:.2f}", row.value) for row in report.break_rows] == (
        [] if told is None else [("cash_differs", "info", told, None)]
    )
    for row in report.break_rows:
        assert row.cause.endswith(
            "the broker tells of no dividend, interest or fee, and what of it is one cannot be said"
        )
        assert row.remedy == "Compare it with the account's statement; nothing waits for it."


def test_at_such_a_broker_what_a_fill_explains_is_explained_and_a_fill_that_is_missing_is_a_break() -> None:
    world = canceled(measures=Measures(payments_told=False))
    assert [row.kind for row in errors_of(world.report())] == ["fill_missing_in_ledger"]
    (row,) = [row for row in world.report().break_rows if row.kind == "cash_differs"]
    assert (row.cause, row.remedy) == ("-400.00 by execution F1", "Nothing of its own: clear what has caused it.")


def test_parts_sum_to_the_difference_that_they_explain() -> None:
    world = canceled()
    world.account, world.positions, world.differences = cash("-412.34"), [shown("7")], {"AAA": D(7)}
    world.broker_activities = [paid("fee", "-2.34")]
    rows = {row.kind.value: row for row in world.report().break_rows}
    assert rows["position_differs"].cause == "4 by execution F1; no execution, split or rounding explains 3"
    assert rows["cash_differs"].cause == (
        "-400.00 by execution F1; -2.34 by a fee; 10.00 less than every recorded execution and payment comes to"
    )
    assert (rows["position_differs"].severity, rows["cash_differs"].severity) == ("error", "error")


def test_all_three_parties_are_shown() -> None:
    (row,) = World(orders=[order(qty=D(11))]).report().break_rows
    assert (row.plan, row.ledger, row.broker) == ("buy 10 AAA market sized at 100", "buy 10 AAA", "buy 11 AAA")
    (row,) = World(plan=plan_of(planned(qty=D(9)))).report().break_rows
    assert (row.plan, row.ledger, row.broker) == (
        "buy 9 AAA market sized at 100", "buy 10 AAA market sized at 100", "buy 10 AAA, filled, 10 filled",
    )  # fmt: skip
    (row,) = World(plan=plan_of(lines=(line(),)), **FOUR).report().break_rows
    assert (row.plan, row.ledger, row.broker, row.value) == ("10", "10", "6", D(404))


def test_a_split_that_nobody_tells_of_is_worth_what_it_has_changed_in_value() -> None:
    (row,) = errors_of(World(**SPLIT, positions=[shown("40", "25.30")], differences={"AAA": D(30)}).report())
    assert (row.break_class, row.value) == ("corporate_action", D(2)), "40 at 25.30, and before 10 at 101"
    renamed = World(positions=[shown("10", symbol="BBB")], differences={"AAA": D(-10), "BBB": D(10)})
    (row,) = errors_of(renamed.report())
    assert (row.break_class, row.value) == ("corporate_action", D(1010)), "all of what has left"


def test_at_least_twenty_five_kinds_are_injected(record_property: Any) -> None:
    record_property("drifts", len(DRIFTS))
    assert len(DRIFTS) >= 25


class Told(NamedTuple):
    """What a test has reported of itself."""

    passed: bool
    user_properties: list[tuple[str, object]]


def test_the_table_of_drifts_names_each_of_them_and_says_which_was_not_found() -> None:
    found = Told(True, [("drifts", 2), (DRIFT, ["rename", "corporate_action", "by the next reconciliation"])])
    missed = Told(False, [(DRIFT, ["bust", "bust", "by the next reconciliation"])])
    assert list(table_of([Told(True, [("drifts", 2)])])) == []
    assert list(table_of([found, missed])) == [
        "drifts between plan, ledger and broker: 1 of 2 kinds found and named",
        "  bust    bust              NOT FOUND AS MEANT",
        "  rename  corporate_action  by the next reconciliation",
    ]
