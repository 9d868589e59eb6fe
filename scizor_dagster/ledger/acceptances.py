"""Prices that a person has decided to believe: entries of the append-only history, read back by market.

What belongs here: writing and reading the decision, with who, when and why. What does not: which bars may
be accepted at all (`flow.markets`), and what an acceptance changes (`market_data.plausibility`).
"""

from __future__ import annotations

import json
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.tables import events

KIND = "price_accepted"


def accept_price(
    connection: sa.Connection,
    market: str,
    symbol: str,
    session: date,
    close: float,
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Record that `actor` believes the close of `symbol` in `session`; another value there is not accepted by it."""
    values = {"symbol": symbol, "session": session, "close": repr(close), "reason": reason, "actor": actor}
    append(connection, now, _owner(market), KIND, values)


def accepted_prices(connection: sa.Connection, market: str) -> dict[tuple[str, date], float]:
    """Accepted closes by symbol and session; of several for one key the last one counts."""
    statement = sa.select(events.c.payload).where(events.c.account == _owner(market), events.c.kind == KIND)
    found = [json.loads(payload) for payload in connection.execute(statement.order_by(events.c.seq)).scalars()]
    return {(row["symbol"], date.fromisoformat(row["session"])): float(row["close"]) for row in found}


def _owner(market: str) -> str:
    # A market is no account; the colon keeps its entries apart from any account's.
    return f"market:{market}"
