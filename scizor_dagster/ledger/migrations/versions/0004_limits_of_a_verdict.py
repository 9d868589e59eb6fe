"""The limits under which a verdict was made."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("risk_events", sa.Column("limits_hash", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("risk_events", "limits_hash")
