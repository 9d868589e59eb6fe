"""What the two sides of a session are read as: cash is compared only where nothing of the account is under way."""

from dataclasses import replace

from scizor_dagster.brokers.protocol import BrokerActivity, Side
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import LedgerView
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, D, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")


def sides(ledger: Ledger, broker: ModelBroker) -> LedgerView:
    key = {"account": "paper", "portfolio": "main", "session": MONDAY}
    return read_sides(ledger, broker, **key, deposit=D(1_000))[0]  # type: ignore[arg-type]


def test_cash_is_the_deposit_with_every_flow_of_the_account(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.book.activities.append(BrokerActivity("a1", "interest", MONDAY, None, D("1.25"), None))
    run(ledger, broker, plan_of([BUY]))
    resume(ledger, broker)
    assert sides(ledger, broker).cash == broker.book.cash + D("1.25")


def test_cash_is_not_compared_while_orders_of_another_portfolio_of_the_account_are_open(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    broker.has_data = set()
    theirs = replace(plan_of([order("o", "DDD", Side.BUY, "1")]), portfolio="other")
    broker.book.steps[MONDAY] = 0
    run(ledger, broker, theirs, portfolio="other")
    view = sides(ledger, broker)
    assert view.cash is None
    assert view.cash_note == (
        "cash is not compared: orders of portfolio 'other' of 2026-03-02 on this account are still open"
    )
