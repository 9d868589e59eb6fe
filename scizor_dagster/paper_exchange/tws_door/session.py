"""One client's connection: its greeting, its requests, its subscriptions.

What belongs here: the order of the handshake, and dispatch. What does not:
what the answers hold (`order_answers` and its siblings), and what is told without being asked (`pushes`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.tws_door.account_answers import ACCOUNT_ANSWERS
from scizor_dagster.paper_exchange.tws_door.call import Call
from scizor_dagster.paper_exchange.tws_door.data_answers import DATA_ANSWERS
from scizor_dagster.paper_exchange.tws_door.feeds import Feed
from scizor_dagster.paper_exchange.tws_door.order_answers import ORDER_ANSWERS
from scizor_dagster.paper_exchange.tws_door.profit import PROFIT_ANSWERS
from scizor_dagster.paper_exchange.tws_door.pushes import error
from scizor_dagster.paper_exchange.tws_door.requests import UNSUPPORTED, Request, parse
from scizor_dagster.paper_exchange.tws_door.striking import QUIET, call_of, strike_after, strike_before
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.unserved import UNSERVED_ANSWERS
from scizor_dagster.paper_exchange.tws_door.wire import (
    SERVER_VERSION,
    Field,
    ProtocolError,
    encode,
    read_frame,
    read_greeting,
)
from scizor_dagster.paper_exchange.tws_door.words import stamp
from scizor_dagster.paper_exchange.venue import Fault

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.door import Door

_log = logging.getLogger(__name__)
_END_MESSAGES = frozenset({"52", "53", "54", "55", "62", "64", "74", "102"})
ANSWERS = ORDER_ANSWERS | ACCOUNT_ANSWERS | DATA_ANSWERS | PROFIT_ANSWERS | UNSERVED_ANSWERS
_IN_USE = "Unable to connect as the client id is already in use. Retry with a unique client id."
_NOTICES = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)


class Session:
    """State of one connection. Runs in the door's loop, one request after the other."""

    def __init__(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.door = door
        self.client = -1
        self.auto_bind = False
        self.positions_wanted = False
        self.account_wanted: str | None = None
        self.summaries: dict[int, str] = {}
        self.open_history: set[int] = set()
        self.feeds: dict[int, Feed] = {}
        self.profits: dict[int, tuple[str, int | None]] = {}
        self.data_type = 1
        self.hidden_orders = 0
        self.stale = False
        self.held: dict[str, frozenset[str]] = {}
        self.portfolio_held: dict[str, frozenset[str]] = {}
        self.told: dict[tuple[Field, ...], tuple[Field, ...]] = {}
        """What the client has heard last of everything that it is told of again and again."""
        self._unwritten: list[bytes] = []
        self._reader = reader
        self._writer = writer
        self._quiet = False
        self._only_end = False
        self._spoiling: str | None = None
        """What is done to the messages that follow a request, until the next one."""
        self._late: list[bytes] = []
        self._requests_until_late = 0

    def send(self, *fields: Field) -> None:
        """Write one message, unless a fault keeps it back."""
        if self._quiet or self._writer.is_closing():
            return
        ends = str(fields[0]) in _END_MESSAGES
        if self._only_end and not ends:
            return
        self._write_soon(self._spoiled(fields))

    def _spoiled(self, fields: tuple[Field, ...]) -> bytes:
        """One message as the fault that its request meets makes it."""
        if self._spoiling == FaultKind.UNKNOWN_FIELD:
            return encode([*fields, "3", "since"])
        return encode(fields) * (2 if self._spoiling == FaultKind.DUPLICATE_REPLY else 1)

    def send_changed(self, key: tuple[Field, ...], *fields: Field) -> None:
        """Write one message about `key`, unless it is what the client has heard last."""
        if not self._quiet and not self._only_end and self.told.get(key) != fields:
            self.told[key] = fields
            self.send(*fields)

    def _write_soon(self, data: bytes) -> None:
        """Messages of one moment leave together: each in a packet of its own costs both sides most of their time."""
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        (self._late if self._spoiling == FaultKind.LATE_REPLY else self._unwritten).append(data)

    def _flush(self) -> None:
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        if not data or self._writer.is_closing():
            return
        if self._spoiling == FaultKind.TRUNCATED:
            self._writer.write(data[: len(data) // 2])
            self._writer.close()
        else:
            self._writer.write(data)

    def _count_to_late(self) -> None:
        """A request has come: an answer that is held back comes nearer to being told."""
        self._requests_until_late -= 1
        if self._late and self._requests_until_late <= 0:
            held = b"".join(self._late)
            self._late.clear()
            self._write_soon(held)

    def feed(self, req_id: int, feed: Feed) -> None:
        """Tell what a feed has to say, from now on."""
        self.feeds[req_id] = feed
        self.tell_feed(feed)

    def tell_feed(self, feed: Feed) -> None:
        """What the client has not heard yet of one feed."""
        for message in feed.messages():
            self.send(*message)

    def error(self, req_id: int, code: int, text: str) -> None:
        self.send(*error(req_id, code, text))

    def write_raw(self, data: bytes) -> None:
        """Bytes that are no frame."""
        self._write_soon(data)

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self._flush()
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        try:
            if not await self._begin():
                return
            while True:
                self._serve(parse(await read_frame(self._reader)))
                # What a request has caused is told before the next one is answered.
                await asyncio.sleep(0)
                await self._writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except ProtocolError as problem:
            _log.warning("client %s: %s", self.client, problem)
        finally:
            self.door.leave(self)
            self.close()

    async def _begin(self) -> bool:
        """Greeting, start of the API, and what a TWS says by itself. False where the connection ends."""
        greeting = await read_greeting(self._reader)
        if not greeting.speaks_ours:
            _log.warning("a client speaks %s to %s", greeting.lowest, greeting.highest)
            return False
        now = self.door.venue.now()
        self.send(SERVER_VERSION, stamp(now, self.door.switches.time_zone))
        start = parse(await read_frame(self._reader))
        if start.name != "startApi":
            return False
        self.client = start.number_of("clientId")
        if not self.door.enter(self):
            self.error(-1, 326, _IN_USE)
            self._flush()
            await self._writer.drain()
            return False
        fault = self.door.fault("connect")
        if fault is not None and strike_before(self, fault):
            return fault.kind == FaultKind.GATEWAY_TIMEOUT_BEFORE
        self.send(15, 1, ",".join(self.door.book.ids.values()))
        self.send(9, 1, self.door.book.next_id(self.client))
        for code, text in _NOTICES:
            self.error(-1, code, text)
        if not self.door.connected_to_servers:
            self.error(-1, 1100, "Connectivity between IB and Trader Workstation has been lost.")
        return True

    def _serve(self, request: Request) -> None:
        """Answer one request, with whatever fault strikes it."""
        self.door.on_request()
        self._spoiling = None
        self._count_to_late()
        fault = self.door.fault(call_of(request.name))
        if fault is None:
            self._answer(request)
            return
        if strike_before(self, fault, request):
            return
        self._quiet = fault.kind in QUIET
        self._only_end = fault.kind == FaultKind.EMPTY_POSITIONS
        self.stale = fault.kind == FaultKind.STALE_POSITIONS
        self.hidden_orders = int(fault.detail.get("orders", 1)) if fault.kind == FaultKind.VISIBILITY_LAG else 0
        self._spoiling = fault.kind
        self._requests_until_late = int(fault.detail.get("requests", 1))
        try:
            self._answer(request, fault)
        finally:
            self.hidden_orders = 0
            self._only_end = self.stale = False
        # Who is about to be closed hears nothing more; anybody else hears what comes later.
        self._quiet = fault.kind == FaultKind.REPLY_LOST_AFTER
        strike_after(self, fault, request)

    def _answer(self, request: Request, fault: Fault | None = None) -> None:
        try:
            if request.name == UNSUPPORTED:
                # Not 321: one of the clients takes that for a warning, and would wait on.
                text = f"request {request.number} is not simulated"
                raise ApiError(320, f"Server error when processing an API client request: {text}")
            ANSWERS[request.name](Call(self, request, fault))
        except ApiError as problem:
            self.error(request.req_id, problem.code, problem.text)
        except Exception as failure:
            _log.exception("client %s: %s was not carried out", self.client, request.name)
            self.error(request.req_id, 320, f"Server error when processing an API client request: {failure}")
