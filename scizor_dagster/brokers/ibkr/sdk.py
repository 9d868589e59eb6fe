"""The client library: `ib_async` where it is installed, else `ib_insync`.

What belongs here: the one import of either, and what they need of a thread. What does not: anything that
is done with it. They must never be installed together: their event packages overwrite each other.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from typing import Any

NAMES = ("ib_async", "ib_insync")
_HANDLED_HERE = {
    "client": re.compile(r""),
    "wrapper": re.compile(r"^(Error|Warning) \d+, reqId|^Canceled order"),
}
"""Records of what reaches the caller as an exception or a state of our own: lost connections, error codes."""


class _Handled(logging.Filter):
    """Leaves a record of what is handled here at INFO. What the decoder says stays an error."""

    def __init__(self, texts: re.Pattern[str]) -> None:
        super().__init__()
        self._texts = texts

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING and self._texts.match(record.getMessage()):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


class _Undecoded(logging.Filter):
    """Counts the messages that the decoder could not read: it leaves them out, and its caller does not hear of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.count += record.levelno >= logging.ERROR
        return True


_FILTERS = {part: _Handled(texts) for part, texts in _HANDLED_HERE.items()}
_UNDECODED = _Undecoded()


def load() -> Any:
    """The library. Call it in the thread that will own the connection: a loop is set there first."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
    return quiet(_first_of(NAMES))


def quiet(library: Any) -> Any:
    """Put what this project handles itself at INFO in the library's logs; once, however often it is called."""
    for part, handled in _FILTERS.items():
        logging.getLogger(f"{library.__name__}.{part}").addFilter(handled)
    logging.getLogger(f"{library.__name__}.Decoder").addFilter(_UNDECODED)
    return library


def undecoded() -> int:
    """How many messages could not be read in this process so far: an answer during which one came is not complete."""
    return _UNDECODED.count


def _first_of(names: tuple[str, ...]) -> Any:
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name != name:
                raise
    return importlib.import_module(names[-1])
