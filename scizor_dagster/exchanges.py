"""Facts of exchanges by market identifier code: price steps, first parcels, auctions, closing prices.

What belongs here: tables of venues as they publish them. What does not: what one instrument or one
broker does differently (`instruments`, `brokers.capabilities`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TickTable:
    """Price steps by price.

    Attributes:
        bands: (lowest price of the band, step in it), from the lowest band to the highest.
    """

    bands: tuple[tuple[Decimal, Decimal], ...]

    def step_at(self, price: Decimal) -> Decimal:
        """Smallest step of a limit or stop price at `price`."""
        step = self.bands[0][1]
        for lowest, wider in self.bands:
            if price < lowest:
                break
            step = wider
        return step

    @property
    def top(self) -> Decimal:
        """Lowest price of the highest band."""
        return self.bands[-1][0]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange.

    Attributes:
        ticks: Steps of its prices.
        first_parcel: Smallest value, in `currency`, of the first purchase of a security that is not held;
            None where there is no such rule.
        currency: ISO 4217 code of `first_parcel`.
        auctions: Whether brokers take orders for its opening and closing auctions.
    """

    ticks: TickTable
    first_parcel: Decimal | None = None
    currency: str = ""
    auctions: bool = True


def _table(*bands: tuple[str, str]) -> TickTable:
    return TickTable(tuple((Decimal(lowest), Decimal(step)) for lowest, step in bands))


US = Exchange(_table(("0", "0.0001"), ("1", "0.01")))
"""SEC Rule 612: four decimals below 1.00, two from there on."""

ASX = Exchange(
    _table(("0", "0.001"), ("0.10", "0.005"), ("2.00", "0.01")),
    first_parcel=Decimal(500),
    currency="AUD",
    auctions=False,
)
"""Steps as the ASX publishes them. The first parcel of A$500 is known from brokers' help pages and not
verified against an exchange; `planning.first_parcel` switches it off. Brokers list no auction orders here."""

_BY_MIC = {"XASX": ASX}
FIRST_PARCEL_CURRENCIES = frozenset(
    exchange.currency for exchange in (US, *_BY_MIC.values()) if exchange.first_parcel is not None
)
"""Plans in other currencies need not look for a first parcel."""


_CURRENCIES = {"XASX": "AUD", **dict.fromkeys(("XNAS", "XNYS", "ARCX", "BATS", "XASE", "IEXG"), "USD")}


def currency_of(mic: str) -> str | None:
    """ISO 4217 code of what the shares of an exchange trade in; None for one that is not known here."""
    return _CURRENCIES.get(mic)


_SETTLING = {
    "XASX": timedelta(minutes=30),
    **dict.fromkeys(("XNAS", "XNYS", "ARCX", "BATS", "XASE", "IEXG"), timedelta(minutes=20)),
}
_USUAL_SETTLING = timedelta(minutes=30)


def settling_of(mic: str) -> timedelta:
    """How long after the close of a calendar's session its bar can still change.

    The ASX ends continuous trading at 16:00, prints its closing auction, which is the official close, at about 16:11,
    and trades at that price until 16:21:30. New York prints its closing auctions within minutes of 16:00, and reports
    late trades and the consolidated close up to a quarter of an hour later. Exchanges that are not known here get
    half an hour: London, Paris, Frankfurt and Hong Kong have had their closing auctions by then.
    """
    return _SETTLING.get(mic, _USUAL_SETTLING)


def exchange_of(mic: str) -> Exchange:
    """The exchange of a market identifier code; one without a table of its own trades as in the US."""
    return _BY_MIC.get(mic, US)
