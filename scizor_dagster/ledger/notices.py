"""Who was told what: each fact once for each target, over restarts, and a failure again a bounded number of times.

What belongs here: the rows, and when one may be sent (again). What does not: sending (`notifications`), and what is
worth a notice (`flow.notices`).

An attempt is committed before it is made. A process that dies in it leaves a row that is tried again: a target may
hear the same twice, and never nothing because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.notice_tables import notices

MOST_ATTEMPTS = 8
"""With the pauses between them, about two hours."""
FIRST_PAUSE = timedelta(minutes=1)
"""After the first attempt; each further pause is twice as long."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class NoticeState(StrEnum):
    SENDING = "sending"
    """Under way; or left behind by a process that died, which is as good as failed."""
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One fact for one target. `event`, `subject`, `occasion` and `target` say which; the rest is what is said."""

    event: str
    subject: str
    occasion: str
    target: str
    title: str
    body: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    state: NoticeState = NoticeState.SENDING
    attempts: int = 1
    reason: str = ""
    first_at: datetime = _BEGINNING
    last_at: datetime = _BEGINNING

    @property
    def key(self) -> dict[str, Any]:
        return {"event": self.event, "subject": self.subject, "occasion": self.occasion, "target": self.target}

    def may_be_tried(self, now: datetime) -> bool:
        """Whether another attempt is due. A clock that was ahead has left a time to come, which says nothing."""
        if self.state is NoticeState.SENT or self.attempts >= MOST_ATTEMPTS:
            return False
        return not self.last_at <= now < self.last_at + FIRST_PAUSE * 2 ** (self.attempts - 1)


def begin(connection: sa.Connection, notice: NoticeRow, *, now: datetime) -> bool:
    """Note that an attempt begins, where one may: the fact is new to the target, or it is time to try again."""
    known = _find(connection, notice)
    if known is not None and not known.may_be_tried(now):
        return False
    attempts = known.attempts + 1 if known is not None else 1
    values = {"state": NoticeState.SENDING.value, "attempts": attempts, "last_at": now}
    if known is not None:
        change = updated(notices, notice.key, values)
    else:
        said = {"title": notice.title, "body": notice.body, "facts": dict(notice.facts), "reason": ""}
        change = inserted(notices, {**notice.key, **said, **values, "first_at": now})
    events.append(connection, now, "", "notice_begun", {**notice.key, "attempts": attempts}, changes=[change])
    return True


def settle(connection: sa.Connection, notice: NoticeRow, failure: str, *, now: datetime) -> None:
    """Note what became of the attempt that `begin` began; an empty `failure` is none.

    Raises:
        LedgerError: none was begun.
    """
    state = NoticeState.FAILED if failure else NoticeState.SENT
    change = updated(notices, notice.key, {"state": state.value, "reason": failure, "last_at": now})
    events.append(connection, now, "", f"notice_{state}", {**notice.key, "reason": failure}, changes=[change])


def to_try_again(connection: sa.Connection, now: datetime) -> list[NoticeRow]:
    """What was begun, did not go out, and may be tried now; oldest first."""
    statement = sa.select(notices).where(notices.c.state != NoticeState.SENT).order_by(notices.c.first_at)
    return [row for row in map(_row, connection.execute(statement)) if row.may_be_tried(now)]


def given_up(connection: sa.Connection) -> list[NoticeRow]:
    """What a target was never told after every attempt, and that took nothing since; oldest first."""
    took = sa.select(notices.c.target, sa.func.max(notices.c.last_at)).where(notices.c.state == NoticeState.SENT)
    reached = {row[0]: row[1] for row in connection.execute(took.group_by(notices.c.target))}
    statement = sa.select(notices).where(notices.c.state != NoticeState.SENT, notices.c.attempts >= MOST_ATTEMPTS)
    rows = map(_row, connection.execute(statement.order_by(notices.c.last_at)))
    return [row for row in rows if row.last_at > reached.get(row.target, _BEGINNING)]


def _find(connection: sa.Connection, notice: NoticeRow) -> NoticeRow | None:
    mine = (notices.c[name] == value for name, value in notice.key.items())
    found = connection.execute(sa.select(notices).where(*mine)).first()
    return _row(found) if found is not None else None


def _row(row: Any) -> NoticeRow:
    return NoticeRow(**{**row._mapping, "state": NoticeState(row.state)})
