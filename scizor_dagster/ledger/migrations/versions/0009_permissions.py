"""Arming by portfolio, approvals of plans, and the states of strategies.

An arming of the account as a whole, as it was before, is not carried over: it named neither a portfolio nor an amount.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

EXACT = sa.String(60).with_variant(sa.Numeric(), "postgresql")
INSTANT = sa.DateTime(timezone=True)
OF_A_BATCH: dict[str, Any] = {
    "armed_by": sa.String(length=64),
    "armed_at": INSTANT,
    "armed_until": INSTANT,
    "max_notional": EXACT,
    "approved_by": sa.String(length=64),
    "approved_at": INSTANT,
}


def upgrade() -> None:
    for name, kind in OF_A_BATCH.items():
        op.add_column("batches", sa.Column(name, kind, nullable=True))
    op.drop_table("arming")
    _create_arming()
    _create_approvals()
    _create_strategies()


def downgrade() -> None:
    for name in ("live_strategies", "strategies", "plan_approvals", "armed_sends", "arming"):
        op.drop_table(name)
    op.create_table(
        "arming",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("broker_account_id", sa.String(length=64), nullable=False),
        sa.Column("environment", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("armed_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_arming")),
    )
    for name in OF_A_BATCH:
        op.drop_column("batches", name)


def _create_arming() -> None:
    op.create_table(
        "arming",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("broker_account_id", sa.String(length=64), nullable=True),
        sa.Column("environment", sa.String(length=16), nullable=True),
        sa.Column("max_notional", EXACT, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_arming")),
    )
    op.create_index(op.f("ix_arming_account_portfolio"), "arming", ["account", "portfolio"], unique=False)
    op.create_table(
        "armed_sends",
        sa.Column("arming", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("client_order_id", sa.String(length=48), nullable=False),
        sa.Column("notional", EXACT, nullable=False),
        sa.Column("total", EXACT, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["arming"], ["arming.number"], name=op.f("fk_armed_sends_arming_arming")),
        sa.PrimaryKeyConstraint("arming", "place", name=op.f("pk_armed_sends")),
        sa.UniqueConstraint("arming", "client_order_id", name=op.f("uq_armed_sends_arming_client_order_id")),
    )


def _create_approvals() -> None:
    op.create_table(
        "plan_approvals",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_plan_approvals")),
    )
    index = op.f("ix_plan_approvals_account_portfolio_session")
    op.create_index(index, "plan_approvals", ["account", "portfolio", "session"], unique=False)


def _create_strategies() -> None:
    op.create_table(
        "strategies",
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("manifest_hash", sa.String(length=64), nullable=False),
        sa.Column("portfolios", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("weights_dated", sa.String(length=16), nullable=False),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.Column("last_seen", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("strategy", "manifest_hash", name=op.f("pk_strategies")),
    )
    op.create_table(
        "live_strategies",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("liquidate", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_live_strategies")),
    )
    op.create_index(
        op.f("ix_live_strategies_account_portfolio"), "live_strategies", ["account", "portfolio"], unique=False
    )
