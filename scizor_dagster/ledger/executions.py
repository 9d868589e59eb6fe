"""Executions as the broker states them: each recorded once, corrected and taken back without losing what was said.

What belongs here: which statement of the broker's is news, and its row with its event. What does not: reading the
broker, and what follows for the order (`execution.tracking`), and reading the rows (`rows`).

A correction supersedes: it is a further version of the same execution, and the newest version alone counts
(`rows.STANDING`). One that was taken back is a version of quantity zero. No row is ever changed or removed, so that
what was known when an order was sent stays visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerFill
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.checkpoints import taken_back
from scizor_dagster.ledger.rows import FillRow
from scizor_dagster.ledger.tables import trades

_STATED = ("client_order_id", "symbol", "side", "qty", "price", "fee", "session", "executed_at")


@dataclass(frozen=True, slots=True)
class FillNews:
    """An execution that is new, or stated otherwise than it is recorded; `before` is the row that it supersedes."""

    fill: BrokerFill
    before: FillRow | None

    @property
    def kind(self) -> str:
        """What the event of it is called."""
        if self.fill.qty == 0:
            return "fill_busted"
        return "fill" if self.before is None else "fill_corrected"

    @property
    def takes_back(self) -> bool:
        """Whether shares are taken back that somebody may have counted on, seen here before or not."""
        return self.fill.qty == 0 if self.before is None else self.fill.qty < self.before.qty

    @property
    def is_restated(self) -> bool:
        """Whether quantity, price or order of a recorded execution are others now; a fee alone is no news."""
        names = ("client_order_id", "symbol", "side", "qty", "price")
        return self.before is not None and any(getattr(self.fill, name) != getattr(self.before, name) for name in names)


def newer(fill: BrokerFill, known: BrokerFill | FillRow | None) -> bool:
    """Whether `fill` says something that `known` does not: a higher revision, or the same one in other words.

    What is said of one revision later holds, and a lower revision is old news, whenever it comes.
    """
    if known is None or fill.revision != known.revision:
        return known is None or fill.revision > known.revision
    return any(getattr(fill, name) != getattr(known, name) for name in _STATED)


def record_fill(
    connection: sa.Connection,
    account: str,
    news: FillNews,
    *,
    portfolio: str | None,
    order_id: str | None,
    now: datetime,
) -> None:
    """Append the execution's row and its event: `fill`, `fill_corrected` or `fill_busted`.

    `portfolio` is whose it is, and `order_id` which order of ours it belongs to; None for one that is not ours.
    """
    fill, before = news.fill, news.before
    values: dict[str, Any] = {
        "fill_id": fill.fill_id,
        "version": 1 if before is None else before.version + 1,
        "revision": fill.revision,
        "portfolio": portfolio,
        "client_order_id": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "qty": fill.qty,
        "price": fill.price,
        "fee": fill.fee,
        "session": fill.session,
        "executed_at": fill.executed_at,
    }
    first = fill.session if before is None else min(fill.session, before.session)
    changes = [inserted(trades, {"account": account, "recorded_at": now, **values})]
    changes += taken_back(connection, account, first)
    events.append(connection, now, account, news.kind, values, order_id, changes)
