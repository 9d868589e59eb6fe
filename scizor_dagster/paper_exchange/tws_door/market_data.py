"""Prices as they are now: types of market data, and ticks.

What belongs here: tick types and subscriptions. What does not: prices that were (`history`), when a client is told of
them (`feeds`), and where prices come from (`venue`).
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_views import Quote, VenueListing

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
_TICKS = {"bid": 1, "ask": 2, "last": 4, "high": 6, "low": 7, "close": 9, "open": 14}
_DELAYED_TICKS = {"bid": 66, "ask": 67, "last": 68, "high": 72, "low": 73, "close": 75, "open": 76}
_VOLUME, _DELAYED_VOLUME = 8, 74


class MarketData:
    """Answers of the market data farm."""

    def __init__(self, venue: Venue, switches: Switches) -> None:
        self._venue = venue
        self._switches = switches

    def shown_type(self, wanted: int) -> int:
        """Type of market data that a client sees that asked for `wanted`.

        Raises:
            ApiError: 354, the account is not subscribed.
        """
        if self._switches.market_data == "live":
            return wanted if wanted in (FROZEN, DELAYED_FROZEN) else LIVE
        if self._switches.market_data == "delayed" and wanted in (DELAYED, DELAYED_FROZEN):
            return wanted
        raise ApiError(354, "Requested market data is not subscribed.")

    def ticks(self, req_id: int, listing: VenueListing, shown: int) -> list[list[Field]]:
        """Messages 1 and 2 of what the venue shows now; none where no price is known."""
        quote = self._venue.quote(listing.instrument.symbol)
        if quote is None:
            return []
        late = shown in (DELAYED, DELAYED_FROZEN)
        types = _DELAYED_TICKS if late else _TICKS
        prices = _prices(quote)
        sizes = {"bid": quote.bid_size, "ask": quote.ask_size}
        messages: list[list[Field]] = [
            [1, 6, req_id, types[name], price, sizes.get(name, 0), 0] for name, price in prices.items()
        ]
        messages.append([2, 6, req_id, _DELAYED_VOLUME if late else _VOLUME, quote.day_volume])
        return messages


def _prices(quote: Quote) -> dict[str, Decimal]:
    named = {
        "bid": quote.bid,
        "ask": quote.ask,
        "last": quote.last,
        "high": quote.day_high,
        "low": quote.day_low,
        "close": quote.previous_close,
        "open": quote.day_open,
    }
    return {name: price for name, price in named.items() if price is not None}
