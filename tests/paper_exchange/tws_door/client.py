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


class Client:
    """`IB` in the test's thread; `wait` runs its loop until something holds."""

    def __init__(self, port: int, client_id: int = 1, **options: object) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.ib = api.IB()
        self.ib.RaiseRequestErrors = True
        self.ib.RequestTimeout = PATIENCE
        self.errors: list[tuple[int, int, str]] = []
        self.ib.errorEvent += lambda req_id, code, text, _contract: self.errors.append((req_id, code, text))
        self.ib.connect("127.0.0.1", port, clientId=client_id, **options)

    def codes(self) -> list[int]:
        return [code for _, code, _ in self.errors if not 2100 <= code < 2200]

    def run(self, work):
        asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def wait(self, holds: Callable[[], object]) -> None:
        """Run the client until `holds()`; every message that arrives is looked at once."""

        async def until() -> None:
            while not holds():
                await asyncio.wait_for(self.ib.updateEvent, PATIENCE)

        self.run(until())

    def settle(self) -> None:
        """Let everything arrive that was sent before now: the answer to a request is behind it."""
        self.run(self.ib.reqCurrentTimeAsync())

    def place(self, order, contract=None):
        asyncio.set_event_loop(self.loop)
        return self.ib.placeOrder(contract or stock(), order)

    def close(self) -> None:
        asyncio.set_event_loop(self.loop)
        if self.ib.isConnected():
            self.ib.disconnect()

            async def gone() -> None:
                while self.ib.client.conn.isConnected():
                    await asyncio.sleep(0)

            self.run(gone())


def stock(symbol: str = "AAA", currency: str = "USD", primary: str = ""):
    return api.Stock(symbol, "SMART", currency, primaryExchange=primary)


def market(side: str = "BUY", qty: object = 10, **more: object):
    return api.MarketOrder(side, qty, tif="DAY", **more)


def limit(side: str = "BUY", qty: object = 10, price: float = 50.0, **more: object):
    return api.LimitOrder(side, qty, price, **({"tif": "DAY"} | more))
