"""What the two sides of a session are read as: cash is compared only where nothing of the account is under way."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import BrokerActivity, Side
from scizor_dagster.ledger.breaks import Looked, accept_break, record_breaks
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import LedgerView
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, D, model, order, plan_of, resume, run
from tests.ledger.lived import a_break
from tests.ledgers import sqlite_ledger

BUY = order("b", "CCC", Side.BUY, "10")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    yield opened
    opened.close()


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


def test_the_cash_that_was_accepted_last_is_known(ledger: Ledger) -> None:
    broker = model(ledger)
    assert sides(ledger, broker).cash_accepted == 0
    of_cash = {"stage": "cash", "kind": "cash_differs", "symbol": None, "locks": "none", "qty": None}
    rows = [a_break(**of_cash, break_id=name, amount=D(amount)) for name, amount in (("a", "7"), ("b", "5"))]
    everything = Looked("paper", "main", MONDAY, (), ())
    with ledger.transaction() as connection:
        record_breaks(connection, everything, [*rows, a_break(break_id="c", amount=D(9))], now=START)
        for hours, name in enumerate(("a", "b", "c")):
            accept_break(connection, name, actor="ann", reason="seen", now=START + timedelta(hours=hours))
    assert sides(ledger, broker).cash_accepted == D(5)
