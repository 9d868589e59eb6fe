"""What the orders of a session cost: measured after it, set against what was expected, and learned from.

What belongs here: putting plan, ledger and market together, and storing what comes of it. What does not: the arithmetic
(`analytics.costs*`), what a person sees of it (`assets`, `cli`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.analytics.costs import BENCHMARKS, Execution, Known, OrderFacts, shortfall
from scizor_dagster.analytics.costs_model import CostModel
from scizor_dagster.analytics.costs_store import OrderCost, cost_model, read_costs, store_costs
from scizor_dagster.analytics.costs_summary import BY_STRATEGY, CostGroup, all_costs, group_costs, worst_orders
from scizor_dagster.analytics.costs_units import Units, scaled_bar, scaled_price, scaled_quantity, units_between
from scizor_dagster.flow.costs_learning import (
    AT_OPEN,
    LAST_EXECUTION,
    commission_for,
    learned_models,
    venue_of,
)
from scizor_dagster.flow.costs_market import SymbolMarket, markets_of
from scizor_dagster.flow.costs_orders import MeasuredOrder, attribution, measured_orders
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.known import restated_sessions

if TYPE_CHECKING:
    import pandas as pd

ZERO, ONE = Decimal(0), Decimal(1)
EARLIER_OPEN = "session open, before it was sent"
TRIGGER = "trigger"
_RESTATED_WITHIN = timedelta(days=30)


@dataclass(frozen=True)
class SessionCosts:
    """What was stored of a session.

    Attributes:
        model: What was learned from the orders up to and with the session, for those after it; None without an order.
        restated: Earlier sessions that were measured again, for executions of theirs were corrected since.
    """

    rows: tuple[OrderCost, ...]
    total: CostGroup
    model: CostModel | None
    restated: tuple[date, ...]

    def frame(self) -> pd.DataFrame:
        """One row per order, as a person reads it."""
        import pandas as pd

        names = ("symbol", "side", "planned_qty", "filled_qty", "decision_price", "arrival_price", "arrival_source")
        parts = ("delay", "spread", "impact", "fees", "missed", "total", "total_bps")
        return pd.DataFrame(
            [
                {name: getattr(row, name) for name in (*names, *parts)} | {"left_out": ", ".join(row.left_out)}
                for row in self.rows
            ],
            columns=[*names, *parts, "left_out"],
        )


def measure_costs(desk: Desk, portfolio: str, session: date) -> SessionCosts:
    """Measure the session's orders, learn from them, and store both.

    Earlier sessions of which an execution was corrected or taken back since are measured again first; the models that
    were known then stay as they were.
    """
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        changed = restated_sessions(connection, account, portfolio, desk.clock() - _RESTATED_WITHIN)
    restated = tuple(sorted(day for day in changed if day < session and read_costs(desk.lake, portfolio, day, day)))
    for day in restated:
        store_costs(desk.lake, portfolio, day, _measured(desk, portfolio, day), {}, desk.clock())
    rows = _measured(desk, portfolio, session)
    if not rows:
        # Most sessions of most portfolios trade nothing: they cost a look.
        if read_costs(desk.lake, portfolio, session, session):
            store_costs(desk.lake, portfolio, session, (), {}, desk.clock())
        return SessionCosts((), all_costs(()), None, restated)
    models = learned_models(desk, portfolio, session, rows)
    store_costs(desk.lake, portfolio, session, rows, models, desk.clock())
    return SessionCosts(tuple(rows), all_costs(rows), models["portfolio", portfolio], restated)


@dataclass(frozen=True)
class CostReport:
    """Stored costs of some sessions. `model` is the newest that the portfolio has for the session after them."""

    rows: tuple[OrderCost, ...]
    groups: tuple[CostGroup, ...]
    total: CostGroup
    worst: tuple[OrderCost, ...]
    model: CostModel


def cost_report(desk: Desk, portfolio: str, first: date, last: date, *, by: str, worst: int) -> CostReport:
    """What the orders of the sessions from `first` to `last`, both included, cost; grouped `by` one of `GROUPINGS`."""
    rows = read_costs(desk.lake, portfolio, first, last)
    shares = attribution(desk, portfolio, first, last) if by == BY_STRATEGY else None
    after = min(last, date.max - timedelta(days=1)) + timedelta(days=1)
    return CostReport(
        rows=tuple(rows),
        groups=tuple(group_costs(rows, by, shares)),
        total=all_costs(rows),
        worst=tuple(worst_orders(rows, worst)),
        model=cost_model(desk.lake, portfolio, after, "portfolio", commission=commission_for(desk, portfolio)),
    )


def _measured(desk: Desk, portfolio: str, session: date) -> list[OrderCost]:
    orders = measured_orders(desk, portfolio, session)
    if not orders:
        return []
    markets = markets_of(desk, portfolio, sorted({order.symbol for order in orders}), session)
    settings = desk.portfolio(portfolio)
    place = _Place(
        portfolio=portfolio,
        session=session,
        before=desk.calendar(settings.market).previous_session(session),
        venue=venue_of(desk, portfolio),
        currency=desk.market(settings.market).currency,
        model=cost_model(desk.lake, portfolio, session, "portfolio", commission=commission_for(desk, portfolio)),
    )
    return [_cost(place, order, markets[order.symbol]) for order in orders]


@dataclass(frozen=True, slots=True)
class _Place:
    """What all orders of a session have in common."""

    portfolio: str
    session: date
    before: date
    venue: str
    currency: str
    model: CostModel


def _cost(place: _Place, order: MeasuredOrder, market: SymbolMarket) -> OrderCost:
    units = _units(place, order, market)
    scale = Units(ONE, ONE) if isinstance(units, str) else units
    since = order.priced_on or place.before
    dividend = ZERO
    if order.parent is None and market.adjustment != "total_return" and scale.bars == ONE:
        dividend = sum((paid for day, paid in market.dividends if since < day <= place.session), ZERO)
    facts = OrderFacts(
        side=order.side,
        planned_qty=scaled_quantity(order.planned_qty, scale),
        fills=[Execution(row.qty, row.price, row.fee) for row in order.fills],
        prices=_prices(place, order, market, units, dividend),
        half_spread_bps=market.half_spread_bps,
    )
    cost = shortfall(facts)
    adv = None if market.adv is None else market.adv * float(market.split_ratio(place.before, place.session))
    estimate = _estimate(place.model, facts, market, adv)
    arrival, decision = facts.price("arrival"), facts.price("decision")
    value = {name: facts.price(name).value for name in BENCHMARKS}
    bps = cost.total_bps
    return OrderCost(
        portfolio=place.portfolio,
        session=place.session,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        kind="order" if order.parent is None else "exit",
        order_type=order.order_type,
        state=order.state,
        reason=order.reason,
        venue=place.venue,
        currency=place.currency,
        planned_qty=facts.planned_qty,
        sent_qty=scaled_quantity(order.sent_qty, scale),
        filled_qty=cost.filled_qty,
        unit_factor=scale.shares,
        dividend=dividend,
        decision_price=decision.value,
        decision_source=decision.source,
        arrival_price=arrival.value,
        arrival_source=arrival.source,
        open_price=value["open"],
        close_price=value["close"],
        vwap_price=value["vwap"],
        decision_value=cost.decision_value,
        filled_value=cost.filled_value,
        **{part.value: amount for part, amount in cost.parts.items()},  # type: ignore[arg-type]
        total=cost.total,
        unknown=cost.reasons,
        left_out=cost.left_out,
        total_bps=None if bps is None else float(bps),
        **{f"against_{name}": cost.against.get(name) for name in BENCHMARKS},  # type: ignore[arg-type]
        half_spread_bps=facts.half_spread_bps.value,
        spread_source=facts.half_spread_bps.source,
        adv=adv,
        volatility=market.volatility,
        estimated_spread=estimate[0],
        estimated_impact=estimate[1],
        estimated_fees=estimate[2],
        model_session=place.model.session,
        adjustment=market.adjustment,
        synthetic=market.synthetic,
    )


def _units(place: _Place, order: MeasuredOrder, market: SymbolMarket) -> Units | str:
    """Units of the decision and the bar against the fills; a trigger is in those of its own session."""
    since = order.priced_on or place.before
    if order.parent is not None:
        since = place.session
    decided_on_close = order.parent is None and order.price_used is not None
    return units_between(
        market.adjustment,
        price_used=order.price_used or ONE,
        stored_close=market.closes.get(order.price_of or since) if decided_on_close else None,
        before=market.split_ratio(since, place.session),
        after=market.split_ratio(place.session),
    )


def _prices(
    place: _Place, order: MeasuredOrder, market: SymbolMarket, units: Units | str, dividend: Decimal
) -> dict[str, Known]:
    """The benchmarks in the session's units, each with where it is from."""
    if isinstance(units, str):
        return {name: Known(None, units) for name in BENCHMARKS}
    found = {
        name: Known(scaled_bar(market.bar[name], units), AT_OPEN if name == "open" else "session close")
        if market.bar
        else Known(None, f"there is no bar of {place.session}")
        for name in ("open", "close")
    }
    found["vwap"] = Known(None, "bars have no volume-weighted price")
    decided = order.price_used
    found["decision"] = Known(None if decided is None else scaled_price(decided, units, dividend), order.price_source)
    found["arrival"] = _arrival(order, found)
    return found


def _arrival(order: MeasuredOrder, found: Mapping[str, Known]) -> Known:
    """The price when the order was sent: the latest one that is recorded of that moment."""
    if order.parent is not None:
        return Known(found["decision"].value, TRIGGER if order.price_used is not None else order.price_source)
    if order.sent is None:
        return Known(None, "it was never sent" if not order.sent_qty else "when it was sent is not recorded")
    if order.sent.last_price is not None:
        return Known(order.sent.last_price, LAST_EXECUTION)
    if found["open"].value is None:
        return found["open"]
    return Known(found["open"].value, AT_OPEN if order.sent.at is None else EARLIER_OPEN)


def _estimate(
    model: CostModel, facts: OrderFacts, market: SymbolMarket, adv: float | None
) -> tuple[float | None, float | None, float | None]:
    """Spread, impact and fees of the planned order, in money; None where a figure that it needs is not known."""
    decision, half = facts.price("decision").value, facts.half_spread_bps.value
    if decision is None:
        return None, None, None
    found = model.estimate(
        facts.side,
        float(facts.planned_qty),
        float(decision),
        np.nan if adv is None else adv,
        np.nan if market.volatility is None else market.volatility,
        np.nan if half is None else float(half) * 2 / 10_000,
    )
    spread, impact, fees = (
        float(part) if np.isfinite(part) else None for part in (found.spread, found.impact, found.fees)
    )
    return spread, impact, fees
