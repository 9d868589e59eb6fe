"""A broker that outlives its callers: it stands in this process, and each caller is a forked one on a socket.

The broker answers one message at a time. What has reached it has happened, whether its caller still lives or not;
a message that was cut off has never arrived.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock, current_thread, main_thread
from typing import Any

from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from tests.execution.scenario import START

_LENGTH = struct.Struct("!I")
_SECONDS = struct.Struct("d")
_PLACE = slice(8, 264)


class Shared:
    """Memory that the broker's process and its callers see alike: one clock, and where the last signal struck."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)
        self.reset()

    def reset(self) -> None:
        self.move_to(0.0)
        self.tell("")

    def clock(self) -> datetime:
        return START + timedelta(seconds=_SECONDS.unpack_from(self._memory)[0])

    def advance(self, seconds: float) -> None:
        self.move_to(_SECONDS.unpack_from(self._memory)[0] + seconds)

    def move_to(self, seconds: float) -> None:
        _SECONDS.pack_into(self._memory, 0, seconds)

    def tell(self, place: str) -> None:
        self._memory[_PLACE] = place.encode()[-256:].ljust(256, b"\0")

    @property
    def place(self) -> str:
        return self._memory[_PLACE].rstrip(b"\0").decode()


class RemoteBroker:
    """The caller's side: every call of the protocol is one message and its answer, one at a time."""

    def __init__(self, wire: socket.socket, capabilities: Any) -> None:
        self.capabilities = capabilities
        self.on_answer: Callable[[], None] | None = None
        """Called after every answer to the main thread."""
        self._wire = wire
        self._one_at_a_time = Lock()

    def say_stopping(self) -> None:
        """Let the broker's side know that this process stops itself now."""
        _send(self._wire, ("stopping",))

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            with self._one_at_a_time:
                _send(self._wire, ("call", name, arguments))
                kind, *answer = _receive(self._wire)
            if kind == "rejected":
                raise OrderRejected(*answer)
            if kind == "unknown":
                raise OutcomeUnknown(*answer)
            if kind == "unavailable":
                raise BrokerUnavailable(answer[0], remedy=answer[1])
            assert kind == "value", answer
            if self.on_answer is not None and current_thread() is main_thread():
                self.on_answer()
            return answer[0]

        return call


@dataclass
class Ended:
    """How a caller has ended.

    Attributes:
        status: Exit code, or the signal that ended it as a negative number.
        value: What it reported; None where it died before.
        crash: The traceback of what it did not expect.
    """

    status: int | None = None
    value: Any = None
    crash: str = ""

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


@dataclass
class Caller:
    """A forked process that calls the broker."""

    pid: int
    wire: socket.socket
    ended: Ended = field(default_factory=Ended)
    stopped: bool = False

    @property
    def over(self) -> bool:
        return self.ended.status is not None

    def serve(self, broker: Any) -> Ended:
        """Answer until the process has ended, or has stopped itself."""
        while not self.over and not self.stopped:
            self.answer_next(broker)
        return self.ended

    def answer_next(self, broker: Any) -> None:
        """Take the process's next word, or its end."""
        message = _receive_or_end(self.wire)
        kind, *rest = message if message is not None else ("end",)
        if kind == "call":
            self._answer(broker, *rest)
        elif kind == "stopping":
            os.waitpid(self.pid, os.WUNTRACED)
            self.stopped = True
        elif kind == "end":
            self.wire.close()
            self.ended.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        elif kind == "value":
            self.ended.value = rest[0]
        else:
            self.ended.crash = rest[0]

    def wake(self) -> None:
        self.stopped = False
        os.kill(self.pid, signal.SIGCONT)

    def _answer(self, broker: Any, name: str, arguments: Any) -> None:
        try:
            answer: tuple[Any, ...] = ("value", broker.answer(name, arguments))
        except OrderRejected as refusal:
            answer = ("rejected", refusal.client_order_id, refusal.code, refusal.message)
        except OutcomeUnknown as unknown:
            answer = ("unknown", unknown.client_order_id, unknown.cause)
        except BrokerUnavailable as unavailable:
            answer = ("unavailable", unavailable.problem, unavailable.remedy)
        try:
            _send(self.wire, answer)
        except OSError:
            # Its caller is dead; what it asked for has happened all the same.
            return


def fork(body: Callable[[socket.socket], Any]) -> Caller:
    """A process that runs `body` with its end of the wire, and reports what it returns."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return Caller(pid, ours)
    code = 1
    try:
        # It lives for moments; a collection would only copy what it shares with its parent.
        gc.disable()
        ours.close()
        _send(theirs, ("value", body(theirs)))
        code = 0
    except BaseException:
        _send(theirs, ("crash", traceback.format_exc()))
    finally:
        os._exit(code)


def serve_together(callers: Sequence[Caller], broker: Any) -> None:
    """Answer several processes as they ask; none gets its first answer before all have asked."""
    for caller in callers:
        select.select([caller.wire], [], [])
    while waiting := [caller for caller in callers if not caller.over]:
        ready, _, _ = select.select([caller.wire for caller in waiting], [], [])
        for caller in waiting:
            if caller.wire in ready:
                caller.answer_next(broker)


def _send(wire: socket.socket, message: Any) -> None:
    body = pickle.dumps(message, protocol=5)
    wire.sendall(_LENGTH.pack(len(body)) + body)


def _receive(wire: socket.socket) -> Any:
    message = _receive_or_end(wire)
    assert message is not None, "the broker has gone"
    return message


def _receive_or_end(wire: socket.socket) -> Any:
    head = _exactly(wire, _LENGTH.size)
    body = _exactly(wire, _LENGTH.unpack(head)[0]) if head is not None else None
    return pickle.loads(body) if body is not None else None


def _exactly(wire: socket.socket, size: int) -> bytes | None:
    """So many bytes; None where the other side ended before."""
    parts = bytearray()
    while len(parts) < size:
        try:
            part = wire.recv(size - len(parts))
        except ConnectionResetError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
