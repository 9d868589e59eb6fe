"""A reconciliation expects manual orders: beside a rebalance, without one, and while its plan waits."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import execute
from scizor_dagster.ledger.manual_orders import Ask
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import MANUAL, Plan
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import BreakKind, ReconciliationReport, ReconciliationState, Severity, When
from scizor_dagster.reconciliation.positions import targets_of
from scizor_dagster.reconciliation.reconcile import reconcile
from tests.execution.scenario import MONDAY, adopt, model, order, parts, plan_of, run

KEY = {"account": "paper", "portfolio": "main", "session": MONDAY}
ASK = Ask("k-1", "main", "{}", "jo", "a tip", "absorb")
REBALANCE = plan_of([order("r", "AAA", Side.BUY, "1")])


def by_hand(batch: int) -> Plan:
    plan = plan_of([order("m", "CCC", Side.BUY, "3")], batch=batch, plan_id="m")
    line = plan.lines[0]._replace(target_qty=D(3))
    return replace(plan, lines=(line,), origin=MANUAL)


def reconciled(ledger: Ledger, broker: Any, *plans: Plan) -> ReconciliationReport:
    mine, theirs = read_sides(ledger, broker, **KEY, deposit=D(1_000))
    return reconcile(plans, mine, theirs, **KEY, closes={}, when=When())


def place(ledger: Ledger, broker: Any, batch: int) -> Plan:
    plan = by_hand(batch)
    execute(plan, **parts(ledger, broker), ask=ASK)
    return plan


def test_a_manual_order_after_a_rebalance_is_expected(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, REBALANCE)
    report = reconciled(ledger, broker, REBALANCE, place(ledger, broker, 2))
    assert (report.state, report.break_count) == (ReconciliationState.RECONCILED, 0)
    assert {row.symbol: row.target_qty for row in report.position_rows} == {"AAA": 0, "CCC": 3}


def test_a_plan_that_waits_beside_a_manual_order_is_no_other_plan_than_the_admitted_one(ledger: Ledger) -> None:
    broker = model(ledger)
    report = reconciled(ledger, broker, REBALANCE, place(ledger, broker, 1))
    (row,) = [row for row in report.break_rows if row.kind is BreakKind.PLAN_NOT_ADMITTED]
    assert (row.severity, row.found) == (Severity.INFO, "admitted: none")
    assert report.break_count == 0


def test_a_manual_order_whose_plan_is_gone_is_named(ledger: Ledger) -> None:
    broker = model(ledger)
    place(ledger, broker, 1)
    kinds = [row.kind for row in reconciled(ledger, broker).break_rows if row.severity is Severity.ERROR]
    assert kinds == [BreakKind.PLAN_MISSING]


def test_a_rebalance_says_what_is_wanted_of_all_and_a_manual_order_of_its_own_line() -> None:
    line = REBALANCE.lines[0]
    kept = replace(REBALANCE, lines=(line._replace(target_qty=D(2), kept_qty=D(5)), line._replace(symbol="CCC")))
    assert targets_of([]) == {}
    assert targets_of([kept, by_hand(2)]) == {"AAA": 7, "CCC": 3}
    assert targets_of([by_hand(1), kept]) == {"AAA": 7, "CCC": 0}
    unknown = replace(REBALANCE, lines=(line._replace(target_qty=None, kept_qty=D(5)),))
    assert targets_of([unknown]) == {"AAA": None}


def test_what_is_set_apart_is_expected_to_be_held(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    plan = plan_of([order("b", "AAA", Side.BUY, "1")], held={"AAA": "2"})
    line = plan.lines[0]._replace(kept_qty=D(3), target_qty=D(3))
    plan = replace(plan, lines=(line,))
    run(ledger, broker, plan)
    report = reconciled(ledger, broker, plan)
    assert report.break_count == 0
    assert [(row.symbol, row.qty, row.target_qty) for row in report.position_rows] == [("AAA", 6, 6)]
