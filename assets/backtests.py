"""Backtests: one partition for each that a person names, its request in the run's config.

What belongs here: the asset `backtests`, its config, and what it shows. What does not: running one (`flow.backtests`).
"""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from pydantic import Field

from assets.checks import FactCheck, SchemaCheck
from assets.failures import clear_failures
from assets.metadata import money, picture, table
from assets.searches import now_and_then, search_metadata
from resources.desk import TradingDesk
from scizor_dagster.analytics.plots import equity_plot
from scizor_dagster.backtest.request import LONGEST_NAME, BacktestRequest, read_request
from scizor_dagster.config import Config
from scizor_dagster.errors import DataError
from scizor_dagster.flow.backtest_report import report_backtest
from scizor_dagster.flow.backtests import Ran, run_request
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.optimizing import best_of_search
from scizor_dagster.lake.schemas import backtest_equity_schema

KEY = dg.AssetKey(["backtests"])
PARTITIONS = dg.DynamicPartitionsDefinition(name="backtests")
SCHEMA = SchemaCheck(KEY, backtest_equity_schema)
WHOLE = FactCheck(KEY, "every_order_filled_whole", "Each planned order found a price, volume and cash for all of it.")
MOST_TRADES = 100
_SHOWN = (
    "total_return", "annual_return", "annual_volatility", "sharpe_ratio", "max_drawdown", "turnover_a_year",
    "gross_exposure", "commission", "spread", "slippage", "impact", "dividends", "interest",
)  # fmt: skip


class BacktestConfig(dg.Config):
    """What is asked for: the keys of `backtest.request.BacktestRequest`, which says what each means; dates are texts.

    Without `name`, a backtest is called as its partition.
    """

    name: str | None = None
    portfolio: str | None = None
    market: str | None = None
    weights: str | None = None
    strategy: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    rebalance: str | None = None
    stored: bool = False
    dated: str | None = None
    unknown_ids: str | None = None
    prices: str | None = None
    kind: str | None = None
    actions: str | None = None
    calendar: str | None = None
    currency: str | None = None
    symbols: list[str] = Field(default_factory=list)
    first: str | None = None
    last: str | None = None
    rules: str | None = None
    broker: str | None = None
    capital: float | None = None
    fill: str | None = None
    delay: int | None = None
    commission_per_share: float | None = None
    commission_bps: float | None = None
    commission_minimum: float | None = None
    commission_maximum_bps: float | None = None
    half_spread_bps: float | None = None
    slippage_bps: float | None = None
    impact_bps: float | None = None
    max_participation: float | None = None
    borrow_rate: float | None = None
    cash_rate: float | None = None
    debit_rate: float | None = None
    short_proceeds_earn: bool = False
    benchmark: str | None = None
    keep_positions: bool = True
    search: dict[str, Any] = Field(
        default_factory=dict,
        description="Search the strategy's parameters first, and keep the backtest of the best set: space, method, "
        "trials, objective, train, test and the other keys of flow.optimizing.SearchRequest.",
    )

    max_seconds: float | None = Field(
        default=None, description="How long it may run; then it ends and nothing is kept."
    )

    def request(self, partition: str) -> BacktestRequest:
        """Raises `InputError` where a key is wrong. Of a partition's name, a backtest has as much as it may be long."""
        called = self.name or partition[:LONGEST_NAME]
        return read_request(self.model_dump(exclude={"search", "max_seconds"}) | {"name": called})


def backtest_assets(config: Config) -> list[dg.AssetsDefinition]:
    """`backtests`, behind the prices of every market."""

    @dg.asset(
        key=KEY,
        deps=[dg.AssetKey([market, "prices"]) for market in config.markets],
        partitions_def=PARTITIONS,
        group_name="research",
        owners=["team:research"],
        kinds={"numpy", "ducklake"},
        code_version="1",
        check_specs=[SCHEMA.spec, WHOLE.spec],
        description="Weights over past prices, by the planner and rules of a live session. The same request on the "
        "same data is run and kept once.",
    )
    def backtests(context: dg.AssetExecutionContext, config: BacktestConfig, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            watch = Watch(context, config.max_seconds)
            request, searched = _searched(context, config, desk.desk, watch)
            deciding = watch.now_and_then("decisions")
            ran = run_request(desk.desk, request, watch.tell, deciding=deciding)
            page = report_backtest(desk.desk, ran)
        trades = ran.frames.trades
        unfilled = trades[trades["filled"] != trades["planned"]]
        return dg.MaterializeResult(
            metadata=backtest_metadata(ran) | searched | {"page": dg.MetadataValue.path(page)},
            data_version=dg.DataVersion(ran.head.backtest_id),
            check_results=[
                SCHEMA.result(ran.frames.equity),
                WHOLE.result(unfilled.empty, orders=len(trades), not_whole=len(unfilled)),
            ],
        )

    return [backtests]


def _searched(
    context: dg.AssetExecutionContext, config: BacktestConfig, desk: Desk, watch: "Watch"
) -> tuple[BacktestRequest, dict[str, Any]]:
    """The request as it is, or that of the best set of the search that is asked for, with what is to be shown of it."""
    request = config.request(context.partition_key)
    if not config.search:
        return request, {}
    best, found = best_of_search(desk, request, config.search, watch.now_and_then("sets"))
    return best, search_metadata(found)


class Watch:
    """Says how far a run is, and ends it where its time is over or somebody has asked for its end."""

    def __init__(self, context: dg.AssetExecutionContext, seconds: float | None) -> None:
        self._context = context
        self._seconds = seconds
        self._ends = time.monotonic() + seconds if seconds is not None else float("inf")

    def tell(self, done: int, total: int) -> bool:
        """As `backtest.engine.Progress`."""
        self._context.log.info(f"{done} of {total} sessions")
        self.look()
        return True

    def now_and_then(self, what: str) -> Callable[[int, int | None], bool]:
        """Says every ten seconds how many are done, and looks each time whether the run is to end."""
        say = now_and_then(self._context.log.info, what)

        def tell(done: int, of: int | None) -> bool:
            self.look()
            return say(done, of)

        return tell

    def look(self) -> None:
        """End the run, or let it go on.

        Raises:
            DataError: its time is over.
            DagsterExecutionInterruptedError: its end was asked for; Dagster marks it as cancelled.
        """
        if time.monotonic() > self._ends:
            raise DataError(
                f"It takes more than {self._seconds:g} seconds.",
                remedy="Ask for fewer sessions, symbols or sets; nothing was kept but the sets that were tried.",
            )
        run = self._context.instance.get_run_by_id(self._context.run.run_id)
        if run is not None and run.status is dg.DagsterRunStatus.CANCELING:
            raise DagsterExecutionInterruptedError("Its end was asked for.")


def backtest_metadata(ran: Ran) -> dict[str, Any]:
    """Figures that Dagster plots over the materializations, a chart, months and the last orders."""
    head, frames = ran.head, ran.frames
    months = frames.months.assign(month=[month.strftime("%Y-%m") for month in frames.months["month"]])
    curve = frames.equity
    if head.benchmark:
        growth = (1 + curve["benchmark_return"].fillna(0.0)).cumprod()
        curve = curve.assign(benchmark=head.capital * growth)
    trades = frames.trades.tail(MOST_TRADES)
    return {
        "dagster/row_count": len(frames.equity),
        "backtest": head.backtest_id,
        "run_now": ran.fresh,
        "sessions": f"{head.first_session} to {head.last_session}",
        "equity": money(head.equity),
        **{name: round(head.figures[name], 8) for name in _SHOWN if head.figures[name] == head.figures[name]},
        "curve": picture(equity_plot(curve, head.currency), "equity and drawdown"),
        "months": table(months, ["month", "return", "benchmark_return", "profit", "costs", "turnover"]),
        "instruments": table(frames.instruments.sort_values("profit", ascending=False).head(MOST_TRADES)),
        "last_orders": table(trades, rest=len(frames.trades) - len(trades)),
        "request": dg.MetadataValue.json(dict(_request(head.request))),
        "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in head.notes) or "none"),
    }


def _request(text: str) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(text)
    return found
