"""Price steps, first parcels and auctions of exchanges, by market identifier code."""

from decimal import Decimal

import pytest

from scizor_dagster.exchanges import ASX, US, exchange_of
from scizor_dagster.instruments import Instrument


@pytest.mark.parametrize(
    ("mic", "price", "step"),
    [
        ("XNYS", "0.9999", "0.0001"),
        ("XNYS", "1", "0.01"),
        ("XASX", "0.099", "0.001"),
        ("XASX", "0.10", "0.005"),
        ("XASX", "1.995", "0.005"),
        ("XASX", "2.00", "0.01"),
    ],
)
def test_the_price_step_follows_the_exchanges_bands(mic, price, step):
    assert Instrument("A", mic, "USD").price_step(Decimal(price)) == Decimal(step)


def test_an_instruments_own_tick_holds_in_the_highest_band_and_never_widens_a_lower_one():
    wide = Instrument("A", "XASX", "AUD", tick=Decimal("0.05"))
    assert wide.price_step(Decimal(3)) == Decimal("0.05")
    assert wide.price_step(Decimal("0.5")) == Decimal("0.005")


def test_an_exchange_without_a_table_trades_as_in_the_us_and_only_the_asx_has_a_first_parcel():
    assert exchange_of("XXXX") is US
    assert exchange_of("XASX") is ASX
    assert (ASX.first_parcel, ASX.currency, ASX.auctions) == (500, "AUD", False)
    assert (US.first_parcel, US.auctions) == (None, True)
