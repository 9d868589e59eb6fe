"""The door as a running server, on a thread with its own event loop.

What belongs here: the socket, the thread and their end. What does not: what is served (`app`).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from threading import Thread
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from scizor_dagster.paper_exchange.alpaca_door.app import Transports, build_app
from scizor_dagster.paper_exchange.alpaca_door.door import Door, DoorRules
from scizor_dagster.paper_exchange.alpaca_door.overlays import Overlays
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import RateLimiter, Seconds
from scizor_dagster.paper_exchange.venue import Faults, Venue

_BACKLOG = 128
_JOIN_SECONDS = 10.0


class AlpacaServer:
    """A door that is open until `close`. Also a context manager.

    Attributes:
        url: Address for `url_override` of trading and data clients.
        stream_url: That of a client of orders' events.
        prices_url: That of a client of prices.
    """

    def __init__(self, door: Door, listener: socket.socket, wall_clock: Seconds) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self.stream_url = f"ws://{host}:{port}/stream"
        self.prices_url = f"ws://{host}:{port}/v2/iex"
        self._transports: Transports = {}
        app = build_app(door, RateLimiter(door.rules.limits, wall_clock), self._transports)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_tracked(self._transports),
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, args=(listener,), name=f"alpaca-door-{port}", daemon=True)
        self._thread.start()

    def _run(self, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[listener])

        asyncio.run(serve())

    def close(self) -> None:
        """Stop taking requests and end every connection, a hanging one too."""
        self._server.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abort_all)
        self._thread.join(_JOIN_SECONDS)

    def _abort_all(self) -> None:
        for transport in list(self._transports.values()):
            transport.abort()

    def __enter__(self) -> AlpacaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve_alpaca(
    venue: Venue,
    keys: Mapping[str, tuple[str, str]],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults | None = None,
    rules: DoorRules | None = None,
    wall_clock: Seconds = time.time,
) -> AlpacaServer:
    """Open the door. It answers as soon as this returns.

    `keys` are key id to (secret, name of the account at the venue); `port` 0 is any that is free. `wall_clock`
    is that of the rate limit, in seconds since the epoch: not the venue's clock, which may run faster.

    Raises:
        OSError: the port is taken.
    """
    # Named as TCP, so that asyncio sends a reply's head and body at once: else each waits 40 ms for the client.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    # Listening before the thread runs: a client that comes at once waits in the backlog.
    listener.listen(_BACKLOG)
    door = Door(venue, keys, rules or DoorRules(), faults, Overlays(venue))
    return AlpacaServer(door, listener, wall_clock)


def _tracked(transports: Transports) -> type[asyncio.Protocol]:
    """The server's protocol, telling which connection belongs to which client."""

    class Tracked(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transports[transport.get_extra_info("peername")] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.transport.get_extra_info("peername"), None)
            super().connection_lost(exc)

    return Tracked
