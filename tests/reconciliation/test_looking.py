"""A look at positions before a plan, and what the ledger's own word alone comes to."""

from datetime import timedelta

import pytest

from scizor_dagster.brokers.protocol import BrokerFill, BrokerPosition, OrderStatus, Side
from scizor_dagster.ledger.breaks import accept_break, accepted_breaks, open_breaks
from scizor_dagster.ledger.days import day_of
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.intents import last_replies
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.gather import read_ledger, read_logs
from scizor_dagster.reconciliation.looking import position_differences, record_look
from scizor_dagster.reconciliation.model import Measures, Pass, ReconciliationReport, Source, When
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.records import record_report
from scizor_dagster.risk.breaks import locked_symbols
from tests.execution.scenario import BEFORE, MONDAY, START, TUESDAY, D, adopt, model, order, plan_of, resume, run

PLAN = plan_of([order("b-ccc", "CCC", Side.BUY, "10")], session=MONDAY)
LATER = START + timedelta(hours=9)


def look(ledger: Ledger, *shown: tuple[str, str]) -> list[str]:
    """What a look finds and records; the symbols of the breaks that are open after it."""
    positions = [BrokerPosition(symbol, D(qty), D(100)) for symbol, qty in shown]
    with ledger.transaction() as connection:
        found = position_differences(connection, "paper", positions, {}, Measures())
        record_look(connection, "paper", "main", TUESDAY, found, now=LATER)
        return [row.symbol or "" for row in open_breaks(connection, "paper")]


def test_a_position_that_differs_is_locked_before_a_plan_and_free_again_once_it_agrees(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    assert look(ledger, ("AAA", "10"), ("ZZZ", "5")) == []
    assert look(ledger, ("AAA", "8")) == ["AAA"]
    assert look(ledger, ("AAA", "8")) == ["AAA"]
    assert look(ledger, ("AAA", "10")) == []


@pytest.mark.parametrize(
    ("owned", "shown", "measures", "words"),
    [
        ("10", "-5", Measures(), "the broker shows the other side of what the portfolios own"),
        ("-10", "5", Measures(), "the broker shows the other side of what the portfolios own"),
        ("10", "10.5", Measures(fractional=False), "the broker shows 10.5, and only whole shares trade there"),
        ("10", "10.5", Measures(whole={"AAA"}), "the broker shows 10.5, and only whole shares trade there"),
    ],
)
def test_105_a_position_that_no_trade_can_have_made_is_frozen(
    ledger: Ledger, owned: str, shown: str, measures: Measures, words: str
) -> None:
    adopt(ledger, "AAA", owned)
    positions = [BrokerPosition("AAA", D(shown), None), BrokerPosition("ZZZ", D("1.5"), None)]
    with ledger.transaction() as connection:
        found = position_differences(connection, "paper", positions, {}, measures)
        record_look(connection, "paper", "main", TUESDAY, found, now=LATER)
        (why,) = locked_symbols(connection, "paper").values()
    assert [row.symbol for row in found] == ["AAA"]
    assert words in why


def test_a_fraction_on_which_both_agree_freezes_nothing(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10.5")
    with ledger.read() as connection:
        for rules in (Measures(fractional=False), Measures(whole={"AAA"})):
            assert position_differences(connection, "paper", [BrokerPosition("AAA", D("10.5"), None)], {}, rules) == []


def test_102_a_position_of_someone_else_is_left_alone_and_not_frozen(ledger: Ledger) -> None:
    assert look(ledger, ("ZZZ", "7")) == []


def test_a_trade_of_nobodys_is_told_as_such(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    said = BrokerFill("f9", "manual", "AAA", Side.SELL, D(4), D(90), D(0), MONDAY, START)
    with ledger.transaction() as connection:
        record_fill(connection, "paper", FillNews(said, None), portfolio=None, order_id=None, now=START)
        positions = [BrokerPosition("AAA", D(6), D(90))]
        (row,) = position_differences(connection, "paper", positions, {}, Measures())
    assert (row.break_class, row.qty, row.value) == ("foreign", D(-4), D(360))
    assert row.cause == "-4 by recorded executions of orders that nobody here has placed"


def test_what_has_gone_and_came_back_as_nobodys_stays_doubted(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    assert look(ledger, ("AAA", "8")) == ["AAA"]
    adopt(ledger, "AAA", "-10", session=MONDAY)
    assert look(ledger, ("AAA", "8")) == ["AAA"]


def accept(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        (row,) = open_breaks(connection, "paper")
        accept_break(connection, row.break_id, actor="ann", reason="mine", now=LATER)


def test_what_was_accepted_and_cured_locks_when_it_comes_back(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    assert look(ledger, ("AAA", "12")) == ["AAA"]
    accept(ledger)
    assert look(ledger, ("AAA", "12")) == []
    assert look(ledger, ("AAA", "10")) == []
    assert look(ledger, ("AAA", "12")) == ["AAA"]


def test_what_was_accepted_beside_a_holding_stays_so_while_the_portfolio_owns_none_of_it(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    assert look(ledger, ("AAA", "12")) == ["AAA"]
    accept(ledger)
    adopt(ledger, "AAA", "-10", session=MONDAY)
    assert look(ledger, ("AAA", "2")) == []
    adopt(ledger, "AAA", "5", session=TUESDAY)
    assert look(ledger, ("AAA", "7")) == []


def test_what_was_accepted_stays_so_while_an_order_for_it_is_at_the_broker(ledger: Ledger) -> None:
    adopt(ledger, "CCC", "10", session=BEFORE - timedelta(days=1))
    assert look(ledger, ("CCC", "12")) == ["CCC"]
    accept(ledger)
    adopt(ledger, "CCC", "-10")
    broker = model(ledger, positions={"CCC": D(2)})
    broker.has_data = set()
    run(ledger, broker, PLAN)
    assert look(ledger, ("CCC", "5")) == []
    with ledger.read() as connection:
        assert len(accepted_breaks(connection, "paper")) == 1


def test_an_instrument_with_an_order_at_the_broker_is_left_as_it_is(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, PLAN)
    assert look(ledger, ("CCC", "4")) == []


def reported(ledger: Ledger, plans: tuple[Plan, ...] = (PLAN,)) -> ReconciliationReport:
    with ledger.read() as connection:
        key = {"account": "paper", "portfolio": "main", "session": MONDAY}
        intents = [row for one in batches_of(connection, **key) for row in intents_of(connection, one.batch_id)]
        logs = read_logs(connection, intents, "USD")
        sides = read_ledger(connection, logs, **key), logs
    return reconcile(plans, *sides, **key, closes={}, when=When(source=Source.LOGS))


def test_the_logs_agree_with_the_plan_that_was_carried_out_and_ask_nobody(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, PLAN)
    resume(ledger, broker)
    report = reported(ledger)
    assert (report.break_rows, report.state) == ((), "reconciled")
    assert "account  not asked: the plan is compared with the ledger alone" in report.summary
    (held,) = report.position_rows
    assert (held.symbol, held.qty, held.broker_qty) == ("CCC", D(10), D(10)), "nobody was asked"


def test_the_logs_name_an_order_that_has_not_ended_and_an_edited_plan_and_lock_nothing(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, PLAN)
    edited = plan_of([order("b-ccc", "CCC", Side.BUY, "11")], session=MONDAY)
    report = reported(ledger, plans=(edited,))
    assert [row.kind for row in report.break_rows] == ["intent_differs", "open_order"]
    assert {(row.severity, row.locks, row.break_id) for row in report.break_rows} == {("error", "none", "")}
    with ledger.transaction() as connection:
        recorded = record_report(connection, report, now=LATER)
        assert (recorded.opened, recorded.cleared, open_breaks(connection, "paper")) == ((), (), [])
        day = day_of(connection, "paper", "main", MONDAY)
        assert day is not None
        assert (day.first_at, day.closed_at) == (LATER, None)


def test_an_order_of_which_no_answer_was_kept_is_as_the_ledger_has_it(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, PLAN)
    resume(ledger, broker)
    with ledger.transaction() as connection:
        connection.exec_driver_sql("""UPDATE events SET payload = '{"to": "filled"}' WHERE kind = 'intent_filled'""")
        (row,) = intents_of(connection, "paper/main/2026-03-02/1")
        assert last_replies(connection, ["b-ccc"]) == {}
        (shown,) = read_logs(connection, [row], "USD").orders
    assert (shown.status, shown.filled_qty) == (OrderStatus.FILLED, D(10))


def test_cash_that_was_accepted_stays_so_until_it_agrees(ledger: Ledger) -> None:
    from tests.reconciliation.world import MONEY, World

    with ledger.transaction() as connection:
        record_report(connection, World(cash=MONEY.cash + 500).report(), now=LATER)
    accept(ledger)
    with ledger.transaction() as connection:
        record_report(connection, World(cash=MONEY.cash + 700).report(), now=LATER)
        assert len(accepted_breaks(connection, "paper")) == len(open_breaks(connection, "paper")) == 1
        record_report(connection, World().report(), now=LATER)
        assert (accepted_breaks(connection, "paper"), open_breaks(connection, "paper")) == ({}, [])


def test_cash_that_could_not_be_compared_clears_no_break_of_it(ledger: Ledger) -> None:
    from tests.reconciliation.world import MONEY, World

    world = World(cash=MONEY.cash + 5)
    with ledger.transaction() as connection:
        record_report(connection, world.report(), now=LATER)
        silent = World(cash=None, cash_note="orders of another are open", which=Pass.SECOND)
        record_report(connection, silent.report(), now=LATER)
        assert [row.kind for row in open_breaks(connection, "paper")] == ["cash_differs"]
        record_report(connection, World(which=Pass.SECOND).report(), now=LATER)
        assert open_breaks(connection, "paper") == []
