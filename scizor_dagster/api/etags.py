"""Whether what somebody has is still what there is: strong entity tags.

What belongs here: making a tag from a version, and the two questions. What does not: what a version is (a snapshot of
the lake, a row's number, a hash).

A tag is of one representation: whatever changes the bytes (format, columns, who asks) is part of it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request, Response

from scizor_dagster.api.problems import RequestRefused


class NotModified(Exception):
    """What the client has is what there is (304)."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        super().__init__(tag)


def tag_of(*version: object) -> str:
    """The strong tag of a version: its parts in their order."""
    text = "\n".join(f"{len(str(part))}:{part}" for part in version)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def state(request: Request, response: Response, tag: str) -> None:
    """Put the tag on the answer to a GET.

    Raises:
        NotModified: `If-None-Match` has it.
    """
    response.headers["ETag"] = tag
    # What a key shows is for whoever holds it: kept by the client, and asked for anew each time.
    response.headers["Cache-Control"] = "private, no-cache"
    if any(item in ("*", tag) for item in _listed(request, "if-none-match", weak=True)):
        raise NotModified(tag)


def require_match(request: Request, tag: str) -> None:
    """Refuse to change what is not any more what the client has seen; without `If-Match` nothing is compared.

    Raises:
        RequestRefused: 412.
    """
    wanted = _listed(request, "if-match", weak=False)
    if wanted and not any(item in ("*", tag) for item in wanted):
        raise RequestRefused(
            "It was changed since you have read it.",
            remedy="Nothing was done. Read it again, and send its ETag as If-Match.",
            status=412,
        )


def _listed(request: Request, header: str, *, weak: bool) -> list[str]:
    found = [item.strip() for item in request.headers.get(header, "").split(",") if item.strip()]
    return [item.removeprefix("W/") for item in found] if weak else found


DOCUMENTED: dict[int | str, dict[str, Any]] = {304: {"description": "What you have is what there is."}}
"""`responses=` of a GET with a tag."""
