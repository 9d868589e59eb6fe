"""Risk controls: trading states, locks, accepted equities, the limits of a batch, and what a verdict looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("risk_events", sa.Column("checked", sa.Text(), nullable=True))
    op.create_table(
        "risk_limits",
        sa.Column("batch_id", sa.String(length=128), nullable=False),
        sa.Column("limit_name", sa.String(length=48), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("limits_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name=op.f("fk_risk_limits_batch_id_batches")),
        sa.PrimaryKeyConstraint("batch_id", "limit_name", name=op.f("pk_risk_limits")),
    )
    op.create_table(
        "trading_states",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_open", sa.Boolean(), nullable=False),
        sa.Column("cause", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_trading_states")),
        sa.UniqueConstraint("account", "portfolio", "cause", name=op.f("uq_trading_states_account_portfolio_cause")),
    )
    op.create_table(
        "risk_locks",
        sa.Column("lock_id", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("from_session", sa.Date(), nullable=False),
        sa.Column("until_session", sa.Date(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=64), nullable=True),
        sa.Column("lift_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("lock_id", name=op.f("pk_risk_locks")),
    )
    op.create_index(op.f("ix_risk_locks_account_portfolio"), "risk_locks", ["account", "portfolio"], unique=False)
    op.create_table(
        "accepted_equities",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "portfolio", "session", name=op.f("pk_accepted_equities")),
    )


def downgrade() -> None:
    op.drop_table("accepted_equities")
    op.drop_index(op.f("ix_risk_locks_account_portfolio"), table_name="risk_locks")
    op.drop_table("risk_locks")
    op.drop_table("trading_states")
    op.drop_table("risk_limits")
    op.drop_column("risk_events", "checked")
