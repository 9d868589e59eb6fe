"""`/api/performance/live`: what the measured sessions of the portfolios came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Query
from pydantic import ConfigDict, Field

from scizor_dagster.analytics.attribution import By
from scizor_dagster.analytics.summary import PerformanceSummary
from scizor_dagster.api.algo_trader.requests import Lister, PortfolioFilter, chosen
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.performance import performance_of

router = ApiRouter("performance")
Figures = dict[str, float | None]


class DrawdownView(Model):
    """A fall from a high to the next time that it is reached."""

    start: date
    trough: date
    recovery: date | None
    depth: float = Field(description="As a fraction, below 0.")
    sessions: int


class LivePerformance(Model):
    """The measured sessions of one portfolio. Figures that are not defined are null."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "portfolio": "main",
                "currency": "USD",
                "start": "2026-11-18",
                "first": "2026-11-19",
                "last": "2026-11-20",
                "sessions": 2,
                "sessions_a_year": 251,
                "equity_before": 100000.0,
                "equity": 100410.5,
                "flows": 0.0,
                "profit": {"profit": "410.5"},
                "time_weighted_return": 0.0041,
                "money_weighted_return": 0.0041,
                "money_weighted_return_a_year": None,
                "turnover_a_year": None,
                "ratios": {},
                "benchmark": None,
                "benchmark_ratios": {},
                "rolling": {},
                "drawdowns": [],
                "exposure": {"gross": 0.6, "net": 0.6, "long": 0.6, "short": 0.0},
                "by": "instrument",
                "profits": [],
                "exposures": {},
                "notes": [],
            }
        }
    )

    portfolio: str
    currency: str
    start: date = Field(description="The close that the first return counts from.")
    first: date
    last: date
    sessions: int
    sessions_a_year: int
    equity_before: float
    equity: float
    flows: float = Field(description="What came in from outside, less what went out.")
    profit: dict[str, Exact]
    time_weighted_return: float | None
    money_weighted_return: float | None
    money_weighted_return_a_year: float | None
    turnover_a_year: float | None
    ratios: Figures
    benchmark: str | None
    benchmark_ratios: Figures
    rolling: dict[str, Figures]
    drawdowns: list[DrawdownView]
    exposure: Figures
    by: str
    profits: list[dict[str, str]] = Field(description="Exact amounts, as text.")
    exposures: dict[str, Figures]
    notes: list[str]

    @classmethod
    def of(cls, found: PerformanceSummary, by: By) -> LivePerformance:
        return cls(
            portfolio=found.portfolio,
            currency=found.currency,
            start=found.start,
            first=found.first,
            last=found.last,
            sessions=found.sessions,
            sessions_a_year=found.sessions_a_year,
            equity_before=found.equity_before,
            equity=found.equity,
            flows=found.flows,
            profit=dict(found.amounts),
            time_weighted_return=_known(found.time_weighted),
            money_weighted_return=_known(found.money_weighted.period),
            money_weighted_return_a_year=_known(found.money_weighted.annual),
            turnover_a_year=_known(found.turnover),
            ratios=_all_known(found.ratios),
            benchmark=found.benchmark or None,
            benchmark_ratios=_all_known(found.benchmark_ratios),
            rolling={str(window): _all_known(of) for window, of in found.rolling.items()},
            drawdowns=[DrawdownView(**asdict(one)) for one in found.drawdowns],
            exposure=found.exposure.shares(found.equity),
            by=by,
            profits=[_texts(row) for row in found.profits[by]],
            exposures={name: of.shares(found.equity) for name, of in found.exposures[by].items()},
            notes=list(found.notes),
        )


@router.get("/performance/live", summary="The performance of the portfolios")
def live_performance(
    desk: TheDesk,
    actor: Lister,
    paging: ThePage,
    portfolio: PortfolioFilter = None,
    first: Annotated[date | None, Query(alias="from", description="First session; default: the first.")] = None,
    last: Annotated[date | None, Query(alias="to", description="Last session; default: the last.")] = None,
    by: Annotated[By, Query(description="Whose profits are shown.")] = "instrument",
) -> Page[LivePerformance]:
    """One item for each portfolio with a measured session in the period. Reads what is stored, and measures nothing."""
    if first is not None and last is not None and first > last:
        raise wrong_field("query.from", f"{first} is after {last}.", "Give the earlier day as `from`.")
    found = [_of(desk, name, first, last, by) for name in chosen(actor, desk, portfolio)]
    return paging.page([item for item in found if item is not None], lambda item: item.portfolio)


def _of(desk: Desk, name: str, first: date | None, last: date | None, by: By) -> LivePerformance | None:
    try:
        return LivePerformance.of(performance_of(desk, name, first, last), by)
    except InputError:
        # No session of it was measured.
        return None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _all_known(values: Mapping[str, float]) -> Figures:
    return {name: _known(value) for name, value in values.items()}


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{value:f}" if isinstance(value, Decimal) else str(value) for name, value in row.items()}
