"""What is remembered of who was told: in the ledger, and in this process where there is no ledger to write to.

What belongs here: the choice between the two. What does not: the rows and their rules (`ledger.notices`).

The memory of a process ends with it. Whoever was told by it is told again by the next one, or once the ledger can be
written again: twice rather than never.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from scizor_dagster.errors import ScizorError
from scizor_dagster.ledger import notices
from scizor_dagster.ledger.notices import NoticeRow, NoticeState
from scizor_dagster.ledger.store import Ledger

OpenLedger = Callable[[], Ledger | None]


class Records:
    """Remembers attempts and what became of them; see `ledger.notices` for what each function says."""

    def __init__(self, open_ledger: OpenLedger, log: logging.Logger) -> None:
        self._open_ledger = open_ledger
        self._log = log
        self._memory: dict[tuple[str, ...], NoticeRow] = {}

    def begin(self, notice: NoticeRow, now: datetime) -> bool:
        """Whether an attempt may begin, which is remembered."""
        known = self._memory.get(_key(notice))
        if known is not None and not known.may_be_tried(now):
            return False
        try:
            ledger = self._open_ledger()
            if ledger is not None:
                with ledger.transaction() as connection:
                    begun = notices.begin(connection, notice, now=now)
                self._memory.pop(_key(notice), None)
                return begun
        except Exception as error:
            self._log.warning("What is told is not remembered: %s", _said(error))
        attempts = known.attempts + 1 if known is not None else 1
        self._memory[_key(notice)] = replace(notice, attempts=attempts, last_at=now)
        return True

    def settle(self, notice: NoticeRow, failure: str, now: datetime) -> None:
        """Remember what became of an attempt; where that fails, it counts as one that nobody knows the end of."""
        begun = self._memory.get(_key(notice))
        if begun is not None:
            state = NoticeState.FAILED if failure else NoticeState.SENT
            self._memory[_key(notice)] = replace(begun, state=state, reason=failure, last_at=now)
            return
        try:
            ledger = self._open_ledger()
            if ledger is not None:
                with ledger.transaction() as connection:
                    notices.settle(connection, notice, failure, now=now)
        except Exception as error:
            self._log.warning("What %s was told may be told again: %s", notice.target, _said(error))

    def to_try_again(self, now: datetime) -> list[NoticeRow]:
        """What did not go out and may be tried now."""
        found = [row for row in self._memory.values() if row.may_be_tried(now)]
        try:
            ledger = self._open_ledger()
            if ledger is not None:
                with ledger.read() as connection:
                    found += notices.to_try_again(connection, now)
        except Exception as error:
            self._log.warning("What was not told before is not known: %s", _said(error))
        return found


def _said(error: Exception) -> str:
    """A damaged store fails in ways of its own, and in words that nobody has looked at."""
    return str(error) if isinstance(error, ScizorError) else type(error).__name__


def _key(notice: NoticeRow) -> tuple[str, ...]:
    return notice.event, notice.subject, notice.occasion, notice.target
