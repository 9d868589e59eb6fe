"""What a poll costs over Alpaca's wire, with 1,200 orders in a session: pages of the API's own size, and no more."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.ledger.holdings import fills_of
from tests.brokers.alpaca.test_lists import fill_the_book, record_paths
from tests.brokers.polls import ORDERS, poll_twice
from tests.execution.conftest import empty_ledger, ledger  # noqa: F401 - fixtures
from tests.paper_exchange.alpaca.support import DAY1, DAY2

ORDER_PAGES, FILL_PAGES = 3, 13
"""Of 500 orders, and of 100 fills: the last page of fills, a full one before it, says that there are no more."""


@pytest.mark.parametrize("sessions", [(DAY1,), (DAY1, DAY2)], ids=["one session", "two sessions"])
def test_1200_resting_orders_cost_three_messages_a_poll_and_session(
    doors,
    brokers,
    venue,
    ledger,  # noqa: F811
    monkeypatch,
    sessions,
):
    broker = brokers.connect(doors.open().url)
    fill_the_book(venue, ORDERS, moments=3)
    paths = record_paths(monkeypatch)
    first, second = poll_twice(ledger, broker, sessions, venue.now(), lambda: paths.count("/orders"))
    empty = len(sessions) - 1
    assert first == second == ORDER_PAGES + empty
    assert paths.count("/account/activities") == 3


def test_1200_fills_cost_a_message_for_a_hundred_whatever_the_number_of_orders(
    doors,
    brokers,
    venue,
    ledger,  # noqa: F811
    monkeypatch,
    record_property,
):
    fill_the_book(venue, ORDERS, moments=3)
    venue.at += timedelta(seconds=1)
    venue.price("AAA", D("0.4"))
    broker = brokers.connect(doors.open().url)
    paths = record_paths(monkeypatch)
    poll_twice(ledger, broker, (DAY1,), venue.now(), lambda: len(paths))
    counts = Counter(paths)
    with ledger.read() as connection:
        assert len(fills_of(connection, "paper")) == ORDERS
    # The names of the orders that filled are asked for once, by the list of the session. The second poll finds that no
    # order has filled since, and asks for no fills.
    assert counts == {"/account": 1, "/account/activities": FILL_PAGES + 2, "/orders": 3 * ORDER_PAGES}
    record_property("messages", dict(counts))
