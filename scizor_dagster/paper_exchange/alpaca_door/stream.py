"""The `trade_updates` websocket: authenticate, listen, and be told of every event from then on.

What belongs here: the conversation, and the order in which messages go out. What does not: the body of
a message (`render_orders`).

Events that happened while nobody listened are never sent: a client reads orders and positions after
every connect. Both kinds of frame are understood; `DoorRules` says which one is sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from scizor_dagster.paper_exchange.alpaca_door import render_orders
from scizor_dagster.paper_exchange.alpaca_door.door import Door
from scizor_dagster.paper_exchange.alpaca_door.routes import STREAM
from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.venue_orders import VenueEvent

TRADE_UPDATES = "trade_updates"
_POLICY_VIOLATION = 1008


class Stream:
    """Every websocket of one door."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: dict[str, int] = {}
        self._lock = Lock()

    async def serve(self, socket: WebSocket) -> None:
        if "msgpack" in socket.headers.get("content-type", ""):
            # A client of prices: it would wait here for a greeting that does not come.
            await socket.close(_POLICY_VIOLATION)
            return
        await socket.accept()
        try:
            account = await self._authenticated(socket)
            if account is None:
                await socket.close(_POLICY_VIOLATION)
                return
            try:
                await _Conversation(self._door, socket, account).run()
            finally:
                self._leave(account)
        except WebSocketDisconnect:
            return  # The client has left; that is how every conversation ends.

    async def _authenticated(self, socket: WebSocket) -> str | None:
        """The account, once the client has named it with its secret; None where it has not."""
        request = await receive(socket)
        data = request.get("data") or request
        found = self._door.keys.get(str(data.get("key_id") or data.get("key") or ""))
        known = found is not None and found[0] == (data.get("secret_key") or data.get("secret"))
        action = request.get("action")
        account = found[1] if known and found is not None and action in ("authenticate", "auth") else None
        if account is not None and not self._enter(account):
            account = None
        status = "authorized" if account is not None else "unauthorized"
        await send(
            socket,
            {"stream": "authorization", "data": {"status": status, "action": "authenticate"}},
            binary=self._door.rules.binary_stream,
        )
        return account

    def _enter(self, account: str) -> bool:
        with self._lock:
            if self._door.rules.one_stream and self._open.get(account, 0):
                return False
            self._open[account] = self._open.get(account, 0) + 1
            return True

    def _leave(self, account: str) -> None:
        with self._lock:
            self._open[account] -= 1


class _Conversation:
    """One authorized connection."""

    def __init__(self, door: Door, socket: WebSocket, account: str) -> None:
        self._door = door
        self._socket = socket
        self._account = account
        self._events: asyncio.Queue[VenueEvent] = asyncio.Queue()
        self._held: dict[str, Any] | None = None

    async def run(self) -> None:
        telling: asyncio.Task[None] | None = None
        stop = None
        try:
            while True:
                request = await receive(self._socket)
                if request.get("action") != "listen":
                    continue
                wanted = (request.get("data") or {}).get("streams") or []
                streams = [name for name in wanted if name == TRADE_UPDATES]
                if streams and telling is None:
                    stop = self._subscribe()
                    telling = asyncio.create_task(self._tell())
                await self._send({"stream": "listening", "data": {"streams": streams}})
        finally:
            if stop is not None:
                stop()
            if telling is not None:
                telling.cancel()

    def _subscribe(self) -> Any:
        loop = asyncio.get_running_loop()

        def hear(event: VenueEvent) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, event)

        return self._door.venue.subscribe(self._account, hear)

    async def _tell(self) -> None:
        # A client that has left is noticed by who reads.
        with suppress(WebSocketDisconnect):
            while True:
                event = await self._events.get()
                message = await run_in_threadpool(self._message, event)
                for ready in self._faulted(message):
                    await self._send(ready)

    def _message(self, event: VenueEvent) -> dict[str, Any]:
        body = render_orders.order(event.order, self._door.asset_id(event.order.ticket.symbol))
        return render_orders.trade_update(event, body, self._door.venue.calendar)

    def _faulted(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What goes out for one event: nothing, it, it twice, or it before the one that was held back."""
        fault = self._door.fault(STREAM)
        kind = fault.kind if fault is not None else None
        if kind == FaultKind.SWAPPED_EVENTS and self._held is None:
            self._held = message
            return
        if kind != FaultKind.MISSED_EVENT:
            yield message
        if kind == FaultKind.DUPLICATE_EVENT:
            yield message
        if self._held is not None:
            yield self._held
            self._held = None

    async def _send(self, message: dict[str, Any]) -> None:
        await send(self._socket, message, binary=self._door.rules.binary_stream)


async def receive(socket: WebSocket) -> dict[str, Any]:
    """The next message, out of a text or a binary frame; what is no object counts as an empty one."""
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1000))
    try:
        found = json.loads(frame.get("text") or frame.get("bytes") or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def send(socket: WebSocket, message: dict[str, Any], *, binary: bool) -> None:
    text = json.dumps(message, separators=(",", ":"))
    if binary:
        await socket.send_bytes(text.encode())
    else:
        await socket.send_text(text)
