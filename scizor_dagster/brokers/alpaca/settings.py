"""How the API is reached, and how long one waits for it.

What belongs here: addresses, keys and times, as one object that is handed in. What does not: reading the
environment (the resource that makes it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
DATA_URL = "https://data.alpaca.markets"


class Api(StrEnum):
    """Half of the API; each counts its requests for itself, also where both are at one address."""

    TRADING = "trading"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class AlpacaSettings:
    """One account at Alpaca.

    Attributes:
        url: Trading API without a version; a local exchange takes its place for a rehearsal.
        data_url: Market data API; None is the one of Alpaca, or `url` where that is not Alpaca's.
        connect_timeout: Seconds until a connection stands.
        read_timeout: Seconds of silence within a reply. The SDK itself would wait for ever.
        requests_per_minute: The account's limit at the broker, on the trading side and on the data side.
        read_attempts: How often a read is tried before the broker counts as out of reach.
        absence_looks: Looks after which an order that is not found is proven absent.
        absence_wait: Seconds between two looks. A request that was cut off may still be under way.
        clock_max_age: How long a reading of the broker's clock is used. Sessions are checked against it.
        closing: The last part of a session, in which what waits is released with what there is.
        auction_orders: Whether the broker has granted the account orders for the auctions.
        live_account: Number of the only account with real money that orders may be sent for; empty for none.
        feed: Which exchanges prices come from: `iex`, or `sip` for all of them.
    """

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    url: str = PAPER_URL
    data_url: str | None = None
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    requests_per_minute: int = 200
    data_requests_per_minute: int = 200
    read_attempts: int = 4
    absence_looks: int = 4
    absence_wait: float = 2.5
    clock_max_age: timedelta = timedelta(seconds=30)
    closing: timedelta = timedelta(minutes=5)
    feed: str = "sip"
    auction_orders: bool = False
    live_account: str = ""

    def address(self, side: Api) -> str:
        if side is Api.TRADING:
            return self.url
        if self.data_url is not None:
            return self.data_url
        return DATA_URL if self.url in (PAPER_URL, LIVE_URL) else self.url

    def limit(self, side: Api) -> int:
        """Requests per minute."""
        return self.requests_per_minute if side is Api.TRADING else self.data_requests_per_minute
