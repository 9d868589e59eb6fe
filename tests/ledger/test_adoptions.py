"""A person hands a position to a portfolio: something, and each time in a row of its own."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.adoptions import adopt, last_adopted
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


def _adopt(ledger: Ledger, qty: str, session: date = MONDAY, now: datetime = NOW) -> str:
    with ledger.transaction() as connection:
        terms = {"price": Decimal(10), "session": session, "actor": "ann", "now": now}
        return adopt(connection, "paper", "main", "AAA", Decimal(qty), **terms)  # type: ignore[arg-type]


def _owned(ledger: Ledger) -> dict[str, Decimal]:
    with ledger.read() as connection:
        assert verify(connection) == []
        return owned(connection, "paper", "main")


def test_there_is_nothing_to_adopt_in_a_quantity_of_zero(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="nothing to adopt: 0 AAA"):
        _adopt(ledger, "0.000")
    assert _owned(ledger) == {}


def test_what_was_adopted_by_mistake_is_corrected_beside_it_in_the_same_session(ledger: Ledger) -> None:
    assert _adopt(ledger, "5") == "paper/main/AAA/2026-03-02"
    assert _adopt(ledger, "-2") == "paper/main/AAA/2026-03-02/2"
    assert _adopt(ledger, "4") == "paper/main/AAA/2026-03-02/3"
    assert _owned(ledger) == {"AAA": 7}
    assert _adopt(ledger, "-2", TUESDAY) == "paper/main/AAA/2026-03-03"
    assert _owned(ledger) == {"AAA": 5}


def test_the_last_adoption_of_a_symbol_is_that_of_the_latest_instant_whatever_its_session(ledger: Ledger) -> None:
    later = NOW + timedelta(hours=1)
    _adopt(ledger, "5", TUESDAY, later)
    _adopt(ledger, "1", MONDAY, NOW)
    with ledger.read() as connection:
        assert last_adopted(connection, "paper", ["AAA", "BBB"]) == {"AAA": later}
        assert last_adopted(connection, "real", ["AAA"]) == {}
        assert last_adopted(connection, "paper", ["BBB"]) == {}
