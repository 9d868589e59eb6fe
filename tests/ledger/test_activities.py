"""A split that a person states is recorded as the broker's own word, and not again when the broker tells of it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import BrokerActivity
from scizor_dagster.ledger.activities import SAME_SPLIT, news_of, record_activity, state_split
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import activities_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
FRIDAY, MONDAY = date(2026, 2, 27), date(2026, 3, 2)


def told(**changes: object) -> BrokerActivity:
    terms = {"activity_id": "b1", "kind": "split", "session": MONDAY, "symbol": "AAA", "qty_factor": D("2.0")}
    return BrokerActivity(**{"amount": D(0), **terms, **changes})  # type: ignore[arg-type]


@pytest.fixture
def stated(ledger: Ledger) -> Ledger:
    with ledger.transaction() as connection:
        terms = {"price": D(10), "session": FRIDAY, "actor": "ann", "now": NOW}
        adopt(connection, "paper", "main", "AAA", D(100), **terms)  # type: ignore[arg-type]
        state_split(connection, "paper", "AAA", D(2), session=MONDAY, actor="ann", now=NOW)
        record_activity(connection, "paper", told(activity_id="b0", symbol="BBB"), now=NOW)
    return ledger


def test_a_stated_split_multiplies_what_was_held_before_its_session(stated: Ledger) -> None:
    with stated.read() as connection:
        assert verify(connection) == []
        assert owned(connection, "paper", "main") == {"AAA": 200}
        assert owned(connection, "paper", "main", before=MONDAY) == {"AAA": 100}
        row = next(row for row in activities_of(connection, "paper") if row.symbol == "AAA")
    assert (row.kind, row.description) == ("split", "a split of 2 for 1, stated by ann")


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({}, False),
        ({"session": MONDAY + SAME_SPLIT}, False),
        ({"session": MONDAY - SAME_SPLIT}, False),
        ({"session": MONDAY + SAME_SPLIT + timedelta(days=1)}, True),
        ({"qty_factor": D(3)}, True),
        ({"symbol": "CCC"}, True),
        ({"kind": "delisting"}, True),
        ({"symbol": "BBB"}, True),
        ({"activity_id": "b0", "symbol": "BBB"}, False),
    ],
)
def test_what_the_broker_tells_of_later_is_no_news_where_it_is_the_same_split(
    stated: Ledger, changes: dict[str, object], news: bool
) -> None:
    with stated.read() as connection:
        recorded = activities_of(connection, "paper")
    assert bool(news_of([told(**changes)], recorded)) is news
