"""The same request, sent again: done once, answered as the first time.

What belongs here: the header `Idempotency-Key`, and which answers are kept. What does not: the rows
(`ledger.api_answers`).

- A POST that could trade needs the header; any other POST may bring it.
- A key counts for one API key, method, address, query and body. With another request: 409. While the first is being
  worked on: 409 with `Retry-After`. Afterwards: the stored answer, with `Idempotent-Replayed: true`.
- An answer is kept once the domain has spoken, whether it did what was asked or refused it. Nothing is kept of a
  request that did not get that far (no such thing, a wrong field, too many requests), of one that failed (5xx), and of
  a refusal whose remedy is to ask again under the same key (`errors.NothingDone`): the next is worked on.
- A process that dies between the effect and its answer leaves the key taken up by nobody: the next request is worked
  on again, and finds the effect where the domain keeps it. So whatever a route does must be safe to do twice.
"""

from __future__ import annotations

import hashlib
import logging
import re
from threading import Lock

from fastapi import Request
from starlette.responses import Response

from scizor_dagster.api.context import Context, lock_of
from scizor_dagster.api.keys import hides_key
from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.api.security import Actor
from scizor_dagster.errors import LedgerError, NothingDone, ScizorError
from scizor_dagster.ledger.api_answers import KeptAnswer, StillInProgress, begin, keep, let_go
from scizor_dagster.ledger.store import Ledger

logger = logging.getLogger("scizor.api")
HEADER = "Idempotency-Key"
PATTERN = r"^[\x21-\x7e]{1,128}$"
REPLAYED = "Idempotent-Replayed"
_FORM = re.compile(PATTERN)
_KEPT_HEADERS = ("content-type", "location", "etag")


def key_of(request: Request, *, required: bool) -> str | None:
    """The header's value; None where there is none.

    Raises:
        RequestRefused: it is needed and missing, or is no key (400).
    """
    found = request.headers.get(HEADER)
    if found is None and not required:
        return None
    if found is None or not _FORM.fullmatch(found) or hides_key(found):
        problem = f"The header {HEADER} is missing." if found is None else f"The header {HEADER} is no key."
        raise RequestRefused(
            problem,
            remedy="Send one of your own for each thing that you want done, 1 to 128 visible characters, no API key.",
        )
    return found


def request_hash(request: Request, body: bytes) -> str:
    """SHA-256 over what makes it the same request."""
    head = f"{request.method}\n{request.url.path}\n{request.url.query}\n".encode()
    return hashlib.sha256(head + body).hexdigest()


class Once:
    """One request with an idempotency key, from taking it up to keeping its answer."""

    def __init__(self, context: Context, actor: Actor, key: str, hashed: str) -> None:
        self._context = context
        self._asked = KeptAnswer(actor.key_id, key, hashed, context.holder, context.clock())

    @property
    def _name(self) -> tuple[str, str]:
        return self._asked.key_id, self._asked.idempotency_key

    def begin(self) -> Response | None:
        """Take the request up; or the answer that it has had.

        Raises:
            LedgerError: the key came with another request, is being worked on (409), or nothing can be stored.
        """
        ledger = self._ledger()
        self._context.hold(ledger)
        with _guard:
            if self._name in _working:
                raise _in_progress()
            with ledger.transaction() as connection:
                found = begin(connection, self._asked, lambda holder: self._is_alive(ledger, holder))
            if found is None:
                _working.add(self._name)
                return None
        return Response(found.body, found.status or 200, {**found.headers, REPLAYED: "true"})

    def end(self, response: Response, error: Exception | None) -> None:
        """Keep the answer, or let the request go. Raises nothing: what was done is done."""
        spoken = error is None or (
            isinstance(error, ScizorError) and not isinstance(error, RequestRefused | NothingDone)
        )
        now = self._context.clock()
        try:
            with self._ledger().transaction() as connection:
                if spoken and response.status_code < 500:
                    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
                    body = bytes(response.body).decode()
                    keep(connection, self._asked, response.status_code, headers, body, now)
                else:
                    let_go(connection, self._asked, now)
        except ScizorError as failure:
            logger.error("The answer for an idempotency key was not kept: %s", failure.problem)
        finally:
            with _guard:
                _working.discard(self._name)

    def _is_alive(self, ledger: Ledger, holder: str) -> bool:
        if holder == self._context.holder:
            # This process does not work on it: it failed to say how it ended.
            return False
        with ledger.process_lock(lock_of(holder)) as had:
            return not had

    def _ledger(self) -> Ledger:
        ledger = self._context.ledger
        assert ledger is not None
        return ledger


_guard = Lock()
_working: set[tuple[str, str]] = set()


def _in_progress() -> LedgerError:
    return StillInProgress(
        "The request with this idempotency key is being worked on.",
        remedy="Nothing was done a second time. Ask again in a moment, with the same key.",
    )
