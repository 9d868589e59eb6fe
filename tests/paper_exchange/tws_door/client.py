"""The unmodified client with its calls made one by one from a test: a loop of its own, no sleeping."""

import asyncio
from collections.abc import Callable

try:
    import ib_async as api
except ImportError:
    asyncio.set_event_loop(asyncio.new_event_loop())
    import ib_insync as api

PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""
LOOP = asyncio.new_event_loop()
"""All clients of a test live in one thread and one loop."""


class Client:
    """`IB` in the test's thread; `wait` runs its loop until something holds."""

    def __init__(self, port: int, client_id: int = 1, **options: object) -> None:
        asyncio.set_event_loop(LOOP)
        self.ib = api.IB()
        self.ib.RaiseRequestErrors = True
        self.ib.RequestTimeout = PATIENCE
        self.errors: list[tuple[int, int, str]] = []
        self.heard = asyncio.Event()
        self.ib.errorEvent += lambda req_id, code, text, _contract: self.errors.append((req_id, code, text))
        for event in (self.ib.updateEvent, self.ib.disconnectedEvent, self.ib.client.apiEnd):
            event += lambda *_: self.heard.set()
        self.run(self.ib.connectAsync("127.0.0.1", port, clientId=client_id, **options))

    def codes(self) -> list[int]:
        return [code for _, code, _ in self.errors if not 2100 <= code < 2200]

    def run(self, work):
        asyncio.set_event_loop(LOOP)
        return LOOP.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def wait(self, holds: Callable[[], object]) -> None:
        """Run the client until `holds()`; it is looked at after everything that arrives."""

        async def until() -> None:
            while not holds():
                self.heard.clear()
                await self.heard.wait()

        self.run(until())

    def settle(self) -> None:
        """Let everything arrive that was sent before now: the answer to a request is behind it."""
        asyncio.set_event_loop(LOOP)
        self.run(self.ib.reqCurrentTimeAsync())

    def place(self, order, contract=None):
        asyncio.set_event_loop(LOOP)
        return self.ib.placeOrder(contract or stock(), order)

    def close(self) -> None:
        """Leave, and see the socket closed."""
        connection = self.ib.client.conn
        if not connection.isConnected():
            return
        asyncio.set_event_loop(LOOP)
        connection.disconnected += lambda *_: self.heard.set()
        self.ib.client.disconnect()
        self.wait(lambda: not connection.isConnected())


def stock(symbol: str = "AAA", currency: str = "USD", primary: str = ""):
    return api.Stock(symbol, "SMART", currency, primaryExchange=primary)


def market(side: str = "BUY", qty: object = 10, **more: object):
    return api.MarketOrder(side, qty, tif="DAY", **more)


def limit(side: str = "BUY", qty: object = 10, price: float = 50.0, **more: object):
    return api.LimitOrder(side, qty, price, **({"tif": "DAY"} | more))
