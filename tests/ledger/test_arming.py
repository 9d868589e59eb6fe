"""A portfolio trades real money only while a person's permission lasts, and for what it allows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.arming import (
    Arming,
    arm,
    armed_for,
    arming_of,
    armings_of_portfolio,
    armings_with_reason,
    disarm,
    spend,
)
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.permission_tables import arming
from scizor_dagster.ledger.store import Ledger

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
LIVE = BrokerIdentity("alpaca", "live", "123")
HOUR = timedelta(hours=1)


def armed(connection: sa.Connection, portfolio: str = "main", **changes: Any) -> Arming:
    values: dict[str, Any] = {
        "until": NOW + HOUR,
        "max_notional": Decimal(1000),
        "currency": "USD",
        "actor": "jo",
        "reason": "the first week",
        "now": NOW,
    }
    return arm(connection, "real", portfolio, LIVE, **(values | changes))


def why_not(connection: sa.Connection, identity: BrokerIdentity = LIVE, at: datetime = NOW) -> str:
    found, why = armed_for(connection, "real", "main", identity, at)
    assert (found is None) == bool(why)
    return why


def test_a_portfolio_is_armed_until_its_expiry_and_for_exactly_that_identity(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert why_not(connection) == "not armed"
        given = armed(connection)
        assert armed_for(connection, "real", "main", LIVE, NOW) == (given, "")
        assert why_not(connection, at=NOW + HOUR - timedelta(microseconds=1)) == ""
        assert why_not(connection, at=NOW + HOUR) == "expired at 2026-03-02T15:00:00+00:00"
        assert why_not(connection, BrokerIdentity("alpaca", "live", "456")) == "armed for live account 123"
        assert why_not(connection, BrokerIdentity("alpaca", "paper", "123")) == "armed for live account 123"
        assert armed_for(connection, "real", "other", LIVE, NOW) == (None, "not armed")
        assert armed_for(connection, "other", "main", LIVE, NOW) == (None, "not armed")


def test_a_permission_is_found_again_by_its_reason_also_once_it_was_taken_back(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        first = armed(connection, reason="monthly [key/1]")
        armed(connection, reason="monthly [key/2]")
        disarm(connection, "real", "main", actor="kim", reason="monthly [key/1]", now=NOW)
        assert armings_with_reason(connection, "main", "monthly [key/1]") == [first]
        assert armings_with_reason(connection, "other", "monthly [key/1]") == []
        assert armings_with_reason(connection, "main", "monthly") == []


def test_disarming_ends_it_at_once_and_every_row_stays(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        armed(connection)
        second = armed(connection, until=NOW + 2 * HOUR)
        assert disarm(connection, "real", "main", actor="kim", reason="enough", now=NOW) == second
        assert disarm(connection, "real", "main", actor="kim", reason="enough", now=NOW) is None
        assert why_not(connection) == "disarmed by kim"
        rows = connection.execute(sa.select(arming).order_by(arming.c.number)).all()
        assert [(row.number, row.armed, row.actor) for row in rows] == [
            (1, True, "jo"),
            (2, True, "jo"),
            (3, False, "kim"),
        ]
        assert verify_chain(connection) == []


def test_what_goes_out_counts_once_under_the_arming_of_its_time(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        first = armed(connection)
        for name, amount in (("a", "400"), ("b", "250.5"), ("a", "400")):
            spend(connection, first, name, Decimal(amount), now=NOW)
        found = arming_of(connection, "real", "main")
        assert found == replace(first, sent=Decimal("650.5"))
        assert found.sentence.endswith("for 1,000.00 USD, 650.50 of it used")
        second = armed(connection)
        assert (second.number, second.sent) == (2, 0)
        spend(connection, second, "a", Decimal(400), now=NOW)
        assert arming_of(connection, "real", "main") == replace(second, sent=Decimal(400))


def test_each_portfolio_is_armed_for_itself(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        armed(connection)
        other = armed(connection, "other")
        disarm(connection, "real", "main", actor="kim", reason="", now=NOW)
        assert armed_for(connection, "real", "other", LIVE, NOW) == (other, "")
        assert armings_of_portfolio(connection, "main") == []
        assert armings_of_portfolio(connection, "other") == [other]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"until": NOW}, "has passed"),
        ({"until": NOW - HOUR}, "has passed"),
        ({"max_notional": Decimal(0)}, "no amount"),
        ({"max_notional": Decimal(-1)}, "no amount"),
        ({"max_notional": Decimal("NaN")}, "no amount"),
        ({"max_notional": Decimal("Infinity")}, "no amount"),
    ],
)
def test_a_permission_that_permits_nothing_is_refused(ledger: Ledger, change: dict[str, Any], words: str) -> None:
    with pytest.raises(LedgerError, match=words), ledger.transaction() as connection:
        armed(connection, **change)
