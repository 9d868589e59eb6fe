"""What must hold before anything is sent, read from stored facts and from the broker itself.

What belongs here: gates that stop a whole run. What does not: the check of a single order
(`risk.pre_trade`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import AccountState, BrokerIdentity, BrokerPosition
from scizor_dagster.errors import BrokerUnavailable, LedgerError, RiskLimitBreached, WrongAccount
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import PAPER, ExecutionSettings
from scizor_dagster.ledger.adoptions import last_adopted
from scizor_dagster.ledger.holdings import NOISE, foreign, owned
from scizor_dagster.ledger.rows import IntentRow, fills_of, intents_by_id, intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.client_order_ids import parse_id
from scizor_dagster.planning.model import SYNTHETIC, Plan
from scizor_dagster.risk.breaks import OPEN_BREAK, BreakLimits, holds_of

RAW = "raw"
_NAMED = 10
MAX_CLOCK_DIFFERENCE = timedelta(seconds=5)


def check_identity(broker: Answers, settings: ExecutionSettings) -> BrokerIdentity:
    """Ask the broker who it is.

    Raises:
        WrongAccount: its answer differs from what was expected.
        RiskLimitBreached: it is an account with real money, and this run may not trade any.
        BrokerUnavailable: it does not answer.
    """
    found = broker.identity()
    match_identity(found, settings.identity)
    if not settings.live_trading:
        refuse_live(found)
    return found


def match_identity(found: BrokerIdentity, expected: BrokerIdentity) -> None:
    """Raise `WrongAccount` where a broker is another one than it was expected to be."""
    if found != expected:
        raise WrongAccount(
            f"The broker says it is {_named(found)}; the configuration expects {_named(expected)}.",
            remedy="Nothing was sent. Correct the account's configuration or its credentials.",
            limit="account_identity",
            value=_named(found),
            threshold=_named(expected),
        )


def refuse_live(found: BrokerIdentity) -> None:
    """Raise `RiskLimitBreached` for an account that is not paper."""
    if found.environment != PAPER:
        raise RiskLimitBreached(
            f"The account is {_named(found)}, and this run may not trade real money.",
            remedy="Nothing was sent. Use a paper account, or pin the live one in the configuration.",
            limit="live_trading",
            value=found.environment,
            threshold=PAPER,
        )


def check_plan(plan: Plan, account: str, portfolio: str, identity: BrokerIdentity) -> None:
    """Refuse a plan that belongs elsewhere, or whose prices may not size a live order.

    Raises:
        LedgerError: the plan is another account's or portfolio's.
        RiskLimitBreached: prices that are not raw or not real, and an account that is not paper.
    """
    if (plan.account, plan.portfolio) != (account, portfolio):
        raise LedgerError(
            f"The plan is for portfolio '{plan.portfolio}' on account '{plan.account}', "
            f"not for '{portfolio}' on '{account}'.",
            remedy="Nothing was admitted. Hand the plan to its own portfolio.",
        )
    if plan.adjustment != RAW and identity.environment != PAPER:
        raise RiskLimitBreached(
            f"The plan was sized on prices of adjustment '{plan.adjustment}', and the account is "
            f"'{identity.environment}'.",
            remedy="Only raw prices size a live order. Use a source of raw prices, or a paper account.",
            limit="price_adjustment",
            value=plan.adjustment,
            threshold=RAW,
        )
    _refuse_synthetic(plan, identity)


def _refuse_synthetic(plan: Plan, identity: BrokerIdentity) -> None:
    if SYNTHETIC in plan.notes and identity.environment != PAPER:
        raise RiskLimitBreached(
            f"The plan was sized on synthetic prices, and the account is '{identity.environment}'.",
            remedy="Real money is never sized on prices that no market has made. Use another provider.",
            limit="synthetic_prices",
            value="synthetic",
            threshold="real",
        )


def check_currency(state: AccountState, plan: Plan) -> None:
    """Raise `WrongAccount` where the account's money is not the plan's."""
    if state.currency != plan.currency:
        raise WrongAccount(
            f"The account keeps {state.currency}, and the plan is in {plan.currency}.",
            remedy="Nothing was admitted. Scizor never trades currency by itself; choose a matching account.",
            limit="account_currency",
            value=state.currency,
            threshold=plan.currency,
        )


def check_clock(state: AccountState, run: Run) -> None:
    """Raise `RiskLimitBreached` where a live broker's clock and this machine's differ.

    A paper exchange keeps the time of its session, which is not compared.
    """
    difference = abs(state.as_of - run.now())
    if run.live and difference > MAX_CLOCK_DIFFERENCE:
        raise RiskLimitBreached(
            f"The broker's clock says {state.as_of.isoformat(timespec='seconds')}, this machine's "
            f"{run.now().isoformat(timespec='seconds')}: {difference.total_seconds():.0f} s apart, "
            f"{MAX_CLOCK_DIFFERENCE.total_seconds():.0f} are allowed.",
            remedy="Nothing was admitted. Set this machine's clock by NTP, and run again.",
            where=f"account {run.account}",
            limit="broker_clock",
            value=f"{difference.total_seconds():.0f} s apart",
            threshold=f"{MAX_CLOCK_DIFFERENCE.total_seconds():.0f} s",
        )


def check_live_session(run: Run, session: date) -> None:
    """Raise `RiskLimitBreached` for a session other than today's on a live account."""
    if not run.may_send(session):
        today = run.settings.live_session
        raise RiskLimitBreached(
            f"Session {session.isoformat()} does not trade now, and account '{run.account}' is live.",
            remedy="Nothing was admitted. A live account trades today's session or not at all.",
            limit="live_session",
            value=session.isoformat(),
            threshold=today.isoformat() if today is not None else "none",
        )


def check_positions(connection: sa.Connection, account: str, positions: Sequence[BrokerPosition]) -> None:
    """Refuse to trade on an empty list of positions where the ledger knows of some.

    Raises:
        BrokerUnavailable: the answer is empty, and the portfolios of the account own something.
    """
    if any(row.qty != 0 for row in positions):
        return
    held = sorted(foreign(connection, account, ()))
    if held:
        shown = ", ".join(held[:_NAMED]) + (", ..." if len(held) > _NAMED else "")
        raise BrokerUnavailable(
            f"The broker shows no position at all, and the portfolios of the account own {len(held)} ({shown}).",
            remedy="Nothing was admitted. Look at the account at the broker; if it is flat indeed, reconcile first, "
            "and find out who sold.",
            where=f"account {account}",
        )


def check_holdings(connection: sa.Connection, plan: Plan) -> None:
    """Refuse a plan that was sized on holdings which have changed since.

    Raises:
        LedgerError: an instrument with orders is owned in another quantity than the plan says.
    """
    if plan.batch == 1:
        holdings = owned(connection, plan.account, plan.portfolio, before=plan.session)
    else:
        holdings = owned(connection, plan.account, plan.portfolio, through=plan.session)
    ordered = {order.symbol for order in plan.orders}
    for line in plan.lines:
        held = holdings.get(line.symbol, Decimal(0))
        counted = line.current_qty + line.kept_qty
        if line.symbol in ordered and abs(held - counted) > NOISE:
            raise LedgerError(
                f"The plan counts on {counted} {line.symbol}, and the portfolio owns {held}.",
                remedy="Nothing was admitted. Plan again: a fill has arrived since the plan was made.",
            )


def check_breaks(connection: sa.Connection, plan: Plan, limits: BreakLimits) -> None:
    """Refuse to admit a plan while open breaks are too many, too large, or of no instrument that could be left out.

    Raises:
        RiskLimitBreached: saying which.
    """
    why = holds_of(connection, plan.account, plan.portfolio, limits, lambda: plan.equity).get(None)
    if why is not None:
        raise RiskLimitBreached(
            f"Plan, ledger and broker do not agree: {why}; nothing is sent for {plan.session.isoformat()}.",
            remedy="See what differs, clear it and reconcile again: scizor reconcile --portfolio "
            f"{plan.portfolio}. What a person takes as it is: scizor risk accept-break ID --reason TEXT.",
            where=f"portfolio {plan.portfolio}",
            limit=OPEN_BREAK,
            value=why,
            threshold="no break beyond reconciliation.*",
        )


def check_other_ledgers(connection: sa.Connection, plan: Plan, at_broker: Collection[str]) -> None:
    """Refuse to trade where the broker has orders of the session that look like ours and are not in this ledger.

    `at_broker` are the client order ids that the broker shows for the session. Such orders were sent with another
    ledger: one that was lost, one from after the backup that this one was restored from, or that of another
    machine. What it has sent would be sent again.

    Raises:
        LedgerError: naming one of them.
    """
    _refuse_strange(plan.account, plan.session, _not_of_this_ledger(connection, plan, at_broker))


def check_lost_fills(connection: sa.Connection, plan: Plan, positions: Sequence[BrokerPosition]) -> None:
    """Refuse to trade while the account shows what such an order of an earlier session has brought, or taken.

    The ledger has its fills as nobody's, and a plan would order once more what nobody owns. What was handed to a
    portfolio since is owned.

    Raises:
        LedgerError: naming one of them.
    """
    beside = foreign(connection, plan.account, positions)
    adopted = last_adopted(connection, plan.account, beside) if beside else {}
    lost = {
        fill.client_order_id: fill.session
        for fill in (fills_of(connection, plan.account, symbols=list(beside)) if beside else ())
        if fill.portfolio is None
        and fill.signed_qty * beside[fill.symbol] > 0
        and not (fill.symbol in adopted and adopted[fill.symbol] >= fill.recorded_at)
    }
    strange = _not_of_this_ledger(connection, plan, lost)
    first = min((lost[name] for name in strange), default=plan.session)
    _refuse_strange(plan.account, first, {name for name in strange if lost[name] == first})


def _not_of_this_ledger(connection: sa.Connection, plan: Plan, names: Collection[str]) -> set[str]:
    """Those of `names` that the plan's own kind of order has, and that this ledger does not know."""
    prefixes = {parts.prefix for order in plan.orders if (parts := parse_id(order.client_order_id))}
    ours = sorted(name for name in names if (parts := parse_id(name)) and parts.prefix in prefixes)
    return set(ours) - set(intents_by_id(connection, ours))


def check_unsent(run: Run) -> None:
    """Refuse to go on where the broker has an order that waits here to be sent: see `check_other_ledgers`.

    Raises:
        LedgerError: naming one of them.
        BrokerUnavailable: the broker cannot be read.
    """
    for session in sorted({row.session for row in _waiting(run)}):
        listed = {order.client_order_id for order in run.broker.orders(session)}
        # Asked again after the broker: a run that has overtaken this one may have sent them meanwhile.
        _refuse_strange(run.account, session, {row.client_order_id for row in _waiting(run)} & listed)


def _waiting(run: Run) -> Sequence[IntentRow]:
    with run.ledger.read() as connection:
        return intents_in(connection, run.account, (IntentState.HELD, IntentState.READY))


def _refuse_strange(account: str, session: date, strange: Collection[str]) -> None:
    if strange:
        raise LedgerError(
            f"The broker has {len(strange)} order(s) of {session.isoformat()} which this ledger has not sent, "
            f"such as {min(strange)}.",
            remedy="Nothing was sent. If the ledger was lost or restored from a backup, take them in: scizor "
            f"ledger rebuild --account {account}; what it cannot place: scizor adopt. If another installation trades "
            "the account, give each a client_order_id_prefix of its own.",
            where=f"account {account}",
        )


def _named(identity: BrokerIdentity) -> str:
    return f"{identity.broker} {identity.environment} account {identity.account_id}"
