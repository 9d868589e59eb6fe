"""`/api/performance`: what strategies earned where they trade, and backtests side by side with them."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.backtester.backtests import is_visible, known_figures
from scizor_dagster.api.backtester.strategies import StrategyName, detail_of
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.problems import NotFound, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.backtest.storage import Head, list_backtests
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import followers_of
from scizor_dagster.flow.performance import performance_of
from scizor_dagster.ledger.api_keys import Scope

router = ApiRouter("performance")
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
MOST = 20
_ID = re.compile(r"[0-9a-f]{12,64}")
_COMPARED = (
    "total_return", "annual_return", "annual_volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio",
    "max_drawdown",
)  # fmt: skip


class Earned(Model):
    """What a strategy earned in one portfolio, in that one's currency."""

    portfolio: str
    currency: str
    first: date
    last: date
    sessions: int
    profit: Exact
    realised: Exact
    unrealised: Exact
    income: Exact
    fees: Exact
    value: Exact = Field(description="Of what it holds at the last close.")


class StrategyPerformance(Model):
    """What a strategy earned where it trades."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "strategy": "weekly",
                "portfolios": [
                    {
                        "portfolio": "main",
                        "currency": "USD",
                        "first": "2025-02-03",
                        "last": "2025-02-14",
                        "sessions": 10,
                        "profit": "120.50",
                        "realised": "20.50",
                        "unrealised": "104.00",
                        "income": "0.00",
                        "fees": "4.00",
                        "value": "60120.50",
                    }
                ],
                "backtests": ["3f" * 32],
            }
        }
    )

    strategy: str
    portfolios: list[Earned] = Field(description="Those with a measured session; empty where it never traded.")
    backtests: list[str] = Field(description="Ids of kept backtests that named it, newest first, at most 100.")


class Compared(Model):
    """A strategy in a portfolio, or a kept backtest, by the same figures."""

    id: str
    kind: str = Field(description="`portfolio` (measured sessions of one that follows the strategy) or `backtest`.")
    name: str
    first: date
    last: date
    sessions: int
    currency: str
    figures: dict[str, float | None] = Field(description="Null where one is not defined.")


class Comparison(Model):
    """Figures side by side."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "items": [
                    {
                        "id": "3f" * 32,
                        "kind": "backtest",
                        "name": "a quick look",
                        "first": "2025-01-06",
                        "last": "2025-02-14",
                        "sessions": 28,
                        "currency": "USD",
                        "figures": {"total_return": 0.0123, "sharpe_ratio": 1.1},
                    }
                ]
            }
        }
    )

    items: list[Compared]


@router.get("/performance/strategies/{strategy}", summary="What a strategy earned")
def show_strategy_performance(
    desk: TheDesk,
    actor: Reader,
    strategy: StrategyName,
    first: Annotated[date | None, Query(description="First session.")] = None,
    last: Annotated[date | None, Query(description="Last session.")] = None,
) -> StrategyPerformance:
    """Its part in each portfolio that follows it, as the ledger's fills and the closes attribute it to it.

    Portfolios of accounts that the key may not see are left out.
    """
    _check_period(first, last)
    detail_of(desk, actor, strategy)
    earned = [_earned(desk, name, strategy, first, last) for name in _seen(desk, actor, strategy)]
    heads = [head for head in _heads(desk, actor) if f'"strategy":"{strategy}"' in head.request]
    return StrategyPerformance(
        strategy=strategy,
        portfolios=[item for item in earned if item is not None],
        backtests=[head.backtest_id for head in heads[:100]],
    )


@router.get("/performance/compare", summary="Figures side by side")
def compare(
    desk: TheDesk,
    actor: Reader,
    ids: Annotated[
        str,
        Query(
            min_length=1,
            max_length=2000,
            description="Ids of kept backtests and names of strategies, with commas between them; at most 20.",
            examples=["weekly"],
        ),
    ],
    first: Annotated[date | None, Query(description="First session of what trades.")] = None,
    last: Annotated[date | None, Query(description="Last session of what trades.")] = None,
) -> Comparison:
    """Each by the same figures: a backtest as it is kept; a strategy as the portfolios that follow it were measured.

    A portfolio's figures are those of all its strategies together: returns cannot be told apart by strategy.
    """
    _check_period(first, last)
    names = list(dict.fromkeys(name.strip() for name in ids.split(",") if name.strip()))
    if not names or len(names) > MOST:
        raise wrong_field("query.ids", f"There are {len(names)} names.", f"Give 1 to {MOST}, with commas between them.")
    items: list[Compared] = []
    for name in names:
        items += [_kept(desk, actor, name)] if _ID.fullmatch(name) else _measured(desk, actor, name, first, last)
    return Comparison(items=items)


def _check_period(first: date | None, last: date | None) -> None:
    if first is not None and last is not None and first > last:
        raise wrong_field("query.first", f"{first} is after {last}.", "Give the earlier day as first.")


def _seen(desk: Desk, actor: Actor, strategy: str) -> list[str]:
    """Portfolios that follow the strategy, by itself or through an entry that names it, and that the key may see."""
    entries = [entry.id for entry in desk.manifest.strategies if strategy in (entry.id, entry.function)]
    visible = actor.portfolios(desk)
    return [name for entry in entries for name in followers_of(desk, entry) if name in visible]


def _earned(desk: Desk, portfolio: str, strategy: str, first: date | None, last: date | None) -> Earned | None:
    try:
        found = performance_of(desk, portfolio, first, last)
    except InputError:
        # No session of the period was measured.
        return None
    names = {entry.id for entry in desk.manifest.strategies if strategy in (entry.id, entry.function)}
    rows = [row for row in found.profits["strategy"] if row["strategy"] in names]
    amounts = {name: Decimal(0) for name in ("profit", "realised", "unrealised", "income", "fees", "value")}
    for row in rows:
        amounts = {name: amount + Decimal(row[name]) for name, amount in amounts.items()}
    return Earned(
        portfolio=portfolio,
        currency=found.currency,
        first=found.first,
        last=found.last,
        sessions=found.sessions,
        **amounts,
    )


def _heads(desk: Desk, actor: Actor) -> list[Head]:
    return [head for head in list_backtests(desk.lake) if is_visible(desk, actor, head)] if desk.has_lake else []


def _kept(desk: Desk, actor: Actor, name: str) -> Compared:
    found = [head for head in _heads(desk, actor) if head.backtest_id.startswith(name)]
    if len(found) != 1:
        raise NotFound("backtest", name)
    [head] = found
    figures = known_figures(head)
    return Compared(
        id=head.backtest_id,
        kind="backtest",
        name=head.title,
        first=head.first_session,
        last=head.last_session,
        sessions=head.sessions,
        currency=head.currency,
        figures={key: figures.get(key) for key in _COMPARED},
    )


def _measured(desk: Desk, actor: Actor, name: str, first: date | None, last: date | None) -> list[Compared]:
    detail_of(desk, actor, name)
    items = []
    for portfolio in _seen(desk, actor, name):
        try:
            found = performance_of(desk, portfolio, first, last)
        except InputError:
            # No session of the period was measured.
            continue
        ratios: dict[str, Any] = dict(found.ratios)
        items.append(
            Compared(
                id=f"{name}/{portfolio}",
                kind="portfolio",
                name=f"{name} in {portfolio}",
                first=found.first,
                last=found.last,
                sessions=found.sessions,
                currency=found.currency,
                figures={key: _finite(ratios.get(key)) for key in _COMPARED},
            )
        )
    return items


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else value
