"""An order that a person ends: the way on where the broker shows nothing of it any more, and no evidence can come.

What belongs here: what must hold before a person may end one, and its entry. What does not: orders that evidence ends
(`tracking`, `recovery`).

TWS shows orders that have ended, and executions, of a few days alone. An order that was open here when they went by
would hold its account up for ever. A person reads the broker's statement and says that it is over. Nothing is invented:
the order ends with the executions that are recorded, and shares that it got beside them show as nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping

from scizor_dagster.brokers.protocol import Broker, VenuePhase
from scizor_dagster.errors import BrokerUnavailable, LedgerError
from scizor_dagster.execution import evidence, gates
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.drive import settle
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rows import IntentRow, batch_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.sessions import Clock


def end_order(
    client_order_id: str,
    *,
    actor: str,
    reason: str,
    ledger: Ledger,
    broker: Broker,
    account: str,
    portfolio: str,
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    siblings: Mapping[str, ExecutionSettings] | None = None,
) -> IntentRow:
    """End an order of a session that is over and that the broker shows neither by its id nor as open.

    One that it shows as ended, and in terms that keep it from being taken for ours, ends by a person's word as well.

    Should it show later after all, it is taken back as any order that was given up. The rest is as for
    `executor.execute`.

    Raises:
        LedgerError: there is no reason, the order is not open here, its session is not over, or the broker shows it.
        WrongAccount: the broker's identity is not the expected one.
        AccountBusy: another run holds the account.
        BrokerUnavailable: the broker does not say which orders are open.
    """
    if not reason.strip():
        raise LedgerError("Ending an order needs a reason.", remedy="Give one: --reason TEXT.", where=client_order_id)
    answers = Answers(broker)
    identity = gates.check_identity(answers, settings)
    with lease(ledger, account, holder, clock) as held:
        run = Run(ledger, answers, identity, account, portfolio, clock, settings, held, siblings or {})
        with ledger.read() as connection:
            intent = intents.load(connection, client_order_id)
        _check_may_end(run, intent)
        with run.write() as connection:
            ended = intents.move(
                connection,
                intent,
                IntentState.EXPIRED,
                now=run.now(),
                reason=f"ended by {actor}: {reason}",
                detail={"ended_by": actor},
            )
            batch = batch_by_id(connection, intent.batch_id)
        assert batch is not None
        settle(run, batch, (), over=True)
        return ended


def _check_may_end(run: Run, intent: IntentRow) -> None:
    name, day = intent.client_order_id, intent.session.isoformat()
    again = f"Look at it again: scizor run --portfolio {intent.portfolio} --date {day}."
    if not intent.state.at_broker:
        raise LedgerError(
            f"Order {name} is '{intent.state}'.", remedy="There is nothing to end.", where=f"account {run.account}"
        )
    if run.broker.phase(intent.session) is not VenuePhase.OVER:
        raise LedgerError(
            f"Session {day} of order {name} is not over.",
            remedy="Nothing was changed: it may still fill. To take it back: scizor halt --cancel-open.",
            where=f"account {run.account}",
        )
    try:
        found = run.broker.find(name)
    except BrokerUnavailable:
        # It cannot be looked up any more, which is why a person is asked; what is open can be listed all the same.
        found = None
    is_another = found is not None and found.status.terminal and evidence.mismatch(intent, found) is not None
    if (found is not None and not is_another) or name in {order.client_order_id for order in run.broker.open_orders()}:
        said = f" as '{found.status}'" if found is not None else " as open"
        raise LedgerError(
            f"The broker shows order {name}{said}.",
            remedy=f"Nothing was changed. {again}",
            where=f"account {run.account}",
        )
