"""What the orders of a session cost: measured after it, set against what was expected, and learned from.

What belongs here: putting plan, ledger and market together, and storing what comes of it. What does not: the arithmetic
(`analytics.costs*`), what a person sees of it (`assets`, `cli`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.analytics.costs_model import CostModel
from scizor_dagster.analytics.costs_store import OrderCost, cost_model, read_costs, store_costs
from scizor_dagster.analytics.costs_summary import BY_STRATEGY, CostGroup, all_costs, group_costs, worst_orders
from scizor_dagster.flow.costs_learning import commission_for, learned_models
from scizor_dagster.flow.costs_market import markets_of
from scizor_dagster.flow.costs_orders import attribution, measured_orders
from scizor_dagster.flow.costs_pricing import Place, order_cost
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import venue_of
from scizor_dagster.ledger.known import restated_sessions

if TYPE_CHECKING:
    import pandas as pd

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
    store_costs(desk.lake, portfolio, session, rows, models, desk.clock(), venue=venue_of(desk, portfolio))
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
        model=_model(desk, portfolio, after),
    )


def _model(desk: Desk, portfolio: str, as_of: date) -> CostModel:
    commission, venue = commission_for(desk, portfolio), venue_of(desk, portfolio)
    return cost_model(desk.lake, portfolio, as_of, "portfolio", commission=commission, venue=venue)


def _measured(desk: Desk, portfolio: str, session: date) -> list[OrderCost]:
    orders = measured_orders(desk, portfolio, session)
    if not orders:
        return []
    markets = markets_of(desk, portfolio, sorted({order.symbol for order in orders}), session)
    settings = desk.portfolio(portfolio)
    place = Place(
        portfolio=portfolio,
        session=session,
        before=desk.calendar(settings.market).previous_session(session),
        venue=venue_of(desk, portfolio),
        currency=desk.market(settings.market).currency,
        model=_model(desk, portfolio, session),
    )
    return [order_cost(place, order, markets[order.symbol]) for order in orders]
