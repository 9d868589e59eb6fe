"""Progress as server-sent events: what happened so far, what happens now, and the end.

What belongs here: the form of the stream. What does not: what is told (the routes hand in a function that reads it).

Each event has its number as `id`; a client that was cut off sends the last one as `Last-Event-ID` and gets the rest. A
stream ends with its subject, or is cut off after a quarter of an hour; a client that comes back after its subject has
ended gets 204, which tells it not to come again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from scizor_dagster.api.context import context_of
from scizor_dagster.api.problems import wrong_field
from scizor_dagster.api.rates import Places

MEDIA_TYPE = "text/event-stream"
RETRY_MILLISECONDS = 2000
POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
_EVENT = {
    "type": "object",
    "properties": {
        "data": {"type": "string", "contentMediaType": "application/json"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
LASTS_SECONDS = 900.0
"""After which a stream is cut off: whoever goes on shows the key again, which may have been revoked since."""
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events, until the end.", "content": {MEDIA_TYPE: {"itemSchema": _EVENT}}},
    204: {"description": "Everything was told before."},
}
"""`responses=` of a route that streams."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `number` grows; `data` is plain JSON."""

    number: int
    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell after some event, and whether that was the last."""

    events: Sequence[Event]
    ended: bool


Read = Callable[[int], Told]
"""What happened after the event of that number; 0 is from the beginning. Called in a thread, again and again."""


async def stream(request: Request, read: Read) -> Response:
    """The answer of a route that tells of progress. An error of the first reading is an ordinary problem.

    Raises:
        InputError: `Last-Event-ID` is no number of an event.
        RequestRefused: too many streams are open (503).
    """
    after = _last_event(request)
    first = await run_in_threadpool(read, after)
    if after and first.ended and not first.events:
        return Response(status_code=204)
    places = context_of(request).streams
    places.take()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(_told(read, first, after), places, headers)


class _Stream(StreamingResponse):
    """Gives its place back however it ends."""

    def __init__(self, content: AsyncIterator[bytes], places: Places, headers: dict[str, str]) -> None:
        super().__init__(content, media_type=MEDIA_TYPE, headers=headers)
        self._places = places

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.give_back()


async def _told(read: Read, told: Told, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    silent = lasted = 0.0
    while lasted < LASTS_SECONDS:
        for event in told.events:
            after = event.number
            silent = 0.0
            yield format_sse_event(data_str=json.dumps(event.data), event=event.kind, id=str(event.number))
        if told.ended:
            return
        if silent >= HEARTBEAT_SECONDS:
            silent = 0.0
            yield format_sse_event(comment="still there")
        await asyncio.sleep(POLL_SECONDS)
        silent += POLL_SECONDS
        lasted += POLL_SECONDS
        told = await run_in_threadpool(read, after)


def _last_event(request: Request) -> int:
    found = request.headers.get("last-event-id", "0")
    if not found.isdecimal() or len(found) > 15:
        raise wrong_field("header.Last-Event-ID", "That is no event of this stream.", "Leave it out to begin anew.")
    return int(found)
