"""The ledger's tables: what cannot be rebuilt.

What belongs here: SQLAlchemy Core tables and their column types. What does not: what may be done
to the rows (`intents`, `lease`, `holdings`, ...) and how the schema is migrated (`migrations/`).

Money and quantity are `Decimal`, stored as text on SQLite (which has no decimal type) and as
NUMERIC on Postgres. Instants are aware and stored in UTC. Tables whose name begins with `paper_`
are the embedded exchange's own books: the broker's side of the story, never read by the order core.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


def exact_text(value: Decimal) -> str:
    """A decimal as the ledger writes it. A zero has no sign: NUMERIC knows none."""
    return format(value or abs(value), "f")


class ExactDecimal(sa.types.TypeDecorator[Decimal]):
    """A `Decimal` that comes back as it went in: text on SQLite, NUMERIC on Postgres."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.String(60) if dialect.name == "sqlite" else sa.Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        assert isinstance(value, Decimal), value
        assert value.is_finite(), value
        return exact_text(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware instant, stored in UTC; a naive one is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        assert value.tzinfo is not None, value
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key(name: str, length: int = 128) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


leases = sa.Table(
    "leases",
    metadata,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=True),
    # Grows with every taking: a holder that lost its lease is told apart from the one that has it.
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    # Whether the holder also has the process lock, which dies with it: free again, the holder is gone.
    sa.Column("advisory", sa.Boolean, nullable=False),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("batch_id", sa.String(128), primary_key=True),
    _key("account", 64),
    _key("portfolio", 64),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("batch", sa.Integer, nullable=False),
    _key("plan_id", 64),
    _key("origin", 16),
    _key("state", 24),
    sa.Column("cash_buffer", ExactDecimal, nullable=False),
    # Cash before the portfolio's first flow, fixed at admission: a later run must release the same.
    sa.Column("starting_cash", ExactDecimal, nullable=False),
    # Under whose arming and whose approval it was admitted; empty where it needed none.
    sa.Column("armed_by", sa.String(64), nullable=True),
    sa.Column("armed_at", Instant, nullable=True),
    sa.Column("armed_until", Instant, nullable=True),
    sa.Column("max_notional", ExactDecimal, nullable=True),
    sa.Column("approved_by", sa.String(64), nullable=True),
    sa.Column("approved_at", Instant, nullable=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("account", "portfolio", "session", "batch"),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "state"),
)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("client_order_id", sa.String(48), primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id"), nullable=False, index=True),
    _key("account", 64),
    _key("portfolio", 64),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    _key("symbol", 32),
    _key("instrument_id", 48),
    _key("side", 8),
    sa.Column("planned_qty", ExactDecimal, nullable=False),
    # Written once: with the intent for phase 1, by the release transaction for phase 2.
    sa.Column("final_qty", ExactDecimal, nullable=True),
    _key("order_type", 16),
    _key("time_in_force", 8),
    _key("intent", 24),
    sa.Column("limit_price", ExactDecimal, nullable=True),
    sa.Column("take_profit", ExactDecimal, nullable=True),
    sa.Column("stop_loss", ExactDecimal, nullable=True),
    sa.Column("price_used", ExactDecimal, nullable=False),
    sa.Column("leg", sa.Integer, nullable=False),
    sa.Column("slice", sa.Integer, nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("depends_on", sa.JSON, nullable=False),
    sa.Column("parameter_hash", sa.String(64), nullable=True),
    # The parameter hash that the last pre-trade verdict passed: nothing is sent without its match.
    sa.Column("cleared_hash", sa.String(64), nullable=True),
    _key("state", 24),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("broker_order_id", sa.String(128), nullable=True),
    sa.Column("filled_qty", ExactDecimal, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("batch_id", "position"),
    sa.Index(None, "account", "state"),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id"), primary_key=True),
    sa.Column("factor", ExactDecimal, nullable=False),
    sa.Column("cash", ExactDecimal, nullable=False),
    sa.Column("needed", ExactDecimal, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    # Append-only; each row's hash covers the one before it, so that an edit shows.
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    _key("account", 64),
    sa.Column("client_order_id", sa.String(48), nullable=True, index=True),
    _key("kind", 32),
    sa.Column("payload", sa.Text, nullable=False),
    # The rows that it changed, as `changes` writes them; empty where it changed none.
    sa.Column("changes", sa.Text, nullable=True),
    _key("previous_hash", 64),
    _key("hash", 64),
    sa.Index(None, "account", "kind"),
)

trades = sa.Table(
    "trades",
    metadata,
    # Append-only: a correction is a further version of the execution, one that was taken back a version of quantity
    # zero. The highest version counts (`ledger.executions.STANDING`).
    _key("account", 64),
    _key("fill_id"),
    sa.Column("version", sa.Integer, nullable=False, autoincrement=False, default=1, index=True),
    # The broker's own number of the correction; 1 where it numbers none.
    sa.Column("revision", sa.Integer, nullable=False, default=1),
    sa.Column("portfolio", sa.String(64), nullable=True),
    _key("client_order_id", 128),
    _key("symbol", 32),
    _key("side", 8),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("price", ExactDecimal, nullable=False),
    sa.Column("fee", ExactDecimal, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("executed_at", Instant, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "fill_id", "version"),
    sa.Index(None, "account", "client_order_id"),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "symbol", "session"),
)

positions = sa.Table(
    "positions",
    metadata,
    # What the trades, adoptions and activities of a portfolio add up to (`holdings`), written along with them.
    _key("account", 64),
    _key("portfolio", 64),
    _key("symbol", 32),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "portfolio", "symbol"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    # What the rows of an account add up to at the end of a session (`checkpoints`): where later sums begin.
    _key("account", 64),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("books", sa.JSON, nullable=False),
    sa.PrimaryKeyConstraint("account", "session"),
)

activities = sa.Table(
    "activities",
    metadata,
    _key("account", 64),
    _key("activity_id"),
    _key("kind", 16),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("symbol", sa.String(32), nullable=True),
    sa.Column("amount", ExactDecimal, nullable=False),
    sa.Column("qty_factor", ExactDecimal, nullable=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "activity_id"),
    sa.Index(None, "account", "session"),
)

adoptions = sa.Table(
    "adoptions",
    metadata,
    # A position handed to a portfolio by a person: the other way, beside fills, to own something.
    sa.Column("adoption_id", sa.String(128), primary_key=True),
    _key("account", 64),
    _key("portfolio", 64),
    _key("symbol", 32),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("price", ExactDecimal, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    _key("actor", 64),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "symbol", "session"),
)

risk_events = sa.Table(
    "risk_events",
    metadata,
    sa.Column("event_id", sa.String(64), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    _key("account", 64),
    _key("portfolio", 64),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("client_order_id", sa.String(48), nullable=True),
    _key("limit_name", 48),
    sa.Column("value", sa.String(64), nullable=False),
    sa.Column("threshold", sa.String(64), nullable=False),
    _key("verdict", 16),
    # Every limit that was looked at, as JSON: limit to value and threshold.
    sa.Column("checked", sa.Text, nullable=True),
    # Hash of the limits in force, as in `risk_limits`; empty in rows of an earlier version.
    sa.Column("limits_hash", sa.String(64), nullable=True),
    sa.Index(None, "account", "session"),
)

risk_limits = sa.Table(
    "risk_limits",
    metadata,
    # The limits in force when the batch was admitted; a limit's value is text, such as `unlimited`.
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id"), nullable=False),
    _key("limit_name", 48),
    sa.Column("value", sa.Text, nullable=False),
    _key("limits_hash", 64),
    sa.PrimaryKeyConstraint("batch_id", "limit_name"),
)

trading_states = sa.Table(
    "trading_states",
    metadata,
    # Append-only; `risk.trading_state` says which rows of an account (portfolio empty) and of a portfolio are in force.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    _key("account", 64),
    sa.Column("portfolio", sa.String(64), nullable=True),
    _key("state", 16),
    sa.Column("reason", sa.Text, nullable=False),
    _key("actor", 64),
    sa.Column("at", Instant, nullable=False),
    sa.Column("until", Instant, nullable=True),
    sa.Column("cancel_open", sa.Boolean, nullable=False),
    # What a machine's row was written for, so that the same finding is one row; empty for a person's.
    sa.Column("cause", sa.String(128), nullable=True),
    sa.UniqueConstraint("account", "portfolio", "cause"),
)

risk_locks = sa.Table(
    "risk_locks",
    metadata,
    sa.Column("lock_id", sa.String(16), primary_key=True),
    _key("account", 64),
    _key("portfolio", 64),
    # Empty: every instrument of the portfolio.
    sa.Column("symbol", sa.String(32), nullable=True),
    _key("kind", 24),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("from_session", sa.Date, nullable=False),
    sa.Column("until_session", sa.Date, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("lifted_at", Instant, nullable=True),
    sa.Column("lifted_by", sa.String(64), nullable=True),
    sa.Column("lift_reason", sa.Text, nullable=True),
    sa.Index(None, "account", "portfolio", "until_session"),
)

accepted_equities = sa.Table(
    "accepted_equities",
    metadata,
    # A person has looked at a jump of the equity before this session and found it right.
    _key("account", 64),
    _key("portfolio", 64),
    sa.Column("session", sa.Date, nullable=False),
    _key("actor", 64),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "portfolio", "session"),
)

account_clocks = sa.Table(
    "account_clocks",
    metadata,
    # Sessions of an account only move forward: this is the last one for which a batch was admitted.
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("session", sa.Date, nullable=False),
)
