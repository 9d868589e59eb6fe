"""What a person sees of a search: its table, a map of two parameters, JSON without what JSON lacks, pictures."""

import json
import math

import numpy as np
import pytest

from scizor_dagster.backtest.search.pages import Findings, heat_map
from scizor_dagster.backtest.search.running import Runner
from scizor_dagster.backtest.search.samplers import Method
from scizor_dagster.backtest.search.search import Plan, search
from scizor_dagster.backtest.search.spaces import space_of
from scizor_dagster.backtest.search.splits import Windows, walk_forward
from scizor_dagster.backtest.search.trials import MemoryStore
from scizor_dagster.backtest.search.verdicts import verdict_of
from scizor_dagster.backtest.search.walk_forward import walk
from scizor_dagster.errors import InputError
from tests.backtest.search.markets import market, problem, weight_of

PNG = b"\x89PNG"


def findings(plan: Plan, given=None, *, walking: bool = False) -> Findings:
    given = given or problem(market(260, 3, trend=0.3))
    store = MemoryStore()
    with Runner(given, 1) as runner:
        found = search(given, plan, store, runner)
        walked = None
        if walking:
            walked = walk(given, plan, walk_forward(60, 260, Windows(100, 50)), store, runner)
    return Findings(given, plan, found, verdict_of(found, plan), walked)


@pytest.fixture(scope="module")
def crossed() -> Findings:
    return findings(Plan(space_of(["fast=2,5,20", "slow=10,30,60"]), warm_up=60), walking=True)


def test_the_table_has_the_best_first_and_what_failed_beside_it(crossed: Findings):
    table = crossed.table()
    assert len(table) == 8
    assert table["score"].is_monotonic_decreasing
    assert dict(table.iloc[0][["fast", "slow"]].astype(int)) == dict(crossed.verdict.best.parameters)
    assert table["score"].to_numpy() == pytest.approx(table["sharpe_ratio"].to_numpy())
    assert crossed.failures() == {"fast is not below slow. Swap them.": 1}


def test_a_map_has_the_best_of_all_others_and_nothing_where_nothing_ran(crossed: Findings):
    plan = Plan(space_of(["fast=2,5,20", "slow=10,30,60"]), warm_up=60)
    frame = heat_map(crossed, "fast", "slow")
    assert list(frame.columns) == [2, 5, 20]
    assert list(frame.index) == [60, 30, 10]
    assert math.isnan(frame.loc[10, 20])
    assert frame.max().max() == pytest.approx(crossed.verdict.score)
    for names in (("fast", "fast"), ("fast", "other")):
        with pytest.raises(InputError, match="Use two of: fast, slow"):
            heat_map(crossed, *names)
    assert plan.space == crossed.plan.space


def test_a_map_of_many_numbers_draws_them_together():
    plan = Plan(space_of(["w=0.1..0.9", "at=1:3"]), Method.RANDOM, trials=100, seed=2)
    frame = heat_map(findings(plan, problem(market(60, 2), weight_of)), "w", "at")
    assert frame.shape == (3, 20)
    assert np.nanmax(frame.to_numpy()) == pytest.approx(
        findings(plan, problem(market(60, 2), weight_of)).table()["score"].max()
    )


def test_the_record_is_json_and_says_what_a_person_is_told(crossed: Findings):
    body = json.loads(json.dumps(crossed.record(3), allow_nan=False))
    assert (body["sets"], body["failed"], body["computed"]) == (9, 1, 9)
    assert len(body["best"]) == 3
    assert body["verdict"]["says"] == crossed.verdict.sentences()
    assert set(body["verdict"]["parameters"]) == {"fast", "slow"}
    windows = body["walk_forward"]["windows"]
    assert len(windows) == 2
    sessions = crossed.problem.history.sessions
    assert windows[0]["train"] == [[str(sessions[60]), str(sessions[159])]]
    assert windows[0]["test"] == [[str(sessions[160]), str(sessions[209])]]


def test_pictures_are_drawn_of_two_parameters_and_of_the_curve_out_of_sample(crossed: Findings):
    pictures = crossed.pictures()
    assert set(pictures) == {"map", "out_of_sample"}
    assert all(picture.startswith(PNG) for picture in pictures.values())


def test_a_search_of_which_nothing_ran_has_empty_pages():
    nothing = findings(Plan(space_of(["w=0.1", "broken=true"])), problem(market(60, 2), weight_of))
    assert nothing.table().empty
    assert nothing.pictures() == {}
    assert nothing.record()["best"] == []
    assert nothing.record()["errors"] == {"ZeroDivisionError: division by zero": 1}
