"""Executions that Alpaca corrects or takes back: read over the wire, and carried into the ledger."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca import rows
from scizor_dagster.brokers.alpaca.rows import Unreadable
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.ledger.holdings import cash_flow, fills_of, owned
from scizor_dagster.reconciliation.fills import fill_breaks
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.orders import order_breaks
from scizor_dagster.sessions import TradingCalendar
from tests.execution.conftest import empty_ledger, ledger  # noqa: F401 - fixtures
from tests.execution.scenario import order, plan_of, resume, run
from tests.paper_exchange.alpaca.support import ACCOUNT, DAY1

ROW = {
    "activity_type": "FILL",
    "id": "20240304100000000::aaa",
    "order_id": "o1",
    "symbol": "AAA",
    "side": "buy",
    "qty": "10",
    "price": "100",
    "type": "fill",
    "transaction_time": "2024-03-04T15:00:00Z",
}


def restated(kind: str, name: str, before: str, **changes: str) -> dict[str, Any]:
    return ROW | {"id": f"20240304110000000::{name}", "type": kind, "previous_execution_id": before} | changes


@pytest.mark.parametrize("kind", ["correction", "bust"])
def test_what_alpaca_restates_supersedes_what_the_ledger_had_recorded(doors, brokers, venue, ledger, kind):  # noqa: F811
    broker = brokers.connect(doors.open().url)
    account = {"expected_broker": "alpaca", "expected_account_id": broker.identity().account_id}
    account |= {"starting_cash": D(100_000)}
    plan = replace(plan_of([order("one", "AAA", Side.BUY, "10")]), session=DAY1, priced_on=date(2024, 3, 1))
    assert run(ledger, broker, plan, **account).counts == {"filled": 1}
    now = venue.now()
    (fill,) = venue.executions(ACCOUNT, now - timedelta(days=1), now + timedelta(days=1))
    qty = D(10) if kind == "correction" else D(0)
    before = broker.account().cash + fill.qty * fill.price
    venue.correct(ACCOUNT, fill.execution_id, qty, D("99.5"))
    result = resume(ledger, broker, DAY1, **account)
    assert result.counts == ({"filled": 1} if qty else {"canceled": 1})
    with ledger.read() as connection:
        assert [(row.qty, row.version) for row in fills_of(connection, "paper")] == [(qty, 2)]
        assert owned(connection, "paper", "main") == ({"AAA": qty} if qty else {})
        assert before + cash_flow(connection, "paper", "main") == broker.account().cash
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=DAY1)
    assert not [*fill_breaks(ours, theirs, "main"), *order_breaks(ours, theirs, session_over=True)]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned round"])
def test_restatements_that_are_listed_as_rows_of_their_own_count_in_their_place(turned):
    second, third = (restated("trade_correct", *names) for names in (("bbb", "aaa"), ("ccc", "bbb")))
    listed = [ROW, second | {"price": "99"}, third | {"qty": "6"}]
    (row,) = rows.newest(listed[::-1] if turned else listed)
    fill = rows.fill(row, "one", TradingCalendar("XNYS"))
    assert (fill.fill_id, fill.revision, fill.qty, fill.price) == (ROW["id"], 3, 6, 100)


def test_a_bust_that_is_listed_as_a_row_of_its_own_leaves_nothing():
    (row,) = rows.newest([ROW, restated("trade_bust", "bbb", "aaa")])
    assert rows.fill(row, "one", TradingCalendar("XNYS")).qty == 0


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        ([restated("trade_bust", "bbb", "aaa")], "trade_bust .*bbb is about execution aaa, which is not listed"),
        ([ROW | {"type": "trade_novel"}], "the type of activity .*aaa is 'trade_novel'"),
        ([ROW, ROW | {"id": "x::b", "type": "trade_bust"}], "previous_execution_id is None"),
    ],
)
def test_a_row_of_fills_that_cannot_be_placed_is_not_counted_as_a_fill(listed, problem):
    with pytest.raises(Unreadable, match=problem):
        rows.newest(listed)
