"""A running TWS: a thread with a loop of its own, listening on a port.

What belongs here: start, end, restart, and what a test or an operator does to it from outside. What
does not: anything said on a connection (`session`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self

from scizor_dagster.errors import InputError
from scizor_dagster.paper_exchange.tws_door.door import Door
from scizor_dagster.paper_exchange.tws_door.session import Session
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.venue import Faults, Venue
from scizor_dagster.paper_exchange.venue_orders import House

_PATIENCE = 10.0
"""Seconds that the loop may take for one command from outside."""


class RunningTws:
    """A TWS that listens. Use as a context manager, or `close` it.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self, venue: Venue, accounts: Sequence[str], host: str, port: int, faults: Faults | None, switches: Switches
    ) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._door = Door(venue, accounts, faults, switches, self._loop)
        self._unsubscribe = [venue.subscribe(account, self._door.on_event) for account in accounts]
        self._thread = threading.Thread(target=self._loop.run_forever, name="tws", daemon=True)
        self._thread.start()
        try:
            self.port = self._wait(self._listen(port))
        except OSError as error:
            self.close()
            raise InputError(
                f"The TWS cannot listen on {host}:{port}: {error}.", remedy="Choose a free port, or 0 for any."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection, and the thread."""
        for end in self._unsubscribe:
            end()
        self._unsubscribe = []
        if self._thread.is_alive():
            self._wait(self._stop_listening())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()

    def stop_listening(self) -> None:
        """The first half of a nightly restart: end every connection, and refuse new ones."""
        self._wait(self._stop_listening())

    def listen_again(self, *, forget_ids: bool = False) -> None:
        """The second half: take connections on the same port; `forget_ids` makes old order ids come again."""
        if forget_ids:
            self._call(self._door.book.forget_ids)
        self._wait(self._listen(self.port))

    def push(self, code: int, text: str) -> None:
        """A system message to every client: 2103, 2110, 1300, ..."""
        self._call(self._door.push, code, text)

    def lose_connectivity(self) -> None:
        self._call(self._door.lose_connectivity)

    def restore_connectivity(self, *, data_lost: bool = False) -> None:
        self._call(lambda: self._door.restore_connectivity(data_lost=data_lost))

    def clients(self) -> list[int]:
        """Ids of the clients that are connected."""
        return sorted(self._call(lambda: list(self._door.sessions)))

    async def _listen(self, port: int) -> int:
        self._server = await asyncio.start_server(self._serve, self._host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._door.close_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(Session(self._door, reader, writer).run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def run() -> Any:
            return function(*arguments)

        return self._wait(run())

    def _wait(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(_PATIENCE)


def serve_tws(
    venue: Venue,
    accounts: Sequence[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults | None = None,
    switches: Switches | None = None,
) -> RunningTws:
    """Start a TWS that is logged in to `accounts` of `venue`: all of its IBKR accounts where none is named.

    Raises:
        InputError: there is no such account, or the port cannot be listened on.
    """
    known = venue.accounts(House.IBKR)
    chosen = list(known) if accounts is None else list(accounts)
    missing = [name for name in chosen if name not in known]
    if missing or not chosen:
        raise InputError(
            f"Account '{missing[0]}' is not an IBKR account of the exchange."
            if missing
            else "There is no IBKR account.",
            remedy=f"Use one of: {', '.join(known) or 'none'}.",
        )
    return RunningTws(venue, chosen, host, port, faults, switches or Switches())
