"""Checkpoints: an account's books at the end of past sessions, so that no reading begins with the first session.

What belongs here: writing them along with what they add up, taking them back, and the books that are read from them.
What does not: the arithmetic (`account_books`), and what is asked of the books (`holdings`).

A checkpoint is a row like any other: it is written and taken back in the transaction of the rows that it adds up, by
whatever process, and replayed by `verify`. What is recorded late for a session takes back the checkpoints of that
session and of all later ones, so that one that is there is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.account_books import AccountBooks, sessions_between
from scizor_dagster.ledger.changes import Change, deleted, inserted
from scizor_dagster.ledger.tables import checkpoints

SPACING = 64
"""Fewest rows between two checkpoints. Of large books fewer are kept: the rows between two are no fewer than what the
books hold, so that checkpoints grow no faster than what they add up."""
UNSETTLED = 2
"""The newest sessions of an account are not kept: most of what comes late is of them."""

# Built once: the books are read several times for every order.
_LATEST = (
    sa.select(checkpoints.c.session, checkpoints.c.books)
    .where(checkpoints.c.account == sa.bindparam("wanted"), checkpoints.c.session <= sa.bindparam("last"))
    .order_by(checkpoints.c.session.desc())
    .limit(1)
)
_FROM = sa.select(checkpoints.c.session).where(
    checkpoints.c.account == sa.bindparam("wanted"), checkpoints.c.session >= sa.bindparam("first")
)


def books_at(connection: sa.Connection, account: str, last: date = date.max) -> AccountBooks:
    """The account's books after everything that is recorded up to the end of session `last`.

    Raises:
        LedgerError: a checkpoint cannot be read.
    """
    session, books = _latest(connection, account, last)
    for rows in sessions_between(connection, account, session, last).values():
        books.pass_session(rows)
    return books


def books_of_all(connection: sa.Connection, account: str) -> Mapping[date, AccountBooks]:
    """Every checkpoint of the account by its session."""
    statement = sa.select(checkpoints.c.session, checkpoints.c.books).where(checkpoints.c.account == account)
    return {row.session: _from_row(account, row.session, row.books) for row in connection.execute(statement)}


def brought_up(connection: sa.Connection, account: str) -> tuple[AccountBooks, list[Change]]:
    """The books of now, and the checkpoints that are due on the way to them."""
    session, books = _latest(connection, account, date.max)
    days = sessions_between(connection, account, session)
    settled = set(islice(days, max(len(days) - UNSETTLED, 0)))
    due: list[Change] = []
    passed = 0
    for day, rows in days.items():
        books.pass_session(rows)
        passed += rows.count
        if day in settled and passed >= max(SPACING, len(books.quantities)):
            due.append(inserted(checkpoints, {"account": account, "session": day, "books": _as_row(books)}))
            passed = 0
    return books, due


def held_since(
    connection: sa.Connection, account: str, portfolio: str, held: Mapping[str, Decimal], session: date
) -> date:
    """A session before `session` after whose end the portfolio came to hold each of `held` as it does.

    `held` are signed quantities before `session`, by symbol. The newest one that a checkpoint tells of, where nothing
    was held or the other way round; the beginning of time where none does.
    """
    last = session
    while held and last > date.min:
        last, books = _latest(connection, account, last - timedelta(days=1))
        before = books.quantities
        held = {symbol: qty for symbol, qty in held.items() if before.get((portfolio, symbol), Decimal(0)) * qty > 0}
    return last


def taken_back(connection: sa.Connection, account: str, session: date) -> list[Change]:
    """What must go with a row that is recorded for `session`: the checkpoints that do not add it up."""
    found = connection.execute(_FROM, {"wanted": account, "first": session}).scalars()
    return [deleted(checkpoints, {"account": account, "session": day}) for day in sorted(found)]


def _latest(connection: sa.Connection, account: str, last: date) -> tuple[date, AccountBooks]:
    row = connection.execute(_LATEST, {"wanted": account, "last": last}).first()
    return (date.min, AccountBooks()) if row is None else (row.session, _from_row(account, row.session, row.books))


def _as_row(books: AccountBooks) -> dict[str, Any]:
    held = sorted(books.quantities.items(), key=lambda item: (item[0][0] is not None, item[0]))
    return {
        "held": [[owner, symbol, format(qty, "f")] for (owner, symbol), qty in held],
        "flows": {portfolio: format(cash, "f") for portfolio, cash in sorted(books.flows.items())},
        "cash": format(books.cash, "f"),
    }


def _from_row(account: str, session: date, row: Any) -> AccountBooks:
    try:
        return AccountBooks(
            {(owner, symbol): Decimal(qty) for owner, symbol, qty in row["held"]},
            {portfolio: Decimal(cash) for portfolio, cash in row["flows"].items()},
            Decimal(row["cash"]),
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise LedgerError(
            f"The checkpoint of account '{account}' on {session.isoformat()} cannot be read.",
            remedy="The ledger was edited. See: scizor ledger verify.",
        ) from error
