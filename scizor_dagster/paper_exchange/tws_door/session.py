"""One client's connection: its greeting, its requests, its subscriptions.

What belongs here: the order of the handshake, dispatch, and faults of single requests. What does not:
what the answers hold (`order_answers` and its siblings), and what is told without being asked (`pushes`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.tws_door import fault_words
from scizor_dagster.paper_exchange.tws_door.account_answers import ACCOUNT_ANSWERS
from scizor_dagster.paper_exchange.tws_door.call import Call
from scizor_dagster.paper_exchange.tws_door.data_answers import DATA_ANSWERS
from scizor_dagster.paper_exchange.tws_door.order_answers import ORDER_ANSWERS
from scizor_dagster.paper_exchange.tws_door.pushes import error
from scizor_dagster.paper_exchange.tws_door.requests import UNSUPPORTED, Request, parse
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import (
    SERVER_VERSION,
    Field,
    ProtocolError,
    encode,
    read_frame,
    read_greeting,
)
from scizor_dagster.paper_exchange.tws_door.words import stamp
from scizor_dagster.paper_exchange.venue import Fault, VenueListing

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.door import Door

_log = logging.getLogger(__name__)
_END_MESSAGES = frozenset({"52", "53", "54", "55", "62", "64", "74", "102"})
ANSWERS = ORDER_ANSWERS | ACCOUNT_ANSWERS | DATA_ANSWERS
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
        self.summaries: set[int] = set()
        self.open_history: set[int] = set()
        self.streams: dict[int, tuple[VenueListing, int]] = {}
        self.data_type = 1
        self.hidden_orders = 0
        self.held: dict[str, frozenset[str]] = {}
        self._reader = reader
        self._writer = writer
        self._quiet = False
        self._only_end = False
        self._no_end = False

    def send(self, *fields: Field) -> None:
        """Write one message, unless a fault keeps it back."""
        if self._quiet or self._writer.is_closing():
            return
        ends = str(fields[0]) in _END_MESSAGES
        if (ends and self._no_end) or (self._only_end and not ends):
            return
        self._writer.write(encode(fields))

    def error(self, req_id: int, code: int, text: str) -> None:
        self.send(*error(req_id, code, text))

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """End the connection with a reset."""
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
            self._writer.close()

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
            await self._writer.drain()
            return False
        fault = self.door.fault("connect")
        if fault is not None and self._strike_before(fault):
            return fault.kind == fault_words.HANG
        self.send(15, 1, ",".join(self.door.book.ids.values()))
        self.send(9, 1, self.door.book.next_id(self.client))
        for code, text in _NOTICES:
            self.error(-1, code, text)
        if not self.door.connected_to_servers:
            self.error(-1, 1100, "Connectivity between IB and Trader Workstation has been lost.")
        return True

    def _serve(self, request: Request) -> None:
        """Answer one request, with whatever fault strikes it."""
        fault = self.door.fault(request.name)
        if fault is None:
            self._answer(request)
            return
        if self._strike_before(fault, request):
            return
        self._quiet = fault.kind in (fault_words.DROP_AFTER, fault_words.HANG_AFTER, fault_words.LOSE)
        self._no_end = fault.kind == fault_words.NO_END
        self._only_end = fault.kind == fault_words.EMPTY
        self.hidden_orders = int(fault.detail.get("orders", 1)) if fault.kind == fault_words.LAG else 0
        try:
            self._answer(request, fault)
        finally:
            self.hidden_orders = 0
            self._no_end = self._only_end = False
            if fault.kind != fault_words.DROP_AFTER:
                self._quiet = False
        self._strike_after(fault, request)

    def _strike_before(self, fault: Fault, request: Request | None = None) -> bool:
        """Carry out a fault that comes before the request; True where the request is not carried out."""
        if fault.kind == fault_words.DROP:
            self.close()
        elif fault.kind == fault_words.RESET:
            self.reset()
        elif fault.kind == fault_words.HANG:
            if request is not None and request.name == "reqHistoricalData":
                self.open_history.add(request.req_id)
        elif fault.kind == fault_words.ERROR:
            req_id = request.req_id if request is not None else -1
            self.error(req_id, int(fault.detail["code"]), str(fault.detail.get("text", "")))
        elif fault.kind == fault_words.RESTORE:
            self.door.restore_connectivity(data_lost=bool(fault.detail.get("data_lost", False)))
            return False
        else:
            return False
        return True

    def _strike_after(self, fault: Fault, request: Request) -> None:
        if fault.kind == fault_words.DROP_AFTER:
            self.close()
        elif fault.kind == fault_words.WARN:
            self.door.soon(self.error, request.req_id, int(fault.detail["code"]), str(fault.detail.get("text", "")))
        elif fault.kind == fault_words.LOSE:
            self.door.lose_connectivity()

    def _answer(self, request: Request, fault: Fault | None = None) -> None:
        try:
            if request.name == UNSUPPORTED:
                cause = f"Request {request.number} is not simulated"
                raise ApiError(321, f"Error validating request.-'b' : cause - {cause}")
            ANSWERS[request.name](Call(self, request, fault))
        except ApiError as problem:
            self.error(request.req_id, problem.code, problem.text)
        except Exception as failure:
            _log.exception("client %s: %s was not carried out", self.client, request.name)
            self.error(request.req_id, 320, f"Server error when processing an API client request: {failure}")
