"""Whether a session that should have been traded was, and to its end, as the ledger and the lake have it.

What belongs here: looking. What does not: the inputs of a session (`watch_inputs`), and anything that mends what is
found. No broker is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from scizor_dagster.config import PaperAccount
from scizor_dagster.flow.closing import second_pass_at
from scizor_dagster.flow.stored import is_admitted
from scizor_dagster.flow.watch import Finding, WatchingDesk, listed
from scizor_dagster.flow.watch_inputs import weights_due
from scizor_dagster.ledger.arming import arming_of
from scizor_dagster.ledger.days import unclosed_days
from scizor_dagster.ledger.known import last_ordered_session
from scizor_dagster.ledger.lease import lease_of
from scizor_dagster.ledger.plan_approvals import approval_in_force
from scizor_dagster.ledger.rows import BatchRow, IntentRow, first_batch_of, intents_of, open_batches
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.frames import BY_WEIGHTS
from scizor_dagster.risk.losses import MACHINE
from scizor_dagster.risk.trading_state import FREE, Standing, TradingState, standing

_LOOKED_BACK = timedelta(days=30)
_DOUBTFUL = (IntentState.SENDING, IntentState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Switches:
    """What is known of the portfolio's schedule in Dagster: its name, and whether it is on (None: not known)."""

    rebalance: str
    on: bool | None

    @property
    def sentence(self) -> str:
        return f" The schedule {self.rebalance} is switched off." if self.on is False else ""


def untraded(
    desk: WatchingDesk, portfolio: str, now: datetime, switches: Switches, notes: list[str]
) -> Iterator[Finding]:
    """The last session that must be admitted by now and is not, and whatever keeps today's from it."""
    settings = desk.portfolio(portfolio)
    deadlines = desk.deadlines(settings.market)
    calendar = deadlines.calendar
    watched = deadlines.last_due(deadlines.admitted_by, now)
    today = now.astimezone(calendar.timezone).date()
    if watched >= desk.market(settings.market).first_session:
        yield from _missed(desk, portfolio, watched, now, switches, notes)
    if today != watched and calendar.is_session(today) and not is_admitted(desk, portfolio, today):
        yield from weights_due(desk, portfolio, today).findings


def _missed(
    desk: WatchingDesk, portfolio: str, session: date, now: datetime, switches: Switches, notes: list[str]
) -> Iterator[Finding]:
    if is_admitted(desk, portfolio, session):
        return
    state = _standing(desk, portfolio, now)
    if not _has_begun(desk, portfolio) and session != now.astimezone(_zone(desk, portfolio)).date():
        notes.append(f"Portfolio {portfolio} has not traded yet.")
        return
    due = weights_due(desk, portfolio, session)
    yield from due.findings
    if not due.weights:
        return
    if state.state is TradingState.HALTED:
        notes.append(f"Portfolio {portfolio} did not trade {session}: it is {state.sentence}.")
        return
    if due.findings:
        return
    command = f"scizor run --portfolio {portfolio} --date {session}"
    planned = _is_planned(desk, portfolio, session)
    if planned and not _is_released(desk, portfolio, session):
        yield Finding(
            "awaiting_approval",
            f"{session} was planned, and nobody has approved the plan: nothing was sent.",
            f"Look at it while its session lasts: scizor approve {portfolio}; then {command}.",
            portfolio=portfolio, session=session,
        )  # fmt: skip
        return
    yield Finding(
        "plan_not_executed" if planned else "not_admitted",
        f"{session} was {'planned and not executed' if planned else 'not traded'}, and there are weights for it; it "
        f"had to be admitted by {desk.deadlines(desk.portfolio(portfolio).market).admitted_by(session).isoformat()}."
        f"{switches.sentence}",
        f"See why its run failed or never began, then trade it while its session lasts: {command}.",
        portfolio=portfolio,
        session=session,
    )


def lost_ledger(desk: WatchingDesk) -> Iterator[Finding]:
    """Without it nothing of what is looked for below could be found, and all would seem well."""
    desk.require_no_lost_ledger()
    yield from ()


def unfinished(desk: WatchingDesk, portfolio: str, now: datetime) -> Iterator[Finding]:
    """Batches whose orders had to end by now, and orders that nobody knows the outcome of."""
    if not desk.has_ledger:
        return
    settings = desk.portfolio(portfolio)
    deadlines = desk.deadlines(settings.market)
    with desk.ledger.read() as connection:
        lease = lease_of(connection, settings.account)
        found = [
            (batch, intents_of(connection, batch.batch_id))
            for batch in open_batches(connection, settings.account)
            if batch.portfolio == portfolio
        ]
    for batch, intents in found:
        doubtful = sorted({row.symbol for row in intents if row.state in _DOUBTFUL})
        if doubtful and not (lease is not None and lease.held(now)):
            yield _frozen(batch, doubtful)
        elif deadlines.ended_by(batch.session) <= now and not all(row.state.terminal for row in intents):
            yield _unended(batch, intents)


def _frozen(batch: BatchRow, symbols: list[str]) -> Finding:
    return Finding(
        "frozen",
        f"The outcome of orders of {batch.session} is not known, and their instruments are frozen: {listed(symbols)}.",
        f"Look them up at the broker: scizor run --portfolio {batch.portfolio} --date {batch.session}.",
        portfolio=batch.portfolio,
        session=batch.session,
    )


def _unended(batch: BatchRow, intents: list[IntentRow]) -> Finding:
    counts = Counter(row.state.value for row in intents if not row.state.terminal)
    orders = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return Finding(
        "unfinished",
        f"Orders of {batch.session} are still open ({orders}), and their session is long over.",
        f"Collect that session and end it: scizor collect daily --date {batch.session}, then "
        f"scizor run --portfolio {batch.portfolio} --date {batch.session} --once.",
        portfolio=batch.portfolio,
        session=batch.session,
    )


def unreconciled(desk: WatchingDesk, portfolio: str, now: datetime) -> Iterator[Finding]:
    """The last traded session: reconciled after its end, again on the morning after it, and without a break."""
    settings = desk.portfolio(portfolio)
    deadlines = desk.deadlines(settings.market)
    session = _last_traded(desk, portfolio, now)
    if session is None:
        return
    stored = _reconciliation(desk, portfolio, session)
    second = second_pass_at(deadlines.calendar, session)
    command = f"scizor reconcile --portfolio {portfolio} --date {session}"
    if stored is None or stored[0] < deadlines.calendar.close_at(session):
        if deadlines.ended_by(session) <= now:
            yield Finding(
                "not_reconciled", f"{session} was traded and is not reconciled since its close.",
                f"Reconcile it: {command}.", portfolio=portfolio, session=session,
            )  # fmt: skip
    elif stored[0] < second and deadlines.admitted_by(deadlines.calendar.next_session(session)) <= now:
        yield Finding(
            "second_reconciliation_missing",
            f"{session} was reconciled at {stored[0].isoformat()} and not again since {second.isoformat()}: what came "
            "late is not known.",
            f"Reconcile it again: {command}.", portfolio=portfolio, session=session,
        )  # fmt: skip
    if stored is not None and stored[1]:
        yield Finding(
            "breaks",
            f"{session} has {stored[1]} unexplained break(s); what they lock is not traded.",
            f"See what differs, clear it and reconcile again: {command}.", portfolio=portfolio, session=session,
        )  # fmt: skip


def unclosed(desk: WatchingDesk, portfolio: str, now: datetime) -> Iterator[Finding]:
    """Days before the last traded one that were reconciled and never closed; the last one has findings of its own."""
    last = _last_traded(desk, portfolio, now)
    if last is None:
        return
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        days = unclosed_days(connection, settings.account, portfolio, last - _LOOKED_BACK, last)
    for day in days:
        yield Finding(
            "day_not_closed",
            f"{day.session} was reconciled and never closed: plan, ledger and broker did not agree to the end.",
            "See what differs, clear it or take it as it is (scizor risk accept-break), then: scizor reconcile "
            f"--portfolio {portfolio} --date {day.session} --pass second.",
            portfolio=portfolio, session=day.session,
        )  # fmt: skip


def stopped(desk: WatchingDesk, portfolio: str, now: datetime, notes: list[str]) -> Iterator[Finding]:
    """A trading state that the machine has set; one of a person is a decision, and a note."""
    state = _standing(desk, portfolio, now)
    if state.state is TradingState.ACTIVE:
        return
    if state.actor != MACHINE:
        notes.append(f"Portfolio {portfolio} is {state.sentence}.")
        return
    yield Finding(
        "stopped",
        f"Portfolio {portfolio} is {state.sentence}.",
        f"Find the cause, then: scizor resume --portfolio {portfolio} --reason TEXT.",
        portfolio=portfolio,
    )


def account_findings(desk: WatchingDesk, account: str, portfolios: list[str], now: datetime) -> Iterator[Finding]:
    """A lease that a dead run has left, and an account with real money that may not trade what is due."""
    if not desk.has_ledger:
        return
    with desk.ledger.read() as connection:
        lease = lease_of(connection, account)
        permissions = {name: arming_of(connection, account, name) for name in portfolios}
        at_work = bool(open_batches(connection, account))
    if lease is not None and lease.abandoned(now):
        left = "; orders are open" if at_work else ""
        yield Finding(
            "stale_lease",
            f"The run {lease.holder} has left account {account} without giving it back; its lease expired at "
            f"{lease.expires_at.isoformat()}{left}.",
            "See what became of the run, then run the session again: nothing is sent twice.",
            account=account,
        )
    configured = desk.account(account)
    if isinstance(configured, PaperAccount) or configured.environment == "paper":
        return
    for name, permission in permissions.items():
        session = desk.calendar(desk.portfolio(name).market).current_session(now)
        until = permission.expires_at if permission is not None else None
        if (until is None or until <= now) and weights_due(desk, name, session).weights:
            since = f"its arming expired at {until.isoformat()}" if until is not None else "nobody has armed it"
            yield Finding(
                "not_armed",
                f"Portfolio {name} trades real money on account {account} and may not: {since}; there are weights for "
                f"{session}.",
                f"Arm it: scizor arm {name} --account ID --until T --max-notional N; or let its strategies rest.",
                portfolio=name, account=account, session=session,
            )  # fmt: skip


def _has_begun(desk: WatchingDesk, portfolio: str) -> bool:
    if not desk.has_ledger:
        return False
    with desk.ledger.read() as connection:
        return first_batch_of(connection, desk.portfolio(portfolio).account, portfolio) is not None


def _last_traded(desk: WatchingDesk, portfolio: str, now: datetime) -> date | None:
    """The newest session with orders whose day has begun."""
    if not desk.has_ledger:
        return None
    today = now.astimezone(_zone(desk, portfolio)).date()
    with desk.ledger.read() as connection:
        return last_ordered_session(connection, desk.portfolio(portfolio).account, portfolio, today)


def _standing(desk: WatchingDesk, portfolio: str, now: datetime) -> Standing:
    if not desk.has_ledger:
        return FREE
    with desk.ledger.read() as connection:
        return standing(connection, desk.portfolio(portfolio).account, portfolio, now)


def _is_planned(desk: WatchingDesk, portfolio: str, session: date) -> bool:
    if not desk.has_lake:
        return False
    with desk.lake.read() as cursor:
        key = [portfolio, session]
        query = f"SELECT count(*) FROM plans WHERE portfolio = ? AND session = ? AND {BY_WEIGHTS}"
        row = cursor.execute(query, key).fetchone()
    return bool(row and row[0])


def _is_released(desk: WatchingDesk, portfolio: str, session: date) -> bool:
    """Whether no person is waited for: the portfolio asks for none, or one has approved a plan of the session."""
    settings = desk.portfolio(portfolio)
    if settings.approval != "manual":
        return True
    if not desk.has_ledger:
        return False
    with desk.ledger.read() as connection:
        return approval_in_force(connection, settings.account, portfolio, session) is not None


def _reconciliation(desk: WatchingDesk, portfolio: str, session: date) -> tuple[datetime, int] | None:
    """When the session was reconciled last, and its unexplained breaks."""
    if not desk.has_lake:
        return None
    with desk.lake.read() as cursor:
        key = [portfolio, session]
        row = cursor.execute(
            "SELECT fetched_at, breaks FROM reconciliations WHERE portfolio = ? AND session = ? "
            "ORDER BY fetched_at DESC LIMIT 1",
            key,
        ).fetchone()
    return (row[0], int(row[1])) if row else None


def _zone(desk: WatchingDesk, portfolio: str) -> ZoneInfo:
    return desk.calendar(desk.portfolio(portfolio).market).timezone
