"""What the recorded orders of a portfolio, and of its market, teach of what the next ones will cost.

What belongs here: which orders count, and for whom. What does not: the regression (`analytics.costs_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from scizor_dagster.analytics.costs_fit import PastOrders, fit
from scizor_dagster.analytics.costs_model import ASSUMED, BASIS_POINTS, Commission, CostModel, commission_of
from scizor_dagster.analytics.costs_store import OrderCost, Scope
from scizor_dagster.brokers.protocol import OrderType
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import venue_of
from scizor_dagster.lake.whole import whole

AT_OPEN = "session open"
LAST_EXECUTION = "last execution before it was sent"
_LIVE = "/live"
_LEARNED_FROM = timedelta(days=365)
"""Older orders say little of today's spreads."""


class Lesson(NamedTuple):
    """What an order tells of costs. `filled_value` and `against_arrival` are money; see `OrderCost`."""

    portfolio: str
    session: date
    venue: str
    kind: str
    order_type: str
    arrival_source: str
    against_arrival: Decimal | str | None
    filled_value: Decimal | str
    filled_qty: Decimal | str
    adv: float | None
    volatility: float | None

    @property
    def counts(self) -> bool:
        """Whether it was a market order, sent at a price that is known.

        What a limit order and an exit fill at is chosen beforehand, and what they miss is not in it.
        """
        at_market = self.kind == "order" and self.order_type != OrderType.LIMIT
        known = self.against_arrival is not None and self.arrival_source in (AT_OPEN, LAST_EXECUTION)
        return at_market and known and float(self.filled_value) > 0


def commission_for(desk: Desk, portfolio: str) -> Commission:
    """What the portfolio's broker charges."""
    venue = venue_of(desk, portfolio)
    currency = desk.market(desk.portfolio(portfolio).market).currency
    return commission_of(venue.partition("/")[0], currency, live=venue.endswith(_LIVE))


def learned_models(
    desk: Desk, portfolio: str, session: date, rows: Sequence[OrderCost]
) -> dict[tuple[Scope, str], CostModel]:
    """Models of the portfolio, and of its market where its orders reach a real one: a simulator tells nothing of it.

    A portfolio learns from the orders that went where its own go now.
    `rows` are the session's, which may not be stored yet.
    """
    commission, market = commission_for(desk, portfolio), desk.portfolio(portfolio).market
    beside = [name for name, item in desk.config.portfolios.items() if item.market == market]
    stored = [row for row in _recorded(desk, beside, session) if (row.portfolio, row.session) != (portfolio, session)]
    lessons = stored + [Lesson(*(getattr(row, name) for name in Lesson._fields)) for row in rows]
    venue = venue_of(desk, portfolio)
    own = [row for row in lessons if (row.portfolio, row.venue) == (portfolio, venue)]
    models: dict[tuple[Scope, str], CostModel] = {("portfolio", portfolio): _fitted(own, session, commission)}
    if venue.endswith(_LIVE):
        models["market", market] = _fitted([row for row in lessons if row.venue.endswith(_LIVE)], session, commission)
    return models


def _recorded(desk: Desk, portfolios: Sequence[str], session: date) -> list[Lesson]:
    with desk.lake.read() as cursor:
        found = cursor.execute(
            f"SELECT {', '.join(Lesson._fields)} FROM {whole('order_costs')} WHERE portfolio IN (SELECT unnest(?)) "
            "AND session BETWEEN ? AND ? AND against_arrival IS NOT NULL",
            [list(portfolios), session - _LEARNED_FROM, session],
        ).fetchall()
    return [Lesson(*row) for row in found]


def _fitted(lessons: Sequence[Lesson], session: date, commission: Commission) -> CostModel:
    used = [row for row in lessons if row.counts]
    numbers = np.array(
        [
            [
                float(row.against_arrival or 0),
                float(row.filled_value),
                float(row.filled_qty),
                _known(row.adv),
                _known(row.volatility),
            ]
            for row in used
        ]
    ).reshape(-1, 5)
    against, value, filled, adv, volatility = numbers.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share, cost = filled / adv, against * BASIS_POINTS / value
    past = PastOrders(cost, volatility, share, len({row.session for row in used}), session)
    return fit(past, replace(ASSUMED, commission=commission))


def _known(value: float | None) -> float:
    return np.nan if value is None else value
