"""Money of an account that holds several currencies, as a TWS listed it: what is cash, and what is only worth some."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scizor_dagster.brokers.ibkr.money import account_state
from scizor_dagster.brokers.protocol import AccountState
from scizor_dagster.errors import BrokerUnavailable

NOW = datetime(2025, 3, 3, tzinfo=UTC)
RECORDED = {
    ("BuyingPower", "AUD"): "2000000.57",
    ("CashBalance", "AUD"): "-100000.79",
    ("CashBalance", "BASE"): "-100000.0981",
    ("CashBalance", "EUR"): "429.72",
    ("CashBalance", "USD"): "100000.27",
    ("ExchangeRate", "AUD"): "1.00",
    ("ExchangeRate", "BASE"): "1.00",
    ("ExchangeRate", "EUR"): "1.5508992",
    ("ExchangeRate", "USD"): "1.5139472",
    ("NetLiquidation", "AUD"): "1000000.24",
    ("TotalCashValue", "AUD"): "51463.78",
}
"""Of an account in Australian dollars that has borrowed them and holds American ones."""


def read(currency: str, **changes: str | None) -> AccountState:
    values = {**RECORDED, **{tuple(key.split("_")): value for key, value in changes.items()}}
    kept = {key: value for key, value in values.items() if value is not None}
    return account_state(kept, currency, NOW, lambda why: BrokerUnavailable(why, remedy=""))  # type: ignore[arg-type]


def test_the_total_over_all_currencies_is_no_cash_of_the_base_currency() -> None:
    found = read("AUD")
    assert (found.cash, found.currency) == (Decimal("-100000.79"), "AUD")
    assert found.other_cash == Decimal("51463.78") - Decimal("-100000.79")
    assert (found.equity, found.buying_power) == (Decimal("1000000.24"), Decimal("2000000.57"))


def test_money_in_another_currency_than_the_base_is_its_own_cash_and_totals_at_the_brokers_rate() -> None:
    found = read("USD")
    assert (found.cash, found.currency) == (Decimal("100000.27"), "USD")
    assert found.equity == Decimal("660525.18")
    assert found.buying_power == Decimal("1321050.41")
    assert found.cash + found.other_cash == Decimal("33993.11")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CashBalance_USD": None}, "CashBalance of the account: none in USD, only in AUD, BASE, EUR"),
        ({"ExchangeRate_USD": None}, "ExchangeRate of the account: none in USD"),
        ({"ExchangeRate_USD": "0"}, "ExchangeRate of USD is no rate"),
        ({"ExchangeRate_USD": "x"}, "ExchangeRate of the account is no amount: 'x'"),
        ({"BuyingPower_AUD": "Infinity"}, "BuyingPower of the account is no amount"),
        ({"NetLiquidation_AUD": None}, "TotalCashValue of the account: none in USD, only in AUD"),
    ],
)
def test_an_amount_or_a_rate_that_is_missing_is_no_money(changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(BrokerUnavailable, match=words):
        read("USD", **changes)
