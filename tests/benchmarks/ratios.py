"""The table that benchmarks print: each measurement beside a reference of the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(work: Callable[[], Any], rounds: int = 5) -> float:
    """Median wall-clock time of one call, in seconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def row(label: str, taken: float, reference: float, named: str) -> None:
    """One line: what was measured, its time, and how many times the reference it took."""
    print(f"{label:<52} {taken * 1e3:10.1f} ms {taken / reference:7.2f} x {named} ({reference * 1e3:.1f} ms)")
