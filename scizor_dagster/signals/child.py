"""The process in which a weight file is read: it has limits, no secrets, and one answer.

What belongs here: setting the limits before anything is read, and the exchange over standard input and
output. What does not: starting and stopping it (`sandbox`), reading (`reading`).
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scizor_dagster.signals.report import Violation

MEMORY_BYTES = 500_000_000
CPU_SECONDS = 10


def main() -> None:
    """Read bytes from standard input as the first argument says, and write the reading to standard output."""
    limit_resources()
    answer = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not speak into the answer
    from scizor_dagster.signals.reading import Reading, read
    from scizor_dagster.signals.report import Findings
    from scizor_dagster.signals.spec import ReadSpec
    from scizor_dagster.signals.wire import encode

    # Nothing that is read forms cycles, and the process ends soon: looking for garbage only costs time.
    gc.disable()
    reserve = bytearray(1_000_000)
    try:
        body = encode(read(sys.stdin.buffer.read(), ReadSpec.from_json(sys.argv[1])))
    except MemoryError:
        del reserve
        body = encode(Reading(violations=Findings([too_much_memory()])))
    with os.fdopen(answer, "wb") as stream:
        stream.write(body)


def limit_resources() -> None:
    """Bound this process's memory and time, and let it write no file."""
    limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        # Elsewhere the kernel does not count memory so; the limits of size before reading still hold.
        limits |= {resource.RLIMIT_AS: MEMORY_BYTES}
    # At the first of the two the signal says why; only the second cannot be told from other deaths.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def too_much_memory() -> Violation:
    """The violation of a file that does not fit into the memory that reading may take."""
    from scizor_dagster.signals.report import Violation

    problem = f"Reading the file takes more than {MEMORY_BYTES // 1_000_000} MB of memory."
    return Violation("took_too_much_memory", problem, "Deliver only the dates and assets that still matter.")
