"""Checkpoints of an account's books, and indexes by which a session is found however many there were before it.

An index on a session alone is none where a ledger has one account: the session is looked for within the account.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DROPPED = (
    ("trades", ["session"]),
    ("trades", ["portfolio"]),
    ("activities", ["session"]),
    ("risk_locks", ["account", "portfolio"]),
    ("paper_orders", ["session"]),
    ("paper_fills", ["session"]),
    ("paper_activities", ["session"]),
    ("paper_venue_executions", ["session"]),
    ("paper_venue_activities", ["session"]),
)
ADDED = (
    ("batches", ["account", "session"]),
    ("batches", ["account", "state"]),
    ("trades", ["account", "session"]),
    ("trades", ["account", "symbol", "session"]),
    ("events", ["account", "kind"]),
    ("activities", ["account", "session"]),
    ("adoptions", ["account", "session"]),
    ("adoptions", ["account", "symbol", "session"]),
    ("risk_events", ["account", "session"]),
    ("risk_locks", ["account", "portfolio", "until_session"]),
    ("paper_orders", ["account", "session"]),
    ("paper_orders", ["account", "status"]),
    ("paper_fills", ["account", "session"]),
    ("paper_fills", ["account", "symbol", "session"]),
    ("paper_activities", ["account", "session"]),
    ("paper_venue_executions", ["account", "at"]),
    ("paper_venue_executions", ["account", "session"]),
    ("paper_venue_executions", ["account", "symbol", "session"]),
    ("paper_venue_activities", ["account", "session"]),
)


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("books", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("account", "session", name=op.f("pk_checkpoints")),
    )
    for table, columns in DROPPED:
        op.drop_index(_name(table, columns), table_name=table)
    for table, columns in ADDED:
        op.create_index(_name(table, columns), table, columns, unique=False)


def downgrade() -> None:
    for table, columns in ADDED:
        op.drop_index(_name(table, columns), table_name=table)
    for table, columns in DROPPED:
        op.create_index(_name(table, columns), table, columns, unique=False)
    op.drop_table("checkpoints")


def _name(table: str, columns: list[str]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")
