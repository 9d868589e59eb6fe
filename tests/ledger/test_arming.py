"""A live account trades only while a person's permission lasts."""

from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.arming import arm, disarm, is_armed
from scizor_dagster.ledger.store import Ledger

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
LIVE = BrokerIdentity("alpaca", "live", "123")
HOUR = timedelta(hours=1)


def test_an_account_is_armed_until_its_expiry_and_for_exactly_that_identity(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert not is_armed(connection, "real", LIVE, NOW)
        arm(connection, "real", LIVE, actor="me", now=NOW, until=NOW + HOUR)
        assert is_armed(connection, "real", LIVE, NOW)
        assert not is_armed(connection, "real", LIVE, NOW + HOUR)
        assert not is_armed(connection, "real", BrokerIdentity("alpaca", "live", "456"), NOW)
        assert not is_armed(connection, "real", BrokerIdentity("alpaca", "paper", "123"), NOW)
        assert not is_armed(connection, "other", LIVE, NOW)


def test_disarming_ends_it_at_once(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        arm(connection, "real", LIVE, actor="me", now=NOW, until=NOW + HOUR)
        arm(connection, "real", LIVE, actor="me", now=NOW, until=NOW + 2 * HOUR)
        assert disarm(connection, "real", actor="me", now=NOW)
        assert not disarm(connection, "real", actor="me", now=NOW)
        assert not is_armed(connection, "real", LIVE, NOW)


def test_a_permission_that_has_already_expired_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="has passed"), ledger.transaction() as connection:
        arm(connection, "real", LIVE, actor="me", now=NOW, until=NOW)
