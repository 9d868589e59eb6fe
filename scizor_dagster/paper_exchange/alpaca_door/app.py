"""The door over HTTP: who asks, how often, what goes wrong, and the reply.

What belongs here: authorization, the rate limit, the order of things around a handler, and replies
that are not HTTP (a dropped connection, silence). What does not: what is answered (`routes`).

A fault of the wire is met before or after the handler; one of the exchange is carried out by it.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import socket
import struct
from asyncio import Transport
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from scizor_dagster.paper_exchange.alpaca_door.door import LIVE_KEY_PREFIX, Call, Door, Endpoint, Reply, error_reply
from scizor_dagster.paper_exchange.alpaca_door.errors import (
    WireError,
    endpoint_not_found,
    forbidden,
    internal_error,
    rate_limit_exceeded,
    unauthorized,
)
from scizor_dagster.paper_exchange.alpaca_door.price_stream import serve_prices
from scizor_dagster.paper_exchange.alpaca_door.rate_limit import RateLimiter
from scizor_dagster.paper_exchange.alpaca_door.routes import ENDPOINTS
from scizor_dagster.paper_exchange.alpaca_door.stream import Stream
from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.venue import Fault

Transports = dict[Any, Transport]
"""Open connections by the client's address."""
_log = logging.getLogger(__name__)
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_GATEWAY_TIMEOUT = "504 Gateway Time-out"
_BROKEN_REPLIES = frozenset({FaultKind.TRUNCATED, FaultKind.GARBAGE, FaultKind.EMPTY_REPLY, FaultKind.DUPLICATE_REPLY})


def build_app(door: Door, limiter: RateLimiter, transports: Transports) -> Starlette:
    """The door as an ASGI application; `transports` are those of the server that runs it."""
    routes: list[BaseRoute] = [_route(endpoint, door, limiter, transports) for endpoint in ENDPOINTS]
    routes.append(WebSocketRoute("/stream", Stream(door).serve))

    async def prices(socket: WebSocket) -> None:
        await serve_prices(door, socket)

    routes.append(WebSocketRoute("/v2/{feed}", prices))

    def unknown(_request: Request, _error: Exception) -> Response:
        return _response(error_reply(endpoint_not_found()), {})

    return Starlette(routes=routes, exception_handlers={404: unknown, 405: unknown})


def _route(endpoint: Endpoint, door: Door, limiter: RateLimiter, transports: Transports) -> Route:
    async def answer(request: Request) -> Response:
        try:
            account = _account(door, request.headers)
        except WireError as error:
            return _response(error_reply(error), {})
        allowance = limiter.take(account, data=endpoint.data)
        if not allowance.allowed:
            return _too_many(endpoint, allowance.headers)
        fault = door.fault(endpoint.name)
        transport = transports.get((request.client.host, request.client.port)) if request.client else None
        if (early := _before(endpoint, fault, transport, allowance.headers)) is not None:
            return early
        call = Call(account, request.path_params, _query(request), await request.body(), fault)
        reply = await run_in_threadpool(_answer, endpoint, door, call)
        if call.meets(FaultKind.DELIVERED_TWICE):
            reply = await run_in_threadpool(_answer, endpoint, door, call)
        before = door.replies.get((account, endpoint.name), reply)
        door.replies[account, endpoint.name] = reply
        return _after(fault, transport, before if call.meets(FaultKind.OTHER_REPLY) else reply, allowance.headers)

    return Route(endpoint.path, answer, methods=[endpoint.method])


def _answer(endpoint: Endpoint, door: Door, call: Call) -> Reply:
    try:
        return endpoint.handler(door, call)
    except WireError as error:
        return error_reply(error)
    except Exception:
        # The client is told in the words that it knows, and its connection stays as it is.
        _log.exception("%s of account %s failed", endpoint.name, call.account)
        return error_reply(internal_error(500))


def _account(door: Door, headers: Headers) -> str:
    """The account of the request's keys, from the two headers or from basic authorization."""
    key, secret = headers.get("apca-api-key-id"), headers.get("apca-api-secret-key")
    if key is None and (headers.get("authorization") or "").startswith("Basic "):
        try:
            decoded = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
        except (ValueError, binascii.Error):
            raise unauthorized() from None
        key, _, secret = decoded.partition(":")
    found = door.keys.get(key or "")
    if found is None and (key or "").startswith(LIVE_KEY_PREFIX):
        raise forbidden()
    if found is None or found[0] != secret:
        raise unauthorized()
    return found[1]


def _query(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return found


def _too_many(endpoint: Endpoint, headers: dict[str, str]) -> Response:
    if endpoint.data:
        return Response("too many requests.", 429, headers, media_type="text/plain")
    return _response(error_reply(rate_limit_exceeded()), headers)


def _before(
    endpoint: Endpoint, fault: Fault | None, transport: Transport | None, headers: dict[str, str]
) -> Response | None:
    """The reply of a request that the exchange never sees, or None."""
    if fault is None:
        return None
    if fault.kind == FaultKind.RATE_LIMITED:
        return _too_many(endpoint, headers)
    if fault.kind == FaultKind.UNAUTHORIZED:
        refused = forbidden() if fault.detail.get("status") == forbidden().http else unauthorized()
        return _response(error_reply(refused), headers)
    if fault.kind == FaultKind.SERVER_ERROR:
        return _response(error_reply(internal_error(int(fault.detail.get("status", 503)))), headers)
    if fault.kind == FaultKind.GATEWAY_TIMEOUT_BEFORE:
        return Response(_PAGE.format(_GATEWAY_TIMEOUT), 504, headers, media_type="text/html")
    if fault.kind in (FaultKind.REPLY_LOST_BEFORE, FaultKind.RESET, FaultKind.DISCONNECT):
        return _Dropped(transport, reset=fault.kind == FaultKind.RESET)
    return None


def _after(fault: Fault | None, transport: Transport | None, reply: Reply, headers: dict[str, str]) -> Response:
    """The reply of a request that the exchange has answered."""
    kind = fault.kind if fault is not None else None
    if fault is None or kind is None:
        return _response(reply, headers)
    if kind == FaultKind.GATEWAY_TIMEOUT_AFTER:
        return Response(_PAGE.format(_GATEWAY_TIMEOUT), 504, headers, media_type="text/html")
    if kind == FaultKind.REPLY_LOST_AFTER:
        return _Dropped(transport, reset=False)
    if kind == FaultKind.HTML_BODY:
        status = int(fault.detail.get("status", 200))
        return Response(_PAGE.format("Welcome"), status, headers, media_type="text/html")
    if kind == FaultKind.HANG:
        return _Hanging()
    if kind in _BROKEN_REPLIES and transport is not None:
        return _Broken(transport, _response(reply, headers), kind)
    if kind == FaultKind.UNKNOWN_FIELD:
        return _response(Reply(reply.status, _with_unknown(reply.body)), headers)
    if kind == FaultKind.UNKNOWN_ENUM:
        value = str(fault.detail.get("value", "held_for_review"))
        return _response(Reply(reply.status, _with_status(reply.body, value)), headers)
    return _response(reply, headers)


def _with_status(body: Any, value: str) -> Any:
    if isinstance(body, list):
        return [_with_status(row, value) for row in body]
    if isinstance(body, dict) and "status" in body:
        return body | {"status": value}
    return body


def _with_unknown(body: Any) -> Any:
    if isinstance(body, list):
        return [_with_unknown(row) for row in body]
    return {**body, "margin_tier": {"since": None, "level": 3}} if isinstance(body, dict) else body


def _response(reply: Reply, headers: dict[str, str]) -> Response:
    content = b"" if reply.body is None else json.dumps(reply.body, separators=(",", ":")).encode()
    named = headers | {"X-Request-ID": uuid4().hex}
    return Response(content, reply.status, named, media_type="application/json" if content else None)


class _Dropped(Response):
    """No reply: the connection ends, in order or by a reset."""

    def __init__(self, transport: Transport | None, *, reset: bool) -> None:
        super().__init__()
        self._transport = transport
        self._reset = reset

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        assert self._transport is not None, "the server does not tell its connections"
        if self._reset:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await _until_gone(receive)


class _Broken(Response):
    """A reply whose bytes are not what a server writes. The connection ends with it, unless it comes twice."""

    def __init__(self, transport: Transport, whole: Response, kind: str) -> None:
        super().__init__()
        self._transport, self._whole, self._kind = transport, whole, kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._kind == FaultKind.DUPLICATE_REPLY:
            await self._whole(scope, receive, send)
        self._transport.write(self._bytes())
        if self._kind != FaultKind.DUPLICATE_REPLY:
            self._transport.close()
            await _until_gone(receive)

    def _bytes(self) -> bytes:
        body = bytes(self._whole.body)
        if self._kind == FaultKind.EMPTY_REPLY:
            body = b""
        elif self._kind == FaultKind.GARBAGE:
            body = bytes(reversed(body)) + b"\x00\xff"
        head = f"HTTP/1.1 {self._whole.status_code} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        sent = body[: len(body) // 2] if self._kind == FaultKind.TRUNCATED else body
        return f"{head}\r\n\r\n".encode() + sent


class _Hanging(Response):
    """No reply, and the connection stays open until the client leaves it."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        await _until_gone(receive)


async def _until_gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
