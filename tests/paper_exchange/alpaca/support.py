"""A door over a venue, and clients of it: what the tests of the Alpaca wire are made of."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import requests

from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import Limits
from scizor_dagster.paper_exchange.alpaca_door.server import AlpacaServer, serve_alpaca
from scizor_dagster.paper_exchange.faults import FaultScript
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_orders import OrderQuery, VenueOrder

KEY, SECRET, ACCOUNT = "PKTEST", "secret", "main"
DAY1, DAY2 = date(2024, 3, 4), date(2024, 3, 5)
BEFORE_OPEN = datetime(2024, 3, 4, 14, 0, tzinfo=UTC)
OPEN = datetime(2024, 3, 4, 15, 0, tzinfo=UTC)
AFTER_CLOSE = datetime(2024, 3, 4, 22, 0, tzinfo=UTC)
HEADERS = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
UNLIMITED = DoorRules(limits=Limits(trading=10**6, data=10**6))


def all_orders(venue: Venue) -> Sequence[VenueOrder]:
    """Every order that the exchange has ever taken from the account, oldest first."""
    return venue.orders(ACCOUNT, OrderQuery(state="all", ascending=True))


class Doors:
    """Opens doors over one venue, and closes them with the test."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue
        self._open: list[AlpacaServer] = []

    def open(
        self, *faults: dict[str, Any], seed: int = 0, rules: DoorRules = UNLIMITED, **settings: Any
    ) -> AlpacaServer:
        script = FaultScript.of(*({"door": "alpaca", **rule} for rule in faults), seed=seed) if faults else None
        keys = {KEY: (SECRET, ACCOUNT)}
        server = serve_alpaca(self.venue, keys, faults=script, rules=rules, **settings)
        self._open.append(server)
        return server

    def close(self) -> None:
        for server in self._open:
            server.close()


class Wire:
    """Plain HTTP against a door."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers.update(HEADERS)

    def __call__(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=20, **arguments)

    def order(self, **body: Any) -> requests.Response:
        base = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        sent = {name: value for name, value in (base | body).items() if value is not None}
        return self("POST", "/v2/orders", json=sent)
