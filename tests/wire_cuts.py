"""A wire to a Postgres server that is cut at a chosen commit: before the server has read it, or before it can answer.

The client cannot tell these apart, and the transaction is undone in the one case and stored in the other.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from tests.postgres import Server

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message of a simple query, as libpq sends it: its kind, its length, its text."""
Cut = Literal["unread", "unanswered"]
CUTS: tuple[Cut, ...] = ("unread", "unanswered")


class CuttingWire:
    """Passes everything on, and cuts the connection on which commit number `at` comes (from 1; 0 never cuts)."""

    def __init__(self, server: Server, at: int, cut: Cut) -> None:
        self.commits = 0
        self._server = server
        self._at = at
        self._cut = cut
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))

    def url(self, url: str) -> str:
        """The URL of the server's database `url`, by this wire."""
        return url.replace(f":{self._server.port}/", f":{self._listener.getsockname()[1]}/")

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server.port))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def close(self) -> None:
        # Wakes the thread that waits in `accept`, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Both ways in turn: the client speaks, and waits for the whole of the answer."""
        silent = threading.Event()
        threading.Thread(target=self._answer, args=(client, server, silent), daemon=True).start()
        with suppress(OSError):
            while data := client.recv(65536):
                if COMMIT not in data or not self._is_the_one():
                    server.sendall(data)
                    continue
                silent.set()
                if self._cut == "unanswered":
                    server.sendall(data)
                    # The other thread ends when the server has answered, which it does when it has stored.
                    return
                break
        _end(server)
        _end(client)

    def _answer(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while (data := server.recv(65536)) and not silent.is_set():
                client.sendall(data)
        _end(client)
        _end(server)

    def _is_the_one(self) -> bool:
        with self._counting:
            self.commits += 1
            return self.commits == self._at


def _end(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()


@contextmanager
def cutting_wire(server: Server, at: int, cut: Cut = "unread") -> Iterator[CuttingWire]:
    wire = CuttingWire(server, at, cut)
    thread = threading.Thread(target=wire.serve, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join(10)
