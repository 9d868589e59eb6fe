"""Versions of an execution: a correction and a bust supersede the row before, which stays."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trades") as table:
        table.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
        table.drop_constraint("pk_trades", type_="primary")
        table.create_primary_key("pk_trades", ["account", "fill_id", "version"])
    with op.batch_alter_table("trades") as table:
        table.alter_column("version", server_default=None)
        table.alter_column("revision", server_default=None)
    op.create_index(op.f("ix_trades_version"), "trades", ["version"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_trades_version"), table_name="trades")
    # The older schema knows one row of each execution: the one that counts.
    op.execute(
        "DELETE FROM trades WHERE EXISTS (SELECT 1 FROM trades AS later WHERE later.account = trades.account "
        "AND later.fill_id = trades.fill_id AND later.version > trades.version)"
    )
    with op.batch_alter_table("trades") as table:
        table.drop_constraint("pk_trades", type_="primary")
        table.create_primary_key("pk_trades", ["account", "fill_id"])
        table.drop_column("revision")
        table.drop_column("version")
