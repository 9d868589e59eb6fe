"""Whether a stored plan fits the money: the plan with the rules that it was made with.

What belongs here: reading those rules back. What does not: the sums (`planning.laws`).
"""

from __future__ import annotations

import json
from decimal import Decimal

from scizor_dagster.flow.desk import Desk
from scizor_dagster.planning.laws import BookAfter, book_after
from scizor_dagster.planning.model import Plan


def stored_book_after(desk: Desk, plan: Plan) -> BookAfter:
    """The book that `plan` leads to, held against its own rules: the configuration may have changed since."""
    with desk.lake.read() as cursor:
        found = cursor.execute("SELECT rules FROM plans WHERE plan_id = ?", [plan.plan_id]).fetchone()
    assert found is not None, plan.plan_id
    return book_after(plan, Decimal(json.loads(found[0])["max_total_weight"]))
