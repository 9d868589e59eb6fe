"""The audit: a row for every request that may write, and for every one that was refused.

What belongs here: which requests are worth one, and when it is written. What does not: the rows
(`ledger.api_requests`).

A request that may write has its row before anything is done; where that cannot be written, nothing is done.
Reads that were answered are a line in the log, and so is what one key or address is refused beyond sixty times in a
minute.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from fastapi import Request

from scizor_dagster.api.context import Context
from scizor_dagster.errors import ScizorError
from scizor_dagster.ledger.api_requests import ApiRequest, note_answer, note_request

logger = logging.getLogger("scizor.api")
READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSALS = frozenset({401, 403})
_LONGEST = 500


@dataclass
class Audit:
    """What is kept of one request; `number` is that of its row, where it has one."""

    context: Context
    told: ApiRequest
    hides: bool
    """Whether a 404 may be the answer to whom an account is hidden from."""
    number: int = 0

    @classmethod
    def of(cls, context: Context, request: Request, route: str, *, hides: bool) -> Audit:
        told = ApiRequest(
            str(request.state.request_id),
            context.clock(),
            None,
            "",
            address_of(request),
            request.method,
            route,
            context.redact(request.url.path)[:_LONGEST],
        )
        return cls(context, told, hides)

    def note(self, **facts: str | None) -> None:
        """Say more of the request; `ApiRequest` names the facts."""
        self.told = replace(self.told, **facts)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Write the row of a request that may write.

        Raises:
            LedgerError: it cannot be written, and so nothing may be done.
        """
        ledger = self.context.ledger
        assert ledger is not None
        with ledger.transaction() as connection:
            self.number = note_request(connection, self.told)

    def end(self, status: int, outcome: str) -> None:
        """Write how the request was answered, where that is worth a row. Raises nothing: what was done is done."""
        is_refused = status in _REFUSALS or (self.hides and status == 404)
        is_write = self.told.method not in READS and status != 429 and self.told.key_id is not None
        if not self.number and not ((is_write or is_refused) and self._has_room()):
            return
        try:
            self._write(status, outcome)
        except ScizorError as error:
            logger.error("Request %s has no end in the audit: %s", self.told.request_id, error.problem)

    def _has_room(self) -> bool:
        """Whether one more refusal is worth a row: whoever collects refusals shall not fill the ledger with them."""
        has_room = self.context.rates.note_in_audit(self.told.key_id or self.told.address)
        if not has_room:
            logger.warning("Request %s was refused, and so many before it that it has no row.", self.told.request_id)
        return has_room

    def _write(self, status: int, outcome: str) -> None:
        ledger, now = self.context.ledger, self.context.clock()
        if ledger is None:
            return
        with ledger.transaction() as connection:
            if self.number:
                note_answer(connection, self.number, status, outcome, now)
            else:
                note_request(connection, replace(self.told, status=status, outcome=outcome, ended_at=now))


def address_of(request: Request) -> str:
    """Where the request comes from, by the connection or by a proxy that is trusted."""
    return request.client.host[:64] if request.client is not None else ""
