"""Prices and rates that a person believes: the last word on a key counts, and nobody else's entries are touched."""

from datetime import UTC, date, datetime

from scizor_dagster.ledger.acceptances import accept_price, accept_rate, accepted_prices, accepted_rates
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.store import Ledger

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
WHO = {"reason": "checked by hand", "actor": "ann", "now": NOW}


def test_of_several_accepted_closes_of_a_symbol_and_session_the_last_one_counts(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        accept_price(connection, "us", "AAA", MONDAY, 12.5, **WHO)
        accept_price(connection, "us", "AAA", TUESDAY, 0.1 + 0.2, **WHO)
        accept_price(connection, "us", "AAA", MONDAY, 13.0, **WHO)
    with ledger.read() as connection:
        assert accepted_prices(connection, "us") == {("AAA", MONDAY): 13.0, ("AAA", TUESDAY): 0.1 + 0.2}
        assert verify_chain(connection) == []


def test_a_close_is_accepted_in_its_market_alone(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        accept_price(connection, "us", "AAA", MONDAY, 12.5, **WHO)
    with ledger.read() as connection:
        assert accepted_prices(connection, "asx") == {}


def test_of_several_accepted_rates_of_a_day_the_last_one_counts_for_its_pair_alone(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        accept_rate(connection, "USD", "AUD", MONDAY, 1.5, replaces=15.0, **WHO)
        accept_rate(connection, "USD", "AUD", MONDAY, 1.51, replaces=None, **WHO)
        accept_rate(connection, "USD", "AUD", TUESDAY, 1.52, replaces=None, **WHO)
    with ledger.read() as connection:
        assert accepted_rates(connection, "USD", "AUD") == {MONDAY: 1.51, TUESDAY: 1.52}
        assert accepted_rates(connection, "AUD", "USD") == {}
