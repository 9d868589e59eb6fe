"""What the choke point says of a plan before anybody admits it: the gates and the verdicts, and nothing written.

What belongs here: asking. What does not: the gates (`gates`, `permissions`), the checks (`risk.pre_trade`), and
carrying a plan out (`executor`), which asks all of them again.
"""

from __future__ import annotations

from collections.abc import Mapping

from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.execution import gates, permissions
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.context import context_of
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger.batches import intents_meant
from scizor_dagster.ledger.lease import DEFAULT_TTL, Lease
from scizor_dagster.ledger.manual_orders import Ask
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.pre_trade import Decision, Verdict, check_order
from scizor_dagster.sessions import Clock

NOBODY = 0
"""Number of a lease that nobody has: whoever wrote with it would be refused."""


def preview(
    plan: Plan,
    *,
    ledger: Ledger,
    broker: Broker,
    account: str,
    portfolio: str,
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    siblings: Mapping[str, ExecutionSettings] | None = None,
    ask: Ask | None = None,
) -> tuple[Verdict, ...]:
    """The verdict on each order of `plan` as of now, in its order. Arguments are those of `executor.execute`.

    Whether a person has approved it is asked where the request is given that would be admitted.

    Raises:
        WrongAccount, RiskLimitBreached, LedgerError: a gate that would keep the plan from being admitted.
        BrokerUnavailable: the broker cannot be read.
    """
    answers = Answers(broker)
    identity = gates.check_identity(answers, settings)
    gates.check_plan(plan, account, portfolio, identity)
    run = Run(
        ledger=ledger,
        broker=answers,
        identity=identity,
        account=account,
        portfolio=portfolio,
        clock=clock,
        settings=settings,
        lease=Lease(account, holder, NOBODY, DEFAULT_TTL, clock),
        siblings=siblings or {},
    )
    gates.check_live_session(run, plan.session)
    state = answers.account()
    gates.check_currency(state, plan)
    gates.check_clock(state, run)
    facts, verdicts = settings.facts(plan.session), []
    with ledger.read() as connection:
        permissions.require_armed(connection, run, plan)
        if ask is not None:
            permissions.require_approved(connection, run, plan, ask)
        gates.check_holdings(connection, plan)
        gates.check_breaks(connection, plan, settings.breaks)
        key = (portfolio, plan.session)
        context = context_of(connection, run, *key, state.buying_power, facts, breaks=settings.breaks)
        for intent in intents_meant(plan, run.now()):
            verdict = check_order(intent, context, settings.limits)
            context = context.after(intent) if verdict.decision is Decision.PASS else context
            verdicts.append(verdict)
    return tuple(verdicts)
