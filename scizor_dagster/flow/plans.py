"""The plan of one session: stored inputs in, one immutable plan out.

What belongs here: collecting what the planner needs, and storing what it made. What does not: sizing
and order construction (`planning`), which are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import pandas as pd

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.execution.drive import at_work
from scizor_dagster.flow.approving import approved_plan
from scizor_dagster.flow.continuity import Closes, suspected_actions, suspected_before
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.facts import AccountBeside, account_beside, facts_for, shorts_allowed, with_account
from scizor_dagster.flow.following import catch_up, not_ahead
from scizor_dagster.flow.kept import NOTHING_KEPT, kept_apart
from scizor_dagster.flow.lifecycle import idle_standings, require_current_states
from scizor_dagster.flow.money import (
    book_before,
    book_through,
    capital_note,
    price_adjustment,
    require_same_capital,
)
from scizor_dagster.flow.passes import close_past
from scizor_dagster.flow.stored import stale_symbols
from scizor_dagster.flow.trust import (
    quarantined_symbols,
    require_calendar,
    require_priced,
    require_sound,
)
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.rows import BatchRow, batch_of, batches_of, intents_of, last_batch_of, open_batches
from scizor_dagster.market_data.reading import instruments, last_closes, pending_actions
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.frames import BY_WEIGHTS, read_plan, store_plan
from scizor_dagster.planning.inputs import STATUS_OK, ManualInstruction, PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.model import SYNTHETIC, Plan
from scizor_dagster.planning.rules import PlanningRules, exact, rules_from
from scizor_dagster.risk.breaks import locked_symbols
from scizor_dagster.signals.targets import TargetStatus, TargetWeight, read_targets
from scizor_dagster.version import code_version

SOURCE = "scizor.planning"


@dataclass(frozen=True)
class SessionPlan:
    """The plan in force. `kept` when it was admitted or approved earlier and is therefore returned as it was."""

    plan: Plan
    kept: bool
    synthetic: bool

    def orders_table(self) -> pd.DataFrame:
        """One row per order, as a person reads it."""
        names = ("symbol", "side", "qty", "order_type", "price_used", "notional", "reason", "client_order_id")
        return _table(self.plan.orders, names)

    def lines_table(self) -> pd.DataFrame:
        """One row per instrument, with its reason."""
        names = (
            "symbol",
            "current_qty",
            "kept_qty",
            "target_weight",
            "price",
            "target_qty",
            "delta_qty",
            "reason",
            "note",
        )
        return _table(self.plan.lines, names)


@dataclass(frozen=True)
class Draft:
    """A plan that is not stored, and what it was made from."""

    plan: Plan
    archive: PlanArchive
    snapshot: int
    synthetic: bool


def plan_session(desk: Desk, portfolio: str, session: date) -> SessionPlan:
    """Make and store the plan of `session`, or return the one that was admitted, or that a person has approved.

    Raises:
        InputError: there are no targets for the session, or what no portfolio owns is to be managed.
        PriceUnavailable: the last closed session has not been collected, or too much of what is held has no price.
        DataError: orders of an earlier session are still open, or calendar and prices disagree.
        ConfigError: the portfolio's capital was changed after its first session.
    """
    settings = desk.portfolio(portfolio)
    not_ahead(desk, portfolio, session)
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
    if admitted is not None:
        return _kept(desk, portfolio, session, admitted)
    approved = approved_plan(desk, portfolio, session)
    if approved is not None:
        return SessionPlan(approved, kept=True, synthetic=SYNTHETIC in approved.notes)
    bring_up(desk, portfolio, session)
    draft = draft_plan(desk, portfolio, session)
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
    if admitted is not None:
        # Another run was faster: what it has admitted stands as it is stored, with the snapshot that it names.
        return _kept(desk, portfolio, session, admitted)
    store_draft(desk, draft)
    return SessionPlan(draft.plan, kept=False, synthetic=draft.synthetic)


def bring_up(desk: Desk, portfolio: str, session: date) -> None:
    """Have all that happened before `session` recorded, ended and reconciled, so that a plan of it sees it.

    Raises:
        DataError: orders of an earlier session are still open.
        ConfigError: the portfolio's capital was changed after its first session.
    """
    settings = desk.portfolio(portfolio)
    require_same_capital(desk, portfolio)
    catch_up(desk, portfolio, desk.calendar(settings.market).previous_session(session))
    _require_ended(desk, settings.account, session)
    close_past(desk, portfolio, session)


def store_draft(desk: Desk, draft: Draft) -> None:
    """Keep the plan with all that it was made from."""
    store_plan(
        desk.lake,
        draft.plan,
        draft.archive,
        lake_snapshot=draft.snapshot,
        code_version=code_version(),
        source=SOURCE,
        fetched_at=desk.clock(),
    )


def current_plan(desk: Desk, portfolio: str, session: date) -> Plan:
    """The stored plan that the inputs give as they are now: what is sent is made from what is known.

    Raises:
        DataError: there is only one from before weights, prices, holdings or rules changed.
    """
    suspected = suspected_before(desk, portfolio, session)
    plan = read_plan(desk.lake, portfolio, session, draft_plan(desk, portfolio, session, suspected).plan.plan_id)
    if plan is None:
        raise DataError(
            f"The plan of {session} was made from inputs that have changed since; nothing is sent.",
            remedy="Materialize planned_orders of the session again, look at it, and then execute it "
            f"(scizor run --portfolio {portfolio} --date {session} does both).",
            where=f"portfolio {portfolio}",
        )
    return plan


def unexecuted_sessions(desk: Desk, portfolio: str, session: date) -> tuple[date, ...]:
    """Sessions before this one that have a stored plan with nothing admitted for it or after it."""
    with desk.ledger.read() as connection:
        newest = last_batch_of(connection, desk.portfolio(portfolio).account, portfolio)
    after = date.min if newest is None else newest.session
    with desk.lake.read() as cursor:
        planned = cursor.execute(
            f"SELECT DISTINCT session FROM plans WHERE portfolio = ? AND session > ? AND session < ? AND {BY_WEIGHTS}",
            [portfolio, after, session],
        ).fetchall()
    return tuple(sorted(day for (day,) in planned))


def _kept(desk: Desk, portfolio: str, session: date, admitted: BatchRow) -> SessionPlan:
    kept = read_plan(desk.lake, portfolio, session, admitted.plan_id)
    if kept is None:
        raise InputError(
            f"The ledger admitted plan {admitted.plan_id[:12]} for {session}, but the lake does not hold it.",
            remedy="Restore the lake from its backup; an admitted plan is never made anew.",
            where=f"portfolio {portfolio}",
        )
    return SessionPlan(kept, kept=True, synthetic=SYNTHETIC in kept.notes)


def draft_plan(
    desk: Desk,
    portfolio: str,
    session: date,
    suspected: Mapping[str, str] | None = None,
    asked: ManualInstruction | None = None,
) -> Draft:
    """The plan that the stores give now; every question to the lake is answered from one snapshot.

    Without `suspected`, corporate actions that nobody lists are looked for. With `asked` it is the one line of a manual
    order, and no targets are.
    """
    settings = desk.portfolio(portfolio)
    rules = rules_from(settings)
    broker = desk.broker(settings.account, settings.market)
    beside = account_beside(desk, portfolio, broker)
    _require_adopted(portfolio, beside, rules)
    with desk.lake.pinned() as lake:
        closes = last_closes(lake, settings.market, desk.calendar(settings.market).previous_session(session))
        inputs = _inputs(desk, lake, portfolio, session, closes, suspected, asked)
        inputs = replace(inputs, **facts_for(lake, settings.market, inputs, rules))
        inputs = replace(inputs, shorts_allowed=shorts_allowed(broker, rules))
        snapshot = lake.snapshot()
    inputs = with_account(inputs, beside, rules, broker.capabilities)
    archive = PlanArchive(inputs, rules, broker.capabilities)
    return Draft(archive.plan(), archive, snapshot, bool(closes["synthetic"].any()))


def _require_adopted(portfolio: str, beside: AccountBeside, rules: PlanningRules) -> None:
    """What no portfolio owns is never sold in a session, whatever a plan on files may do with it.

    Raises:
        InputError: the rules ask for it.
    """
    if rules.manage_foreign and beside.foreign:
        raise InputError(
            f"The account holds {', '.join(beside.foreign)}, which no portfolio owns, and planning.manage_foreign is "
            "set; a session trades only what the ledger assigns to the portfolio.",
            remedy="Remove the key. scizor plan --mode online shows what managing them would order.",
            where=f"portfolio {portfolio}",
        )


def _inputs(
    desk: Desk,
    lake: Lake,
    portfolio: str,
    session: date,
    closes: pd.DataFrame,
    suspected: Mapping[str, str] | None,
    asked: ManualInstruction | None,
) -> PlanInputs:
    settings = desk.portfolio(portfolio)
    market = desk.market(settings.market)
    priced_on = desk.calendar(settings.market).previous_session(session)
    require_sound(desk, lake, settings.market, max(closes["session"], default=None), priced_on)
    require_calendar(desk, lake, settings.market, priced_on, session)
    with desk.ledger.read() as connection:
        frozen = {
            **locked_symbols(connection, settings.account),
            **frozen_symbols(connection, settings.account),
        }
        made = batches_of(connection, settings.account, portfolio, session)
    number = max((row.batch for row in made), default=0) + 1
    # What manual orders of the session have brought by now is held as well.
    book = (book_before if number == 1 else book_through)(desk, portfolio, session, closes)
    kept = kept_apart(desk, portfolio, book, session, through=number > 1) if asked is None else NOTHING_KEPT
    stale = stale_symbols(desk, settings.market, closes, priced_on)
    quarantined = quarantined_symbols(lake, settings.market, priced_on)
    require_priced(desk, portfolio, book, stale | quarantined.keys())
    targets = _targets(desk, lake, portfolio, session) if asked is None else ()
    if suspected is None:
        traded = (_traded(targets, book.holdings) if asked is None else {asked.symbol}) - frozen.keys()
        suspected = suspected_actions(desk, lake, portfolio, session, _closes(closes), traded)
    return PlanInputs(
        portfolio=portfolio,
        account=settings.account,
        session=session,
        batch=number,
        currency=market.currency,
        equity=book.valuation.equity - kept.value,
        targets=targets,
        holdings=book.holdings,
        prices=reference_prices(closes),
        instruments={item.symbol: item for item in instruments(lake, settings.market, priced_on)},
        priced_on=priced_on,
        adjustment=price_adjustment(closes),
        stale_symbols=stale,
        frozen_symbols=frozen,
        action_symbols={**suspected, **_actions(lake, settings.market, priced_on, session)},
        quarantined_symbols=quarantined,
        cash=book.cash,
        notes=(
            *_notes(closes, unexecuted_sessions(desk, portfolio, session) if asked is None else ()),
            *capital_note(desk, portfolio),
            *(f"{item.sentence}." for item in idle_standings(desk, portfolio).values() if asked is None),
        ),
        manual=asked,
        set_apart=kept.quantities,
    )


def _traded(targets: Sequence[Target], holdings: Mapping[str, Decimal]) -> set[str]:
    """What may be ordered: the plan has a line for each, which says why nothing is."""
    held = {symbol for symbol, qty in holdings.items() if qty}
    aside = {target.symbol for target in targets if target.status != STATUS_OK}
    return (held | {target.symbol for target in targets if target.weight}) - aside


def _closes(closes: pd.DataFrame) -> Closes:
    prices = dict(zip(closes["symbol"], closes["close"].astype(float), strict=True))
    return Closes(prices, dict(zip(closes["symbol"], closes["session"], strict=True)))


def _notes(closes: pd.DataFrame, unexecuted: Sequence[date]) -> tuple[str, ...]:
    missed = [f"The plan of {day} was never executed; it cannot be any more once this one is." for day in unexecuted]
    return ((SYNTHETIC,) if closes["synthetic"].any() else ()) + tuple(missed)


def _targets(desk: Desk, lake: Lake, portfolio: str, session: date) -> tuple[Target, ...]:
    rows = read_targets(lake, portfolio, session).rows
    if not rows:
        raise InputError(
            f"There are no target weights for {session}.",
            remedy="Materialize target_weights for the session first.",
            where=f"portfolio {portfolio}",
        )
    require_current_states(desk, portfolio, session, rows)
    return planner_targets(rows)


def planner_targets(rows: Sequence[TargetWeight]) -> tuple[Target, ...]:
    """Consolidated targets as the planner takes them."""
    return tuple(
        Target(
            asset_ids=row.asset_ids,
            symbol=row.symbol,
            instrument_id=row.instrument_id,
            weight=row.target_weight,
            # To the planner both are the same: set aside, and the note says why.
            status=(TargetStatus.QUARANTINED if row.status is TargetStatus.RETIRED_ASSET else row.status).value,
            note=row.note,
            candidates=row.candidates,
        )
        for row in rows
    )


def reference_prices(closes: pd.DataFrame) -> dict[str, ReferencePrice]:
    """Last closes (columns symbol, session, close, source) as the planner takes them."""
    return {
        row["symbol"]: ReferencePrice(price=exact(row["close"]), session=row["session"], source=row["source"])
        for row in closes.to_dict("records")
    }


def _require_ended(desk: Desk, account: str, session: date) -> None:
    """A plan is made on holdings that nothing on its way can still change.

    An order whose outcome is unknown does not count: it freezes its instrument, and no other.
    """
    with desk.ledger.read() as connection:
        frozen = frozen_symbols(connection, account)
        earlier = [
            batch
            for batch in open_batches(connection, account)
            if batch.session < session and at_work(intents_of(connection, batch.batch_id), frozen)
        ]
    if earlier:
        first = earlier[0]
        raise DataError(
            f"Orders of {first.session} (portfolio '{first.portfolio}') are still open; no plan is made for {session}.",
            remedy=f"Collect that session and end it: scizor collect daily --date {first.session}, then "
            f"scizor run --portfolio {first.portfolio} --date {first.session} --once.",
            where=f"account {first.account}",
        )


def _actions(lake: Lake, market: str, priced_on: date, session: date) -> dict[str, str]:
    """Instruments whose units or name have changed since their last close: they wait for the next one."""
    frame = pending_actions(lake, market, priced_on, session)
    return {row["symbol"]: f"{row['kind']} on {row['ex_session']}" for row in frame.to_dict("records")}


def _table(items: Sequence[object], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(item, name) for name in names} for item in items], columns=list(names))
