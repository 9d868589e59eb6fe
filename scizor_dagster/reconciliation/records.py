"""What a reconciliation writes into the ledger: its open breaks, what is clear again, and the day.

What belongs here: rows out of a report. What does not: the rows' own rules (`ledger.breaks`, `ledger.days`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger.breaks import BreakRow, Looked, record_breaks
from scizor_dagster.ledger.days import DayRow, record_pass
from scizor_dagster.reconciliation.judging import OF_THE_ACCOUNT
from scizor_dagster.reconciliation.model import (
    Break,
    BreakKind,
    Pass,
    ReconciliationReport,
    Severity,
    Source,
    Stage,
)

_ID_WIDTH = 128
HELD = "positions"
"""What has closed a day, in the history, where its executions were not shown any more."""
_NOT_SHOWN = "the broker shows its session no more, its orders have ended, and positions agree"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written: the day, which breaks are new, and which are clear again."""

    day: DayRow
    opened: tuple[BreakRow, ...]
    cleared: tuple[BreakRow, ...]


def record_report(connection: sa.Connection, report: ReconciliationReport, *, now: datetime) -> Recorded:
    """Write the report's breaks and its pass; a second pass that finds nothing closes the day.

    Where the broker shows the session's executions no more, what is held now closes it, and the history says so.
    The ledger's own word alone neither opens nor clears a break: what the broker says counts.
    """
    opened: list[BreakRow] = []
    cleared: list[BreakRow] = []
    asked = report.when.source is Source.BROKER
    if asked:
        found = [
            row_of(row, report.account, report.portfolio, report.session, report.when.which, now)
            for row in report.break_rows
            if row.severity is Severity.ERROR
        ]
        opened, cleared = record_breaks(connection, _looked(report), found, now=now)
    second = report.when.which is Pass.SECOND
    closes = second and asked and report.when.session_over and not report.break_count and not report.working_count
    parts = (report.account, report.portfolio, report.session)
    by = "" if report.when.fills_shown else HELD
    day = record_pass(connection, *parts, second=second, closes=closes, now=now, by=by)
    return Recorded(day, tuple(opened), tuple(cleared))


def row_of(row: Break, account: str, portfolio: str, session: date, found_in: str, now: datetime) -> BreakRow:
    """A break as the ledger keeps it."""
    return BreakRow(
        break_id=row.break_id,
        account=account,
        portfolio=None if row.kind in OF_THE_ACCOUNT else portfolio,
        session=session,
        found_in=str(found_in),
        stage=row.stage.value,
        kind=row.kind.value,
        break_class=row.break_class.value,
        symbol=row.symbol,
        client_order_id=None if row.client_order_id is None else row.client_order_id[:_ID_WIDTH],
        locks=row.locks.value,
        qty=row.qty,
        amount=row.amount,
        currency=row.currency,
        value=row.value,
        cause=row.cause,
        opened_at=now,
    )


def _looked(report: ReconciliationReport) -> Looked:
    """Cash that could not be compared says nothing of a break that is open, and so what an order is at work in."""
    skipped = {Stage.CASH} if any(row.kind is BreakKind.CASH_NOT_COMPARED for row in report.break_rows) else set()
    of_account = {stage.value for stage in (Stage.POSITIONS, Stage.CASH) if stage not in skipped}
    at_work = {row.symbol for row in report.break_rows if row.symbol and row.severity is Severity.WORKING}
    looked = Looked(
        report.account,
        report.portfolio,
        report.session,
        {stage.value for stage in Stage},
        of_account,
        at_work=at_work,
        accepted={row.break_id for row in report.break_rows if row.break_id and row.severity is not Severity.ERROR},
        # What is accepted of cash holds until cash agrees: each payment changes the amount.
        cash_differs=any(row.kind is BreakKind.CASH_DIFFERS for row in report.break_rows),
    )
    if report.when.fills_shown:
        return looked
    # What a fill has left behind may be behind a position that differs.
    differing = {row.symbol for row in report.break_rows if row.symbol and row.severity is Severity.ERROR}
    return replace(looked, but=at_work | differing, why=_NOT_SHOWN)
