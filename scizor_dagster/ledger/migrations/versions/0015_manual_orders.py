"""Orders that people place and take back by hand."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "manual_orders",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=128), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("batch_id", sa.String(length=128), nullable=False),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("policy", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name=op.f("fk_manual_orders_batch_id_batches")),
        sa.PrimaryKeyConstraint("account", "idempotency_key", name=op.f("pk_manual_orders")),
        sa.UniqueConstraint("batch_id", name=op.f("uq_manual_orders_batch_id")),
    )
    op.create_index(
        op.f("ix_manual_orders_account_portfolio_session"),
        "manual_orders",
        ["account", "portfolio", "session"],
        unique=False,
    )
    op.create_table(
        "order_cancels",
        sa.Column("client_order_id", sa.String(length=48), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_order_id"], ["orders.client_order_id"], name=op.f("fk_order_cancels_client_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("client_order_id", name=op.f("pk_order_cancels")),
    )


def downgrade() -> None:
    op.drop_table("order_cancels")
    op.drop_index(op.f("ix_manual_orders_account_portfolio_session"), table_name="manual_orders")
    op.drop_table("manual_orders")
