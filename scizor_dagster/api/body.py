"""The body of a request: so large, in so much time, of the right kind, and no deeper than anybody means.

What belongs here: reading it whole before anything is done. What does not: what its fields mean (the routes' models).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from typing import Any, NoReturn

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from scizor_dagster.api.problems import RequestRefused

MAX_DEPTH = 20
JSON = "application/json"
# What was taken is never given back: a text without an end would be looked through from each of its quotes.
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BRACKETS = re.compile(rb"[\[\]{}]")


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body.

    Raises:
        RequestRefused: it is larger than `limit` bytes (413), or does not arrive in time (408).
    """
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except (TimeoutError, ClientDisconnect) as error:
        raise RequestRefused(
            f"The body did not arrive within {seconds:g} seconds.",
            remedy="Nothing was done. Send it again.",
            status=408,
        ) from error
    return b"".join(parts)


def with_body(request: Request, body: bytes) -> Request:
    """The request again, whose body is there."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


def check_type(request: Request, taken: Collection[str], body: bytes) -> None:
    """Refuse a body of another kind than the route takes; `taken` is empty where it takes none.

    Raises:
        RequestRefused: 415, or 400 for a body that nobody asked for.
    """
    if body and not taken:
        raise RequestRefused("This takes no body.", remedy="Leave it out.", status=400)
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and found not in taken:
        raise RequestRefused(
            f"The body is {found or 'of no stated type'}, and {' or '.join(taken)} is taken.",
            remedy="State what it is: Content-Type.",
            status=415,
        )


def check_json(body: bytes) -> None:
    """Refuse JSON that is none, is not in UTF-8, is nested too deep, names a field twice, or holds what no store takes.

    Raises:
        RequestRefused: 400.
    """
    _check_depth(body)
    try:
        # As text: bytes would also be read as UTF-16 and UTF-32, in which nothing here looks for anything.
        text = body.decode()
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
        storable = _NUL.search(text) is None
    except (ValueError, RecursionError) as error:
        raise _bad(str(error).split(":")[0] if isinstance(error, ValueError) else "it is nested too deep") from error
    if not storable:
        raise _bad("it holds a NUL character")


def _check_depth(body: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(_TEXTS.sub(b"", body)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _bad(f"it is nested deeper than {MAX_DEPTH}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is named twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _bad(cause: str) -> RequestRefused:
    return RequestRefused(f"The body is no JSON that is taken: {cause}.", remedy="Nothing was done. Correct it.")


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        f"The body is larger than {limit} bytes.", remedy="Nothing was done. Send less, or in parts.", status=413
    )
