"""A search finds the best of its sets, repeats nothing that it knows, goes on where it was stopped, and names luck."""

from pathlib import Path

import numpy as np
import pytest

from scizor_dagster.backtest.search.objectives import Objective, returns_of, scores_of
from scizor_dagster.backtest.search.running import Runner
from scizor_dagster.backtest.search.samplers import Method
from scizor_dagster.backtest.search.search import Plan, SearchStopped, best_trial, search
from scizor_dagster.backtest.search.spaces import digest_text, space_of
from scizor_dagster.backtest.search.splits import Split
from scizor_dagster.backtest.search.trials import LakeStore, MemoryStore, State
from scizor_dagster.backtest.search.verdicts import verdict_of
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from tests.backtest.search.markets import market, problem, weight_of


def run(given, plan, store=None, progress=None, split=None):
    with Runner(given, 1) as runner:
        return search(given, plan, store or MemoryStore(), runner, progress, split)


def logged(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def weights_space(path: Path, count: int = 6):
    return space_of([f"w=0.1:0.{count}:0.1", f"log={path}"])


def test_the_best_set_is_the_one_whose_curve_scores_highest():
    given = problem(market(200, 3, trend=0.3))
    plan = Plan(space_of(["fast=2,5,9", "slow=10,30,60"]), objective=Objective.CALMAR, warm_up=60)
    found = run(given, plan)
    scores = {
        text: scores_of(returns_of(trial.equity[:, None], 100_000.0)[60:], Objective.CALMAR)[0]
        for text, trial in found.kept.items()
    }
    assert len(scores) == 9
    best = best_trial(found, plan)
    assert best is not None
    assert best[0].text == max(scores, key=scores.get)
    assert best[1] == pytest.approx(max(scores.values()))


def test_a_second_search_runs_only_what_is_new(tmp_path: Path):
    given, store = problem(market(60, 2), weight_of), LakeStore(Lake(LakeLocation.embedded(tmp_path / "lake")), "w")
    log = tmp_path / "log"
    first = run(given, Plan(weights_space(log, 3)), store)
    assert (first.computed, logged(log)) == (3, ["0.1", "0.2", "0.3"])
    second = run(given, Plan(weights_space(log, 5)), store)
    assert (second.computed, logged(log)[3:]) == (2, ["0.4", "0.5"])
    assert len(second.kept) == 5
    again = run(given, Plan(weights_space(log, 5)), store)
    assert again.computed == 0
    assert list(again.kept) == list(second.kept)
    assert np.array_equal(again.returns(), second.returns())
    other = problem(market(60, 2, seed=1), weight_of)
    assert run(other, Plan(weights_space(log, 3)), store).computed == 3


def test_a_search_that_is_stopped_keeps_what_is_finished_and_goes_on(tmp_path: Path):
    given, store, log = problem(market(60, 2), weight_of), MemoryStore(), tmp_path / "log"
    plan = Plan(weights_space(log))
    with pytest.raises(SearchStopped, match="after 2 sets"):
        run(given, plan, store, lambda done, of: done < 2)
    assert logged(log) == ["0.1", "0.2"]
    assert run(given, plan, store).computed == 4
    assert logged(log) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path):
    given, store, log = problem(market(60, 2), weight_of), MemoryStore(), tmp_path / "log"

    def interrupt(done: int, of: int | None) -> bool:
        if done == 4:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        run(given, Plan(weights_space(log)), store, interrupt)
    assert run(given, Plan(weights_space(log)), store).computed == 2


def test_progress_says_how_many_of_how_many():
    said = []
    given = problem(market(60, 2), weight_of)
    run(given, Plan(space_of(["w=0.1,0.2,0.3"])), None, lambda done, of: said.append((done, of)) or True)
    assert said == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_what_failed_is_tried_again_and_what_is_refused_never_runs(tmp_path: Path):
    from pydantic import BaseModel, model_validator

    class Weights(BaseModel):
        w: float
        log: str
        broken: bool = False

        @model_validator(mode="after")
        def _small(self) -> "Weights":
            if self.w > 0.25:
                raise ValueError("w is too large")
            return self

    given, store = problem(market(60, 2), weight_of), MemoryStore()
    log = tmp_path / "log"
    plan = Plan(space_of(["w=0.1,0.2,0.3", f"log={log}", "broken=false,true"], Weights))
    for _ in range(2):
        found = run(given, plan, store)
        states = [trial.state for trial in found.kept.values()]
        assert states == [State.DONE, State.FAILED] * 2 + [State.REFUSED] * 2
    assert found.computed == 2
    assert logged(log) == ["0.1", "0.2"]
    assert "w is too large" in [*found.kept.values()][-1].error


def test_a_search_of_sets_without_a_score_has_no_best_and_no_verdict():
    given = problem(market(60, 2), weight_of)
    plan = Plan(space_of(["w=0.1", "broken=true"]))
    found = run(given, plan)
    assert best_trial(found, plan) is None
    assert verdict_of(found, plan) is None
    still = Plan(space_of(["w=0.0"]))
    assert best_trial(run(given, still), still) is None


def test_a_split_scores_its_training_sessions_alone():
    given = problem(market(200, 3, trend=0.3))
    plan = Plan(space_of(["fast=2,5,9", "slow=10,30,60"]))
    found = run(given, plan)
    split = Split(((60, 100), (120, 150)), ((100, 120),))
    rows = [*range(60, 100), *range(120, 150)]
    expected = scores_of(found.returns()[rows], Objective.SHARPE)
    best = best_trial(found, plan, split)
    assert best is not None
    assert best[0] is found.done()[int(expected.argmax())]


@pytest.mark.parametrize("method", [Method.RANDOM, Method.GUIDED])
def test_the_same_seed_tries_the_same_sets_stopped_or_not(method: Method):
    if method is Method.GUIDED:
        pytest.importorskip("optuna")
    given, store = problem(market(80, 2), weight_of), MemoryStore()
    plan = Plan(space_of(["w=0.0..0.9"]), method, trials=24, seed=3)
    whole = run(given, plan)
    with pytest.raises(SearchStopped):
        run(given, plan, store, lambda done, of: done < 19)
    assert list(run(given, plan, store).kept) == list(whole.kept)
    assert len(whole.kept) == 24


def test_more_than_a_search_can_hold_is_refused_with_what_it_can():
    given = problem(market(60, 2), weight_of)
    with pytest.raises(InputError, match=r"at most 1,000,000 sets"):
        run(given, Plan(space_of(["w=0.0..0.9"]), Method.RANDOM, trials=1_000_001))
    with pytest.raises(InputError, match="leaves nothing"):
        run(given, Plan(space_of(["w=0.1"]), warm_up=60))


def test_the_best_of_pure_noise_is_called_luck():
    given = problem(market(750, 4, seed=12))
    plan = Plan(space_of(["fast=2:20:3", "slow=25:95:10"]), warm_up=95)
    found = run(given, plan)
    verdict = verdict_of(found, plan)
    assert verdict is not None
    assert verdict.own.trials == len(found.kept) == 56
    assert verdict.own.sharpe > 0.3
    assert verdict.is_luck
    assert "NO BETTER THAN LUCK" in verdict.sentences()[0]


def test_what_is_in_the_prices_is_not_called_luck():
    given = problem(market(750, 4, seed=12, trend=0.6))
    plan = Plan(space_of(["fast=2:20:3", "slow=25:95:10"]), warm_up=95)
    verdict = verdict_of(run(given, plan), plan, given.market)
    assert verdict is not None
    assert not verdict.is_luck
    assert not verdict.is_market
    assert "Better than luck" in verdict.sentences()[0]
    assert "Beside its share of the market as well" in verdict.sentences()[1]
    assert verdict.own.deflated < verdict.own.probabilistic


def test_noise_in_a_rising_market_is_called_the_market():
    given = problem(market(750, 4, seed=12, drift=0.002))
    plan = Plan(space_of(["fast=2:20:3", "slow=25:95:10"]), warm_up=95)
    verdict = verdict_of(run(given, plan), plan, given.market)
    assert verdict is not None
    assert (verdict.is_luck, verdict.is_market) == (False, True)
    assert "NO BETTER THAN THE MARKET" in verdict.sentences()[0]


def test_the_market_is_every_instrument_in_equal_parts_by_what_is_known_of_it():
    history = market(50, 3)
    history.close[20, 1] = np.nan
    returns = problem(history).market
    moves = history.close[1:] / history.close[:-1] - 1
    assert returns[0] == 0.0
    assert returns[1:] == pytest.approx(np.nanmean(moves, axis=1))


def test_sets_are_known_by_their_values_whatever_their_order():
    assert digest_text({"b": 1, "a": 0.5}) == digest_text({"a": 0.5, "b": 1})
