"""Searches over HTTP: sets, verdict, progress, and the backtest of the best."""

from __future__ import annotations

import pytest

from tests.api.backtester.conftest import SEARCHED, World
from tests.api.backtester.test_backtests import events_of


def test_a_search_says_what_its_best_set_is_worth_and_keeps_its_backtest(world: World) -> None:
    found = world.client.get(f"/api/optimizations/{world.search}").json
    assert (found["status"], found["sets"], found["objective"]) == ("succeeded", 4, "sharpe")
    assert set(found["verdict"]["parameters"]) == {"fast", "slow"}
    assert found["verdict"]["says"]
    best = world.client.get(f"/api/backtests/{found['backtest_id']}").json["kept"]
    assert {name: best["request"]["parameters"][name] for name in ("fast", "slow")} == found["verdict"]["parameters"]


def test_its_sets_are_listed_the_best_first_in_pages(world: World) -> None:
    path = f"/api/optimizations/{world.search}/trials"
    rows = world.client.get(path).json["items"]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert {(row["fast"], row["slow"]) for row in rows} <= {(2, 5), (2, 8), (3, 5), (3, 8)}
    scores = [row["score"] for row in rows if row["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    first = world.client.get(f"{path}?limit=1").json
    rest = world.client.get(f"{path}?cursor={first['next']}").json
    assert first["items"] + rest["items"] == rows


def test_its_progress_ends_with_the_backtest_of_the_best(world: World) -> None:
    told = events_of(world.client.get(f"/api/optimizations/{world.search}/progress").text)
    assert told[-1][1:] == (
        "end",
        {
            "status": "succeeded",
            "problem": None,
            "backtest_id": world.client.get(f"/api/optimizations/{world.search}").json["backtest_id"],
        },
    )


def test_a_search_is_no_backtest_and_one_that_has_ended_is_not_cancelled(world: World) -> None:
    assert world.client.get(f"/api/backtests/{world.search}").status == 404
    assert world.client.get(f"/api/optimizations/{world.quick}").status == 404
    assert world.client.delete(f"/api/optimizations/{world.search}").status == 409


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space": ["fast"]}, "fast"),
        ({"space": []}, "body.space"),
        ({"method": "random"}, "how many sets"),
        ({"train": 5}, "Train and test"),
        ({"folds": 1}, "body.folds"),
        ({"workers": 64}, "body.workers"),
        ({"backtest": {"strategy": "file_weights"}, "space": ["path=/etc/passwd,/etc/shadow"]}, "cannot be chosen"),
        ({"backtest": {"portfolio": "main"}}, "needs a strategy"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(world: World, changes: dict[str, object], said: str) -> None:
    answer = world.client.post("/api/optimizations", json=SEARCHED | changes)
    assert (answer.status, said in answer.text) == (422, True), answer.text
