"""The exchange's books in the ledger's database: tables `paper_*`, and nothing else.

What belongs here: loading books and writing what one operation changed. What does not: what the
operation is (`engine`), and when it runs (`exchange`).

A change is one transaction that takes the write lock first (BEGIN IMMEDIATE on SQLite, the locked
account row on Postgres), so that a kill leaves the books as they were before it or after it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from scizor_dagster.brokers.protocol import OrderStatus, Side
from scizor_dagster.errors import WrongAccount
from scizor_dagster.ledger.paper_tables import (
    paper_accounts,
    paper_activities,
    paper_fills,
    paper_orders,
    paper_positions,
)
from scizor_dagster.paper_exchange.late import History
from scizor_dagster.paper_exchange.model import Activity, Fill, Order, Position, Role, State, StepKind, Transition

# Built once: an order takes each of them several times.
_ACCOUNT = sa.select(paper_accounts).where(paper_accounts.c.account == sa.bindparam("wanted"))
_LOCK_ACCOUNT = _ACCOUNT.with_for_update()
_UPDATE_ACCOUNT = paper_accounts.update().where(paper_accounts.c.account == sa.bindparam("wanted"))
_FIND = sa.select(paper_orders).where(
    paper_orders.c.account == sa.bindparam("wanted"), paper_orders.c.client_order_id == sa.bindparam("id")
)
_OPEN = [status.value for status in OrderStatus if not status.terminal]


def first_fills_of(fills: sa.Table) -> sa.Select[Any]:
    """Selects `symbol` and the `first` session of every instrument that the account `wanted` has a row of.

    It leaps from symbol to symbol in the index: grouping would read every row there is.
    """
    of_account = fills.c.account == sa.bindparam("wanted")
    names = sa.select(sa.func.min(fills.c.symbol).label("symbol")).where(of_account).cte("names", recursive=True)
    following = sa.select(sa.func.min(fills.c.symbol)).where(of_account, fills.c.symbol > names.c.symbol)
    names = names.union_all(sa.select(following.scalar_subquery()).where(names.c.symbol.is_not(None)))
    first = sa.select(sa.func.min(fills.c.session)).where(of_account, fills.c.symbol == names.c.symbol)
    return sa.select(names.c.symbol, first.scalar_subquery().label("first")).where(names.c.symbol.is_not(None))


_FIRST_FILLS = first_fills_of(paper_fills)


class Database(Protocol):
    """What the store needs of the ledger: a write transaction and a consistent read."""

    def transaction(self) -> AbstractContextManager[sa.Connection]: ...

    def read(self) -> AbstractContextManager[sa.Connection]: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """The account as it is created on first use."""

    account: str
    currency: str
    cash: Decimal


class BookStore:
    """Books of one account. Keeps the last loaded state and reloads it only when the rows have moved on."""

    def __init__(self, database: Database, opening: Opening) -> None:
        self._database = database
        self._opening = opening
        self._cached: State | None = None

    def change(self) -> AbstractContextManager[sa.Connection]:
        """One write transaction: committed when the block ends, rolled back when it raises."""
        return self._database.transaction()

    def read(self) -> AbstractContextManager[sa.Connection]:
        return self._database.read()

    def state(self) -> State:
        """The committed books; the account is created when it does not exist.

        Raises:
            WrongAccount: it was opened with another deposit or in another currency.
        """
        with self.read() as connection:
            state = self._load(connection, lock=False)
        if state is not None:
            return state
        with self.change() as connection:
            return self.locked(connection)

    def locked(self, connection: sa.Connection) -> State:
        """The books within a write transaction: nobody else changes them until it ends."""
        state = self._load(connection, lock=True)
        if state is None:
            connection.execute(_insert_account(connection, self._opening))
            state = self._load(connection, lock=True)
            assert state is not None
        return state

    def save(self, connection: sa.Connection, transition: Transition) -> None:
        """Write what changed. The books in memory move on only when a later read finds them committed."""
        account = self._opening.account
        after = transition.after
        money = {"cash": after.cash, "session": after.session, "step": after.step, "next_number": after.next_number}
        connection.execute(_UPDATE_ACCOUNT, {**money, "wanted": account})
        upsert(connection, paper_orders, [_order_row(account, order) for order in transition.orders])
        if transition.fills:
            connection.execute(sa.insert(paper_fills), [_fill_row(account, fill) for fill in transition.fills])
        if transition.activities:
            connection.execute(
                sa.insert(paper_activities), [_activity_row(account, row) for row in transition.activities]
            )
        self._save_positions(connection, transition)

    def remember(self, state: State) -> None:
        """Keep committed books for the next operation; their number tells whether they are still current."""
        self._cached = state

    def find(self, connection: sa.Connection, client_order_id: str) -> Order | None:
        row = connection.execute(_FIND, {"wanted": self._opening.account, "id": client_order_id}).one_or_none()
        return None if row is None else _order(row)

    def orders(self, connection: sa.Connection, session: date) -> list[Order]:
        return self._orders(connection, paper_orders.c.session == session)

    def fills(self, connection: sa.Connection, first: date, last: date) -> list[Fill]:
        return self._fills(connection, paper_fills.c.session.between(first, last))

    def _fills(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Fill]:
        query = sa.select(paper_fills).where(paper_fills.c.account == self._opening.account, condition)
        fills = [
            Fill(
                row.fill_id,
                row.client_order_id,
                row.symbol,
                Side(row.side),
                row.qty,
                row.price,
                row.fee,
                row.session,
                row.executed_at,
            )
            for row in connection.execute(query)
        ]
        return sorted(fills, key=lambda fill: _number(fill.fill_id))

    def activities(self, connection: sa.Connection, first: date, last: date) -> list[Activity]:
        return self._activities(connection, paper_activities.c.session.between(first, last))

    def _activities(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Activity]:
        query = sa.select(paper_activities).where(paper_activities.c.account == self._opening.account, condition)
        activities = [
            Activity(
                row.activity_id,
                row.kind,
                row.session,
                row.symbol,
                row.amount,
                row.qty_factor,
                row.description,
            )
            for row in connection.execute(query)
        ]
        return sorted(activities, key=lambda activity: _number(activity.activity_id))

    def first_fills(self, connection: sa.Connection) -> dict[str, date]:
        """Session of the first fill of every instrument that the account has traded."""
        rows = connection.execute(_FIRST_FILLS, {"wanted": self._opening.account})
        return {row.symbol: row.first for row in rows}

    def trades_since(
        self, connection: sa.Connection, symbols: Collection[str], first: date
    ) -> list[tuple[str, date, Decimal]]:
        """Symbol, session and signed quantity of the fills of `symbols` from the session `first` on."""
        table = paper_fills
        query = sa.select(table.c.symbol, table.c.session, table.c.side, table.c.qty).where(
            table.c.account == self._opening.account, table.c.session >= first, table.c.symbol.in_(symbols)
        )
        return [(symbol, session, Side(side).sign * qty) for symbol, session, side, qty in connection.execute(query)]

    def histories(self, connection: sa.Connection, symbols: Collection[str]) -> dict[str, History]:
        """Everything that the books of `symbols` add up to."""
        fills = self._fills(connection, paper_fills.c.symbol.in_(symbols))
        activities = self._activities(connection, paper_activities.c.symbol.in_(symbols))
        return {
            symbol: History(
                tuple(row for row in fills if row.symbol == symbol),
                tuple(row for row in activities if row.symbol == symbol),
            )
            for symbol in symbols
        }

    def _load(self, connection: sa.Connection, *, lock: bool) -> State | None:
        query = _LOCK_ACCOUNT if lock else _ACCOUNT
        row = connection.execute(query, {"wanted": self._opening.account}).one_or_none()
        if row is None:
            return None
        self._require_same_opening(row)
        if self._cached is not None and self._cached.next_number == row.next_number:
            return self._cached
        table = paper_positions
        positions = connection.execute(sa.select(table).where(table.c.account == row.account).order_by(table.c.symbol))
        opened = self._orders(connection, paper_orders.c.status.in_(_OPEN))
        return State(
            account=row.account,
            currency=row.currency,
            cash=row.cash,
            session=row.session,
            step=row.step,
            next_number=row.next_number,
            positions={
                line.symbol: Position(line.symbol, line.qty, line.average_price, line.last_price) for line in positions
            },
            orders={order.client_order_id: order for order in opened},
        )

    def _require_same_opening(self, row: Any) -> None:
        opening = self._opening
        if (row.deposit, row.currency) != (opening.cash, opening.currency):
            raise WrongAccount(
                f"Account '{row.account}' was opened with {row.deposit:,.2f} {row.currency}, and the configuration "
                f"now says {opening.cash:,.2f} {opening.currency}.",
                remedy="Set its initial_cash back, or name a new account: one that has been opened keeps its deposit.",
                where=f"accounts.{row.account}",
                limit="account_opening",
                value=f"{row.deposit:f} {row.currency}",
                threshold=f"{opening.cash:f} {opening.currency}",
            )

    def _orders(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Order]:
        query = sa.select(paper_orders).where(paper_orders.c.account == self._opening.account, condition)
        # Sorted here: asked for it, SQLite would go through all orders there are in the order of their numbers.
        return sorted((_order(row) for row in connection.execute(query)), key=lambda order: order.number)

    def _save_positions(self, connection: sa.Connection, transition: Transition) -> None:
        before, after = transition.before.positions, transition.after.positions
        account = self._opening.account
        gone = [symbol for symbol in before if symbol not in after]
        if gone:
            connection.execute(
                sa.delete(paper_positions).where(
                    paper_positions.c.account == account, paper_positions.c.symbol.in_(gone)
                )
            )
        changed = [row for symbol, row in after.items() if before.get(symbol) != row]
        upsert(
            connection,
            paper_positions,
            [
                {
                    "account": account,
                    "symbol": row.symbol,
                    "qty": row.qty,
                    "average_price": row.average_price,
                    "last_price": row.last_price,
                }
                for row in changed
            ],
        )


def _insert_account(connection: sa.Connection, opening: Opening) -> sa.Executable:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "account": opening.account,
        "currency": opening.currency,
        "deposit": opening.cash,
        "cash": opening.cash,
        "session": None,
        "step": 0,
        "next_number": 1,
    }
    return insert(paper_accounts).values(**values).on_conflict_do_nothing()


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_upsert_statement(table, connection.dialect.name), list(rows))


@cache
def _upsert_statement(table: sa.Table, dialect: str) -> sa.Executable:
    """Rows have every column of the table."""
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


def _number(identifier: str) -> int:
    """The running number within `{account}-F{number}` and its kin."""
    return int(identifier.rsplit("-", 1)[1][1:])


def _order(row: Any) -> Order:
    return Order(
        number=row.number,
        client_order_id=row.client_order_id,
        broker_order_id=row.broker_order_id,
        symbol=row.symbol,
        side=Side(row.side),
        qty=row.qty,
        kind=StepKind(row.order_type),
        role=Role(row.role),
        session=row.session,
        status=OrderStatus(row.status),
        submitted_at=row.submitted_at,
        updated_at=row.updated_at,
        filled_qty=row.filled_qty,
        average_price=row.average_price,
        parent=row.parent,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        take_profit=row.take_profit,
        stop_loss=row.stop_loss,
        reason=row.reason,
    )


def _order_row(account: str, order: Order) -> dict[str, Any]:
    return {
        "account": account,
        "client_order_id": order.client_order_id,
        "number": order.number,
        "broker_order_id": order.broker_order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "qty": order.qty,
        "filled_qty": order.filled_qty,
        "average_price": order.average_price,
        "order_type": order.kind.value,
        "role": order.role.value,
        "parent": order.parent,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "take_profit": order.take_profit,
        "stop_loss": order.stop_loss,
        "session": order.session,
        "status": order.status.value,
        "reason": order.reason,
        "submitted_at": order.submitted_at,
        "updated_at": order.updated_at,
    }


def _fill_row(account: str, fill: Fill) -> dict[str, Any]:
    return {
        "account": account,
        "fill_id": fill.fill_id,
        "client_order_id": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "qty": fill.qty,
        "price": fill.price,
        "fee": fill.fee,
        "session": fill.session,
        "executed_at": fill.executed_at,
    }


def _activity_row(account: str, row: Activity) -> dict[str, Any]:
    return {
        "account": account,
        "activity_id": row.activity_id,
        "kind": row.kind,
        "session": row.session,
        "symbol": row.symbol,
        "amount": row.amount,
        "qty_factor": row.qty_factor,
        "description": row.description,
    }
