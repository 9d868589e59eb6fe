"""Before any route: whom a request is addressed to, from where it comes, its id, and the headers of every answer.

What belongs here: what holds for routes and for what is none. What does not: who asks (`routes`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scizor_dagster.api.context import Context
from scizor_dagster.api.problems import RequestRefused, answer_to
from scizor_dagster.logs import bound

logger = logging.getLogger("scizor.api")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""


class Front:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, context: Context, hosts: Collection[str], always: Collection[str] = ()) -> None:
        """`always` are the paths that are open however many requests there are."""
        self._app = app
        self._context = context
        self._always = frozenset(always)
        self._hosts = LOOPBACK | {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.monotonic(), 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            with bound(request_id=request_id):
                await self._app(scope, receive, answered)
        except Exception as error:
            if status:
                raise
            await answer_to(error, request_id, self._context.redact)(scope, receive, answered)
        finally:
            took = (time.monotonic() - began) * 1000
            path = self._context.redact(ascii(scope["path"])[1:-1])
            with bound(request_id=request_id):
                logger.info("%s %s %s: %d in %.0f ms", request_id, scope["method"], path, status, took)

    def _check(self, scope: Scope) -> None:
        """Refuse what is addressed to somebody else, comes too often, or has a path that nobody means."""
        client = scope.get("client")
        if scope["path"] not in self._always:
            self._context.rates.take_address(client[0] if client else "")
        hosts = Headers(scope=scope).getlist("host")
        named = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if named is None or named.group(1) not in self._hosts:
            raise RequestRefused(
                "The request is addressed to a host that this is not.",
                remedy="Name the host as it is configured: api.hosts.",
                where="header.Host",
            )
        if _CONTROLS.search(scope["path"]):
            raise RequestRefused("The path holds a control character.", remedy="Leave it out.")
