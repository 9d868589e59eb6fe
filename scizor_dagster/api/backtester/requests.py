"""What may be asked of a backtest from outside: no file of this machine, and no more than is allowed.

What belongs here: the bodies, checking them before anything is submitted, and their partitions. What does not: what
each key means (`backtest.request`, `flow.optimizing`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from scizor_dagster.api.backtester.run_progress import PORTFOLIO_TAG, STRATEGY_TAG
from scizor_dagster.api.backtester.strategies import Values, require_entry
from scizor_dagster.api.context import Context
from scizor_dagster.api.models import Model, printable
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.runs import RunRequest, RunState
from scizor_dagster.api.security import Actor
from scizor_dagster.backtest.request import (
    BacktestRequest,
    BasisPoints,
    Money,
    Rate,
    canonical,
    digest,
    read_request,
)
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.optimizing import SearchRequest, read_search
from scizor_dagster.flow.research_limits import require_no_files, require_parameters, require_size, sets_of
from scizor_dagster.signals.manifest import Rebalance

JOB, OP, PARTITIONS = "backtest", "backtests", "backtests"
"""Of `jobs.research` and `assets.backtests`."""
Positive = Annotated[float, Field(gt=0.0, le=1e15)]
Given = Annotated[str, Field(min_length=1, max_length=64)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class BacktestBody(Model):
    """One backtest: `portfolio`, `strategy` or both. Keys mean what they mean to `scizor backtest run`.

    Prices are the lake's and weights those of a strategy or of the lake: no file of the server can be named.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "a quick look",
                "strategy": "equal_weight",
                "rebalance": "monthly",
                "first": "2025-01-06",
                "last": "2025-02-14",
                "capital": 100000.0,
                "commission_bps": 5.0,
            }
        }
    )

    name: Annotated[str, Field(max_length=200), AfterValidator(printable)] = ""
    portfolio: Given | None = Field(None, description="For its strategies, rules, capital, broker and costs.")
    strategy: Given | None = Field(None, description="Of the manifest, a record, or one in Python.")
    parameters: Values = Field(default_factory=dict)
    rebalance: Rebalance | None = None
    stored: bool = Field(False, description="Weights as the lake has them: of the portfolio, or of the strategy.")
    market: Given | None = None
    kind: Literal["raw", "split", "total_return"] | None = Field(None, description="Of the prices.")
    symbols: Annotated[list[Given], Field(max_length=10_000)] = Field(default_factory=list)
    first: date | None = Field(None, description="First session that trades.")
    last: date | None = Field(None, description="Last session.")
    broker: Literal["paper", "alpaca", "ibkr"] | None = None
    capital: Positive | None = None
    fill: Literal["open", "close", "vwap"] | None = None
    delay: Annotated[int, Field(ge=0, le=10)] | None = None
    commission_per_share: Money | None = None
    commission_bps: BasisPoints | None = None
    commission_minimum: Money | None = None
    commission_maximum_bps: BasisPoints | None = None
    half_spread_bps: BasisPoints | None = None
    slippage_bps: BasisPoints | None = None
    impact_bps: BasisPoints | None = None
    max_participation: Positive | None = None
    borrow_rate: Rate | None = None
    cash_rate: Rate | None = None
    debit_rate: Rate | None = None
    benchmark: Given | None = None

    def request(self) -> BacktestRequest:
        """Raises `InputError` where the keys do not agree."""
        return read_request(self.model_dump(mode="json", exclude_unset=True))


class OptimizationBody(Model):
    """A search of a strategy's parameters; keys mean what they mean to `scizor backtest optimize`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "backtest": {"strategy": "moving_average_cross", "first": "2025-01-20", "last": "2025-02-14"},
                "space": ["fast=2,3", "slow=5,8"],
                "method": "grid",
                "objective": "sharpe",
            }
        }
    )

    backtest: BacktestBody
    space: Annotated[list[Annotated[str, Field(min_length=3, max_length=200)]], Field(min_length=1, max_length=20)]
    method: Literal["grid", "random", "guided"] = "grid"
    trials: Count | None = None
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    objective: Literal["sharpe", "sortino", "cagr", "calmar", "equity"] = "sharpe"
    warm_up: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    train: Count | None = Field(None, description="Walk forward: sessions that parameters are chosen on.")
    test: Count | None = Field(None, description="Walk forward: sessions that the choice then trades.")
    anchored: bool = False
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    purge: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    embargo: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    def asked(self) -> dict[str, JsonValue]:
        """The keys of `flow.optimizing.SearchRequest` but `backtest`, as far as they were given."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"backtest"})

    def search(self, request: BacktestRequest) -> SearchRequest:
        """Raises `InputError` where the keys do not agree."""
        backtest = request.model_dump(mode="json", exclude_defaults=True)
        return read_search({"backtest": backtest, **self.asked()})


def submit_backtest(context: Context, desk: Desk, actor: Actor, body: BacktestBody) -> RunState:
    """Have a backtest run.

    Raises:
        NotFound: there is no such portfolio, strategy or market, or none that the key may see.
        InputError: the request cannot be used, or is too large.
    """
    request = body.request()
    _check(desk, actor, request)
    require_no_files(desk, request)
    if not request.stored:
        require_parameters(desk, request)
    require_size(desk, request, context.rules.max_backtest_cells)
    return _submit(context, actor, "backtest", request, {})


def submit_search(context: Context, desk: Desk, actor: Actor, body: OptimizationBody) -> RunState:
    """Have a search run, and the backtest of its best set after it. Raises as `submit_backtest`."""
    request = body.backtest.request()
    _check(desk, actor, request)
    search = body.search(request)
    varying = tuple(text.partition("=")[0].strip() for text in search.space)
    require_no_files(desk, request, varying)
    require_size(desk, request, context.rules.max_backtest_cells, sets_of(search))
    return _submit(context, actor, "optimization", request, body.asked())


def _check(desk: Desk, actor: Actor, request: BacktestRequest) -> None:
    if request.portfolio is not None:
        actor.portfolio(desk, request.portfolio)
    if request.strategy is not None:
        require_entry(desk, actor, request.strategy)
    if request.market is not None and request.market not in desk.config.markets:
        raise NotFound("market", request.market)


def _submit(
    context: Context, actor: Actor, kind: str, request: BacktestRequest, search: dict[str, JsonValue]
) -> RunState:
    values: dict[str, Any] = request.model_dump(mode="json", exclude_defaults=True)
    config = values | {"max_seconds": context.rules.backtest_seconds}
    if search:
        config["search"] = search
    # The same request is the same partition, whoever asks and however often.
    partition = f"{kind}-{digest(request.text, canonical(search))[:16]}"
    named = {PORTFOLIO_TAG: request.portfolio, STRATEGY_TAG: request.strategy}
    asked = RunRequest(
        kind,
        JOB,
        partition=partition,
        partitions=PARTITIONS,
        config={"ops": {OP: {"config": config}}},
        tags={tag: name for tag, name in named.items() if name is not None},
        ends_when_asked=True,
    )
    return context.runs.submit(asked, actor.name)
