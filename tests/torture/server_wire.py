"""A wire to a Postgres server on which every message of every client can be held: before the server has it, and after.

What belongs here: passing messages on, one client at a time in turn with the server, and cutting a connection at any
point of that. What does not: when something is done to a connection or to the server (`blows`).

The client speaks libpq's protocol without encryption: one message, then its whole answer.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from tests.postgres import Server

_LENGTH = struct.Struct("!i")
_KEY_DATA, _READY, _TERMINATE, _QUERY = b"K", b"Z", b"X", b"Q"
PLAIN = "?sslmode=disable&gssencmode=disable"


class When(Enum):
    """On which side of the server a message is held."""

    UNREAD = "before the server has it"
    ANSWERED = "after the server has done it"


class Fate(Enum):
    """What becomes of a message, or of its answer, that was held."""

    PASSED_ON = "passed on"
    CUT = "cut"
    CUT_IN_HALF = "cut in half"


@dataclass(frozen=True)
class Held:
    """A message that is held.

    Attributes:
        backend: Process id of the server's end.
        text: Of a query; empty for another kind of message.
    """

    when: When
    backend: int
    text: str

    @property
    def is_commit(self) -> bool:
        return self.text == "COMMIT"


class HeldWire:
    """Passes everything on, and asks `on_held` twice for each message what becomes of it."""

    def __init__(self, server: Server) -> None:
        self.on_held: Callable[[Held], Fate] = lambda _: Fate.PASSED_ON
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._changing = threading.Lock()

    def url(self, url: str) -> str:
        """The URL of the server's database `url`, by this wire."""
        return url.replace(f":{self._server.port}/", f":{self._listener.getsockname()[1]}/") + PLAIN

    def cut_all(self) -> None:
        """Cut every connection, whatever is under way on it."""
        with self._changing:
            cut = list(self._open)
        for side in cut:
            _shut(side)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def close(self) -> None:
        # Wakes the thread that waits in `accept`, which closing alone does not.
        _shut(self._listener)
        self._listener.close()
        self.cut_all()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._server.port)) as server:
            both = {client, server}
            with self._changing:
                self._open |= both
            try:
                self._pass_on(client, server)
            finally:
                with self._changing:
                    self._open -= both
                for side in both:
                    _shut(side)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        server.sendall(_exactly(client, *_first(client)))
        backend, answer, over = _answer(server)
        client.sendall(answer)
        while not over:
            message = _message(client)
            kind, text = message[:1], message[5:].rstrip(b"\0").decode(errors="replace")
            if kind == _TERMINATE:
                server.sendall(message)
                return
            text = text if kind == _QUERY else ""
            if self.on_held(Held(When.UNREAD, backend, text)) is not Fate.PASSED_ON:
                return
            # A server that is gone may have left its last word.
            with suppress(OSError):
                server.sendall(message)
            _, answer, over = _answer(server)
            fate = self.on_held(Held(When.ANSWERED, backend, text))
            if fate is Fate.CUT:
                return
            if fate is Fate.CUT_IN_HALF:
                client.sendall(answer[: len(answer) // 2])
                return
            client.sendall(answer)


def _first(client: socket.socket) -> tuple[int, bytes]:
    """The first message of a client has no kind: how much of it is left, and what was read."""
    head = _exactly(client, _LENGTH.size)
    return _LENGTH.unpack(head)[0] - _LENGTH.size, head


def _message(side: socket.socket) -> bytes:
    head = _exactly(side, 1 + _LENGTH.size)
    return _exactly(side, _LENGTH.unpack(head[1:])[0] - _LENGTH.size, head)


def _answer(server: socket.socket) -> tuple[int, bytes, bool]:
    """All messages until the server waits for the next one: its process, the bytes, and whether it has hung up."""
    backend, parts = 0, []
    with suppress(OSError):
        while True:
            parts.append(message := _message(server))
            if message[:1] == _KEY_DATA:
                backend = _LENGTH.unpack(message[5:9])[0]
            if message[:1] == _READY:
                return backend, b"".join(parts), False
    return backend, b"".join(parts), True


def _exactly(side: socket.socket, size: int, so_far: bytes = b"") -> bytes:
    """`so_far` and so many bytes more.

    Raises:
        ConnectionError: the other side ended before.
    """
    parts = bytearray(so_far)
    wanted = len(so_far) + size
    while len(parts) < wanted:
        if not (part := side.recv(wanted - len(parts))):
            raise ConnectionError("the other side has hung up")
        parts += part
    return bytes(parts)


def _shut(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)


@contextmanager
def held_wire(server: Server) -> Iterator[HeldWire]:
    wire = HeldWire(server)
    thread = threading.Thread(target=wire.serve, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join(10)
