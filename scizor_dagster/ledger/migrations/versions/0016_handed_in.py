"""Weight files and strategy code that were handed in."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "weight_deliveries",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("file_hash", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_weight_deliveries")),
    )
    op.create_index(
        op.f("ix_weight_deliveries_strategy_file_hash"), "weight_deliveries", ["strategy", "file_hash"], unique=False
    )
    op.create_table(
        "strategy_code",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_strategy_code")),
    )
    op.create_table(
        "strategy_code_verdicts",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_strategy_code_verdicts")),
    )
    op.create_index(
        op.f("ix_strategy_code_verdicts_code_hash"), "strategy_code_verdicts", ["code_hash"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_strategy_code_verdicts_code_hash"), table_name="strategy_code_verdicts")
    op.drop_table("strategy_code_verdicts")
    op.drop_table("strategy_code")
    op.drop_index(op.f("ix_weight_deliveries_strategy_file_hash"), table_name="weight_deliveries")
    op.drop_table("weight_deliveries")
