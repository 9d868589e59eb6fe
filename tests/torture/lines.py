"""Every line of the order core that a process executes, in all its threads: listed, and acted upon at one.

The event of a line comes before the line is carried out: a signal at it leaves undone what the line does. Python
3.11 has `sys.settrace`; later ones have `sys.monitoring`, which switches itself off for all other code.

Watching costs more than running. So a point is a mark and the number of lines after it, and watching begins at the
mark. Marks are set by the main thread alone, where no other one is at work.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import scizor_dagster

ROOT = Path(scizor_dagster.__file__).parent
CORE = tuple(f"{ROOT / name}{os.sep}" for name in ("ledger", "execution", "reconciliation", "risk"))


class Point(NamedTuple):
    """The `line`-th line, from 1, after the `mark`-th mark; mark 0 is the beginning."""

    mark: int
    line: int


class Listing:
    """Lists the place of every line, with the point that it is."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Point]] = []
        self._mark = 0
        self._count = itertools.count(1)
        _watch(self._append)

    def mark(self) -> None:
        self._mark += 1
        self._count = itertools.count(1)

    def _append(self, code: CodeType, line: int) -> None:
        self.lines.append((_place(code, line), Point(self._mark, next(self._count))))


class Strike:
    """Sends a signal to this very process at a point; `tell` is told the place just before."""

    def __init__(self, at: Point, which: signal.Signals, tell: Callable[[str], None]) -> None:
        self._at = at
        self._which = which
        self._tell = tell
        self._marks = 0
        self._count = itertools.count(1)
        if at.mark == 0:
            _watch(self._line)

    def mark(self) -> None:
        self._marks += 1
        if self._marks == self._at.mark:
            _watch(self._line)

    def _line(self, code: CodeType, line: int) -> None:
        if next(self._count) == self._at.line:
            self._tell(_place(code, line))
            # To this very thread: another one that took it first would leave this one a few more lines.
            signal.pthread_kill(threading.get_ident(), self._which)


def _place(code: CodeType, line: int) -> str:
    return f"{Path(code.co_filename).relative_to(ROOT)}:{line}"


def _watch(watcher: Callable[[CodeType, int], None]) -> None:
    """Call `watcher` before every line of the order core, from the frames of this thread on and in later threads."""
    if sys.version_info >= (3, 12):
        _monitor(watcher)
    else:
        _trace(watcher)


def _trace(watcher: Callable[[CodeType, int], None]) -> None:
    known: dict[CodeType, Any] = {}

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            watcher(frame.f_code, frame.f_lineno)
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        try:
            return known[code]
        except KeyError:
            return known.setdefault(code, line if code.co_filename.startswith(CORE) else None)

    threading.settrace(call)
    sys.settrace(call)
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        frame.f_trace = call(frame, "call", None)
        frame = frame.f_back


def _monitor(watcher: Callable[[CodeType, int], None]) -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = monitoring.DEBUGGER_ID

    def line(code: CodeType, number: int) -> Any:
        if not code.co_filename.startswith(CORE):
            return monitoring.DISABLE
        watcher(code, number)
        return None

    monitoring.use_tool_id(tool, "torture")
    monitoring.register_callback(tool, monitoring.events.LINE, line)
    monitoring.set_events(tool, monitoring.events.LINE)
