"""A rebalance through the executor and the adapter, over a wire on which anything may go wrong.

Whatever was lost on the way: every order is at the exchange once, and the ledger knows what it did there.
"""

import os
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.venue_orders import Status
from tests.brokers.alpaca.conftest import Brokers
from tests.execution import scenario
from tests.execution.conftest import ledger  # noqa: F401 - fixtures
from tests.execution.scenario import order, plan_of, resume, run
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import ACCOUNT, Doors, all_orders

SYMBOLS = [f"S{number:02d}" for number in range(50)]
WANTED = {symbol: D(1 + number % 4) for number, symbol in enumerate(SYMBOLS)}
OPEN = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
LOST = ["reply_lost_before", "reply_lost_after", "gateway_timeout_before", "gateway_timeout_after", "html_body"]
SEEDS = range(20 if os.environ.get("SCIZOR_TORTURE") else 1)
READS = ["server_error", "rate_limited", "gateway_timeout_before", "reset"]
ATTEMPTS = 30


@pytest.fixture
def exchange(tmp_path) -> Floor:
    return Floor(tmp_path, OPEN, instruments={symbol: Instrument(symbol, "XNYS", "USD") for symbol in SYMBOLS})


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch):
    for symbol in SYMBOLS:
        monkeypatch.setitem(scenario.PRICES, symbol, D(100))
    return plan_of([order(f"id-{symbol}", symbol, Side.BUY, str(qty)) for symbol, qty in WANTED.items()])


def faults(share: float) -> list[dict[str, object]]:
    rules = [{"call": "submit_order", "probability": share, "kind": kind} for kind in LOST]
    reads = ["list_orders", "get_order_by_client_id", "list_activities", "list_positions"]
    rules += [{"call": call, "probability": share / 2, "kind": kind} for call in reads for kind in READS]
    return [*rules, {"call": "submit_order", "probability": share, "kind": "visibility_lag"}]


def carry_out(ledger: Ledger, broker, plan) -> ExecutionResult:  # noqa: F811
    """Run again, as an operator or a schedule would, until everything has ended."""
    expected = {
        "expected_broker": "alpaca",
        "expected_account_id": broker.identity().account_id,
        "starting_cash": D(100_000),
    }
    result = None
    for attempt in range(ATTEMPTS):
        try:
            result = run(ledger, broker, plan, **expected) if attempt % 2 == 0 else resume(ledger, broker, **expected)
        except BrokerUnavailable:
            continue
        if all(row.state == "filled" for row in result.orders):
            return result
    raise AssertionError(f"not done after {ATTEMPTS} runs: {result and Counter(row.state for row in result.orders)}")


@pytest.mark.parametrize("seed", SEEDS)
def test_50_orders_end_once_each_at_the_exchange_whatever_is_lost(exchange, plan, ledger, seed):  # noqa: F811
    doors, brokers = Doors(exchange), Brokers()
    try:
        broker = brokers.connect(doors.open(*faults(0.06), seed=seed).url)
        carry_out(ledger, broker, plan)
    finally:
        brokers.close()
        doors.close()
    sent = Counter(row.ticket.client_order_id for row in all_orders(exchange))
    assert sent == Counter(f"id-{symbol}" for symbol in SYMBOLS)
    assert {row.status for row in all_orders(exchange)} == {Status.FILLED}
    assert {row.symbol: row.qty for row in exchange.positions(ACCOUNT)} == WANTED
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == WANTED


def test_50_orders_without_faults_cost_one_message_each(exchange, plan, ledger, monkeypatch):  # noqa: F811
    posts = []
    send = Transport.send

    def counting(self, method, path, body=None):
        posts.append((method, path))
        return send(self, method, path, body)

    monkeypatch.setattr(Transport, "send", counting)
    doors, brokers = Doors(exchange), Brokers()
    try:
        broker = brokers.connect(doors.open().url)
        carry_out(ledger, broker, plan)
    finally:
        brokers.close()
        doors.close()
    assert posts == [("POST", "/orders")] * 50
    assert len(all_orders(exchange)) == 50
    assert brokers.time.waited == []
