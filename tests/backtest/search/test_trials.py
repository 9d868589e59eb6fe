"""What was run once is found again, to the last digit, by its problem and its set."""

from pathlib import Path

import numpy as np
import pytest

from scizor_dagster.backtest.search.trials import LakeStore, MemoryStore, State, Store, Trial
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation


@pytest.fixture(params=["memory", "lake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    return LakeStore(Lake(LakeLocation.embedded(tmp_path)), "cross")


def done(equity, **parameters) -> Trial:
    return Trial(parameters, State.DONE, "", np.array(equity), 1234.5, 0.25, 0.01)


def test_a_trial_is_found_by_its_problem_and_its_set_alone(store: Store):
    curve = [100.0, 100.1 + 0.2, 1 / 3]
    failed = Trial({"n": 2, "kind": "b"}, State.FAILED, "it's too short", seconds=0.5)
    store.keep("p", [done(curve, n=1, kind="a"), failed])
    store.keep("q", [done([5.0], n=1, kind="a")])
    store.keep("q", [])
    texts = ['{"kind":"a","n":1}', '{"kind":"b","n":2}', '{"n":9}']
    found = store.known("p", texts)
    assert set(found) == set(texts[:2])
    assert found[texts[0]].equity.tolist() == curve
    assert (found[texts[0]].traded, found[texts[0]].costs) == (1234.5, 0.25)
    other = found[texts[1]]
    assert (other.state, other.error, other.equity) == (State.FAILED, "it's too short", None)
    assert other.parameters == {"n": 2, "kind": "b"}
    assert store.known("q", texts)[texts[0]].equity.tolist() == [5.0]
    assert store.known("r", texts) == {}


def test_keeping_a_trial_again_replaces_it(store: Store):
    store.keep("p", [done([1.0], n=1)])
    store.keep("p", [done([2.0], n=1), done([3.0], n=2)])
    found = store.known("p", ['{"n":1}', '{"n":2}'])
    assert [found[text].equity.tolist() for text in sorted(found)] == [[2.0], [3.0]]


def test_a_thousand_curves_are_kept_and_found(tmp_path: Path):
    store = LakeStore(Lake(LakeLocation.embedded(tmp_path)), "cross")
    curves = np.random.default_rng(1).normal(1e5, 1e3, (1000, 50))
    store.keep("p", [done(curve, n=number) for number, curve in enumerate(curves)])
    found = store.known("p", [f'{{"n":{number}}}' for number in range(1000)])
    assert np.array_equal(np.array([found[f'{{"n":{number}}}'].equity for number in range(1000)]), curves)
