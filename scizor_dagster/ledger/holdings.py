"""What the ledger's rows add up to: quantities and cash of a portfolio.

What belongs here: arithmetic over fills, adoptions and activities, each quantity owned by exactly
one portfolio. What does not: prices and value (`analytics`), and what the broker says it holds.

A session's splits come before its fills: a split of session S multiplies what was held before S,
and a fill of S is already in new shares. A delisting of S ends what was held before S, for cash. An
adoption of S counts as held from the end of S.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.instruments import split_quantity
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
from scizor_dagster.ledger.tables import adoptions, batches, trades

__all__ = [
    "ActivityRow",
    "BatchRow",
    "FillRow",
    "IntentRow",
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

ZERO = Decimal(0)
NOISE = Decimal("0.000000001")
"""Up to one billionth of a share is rounding of split factors, not a position."""

_PER_SHARE = frozenset({"dividend", "delisting"})
"""Kinds of activities whose cash goes to who held the instrument before the session."""

Owner = str | None
"""A portfolio, or None for what the account traded outside of Scizor."""
Book = dict[tuple[Owner, str], Decimal]


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
    book = _book(connection, account, before=before, through=through)
    mine = {symbol: qty for (owner, symbol), qty in book.items() if owner == portfolio}
    return {symbol: qty for symbol, qty in sorted(mine.items()) if abs(qty) > NOISE}


def owned_by_portfolio(connection: sa.Connection, account: str) -> dict[tuple[str, str], Decimal]:
    """Signed quantities of every portfolio of the account now, by portfolio and symbol; up to `NOISE` is nothing."""
    book = _book(connection, account)
    return {(owner, name): qty for (owner, name), qty in book.items() if owner is not None and abs(qty) > NOISE}


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
    last = _last(before, through)
    total = sum(
        (fill.cash for fill in fills_of(connection, account, portfolio=portfolio) if _within(fill, last)),
        ZERO,
    )
    payments: defaultdict[date, list[ActivityRow]] = defaultdict(list)
    for paid in activities_of(connection, account):
        if paid.kind in _PER_SHARE and paid.symbol is not None and _within(paid, last):
            payments[paid.session].append(paid)
    if not payments:
        return total
    # One walk for all of them: each payment is shared by what was held before its session.
    changes, factors, book = _changes(connection, account, None), _factors(connection, account), Book()
    for session in sorted({*changes, *factors, *payments}):
        for paid in payments.get(session, ()):
            total += paid.amount * _share(book, portfolio, paid.symbol or "")
        _pass(book, changes.get(session, ()), factors.get(session, ()))
    return total


def share_of(connection: sa.Connection, account: str, portfolio: str, symbol: str, session: date) -> Decimal:
    """What part of the account's recorded holding `portfolio` owned before `session`; its part of a payment on it."""
    return _share(_book(connection, account, before=session, symbol=symbol), portfolio, symbol)


def foreign(connection: sa.Connection, account: str, broker_positions: Iterable[BrokerPosition]) -> dict[str, Decimal]:
    """Broker quantity less the sum of what all portfolios own, by symbol; agreement is dropped."""
    rest: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for position in broker_positions:
        rest[position.symbol] += position.qty
    for (owner, symbol), qty in _book(connection, account).items():
        if owner is not None:
            rest[symbol] -= qty
    return {symbol: qty for symbol, qty in sorted(rest.items()) if abs(qty) > NOISE}


def owned_by_others(connection: sa.Connection, account: str, portfolio: str) -> dict[str, Decimal]:
    """Signed quantities that the account's other portfolios own together, by symbol, as the ledger has them now."""
    rest: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    for (owner, symbol), qty in _book(connection, account).items():
        if owner not in (None, portfolio):
            rest[symbol] += qty
    return {symbol: qty for symbol, qty in sorted(rest.items()) if abs(qty) > NOISE}


def last_prices(connection: sa.Connection, account: str, symbols: Collection[str]) -> dict[str, Decimal]:
    """What was paid last for each of `symbols` in the account, or stated with its adoption, in units of today.

    A symbol for which there is nothing above zero is absent.
    """
    found: dict[str, tuple[date, Decimal]] = {}
    for table, last, counts in ((adoptions, "recorded_at", sa.true()), (trades, "executed_at", STANDING)):
        columns = (table.c.symbol, table.c.session, table.c.price, table.c.qty)
        wanted = sa.select(*columns).where(table.c.account == account, table.c.symbol.in_(sorted(symbols)), counts)
        for symbol, session, price, qty in connection.execute(wanted.order_by(table.c.session, table.c[last])):
            if price > 0 and qty != 0 and (symbol not in found or session >= found[symbol][0]):
                found[symbol] = (session, price)
    splits = [
        (session, symbol, factor)
        for session, factors in _factors(connection, account).items()
        for symbol, factor in factors
    ]
    for split_on, symbol, factor in splits:
        if factor > 0 and symbol in found and split_on > found[symbol][0]:
            session, price = found[symbol]
            found[symbol] = (session, price / factor)
    return {symbol: price for symbol, (_, price) in found.items()}


def earliest_session(connection: sa.Connection, account: str) -> date | None:
    """First session in which anything of the account was planned, filled or adopted."""
    # Batches count, for an order that ended without a fill may still be filled late.
    firsts = [
        connection.execute(sa.select(sa.func.min(table.c.session)).where(table.c.account == account)).scalar()
        for table in (batches, trades, adoptions)
    ]
    return min((first for first in firsts if first is not None), default=None)


def _share(book: Book, portfolio: str, symbol: str) -> Decimal:
    total = sum((qty for (owner, name), qty in book.items() if owner is not None and name == symbol), ZERO)
    total += _outside(book.get((None, symbol), ZERO), total)
    return book.get((portfolio, symbol), ZERO) / total if total != 0 else ZERO


def _outside(foreign_fills: Decimal, by_portfolios: Decimal) -> Decimal:
    """Foreign holding that the ledger knows of; one that was adopted is a portfolio's by now."""
    return foreign_fills if foreign_fills * by_portfolios > 0 else ZERO


def _last(before: date | None, through: date | None) -> tuple[date, bool] | None:
    assert before is None or through is None, "give at most one of 'before' and 'through'"
    if before is not None:
        return before, False
    return (through, True) if through is not None else None


def _within(row: FillRow | ActivityRow, last: tuple[date, bool] | None) -> bool:
    if last is None:
        return True
    return row.session <= last[0] if last[1] else row.session < last[0]


def _book(
    connection: sa.Connection,
    account: str,
    *,
    before: date | None = None,
    through: date | None = None,
    symbol: str | None = None,
) -> Book:
    """Signed quantities by owner and symbol, the adopted ones taken off the foreign owner None."""
    last = _last(before, through)
    changes, factors, book = _changes(connection, account, symbol), _factors(connection, account), Book()
    for session in sorted({*changes, *factors}):
        if last is not None and (session > last[0] or (session == last[0] and not last[1])):
            break
        _pass(book, changes.get(session, ()), factors.get(session, ()))
    return book


def _pass(book: Book, changes: Sequence[tuple[Owner, str, Decimal]], factors: Sequence[tuple[str, Decimal]]) -> None:
    """Take the book through one session: splits first, then what was filled and adopted."""
    for name, factor in factors:
        for key in [key for key in book if key[1] == name]:
            book[key] = split_quantity(book[key], factor)
    for owner, name, qty in changes:
        book[owner, name] = book.get((owner, name), ZERO) + qty


def _changes(
    connection: sa.Connection, account: str, symbol: str | None
) -> dict[date, list[tuple[Owner, str, Decimal]]]:
    """What fills and adoptions changed, by session."""
    days: defaultdict[date, list[tuple[Owner, str, Decimal]]] = defaultdict(list)
    rows = _fill_changes(connection, account, symbol) + _adoption_changes(connection, account, symbol)
    for session, owner, name, qty in rows:
        days[session].append((owner, name, qty))
    return days


def _fill_changes(
    connection: sa.Connection, account: str, symbol: str | None
) -> list[tuple[date, Owner, str, Decimal]]:
    columns = (trades.c.session, trades.c.portfolio, trades.c.symbol, trades.c.side, trades.c.qty)
    statement = sa.select(*columns).where(trades.c.account == account, STANDING)
    if symbol is not None:
        statement = statement.where(trades.c.symbol == symbol)
    return [
        (session, owner, name, qty if side == "buy" else -qty)
        for session, owner, name, side, qty in connection.execute(statement)
    ]


def _adoption_changes(
    connection: sa.Connection, account: str, symbol: str | None
) -> list[tuple[date, Owner, str, Decimal]]:
    changes: list[tuple[date, Owner, str, Decimal]] = []
    for row in connection.execute(sa.select(adoptions).where(adoptions.c.account == account)):
        if symbol is None or row.symbol == symbol:
            changes.append((row.session, row.portfolio, row.symbol, row.qty))
            changes.append((row.session, None, row.symbol, -row.qty))
    return changes


def _factors(connection: sa.Connection, account: str) -> dict[date, Sequence[tuple[str, Decimal]]]:
    """What splits and delistings multiply a holding by: new shares for one, or 0."""
    found: defaultdict[date, list[tuple[str, Decimal]]] = defaultdict(list)
    for activity in activities_of(connection, account):
        is_unit = activity.kind in ("split", "delisting")
        if is_unit and activity.symbol is not None and activity.qty_factor is not None:
            found[activity.session].append((activity.symbol, activity.qty_factor))
    return dict(found)
