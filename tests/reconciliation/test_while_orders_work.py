"""What a reconciliation says while orders of the account are at the broker: their instruments are at work."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import BrokerPosition, Side
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import Measures, Pass
from scizor_dagster.reconciliation.records import record_report
from tests.execution.scenario import MONDAY, START, TUESDAY, adopt, model, plan_of, resume, run
from tests.execution.scenario import order as meant
from tests.reconciliation.world import DAY, World

MORE = {"differences": {"AAA": D(4)}, "positions": [BrokerPosition("AAA", D(14), D(101))]}
MONDAYS = {"account": "paper", "portfolio": "main", "session": MONDAY}


def test_a_position_with_an_order_at_the_broker_is_at_work_and_locks_nothing() -> None:
    (row,) = World(**MORE, under_way=frozenset({"AAA"})).report().break_rows  # type: ignore[arg-type]
    assert (row.kind, row.severity, row.locks, row.break_id) == ("position_differs", "working", "none", "")
    assert row.cause.endswith("an order of it is at the broker, and what it has filled may not be recorded yet")
    (row,) = World(**MORE, under_way=frozenset({"BBB"})).report().break_rows  # type: ignore[arg-type]
    assert (row.severity, row.locks) == ("error", "instrument")


def test_what_works_neither_opens_nor_clears_a_break_and_closes_no_day(ledger: Ledger) -> None:
    working = World(**MORE, under_way=frozenset({"AAA"}), which=Pass.SECOND).report()  # type: ignore[arg-type]
    with ledger.transaction() as connection:
        record_report(connection, working, now=START)
        assert open_breaks(connection, "paper") == []
        assert not is_closed(connection, "paper", "main", DAY)
        record_report(connection, World(**MORE).report(), now=START)  # type: ignore[arg-type]
        record_report(connection, working, now=START)
        assert [row.symbol for row in open_breaks(connection, "paper")] == ["AAA"]
        record_report(connection, World().report(), now=START)
        assert open_breaks(connection, "paper") == []


def test_orders_of_a_later_session_and_of_another_portfolio_are_under_way_for_the_day_before(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)})
    run(ledger, broker, plan_of([meant("b", "CCC", Side.BUY, "10")]))
    resume(ledger, broker)
    broker.has_data = set()
    theirs = replace(plan_of([meant("o", "DDD", Side.BUY, "5")], session=TUESDAY), portfolio="other")
    run(ledger, broker, theirs, portfolio="other")
    view, _ = read_sides(ledger, broker, **MONDAYS, deposit=D(1_000))
    assert view.under_way == {"DDD"}
    assert (view.cash, view.cash_note) == (
        None,
        "cash is not compared: orders of portfolio 'other' of 2026-03-03 on this account are still open",
    )


def test_cash_is_not_compared_while_an_own_order_is_open(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([meant("b", "CCC", Side.BUY, "10")]))
    view, _ = read_sides(ledger, broker, **MONDAYS, deposit=D(1_000))
    assert view.cash_note == (
        "cash is not compared: orders of portfolio 'main' of 2026-03-02 on this account are still open"
    )


@pytest.mark.parametrize("rules", [Measures(fractional=False), Measures(whole={"AAA"})])
def test_a_fraction_on_which_both_agree_is_information_and_one_that_has_come_is_not(rules: Measures) -> None:
    held = {"positions": [BrokerPosition("AAA", D("10.5"), D(101))], "measures": rules}
    agreed = World(owned={"AAA": D("10.5")}, **held).report()  # type: ignore[arg-type]
    (row,) = agreed.break_rows
    assert (row.kind, row.severity, row.locks, agreed.state) == ("fraction_held", "info", "none", "reconciled")
    assert row.cause == "ledger and broker agree on 10.5, and only whole shares trade there"
    (row,) = World(differences={"AAA": D("0.5")}, **held).report().break_rows  # type: ignore[arg-type]
    assert (row.kind, row.severity, row.locks) == ("position_differs", "error", "instrument")
    assert row.cause.endswith("the broker shows 10.5, and only whole shares trade there")
    (row,) = World(differences={"AAA": D(-4)}, **held).report().break_rows  # type: ignore[arg-type]
    assert (row.severity, row.cause) == ("error", "no execution, split or rounding explains -4")
