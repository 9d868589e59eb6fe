"""Open breaks, and the days whose books are closed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

EXACT = sa.String(60).with_variant(sa.Numeric(), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "breaks",
        sa.Column("break_id", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=True),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("found_in", sa.String(length=8), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("break_class", sa.String(length=24), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("client_order_id", sa.String(length=128), nullable=True),
        sa.Column("locks", sa.String(length=16), nullable=False),
        sa.Column("qty", EXACT, nullable=True),
        sa.Column("amount", EXACT, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("value", EXACT, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("cleared_at", INSTANT, nullable=True),
        sa.Column("cleared_by", sa.String(length=64), nullable=True),
        sa.Column("clear_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("break_id", name=op.f("pk_breaks")),
    )
    op.create_index(op.f("ix_breaks_account_cleared_at"), "breaks", ["account", "cleared_at"], unique=False)
    op.create_table(
        "reconciled_days",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("portfolio", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("first_at", INSTANT, nullable=True),
        sa.Column("second_at", INSTANT, nullable=True),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("account", "portfolio", "session", name=op.f("pk_reconciled_days")),
    )


def downgrade() -> None:
    op.drop_table("reconciled_days")
    op.drop_table("breaks")
