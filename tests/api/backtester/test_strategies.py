"""Strategies over HTTP: what has a name, records with their versions, and who may change what trades."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.api.backtester.conftest import FORMATS
from tests.api.client import Client
from tests.api.conftest import key_for
from tests.projects import Project

FAST = {
    "name": "fast",
    "function": "momentum",
    "parameters": {"lookback": 5, "skip": 1},
    "rebalance": "weekly",
    "description": "A week.",
    "reason": "a try",
}


def test_what_has_a_name_is_listed_by_its_kind(drop: Client) -> None:
    drop.post("/api/strategies", json=FAST)
    found = {(item["kind"], item["name"]): item for item in drop.get("/api/strategies?limit=1000").json["items"]}
    assert found["manifest", "weekly"]["portfolios"] == ["main"]
    assert found["manifest", "computing"]["function"] == "equal_weight"
    assert found["record", "fast"]["changed_by"] == "ada"
    assert ("function", "momentum") in found
    assert [item["name"] for item in drop.get("/api/strategies?kind=record").json["items"]] == ["fast"]


def test_a_record_is_made_changed_and_deleted_and_every_version_is_kept(drop: Client) -> None:
    made = drop.post("/api/strategies", json=FAST)
    assert (made.status, made.headers["location"]) == (201, "/api/strategies/fast")
    shown = drop.get("/api/strategies/fast")
    assert (shown.json, shown.headers["etag"]) == (made.json, made.headers["etag"])
    assert {item["name"]: item["value"] for item in shown.json["parameters"]}["lookback"] == 5
    change = {"parameters": {"lookback": 8}, "reason": "less turnover"}
    changed = drop.put("/api/strategies/fast", json=change, headers={"If-Match": shown.headers["etag"]})
    assert changed.status == 200
    values = {item["name"]: item["value"] for item in changed.json["parameters"]}
    assert (values["lookback"], values["skip"], changed.json["rebalance"]) == (8, 1, "weekly")
    assert [row["action"] for row in changed.json["history"]] == ["created", "updated"]
    assert changed.json["history"][0]["version"] == made.json["version"] != changed.json["version"]
    assert drop.delete("/api/strategies/fast", headers={"If-Match": changed.headers["etag"]}).status == 204
    assert drop.get("/api/strategies/fast").status == 404


def test_what_was_changed_by_another_is_not_overwritten(drop: Client) -> None:
    seen = drop.post("/api/strategies", json=FAST).headers["etag"]
    change = {"parameters": {"lookback": 8}, "reason": "less turnover"}
    assert drop.put("/api/strategies/fast", json=change, headers={"If-Match": seen}).status == 200
    again = {"parameters": {"lookback": 9}, "reason": "more"}
    assert drop.put("/api/strategies/fast", json=again, headers={"If-Match": seen}).status == 412
    assert drop.delete("/api/strategies/fast", headers={"If-Match": seen}).status == 412
    assert drop.get("/api/strategies/fast", headers={"If-None-Match": seen}).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"name": "Fast"}, 422, "body.name"),
        ({"name": "../fast"}, 422, "body.name"),
        ({"name": "momentum"}, 422, "the name of a strategy already"),
        ({"function": "nothing"}, 422, "no strategy 'nothing'"),
        ({"function": "file_weights", "parameters": {"path": "/etc/passwd"}}, 422, "cannot be chosen from here"),
        ({"parameters": {"lookback": -1}}, 422, "body.parameters"),
        ({"parameters": {"lookback": 10**400}}, 422, "less than or equal"),
        ({"reason": "a\nb"}, 422, "body.reason"),
        ({"reason": " "}, 422, "body.reason"),
        ({"parameters": {"sideways": 1}}, 422, "sideways"),
        ({"parameters": {"lookback": "__import__('os').system('id')"}}, 422, "lookback"),
        ({"rebalance": "hourly"}, 422, "body.rebalance"),
        ({"reason": ""}, 422, "body.reason"),
        ({"source": "import os"}, 422, "body.source"),
    ],
)
def test_a_record_that_cannot_be_meant_is_refused(
    drop: Client, changes: dict[str, Any], status: int, said: str
) -> None:
    answer = drop.post("/api/strategies", json=FAST | changes)
    assert (answer.status, said in answer.text) == (status, True), answer.text
    assert drop.get("/api/strategies?kind=record").json["items"] == []


def test_a_change_that_the_strategy_does_not_take_is_the_fault_of_the_request(drop: Client) -> None:
    made = drop.post("/api/strategies", json=FAST).json
    for parameters in ({"sideways": 1}, {"lookback": -1}, {"lookback": "x" * 100_000}):
        answer = drop.put("/api/strategies/fast", json={"parameters": parameters, "reason": "a try"})
        assert (answer.status, "site-packages" in answer.text, len(answer.body) < 2000) == (422, False, True)
        assert "momentum.py" not in answer.text
    assert drop.get("/api/strategies/fast").json == made
    of_record = drop.post("/api/strategies", json=FAST | {"name": "faster", "function": "fast"})
    assert (of_record.status, "is a record itself" in of_record.text) == (422, True)


def test_a_strategy_whose_code_is_broken_is_the_fault_of_the_configuration(drop: Client, fresh: Project) -> None:
    (fresh.folder / "strategies").mkdir(exist_ok=True)
    (fresh.folder / "strategies" / "broken.py").write_text("def weights(:\n", encoding="utf-8")
    answer = drop.post("/api/strategies", json=FAST | {"function": "broken", "parameters": {"lookback": 1}})
    assert (answer.status, "cannot be loaded" in answer.text) == (503, True), answer.text


def test_a_record_that_is_there_is_not_made_again(drop: Client) -> None:
    drop.post("/api/strategies", json=FAST)
    assert drop.post("/api/strategies", json=FAST).status == 409


def test_a_record_that_trades_for_an_account_is_changed_by_keys_of_that_account_alone(
    drop: Client, fresh: Project
) -> None:
    drop.post("/api/strategies", json=FAST)
    manifest = {"strategies": [*FORMATS["strategies"][1:], {"id": "weekly", "function": "fast"}]}
    (fresh.folder / "strategy_manifest.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    other = drop.holding(key_for(fresh, accounts={"another"}))
    change = {"parameters": {"lookback": 8}, "reason": "mine"}
    assert other.put("/api/strategies/fast", json=change).status == 404
    assert other.delete("/api/strategies/fast").status == 404
    assert other.get("/api/strategies/weekly").json["portfolios"] == []
    assert drop.delete("/api/strategies/fast").status == 422
    assert drop.put("/api/strategies/fast", json=change).status == 200


@pytest.mark.parametrize("name", ["weekly", "momentum", "nothing", "..%2f..%2fetc", "a'--", "%F0%9F%92%A3", "x" * 64])
def test_what_is_no_record_is_neither_changed_nor_deleted(drop: Client, name: str) -> None:
    assert drop.put(f"/api/strategies/{name}", json={"reason": "none"}).status == 404
    assert drop.delete(f"/api/strategies/{name}").status == 404


def test_a_delivered_strategy_says_what_it_takes_and_one_in_python_what_it_does(drop: Client) -> None:
    book = drop.get("/api/strategies/book").json
    assert (book["kind"], book["format"], book["weights_dated"]) == ("manifest", "xlsx", "trade_session")
    even = drop.get("/api/strategies/equal_weight").json
    assert (even["kind"], even["format"], bool(even["description"])) == ("function", None, True)
    assert drop.get("/api/strategies/nothing").status == 404
