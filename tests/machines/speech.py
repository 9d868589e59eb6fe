"""Words between a test and the processes on its hosts: one line of JSON each.

What belongs here: the side of the test, and that of a process. What does not: what the words mean.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.machines.network import Host

PATIENCE = 60.0
"""Seconds within which a process that is spoken to answers."""


class Peer:
    """A process on a host, as the test sees it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def ready(self) -> Peer:
        """This, once it has said so."""
        assert self.hear() == {"ready": True}
        return self

    def say(self, **word: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(word) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next word.

        Raises:
            AssertionError: it has ended, or says nothing; with what it wrote to its log.
        """
        stream = self._process.stdout
        assert stream is not None
        # Not `select`, which knows no descriptor from 1,024 on: a process that has run many tests has such.
        waiting = select.poll()
        waiting.register(stream, select.POLLIN)
        line = stream.readline() if waiting.poll(PATIENCE * 1000) else ""
        assert line, f"no word from {self._log.name}:\n{self._log.read_text()[-4000:]}"
        word: dict[str, Any] = json.loads(line)
        return word

    def ask(self, **word: Any) -> dict[str, Any]:
        self.say(**word)
        return self.hear()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def peer(host: Host, module: str, environment: Mapping[str, str], log: Path) -> Iterator[Peer]:
    """A process of the host, until the block ends."""
    spoken_to = Peer(host.start(module, environment=environment, log=log), log)
    try:
        yield spoken_to
    finally:
        spoken_to.end()


def say(**word: Any) -> None:
    """Of a process: to the test."""
    sys.stdout.write(json.dumps(word, default=str) + "\n")
    sys.stdout.flush()


def words() -> Iterator[dict[str, Any]]:
    """Of a process: what the test says."""
    for line in sys.stdin:
        yield json.loads(line)
