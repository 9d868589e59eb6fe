"""Weight files that were handed in: who brought which content, and where it was laid.

What belongs here: writing and reading the rows. What does not: taking a file in (`flow.handing_in`), and what a
strategy in Python computed (`strategy_records`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.strategy_tables import weight_deliveries


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery; see `strategy_tables.weight_deliveries`. `number` is given by `note_delivery`."""

    strategy: str
    file_hash: str
    path: str
    size: int
    actor: str
    request_id: str
    code_hash: str
    at: datetime
    number: int = 0


def note_delivery(connection: sa.Connection, row: DeliveryRow) -> DeliveryRow:
    """Keep a delivery, with an event; the row as it is kept."""
    last = connection.execute(sa.select(sa.func.max(weight_deliveries.c.number))).scalar() or 0
    kept = replace(row, number=last + 1)
    told = {name: getattr(kept, name) for name in ("number", "strategy", "file_hash", "actor", "code_hash")}
    events.append(
        connection, row.at, "", "weights_handed_in", told, changes=[inserted(weight_deliveries, asdict(kept))]
    )
    return kept


def deliveries_of(connection: sa.Connection, strategy: str, file_hash: str | None = None) -> list[DeliveryRow]:
    """What was handed in for a strategy, newest first: all of it, or one content."""
    chosen = sa.select(weight_deliveries).where(weight_deliveries.c.strategy == strategy)
    if file_hash is not None:
        chosen = chosen.where(weight_deliveries.c.file_hash == file_hash)
    found = connection.execute(chosen.order_by(weight_deliveries.c.number.desc()))
    return [DeliveryRow(**row._mapping) for row in found]
