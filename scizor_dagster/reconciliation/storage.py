"""Reconciliations in the lake: four tables, replaced together by portfolio and session; both passes are kept.

What belongs here: the rows as they are stored. What does not: making them (`reconcile`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from scizor_dagster.lake.connection import Lake
from scizor_dagster.reconciliation.model import ReconciliationReport

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "reconciliation"
_KEY = "portfolio = ? AND session = ?"
BREAK_COLUMNS = (
    "break_id, stage, kind, break_class, symbol, client_order_id, expected, found, plan, ledger, broker, qty, amount, "
    "currency, value, cause, locks, severity, remedy"
)
"""What a person is shown of a break, in this order."""
_OF_PASS = ("reconciliations", "breaks")
"""Tables that keep what each pass has found; a row without one is of a version that knew no passes."""


def store_reconciliation(lake: Lake, report: ReconciliationReport, now: datetime, *, closed: bool = False) -> None:
    """Write the report in one transaction; an earlier one of the same session and pass is replaced whole.

    `closed` says whether the day's books are closed by now.
    """
    from scizor_dagster.lake.tables import replace_rows

    tables = {
        "reconciliations": _header(report).assign(closed=closed),
        "breaks": report.breaks.assign(account=report.account),
        "order_results": report.order_results,
        "end_of_day_positions": _numbers(report.positions),
    }
    key = [report.portfolio, report.session]
    with lake.write() as cursor:
        for name, frame in tables.items():
            stamped = frame.assign(portfolio=report.portfolio, session=report.session, source=SOURCE, fetched_at=now)
            if name not in _OF_PASS:
                replace_rows(cursor, name, stamped, _KEY, key)
                continue
            which = report.when.which.value
            where = f"{_KEY} AND (pass = ? OR pass IS NULL)"
            replace_rows(cursor, name, stamped.assign(**{"pass": which}), where, [*key, which])


def _header(report: ReconciliationReport) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "account": report.account,
                "state": str(report.state),
                "orders": len(report.order_rows),
                "filled": report.filled_count,
                "working": report.working_count,
                "breaks": report.break_count,
                "summary": report.summary,
                "compared_with": report.when.source.value,
            }
        ]
    )


def _numbers(positions: pd.DataFrame) -> pd.DataFrame:
    """Prices and values as numbers, which the lake keeps as such."""
    return positions.astype({"price": float, "market_value": float})
