"""What a client is told again and again: quotes, ticks, bars as they grow.

What belongs here: one class for each kind of subscription, which knows what its client has heard. What does
not: when it is asked (`door`), and the figures themselves (`market_data`, `history`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from scizor_dagster.paper_exchange.tws_door.contracts import primary_exchange
from scizor_dagster.paper_exchange.tws_door.history import History, Row, fresh, stretches
from scizor_dagster.paper_exchange.tws_door.market_data import MarketData
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_views import Quote, VenueListing

REAL_TIME_STEP = timedelta(seconds=5)
_MOST_AT_ONCE = 60
"""Real-time bars that are made up for; a clock that runs faster leaves out what is older."""
TICK_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
_LASTING = "2 D"
"""How far bars that are kept up to date are looked at again."""


class Feed(Protocol):
    def messages(self) -> Iterator[list[Field]]:
        """What the client has not heard yet."""
        ...


class Quotes:
    """Ticks of a quote: those that have changed."""

    def __init__(self, market_data: MarketData, req_id: int, listing: VenueListing, shown: int) -> None:
        self._market_data, self._req_id, self._listing, self._shown = market_data, req_id, listing, shown
        self._heard: dict[Field, list[Field]] = {}

    def messages(self) -> Iterator[list[Field]]:
        for message in self._market_data.ticks(self._req_id, self._listing, self._shown):
            if self._heard.get(message[3]) != message:
                self._heard[message[3]] = message
                yield message


class Ticks:
    """Message 99: trades or quotes one by one, as often as the client is told."""

    def __init__(self, venue: Venue, req_id: int, listing: VenueListing, kind: str) -> None:
        self._venue, self._req_id, self._listing, self._kind = venue, req_id, listing, kind
        self._heard: list[Field] = []

    def messages(self) -> Iterator[list[Field]]:
        quote = self._venue.quote(self._listing.instrument.symbol)
        if quote is None:
            return
        said = self._said(quote)
        if said != self._heard:
            self._heard = said
            yield [99, self._req_id, TICK_KINDS[self._kind], int(quote.at.timestamp()), *said]

    def _said(self, quote: Quote) -> list[Field]:
        if self._kind == "BidAsk":
            return [quote.bid, quote.ask, quote.bid_size, quote.ask_size, 0]
        if self._kind == "MidPoint":
            return [(quote.bid + quote.ask) / 2]
        return [quote.last, 100, 0, primary_exchange(self._listing), ""]


class RealTimeBars:
    """Message 50: bars of five seconds of the exchange's time."""

    def __init__(self, venue: Venue, req_id: int, listing: VenueListing) -> None:
        self._venue, self._req_id, self._listing = venue, req_id, listing
        self._until = _whole(venue.now())

    def messages(self) -> Iterator[list[Field]]:
        until = _whole(self._venue.now())
        first = max(self._until, until - _MOST_AT_ONCE * REAL_TIME_STEP)
        for bar in stretches(self._venue, self._listing.instrument.symbol, first, until, REAL_TIME_STEP):
            average = round((bar.high + bar.low + bar.close) / 3, 6)
            head: list[Field] = [
                50,
                3,
                self._req_id,
                int(bar.begin.timestamp()),
                bar.open,
                bar.high,
                bar.low,
                bar.close,
            ]
            yield [*head, bar.volume, average, max(int(bar.volume / 100), 1)]
        self._until = until


class GrowingBars:
    """Message 90: bars that a client keeps up to date."""

    def __init__(self, history: History, request: Request, listing: VenueListing, heard: list[Row]) -> None:
        newest = {**request.fields, "duration": _LASTING, "keepUpToDate": "0"}
        self._history, self._listing, self._heard = history, listing, heard
        self._request = Request(request.name, request.number, newest)

    def messages(self) -> Iterator[list[Field]]:
        rows = self._history.rows(self._request, self._listing)
        for row in fresh(rows, self._heard):
            head: list[Field] = [90, self._request.req_id, row.count, row.at, row.open, row.close, row.high, row.low]
            yield [*head, row.average, row.volume]
        self._heard = rows or self._heard


def _whole(at: datetime) -> datetime:
    """The last whole step of real-time bars."""
    return datetime.fromtimestamp(int(at.timestamp()) // 5 * 5, at.tzinfo)
