"""Whether what is kept may be shown: one look into the lake for all who wait, and none where nothing was written.

What belongs here: when the lake is looked into, and who waits for it. What does not: what is kept (`kept`, `known`).

Whoever finds that something was written looks into the lake, and waits for that. Whoever comes meanwhile is shown what
there was before, as long as that was so within `LATEST_SECONDS` before the request; then they wait as well. So an
answer is never older than its request by more than that, and one that nobody else's look is in the way of not at all.
What a client was told of as done (`settle`) is in every answer to what it asks then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from threading import Lock

from starlette.concurrency import run_in_threadpool

from scizor_dagster.api.context import Context
from scizor_dagster.api.data_farmer.kept import shelf_of
from scizor_dagster.api.data_farmer.known import KnownSymbols
from scizor_dagster.file_marks import Mark, is_settled
from scizor_dagster.lake.versions import TableVersions

logger = logging.getLogger("scizor.api")
LATEST_SECONDS = 1.0
_LATEST_NS = int(LATEST_SECONDS * 1e9)


class Freshness:
    """Since when what is kept of one application is known to be so. Safe to share between threads."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._versions: TableVersions | None = None
        self._trusted: Mark | None = None
        self._as_of = -_LATEST_NS
        self._not_before = 0
        self._looking: asyncio.Future[None] | None = None

    async def wait(self, context: Context) -> None:
        """Go on, in the event loop, when what is kept may be shown to a request that comes now."""
        called = time.monotonic_ns()
        while not self._is_unchanged(called):
            looking = self._looking_in(asyncio.get_running_loop())
            if looking is None:
                looking = self._looking = asyncio.ensure_future(run_in_threadpool(self.ensure, context, called))
                looking.add_done_callback(self._looked)
            elif self._may_be_shown(called):
                return
            # Whoever began it may go away; the others wait for it all the same.
            await asyncio.shield(looking)
            if self._may_be_shown(called):
                return

    def ensure(self, context: Context, since: int | None = None) -> None:
        """Return when what is kept is as of `since` (by the monotonic clock, in ns), or of the call, or later.

        From then on nobody is shown anything older. Raises what the lake and the universe files do.
        """
        since = time.monotonic_ns() if since is None else since
        with self._guard:
            if self._as_of >= since:
                return
            began, now = time.monotonic_ns(), time.time_ns()
            mark = self._mark()
            self._look(context)
            self._trusted = mark if mark is not None and is_settled(mark, now) else None
            self._as_of = max(self._as_of, began)

    def settle(self, context: Context) -> None:
        """Return when nobody is shown any more what was before the call. Raises nothing: whoever reads is told."""
        since = time.monotonic_ns()
        try:
            self.ensure(context, since)
        except Exception as error:
            logger.warning("What is kept could not be looked at again.", exc_info=error)
            self._not_before = since

    def _may_be_shown(self, called: int) -> bool:
        return self._as_of >= max(called - _LATEST_NS, self._not_before)

    def _look(self, context: Context) -> None:
        desk = context.desk
        if desk.has_lake:
            histories = shelf_of(context).histories(desk.lake)
            histories.refresh()
            self._versions = histories.versions
        context.part(KnownSymbols).index(context)

    def _is_unchanged(self, called: int) -> bool:
        """Whether what is kept is of the moment `called`, or later: it was looked at since, or nothing was written."""
        trusted = self._trusted
        if self._as_of < called and trusted is not None and trusted == self._mark():
            self._as_of = max(self._as_of, called)
        return self._as_of >= called

    def _mark(self) -> Mark | None:
        return self._versions.mark() if self._versions is not None else None

    def _looking_in(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None] | None:
        """The look that is under way in this loop: nobody hears any more of one in a loop that was closed."""
        found = self._looking
        return found if found is not None and found.get_loop() is loop else None

    def _looked(self, looking: asyncio.Future[None]) -> None:
        if self._looking is looking:
            self._looking = None
        if not looking.cancelled():
            # Heard of here, where nobody waits any more.
            looking.exception()


def freshness_of(context: Context) -> Freshness:
    """That of the application."""
    return context.part(Freshness)
