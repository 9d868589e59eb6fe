"""What is true before an order, read from the ledger within the transaction that writes its verdict.

What belongs here: putting `PreTradeContext` together. What does not: the checks (`risk.checks`), and figures of
the market, which are handed in (`risk.facts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batches_of, intents_in, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import events
from scizor_dagster.risk.acceptance import is_accepted
from scizor_dagster.risk.book import Book
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.locks import locks_of
from scizor_dagster.risk.pre_trade import OPENING, PreTradeContext
from scizor_dagster.risk.trading_state import last_set, standing

ZERO = Decimal(0)
MINUTE = timedelta(minutes=1)
_AT_BROKER = tuple(state for state in IntentState if state.at_broker)
_NEVER_SENT = frozenset(
    {IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED, IntentState.REJECTED}
)
# Built once; reaches the events of one session's orders by their ids, however long the history is.
_SENDS = sa.select(events.c.client_order_id, events.c.at).where(
    events.c.client_order_id.in_(sa.bindparam("ids", expanding=True)),
    events.c.kind == f"intent_{IntentState.SENDING.value}",
)


def context_of(
    connection: sa.Connection, run: Run, batch: BatchRow, buying_power: Decimal | None, facts: MarketFacts
) -> PreTradeContext:
    """The context of the batch's portfolio, with everything under way counted."""
    now = run.now()
    closing: dict[str, Decimal] = {}
    holdings = owned(connection, run.account, batch.portfolio)
    quantities = dict(holdings)
    prices = dict(facts.prices)
    unseen = ZERO
    for intent in intents_in(connection, run.account, _AT_BROKER):
        mine, left = intent.portfolio == batch.portfolio, intent.qty - intent.filled_qty
        # The broker's figure covers what it has acknowledged; an unknown order counts all the same.
        if intent.intent in OPENING and intent.state in (IntentState.SENDING, IntentState.UNKNOWN):
            unseen += intent.notional
        if mine and intent.intent in OPENING:
            quantities[intent.symbol] = quantities.get(intent.symbol, ZERO) + left * intent.side.sign
            prices.setdefault(intent.symbol, intent.price_used)
        elif mine:
            closing[intent.symbol] = closing.get(intent.symbol, ZERO) + left
    rows = [
        row
        for other in batches_of(connection, run.account, batch.portfolio, batch.session)
        for row in intents_of(connection, other.batch_id)
    ]
    sent = [row for row in rows if row.state not in _NEVER_SENT]
    times = _sends(connection, rows)
    return PreTradeContext(
        owned=holdings,
        closing=closing,
        session_notional=sum((row.notional for row in sent), ZERO),
        opening_notional=unseen,
        buying_power=buying_power,
        frozen=intents.frozen_symbols(connection, run.account),
        book=Book.of(quantities, prices, facts.sectors),
        session_orders=len(times),
        minute_orders=sum(at > now - MINUTE for _, at in times),
        repeated=_repeated(rows, times, last_set(connection, run.account, batch.portfolio)),
        standing=standing(connection, run.account, batch.portfolio, now),
        locks={
            lock.symbol: lock.sentence for lock in locks_of(connection, run.account, batch.portfolio, batch.session)
        },
        facts=facts,
        equity_accepted=is_accepted(connection, run.account, batch.portfolio, batch.session, facts.equity),
    )


def _sends(connection: sa.Connection, rows: Sequence[IntentRow]) -> list[tuple[str, datetime]]:
    """Every send of these orders with its time; one that was sent again counts again."""
    ids = [row.client_order_id for row in rows]
    return [(row.client_order_id, row.at) for row in connection.execute(_SENDS, {"ids": ids})] if ids else []


def _repeated(
    rows: Sequence[IntentRow], times: Sequence[tuple[str, datetime]], since: datetime | None
) -> dict[tuple[str, Side], int]:
    keys = {row.client_order_id: (row.symbol, row.side) for row in rows}
    return dict(Counter(keys[name] for name, at in times if since is None or at > since))
