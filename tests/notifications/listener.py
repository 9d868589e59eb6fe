"""A service on loopback that hears notices: it takes them, is slow, or fails."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener:
    """What was heard, in its order; `status` is what it answers, `silent` that it answers nothing until it ends."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        self.silent = False
        self.ended = threading.Event()
        self.port = 0

    @property
    def titles(self) -> list[str]:
        return [item["title"] for item in self.heard]

    def url(self, path: str = "") -> str:
        return f"json://127.0.0.1:{self.port}/{path}"


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            listener.heard.append(body)
            listener.paths.append(self.path)
            if listener.silent:
                listener.ended.wait(60)
            self.send_response(listener.status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing is written to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
