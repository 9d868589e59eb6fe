"""The paper exchange's venue: accounts behind its doors, their orders, executions and events."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
EXACT = sa.String(60).with_variant(sa.Numeric(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "paper_venue_accounts",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("house", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("deposit", EXACT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cash", EXACT, nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_equity", EXACT, nullable=False),
        sa.Column("last_maintenance_margin", EXACT, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("next_order", sa.Integer(), nullable=False),
        sa.Column("next_execution", sa.Integer(), nullable=False),
        sa.Column("next_activity", sa.Integer(), nullable=False),
        sa.Column("next_event", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_paper_venue_accounts")),
    )
    op.create_table(
        "paper_venue_activities",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("activity_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("qty", EXACT, nullable=False),
        sa.Column("per_share", EXACT, nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "activity_id", name=op.f("pk_paper_venue_activities")),
    )
    op.create_index(op.f("ix_paper_venue_activities_session"), "paper_venue_activities", ["session"], unique=False)
    op.create_table(
        "paper_venue_events",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.Column("execution_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("account", "number", name=op.f("pk_paper_venue_events")),
    )
    op.create_table(
        "paper_venue_executions",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("execution_id", sa.String(length=36), nullable=False),
        sa.Column("correction", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("qty", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=False),
        sa.Column("commission", EXACT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("cumulative_qty", EXACT, nullable=False),
        sa.Column("leaves_qty", EXACT, nullable=False),
        sa.Column("position_qty", EXACT, nullable=False),
        sa.Column("realized_pnl", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("account", "execution_id", "correction", name=op.f("pk_paper_venue_executions")),
    )
    op.create_index(op.f("ix_paper_venue_executions_session"), "paper_venue_executions", ["session"], unique=False)
    op.create_table(
        "paper_venue_halts",
        sa.Column("market", sa.String(length=16), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("market", "symbol", "since", name=op.f("pk_paper_venue_halts")),
    )
    op.create_table(
        "paper_venue_orders",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("client_order_id", sa.String(length=128), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("ticket", sa.JSON(), nullable=False),
        sa.Column("qty", EXACT, nullable=True),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent", sa.String(length=24), nullable=False),
        sa.Column("filled_qty", EXACT, nullable=False),
        sa.Column("average_price", EXACT, nullable=True),
        sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_by", sa.String(length=36), nullable=True),
        sa.Column("replaces", sa.String(length=36), nullable=True),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("high_water_mark", EXACT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("live_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("triggered", sa.Boolean(), nullable=False),
        sa.Column("is_stuck", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("account", "order_id", name=op.f("pk_paper_venue_orders")),
        sa.UniqueConstraint("account", "client_order_id", name=op.f("uq_paper_venue_orders_account_client_order_id")),
        sa.UniqueConstraint("account", "number", name=op.f("uq_paper_venue_orders_account_number")),
    )
    op.create_index(
        op.f("ix_paper_venue_orders_account_status"), "paper_venue_orders", ["account", "status"], unique=False
    )
    op.create_table(
        "paper_venue_positions",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("qty", EXACT, nullable=False),
        sa.Column("average_price", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("account", "symbol", name=op.f("pk_paper_venue_positions")),
    )


def downgrade() -> None:
    op.drop_table("paper_venue_positions")
    op.drop_index(op.f("ix_paper_venue_orders_account_status"), table_name="paper_venue_orders")
    op.drop_table("paper_venue_orders")
    op.drop_table("paper_venue_halts")
    op.drop_index(op.f("ix_paper_venue_executions_session"), table_name="paper_venue_executions")
    op.drop_table("paper_venue_executions")
    op.drop_table("paper_venue_events")
    op.drop_index(op.f("ix_paper_venue_activities_session"), table_name="paper_venue_activities")
    op.drop_table("paper_venue_activities")
    op.drop_table("paper_venue_accounts")
