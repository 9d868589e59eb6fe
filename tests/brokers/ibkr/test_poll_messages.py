"""What a poll costs over the wire of a TWS: a question of each kind, whatever the number of orders."""

from collections import Counter
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.ibkr import reads
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.venue_orders import Duration, OrderKind, Ticket
from tests.brokers.polls import ORDERS, poll_twice
from tests.execution.conftest import empty_ledger, ledger  # noqa: F401 - fixtures
from tests.paper_exchange.floor import ACCOUNT, DAY1, DAY2, Floor

OPEN_ORDERS, COMPLETED_ORDERS, EXECUTIONS = 16, 99, 7
"""Numbers of the messages in the TWS API."""
PATIENCE = 120.0
RESTING = 10
"""A TWS takes twenty of one contract and side."""


def fill_the_book(market: Floor, count: int) -> None:
    """Orders of another program: most have filled, some rest."""
    for number in range(count):
        rests = number < min(RESTING, count // 2)
        kind, limit = (OrderKind.LIMIT, D(50)) if rests else (OrderKind.MARKET, None)
        name = f"o{number}"
        ticket = Ticket(name, "AAA", Side.BUY, kind, Duration.DAY, qty=D(1), limit_price=limit, reference=name)
        market.place(ACCOUNT, ticket)


@pytest.mark.parametrize("count", [2, ORDERS])
def test_a_poll_is_four_questions_whatever_the_number_of_orders(
    connect,
    market,
    ledger,  # noqa: F811
    monkeypatch,
    count,
):
    fill_the_book(market, count)
    # Exchange and client share one process here, and one may be slow to make what the other waits for.
    monkeypatch.setattr(reads, "_END_LIMIT", PATIENCE)
    broker = connect(timeout=PATIENCE)
    broker.identity()
    sent: list[int] = []
    client = broker._connection.ib.client
    send = client.send
    client.send = lambda *fields: sent.append(int(fields[0])) or send(*fields)
    first, second = poll_twice(ledger, broker, (DAY1,), market.now(), lambda: len(sent))
    # The lists of orders ask for executions too; fills are asked for by themselves in the first poll alone.
    assert (first, second) == (4, 3)
    assert Counter(sent) == {OPEN_ORDERS: 2, COMPLETED_ORDERS: 2, EXECUTIONS: 3}
    if count < ORDERS:
        assert poll_twice(ledger, broker, (DAY1, DAY2), market.now(), lambda: len(sent)) == (7, 6)
    assert len([row for row in broker.orders(DAY1) if row.client_order_id.startswith("o")]) == count
