"""The stream of prices: trades, quotes and bars of minutes and of the day, as the clock brings them.

What belongs here: the conversation, and what is due at a beat. What does not: bodies of messages
(`render_data`), and events of orders (`stream`).

It speaks MessagePack to clients that announce it, as the SDK does, and JSON to others. What it shows is what
the requests for the newest show; a minute's bar goes out when the minute has ended. A clock that runs faster
than a client reads leaves out all but the last of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from scizor_dagster.paper_exchange.alpaca_door import render_data
from scizor_dagster.paper_exchange.alpaca_door.bars import stretches
from scizor_dagster.paper_exchange.alpaca_door.door import Door
from scizor_dagster.paper_exchange.alpaca_door.formats import new_york_date, read_instant
from scizor_dagster.paper_exchange.alpaca_door.packing import pack, unpack
from scizor_dagster.paper_exchange.alpaca_door.queries import FEEDS
from scizor_dagster.paper_exchange.alpaca_door.ticks import MINUTE

BEAT = 0.25
"""Seconds between two looks at the clock."""
CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")
EVERY = "*"
_MOST = timedelta(hours=1)
_LOOK_BACK = timedelta(days=1)
_ERRORS = {400: "invalid syntax", 402: "auth failed"}
_POLICY_VIOLATION = 1008
Message = dict[str, Any]


async def serve_prices(door: Door, socket: WebSocket) -> None:
    """One connection at `/v2/iex`, or at another feed; all feeds show the same."""
    if socket.path_params.get("feed") not in FEEDS:
        await socket.close(_POLICY_VIOLATION)
        return
    await socket.accept()
    is_packed = "msgpack" in socket.headers.get("content-type", "")
    try:
        await _Conversation(door, socket, is_packed=is_packed).run()
    except WebSocketDisconnect:
        return  # The client has left; that is how every conversation ends.


@dataclass
class Subscription:
    """What one client wants to hear, and what it has heard.

    Attributes:
        seen: Instant of the last look: what has happened until then has gone out, or was not asked for.
    """

    seen: datetime
    symbols: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in CHANNELS})

    def change(self, request: Mapping[str, Any], *, adds: bool) -> None:
        for name in CHANNELS:
            wanted = request.get(name)
            named = {str(symbol) for symbol in wanted} if isinstance(wanted, list) else set()
            self.symbols[name] = self.symbols[name] | named if adds else self.symbols[name] - named

    def message(self) -> Message:
        return {"T": "subscription"} | {name: sorted(symbols) for name, symbols in self.symbols.items()}

    def due(self, door: Door) -> list[Message]:
        """What has happened since the last look."""
        seen, self.seen = self.seen, max(self.seen, door.venue.now())
        since, minute = (at.replace(second=0, microsecond=0) for at in (seen, self.seen))
        found = self._newest(door, seen)
        if minute > since:
            found += self._bars(door, max(since, minute - _MOST), minute)
        return found

    def _wanted(self, door: Door, *channels: str) -> list[str]:
        named: set[str] = set().union(*(self.symbols[name] for name in channels))
        if EVERY in named:
            return sorted(row.instrument.symbol for row in door.venue.listings())
        return sorted(symbol for symbol in named if door.listing(symbol) is not None)

    def _hears(self, channel: str, symbol: str) -> bool:
        return symbol in self.symbols[channel] or EVERY in self.symbols[channel]

    def _newest(self, door: Door, seen: datetime) -> list[Message]:
        found: list[Message] = []
        for symbol in self._wanted(door, "trades", "quotes"):
            quote = door.venue.quote(symbol)
            if quote is None or quote.at <= seen:
                continue
            if self._hears("trades", symbol):
                found.append({"T": "t", "S": symbol} | render_data.latest_trade(quote))
            if self._hears("quotes", symbol):
                found.append({"T": "q", "S": symbol} | render_data.latest_quote(quote))
        return found

    def _bars(self, door: Door, since: datetime, minute: datetime) -> list[Message]:
        found: list[Message] = []
        last = new_york_date(minute)
        for symbol in self._wanted(door, "bars", "dailyBars"):
            rows = [
                row
                for trace in door.venue.traces(symbol, new_york_date(since), last)
                for row in stretches(trace, MINUTE, since)
                if since <= row.at and row.at + MINUTE.length <= minute
            ]
            if rows and self._hears("bars", symbol):
                found += [{"T": "b", "S": symbol} | render_data.bar(row) for row in rows]
            if rows and self._hears("dailyBars", symbol):
                days = door.venue.bars([symbol], last - _LOOK_BACK, last).get(symbol, ())
                found += [{"T": "d", "S": symbol} | render_data.bar(render_data.of_day(row)) for row in days[-1:]]
        return found


class _Conversation:
    """One connection."""

    def __init__(self, door: Door, socket: WebSocket, *, is_packed: bool) -> None:
        self._door = door
        self._socket = socket
        self._is_packed = is_packed
        self._subscription = Subscription(door.venue.now())

    async def run(self) -> None:
        await self._send([{"T": "success", "msg": "connected"}])
        if not self._is_known(await self._receive()):
            await self._send([_error(402)])
            await self._socket.close(_POLICY_VIOLATION)
            return
        await self._send([{"T": "success", "msg": "authenticated"}])
        telling = asyncio.create_task(self._tell())
        try:
            while True:
                request = await self._receive()
                action = request.get("action")
                if action not in ("subscribe", "unsubscribe"):
                    await self._send([_error(400)])
                    continue
                self._subscription.change(request, adds=action == "subscribe")
                await self._send([self._subscription.message()])
        finally:
            telling.cancel()

    def _is_known(self, request: Mapping[str, Any]) -> bool:
        found = self._door.keys.get(str(request.get("key") or ""))
        return request.get("action") == "auth" and found is not None and found[0] == request.get("secret")

    async def _tell(self) -> None:
        # A client that has left is noticed by who reads.
        with suppress(WebSocketDisconnect):
            while True:
                messages = await run_in_threadpool(self._subscription.due, self._door)
                if messages:
                    await self._send(messages)
                await asyncio.sleep(BEAT)

    async def _receive(self) -> Mapping[str, Any]:
        """The next request; what is none counts as an empty one."""
        frame = await self._socket.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(frame.get("code", 1000))
        text, data = frame.get("text"), frame.get("bytes") or b""
        try:
            found = unpack(data) if self._is_packed and text is None else json.loads(text or data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    async def _send(self, messages: Iterable[Message]) -> None:
        if self._is_packed:
            await self._socket.send_bytes(pack([_with_instant(message) for message in messages]))
        else:
            await self._socket.send_text(json.dumps(list(messages), separators=(",", ":")))


def _error(code: int) -> Message:
    return {"T": "error", "code": code, "msg": _ERRORS[code]}


def _with_instant(message: Message) -> Message:
    """MessagePack has a type of its own for instants."""
    return message | {"t": read_instant(message["t"])} if "t" in message else message
