"""Which sets are tried: all, others at random, or those that what was seen speaks for; the same again each time."""

import sys

import pytest

from scizor_dagster.backtest.search.samplers import ROUND, Method, sampler_of
from scizor_dagster.backtest.search.spaces import Parameters, digest_text, space_of
from scizor_dagster.errors import InputError


def all_of(sampler, score=lambda parameters: 0.0) -> list[Parameters]:
    found: list[Parameters] = []
    while asked := sampler.ask():
        sampler.tell([(parameters, score(parameters)) for parameters in asked])
        found += asked
    return found


def test_a_grid_asks_for_every_set_or_for_the_first_of_them():
    space = space_of(["a=1,2,3", "b=1,2"])
    assert all_of(sampler_of(Method.GRID, space, trials=None, seed=0)) == list(space.grid())
    assert all_of(sampler_of(Method.GRID, space, trials=4, seed=0)) == list(space.grid())[:4]


def test_random_sets_are_different_inside_the_space_and_the_same_for_the_same_seed():
    space = space_of(["n=1..50", "alpha=0.001..1 log", "kind=a,b"])
    first, again, other = (all_of(sampler_of(Method.RANDOM, space, trials=60, seed=seed)) for seed in (4, 4, 5))
    assert first == again != other
    assert len({digest_text(parameters) for parameters in first}) == 60
    assert all(1 <= parameters["n"] <= 50 and 0.001 <= parameters["alpha"] <= 1 for parameters in first)
    assert {parameters["kind"] for parameters in first} == {"a", "b"}
    # Half of a logarithmic scale lies below the geometric mean.
    assert 15 < sum(parameters["alpha"] < 0.0316 for parameters in first) < 45


def test_a_small_space_is_tried_whole_and_no_set_twice():
    space = space_of(["a=1,2,3", "b=1,2"])
    assert all_of(sampler_of(Method.RANDOM, space, trials=50, seed=0)) == list(space.grid())
    assert len(all_of(sampler_of(Method.RANDOM, space, trials=5, seed=0))) == 5


@pytest.mark.parametrize("method", [Method.RANDOM, Method.GUIDED])
def test_a_search_without_an_end_is_refused(method: Method):
    with pytest.raises(InputError, match="how many"):
        sampler_of(method, space_of(["a=1,2"]), trials=None, seed=0)
    with pytest.raises(InputError, match="0 trials"):
        sampler_of(method, space_of(["a=1,2"]), trials=0, seed=0)


def test_without_optuna_a_guided_search_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'scizor\[search\]'"):
        sampler_of(Method.GUIDED, space_of(["a=1,2"]), trials=3, seed=0)


def hill(parameters: Parameters) -> float:
    if parameters["kind"] == "broken":
        return float("nan")
    return -((parameters["x"] - 0.3) ** 2) - (parameters["n"] - 70) ** 2 / 1e4


def test_a_guided_search_nears_the_top_repeats_itself_and_outlives_what_fails():
    pytest.importorskip("optuna")
    space = space_of(["x=0.0..1.0", "n=10:200:10", "kind=good,broken"])
    first, again = (all_of(sampler_of(Method.GUIDED, space, trials=64, seed=1), hill) for _ in range(2))
    assert first == again
    assert len({digest_text(parameters) for parameters in first}) == 64
    late = [hill(parameters) for parameters in first[-ROUND:] if parameters["kind"] == "good"]
    early = [hill(parameters) for parameters in first[:ROUND] if parameters["kind"] == "good"]
    assert sum(late) / len(late) > sum(early) / len(early)
    assert max(hill(parameters) for parameters in first if parameters["kind"] == "good") > -0.02


def test_a_guided_search_of_a_small_space_ends_when_there_is_nothing_new():
    pytest.importorskip("optuna")
    found = all_of(sampler_of(Method.GUIDED, space_of(["a=1,2,3"]), trials=50, seed=0))
    assert sorted(parameters["a"] for parameters in found) == [1, 2, 3]
