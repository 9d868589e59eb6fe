"""How a portfolio's capital came about is read back exactly as it was recorded, for that portfolio alone."""

from datetime import UTC, date, datetime
from decimal import Decimal

from scizor_dagster.ledger.conversions import Conversion, conversion_of, record_conversion
from scizor_dagster.ledger.store import Ledger

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
FIRST = Conversion(Decimal("1000.50"), "AUD", date(2026, 3, 2), Decimal("650.3250"), "1,000.50 AUD at 0.65")
SECOND = Conversion(Decimal(2), "EUR", date(2026, 3, 3), Decimal("2.2"), "2 EUR at 1.1")


def test_each_portfolio_has_its_own_conversion_and_one_that_needed_none_has_none(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        record_conversion(connection, "paper", "other", SECOND, now=NOW)
        record_conversion(connection, "paper", "main", FIRST, now=NOW)
    with ledger.read() as connection:
        assert conversion_of(connection, "paper", "main") == FIRST
        assert conversion_of(connection, "paper", "other") == SECOND
        assert conversion_of(connection, "paper", "third") is None
        assert conversion_of(connection, "real", "main") is None
