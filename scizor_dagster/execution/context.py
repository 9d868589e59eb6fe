"""What is true before an order, read from the ledger within the transaction that writes its verdict.

What belongs here: putting `PreTradeContext` together. What does not: the checks (`risk.checks`), and figures of
the market, which are handed in (`risk.facts`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.holdings import last_prices, owned
from scizor_dagster.ledger.rows import IntentRow, intents_in, intents_of_session
from scizor_dagster.ledger.states import AT_BROKER, IntentState
from scizor_dagster.ledger.tables import events
from scizor_dagster.risk.acceptance import is_accepted
from scizor_dagster.risk.book import Book, unpriced
from scizor_dagster.risk.breaks import BreakLimits, holds_of
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.locks import locks_of
from scizor_dagster.risk.pre_trade import OPENING, PreTradeContext
from scizor_dagster.risk.trading_state import last_resumed, standing

ZERO = Decimal(0)
MINUTE = timedelta(minutes=1)
K = TypeVar("K", bound=Hashable)
_UNANSWERED = (IntentState.SENDING, IntentState.UNKNOWN)
_CHUNK = 500
# Built once; reaches the events of one session's orders by their ids, however long the history is.
_SENDS = sa.select(events.c.client_order_id, events.c.at).where(
    events.c.client_order_id.in_(sa.bindparam("ids", expanding=True)),
    events.c.kind == f"intent_{IntentState.SENDING.value}",
)


def context_of(
    connection: sa.Connection,
    run: Run,
    portfolio: str,
    session: date,
    buying_power: Decimal | None,
    facts: MarketFacts,
    *,
    breaks: BreakLimits,
    without: str | None = None,
) -> PreTradeContext:
    """The context of a portfolio's orders of a session, with everything under way counted.

    `without` is the id of an order that was sent before and is looked at again: it counts once, as the one that is
    checked. Its first message was one all the same.
    """
    now = run.now()
    holdings = owned(connection, run.account, portfolio)
    under_way = [row for row in intents_in(connection, run.account, AT_BROKER) if row.client_order_id != without]
    mine = [row for row in under_way if row.portfolio == portfolio]
    rows = intents_of_session(connection, run.account, session)
    times = _sends(connection, rows)
    names = {name for name, _ in times} - {without}
    # One that was taken from the broker's books went out as well, whoever has lost the record of it.
    names |= {row.client_order_id for row in rows if row.broker_order_id is not None} - {without}
    sent = [row for row in rows if row.client_order_id in names]
    own = [row for row in sent if row.portfolio == portfolio]
    return PreTradeContext(
        owned=holdings,
        closing=_sums((row.symbol, _left(row)) for row in mine if row.intent not in OPENING),
        session_notional=sum((row.notional for row in own if row.state is not IntentState.REJECTED), ZERO),
        # The broker's figure covers what it has acknowledged; an unknown order counts all the same.
        opening_notional=sum(
            (row.notional for row in under_way if row.intent in OPENING and row.state in _UNANSWERED), ZERO
        ),
        buying_power=buying_power,
        resting={(row.symbol, row.side): row.client_order_id for row in under_way},
        frozen=intents.frozen_symbols(connection, run.account, without=without),
        book=_book(connection, run, holdings, mine, facts),
        session_orders=len(own),
        minute_orders=sum(at > now - MINUTE for _, at in times),
        traded=_sums(((row.symbol, row.side), row.qty) for row in sent if row.state is not IntentState.REJECTED),
        repeated=_repeated(own, times, last_resumed(connection, run.account, portfolio)),
        standing=standing(connection, run.account, portfolio, now),
        locks={lock.symbol: lock.sentence for lock in locks_of(connection, run.account, portfolio, session)},
        breaks=holds_of(connection, run.account, portfolio, breaks, lambda: facts.equity),
        facts=facts,
        equity_accepted=is_accepted(connection, run.account, portfolio, session, facts.equity),
    )


def times_sent(connection: sa.Connection, intent: IntentRow) -> int:
    """How often the order has been sent."""
    return len(_sends(connection, [intent]))


def last_sends(connection: sa.Connection, rows: Sequence[IntentRow]) -> dict[str, datetime]:
    """When each of the orders was sent last, by id."""
    return dict(sorted(_sends(connection, rows), key=lambda sent: sent[1]))


def _book(
    connection: sa.Connection, run: Run, holdings: Mapping[str, Decimal], mine: Sequence[IntentRow], facts: MarketFacts
) -> Book:
    """What is held and what opens, at known prices; where there is none, at the one that the ledger saw last."""
    opening = [row for row in mine if row.intent in OPENING]
    quantities = _sums([*holdings.items(), *((row.symbol, _left(row) * row.side.sign) for row in opening)])
    prices = {**{row.symbol: row.price_used for row in opening}, **facts.prices}
    missing = unpriced(quantities, prices)
    if missing:
        prices |= last_prices(connection, run.account, missing)
    return Book.of(quantities, prices, facts.sectors)


def _left(row: IntentRow) -> Decimal:
    # An order that was made larger at the broker may have filled more than was meant.
    return max(row.qty - row.filled_qty, ZERO)


def _sums(pairs: Iterable[tuple[K, Decimal]]) -> dict[K, Decimal]:
    found: dict[K, Decimal] = {}
    for key, value in pairs:
        found[key] = found.get(key, ZERO) + value
    return found


def _sends(connection: sa.Connection, rows: Sequence[IntentRow]) -> list[tuple[str, datetime]]:
    """Every send of these orders with its time; one that was sent again counts again."""
    found = []
    for start in range(0, len(rows), _CHUNK):
        ids = [row.client_order_id for row in rows[start : start + _CHUNK]]
        found += [(row.client_order_id, row.at) for row in connection.execute(_SENDS, {"ids": ids})]
    return found


def _repeated(
    rows: Sequence[IntentRow], times: Sequence[tuple[str, datetime]], since: datetime | None
) -> dict[tuple[str, Side], frozenset[str]]:
    by_name = {row.client_order_id: row for row in rows}
    found: defaultdict[tuple[str, Side], set[str]] = defaultdict(set)
    for name, at in times:
        row = by_name.get(name)
        if row is not None and (since is None or at > since):
            found[row.symbol, row.side].add(row.batch_id)
    return {key: frozenset(batches) for key, batches in found.items()}
