"""Requests as bytes over a socket, so that a test can send what no client would; and what came back."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from itertools import count
from pathlib import Path
from typing import Any

SECONDS = 30
Header = tuple[str, str]
_visitors = count()
JSON: Header = ("Content-Type", "application/json")
REFUSED = (0, 400, 401, 403, 404, 405, 408, 411, 413, 414, 421, 429, 501, 505)
"""Statuses of a refusal; 0 is a connection that was closed without one."""


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where the connection was closed without a word, or the handshake refused."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]


@cache
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def basic(login: str) -> Header:
    return ("Authorization", "Basic " + base64.b64encode(login.encode()).decode())


def request(
    target: str, headers: Iterable[Header], body: bytes = b"", method: str = "POST", version: str = "HTTP/1.1"
) -> bytes:
    """The bytes of a request, with the length of its body; nothing else is added or put in order."""
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def connected(port: int, address: str = "127.0.0.1", source: str | None = None) -> socket.socket:
    """A connection, on this machine from an address that nobody has asked from: the proxy counts by address."""
    if source is None and address == "127.0.0.1":
        number = next(_visitors)
        source = f"127.9.{number // 250 % 250 + 1}.{number % 250 + 1}"
    return socket.create_connection((address, port), SECONDS, (source or "", 0))


def sent(
    port: int,
    raw: bytes,
    context: ssl.SSLContext | None = None,
    name: str | None = None,
    address: str = "127.0.0.1",
) -> Answer:
    """Send the bytes, without TLS where there is no context; the first answer."""
    plain = connected(port, address)
    connection: socket.socket = plain
    try:
        if context is not None:
            connection = context.wrap_socket(plain, server_hostname=name)
        connection.sendall(raw)
        return _read(connection, raw.partition(b" ")[0].decode("latin-1"))
    except (ssl.SSLError, ConnectionError):
        return Answer(0, {}, b"")
    finally:
        connection.close()


def _read(connection: socket.socket, method: str) -> Answer:
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
    except Exception as error:
        # No status line at all: the server has hung up.
        assert not isinstance(error, TimeoutError), "no answer, and the connection stays open"
        return Answer(0, {}, b"")
    with response:
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def assert_refused(answer: Answer) -> None:
    assert answer.status in REFUSED, (answer.status, answer.body[:300])
