"""Prices and rates that a person has decided to believe: entries of the append-only history, read back by their owner.

What belongs here: writing and reading the decision, with who, when and why. What does not: which ones may be accepted
at all (`flow.markets`, `flow.rate_files`), and what an acceptance changes (`market_data.plausibility`, `.rates`).
"""

from __future__ import annotations

import json
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.tables import events

KIND = "price_accepted"
RATE = "rate_accepted"


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


def accept_rate(
    connection: sa.Connection,
    base: str,
    quote: str,
    session: date,
    rate: float,
    *,
    replaces: float | None,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Record that `actor` believes a day's rate, and which stored one it takes the place of."""
    values = {"session": session, "rate": repr(rate), "replaces": repr(replaces), "reason": reason, "actor": actor}
    append(connection, now, _pair(base, quote), RATE, values)


def accepted_rates(connection: sa.Connection, base: str, quote: str) -> dict[date, float]:
    """Accepted rates of the pair by day; of several for one day the last one counts."""
    statement = sa.select(events.c.payload).where(events.c.account == _pair(base, quote), events.c.kind == RATE)
    found = [json.loads(payload) for payload in connection.execute(statement.order_by(events.c.seq)).scalars()]
    return {date.fromisoformat(row["session"]): float(row["rate"]) for row in found}


def _owner(market: str) -> str:
    # A market is no account; the colon keeps its entries apart from any account's.
    return f"market:{market}"


def _pair(base: str, quote: str) -> str:
    return f"rate:{base}/{quote}"
