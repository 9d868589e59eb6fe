"""The ledger's rows as frozen values, and the plain reads that return them.

What belongs here: one dataclass per table that others read, and selections without arithmetic.
What does not: changes (`batches`, `intents`) and what the rows add up to (`holdings`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.ledger.states import AT_BROKER, BatchState, IntentState
from scizor_dagster.ledger.tables import (
    activities,
    batches,
    orders,
    releases,
    trades,
)
from scizor_dagster.planning.model import MANUAL

_CHUNK = 500
_later = trades.alias("later")
STANDING = sa.tuple_(trades.c.account, trades.c.fill_id, trades.c.version).not_in(
    # Few executions are ever corrected, and the index on `version` finds them: nothing is looked up row by row.
    sa.select(_later.c.account, _later.c.fill_id, _later.c.version - 1).where(_later.c.version > 1)
)
"""What selects, of each execution in `trades`, the version that counts."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One admitted plan. `starting_cash` is the portfolio's cash before its first flow.

    The last six say under whose arming and approval it was admitted; None where it needed none.
    """

    batch_id: str
    account: str
    portfolio: str
    session: date
    batch: int
    plan_id: str
    origin: str
    state: BatchState
    cash_buffer: Decimal
    starting_cash: Decimal
    created_at: datetime
    updated_at: datetime
    armed_by: str | None = None
    armed_at: datetime | None = None
    armed_until: datetime | None = None
    max_notional: Decimal | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None

    @property
    def by_hand(self) -> bool:
        """Whether it is a manual order, and no rebalance."""
        return self.origin == MANUAL

    @property
    def permitted(self) -> tuple[str, ...]:
        """Who armed and who approved it, in words; empty where it needed nobody."""
        said = []
        if self.armed_at is not None and self.armed_until is not None:
            said.append(
                f"armed by {self.armed_by} at {self.armed_at.isoformat(timespec='seconds')} until "
                f"{self.armed_until.isoformat(timespec='seconds')} for {self.max_notional:,.2f}"
            )
        if self.approved_at is not None:
            said.append(f"approved by {self.approved_by} at {self.approved_at.isoformat(timespec='seconds')}")
        return tuple(said)


@dataclass(frozen=True, slots=True)
class IntentRow:
    """One order as it is meant, and how far it has come.

    Attributes:
        final_qty: What is sent; None until the batch is released. Unsigned shares, as `planned_qty`.
        filled_qty: Sum of the recorded fills of this order.
        parameter_hash: SHA-256 over everything that is sent; None as long as `final_qty` is.
        cleared_hash: The parameter hash that passed the pre-trade checks last.
    """

    client_order_id: str
    batch_id: str
    account: str
    portfolio: str
    session: date
    position: int
    symbol: str
    instrument_id: str
    side: Side
    planned_qty: Decimal
    final_qty: Decimal | None
    order_type: OrderType
    time_in_force: TimeInForce
    intent: PositionIntent
    limit_price: Decimal | None
    take_profit: Decimal | None
    stop_loss: Decimal | None
    price_used: Decimal
    leg: int
    slice: int
    phase: int
    depends_on: tuple[str, ...]
    parameter_hash: str | None
    cleared_hash: str | None
    state: IntentState
    reason: str
    broker_order_id: str | None
    filled_qty: Decimal
    updated_at: datetime

    @property
    def qty(self) -> Decimal:
        """The quantity that counts now: the final one where it is known."""
        return self.planned_qty if self.final_qty is None else self.final_qty

    @property
    def notional(self) -> Decimal:
        """`qty` at the price that sized it, in the instrument's currency."""
        return self.qty * self.price_used

    @property
    def filled_whole(self) -> bool:
        """Whether all that was planned has filled, not only what a release left of it."""
        return self.state is IntentState.FILLED and self.filled_qty >= self.planned_qty


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """The one release of a batch's second phase."""

    batch_id: str
    factor: Decimal
    cash: Decimal
    needed: Decimal
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FillRow:
    """One execution as it stands; one that was taken back has the quantity zero.

    Attributes:
        portfolio: None for an order that is not ours.
        version: Number of the row among those of the same execution, from 1: each supersedes the one before it.
        revision: The broker's number of the correction.
    """

    account: str
    fill_id: str
    portfolio: str | None
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    session: date
    executed_at: datetime
    recorded_at: datetime
    version: int = 1
    revision: int = 1

    @property
    def signed_qty(self) -> Decimal:
        return self.qty * self.side.sign

    @property
    def cash(self) -> Decimal:
        """What it did to the cash: negative for a buy, the fee taken off."""
        return -self.signed_qty * self.price - self.fee


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """A change of cash or quantity without a trade; see `brokers.protocol.BrokerActivity`."""

    account: str
    activity_id: str
    kind: str
    session: date
    symbol: str | None
    amount: Decimal
    qty_factor: Decimal | None
    description: str
    recorded_at: datetime


_TYPES: dict[str, Any] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "intent": PositionIntent,
    "depends_on": tuple,
}
_STATES: dict[type, Any] = {BatchRow: BatchState, IntentRow: IntentState}
R = TypeVar("R", BatchRow, IntentRow, FillRow, ActivityRow, ReleaseRow)


_FIELDS: dict[type, list[tuple[str, Any]]] = {
    kind: [(field.name, {**_TYPES, "state": _STATES.get(kind)}.get(field.name)) for field in fields(kind)]
    for kind in (BatchRow, IntentRow, FillRow, ActivityRow, ReleaseRow)
}
"""Column names of each row type, each with what its value becomes, or None."""


def _row(kind: type[R], row: Any) -> R:
    values = row._mapping
    return kind(*[values[name] if to is None else to(values[name]) for name, to in _FIELDS[kind]])


def _rows(
    connection: sa.Connection, kind: type[R], statement: sa.Select[Any], values: Mapping[str, Any] | None = None
) -> list[R]:
    return [_row(kind, row) for row in connection.execute(statement, values)]


# Built once: these are read for every order, and building a statement costs more than running it.
_INTENTS_OF = sa.select(orders).where(orders.c.batch_id == sa.bindparam("batch_id")).order_by(orders.c.position)
_INTENTS_IN = (
    sa.select(orders)
    .where(orders.c.account == sa.bindparam("account"), orders.c.state.in_(sa.bindparam("states", expanding=True)))
    .order_by(orders.c.session, orders.c.batch_id, orders.c.position)
)
_INTENTS_OF_SESSION = (
    sa.select(orders)
    .join(batches, orders.c.batch_id == batches.c.batch_id)
    .where(batches.c.account == sa.bindparam("account"), batches.c.session == sa.bindparam("session"))
    .order_by(orders.c.batch_id, orders.c.position)
)
_INTENTS_BY_ID = sa.select(orders).where(orders.c.client_order_id.in_(sa.bindparam("ids", expanding=True)))
_BATCH = sa.select(batches).where(batches.c.batch_id == sa.bindparam("batch_id"))
_BATCHES_IN = sa.select(batches).where(
    batches.c.account == sa.bindparam("account"), batches.c.state.in_(sa.bindparam("states", expanding=True))
)
_RELEASE = sa.select(releases).where(releases.c.batch_id == sa.bindparam("batch_id"))
_OPEN = [state.value for state in BatchState if state.open]


def _between(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    sessions = table.c.session.between(sa.bindparam("first"), sa.bindparam("last"))
    return sa.select(table).where(table.c.account == sa.bindparam("account"), sessions, *conditions)


_MINE = batches.c.portfolio == sa.bindparam("portfolio")
_BATCHES = _between(batches, _MINE).order_by(batches.c.session, batches.c.batch)
_FIRST_BATCH = _BATCHES.limit(1)
_LATEST = (batches.c.session.desc(), batches.c.batch.desc())
_LAST_BATCH = _between(batches, _MINE).order_by(*_LATEST).limit(1)
_LAST_REBALANCE = _between(batches, _MINE, batches.c.origin != MANUAL).order_by(*_LATEST).limit(1)
_FILLS = _between(trades, STANDING).order_by(trades.c.session, trades.c.executed_at, trades.c.fill_id)
_FILLS_IN = sa.select(trades).where(trades.c.account == sa.bindparam("account"), STANDING)
_FILLS_FOR = _FILLS_IN.where(trades.c.client_order_id.in_(sa.bindparam("ids", expanding=True))).order_by(
    trades.c.executed_at, trades.c.fill_id
)
_FILLS_BY_ID = _FILLS_IN.where(trades.c.fill_id.in_(sa.bindparam("ids", expanding=True)))
_ACTIVITIES = _between(activities).order_by(activities.c.session, activities.c.activity_id)


def batch_by_id(connection: sa.Connection, batch_id: str) -> BatchRow | None:
    found = _rows(connection, BatchRow, _BATCH, {"batch_id": batch_id})
    return found[0] if found else None


def batches_of(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date | None = None,
    *,
    first: date = date.min,
    last: date = date.max,
) -> list[BatchRow]:
    """Every batch of the portfolio by session and number: in one session, from `first` to `last`, or in all."""
    key = {"account": account, "portfolio": portfolio, "first": session or first, "last": session or last}
    return _rows(connection, BatchRow, _BATCHES, key)


def last_batch_of(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    *,
    before: date | None = None,
    by_hand: bool = True,
) -> BatchRow | None:
    """The latest batch of the portfolio, or None; with `before`, of the sessions before that one.

    Without `by_hand`, manual orders do not count.
    """
    last = date.max if before is None else before - timedelta(days=1)
    key = {"account": account, "portfolio": portfolio, "first": date.min, "last": last}
    found = _rows(connection, BatchRow, _LAST_BATCH if by_hand else _LAST_REBALANCE, key)
    return found[0] if found else None


def first_batch_of(connection: sa.Connection, account: str, portfolio: str) -> BatchRow | None:
    """The first batch that was ever admitted for the portfolio on the account, or None."""
    key = {"account": account, "portfolio": portfolio, "first": date.min, "last": date.max}
    found = _rows(connection, BatchRow, _FIRST_BATCH, key)
    return found[0] if found else None


def batch_of(connection: sa.Connection, account: str, portfolio: str, session: date) -> BatchRow | None:
    """The latest batch of the portfolio in the session that is no manual order, or None."""
    found = [row for row in batches_of(connection, account, portfolio, session) if not row.by_hand]
    return found[-1] if found else None


def open_batches(connection: sa.Connection, account: str) -> list[BatchRow]:
    """Batches of every portfolio on the account that have not ended, oldest first."""
    mine = _rows(connection, BatchRow, _BATCHES_IN, {"account": account, "states": _OPEN})
    # Sorted here: asked for it, SQLite would go through all batches there are in the order of their sessions.
    return sorted(mine, key=lambda row: (row.session, row.portfolio, row.batch))


def intents_of(connection: sa.Connection, batch_id: str) -> list[IntentRow]:
    """The batch's intents in plan order."""
    return _rows(connection, IntentRow, _INTENTS_OF, {"batch_id": batch_id})


def intents_in(connection: sa.Connection, account: str, states: Collection[IntentState]) -> list[IntentRow]:
    """The account's intents in any of `states`, whatever batch they belong to."""
    key = {"account": account, "states": [state.value for state in states]}
    return _rows(connection, IntentRow, _INTENTS_IN, key)


def symbols_at_broker(connection: sa.Connection, account: str) -> frozenset[str]:
    """What the account has orders in that can still fill: what they have filled by now may not be recorded."""
    return frozenset(row.symbol for row in intents_in(connection, account, AT_BROKER))


def intents_of_session(connection: sa.Connection, account: str, session: date) -> list[IntentRow]:
    """The intents of every portfolio of the account in the session."""
    return _rows(connection, IntentRow, _INTENTS_OF_SESSION, {"account": account, "session": session})


def intents_by_id(connection: sa.Connection, client_order_ids: Sequence[str]) -> dict[str, IntentRow]:
    """The intents among `client_order_ids`; foreign ids are simply absent."""
    found: dict[str, IntentRow] = {}
    for chunk in _chunks(sorted(set(client_order_ids))):
        for row in _rows(connection, IntentRow, _INTENTS_BY_ID, {"ids": chunk}):
            found[row.client_order_id] = row
    return found


def release_of(connection: sa.Connection, batch_id: str) -> ReleaseRow | None:
    found = _rows(connection, ReleaseRow, _RELEASE, {"batch_id": batch_id})
    return found[0] if found else None


def fills_of(
    connection: sa.Connection,
    account: str,
    *,
    portfolio: str | None = None,
    first: date = date.min,
    last: date = date.max,
    symbols: Collection[str] | None = None,
) -> list[FillRow]:
    """Recorded fills as they stand, in the order they were executed: of one portfolio, or all with foreign ones.

    `first` and `last` bound the sessions, both included; `symbols` is None for all.
    """
    statement = _FILLS
    if portfolio is not None:
        statement = statement.where(trades.c.portfolio == portfolio)
    if symbols is not None:
        statement = statement.where(trades.c.symbol.in_(symbols))
    return _rows(connection, FillRow, statement, {"account": account, "first": first, "last": last})


def fills_for_orders(
    connection: sa.Connection, account: str, client_order_ids: Collection[str]
) -> dict[str, list[FillRow]]:
    """Recorded fills as they stand by client order id, for the ids that have any."""
    found: dict[str, list[FillRow]] = {}
    for chunk in _chunks(sorted(set(client_order_ids))):
        for row in _rows(connection, FillRow, _FILLS_FOR, {"account": account, "ids": chunk}):
            found.setdefault(row.client_order_id, []).append(row)
    return found


def fills_by_id(connection: sa.Connection, account: str, fill_ids: Collection[str]) -> dict[str, FillRow]:
    """Recorded fills as they stand by their own ids, whatever session they were recorded for."""
    found: dict[str, FillRow] = {}
    for chunk in _chunks(sorted(set(fill_ids))):
        rows = _rows(connection, FillRow, _FILLS_BY_ID, {"account": account, "ids": chunk})
        found |= {row.fill_id: row for row in rows}
    return found


def activities_of(
    connection: sa.Connection, account: str, *, first: date = date.min, last: date = date.max
) -> list[ActivityRow]:
    """Recorded activities of the account by session."""
    return _rows(connection, ActivityRow, _ACTIVITIES, {"account": account, "first": first, "last": last})


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
