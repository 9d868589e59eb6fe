"""What a session earned, by instrument and strategy: ledger and lake read, from the measured session before it on.

What belongs here: reading what is recorded of the sessions in between, and what each order was for. What does not:
what follows from it (`analytics.profits`), and storing it (`measuring`).

The account's own money (deposits, withdrawals, interest, fees without a trade) belongs to the portfolios whose capital
is a share of the account, by that share, from their first session on. A portfolio whose capital is an amount has none
of it, and nothing is ever traded with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import sqlalchemy as sa

from scizor_dagster.analytics.attribution import read_book
from scizor_dagster.analytics.profits import (
    DELISTING,
    Adopted,
    Payment,
    ProfitBook,
    Profits,
    SessionOfPortfolio,
    Trade,
)
from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.analytics.virtual_positions import PlannedMove
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.account_books import AccountBooks, SessionRows, sessions_between
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.rebuilt import cash_is_stated
from scizor_dagster.ledger.rows import FillRow, fills_of, first_batch_of, intents_by_id, intents_of
from scizor_dagster.market_data.reading import last_closes

ZERO = Decimal(0)
A_DAY = timedelta(days=1)
_OF_INSTRUMENTS = ("dividend", DELISTING)


def session_profits(
    desk: Desk, portfolio: str, session: date, closes: pd.DataFrame, since: date | None, *, kept: bool
) -> Profits:
    """Profits from the close of `since` to that of `session`, at `closes`.

    `since` is the measured session before, None for the portfolio's beginning, and `kept` whether it was stored with
    its profits. Where it was not, or they are not of what the ledger holds by now, everything is added up from the
    first session.
    """
    account, begins = desk.portfolio(portfolio).account, since or date.min
    with desk.ledger.read() as connection:
        books = books_at(connection, account, begins)
    book = read_book(desk.lake, portfolio, begins) if since is not None and kept else ProfitBook()
    if since is not None and (not kept or book.quantities() != _quantities(books, portfolio)):
        book, books = ProfitBook(), AccountBooks()
        earlier = last_closes(desk.lake, desk.portfolio(portfolio).market, since)
        _walk(desk, portfolio, book, books, date.min, since, {since: _prices(earlier)})
        book.measured(_prices(earlier))
    prices = _prices(closes)
    _walk(desk, portfolio, book, books, begins, session, {session: prices})
    return book.measured(prices)


def _quantities(books: AccountBooks, portfolio: str) -> dict[str, Decimal]:
    return {symbol: qty for (owner, symbol), qty in books.quantities.items() if owner == portfolio}


def _prices(closes: pd.DataFrame) -> dict[str, Decimal]:
    return {symbol: close.price for symbol, close in closes_of(closes).items()}


def _walk(
    desk: Desk,
    portfolio: str,
    book: ProfitBook,
    books: AccountBooks,
    after: date,
    last: date,
    closes: Mapping[date, Mapping[str, Decimal]],
) -> None:
    """Take both books from the end of `after` to that of `last`."""
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        days = sessions_between(connection, settings.account, after, last)
        fills = fills_of(connection, settings.account, portfolio=portfolio, first=after + A_DAY, last=last)
        moves = _moves(desk, portfolio, connection, fills)
        first = first_batch_of(connection, settings.account, portfolio)
        # What a person has stated is what it has: the account's money up to then is in it.
        stated = cash_is_stated(connection, settings.account, portfolio)
    share = ZERO if first is None or stated else Decimal(str(settings.capital.share or 0))
    trades: dict[date, list[Trade]] = {}
    for fill in fills:
        trade = Trade(fill.symbol, fill.signed_qty, fill.price, fill.fee, moves.get(fill.client_order_id))
        trades.setdefault(fill.session, []).append(trade)
    for day, rows in days.items():
        begun = first is not None and day >= first.session
        told = SessionOfPortfolio(
            payments=_payments(rows, books, portfolio),
            trades=trades.get(day, []),
            adopted=_adopted(desk, settings.market, rows, portfolio, day, closes),
            money=_money(rows, share) if begun and share else [],
        )
        book.pass_session(told)
        books.pass_session(rows)


def _payments(rows: SessionRows, books: AccountBooks, portfolio: str) -> list[Payment]:
    """The portfolio's parts of payments on instruments, and what became of their units, before the session."""
    return [
        Payment(
            row.symbol,
            row.kind,
            row.amount * books.share(portfolio, row.symbol) if row.kind in _OF_INSTRUMENTS else ZERO,
            row.qty_factor if row.kind in ("split", DELISTING) else None,
        )
        for row in rows.activities
        if row.symbol is not None and row.kind in (*_OF_INSTRUMENTS, "split")
    ]


def _money(rows: SessionRows, share: Decimal) -> list[tuple[str, Decimal]]:
    return [
        (row.kind, row.amount * share)
        for row in rows.activities
        if row.amount != 0 and (row.symbol is None or row.kind not in (*_OF_INSTRUMENTS, "split"))
    ]


def _adopted(
    desk: Desk,
    market: str,
    rows: SessionRows,
    portfolio: str,
    day: date,
    closes: Mapping[date, Mapping[str, Decimal]],
) -> list[Adopted]:
    """What was handed over, at the session's close; without one it brings in nothing, as it is worth nothing known."""
    mine = [row for row in rows.adoptions if row.portfolio == portfolio]
    if not mine:
        return []
    prices = closes[day] if day in closes else _prices(last_closes(desk.lake, market, day))
    return [Adopted(row.symbol, row.qty, prices.get(row.symbol, ZERO)) for row in mine]


def _moves(desk: Desk, portfolio: str, connection: sa.Connection, fills: Iterable[FillRow]) -> dict[str, PlannedMove]:
    """What each of our orders among the fills was for, by its id: its batch, and the strategies' parts of a target."""
    orders = intents_by_id(connection, [fill.client_order_id for fill in fills])
    ordered: dict[tuple[str, str], Decimal] = {}
    for batch_id in sorted({order.batch_id for order in orders.values()}):
        for order in intents_of(connection, batch_id):
            key = (batch_id, order.symbol)
            ordered[key] = ordered.get(key, ZERO) + order.planned_qty * order.side.sign
    parts = _parts(desk, portfolio, {order.session for order in orders.values()})
    return {
        name: PlannedMove(
            order.batch_id, ordered[order.batch_id, order.symbol], parts.get((order.session, order.symbol), {})
        )
        for name, order in orders.items()
    }


def _parts(desk: Desk, portfolio: str, sessions: set[date]) -> dict[tuple[date, str], dict[str, Decimal]]:
    """What each strategy has in the targets of the sessions, by session and symbol."""
    if not sessions:
        return {}
    query = (
        "SELECT session, symbol, strategy, contribution FROM target_attribution "
        "WHERE portfolio = ? AND session IN (SELECT unnest(?))"
    )
    with desk.lake.read() as cursor:
        rows = cursor.execute(query, [portfolio, sorted(sessions)]).fetchall()
    found: dict[tuple[date, str], dict[str, Decimal]] = {}
    for session, symbol, strategy, contribution in rows:
        of = found.setdefault((session, symbol), {})
        of[strategy] = of.get(strategy, ZERO) + Decimal(contribution)
    return found
