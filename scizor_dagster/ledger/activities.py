"""Changes of cash or quantity without a trade, as the broker states them: each recorded once.

What belongs here: the row with its event. What does not: which of them is news (`execution.tracking`), and reading
the rows (`rows`).
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.checkpoints import taken_back
from scizor_dagster.ledger.tables import activities


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
