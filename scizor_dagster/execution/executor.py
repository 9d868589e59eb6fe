"""The doors of execution: `execute` a plan, `follow` what an execution has left working, `cancel_open` after a halt.

What belongs here: the order of things under one lease: recover, end what is open from earlier
sessions, admit, drive. What does not: the steps themselves.

Each may run any number of times, be killed at any line, or run on two machines at once: the
ledger decides what is sent, and it is sent once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Broker, BrokerIdentity, VenuePhase
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution import gates, permissions
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.cancelling import (
    UNCONFIRMED,
    CancelReport,
    awaiting_cancel,
    cancel_all,
    cancel_left_over,
    drop_asked,
    left_open,
    look_up_doubtful,
)
from scizor_dagster.execution.drive import drive, look_through, settle
from scizor_dagster.execution.recovery import recover
from scizor_dagster.execution.result import ExecutionResult, ExecutionState, OrderRow, result_of
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.execution.tracking import poll
from scizor_dagster.ledger.batches import account_clock, admit
from scizor_dagster.ledger.conversions import record_conversion
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.manual_orders import Ask, manual_order, require_same
from scizor_dagster.ledger.rows import (
    BatchRow,
    batch_by_id,
    batches_of,
    first_batch_of,
    intents_by_id,
    open_batches,
)
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.events import record_limits, stops_recorded
from scizor_dagster.sessions import Clock

__all__ = [
    "CancelReport",
    "ExecutionResult",
    "ExecutionSettings",
    "ExecutionState",
    "OrderRow",
    "cancel_open",
    "execute",
    "follow",
]


def execute(
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
    previous_unexecuted: Sequence[date] = (),
    ask: Ask | None = None,
) -> ExecutionResult:
    """Carry the plan out, or continue where an earlier run has left it.

    A session before the account's clock sends nothing and returns what the ledger holds. An order
    of an earlier session that is still open must end first; where it does not, nothing is admitted
    or sent, and the result says which.

    `holder` names this run to a person; `previous_unexecuted` are earlier sessions that had a plan.
    `siblings` are the settings of other portfolios on the account, by name: orders that were admitted
    for those are sent along, under their own limits. The venue does not step on while a portfolio that
    is not among them has orders to send. `ask` is the request that a manual order answers: where one with its key was
    admitted, that one is continued, whatever `plan` is.

    Raises:
        WrongAccount: the broker's identity or currency is not the expected one.
        KeyReused: the key of the request is that of another one.
        RiskLimitBreached: a live account whose portfolio is not armed for the plan, not trading today, not on raw
            prices, or whose broker's clock differs; a plan that waits for an approval.
        LedgerError: another plan was admitted for the session, or the holdings have changed since.
        AccountBusy: another run holds the account.
        BrokerUnavailable: the broker cannot be read, or shows no position where there are some; nothing was admitted
            or sent.
    """
    recorded = partial(stops_recorded, ledger, clock, account, portfolio, plan.session, settings.limits)
    answers = Answers(broker)
    with recorded():
        identity = gates.check_identity(answers, settings)
        gates.check_plan(plan, account, portfolio, identity)
    notes = _skip_notes(plan.session, previous_unexecuted)
    with ledger.read() as connection:
        now_at = account_clock(connection, account)
        if now_at is not None and plan.session < now_at:
            notes.append(
                f"Account '{account}' has traded on {now_at.isoformat()}; nothing is sent for "
                f"{plan.session.isoformat()}, which lies before it."
            )
            return result_of(connection, account, portfolio, plan.session, notes=notes, skipped=previous_unexecuted)
    leased = _leased(ledger, answers, identity, account, portfolio, clock, holder, settings, siblings)
    with recorded(), leased as run:
        run.notes.extend(notes)
        blocking = _recover_and_end_earlier(run, plan.session)
        batch = _admitted(run, plan, ask) if blocking is None else None
        if batch is not None:
            drive(run, batch)
    return _result(run, plan.session, skipped=previous_unexecuted, blocking=blocking)


def follow(
    session: date,
    *,
    ledger: Ledger,
    broker: Broker,
    account: str,
    portfolio: str,
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    siblings: Mapping[str, ExecutionSettings] | None = None,
) -> ExecutionResult:
    """Continue the open batch of `session`, and of earlier sessions before it.

    Without a batch of the session it only looks: the venue goes through the session if it has data,
    and fills, splits and dividends up to it are recorded. Call it for the last closed session before
    a plan is made, so that the plan's holdings are complete. `siblings` are as for `execute`.

    Raises:
        WrongAccount: the broker's identity is not the expected one.
        AccountBusy: another run holds the account.
        BrokerUnavailable: the broker cannot be read; nothing was sent.
    """
    recorded = partial(stops_recorded, ledger, clock, account, portfolio, session, settings.limits)
    answers = Answers(broker)
    with recorded():
        identity = gates.check_identity(answers, settings)
    leased = _leased(ledger, answers, identity, account, portfolio, clock, holder, settings, siblings)
    with recorded(), leased as run:
        blocking = _recover_and_end_earlier(run, session)
        if blocking is None:
            _follow_session(run, session)
    return _result(run, session, blocking=blocking)


def cancel_open(
    *,
    ledger: Ledger,
    broker: Broker,
    account: str,
    portfolio: str,
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    siblings: Mapping[str, ExecutionSettings] | None = None,
) -> CancelReport:
    """Cancel what rests at the broker where the state in force or a person asks for it, and record what became of it.

    What a person wants taken back and was not sent yet never is. Orders of unknown outcome are looked up first, so that
    one which did arrive is canceled too. The venue is not moved and nothing is sent. `portfolio` and `siblings` are as
    for `execute`: which portfolios are affected is decided by their states.

    Returns:
        What was canceled, and what may still be open, with the reason: every run asks again for those.

    Raises:
        WrongAccount: the broker's identity is not the expected one.
        AccountBusy: another run holds the account; it cancels them itself, when it looks next.
        BrokerUnavailable: the broker does not say which account it is.
    """
    answers = Answers(broker)
    identity = gates.check_identity(answers, settings)
    with _leased(ledger, answers, identity, account, portfolio, clock, holder, settings, siblings) as run:
        look_up_doubtful(run)
        with ledger.read() as connection:
            wanted = awaiting_cancel(connection, account, run.now())
            batches = open_batches(connection, account)
        dropped = drop_asked(run, batches)
        if not wanted and not dropped:
            return CancelReport()
        taken, failures, why = cancel_all(run, wanted)
        why |= {name: f"the broker did not take its cancel: {failure.problem}" for name, failure in failures.items()}
        _record_cancels(run, batches)
        with ledger.read() as connection:
            left = awaiting_cancel(connection, account, run.now())
            ended = intents_by_id(connection, taken)
        why |= {
            row.client_order_id: f"its outcome is unknown: {row.reason}"
            for row in left
            if row.state is IntentState.UNKNOWN
        }
        # One that filled before its cancel arrived has ended as well, but was not canceled.
        canceled = tuple(name for name in taken if ended[name].state is IntentState.CANCELED)
        return CancelReport((*dropped, *canceled), left_open(left, why, UNCONFIRMED))


def _record_cancels(run: Run, batches: Sequence[BatchRow]) -> None:
    try:
        found = poll(run, sorted({batch.session for batch in batches}))
    except BrokerUnavailable:
        # The report names as unconfirmed what no look has shown, and every run looks again.
        return
    for batch in batches:
        settle(run, batch, found.open_exits, over=False)


@contextmanager
def _leased(
    ledger: Ledger,
    broker: Answers,
    identity: BrokerIdentity,
    account: str,
    portfolio: str,
    clock: Clock,
    holder: str,
    settings: ExecutionSettings,
    siblings: Mapping[str, ExecutionSettings] | None,
) -> Iterator[Run]:
    with lease(ledger, account, holder, clock) as held:
        yield Run(
            ledger=ledger,
            broker=broker,
            identity=identity,
            account=account,
            portfolio=portfolio,
            clock=clock,
            settings=settings,
            lease=held,
            siblings=siblings or {},
        )


def _recover_and_end_earlier(run: Run, session: date) -> BatchRow | None:
    """Resolve doubtful orders, then drive earlier batches to their end; the first that has orders at work.

    An order that stays unknown freezes its instrument and keeps no other one from being traded.
    """
    gates.check_unsent(run)
    recover(run)
    with run.ledger.read() as connection:
        earlier = [batch for batch in open_batches(connection, run.account) if batch.session < session]
    for batch in earlier:
        if drive(run, batch) and not (cancel_left_over(run, batch) and not drive(run, batch)):
            with run.ledger.read() as connection:
                left = batch_by_id(connection, batch.batch_id) or batch
            run.note(
                f"Portfolio '{left.portfolio}' still has orders of {left.session.isoformat()} "
                f"({left.state}); nothing is sent for {session.isoformat()} before they have ended. One that "
                "the broker can tell of no more ends, after a look at its statement, by: "
                "scizor end-order ID --reason TEXT."
            )
            return left
    return None


def _admitted(run: Run, plan: Plan, ask: Ask | None) -> BatchRow | None:
    """The plan's batch; None where the venue has already closed the session, so that no order could trade."""
    with run.ledger.read() as connection:
        existing = batches_of(connection, run.account, run.portfolio, plan.session)
        placed = _placed(connection, run, ask)
    if placed is not None:
        return placed
    known = any(batch.batch == plan.batch for batch in existing)
    if not known and run.broker.phase(plan.session) is VenuePhase.OVER:
        run.note(
            f"The venue of account '{run.account}' has closed {plan.session.isoformat()}; its plan is not admitted "
            "and nothing is sent."
        )
        return None
    if not known:
        gates.check_live_session(run, plan.session)
        state = run.broker.account()
        gates.check_currency(state, plan)
        gates.check_clock(state, run)
        at_broker = poll(run, [plan.session]).order_ids
    positions = () if known else run.broker.positions()
    armed, approved = None, None
    with run.write() as connection:
        if not known:
            armed = permissions.require_armed(connection, run, plan)
            approved = permissions.require_approved(connection, run, plan, ask)
            gates.check_other_ledgers(connection, plan, at_broker)
            gates.check_lost_fills(connection, plan, positions)
            gates.check_positions(connection, run.account, positions)
            gates.check_holdings(connection, plan)
            gates.check_breaks(connection, plan, run.settings.breaks)
        first = first_batch_of(connection, plan.account, plan.portfolio) is None
        admission = admit(
            connection,
            plan,
            starting_cash=run.settings.starting_cash,
            now=run.now(),
            armed=armed,
            approved=approved,
            ask=ask,
        )
        if admission.created:
            record_limits(connection, admission.batch, run.settings.limits, now=run.now())
        if first and run.settings.conversion is not None:
            record_conversion(connection, plan.account, plan.portfolio, run.settings.conversion, now=run.now())
        return admission.batch


def _placed(connection: sa.Connection, run: Run, ask: Ask | None) -> BatchRow | None:
    """The batch that the request became before, in whatever session; None for one that is new."""
    found = None if ask is None else manual_order(connection, run.account, ask.key)
    if found is None or ask is None:
        return None
    require_same(found, ask)
    return batch_by_id(connection, found.batch_id)


def _follow_session(run: Run, session: date) -> None:
    with run.ledger.read() as connection:
        found = batches_of(connection, run.account, run.portfolio, session)
    batches = [batch for batch in found if batch.state is not BatchState.NOTHING_TO_DO]
    for batch in [batch for batch in batches if batch.state.open] or batches[-1:]:
        drive(run, batch)
    if not batches:
        look_through(run, session)


def _skip_notes(session: date, previous: Sequence[date]) -> list[str]:
    return [f"Session {day.isoformat()} had a plan and is skipped for {session.isoformat()}." for day in previous]


def _result(run: Run, session: date, *, blocking: BatchRow | None, skipped: Sequence[date] = ()) -> ExecutionResult:
    with run.ledger.read() as connection:
        return result_of(
            connection,
            run.account,
            run.portfolio,
            session,
            notes=run.notes,
            skipped=skipped,
            waiting_for=blocking.state if blocking else None,
        )
