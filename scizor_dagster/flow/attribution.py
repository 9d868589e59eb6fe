"""What a session earned, by instrument and strategy: ledger and lake read, from the measured session before it on.

What belongs here: reading what is recorded of the sessions in between, and what each order was for. What does not:
what follows from it (`analytics.profits`), and storing it (`measuring`).

The account's own money (deposits, withdrawals, interest, fees without a trade) belongs to the portfolios whose capital
is a share of the account, by that share, from their first session on. A portfolio whose capital is an amount has none
of it, and nothing is ever traded with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import sqlalchemy as sa

from scizor_dagster.analytics.attribution import read_book
from scizor_dagster.analytics.cost_basis import Position
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
from scizor_dagster.ledger.manual_orders import batches_by_hand
from scizor_dagster.ledger.rebuilt import cash_stated_at
from scizor_dagster.ledger.rows import FillRow, fills_of, first_batch_of, intents_by_id, intents_of
from scizor_dagster.ledger.tables import adoptions
from scizor_dagster.market_data.reading import LOOK_BACK, last_closes

ZERO = Decimal(0)
A_DAY = timedelta(days=1)
_OF_INSTRUMENTS = ("dividend", DELISTING)


@dataclass(frozen=True, slots=True)
class Flows:
    """What came from outside since the measured session before: in sessions before this one, and in this one."""

    earlier: Decimal
    today: Decimal


def session_profits(
    desk: Desk, portfolio: str, session: date, closes: pd.DataFrame, since: date | None, *, kept: bool
) -> tuple[Profits, Flows]:
    """Profits from the close of `since` to that of `session`, at `closes`, and what came from outside in between.

    `since` is the measured session before, None for the portfolio's beginning, and `kept` whether it was stored with
    its profits. Where it was not, or they are not of what the ledger holds by now, everything is added up from the
    first session. The account's money that is not in the equity of `since` flows in after it.

    Where a person has stated what the portfolio has, the account's money up to then is in it, and what was handed
    over along with the statement is what was measured before.
    """
    account, begins = desk.portfolio(portfolio).account, since or date.min
    with desk.ledger.read() as connection:
        books = books_at(connection, account, begins)
        stated = cash_stated_at(connection, account, portfolio)
    book = read_book(desk.lake, portfolio, begins) if since is not None and kept else ProfitBook()
    known = book.account_money.value
    if since is not None and (not kept or book.quantities() != _quantities(books, portfolio)):
        book, books = ProfitBook(), AccountBooks()
        earlier = closes_through(desk, portfolio, since)
        _walk(desk, portfolio, book, books, date.min, since, {since: _prices(earlier)})
        book.measured(_prices(earlier))
    if stated is not None:
        book.account_money = Position()
    told = book.account_money.value - known if stated is None else ZERO
    prices = _prices(closes)
    had = stated if since is not None else None
    flows = _walk(desk, portfolio, book, books, begins, session, {session: prices}, had)
    return book.measured(prices), Flows(flows.earlier + told, flows.today)


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
    had: datetime | None = None,
) -> Flows:
    """Take both books from the end of `after` to that of `last`; what was adopted up to `had` was there before."""
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        days = sessions_between(connection, settings.account, after, last)
        fills = fills_of(connection, settings.account, portfolio=portfolio, first=after + A_DAY, last=last)
        moves = _moves(desk, portfolio, connection, fills)
        first = first_batch_of(connection, settings.account, portfolio)
        stated = cash_stated_at(connection, settings.account, portfolio) is not None
    share = ZERO if first is None or stated else Decimal(str(settings.capital.share or 0))
    trades: dict[date, list[Trade]] = {}
    for fill in fills:
        trade = Trade(fill.symbol, fill.signed_qty, fill.price, fill.fee, moves.get(fill.client_order_id))
        trades.setdefault(fill.session, []).append(trade)
    earlier = today = ZERO
    for day, rows in days.items():
        begun = first is not None and day >= first.session
        told = SessionOfPortfolio(
            payments=_payments(rows, books, portfolio),
            trades=trades.get(day, []),
            adopted=_adopted(desk, rows, portfolio, day, closes, had),
            money=_money(rows, share) if begun and share else [],
        )
        book.pass_session(told)
        books.pass_session(rows)
        earlier, today = (earlier, told.inflow) if day == last else (earlier + told.inflow, today)
    return Flows(earlier, today)


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
    rows: SessionRows,
    portfolio: str,
    day: date,
    closes: Mapping[date, Mapping[str, Decimal]],
    had: datetime | None,
) -> list[Adopted]:
    """What was handed over, at the session's close, or at the price that it was handed over at while there is none."""
    mine = [row for row in rows.adoptions if row.portfolio == portfolio]
    if not mine:
        return []
    prices = closes[day] if day in closes else _prices(closes_through(desk, portfolio, day))
    found = []
    for row in mine:
        other = next((item.symbol for item in mine if _goes_on(row, item)), None)
        # Under whatever name, it is worth the same.
        price = row.price if other is not None else prices.get(row.symbol, row.price)
        found.append(Adopted(row.symbol, row.qty, price, had is not None and row.recorded_at <= had, other))
    return found


def _goes_on(one: Any, other: Any) -> bool:
    """Whether two adoptions are one holding under two names, as `scizor adopt --renamed-from` records it."""
    same = (one.recorded_at, one.price) == (other.recorded_at, other.price)
    return same and one.symbol != other.symbol and one.qty == -other.qty


def closes_through(desk: Desk, portfolio: str, session: date) -> pd.DataFrame:
    """`last_closes`, and where there is none yet of what the portfolio adopted, the price that a person has stated."""
    settings = desk.portfolio(portfolio)
    closes = last_closes(desk.lake, settings.market, session)
    with desk.ledger.read() as connection:
        days = sa.and_(adoptions.c.session <= session, adoptions.c.session >= session - LOOK_BACK)
        mine = sa.and_(adoptions.c.account == settings.account, adoptions.c.portfolio == portfolio, days)
        found = connection.execute(sa.select(adoptions).where(mine).order_by(adoptions.c.session)).all()
    known = set(closes["symbol"])
    stated = {row.symbol: row for row in found if row.symbol not in known and row.price > 0}
    if not stated:
        return closes
    lines = [
        {"symbol": symbol, "session": row.session, "close": float(row.price), "adjustment": "raw", "synthetic": False,
         "source": "adopted"}
        for symbol, row in stated.items()
    ]  # fmt: skip
    return pd.concat([closes, pd.DataFrame(lines)], ignore_index=True)


def _moves(desk: Desk, portfolio: str, connection: sa.Connection, fills: Iterable[FillRow]) -> dict[str, PlannedMove]:
    """What each of our orders among the fills was for, by its id: its batch, and the strategies' parts of a target."""
    orders = intents_by_id(connection, [fill.client_order_id for fill in fills])
    ordered: dict[tuple[str, str], Decimal] = {}
    for batch_id in sorted({order.batch_id for order in orders.values()}):
        for order in intents_of(connection, batch_id):
            key = (batch_id, order.symbol)
            ordered[key] = ordered.get(key, ZERO) + order.planned_qty * order.side.sign
    parts = _parts(desk, portfolio, {order.session for order in orders.values()})
    by_hand = batches_by_hand(connection, (order.batch_id for order in orders.values()))
    apart = _kept(desk, portfolio, {order.session for order in orders.values()})
    return {
        name: PlannedMove(
            order.batch_id,
            ordered[order.batch_id, order.symbol],
            parts.get((order.session, order.symbol), {}),
            by_hand=order.batch_id in by_hand,
            apart=apart.get((order.session, order.symbol), ZERO),
        )
        for name, order in orders.items()
    }


def _kept(desk: Desk, portfolio: str, sessions: set[date]) -> dict[tuple[date, str], Decimal]:
    """What the newest plan of each session has set apart, by session and symbol."""
    if not sessions:
        return {}
    query = (
        "SELECT l.session, l.symbol, l.kept_qty FROM plan_lines l JOIN plans p USING (plan_id) "
        "WHERE l.portfolio = ? AND l.session IN (SELECT unnest(?)) AND coalesce(l.kept_qty, '0') <> '0' "
        "ORDER BY p.batch, p.fetched_at"
    )
    with desk.lake.read() as cursor:
        rows = cursor.execute(query, [portfolio, sorted(sessions)]).fetchall()
    return {(session, symbol): Decimal(kept) for session, symbol, kept in rows}


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
