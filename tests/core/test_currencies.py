"""Currencies by their codes, alone and beside the exchange that trades in them."""

import pytest

from scizor_dagster.currencies import CURRENCIES, check_currency
from scizor_dagster.errors import InputError
from scizor_dagster.exchanges import currency_of


def test_the_currencies_are_those_of_iso_4217_that_circulate() -> None:
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in CURRENCIES)
    assert {"USD", "AUD", "EUR", "JPY", "NZD", "ZWG"} <= CURRENCIES
    assert CURRENCIES.isdisjoint({"XXX", "XTS", "XAU", "HRK", "DEM", "USN"})
    assert len(CURRENCIES) == 155


@pytest.mark.parametrize(("code", "remedy"), [("aud", "Write AUD."), (" USD", "Write USD."), ("XXXYZ", "such as USD")])
def test_another_word_is_refused_and_a_misspelt_one_is_put_right(code: str, remedy: str) -> None:
    with pytest.raises(InputError, match="not a currency of ISO 4217") as caught:
        check_currency(code)
    assert remedy in caught.value.remedy


def test_exchanges_trade_in_the_currency_of_their_country() -> None:
    assert (currency_of("XASX"), currency_of("XNAS"), currency_of("ARCX"), currency_of("XLON")) == (
        "AUD", "USD", "USD", None,
    )  # fmt: skip
