"""Changes of cash or quantity without a trade, as the broker states them: each recorded once.

What belongs here: the row with its event, and what is said of a split twice, by a person and by the broker. What does
not: when the broker is asked (`execution.tracking`), and reading the rows (`rows`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.checkpoints import taken_back
from scizor_dagster.ledger.rows import ActivityRow
from scizor_dagster.ledger.tables import activities

SAME_SPLIT = timedelta(days=14)
"""A broker that tells of a split this long before or after what a person has stated tells of the same one."""
_STATED = "stated/"


def record_activity(connection: sa.Connection, account: str, activity: BrokerActivity, *, now: datetime) -> None:
    """Append the activity's row and its event, `activity_` with its kind."""
    values = {
        "activity_id": activity.activity_id,
        "kind": activity.kind,
        "session": activity.session,
        "symbol": activity.symbol,
        "amount": activity.amount,
        "qty_factor": activity.qty_factor,
        "description": activity.description,
    }
    changes = [inserted(activities, {"account": account, "recorded_at": now, **values})]
    changes += taken_back(connection, account, activity.session)
    events.append(connection, now, account, f"activity_{activity.kind}", values, changes=changes)


def state_split(
    connection: sa.Connection, account: str, symbol: str, ratio: Decimal, *, session: date, actor: str, now: datetime
) -> None:
    """Record a split that a person states, of `ratio` new shares for one, as a broker's own word would be."""
    said = f"a split of {ratio.normalize():f} for 1, stated by {actor}"
    name = f"{_STATED}{symbol}/{session.isoformat()}"
    record_activity(
        connection, account, BrokerActivity(name, "split", session, symbol, Decimal(0), ratio, said), now=now
    )


def news_of(told: Iterable[BrokerActivity], recorded: Collection[ActivityRow]) -> list[BrokerActivity]:
    """What the broker tells of that is not recorded, neither in its own words nor, of a split, in a person's."""
    seen = {row.activity_id for row in recorded}
    stated = [row for row in recorded if row.activity_id.startswith(_STATED)]
    return [row for row in told if row.activity_id not in seen and not any(_is_the_same(row, one) for one in stated)]


def _is_the_same(told: BrokerActivity, stated: ActivityRow) -> bool:
    same = (told.kind, told.symbol, told.qty_factor) == (stated.kind, stated.symbol, stated.qty_factor)
    return same and abs(told.session - stated.session) <= SAME_SPLIT
