"""The whole schema: every table, whichever module describes it.

What belongs here: gathering them. Whoever goes through all tables (migrations, replay, backup) takes `metadata` from
here; `tables.metadata` has those of the modules that happen to be imported.
"""

from scizor_dagster.ledger import (
    api_tables,
    approval_tables,
    manual_tables,
    notice_tables,
    paper_tables,
    permission_tables,
    reconciliation_tables,
    strategy_tables,
    venue_tables,
)
from scizor_dagster.ledger.tables import metadata

__all__ = [
    "api_tables",
    "approval_tables",
    "manual_tables",
    "metadata",
    "notice_tables",
    "paper_tables",
    "permission_tables",
    "reconciliation_tables",
    "strategy_tables",
    "venue_tables",
]
