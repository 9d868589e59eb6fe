"""Orders that a person places: planned, stored and sent as every other one, once for each key.

What belongs here: from a request to a plan of one line and its execution. What does not: the line (`planning.manual`),
the protocol (`execution`), and taking an order back (`orders`).

A request that was admitted is found by its key, whenever and by whomever it is asked for again: the ledger has taken
one row of it, in the transaction that has admitted the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from scizor_dagster.errors import AccountBusy, InputError, LedgerError, NotPlaced
from scizor_dagster.execution.executor import execute
from scizor_dagster.execution.preview import preview
from scizor_dagster.execution.result import result_of
from scizor_dagster.flow.approving import approved_plan, has_ended
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import Parts, execution_parts, follow_session, not_ahead
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.flow.order_requests import OrderAsked, PlacedOrder
from scizor_dagster.flow.plans import Draft, bring_up, draft_plan, store_draft
from scizor_dagster.flow.risk import guard_account, guard_session
from scizor_dagster.ledger.batches import account_clock
from scizor_dagster.ledger.manual_orders import Ask, ManualOrder, manual_order, require_same
from scizor_dagster.ledger.rows import batch_by_id, batches_of, intents_of
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.inputs import ManualInstruction, check_manual

LONGEST_KEY, LONGEST_ACTOR, LONGEST_REASON = 128, 64, 500
REFUSE = "refuse"
RUN = "order"
"""How a run that places one is named to whoever finds the account held."""


def place_order(
    desk: Desk,
    asked: OrderAsked,
    *,
    actor: str,
    key: str,
    reason: str,
    dry_run: bool = False,
    looks: bool = True,
    approves: str = "",
) -> PlacedOrder:
    """Place an order by hand, or return the one that the key stands for, continued.

    Args:
        desk: The desk.
        asked: What is asked for.
        actor: Who asks; it stands beside the order.
        key: The idempotency key: with it, the same request is one order, however often it is made.
        reason: Why.
        dry_run: Plan it and ask the choke point; nothing is admitted or sent.
        looks: Whether a dry run records first what has happened at the broker; without it nothing at all is written.
        approves: Where the portfolio carries out only what a person has approved, the id of the plan that the actor
            has looked at.

    Raises:
        InputError: the portfolio takes no such orders, the request is none, the session is over, or a rule of the plan
            keeps the order from being made as it is asked for.
        KeyReused: the key is that of another request.
        RiskLimitBreached, LedgerError, BrokerUnavailable, AccountBusy: as `execution.executor.execute`.
        PriceUnavailable, DataError, ConfigError: as `flow.plans.plan_session`.
    """
    settings, symbol = desk.portfolio(asked.portfolio), _symbol(desk, asked)
    key, actor, reason = _words(key, actor, reason)
    ask = Ask(key, asked.portfolio, asked.text(symbol, actor, reason), actor, reason, settings.manual_orders, approves)
    found = _found(desk, settings.account, ask)
    if found is not None:
        return _continued(desk, found, dry_run=dry_run)
    _require_taken(desk, asked.portfolio)
    instruction = ManualInstruction(
        key, actor, reason, symbol, asked.side, asked.quantity, asked.notional, asked.target, asked.mode,
        asked.limit_price,
    )  # fmt: skip
    check_manual(instruction)
    session = _session(desk, asked)
    try:
        if looks or not dry_run:
            bring_up(desk, asked.portfolio, session)
    except AccountBusy:
        # Whoever has the account records what a dry run would have had recorded.
        if not dry_run:
            raise
    while True:
        draft = draft_plan(desk, asked.portfolio, session, asked=instruction)
        if dry_run:
            return _dry(desk, draft, ask)
        _require_order(draft)
        try:
            with orders_logged(desk, settings.account):
                return _placed(desk, draft, ask)
        except AccountBusy:
            # Another process may have been asked for the same at the same moment.
            found = _found(desk, settings.account, ask)
            if found is None:
                raise
            return answer_of(desk, found)
        except LedgerError:
            if not _overtaken(desk, draft):
                raise


def answer_of(desk: Desk, found: ManualOrder, *, created: bool = False, notes: Sequence[str] = ()) -> PlacedOrder:
    """An admitted request as it stands."""
    with desk.ledger.read() as connection:
        names = {row.client_order_id for row in intents_of(connection, found.batch_id)}
        result = result_of(connection, found.account, found.portfolio, found.session)
    plan = read_plan(desk.lake, found.portfolio, found.session, found.plan_id)
    return PlacedOrder(
        key=found.idempotency_key,
        portfolio=found.portfolio,
        account=found.account,
        session=found.session,
        plan_id=found.plan_id,
        batch_id=found.batch_id,
        actor=found.actor,
        reason=found.reason,
        policy=found.policy,
        line=plan.lines[0] if plan is not None else None,
        orders=tuple(order for order in result.orders if order.client_order_id in names),
        notes=(*(plan.notes if plan is not None else ()), *notes),
        created=created,
    )


def _found(desk: Desk, account: str, ask: Ask) -> ManualOrder | None:
    if not desk.has_ledger:
        return None
    with desk.ledger.read() as connection:
        found = manual_order(connection, account, ask.key)
    if found is not None:
        require_same(found, ask)
    return found


def _continued(desk: Desk, found: ManualOrder, *, dry_run: bool) -> PlacedOrder:
    """Go on with an order that is not at its end, as any look at its session does."""
    with desk.ledger.read() as connection:
        batch = batch_by_id(connection, found.batch_id)
    notes: Sequence[str] = ()
    if batch is not None and batch.state.open and not dry_run:
        try:
            notes = follow_session(desk, found.portfolio, found.session, RUN).notes
        except AccountBusy as busy:
            notes = (f"{busy.problem} It goes on with the order.",)
    return answer_of(desk, found, notes=notes)


def _symbol(desk: Desk, asked: OrderAsked) -> str:
    market, name = desk.portfolio(asked.portfolio).market, asked.instrument.strip().upper()
    known = desk.instruments(market)
    symbol = name if name in known else next((item.symbol for item in known.values() if item.id == name), None)
    if symbol is None:
        raise InputError(
            f"'{asked.instrument}' is no instrument of market '{market}'.",
            remedy=f"Name one of its universe, {', '.join(desk.market(market).universes)}: AAPL, or AAPL.XNAS.",
            where=f"portfolio {asked.portfolio}",
        )
    return symbol


def _words(key: str, actor: str, reason: str) -> tuple[str, str, str]:
    made = []
    for name, text, longest in (
        ("idempotency key", key, LONGEST_KEY),
        ("actor", actor, LONGEST_ACTOR),
        ("reason", reason, LONGEST_REASON),
    ):
        text = text.strip()
        if not 0 < len(text) <= longest or not text.isprintable():
            raise InputError(
                f"The {name} has {len(text)} characters, or some that cannot be printed.",
                remedy=f"Give one line of 1 to {longest} characters.",
                where=name,
            )
        made.append(text)
    return made[0], made[1], made[2]


def _require_taken(desk: Desk, portfolio: str) -> None:
    if desk.portfolio(portfolio).manual_orders == REFUSE:
        raise InputError(
            f"Portfolio '{portfolio}' takes no orders by hand.",
            remedy=f"Say in portfolios.{portfolio}.manual_orders what the next rebalance does with what they bring: "
            "absorb trades it back to the targets, keep sets it apart.",
            where=f"portfolio {portfolio}",
        )


def _session(desk: Desk, asked: OrderAsked) -> date:
    """The session to trade in, which must not be over.

    Raises:
        InputError: it is ahead or over, the account has traded a later one, or an approved plan of it waits.
    """
    settings, portfolio = desk.portfolio(asked.portfolio), asked.portfolio
    calendar = desk.calendar(settings.market)
    session = asked.session or desk.clock().astimezone(calendar.timezone).date()
    not_ahead(desk, portfolio, session)
    with desk.ledger.read() as connection:
        clock = account_clock(connection, settings.account)
    over = f"Account '{settings.account}' has traded {clock}" if clock is not None and session < clock else ""
    if not over and has_ended(desk, portfolio, session):
        over = f"Session {session} is over"
    if over:
        raise InputError(
            f"{over}: nothing can be ordered for {session} any more.",
            remedy=f"Place it in the next session, {calendar.next_session(clock or session)}.",
            where=f"portfolio {portfolio}",
        )
    waiting = approved_plan(desk, portfolio, session)
    if waiting is not None:
        raise InputError(
            f"Plan {waiting.plan_id[:12]} of {session} is approved and not carried out yet; an order now would take "
            "its number.",
            remedy=f"Carry it out first: scizor run --portfolio {portfolio} --date {session}; or take the approval "
            f"back: scizor approve {waiting.plan_id[:12]} --withdraw.",
            where=f"portfolio {portfolio}",
        )
    return session


def _overtaken(desk: Desk, draft: Draft) -> bool:
    """Whether another plan of the session has taken its number since: the next one is free."""
    plan = draft.plan
    with desk.ledger.read() as connection:
        numbers = [row.batch for row in batches_of(connection, plan.account, plan.portfolio, plan.session)]
    return max(numbers, default=0) >= plan.batch


def _require_order(draft: Draft) -> None:
    (line,) = draft.plan.lines
    if not draft.plan.orders:
        raise InputError(
            f"Nothing is ordered ({line.reason}). {line.note}",
            remedy="Nothing was placed. See what the reason means: docs/planning.md.",
            where=line.symbol,
        )


def _parts(desk: Desk, portfolio: str) -> Parts:
    """What execution needs; placing looks once, and leaves the waiting to the runs that follow orders."""
    parts = execution_parts(desk, portfolio, RUN)
    return Parts(**{**parts, "settings": replace(parts["settings"], wait=None)})


def _dry(desk: Desk, draft: Draft, ask: Ask) -> PlacedOrder:
    plan = draft.plan
    verdicts = preview(plan, **_parts(desk, plan.portfolio)) if plan.orders else ()
    return PlacedOrder(
        key=ask.key,
        portfolio=plan.portfolio,
        account=plan.account,
        session=plan.session,
        plan_id=plan.plan_id,
        batch_id=None,
        actor=ask.actor,
        reason=ask.reason,
        policy=ask.policy,
        line=plan.lines[0],
        planned=plan.orders,
        verdicts=verdicts,
        notes=plan.notes,
    )


def _placed(desk: Desk, draft: Draft, ask: Ask) -> PlacedOrder:
    plan = draft.plan
    guard_session(desk, plan.portfolio, plan.session, admits=True)
    guard_account(desk, plan.account, plan.session)
    parts = _parts(desk, plan.portfolio)
    preview(plan, **parts, ask=ask)
    store_draft(desk, draft)
    notes = execute(plan, **parts, ask=ask).notes
    found = _found(desk, plan.account, ask)
    if found is None:
        raise NotPlaced(
            f"The order was not placed. {' '.join(notes)}",
            remedy="Nothing was sent; make the same request again.",
            where=f"portfolio {plan.portfolio}",
        )
    return answer_of(desk, found, created=True, notes=notes)
