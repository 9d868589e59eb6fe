"""Reading a weight file in a process of its own, so that no file can take this one down.

What belongs here: starting that process, the exchange with it, and what its death means. What does not:
its limits (`child`) and reading (`reading`).

A new interpreter is started rather than this one forked: a fork of a process with threads may lock up,
and would inherit its memory, its files and its secrets.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from scizor_dagster.signals.child import CPU_SECONDS, too_much_memory
from scizor_dagster.signals.reading import Reading
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.wire import Garbled, decode

TIMEOUT_SECONDS = 60.0
"""Until the answer. The file is bounded by processor time (`child.CPU_SECONDS`); this much more passes only
where the machine has no time for the process, which says nothing about the file."""
CIRCUMSTANCES = frozenset({"reader_did_not_answer", "reader_died"})
"""Rules that may not hold when the same bytes are read once more."""
MAX_ANSWER_BYTES = 160 * 1024 * 1024
_MAX_ERROR_BYTES = 20_000
_PIECE = 1 << 16
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from scizor_dagster.signals.child import main; main()"
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where an interpreter that was built elsewhere finds its own libraries; no other variable is passed on."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
}  # fmt: skip
"""Buffers and arenas for each thread count against the memory limit, whether they are used or not."""


class TimeOver(Exception):
    """A child took longer than it may. Never leaves whoever started it."""


def read_in_child(data: bytes, spec: ReadSpec) -> Reading:
    """Read bytes in a child process. A file that kills it, or takes too long, is a violation like any other."""
    command = [sys.executable, "-I", "-B", "-c", _PROGRAM, str(_ROOT), spec.to_json()]
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and program
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=ONE_THREAD | kept, cwd="/"
    ) as process:
        try:
            answer, complaint = _exchange(process, data)
            code = process.wait(TIMEOUT_SECONDS)
        except (TimeOver, subprocess.TimeoutExpired):
            return _refused(_no_answer())
        finally:
            process.kill()
    try:
        return decode(answer)
    except Garbled:
        return _refused(_death(code, complaint.decode("utf-8", "replace")))


def _exchange(process: subprocess.Popen[bytes], data: bytes) -> tuple[bytearray, bytearray]:
    return exchange(process, data, TIMEOUT_SECONDS, MAX_ANSWER_BYTES)


def exchange(process: subprocess.Popen[bytes], data: bytes, seconds: float, most: int) -> tuple[bytearray, bytearray]:
    """Write to a child and read from it at the same time: either pipe could fill while the other waits.

    Args:
        process: With pipes for input, answer and complaints.
        data: Its input.
        seconds: Until its answer ends.
        most: Bytes of an answer after which no more is read; a little more may have come by then.

    Raises:
        TimeOver: it has not ended by then, and runs still.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + seconds
    answer, complaint, unsent = bytearray(), bytearray(), memoryview(data)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, (answer, most))
        selector.register(process.stderr, selectors.EVENT_READ, (complaint, _MAX_ERROR_BYTES))
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if time.monotonic() >= deadline:
                raise TimeOver
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    unsent = _send(process.stdin, unsent)
                    over = not unsent
                else:
                    over = _receive(key.fd, *key.data)
                if over:
                    selector.unregister(key.fileobj)
                    _close(key.fileobj)
    return answer, complaint


def _send(stream: IO[bytes], unsent: memoryview) -> memoryview:
    try:
        return unsent[os.write(stream.fileno(), unsent[:_PIECE]) :] if unsent else unsent
    except BrokenPipeError:
        # The child has died before it took everything: its exit says why.
        return unsent[:0]


def _receive(descriptor: int, into: bytearray, limit: int) -> bool:
    """Take what is there; whether that was all, or more than is wanted."""
    piece = os.read(descriptor, _PIECE)
    into += piece
    return not piece or len(into) > limit


def _close(stream: object) -> None:
    assert hasattr(stream, "close")
    stream.close()


def _refused(violation: Violation) -> Reading:
    return Reading(violations=Findings([violation]))


def _no_answer() -> Violation:
    problem = f"The process that reads the file gave no answer within {TIMEOUT_SECONDS:g} seconds."
    return Violation("reader_did_not_answer", problem, "Try again when the machine is less busy.")


def _too_long() -> Violation:
    problem = f"Reading the file takes more than {CPU_SECONDS} seconds of processor time."
    return Violation("took_too_long", problem, "Deliver only the dates and assets that still matter.")


def _death(code: int, complaint: str) -> Violation:
    if code == -signal.SIGXCPU:
        return _too_long()
    if any(sign in complaint for sign in ("MemoryError", "bad_alloc", "Cannot allocate", "realloc")):
        return too_much_memory()
    last = (complaint.strip().splitlines() or ["no message"])[-1]
    problem = f"The process that read the file ended with code {code} and without an answer ({last})."
    return Violation("reader_died", problem, "Deliver the file again; a damaged file can do this.")
