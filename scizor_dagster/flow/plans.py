"""The plan of one session: stored inputs in, one immutable plan out.

What belongs here: collecting what the planner needs, and storing what it made. What does not: sizing
and order construction (`planning`), which are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pandas as pd

from scizor_dagster.config import Market
from scizor_dagster.errors import DataError, InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import book_before, price_adjustment
from scizor_dagster.flow.trades import catch_up, not_ahead
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.rows import BatchRow, batch_of, open_batches
from scizor_dagster.market_data.reading import coverage, instruments, last_closes, pending_actions, too_many_missing
from scizor_dagster.planning.frames import read_plan, store_plan
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import exact, rules_from
from scizor_dagster.signals.consolidation import read_targets
from scizor_dagster.version import code_version

SOURCE = "scizor.planning"
ZERO = Decimal(0)


@dataclass(frozen=True)
class SessionPlan:
    """The plan in force. `kept` when it was admitted earlier and is therefore returned as it was."""

    plan: Plan
    kept: bool
    synthetic: bool

    @property
    def needed(self) -> Decimal:
        """Value of all targets at their reference prices, shorts counted as positive."""
        return sum((abs(line.target_qty or ZERO) * (line.price or ZERO) for line in self.plan.lines), ZERO)

    def orders_table(self) -> pd.DataFrame:
        """One row per order, as a person reads it."""
        names = ("symbol", "side", "qty", "order_type", "price_used", "notional", "reason", "client_order_id")
        return _table(self.plan.orders, names)

    def lines_table(self) -> pd.DataFrame:
        """One row per instrument, with its reason."""
        names = ("symbol", "current_qty", "target_weight", "price", "target_qty", "delta_qty", "reason", "note")
        return _table(self.plan.lines, names)


def plan_session(desk: Desk, portfolio: str, session: date) -> SessionPlan:
    """Make and store the plan of `session`, or return the one that the ledger has admitted.

    Raises:
        InputError: there are no targets for the session.
        PriceUnavailable: the last closed session has not been collected.
    """
    settings = desk.portfolio(portfolio)
    market = desk.market(settings.market)
    calendar = desk.calendar(settings.market)
    not_ahead(desk, portfolio, session)
    priced_on = calendar.previous_session(session)
    closes = last_closes(desk.lake, settings.market, priced_on)
    synthetic = bool(closes["synthetic"].any())
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
        earlier = [batch for batch in open_batches(connection, settings.account) if batch.session < session]
    if admitted is not None:
        kept = read_plan(desk.lake, portfolio, session, admitted.plan_id)
        if kept is not None:
            return SessionPlan(kept, kept=True, synthetic=synthetic)
        raise InputError(
            f"The ledger admitted plan {admitted.plan_id[:12]} for {session}, but the lake does not hold it.",
            remedy="Restore the lake from its backup; an admitted plan is never made anew.",
            where=f"portfolio {portfolio}",
        )
    _require_fresh(desk, closes, priced_on, settings.market)
    _require_ended(earlier, session)
    catch_up(desk, portfolio, priced_on)
    with desk.ledger.read() as connection:
        frozen = frozen_symbols(connection, settings.account)
    broker = desk.broker(settings.account, settings.market)
    book = book_before(desk, portfolio, session, closes)
    inputs = PlanInputs(
        portfolio=portfolio,
        account=settings.account,
        session=session,
        batch=1,
        currency=market.currency,
        equity=book.valuation.equity,
        targets=_targets(desk, portfolio, session),
        holdings=book.holdings,
        prices=_prices(closes),
        instruments={item.symbol: item for item in instruments(desk.lake, settings.market, priced_on)},
        priced_on=priced_on,
        adjustment=price_adjustment(closes),
        stale_symbols=_stale(desk, market, settings.market, closes, priced_on),
        frozen_symbols=frozen,
        action_symbols=_actions(desk, settings.market, priced_on, session),
        cash=book.cash,
        notes=("The prices are synthetic.",) if synthetic else (),
    )
    rules = rules_from(settings)
    snapshot = desk.lake.snapshot()
    plan = make_plan(inputs, rules, broker.capabilities)
    store_plan(
        desk.lake,
        plan,
        lake_snapshot=snapshot,
        code_version=code_version(),
        rules_text=rules.as_text(),
        source=SOURCE,
        fetched_at=desk.clock(),
    )
    return SessionPlan(plan, kept=False, synthetic=synthetic)


def _targets(desk: Desk, portfolio: str, session: date) -> tuple[Target, ...]:
    frame = read_targets(desk.lake, portfolio, session)
    if frame.empty:
        raise InputError(
            f"There are no target weights for {session}.",
            remedy="Materialize target_weights for the session first.",
            where=f"portfolio {portfolio}",
        )
    return tuple(
        Target(
            asset_ids=(row["asset_id"],),
            symbol=row["symbol"],
            instrument_id=row["instrument_id"],
            weight=exact(row["target_weight"]),
            status=row["status"],
            note=row["note"] or "",
            candidates=row["candidates"],
        )
        for row in frame.to_dict("records")
    )


def _prices(closes: pd.DataFrame) -> dict[str, ReferencePrice]:
    return {
        row["symbol"]: ReferencePrice(price=exact(row["close"]), session=row["session"], source=row["source"])
        for row in closes.to_dict("records")
    }


def _require_fresh(desk: Desk, closes: pd.DataFrame, priced_on: date, market: str) -> None:
    """A feed that has failed sizes nothing: most of the universe must have a bar of the last session."""
    present, expected, missing = coverage(desk.lake, market, priced_on)
    if present and not too_many_missing(len(missing), expected):
        return
    newest = max(closes["session"]) if not closes.empty else "none"
    raise PriceUnavailable(
        f"{present} of {expected} symbols have a price of {priced_on}; the newest session with any is {newest}.",
        remedy=f"Collect it: scizor collect daily --market {market} --date {priced_on}.",
        where=f"market {market}",
    )


def _require_ended(earlier: Sequence[BatchRow], session: date) -> None:
    """A plan is made on holdings that nothing on its way can still change."""
    if earlier:
        first = earlier[0]
        raise DataError(
            f"Orders of {first.session} (portfolio '{first.portfolio}') are still open; no plan is made for {session}.",
            remedy=f"Collect that session and end it: scizor collect daily --date {first.session}, then "
            f"scizor run --portfolio {first.portfolio} --date {first.session} --once.",
            where=f"account {first.account}",
        )


def _stale(desk: Desk, market: Market, name: str, closes: pd.DataFrame, priced_on: date) -> frozenset[str]:
    calendar = desk.calendar(name)
    return frozenset(
        str(symbol)
        for symbol, day in zip(closes["symbol"], closes["session"], strict=True)
        if calendar.age_in_sessions(day, priced_on) > market.max_price_age_sessions
    )


def _actions(desk: Desk, market: str, priced_on: date, session: date) -> dict[str, str]:
    """Instruments whose units or name have changed since their last close: they wait for the next one."""
    frame = pending_actions(desk.lake, market, priced_on, session)
    return {row["symbol"]: f"{row['kind']} on {row['ex_session']}" for row in frame.to_dict("records")}


def _table(items: Sequence[object], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([{name: getattr(item, name) for name in names} for item in items], columns=list(names))
