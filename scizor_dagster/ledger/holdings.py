"""What the ledger's rows add up to: quantities and cash of a portfolio.

What belongs here: the questions that are asked of an account's books, each quantity owned by exactly one portfolio.
What does not: how the books go from session to session (`account_books`), prices and value (`analytics`), and what
the broker says it holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.ledger.account_books import ZERO, AccountBooks
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.rows import (
    STANDING,
    ActivityRow,
    BatchRow,
    FillRow,
    IntentRow,
    activities_of,
    batch_of,
    fills_of,
    intents_of,
    release_of,
)
from scizor_dagster.ledger.tables import adoptions, trades

__all__ = [
    "ActivityRow",
    "BatchRow",
    "FillRow",
    "IntentRow",
    "account_flow",
    "activities_of",
    "batch_of",
    "cash_flow",
    "fills_of",
    "foreign",
    "intents_of",
    "owned",
    "owned_by_others",
    "release_of",
    "share_of",
]

NOISE = Decimal("0.000000001")
"""Up to one billionth of a share is rounding of split factors, not a position."""

A_DAY = timedelta(days=1)


def owned(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    *,
    before: date | None = None,
    through: date | None = None,
) -> dict[str, Decimal]:
    """Signed quantities that `portfolio` owns by symbol; zeros, and what is no more than `NOISE`, dropped.

    With `before`, only what happened in sessions before that one; with `through`, what happened up
    to its end. At most one of the two is given.
    """
    book = books_at(connection, account, _last(before, through)).quantities
    mine = {symbol: qty for (owner, symbol), qty in book.items() if owner == portfolio}
    return {symbol: qty for symbol, qty in sorted(mine.items()) if abs(qty) > NOISE}


def held_by_portfolios(books: AccountBooks) -> dict[tuple[str, str], Decimal]:
    """Signed quantities of every portfolio in the books, by portfolio and symbol; up to `NOISE` is nothing."""
    held = books.quantities.items()
    return {(owner, name): qty for (owner, name), qty in held if owner is not None and abs(qty) > NOISE}


def cash_flow(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    *,
    before: date | None = None,
    through: date | None = None,
) -> Decimal:
    """Signed cash that flowed to `portfolio`, in the account's currency.

    The sum of its fills' cash and fees, and of dividends and settlements of delistings in proportion to
    what it owned of the account's recorded holding before the ex session. Money that came or went in other ways
    (deposits, interest) belongs to the account.
    """
    return books_at(connection, account, _last(before, through)).flows.get(portfolio, ZERO)


def account_flow(connection: sa.Connection, account: str) -> Decimal:
    """Signed cash of every fill and every activity of the account, whoever it belongs to, in its currency."""
    return books_at(connection, account).cash


def share_of(connection: sa.Connection, account: str, portfolio: str, symbol: str, session: date) -> Decimal:
    """What part of the account's recorded holding `portfolio` owned before `session`; its part of a payment on it."""
    return books_at(connection, account, session - A_DAY).share(portfolio, symbol)


def foreign(connection: sa.Connection, account: str, broker_positions: Iterable[BrokerPosition]) -> dict[str, Decimal]:
    """Broker quantity less the sum of what all portfolios own, by symbol; agreement is dropped."""
    rest: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in broker_positions:
        rest[position.symbol] += position.qty
    for (owner, symbol), qty in books_at(connection, account).quantities.items():
        if owner is not None:
            rest[symbol] -= qty
    return {symbol: qty for symbol, qty in sorted(rest.items()) if abs(qty) > NOISE}


def foreign_trades(connection: sa.Connection, account: str, symbols: Collection[str]) -> dict[str, Decimal]:
    """Signed quantities of `symbols` that recorded fills of nobody's have brought or taken; zeros are dropped."""
    found: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for fill in fills_of(connection, account, symbols=symbols) if symbols else ():
        if fill.portfolio is None:
            found[fill.symbol] += fill.signed_qty
    return {symbol: qty for symbol, qty in sorted(found.items()) if qty}


def owned_by_others(connection: sa.Connection, account: str, portfolio: str) -> dict[str, Decimal]:
    """Signed quantities that the account's other portfolios own together, by symbol, as the ledger has them now."""
    rest: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for (owner, symbol), qty in books_at(connection, account).quantities.items():
        if owner not in (None, portfolio):
            rest[symbol] += qty
    return {symbol: qty for symbol, qty in sorted(rest.items()) if abs(qty) > NOISE}


def last_prices(connection: sa.Connection, account: str, symbols: Collection[str]) -> dict[str, Decimal]:
    """What was paid last for each of `symbols` in the account, or stated with its adoption, in units of today.

    A symbol for which there is nothing above zero is absent.
    """
    found = {symbol: paid for symbol in sorted(symbols) if (paid := _last_paid(connection, account, symbol))}
    if not found:
        return {}
    first = min(session for session, _ in found.values()) + A_DAY
    for split in activities_of(connection, account, first=first):
        if split.symbol not in found or split.kind not in ("split", "delisting"):
            continue
        session, price = found[split.symbol]
        if split.qty_factor and split.session > session:
            found[split.symbol] = (session, price / split.qty_factor)
    return {symbol: price for symbol, (_, price) in found.items()}


def _last_paid(connection: sa.Connection, account: str, symbol: str) -> tuple[date, Decimal] | None:
    """Session and price of the newest fill or adoption of a symbol; of one session, that of the fill."""
    newest: tuple[date, Decimal] | None = None
    for table, at, counts in ((adoptions, "recorded_at", sa.true()), (trades, "executed_at", STANDING)):
        statement = (
            sa.select(table.c.session, table.c.price)
            .where(table.c.account == account, table.c.symbol == symbol, counts)
            # Numbers of a ledger are texts on SQLite.
            .where(sa.cast(table.c.price, sa.Float) > 0, sa.cast(table.c.qty, sa.Float) != 0)
            .order_by(table.c.session.desc(), table.c[at].desc())
            .limit(1)
        )
        row = connection.execute(statement).first()
        if row is not None and (newest is None or row.session >= newest[0]):
            newest = (row.session, row.price)
    return newest


def _last(before: date | None, through: date | None) -> date:
    """The last session that counts."""
    assert before is None or through is None, "give at most one of 'before' and 'through'"
    if before is not None:
        return before - A_DAY
    return date.max if through is None else through
