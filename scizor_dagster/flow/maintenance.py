"""What of the lake's past is still needed, and the clean-up of the rest.

What belongs here: the retention of earlier states and of plans' inputs. What does not: how files are compacted and
deleted (`lake.maintenance`), and making a plan again for an audit (`replaying`).

A plan is made again from the inputs that stand beside it (`plan_inputs`), not from an old state of the lake, so that
the disk does not grow with the age of the audit. The states that plans from before inputs were kept have read stay
within the audit's years.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.maintenance import GRACE, MaintenanceReport, maintain

PROGRESS = logging.getLogger("scizor.progress")


def maintain_lake(desk: Desk, grace: timedelta = GRACE) -> MaintenanceReport:
    """Expire what `lake.keep_snapshots_days` and `lake.audit_years` let go, compact, and delete what is out of use."""
    now, rules = desk.clock(), desk.config.lake
    begin = _years_before(now, rules.audit_years)
    _forget_inputs(desk, begin)
    return maintain(
        desk.lake,
        now,
        keep_after=now - timedelta(days=rules.keep_snapshots_days),
        needed=_cited(desk, begin),
        grace=grace,
        step=PROGRESS.info,
    )


def _cited(desk: Desk, begin: date) -> frozenset[int]:
    """Earlier states that a plan of the audit's years read and that nothing but they can give back."""
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT DISTINCT lake_snapshot FROM plans ANTI JOIN plan_inputs USING (plan_id) WHERE session >= ?", [begin]
        ).fetchall()
    return frozenset(int(number) for (number,) in rows)


def _forget_inputs(desk: Desk, begin: date) -> None:
    with desk.lake.read() as cursor:
        found = cursor.execute("SELECT 1 FROM plan_inputs WHERE session < ? LIMIT 1", [begin]).fetchone()
    if found is not None:
        with desk.lake.write() as cursor:
            cursor.execute("DELETE FROM plan_inputs WHERE session < ?", [begin])


def _years_before(now: datetime, years: int) -> date:
    today = now.date()
    # The 29th of February has no like in most years.
    return today.replace(year=today.year - years, day=min(today.day, 28))
