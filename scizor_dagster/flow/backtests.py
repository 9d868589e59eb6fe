"""A backtest from its request to what the lake keeps of it.

What belongs here: putting prices, weights, rules and costs together, running, and storing once. What does not: each of
these (`backtest_prices`, `backtest_weights`, `backtest_costs`, `backtest.engine`, `backtest.storage`).

The same request on the same inputs, rules and code is the same backtest: its id is the digest of all of them, and it is
run and written once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.analytics.ratios import FEWEST, SESSIONS_A_YEAR, sessions_a_year
from scizor_dagster.backtest.engine import BacktestCancelled, Progress, run_backtest
from scizor_dagster.backtest.figures import Facts, Frames, frames_of
from scizor_dagster.backtest.histories import few
from scizor_dagster.backtest.model import Choices, Costs, FillAt, Fills, History, Result, Schedule
from scizor_dagster.backtest.request import BacktestRequest, canonical, digest
from scizor_dagster.backtest.storage import Head, find_backtest, read_frames, store_backtest
from scizor_dagster.brokers.capabilities import BY_BROKER, account_capabilities
from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.config import PaperAccount, WeightRules
from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.backtest_costs import costs_for
from scizor_dagster.flow.backtest_prices import EVERY_DAY, PriceSource, price_source
from scizor_dagster.flow.backtest_targets import Rules
from scizor_dagster.flow.backtest_weights import weight_source
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import configured_cash
from scizor_dagster.planning.rules import PlanningRules, rules_from
from scizor_dagster.planning.rules_file import FileFractionalShares, load_rules
from scizor_dagster.strategies.deciding import Tell
from scizor_dagster.version import code_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_CAPITAL = 100_000.0
LEAD = 25
"""Sessions before the first one that trades: for average volumes, and for a price that is some sessions old."""
MADE_BY = (
    "backtest/engine*.py",
    "backtest/figures.py",
    "backtest/model.py",
    "analytics/costs_model.py",
    "analytics/performance.py",
    "analytics/ratios.py",
)
"""Sources whose change may change a number of a kept result, which must not be served as known then."""
_EXCHANGE_DECIMALS = 4
_DAYS_A_YEAR = 365.25
_NEAR = 0.05
"""Exchanges have 245 to 262 sessions a year; a file with about as many is of one."""


@dataclass(frozen=True)
class Prepared:
    """Everything that a run is made from.

    Attributes:
        begins: The row that the first return counts from.
        notes: Sentences of the request's own: costs, defaults.
        benchmark: Returns from each session to the next; None without.
    """

    request: BacktestRequest
    history: History
    schedule: Schedule
    rules: PlanningRules
    capabilities: Capabilities
    choices: Choices
    begins: int
    notes: tuple[str, ...]
    weights_from: str
    sessions_a_year: int
    benchmark_name: str
    benchmark: NDArray[Any] | None
    market: str
    lake_snapshot: int | None

    @property
    def inputs_digest(self) -> str:
        """Of prices, actions and weights, whatever they were read from."""
        history, schedule = self.history, self.schedule
        names = ("close", "open", "high", "low", "volume")
        arrays = [array for array in (getattr(history, name) for name in names) if array is not None]
        left = () if schedule.kept is None else (schedule.kept,)
        contents = [np.ascontiguousarray(one).tobytes() for one in (*arrays, schedule.rows, schedule.weights, *left)]
        heads = (history.sessions, history.instruments, history.currency, history.adjustment)
        compared = b"" if self.benchmark is None else self.benchmark.tobytes()
        return digest(canonical(heads), canonical(history.actions), *contents, compared)

    @property
    def backtest_id(self) -> str:
        measured = canonical((self.begins, self.sessions_a_year, self.benchmark_name))
        parts = (self.rules.as_text(), canonical(self.capabilities), canonical(self.choices), measured)
        return digest(self.request.text, self.inputs_digest, *parts, engine_version())


@dataclass(frozen=True)
class Ran:
    """A backtest that is done. `fresh` when it was run now; else it was stored before."""

    head: Head
    frames: Frames
    fresh: bool


@cache
def engine_version() -> str:
    """`<release>+<digest>` of the planner, and a digest of the sources that make a result and its figures."""
    package = Path(__file__).parent.parent
    paths = sorted(path for pattern in MADE_BY for path in package.glob(pattern))
    sources = [path.name + path.read_text(encoding="utf-8") for path in paths]
    return f"{code_version()}.{digest(*sources)[:12]}"


def prepare(desk: Desk, request: BacktestRequest, progress: Progress | None = None) -> Prepared:
    """Read everything that the request names, and let strategies decide; nothing is run or written.

    Args:
        desk: Whose configuration and stores.
        request: What is asked for.
        progress: Is called after each decision of a strategy in Python, and each session whose strategies are combined.

    Raises:
        BacktestCancelled: `progress` said so.
        ScizorError: something of it cannot be used; says what, where, and what to do.
    """
    rules, capabilities, said = rules_and_capabilities(desk, request)
    prices = price_source(desk, request)
    weights = weight_source(desk, request, weight_rules(desk, request, rules), prices)
    if request.benchmark is not None:
        prices.require_benchmark(request.benchmark)
    history = prices.history(weights.symbols, weights.first, max(LEAD, request.delay))
    schedule = weights.schedule(history, request.first, request.last, _deciding(progress))
    begins = _begins(request, history, schedule)
    choices, told = choices_of(desk, request, prices, history, begins)
    benchmark = request.benchmark or (desk.portfolio(request.portfolio).benchmark if request.portfolio else None) or ""
    compared, about = prices.benchmark(benchmark, history.sessions[begins:]) if benchmark else (None, "")
    if request.benchmark is not None and compared is None:
        raise PriceUnavailable(about, remedy="Collect them, name another one, or leave it out.", where="--benchmark")
    year = year_of(prices, history)
    return Prepared(
        request=request,
        history=history,
        schedule=schedule,
        rules=rules,
        capabilities=capabilities,
        choices=choices,
        begins=begins,
        notes=(*said, *told, *filter(None, (about, _annualised(year, prices), _untradable(history, schedule)))),
        weights_from=weights.text,
        sessions_a_year=year,
        benchmark_name=benchmark if compared is not None else "",
        benchmark=compared,
        market=prices.market or "",
        lake_snapshot=desk.lake.snapshot() if prices.market is not None or request.stored else None,
    )


def _deciding(progress: Progress | None) -> Tell:
    def tell(done: int, total: int) -> None:
        if progress is not None and not progress(done, total):
            raise BacktestCancelled(
                f"The backtest was cancelled while its weights were made, after {done} of {total}.",
                remedy="Run it again.",
            )

    return tell


def _untradable(history: History, schedule: Schedule) -> str:
    """A sentence on what has a weight and takes no orders."""
    wanted = (schedule.weights != 0).any(axis=0)
    names = [item.symbol for item, has in zip(history.instruments, wanted, strict=True) if has and not item.tradable]
    said = f"Not tradable, as was known before the first session, so that nothing is ordered: {few(names)}."
    return said if names else ""


def rules_and_capabilities(desk: Desk, request: BacktestRequest) -> tuple[PlanningRules, Capabilities, list[str]]:
    if request.portfolio is not None:
        settings = desk.portfolio(request.portfolio)
        account = account_capabilities(desk.account(settings.account))
        return rules_from(settings), BY_BROKER[request.broker] if request.broker else account, []
    capabilities = BY_BROKER[request.broker or "paper"]
    if request.rules is None:
        return PlanningRules(), capabilities, ["Rules: a plain rebalance, as scizor plan without --rules makes it."]
    rules, notes = load_rules(Path(request.rules), os.environ)
    return rules, capabilities, list(notes)


def weight_rules(desk: Desk, request: BacktestRequest, rules: PlanningRules) -> Rules:
    if request.portfolio is not None:
        settings = desk.portfolio(request.portfolio)
        return Rules(settings.weights, settings.risk.fractional_shares)
    largest = "unlimited" if rules.max_weight is None else float(rules.max_weight)
    weights = WeightRules.model_validate(
        {"allow_short": rules.allow_short, "max_weight": largest, "blacklist": tuple(sorted(rules.blacklist))}
    )
    total = float(rules.max_total_weight)
    fractional = FileFractionalShares(max_total_weight=total, adjust_for_overflow=rules.adjust_for_overflow)
    return Rules(weights, fractional)


def choices_of(
    desk: Desk, request: BacktestRequest, prices: PriceSource, history: History, begins: int
) -> tuple[Choices, list[str]]:
    """Capital, fills and costs of a request whose returns count from the row `begins`, and what is to be said."""
    costs, each, said = costs_for(desk, request, prices, history, begins)
    notes = [said, *_per_share(history, (costs, *each.values()))]
    if history.volume is None and request.impact_bps is None and request.max_participation is None:
        if any(one.impact_bps or one.max_participation < float("inf") for one in (costs, *each.values())):
            notes.append("The prices have no volumes: orders have no impact and fill whole.")
        costs, each = _without_volumes(costs), {name: _without_volumes(one) for name, one in each.items()}
    fill = FillAt(request.fill) if request.fill else FillAt.OPEN
    if request.fill is None and (request.delay == 0 or history.open is None):
        fill = FillAt.CLOSE
        if request.delay:
            notes.append("The prices have no opens: orders fill at the close of the session that they trade in.")
    if request.delay == 0:
        notes.append("Orders fill at the very close that they are decided on, which nobody can trade at.")
    fills = Fills(at=fill, delay=request.delay)
    capital = request.capital or DEFAULT_CAPITAL
    if request.portfolio is not None:
        settings = desk.portfolio(request.portfolio)
        if isinstance(desk.account(settings.account), PaperAccount):
            fills = replace(fills, price_decimals=_EXCHANGE_DECIMALS, cents=True)
        if request.capital is None:
            capital = float(configured_cash(desk, request.portfolio))
    made = Choices(capital, fills, costs, each, request.keep_positions, begins=begins)
    if prices.market is not None:
        made = replace(made, max_price_age=desk.market(prices.market).max_price_age_sessions)
    return made, notes


def _per_share(history: History, costs: Sequence[Costs]) -> list[str]:
    """A sentence on fees by the share where the shares of adjusted prices are not those that traded."""
    charged = any(one.commission.per_share or one.commission.sell_per_share for one in costs)
    if history.adjustment == "raw" or not charged:
        return []
    return [
        f"Commissions per share count the shares of {history.adjustment} prices, which are not those of their time."
    ]


def _without_volumes(costs: Costs) -> Costs:
    return replace(costs, impact_bps=0.0, max_participation=float("inf"))


def _begins(request: BacktestRequest, history: History, schedule: Schedule) -> int:
    """The row of the last close before anything trades."""
    if request.first is None:
        return max(int(schedule.rows[0]) - 1, 0)
    return max(next(at for at, day in enumerate(history.sessions) if day >= request.first) - 1, 0)


def year_of(prices: PriceSource, history: History) -> int:
    """Sessions in a year: by the calendar; without one, as many as the dates come to where they are not daily ones."""
    if prices.calendar.code != EVERY_DAY:
        return sessions_a_year(prices.calendar, history.sessions[-1].year)
    span = (history.sessions[-1] - history.sessions[0]).days
    if len(history.sessions) <= FEWEST or not span:
        return SESSIONS_A_YEAR
    found = (len(history.sessions) - 1) * _DAYS_A_YEAR / span
    return SESSIONS_A_YEAR if abs(found / SESSIONS_A_YEAR - 1) < _NEAR else max(round(found), 1)


def _annualised(year: int, prices: PriceSource) -> str:
    """A sentence where the dates of a file are no daily ones."""
    if prices.calendar.code != EVERY_DAY or year == SESSIONS_A_YEAR:
        return ""
    return f"A year is {year} sessions here, as many as the file has in one; --calendar says otherwise."


def run_request(
    desk: Desk,
    request: BacktestRequest,
    progress: Progress | None = None,
    *,
    store: bool = True,
    deciding: Progress | None = None,
) -> Ran:
    """Run a backtest and store it, or find it where it was stored before.

    Args:
        desk: Whose configuration and stores.
        request: What is asked for.
        progress: As of `run_backtest`; what it cancels leaves nothing.
        deciding: As of `prepare`, for the decisions before the run; by default `progress` too.
        store: Whether the lake keeps it; without, it is run in any case.

    Raises:
        ScizorError: as `prepare` and `run_backtest`; nothing is stored.
    """
    prepared = prepare(desk, request, deciding or progress)
    known = find_backtest(desk.lake, prepared.backtest_id) if store else None
    if known is not None:
        return Ran(known, read_frames(desk.lake, known.backtest_id), fresh=False)
    result = run_backtest(
        prepared.history, prepared.schedule, prepared.rules, prepared.capabilities, prepared.choices, progress
    )
    return _keep(desk, prepared, result, store=store)


def _keep(desk: Desk, prepared: Prepared, result: Result, *, store: bool) -> Ran:
    facts = Facts(prepared.begins, prepared.sessions_a_year, prepared.benchmark)
    frames = frames_of(result, facts)
    head = _head(prepared, result, frames)
    if store:
        store_backtest(desk.lake, head, frames, result, facts, desk.clock())
    return Ran(head, frames, fresh=True)


def _head(prepared: Prepared, result: Result, frames: Frames) -> Head:
    history, request = prepared.history, prepared.request
    return Head(
        backtest_id=prepared.backtest_id,
        name=request.name,
        portfolio=request.portfolio or "",
        market=prepared.market,
        start=history.sessions[prepared.begins],
        first_session=frames.equity["session"].iloc[0],
        last_session=frames.equity["session"].iloc[-1],
        sessions=len(frames.equity),
        sessions_a_year=prepared.sessions_a_year,
        instruments=len(history.instruments),
        currency=history.currency,
        adjustment=history.adjustment,
        capital=prepared.choices.capital,
        equity=float(result.equity[-1]),
        prices_from=history.source,
        weights_from=prepared.weights_from,
        benchmark=prepared.benchmark_name,
        request=request.text,
        rules=prepared.rules.as_text(),
        choices=canonical(prepared.choices),
        capabilities=canonical(prepared.capabilities),
        inputs_sha256=prepared.inputs_digest,
        lake_snapshot=prepared.lake_snapshot,
        code_version=engine_version(),
        figures=frames.figures,
        notes=tuple(dict.fromkeys((*prepared.notes, *result.notes))),
    )
