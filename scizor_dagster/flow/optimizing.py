"""A parameter search of a strategy in Python: from its request to what it came to.

What belongs here: putting prices, rules, costs and the strategy together as one problem. What does not: the search
itself (`backtest.search`).

What is asked for beside the strategy's parameters is asked for as of a backtest (`backtest.request`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from scizor_dagster.backtest.engine_checks import check_run
from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.backtest.request import BacktestRequest, canonical, digest
from scizor_dagster.backtest.search.kept import store_search
from scizor_dagster.backtest.search.objectives import Objective
from scizor_dagster.backtest.search.pages import Findings
from scizor_dagster.backtest.search.problem import Problem
from scizor_dagster.backtest.search.running import Runner, workers_of
from scizor_dagster.backtest.search.samplers import Method
from scizor_dagster.backtest.search.search import Plan, Progress, search
from scizor_dagster.backtest.search.spaces import Parameters, Space, space_of
from scizor_dagster.backtest.search.splits import Split, Windows, purged_folds, walk_forward
from scizor_dagster.backtest.search.trials import LakeStore, MemoryStore, Store
from scizor_dagster.backtest.search.verdicts import verdict_of
from scizor_dagster.backtest.search.walk_forward import walk
from scizor_dagster.config.base import Model
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.flow.backtest_prices import price_source
from scizor_dagster.flow.backtest_strategies import limits_for, refuse_untaken
from scizor_dagster.flow.backtests import LEAD, choices_of, rules_and_capabilities, weight_rules, year_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.strategies import records_of, registry_of, strategy_named, strategy_of
from scizor_dagster.signals.rules import Limits
from scizor_dagster.strategies.deciding import strategy_schedule
from scizor_dagster.strategies.definition import Definition
from scizor_dagster.strategies.prices import LISTED_WITHIN
from scizor_dagster.strategies.rebalancing import Rebalance
from scizor_dagster.strategies.registry import Registry

_MOST_CORNERS = 1024
_MOST_KEPT = 50
Count = Annotated[int, Field(ge=1)]
Least = Annotated[int, Field(ge=0)]


class SearchRequest(Model):
    """One search.

    Attributes:
        backtest: What is the same for all sets: prices, rules, costs; its `strategy` is one in Python, its `parameters`
            are those that do not vary.
        space: What varies, as `backtest.search.spaces` writes it: `fast=10:50:10`.
        trials: At most so many sets, in each window of a walk forward; a grid may leave it out.
        warm_up: Sessions at the start that nothing is measured in; by default the longest look-back of the strategy in
            the space, so that all sets are measured over the same sessions.
        train, test: Sessions of the windows of a walk forward; both or none.
        folds: Groups of sessions, each tested once and trained on all others: purged cross-validation, in the place of
            a walk forward.
        purge: Sessions between training and test; by default the longest look-back.
        embargo: Sessions after a test that `folds` do not train on.
        workers: Processes at most; by default `MAX_WORKERS`, or all processors.
    """

    backtest: BacktestRequest
    space: Annotated[tuple[str, ...], Field(min_length=1)]
    method: Literal["grid", "random", "guided"] = "grid"
    trials: Count | None = None
    seed: Least = 0
    objective: Literal["sharpe", "sortino", "cagr", "calmar", "equity"] = "sharpe"
    warm_up: Least | None = None
    train: Count | None = None
    test: Count | None = None
    anchored: bool = False
    folds: Annotated[int, Field(ge=2)] | None = None
    purge: Least | None = None
    embargo: Least = 0
    workers: Count | None = None

    @model_validator(mode="after")
    def _keys_agree(self) -> SearchRequest:
        if self.backtest.strategy is None or self.backtest.weights is not None or self.backtest.stored:
            raise ValueError("a search needs a strategy that is written in Python, and no weights")
        if self.method != "grid" and self.trials is None:
            raise ValueError(f"a {self.method} search needs to know how many sets to try: --trials N")
        if (self.train is None) != (self.test is None):
            raise ValueError("train and test go together")
        if self.folds is not None and self.train is not None:
            raise ValueError("folds take the place of a walk forward: leave out train and test")
        if self.anchored and self.train is None:
            raise ValueError("anchored is of a walk forward: give train and test")
        if self.embargo and self.folds is None:
            raise ValueError("an embargo is of folds: give them, or leave it out")
        if self.purge is not None and not self.is_split:
            raise ValueError("purge stands between training and test: give train and test, or folds")
        return self

    @property
    def is_split(self) -> bool:
        return self.folds is not None or self.train is not None

    @property
    def text(self) -> str:
        """Canonical JSON of what was asked for; on how many processes is not in it."""
        return canonical(self.model_dump(mode="json", exclude_defaults=True, exclude={"workers"}))


@dataclass(frozen=True)
class StrategyMaker:
    """A strategy of a registry by its name, for any process: see `backtest.search.problem.Maker`.

    Attributes:
        function: Its name.
        folder: Of the registry.
        fixed: Parameters that do not vary.
        first: First session that weights trade in; None from the second of the history on.
        delay: Sessions from the close that decides to the one that trades.
        limits: What signal intake takes of a file.
    """

    function: str
    folder: Path | None
    fixed: Mapping[str, Any]
    rebalance: Rebalance
    first: date | None
    delay: int
    limits: Limits

    def __call__(self, history: History, sets: Sequence[Parameters]) -> Iterator[Schedule]:
        definition = Registry(self.folder).find(self.function)
        for parameters in sets:
            strategy = definition.configured({**self.fixed, **parameters}, self.rebalance)
            made = strategy_schedule(strategy, history, first=self.first, delay=self.delay)
            refuse_untaken(strategy, made, history, self.limits)
            yield made


def read_search(values: Mapping[str, Any]) -> SearchRequest:
    """Check plain values.

    Raises:
        InputError: naming the first key that is wrong.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return SearchRequest.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        problem = str(first["msg"]).removeprefix("Value error, ")
        shown = f"{key} '{first['input']}': {problem}" if key else problem[:1].upper() + problem[1:]
        raise InputError(
            shown, remedy="See docs/parameter-search.md for what a search takes.", where="request"
        ) from error


def search_id(request: SearchRequest, found: Findings) -> str:
    """What a search is known by: the digest of what was asked for, and of its problem."""
    return digest(request.text, found.problem.digest)


def keep_search(
    desk: Desk, request: SearchRequest, found: Findings, axes: Sequence[str] = (), picture: str = ""
) -> None:
    """Keep what a search came to beside its trials.

    Args:
        desk: Whose lake.
        request: What was asked for.
        found: What came of it.
        axes: Two parameters whose map is kept; by default the first two that vary.
        picture: File that the map was written to.
    """
    record = found.record(_MOST_KEPT, axes) | ({"picture": picture} if picture else {})
    store_search(desk.lake, search_id(request, found), found.problem.strategy, request.text, record, desk.clock())


def run_search(desk: Desk, request: SearchRequest, progress: Progress | None = None, *, store: bool = True) -> Findings:
    """Search, and walk forward where that is asked for. Trials that the lake has are not run again.

    Args:
        desk: Whose configuration and stores.
        request: What is asked for.
        progress: See `backtest.search.search.Progress`.
        store: Whether the lake keeps the trials.

    Raises:
        ScizorError: something of the request cannot be used; or `SearchStopped`.
    """
    problem, plan, longest = problem_of(desk, request)
    splits = _splits(request, plan, longest, len(problem.history.sessions))
    kept: Store = LakeStore(desk.lake, problem.strategy) if store else MemoryStore()
    walked = None
    with Runner(problem, workers_of(desk.settings.environment, request.workers)) as runner:
        if splits:
            walked = walk(problem, plan, splits, kept, runner, progress)
        tried = walked.trials if walked is not None else search(problem, plan, kept, runner, progress)
    found = Findings(problem, plan, tried, verdict_of(tried, plan, problem.market), walked)
    if store:
        keep_search(desk, request, found)
    return found


def best_of_search(
    desk: Desk, request: BacktestRequest, asked: Mapping[str, Any], progress: Progress | None = None
) -> tuple[BacktestRequest, Findings]:
    """The backtest of the best set of a search, and the search: `asked` has the keys of `SearchRequest` but `backtest`.

    Raises:
        DataError: no set has a score.
        ScizorError: as `run_search`.
    """
    found = run_search(
        desk, read_search({"backtest": request.model_dump(mode="json", exclude_defaults=True), **asked}), progress
    )
    if found.verdict is None:
        raise DataError(
            "No parameter set of the search has a score.",
            remedy=f"See why: {'; '.join(found.failures()) or 'nothing was traded'}.",
        )
    return request.model_copy(update={"parameters": {**request.parameters, **found.verdict.best.parameters}}), found


def problem_of(desk: Desk, request: SearchRequest) -> tuple[Problem, Plan, int]:
    """What is searched, how, and the longest look-back of any set, in sessions.

    Raises:
        ScizorError: something of the request cannot be used.
    """
    asked = request.backtest
    assert asked.strategy is not None
    definition, configured, rhythm = _strategy(desk, asked.strategy)
    rebalance = asked.rebalance or rhythm
    varying = {text.partition("=")[0].strip() for text in request.space}
    fixed = {name: value for name, value in configured.items() if name not in varying} | asked.parameters
    space = space_of(request.space, definition.parameters, fixed)
    longest = _longest(definition, space, fixed)
    rules, capabilities, _ = rules_and_capabilities(desk, asked)
    prices = price_source(desk, asked)
    history = prices.history(None, asked.first, max(longest + LISTED_WITHIN, LEAD) + asked.delay)
    begins = next((row for row, day in enumerate(history.sessions) if asked.first is None or day >= asked.first), 0)
    choices, _ = choices_of(desk, asked, prices, history, max(begins - 1, 0))
    # What no set could be run with is said now, and not once for each of them.
    check_run(history, Schedule(np.array([], dtype=np.intp), np.zeros((0, len(history.instruments)))), rules, choices)
    intake = weight_rules(desk, asked, rules)
    limits = limits_for(desk, asked, intake.weights, intake.fractional)
    made = (definition.source, json.dumps(fixed, sort_keys=True), rebalance, str(asked.first), str(limits))
    problem = Problem(
        strategy=asked.strategy,
        version=hashlib.sha256(json.dumps(made).encode()).hexdigest(),
        maker=StrategyMaker(
            definition.name, registry_of(desk).folder, fixed, rebalance, asked.first, asked.delay, limits
        ),
        history=history,
        rules=rules,
        capabilities=capabilities,
        choices=choices,
    )
    warm_up = request.warm_up if request.warm_up is not None else max(begins, longest)
    plan = Plan(
        space=space,
        method=Method(request.method),
        trials=request.trials,
        seed=request.seed,
        objective=Objective(request.objective),
        warm_up=warm_up,
        sessions_a_year=year_of(prices, history),
    )
    return problem, plan, longest


def _strategy(desk: Desk, name: str) -> tuple[Definition, Mapping[str, Any], Rebalance]:
    """What a name stands for, as in a backtest: of an entry or a record with its own parameters and rhythm."""
    entry = next((entry for entry in desk.manifest.strategies if entry.id == name), None)
    if entry is None and name not in records_of(desk):
        return registry_of(desk).find(name), {}, "daily"
    if entry is not None and entry.function is None:
        raise InputError(
            f"Strategy '{name}' of the manifest is a weight file, and has no parameters to search.",
            remedy="Name a strategy in Python: scizor strategy list.",
            where=desk.config.strategy_manifest,
        )
    strategy = strategy_named(desk, name) if entry is None else strategy_of(desk, entry)
    return strategy.definition, strategy.parameters.model_dump(mode="json"), strategy.rebalance


def _longest(definition: Definition, space: Space, fixed: Mapping[str, Any]) -> int:
    """The longest look-back at the corners of the space; 1 where none of them says."""
    corners = (corner for corner in islice(space.corners(), _MOST_CORNERS))
    taken = [corner for corner in corners if space.refusal is None or space.refusal(corner) is None]
    return max([1, *(definition.configured({**fixed, **corner}).window or 1 for corner in taken)])


def _splits(request: SearchRequest, plan: Plan, longest: int, sessions: int) -> list[Split]:
    purge = longest if request.purge is None else request.purge
    if request.folds is not None:
        return list(purged_folds(plan.warm_up, sessions, request.folds, purge=purge, embargo=request.embargo))
    if request.train is None or request.test is None:
        return []
    return walk_forward(plan.warm_up, sessions, Windows(request.train, request.test, purge, request.anchored))
