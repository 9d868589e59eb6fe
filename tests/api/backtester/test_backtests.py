"""Backtests, searches and performance over HTTP: asked for, watched, read in every form, cancelled and deleted.

In one file, so that what they read is made once.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from scizor_dagster.backtest import engine
from scizor_dagster.backtest.request import read_request
from scizor_dagster.flow.backtests import run_request
from tests.api.backtester.conftest import MINE, QUICK, SEARCHED, World, kept, submitted
from tests.api.client import Client
from tests.api.conftest import NEXT, key_for
from tests.api.curl import curl
from tests.projects import Project, write_weights


def events_of(text: str) -> list[tuple[int, str, Any]]:
    """Number, kind and data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_a_backtest_is_found_by_its_run_and_by_what_is_kept(world: World) -> None:
    by_run = world.client.get(f"/api/backtests/{world.quick}").json
    by_id = world.client.get(f"/api/backtests/{world.quick_id[:12]}").json
    assert by_run["kept"] == by_id["kept"]
    assert (by_run["run"]["submitted_by"], by_id["run"]) == ("ada", None)
    made = by_id["kept"]
    assert (made["name"], made["first_session"], made["capital"]) == ("quick", "2025-01-06", 10000.0)
    assert made["total_return"] == pytest.approx(made["equity"] / made["capital"] - 1)
    assert made["request"]["strategy"] == "equal_weight"


def test_a_backtest_has_a_tag_and_is_not_sent_twice(world: World) -> None:
    first = world.client.get(f"/api/backtests/{world.quick_id}")
    again = world.client.get(f"/api/backtests/{world.quick_id}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_list_is_paged_and_filtered(world: World) -> None:
    ids = sorted(item["id"] for item in world.client.get("/api/backtests").json["items"])
    assert {world.quick_id, world.mine_id} <= set(ids)
    page = world.client.get("/api/backtests?limit=1")
    assert [item["id"] for item in page.json["items"]] == ids[:1]
    assert page.headers["link"].endswith('rel="next"')
    rest = world.client.get(f"/api/backtests?cursor={page.json['next']}").json
    assert [item["id"] for item in rest["items"]] == ids[1:]
    mine = world.client.get("/api/backtests?portfolio=main").json["items"]
    assert [item["id"] for item in mine] == [world.mine_id]
    assert world.quick_id in [
        item["id"] for item in world.client.get("/api/backtests?strategy=equal_weight").json["items"]
    ]


def test_a_backtest_of_a_portfolio_is_hidden_from_keys_of_other_accounts(world: World) -> None:
    other = world.bound_elsewhere()
    assert world.mine_id not in [item["id"] for item in other.get("/api/backtests").json["items"]]
    for path in ("", "/results", "/tearsheet"):
        assert other.get(f"/api/backtests/{world.mine_id}{path}").status == 404
        assert other.get(f"/api/backtests/{world.quick_id}{path}").status == 200
    assert other.delete(f"/api/backtests/{world.mine_id}").status == 404
    assert other.post("/api/backtests", json=MINE).status == 404


def test_weights_of_a_strategy_that_trades_for_an_account_are_shown_to_no_other_by_a_backtest(world: World) -> None:
    body = {"strategy": "weekly", "stored": True, "name": "theirs"}
    run = submitted(world.client, "/api/backtests", body)
    mine = kept(world.client.get(f"/api/backtests/{run}"))
    other = world.bound_elsewhere()
    assert other.post("/api/backtests", json=body).status == 404
    search = {"backtest": {"strategy": "weekly"}, "space": ["top=1,2"]}
    assert other.post("/api/optimizations", json=search).status == 404
    for name in (run, mine):
        assert other.get(f"/api/backtests/{name}").status == 404
        assert other.get(f"/api/backtests/{name}/results?table=decisions").status == 404
        assert other.delete(f"/api/backtests/{name}").status == 404
    assert other.get(f"/api/backtests/{run}/progress").status == 404
    assert mine not in [item["id"] for item in other.get("/api/backtests").json["items"]]
    own = world.client.holding(key_for(world.project, accounts={"paper"}))
    assert mine in [item["id"] for item in own.get("/api/backtests").json["items"]]
    assert own.get(f"/api/backtests/{run}").json["kept"]["id"] == mine


@pytest.mark.parametrize("table", ["equity", "orders", "decisions", "positions", "months", "instruments", "costs"])
def test_each_table_says_the_same_in_every_form(world: World, table: str) -> None:
    path = f"/api/backtests/{world.quick_id}/results?table={table}"
    rows: list[dict[str, Any]] = []
    page = world.client.get(f"{path}&limit=60").json
    rows += page["items"]
    while page["next"]:
        page = world.client.get(f"{path}&limit=60&cursor={page['next']}").json
        rows += page["items"]
    text = world.client.get(f"{path}&format=csv")
    assert text.headers["content-type"].startswith("text/csv")
    assert text.headers["content-disposition"] == f'attachment; filename="{world.quick_id[:12]}-{table}.csv"'
    read = list(csv.DictReader(io.StringIO(text.text)))
    assert rows
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows] == read
    columns = pq.read_table(io.BytesIO(world.client.get(f"{path}&format=parquet").body))
    assert (columns.num_rows, columns.column_names) == (len(rows), list(rows[0]))


def test_orders_have_their_reason_and_what_they_cost(world: World) -> None:
    rows = world.client.get(f"/api/backtests/{world.quick_id}/results?table=orders&symbol=AAPL&last=2025-01-06").json
    [order] = rows["items"]
    assert (order["session"], order["symbol"], order["reason"]) == ("2025-01-06", "AAPL", "open")
    assert order["planned"] * order["reference"] == pytest.approx(10000 / 6, rel=0.05)


def test_a_table_that_has_not_changed_is_not_sent_again(world: World) -> None:
    path = f"/api/backtests/{world.quick_id}/results?table=equity&format=csv"
    tag = world.client.get(path).headers["etag"]
    assert world.client.get(path, headers={"If-None-Match": tag}).status == 304
    assert world.client.get(path.replace("csv", "json")).headers["etag"] != tag


@pytest.mark.parametrize(
    "query", ["table=users", "format=pickle", "cursor=..%2F..", "cursor=LTE", "first=yesterday", "limit=0", "sql=1"]
)
def test_a_question_that_makes_no_sense_is_refused(world: World, query: str) -> None:
    assert world.client.get(f"/api/backtests/{world.quick_id}/results?{query}").status == 422


def test_the_page_has_no_program_and_may_load_nothing(world: World) -> None:
    answer = world.client.get(f"/api/backtests/{world.quick_id}/tearsheet")
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "<script" not in answer.text
    assert "//" not in answer.text.replace("http://www.w3.org", "")
    assert "quick" in answer.text


def test_progress_tells_how_far_it_is_and_what_was_kept_and_goes_on_where_it_was_cut_off(world: World) -> None:
    path = f"/api/backtests/{world.quick}/progress"
    answer = world.client.get(path)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events_of(answer.text)
    assert [kind for _, kind, _ in told] == ["progress", "end"]
    assert told[0][2]["of"] == "sessions"
    assert told[0][2]["done"] == told[0][2]["total"]
    assert told[-1][2] == {"status": "succeeded", "problem": None, "backtest_id": world.quick_id}
    rest = world.client.get(path, headers={"Last-Event-ID": str(told[0][0])})
    assert events_of(rest.text) == told[1:]
    assert world.client.get(path, headers={"Last-Event-ID": str(told[-1][0])}).status == 204


def test_what_is_kept_is_deleted_with_all_of_its_data(world: World) -> None:
    desk = world.client.app.state.context.desk
    made = run_request(desk, read_request(QUICK | {"last": "2025-01-31"})).head.backtest_id
    assert world.client.delete(f"/api/backtests/{made}").json["kept"]["id"] == made
    assert world.client.get(f"/api/backtests/{made}").status == 404
    assert world.client.delete(f"/api/backtests/{made}").status == 404


class KeptRequests(Runs):
    """Keeps what it is asked for, and runs nothing."""

    asked: list[RunRequest]

    def submit(self, request: RunRequest, actor: str) -> RunState:
        self.asked.append(request)
        return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))

    def state(self, run_id: str, kind: str | None = None) -> RunState:
        return RunState(run_id, "backtest", RunStatus.RUNNING, self.asked[-1].all_tags("ada"))


def test_the_same_request_is_the_same_partition_and_says_its_time_and_its_portfolio(
    empty_api: Client, fresh: Project
) -> None:
    context = empty_api.app.state.context
    runs = KeptRequests(fresh.settings, context.rules.dagster_url, context.clock)
    runs.asked, context.runs = [], runs
    for body in (QUICK, dict(reversed(QUICK.items())), QUICK | {"capital": 1.0}, MINE):
        assert empty_api.post("/api/backtests", json=body).status == 202
    first, again, other, mine = runs.asked
    assert first.partition == again.partition != other.partition
    assert first.config["ops"]["backtests"]["config"]["max_seconds"] == context.rules.backtest_seconds
    assert mine.tags == {"scizor/portfolio": "main"}
    run = "00000000-0000-0000-0000-000000000000"
    elsewhere = empty_api.holding(key_for(fresh, accounts={"another"}))
    for path in ("", "/progress", "/results"):
        assert elsewhere.get(f"/api/backtests/{run}{path}").status == 404
    assert elsewhere.delete(f"/api/backtests/{run}").status == 404
    assert empty_api.get(f"/api/backtests/{run}").json["status"] == "running"


def test_one_that_runs_is_cancelled_and_keeps_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Event(), threading.Event()
    result = engine._Run.result

    def held(self: Any, progress: Any) -> Any:
        begun.set()
        let_go.wait(60)
        return result(self, progress)

    monkeypatch.setattr(engine._Run, "result", held)
    asked = world.client.post("/api/backtests", json={**QUICK, "capital": 12345.0})
    run = asked.json["id"]
    assert begun.wait(120)
    assert world.client.delete(f"/api/backtests/{run}").status == 200
    let_go.set()
    assert world.client.app.state.context.runs.wait(run).status is RunStatus.CANCELLED
    assert 12345.0 not in [item["capital"] for item in world.client.get("/api/backtests").json["items"]]
    assert world.client.delete(f"/api/backtests/{run}").status == 409


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "Name a portfolio"),
        ({"strategy": "equal_weight", "weights": "/etc/passwd"}, 422, "body.weights"),
        ({"strategy": "equal_weight", "prices": "../../p.csv"}, 422, "body.prices"),
        ({"strategy": "equal_weight", "rules": "/etc/passwd"}, 422, "body.rules"),
        ({"strategy": "equal_weight", "actions": "/etc/passwd"}, 422, "body.actions"),
        ({"strategy": "file_weights", "parameters": {"path": "/etc/passwd"}}, 422, "cannot be chosen from here"),
        ({"strategy": "file_weights"}, 422, "cannot be chosen from here"),
        ({"strategy": "../../evil"}, 422, "no strategy"),
        ({"strategy": "momentum", "parameters": {"sideways": 1}}, 422, "no parameter 'sideways'"),
        ({"strategy": "momentum", "parameters": {"lookback": -1}}, 422, "body.parameters"),
        ({"strategy": "equal_weight", "name": "a\nb"}, 422, "body.name"),
        ({"strategy": "equal_weight", "capital": "much"}, 422, "body.capital"),
        ({"strategy": "equal_weight", "capital": -1}, 422, "body.capital"),
        ({"strategy": "equal_weight", "delay": 0, "fill": "open"}, 422, "Only the close"),
        ({"strategy": "equal_weight", "first": "2025-02-01", "last": "2025-01-01"}, 422, "after last"),
        ({"portfolio": "other"}, 404, "no portfolio"),
        ({"strategy": "equal_weight", "market": "mars"}, 404, "no market"),
        ({"strategy": "equal_weight", "config": {"ops": {}}}, 422, "body.config"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_before_anything_is_submitted(
    world: World, body: dict[str, Any], status: int, field: str
) -> None:
    answer = world.client.post("/api/backtests", json=body)
    assert (answer.status, field in answer.text) == (status, True), answer.text


def test_what_is_larger_than_allowed_is_refused_with_its_size(empty_api: Client) -> None:
    context = empty_api.app.state.context
    context.rules = context.rules.model_copy(update={"max_backtest_cells": 100})
    body = {"strategy": "equal_weight", "first": "2025-01-06", "last": "2025-02-14"}
    answer = empty_api.post("/api/backtests", json=body)
    assert (answer.status, "168 sessions x instruments; 100 are taken" in answer.text) == (422, True), answer.text
    search = {"backtest": {**body, "symbols": ["AAPL"]}, "space": ["invested=0.1,0.2,0.3,0.4"]}
    assert "112 sessions x instruments x sets" in empty_api.post("/api/optimizations", json=search).text


def test_a_home_without_a_lake_has_no_backtests(empty_api: Client) -> None:
    assert empty_api.get("/api/backtests").json == {"items": [], "next": None}
    assert empty_api.get(f"/api/backtests/{'0' * 64}").status == 404
    assert empty_api.get("/api/backtests/00000000-0000-0000-0000-000000000000").status == 404


def test_a_search_says_what_its_best_set_is_worth_and_keeps_its_backtest(world: World) -> None:
    found = world.client.get(f"/api/optimizations/{world.search}").json
    assert (found["status"], found["sets"], found["objective"]) == ("succeeded", 4, "sharpe")
    assert set(found["verdict"]["parameters"]) == {"fast", "slow"}
    assert found["verdict"]["says"]
    best = world.client.get(f"/api/backtests/{found['backtest_id']}").json["kept"]
    assert {name: best["request"]["parameters"][name] for name in ("fast", "slow")} == found["verdict"]["parameters"]


def test_searches_are_listed_by_those_who_may_see_them(world: World) -> None:
    [found] = world.client.get("/api/optimizations").json["items"]
    assert (found["id"], found["status"], found["submitted_by"]) == (world.search, "succeeded", "ada")


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


def test_what_a_strategy_earned_is_told_by_portfolio_to_whoever_may_see_it(world: World) -> None:
    found = world.client.get("/api/performance/strategies/weekly").json
    [earned] = found["portfolios"]
    assert (earned["portfolio"], earned["currency"], earned["sessions"]) == ("main", "USD", 1)
    parts = [Decimal(earned[name]) for name in ("realised", "unrealised", "income", "fees")]
    assert Decimal(earned["profit"]) == parts[0] + parts[1] + parts[2] - parts[3]
    assert world.bound_elsewhere().get("/api/performance/strategies/weekly").json["portfolios"] == []
    even = world.client.get("/api/performance/strategies/equal_weight").json
    assert (even["portfolios"], world.quick_id in even["backtests"]) == ([], True)
    assert world.client.get("/api/performance/strategies/nothing").status == 404
    assert world.client.get("/api/performance/strategies/weekly?first=2025-02-10&last=2025-02-03").status == 422
    assert world.client.get("/api/performance/strategies/weekly?first=2025-02-10").json["portfolios"] == []


def test_strategies_and_backtests_stand_side_by_side(world: World) -> None:
    items = world.client.get(f"/api/performance/compare?ids=weekly,{world.quick_id}").json["items"]
    assert [(item["kind"], item["id"]) for item in items] == [
        ("portfolio", "weekly/main"),
        ("backtest", world.quick_id),
    ]
    assert set(items[0]["figures"]) == set(items[1]["figures"])
    kept = world.client.get(f"/api/backtests/{world.quick_id}").json["kept"]["figures"]
    assert items[1]["figures"]["total_return"] == kept["total_return"]
    other = world.bound_elsewhere()
    assert other.get("/api/performance/compare?ids=weekly").json["items"] == []
    assert other.get(f"/api/performance/compare?ids={world.mine_id}").status == 404
    for ids in ("nothing", "0" * 64):
        assert world.client.get(f"/api/performance/compare?ids={ids}").status == 404
    for ids in ("", ",", ",".join(f"a{number}" for number in range(21))):
        assert world.client.get(f"/api/performance/compare?ids={ids}").status == 422


def test_every_request_of_the_documentation_is_answered(
    world: World, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = world.client.app.state.context
    runs = context.runs
    submit = RunState("0" * 32, "backtest", RunStatus.QUEUED, {})
    monkeypatch.setattr(runs, "submit", lambda *_: submit)
    copy = run_request(context.desk, read_request(QUICK | {"last": "2025-01-24"})).head.backtest_id
    write_weights(tmp_path / "weights.csv", {NEXT: {"MSFT": 0.4, "NVDA": 0.3}})
    named = {"RUN": world.quick, "BACKTEST": copy, "SEARCH": world.search}
    text = (project_root / "docs" / "api-backtests.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    # What the last command of its section deletes is asked for by those below.
    commands.sort(key=lambda line: "-X DELETE" in line and "backtests/" in line)
    statuses = {command: curl(world.client, command, named, tmp_path).status for command in commands}
    assert len(statuses) > 15
    assert {command: status for command, status in statuses.items() if status not in (200, 201, 202, 204)} == {}
    assert (tmp_path / "equity.parquet").read_bytes().startswith(b"PAR1")
    assert (tmp_path / "page.html").read_bytes().startswith(b"<!DOCTYPE html>")
