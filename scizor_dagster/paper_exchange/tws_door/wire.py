"""Frames of the TWS API: a length of four bytes, then fields that each end with NUL.

What belongs here: bytes to fields and back, and the greeting. What does not: what a field means.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

SERVER_VERSION = 176
"""The newest version whose layout every client understands, and the only one that is spoken here."""
MAX_FRAME = 0xFFFFFF
_PREFIX = struct.Struct(">I")
_GREETING = re.compile(r"^v(\d+)\.\.(\d+)(?: .*)?$")

Field = str | int | float | Decimal | bool | None


class ProtocolError(Exception):
    """Bytes that are not of this protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Range of server versions that a client speaks."""

    lowest: int
    highest: int

    @property
    def speaks_ours(self) -> bool:
        return self.lowest <= SERVER_VERSION <= self.highest


def text_of(value: Field) -> str:
    """A field as it is written: nothing for None, `1` and `0` for booleans, no exponent in a decimal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        plain = f"{value:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(value)


def encode(fields: Iterable[Field]) -> bytes:
    """One frame. NUL cannot be sent within a field and is left out."""
    texts = [text_of(value) for value in fields]
    joined = "\0".join(texts)
    # Years of bars are one frame: fields are looked at singly where one of them holds a NUL, and nowhere else.
    if joined.count("\0") >= max(len(texts), 1):
        joined = "\0".join(text.replace("\0", "") for text in texts)
    body = f"{joined}\0".encode() if texts else b""
    return _PREFIX.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> list[str]:
    """The next frame's fields.

    Raises:
        asyncio.IncompleteReadError: the peer has closed.
        ProtocolError: the length is out of range.
    """
    return (await _read_body(reader)).split("\0")[:-1]


async def read_greeting(reader: asyncio.StreamReader) -> Greeting:
    """The first words of a client: `API`, then a frame with its range of versions.

    Raises:
        asyncio.IncompleteReadError: the peer has closed.
        ProtocolError: the peer does not speak this protocol.
    """
    if await reader.readexactly(4) != b"API\0":
        raise ProtocolError("the client does not begin with 'API'")
    body = await _read_body(reader)
    match = _GREETING.match(body)
    if match is None:
        raise ProtocolError(f"'{body}' is not a range of versions")
    return Greeting(int(match[1]), int(match[2]))


async def _read_body(reader: asyncio.StreamReader) -> str:
    (length,) = _PREFIX.unpack(await reader.readexactly(_PREFIX.size))
    if not 0 < length <= MAX_FRAME:
        raise ProtocolError(f"a frame of {length} bytes")
    return (await reader.readexactly(length)).decode(errors="backslashreplace")
