"""MessagePack, as far as the stream of prices needs it: clients of Alpaca's SDK speak it there.

What belongs here: values to bytes and back. What does not: what is said (`price_stream`).

Written: null, booleans, integers, floats, text, lists, maps with text as keys, and instants. Read: the same
without instants, whose kind (an extension) no client sends; text of bytes is taken as text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

_TIMESTAMP = 0xFF
_NANOSECONDS_SHIFT = 34
_DEEPEST = 8
_SIZED = {0xC4: "B", 0xC5: ">H", 0xC6: ">I", 0xD9: "B", 0xDA: ">H", 0xDB: ">I"}
_LISTS, _MAPS = {0xDC: ">H", 0xDD: ">I"}, {0xDE: ">H", 0xDF: ">I"}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: "B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: "b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_WORDS: dict[int, object] = {0xC0: None, 0xC2: False, 0xC3: True}


def pack(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return bytes([{None: 0xC0, False: 0xC2, True: 0xC3}[value]])
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 0x80 else struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        text = value.encode()
        head = bytes([0xA0 | len(text)]) if len(text) < 32 else struct.pack(">BI", 0xDB, len(text))
        return head + text
    if isinstance(value, datetime):
        seconds = int(value.timestamp())
        return struct.pack(">BBQ", 0xD7, _TIMESTAMP, value.microsecond * 1000 << _NANOSECONDS_SHIFT | seconds)
    if isinstance(value, Mapping):
        body = b"".join(pack(str(name)) + pack(item) for name, item in value.items())
        return struct.pack(">BI", 0xDF, len(value)) + body
    return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))


def unpack(data: bytes) -> Any:
    """The one value of a message. Raises `ValueError` for what is none, is cut off, or has more behind it."""
    reader = _Reader(data)
    try:
        found = reader.value(_DEEPEST)
    except (struct.error, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"no message: {error}") from error
    if reader.at != len(data):
        raise ValueError("no message: it goes on behind its end")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise ValueError("no message: it is too deep")
        head = self._number("B")
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head < 0x90:
            return self._map(head & 0x0F, depth)
        if head < 0xA0:
            return self._list(head & 0x0F, depth)
        if head < 0xC0:
            return self._text(head & 0x1F)
        if head in _WORDS:
            return _WORDS[head]
        if head in _NUMBERS:
            return self._number(_NUMBERS[head])
        for formats, read in self._kinds(depth):
            if head in formats:
                return read(self._number(formats[head]))
        raise ValueError(f"no message: unknown type {head:#x}")

    def _kinds(self, depth: int) -> list[tuple[Mapping[int, str], Callable[[int], Any]]]:
        return [
            (_SIZED, self._text),
            (_LISTS, lambda count: self._list(count, depth)),
            (_MAPS, lambda count: self._map(count, depth)),
        ]

    def _number(self, form: str) -> Any:
        (found,) = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return found

    def _text(self, size: int) -> str:
        if self.at + size > len(self._data):
            raise ValueError("no message: it is cut off")
        found = self._data[self.at : self.at + size].decode()
        self.at += size
        return found

    def _list(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth - 1) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        return {self.value(depth - 1): self.value(depth - 1) for _ in range(count)}
