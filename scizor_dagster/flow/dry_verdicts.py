"""What the choke point says of a stored plan now: nothing is admitted, sent or written.

What belongs here: handing a plan to `execution.preview`, and a gate's refusal as an answer. What does not: the gates
and checks, and the dry run of an order by hand (`manual_orders`).
"""

from __future__ import annotations

from dataclasses import replace

from scizor_dagster.errors import InputError, LedgerError, RiskLimitBreached, WrongAccount
from scizor_dagster.execution.preview import preview
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import Parts, execution_parts
from scizor_dagster.ledger.plan_approvals import require_not_carried_out
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.pre_trade import Verdict

CHECK = "check"


def verdicts_on(desk: Desk, plan: Plan) -> tuple[tuple[Verdict, ...], str]:
    """The verdict on each order of the plan, in its order; or none, and the gate that keeps all of it back.

    Raises:
        BrokerUnavailable: the broker cannot be read.
    """
    parts = execution_parts(desk, plan.portfolio, CHECK)
    parts = Parts(**{**parts, "settings": replace(parts["settings"], wait=None)})
    try:
        with desk.ledger.read() as connection:
            require_not_carried_out(connection, plan.account, plan.portfolio, plan.session, plan.plan_id)
        return preview(plan, **parts), ""
    except (InputError, RiskLimitBreached, LedgerError, WrongAccount) as gate:
        return (), str(gate)
