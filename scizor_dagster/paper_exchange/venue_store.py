"""The venue's accounts in the ledger's database: tables `paper_venue_*`, and nothing else.

What belongs here: loading books, writing what one operation changed, and the queries of doors. What does
not: what an operation does (`desk`, `continuous`), and when (`paper_venue`).

A change is one transaction that takes the write lock first, so that a kill leaves the books as they were
before it or after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import WrongAccount
from scizor_dagster.ledger.venue_tables import (
    venue_accounts,
    venue_activities,
    venue_events,
    venue_executions,
    venue_halts,
    venue_orders,
    venue_positions,
)
from scizor_dagster.paper_exchange.store import Database, first_fills_of, upsert
from scizor_dagster.paper_exchange.venue_books import Holding, VenueBooks, VenueState
from scizor_dagster.paper_exchange.venue_orders import ZERO, Execution, House, OrderQuery, Status, VenueOrder
from scizor_dagster.paper_exchange.venue_rows import (
    activity_of,
    activity_row,
    execution_of,
    execution_row,
    order_of,
    order_row,
    settings_json,
    settings_of,
)
from scizor_dagster.paper_exchange.venue_views import NonTrade

# Built once: every call takes one of them.
_ACCOUNT = sa.select(venue_accounts).where(venue_accounts.c.account == sa.bindparam("wanted"))
_LOCK_ACCOUNT = _ACCOUNT.with_for_update()
_FIRST_FILLS = first_fills_of(venue_executions)
_OPEN = [status.value for status in Status if not status.terminal]
_BOOKED = ("positions", "orders", "taken", "settings", "house")
_MONEY_FIELDS = tuple(field.name for field in fields(VenueState) if field.name not in _BOOKED)


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """An account as it is opened on first use."""

    name: str
    house: House
    currency: str
    cash: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as it is stored: `at` is the instant that its books have reached."""

    name: str
    house: House
    currency: str
    deposit: Decimal
    cash: Decimal
    at: datetime
    open_orders: int
    positions: int


class VenueStore:
    """Keeps the last loaded books of every account, and loads them again only when the rows have moved on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: dict[str, VenueState] = {}

    def change(self) -> AbstractContextManager[sa.Connection]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        return self._database.transaction()

    def read(self) -> AbstractContextManager[sa.Connection]:
        return self._database.read()

    def open(self, wanted: VenueAccount, session: date, at: datetime) -> None:
        """Create the account unless it exists.

        Raises:
            WrongAccount: it exists at another house, in another currency or with another deposit.
        """
        with self.change() as connection:
            row = self._row(connection, wanted.name, lock=True)
            if row is None:
                state = VenueState(
                    wanted.name, wanted.house, wanted.currency, wanted.cash, at, wanted.cash, session, at, wanted.cash
                )
                connection.execute(sa.insert(venue_accounts), _account_row(state))
                return
        found = (row.house, row.currency, row.deposit)
        if found != (wanted.house.value, wanted.currency, wanted.cash):
            raise WrongAccount(
                f"Account '{wanted.name}' was opened at {row.house} with {row.deposit:,.2f} {row.currency}, and now "
                f"{wanted.house} with {wanted.cash:,.2f} {wanted.currency} is asked for.",
                remedy="Ask for what it was opened with, or name a new account.",
                where=f"accounts.{wanted.name}",
                limit="account_opening",
                value=f"{row.house} {row.deposit} {row.currency}",
                threshold=f"{wanted.house} {wanted.cash} {wanted.currency}",
            )

    def latest(self, accounts: Collection[str]) -> datetime | None:
        """Latest instant that one of `accounts` has reached; None where none of them is stored."""
        query = sa.select(venue_accounts.c["at"]).where(venue_accounts.c.account.in_(list(accounts)))
        with self.read() as connection:
            instants = connection.execute(query).scalars().all()
        return max(instants, default=None)

    def standings(self) -> list[Standing]:
        """Every account of every venue as it is stored, by name."""
        rows, held = venue_orders, venue_positions
        orders = sa.select(rows.c.account, sa.func.count()).where(rows.c.status.in_(_OPEN)).group_by(rows.c.account)
        positions = sa.select(held.c.account, sa.func.count()).group_by(held.c.account)
        with self.read() as connection:
            open_orders: dict[str, int] = {str(name): int(count) for name, count in connection.execute(orders)}
            held_by: dict[str, int] = {str(name): int(count) for name, count in connection.execute(positions)}
            found = connection.execute(sa.select(venue_accounts).order_by(venue_accounts.c.account)).all()
        return [
            Standing(
                row.account,
                House(row.house),
                row.currency,
                row.deposit,
                row.cash,
                row._mapping["at"],
                open_orders.get(row.account, 0),
                held_by.get(row.account, 0),
            )
            for row in found
        ]

    def load(self, connection: sa.Connection, account: str, *, lock: bool) -> VenueState:
        row = self._row(connection, account, lock=lock)
        assert row is not None, account
        cached = self._cached.get(account)
        if cached is not None and cached.version == row.version:
            return cached
        positions = connection.execute(sa.select(venue_positions).where(venue_positions.c.account == account))
        return VenueState(
            **{name: getattr(row, name) for name in _MONEY_FIELDS},
            house=House(row.house),
            settings=settings_of(row.settings),
            positions={line.symbol: Holding(line.symbol, line.qty, line.average_price) for line in positions},
            orders={order.order_id: order for order in self._open_orders(connection, account)},
            taken=self._taken(connection, account, row.session),
        )

    def save(self, connection: sa.Connection, books: VenueBooks) -> VenueState:
        """Write what changed; the books after it, which `remember` takes once they are committed."""
        after, account = books.state(), books.account
        update = sa.update(venue_accounts).where(venue_accounts.c.account == account)
        connection.execute(update.values(**_account_row(after)))
        upsert(connection, venue_orders, [order_row(account, order) for order in books.changed.values()])
        for table, rows in (
            (venue_executions, [execution_row(account, row) for row in books.executions]),
            (venue_activities, [activity_row(account, row) for row in books.activities]),
            (venue_events, _event_rows(books)),
        ):
            if rows:
                connection.execute(sa.insert(table), rows)
        self._save_positions(connection, account, books.before.positions, after.positions)
        return after

    def remember(self, state: VenueState) -> None:
        """Keep committed books for the next operation; their version tells whether they are still current."""
        self._cached[state.account] = state

    def order(self, connection: sa.Connection, account: str, order_id: str) -> VenueOrder | None:
        return self._one(connection, account, venue_orders.c.order_id == order_id)

    def order_by_client_id(self, connection: sa.Connection, account: str, client_order_id: str) -> VenueOrder | None:
        return self._one(connection, account, venue_orders.c.client_order_id == client_order_id)

    def orders(self, connection: sa.Connection, account: str, query: OrderQuery) -> list[VenueOrder]:
        table = venue_orders
        wanted = _matching(table, account, query)
        if query.rolled_up:
            parent = table.alias("parent")
            shown = _matching(parent, account, query)
            wanted.append(~sa.exists().where(parent.c.order_id == table.c.parent_id, *shown))
        keys = (table.c.submitted_at, table.c.number)
        found = sa.select(table).where(*wanted).order_by(*(key if query.ascending else key.desc() for key in keys))
        return [order_of(row) for row in connection.execute(found.limit(query.limit))]

    def executions(
        self, connection: sa.Connection, account: str, first: datetime, last: datetime, newest: int | None = None
    ) -> list[Execution]:
        """Executions from `first` to `last`, both included; of one that was corrected, the last version.

        Oldest first; with `newest`, the last so many of them alone.
        """
        table, later = venue_executions, venue_executions.alias("later")
        is_corrected = sa.exists().where(
            later.c.account == account,
            later.c.execution_id == table.c.execution_id,
            later.c.correction > table.c.correction,
        )
        query = sa.select(table).where(table.c.account == account, table.c["at"].between(first, last), ~is_corrected)
        rows = connection.execute(query.order_by(table.c["at"].desc(), table.c.number.desc()).limit(newest))
        return [execution_of(row) for row in reversed(rows.all())]

    def execution(self, connection: sa.Connection, account: str, execution_id: str) -> Execution | None:
        table = venue_executions
        query = sa.select(table).where(table.c.account == account, table.c.execution_id == execution_id)
        row = connection.execute(query.order_by(table.c.correction.desc()).limit(1)).one_or_none()
        return None if row is None else execution_of(row)

    def activities(self, connection: sa.Connection, account: str, first: date, last: date) -> list[NonTrade]:
        table = venue_activities
        query = sa.select(table).where(table.c.account == account, table.c.session.between(first, last))
        return [activity_of(row) for row in connection.execute(query.order_by(table.c.number))]

    def first_fills(self, connection: sa.Connection, account: str) -> dict[str, date]:
        """Session of the first fill of every instrument that the account has traded."""
        return {row.symbol: row.first for row in connection.execute(_FIRST_FILLS, {"wanted": account})}

    def past(
        self, connection: sa.Connection, account: str, symbols: Collection[str]
    ) -> tuple[list[Execution], list[NonTrade]]:
        """Every execution and activity of some symbols; of a corrected execution, the last version."""
        table, other = venue_executions, venue_activities
        fills = sa.select(table).where(table.c.account == account, table.c.symbol.in_(symbols))
        rows = connection.execute(fills.order_by(table.c.number, table.c.correction))
        executions = list({row.execution_id: execution_of(row) for row in rows}.values())
        moves = sa.select(other).where(other.c.account == account, other.c.symbol.in_(symbols))
        return executions, [activity_of(row) for row in connection.execute(moves.order_by(other.c.number))]

    def halts(self, market: str) -> list[tuple[str, datetime, datetime | None]]:
        """Symbol, since when, and until when of every halt that there ever was."""
        table = venue_halts
        with self.read() as connection:
            rows = connection.execute(sa.select(table).where(table.c.market == market).order_by(table.c.since))
            return [(row.symbol, row.since, row.until) for row in rows]

    def halt(self, market: str, symbol: str, since: datetime) -> None:
        table = venue_halts
        running = (table.c.market == market, table.c.symbol == symbol, table.c.until.is_(None))
        with self.change() as connection:
            if connection.execute(sa.select(table).where(*running)).first() is None:
                upsert(connection, table, [{"market": market, "symbol": symbol, "since": since, "until": None}])

    def resume(self, market: str, symbol: str, until: datetime) -> None:
        table = venue_halts
        running = (table.c.market == market, table.c.symbol == symbol, table.c.until.is_(None))
        with self.change() as connection:
            connection.execute(sa.update(table).where(*running).values(until=until))

    def _row(self, connection: sa.Connection, account: str, *, lock: bool) -> Any:
        return connection.execute(_LOCK_ACCOUNT if lock else _ACCOUNT, {"wanted": account}).one_or_none()

    def _one(self, connection: sa.Connection, account: str, condition: sa.ColumnElement[bool]) -> VenueOrder | None:
        row = connection.execute(
            sa.select(venue_orders).where(venue_orders.c.account == account, condition)
        ).one_or_none()
        return None if row is None else order_of(row)

    def _open_orders(self, connection: sa.Connection, account: str) -> list[VenueOrder]:
        table = venue_orders
        query = sa.select(table).where(table.c.account == account, table.c.status.in_(_OPEN))
        # Sorted here: asked for it, SQLite would go through all orders there are in the order of their numbers.
        return sorted((order_of(row) for row in connection.execute(query)), key=lambda order: order.number)

    def _taken(self, connection: sa.Connection, account: str, session: date) -> dict[str, Decimal]:
        table = venue_executions
        query = sa.select(table.c.symbol, table.c.qty).where(
            table.c.account == account, table.c.session == session, table.c.correction == 1
        )
        taken: dict[str, Decimal] = {}
        for symbol, qty in connection.execute(query):
            taken[symbol] = taken.get(symbol, ZERO) + qty
        return taken

    def _save_positions(
        self,
        connection: sa.Connection,
        account: str,
        before: Mapping[str, Holding],
        after: Mapping[str, Holding],
    ) -> None:
        table = venue_positions
        gone = [symbol for symbol in before if symbol not in after]
        if gone:
            connection.execute(sa.delete(table).where(table.c.account == account, table.c.symbol.in_(gone)))
        changed = [row for symbol, row in after.items() if before.get(symbol) != row]
        upsert(connection, table, [{"account": account, **asdict(row)} for row in changed])


def _matching(table: sa.FromClause, account: str, query: OrderQuery) -> list[sa.ColumnElement[bool]]:
    """What the rows of a query have in common, `limit` and `rolled_up` apart."""
    columns = table.c
    wanted = [columns.account == account]
    if query.state != "all":
        among = columns.status.in_(_OPEN)
        wanted.append(among if query.state == "open" else sa.not_(among))
    if query.after is not None:
        wanted.append(columns.submitted_at > query.after)
    if query.until is not None:
        wanted.append(columns.submitted_at < query.until)
    if query.symbols:
        wanted.append(columns.symbol.in_(query.symbols))
    if query.side is not None:
        wanted.append(columns.side == query.side.value)
    if query.parents:
        wanted.append(columns.parent_id.in_(query.parents))
    if query.above is not None:
        at, number = query.above
        wanted.append((columns.submitted_at > at) | ((columns.submitted_at == at) & (columns.number > number)))
    if query.below is not None:
        at, number = query.below
        wanted.append((columns.submitted_at < at) | ((columns.submitted_at == at) & (columns.number < number)))
    return wanted


def _account_row(state: VenueState) -> dict[str, Any]:
    row = {name: getattr(state, name) for name in _MONEY_FIELDS}
    return {**row, "house": state.house.value, "settings": settings_json(state.settings)}


def _event_rows(books: VenueBooks) -> Sequence[dict[str, Any]]:
    return [
        {
            "account": books.account,
            "number": event.number,
            "kind": event.kind.value,
            "at": event.at,
            "order_id": event.order.order_id,
            "execution_id": None if event.execution is None else event.execution.execution_id,
        }
        for event in books.events
    ]
