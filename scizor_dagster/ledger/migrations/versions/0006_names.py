"""The names that users know: `orders` for what was `intents`, `trades` for what was `fills`."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

EXACT = sa.String(60).with_variant(sa.Numeric(), "postgresql")


def upgrade() -> None:
    _create_orders("orders")
    _create_trades("trades")
    _move("intents", "orders")
    _move("fills", "trades")


def downgrade() -> None:
    _create_orders("intents")
    _create_trades("fills")
    _move("orders", "intents")
    _move("trades", "fills")


def _move(old: str, new: str) -> None:
    # A table made anew has constraints and indexes of its own name; SQLite renames none of an old one's.
    op.execute(f"INSERT INTO {new} SELECT * FROM {old}")
    op.drop_table(old)


def _create_orders(name: str) -> None:
    op.create_table(
        name,
        sa.Column("client_order_id", sa.String(length=48), nullable=False),
        sa.Column("batch_id", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("instrument_id", sa.String(length=48), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("planned_qty", EXACT, nullable=False),
        sa.Column("final_qty", EXACT, nullable=True),
        sa.Column("order_type", sa.String(length=16), nullable=False),
        sa.Column("time_in_force", sa.String(length=8), nullable=False),
        sa.Column("intent", sa.String(length=24), nullable=False),
        sa.Column("limit_price", EXACT, nullable=True),
        sa.Column("take_profit", EXACT, nullable=True),
        sa.Column("stop_loss", EXACT, nullable=True),
        sa.Column("price_used", EXACT, nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("slice", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("depends_on", sa.JSON(), nullable=False),
        sa.Column("parameter_hash", sa.String(length=64), nullable=True),
        sa.Column("cleared_hash", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("broker_order_id", sa.String(length=128), nullable=True),
        sa.Column("filled_qty", EXACT, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.batch_id"], name=op.f(f"fk_{name}_batch_id_batches")),
        sa.PrimaryKeyConstraint("client_order_id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("batch_id", "position", name=op.f(f"uq_{name}_batch_id_position")),
    )
    op.create_index(op.f(f"ix_{name}_account_state"), name, ["account", "state"], unique=False)
    op.create_index(op.f(f"ix_{name}_batch_id"), name, ["batch_id"], unique=False)


def _create_trades(name: str) -> None:
    op.create_table(
        name,
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("fill_id", sa.String(length=128), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=True),
        sa.Column("client_order_id", sa.String(length=128), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("qty", EXACT, nullable=False),
        sa.Column("price", EXACT, nullable=False),
        sa.Column("fee", EXACT, nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "fill_id", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_account_client_order_id"), name, ["account", "client_order_id"], unique=False)
    op.create_index(op.f(f"ix_{name}_portfolio"), name, ["portfolio"], unique=False)
    op.create_index(op.f(f"ix_{name}_session"), name, ["session"], unique=False)
