"""A client of an ASGI application in this process: no socket, no server, one loop for all requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlencode

T = TypeVar("T")
HOST = "localhost"


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Asks `app`, as whoever holds `key`."""

    def __init__(self, app: Any, key: str | None = None, loop: asyncio.Runner | None = None) -> None:
        self.app = app
        self.key = key
        self._loop = loop or asyncio.Runner()

    def holding(self, key: str | None) -> Client:
        """The same application, asked with another key."""
        return Client(self.app, key, self._loop)

    def close(self) -> None:
        self._loop.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Answer:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request and wait for its end; see `asking`."""
        return self.run(self.asking(method, path, **options))

    def run(self, asking: Coroutine[Any, Any, T]) -> T:
        """Wait for requests that go at once."""
        return self._loop.run(asking)

    async def asking(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        query: Mapping[str, Any] | None = None,
        address: str = "127.0.0.1",
    ) -> Answer:
        """Send one request. `headers` replace those that go by themselves; None drops one."""
        sent: dict[str, str | None] = {"host": HOST}
        if self.key is not None:
            sent["authorization"] = f"Bearer {self.key}"
        if json is not None:
            body, sent["content-type"] = _dumped(json), "application/json"
        if body is not None:
            sent["content-length"] = str(len(body))
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        path, _, asked = path.partition("?")
        asked = urlencode(query or {}, doseq=True) or asked
        return await _answer(self.app, method, path, asked, sent, body or b"", address)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


async def _answer(
    app: Any, method: str, path: str, query: str, headers: Mapping[str, str | None], body: bytes, address: str
) -> Answer:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items() if value is not None],
        "client": (address, 50000),
        "server": (HOST, 8000),
        "state": {},
    }
    sent, status, told, parts = False, 0, {}, []
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            told.update({name.decode().lower(): value.decode() for name, value in message["headers"]})
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, told, b"".join(parts))
