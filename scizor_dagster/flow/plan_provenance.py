"""A plan's snapshot and code version, which enter into no quantity, against what the ledger has sealed of them.

What belongs here: the rows of `plans` beside the entries that admitted them. What does not: every other number of a
plan, which follows from what it was made from (`replaying`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import duckdb

from scizor_dagster.analytics.replays import Finding, different
from scizor_dagster.errors import DataError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import Sources, opened
from scizor_dagster.planning.frames import PROVENANCE_COLUMNS

_REMARK = "The ledger has sealed what it was when the plan was admitted."


def altered_plans(desk: Desk) -> list[str]:
    """A sentence for each value of a stored plan that is another one than when the plan was admitted.

    An admitted plan that the lake does not hold is none of them: `scizor replay` names it.
    """
    if not desk.has_lake or not desk.has_ledger:
        return []
    query = f"SELECT plan_id, {', '.join(PROVENANCE_COLUMNS)} FROM plans ORDER BY session, plan_id"
    try:
        with opened(desk) as sources:
            return [item.sentence for head in sources.lake_rows(query) for item in provenance_findings(sources, head)]
    except (DataError, duckdb.Error) as unreadable:
        return [f"plans: the lake cannot be read, so that no plan was compared ({unreadable})."]


def provenance_findings(sources: Sources, head: dict[str, Any]) -> Iterator[Finding]:
    """What a row of `plans` has otherwise than the entry that admitted it; nothing where none says."""
    sealed = sources.admitted_provenance.get(head["plan_id"])
    if sealed is not None:
        for item in different("plans", f"plan_id {head['plan_id']}", head, asdict(sealed)):
            yield replace(item, remark=_REMARK)
