"""The data farmer's routes: what is right, and what is wrong with a sentence that says so."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from tests.api.client import Client
from tests.api.conftest import key_for
from tests.projects import SYMBOLS, Project

WEEK = {"start_date": "2025-01-06", "end_date": "2025-01-10", "market": "us"}


def problem(answer: Any, status: int) -> str:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    found: str = answer.json["problem"]
    return found


def test_prices_come_by_range_and_adjustment_under_ticker_or_id(farm: Client) -> None:
    found = farm.get("/api/data/AAPL.XNAS", query={**WEEK, "adjustment": "split"}).json
    assert (found["symbol"], found["currency"], found["adjustment"], found["synthetic"]) == (
        "AAPL",
        "USD",
        "split",
        True,
    )
    assert found["bars"]["session"] == ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-10"]
    assert {len(column) for column in found["bars"].values()} == {found["rows"]} == {4}
    total = farm.get("/api/data/AAPL", query={**WEEK, "adjustment": "total_return"}).json
    assert sorted(total["bars"]) == ["close", "session"]
    holiday = {"market": "us", "start_date": "2025-01-09", "end_date": "2025-01-09"}
    assert farm.get("/api/data/AAPL", query=holiday).json["rows"] == 0


def test_every_form_has_the_same_prices_and_a_tag_of_its_own(farm: Client) -> None:
    path = "/api/data/MSFT"
    shown = farm.get(path, query=WEEK)
    csv = farm.get(path, query=WEEK, headers={"accept": "text/csv"})
    parquet = farm.get(path, query={**WEEK, "format": "parquet"})
    closes = shown.json["bars"]["close"]
    assert [float(line.split(",")[5]) for line in csv.text.splitlines()[1:]] == closes
    assert pq.read_table(io.BytesIO(parquet.body)).column("close").to_pylist() == closes
    assert len({answer.headers["etag"] for answer in (shown, csv, parquet)}) == 3
    assert farm.get(path, query={**WEEK, "format": "arrow"}).headers["content-type"] == (
        "application/vnd.apache.arrow.stream"
    )


def test_what_somebody_has_is_not_sent_again(farm: Client) -> None:
    first = farm.get("/api/data/MSFT", query=WEEK)
    again = farm.get("/api/data/MSFT", query=WEEK, headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert farm.get("/api/data/MSFT", query=WEEK).body == first.body


def test_a_long_answer_is_sent_part_by_part_and_is_the_same(farm: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = farm.get("/api/data/MSFT")
    monkeypatch.setattr("scizor_dagster.api.data_farmer.prices.STREAMED_FROM", 1)
    farm.app.state.context.part.__self__._parts.clear()
    parts = farm.get("/api/data/MSFT")
    assert (parts.body, "content-length" in parts.headers) == (whole.body, False)


def test_a_ticker_of_two_markets_is_a_conflict_that_names_both(farm: Client) -> None:
    answer = farm.get("/api/data/AAPL")
    assert problem(answer, 409) == "AAPL is 2 instruments: AAPL.XNAS in market us, AAPL.XASX in market asx."
    assert [item["problem"] for item in answer.json["errors"]] == ["AAPL.XNAS in market us", "AAPL.XASX in market asx"]
    assert farm.get("/api/data/AAPL.XASX").json["rows"] == 0
    assert farm.get("/api/data/AAPL?market=us").status == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/data/NOPE", 404, "There is no symbol 'NOPE'."),
        ("/api/data/aapl", 404, "There is no symbol 'aapl'."),
        ("/api/data/MSFT?market=mars", 404, "There is no market 'mars'."),
        ("/api/data/MSFT?start_date=2025-01-10&end_date=2025-01-06", 422, "2025-01-10 is after 2025-01-06."),
        ("/api/data/MSFT?start_date=20250110", 422, "a date is written as YYYY-MM-DD"),
        ("/api/data/MSFT?adjustment=none", 422, "Input should be"),
        ("/api/data/MSFT?format=xlsx", 422, "Input should be"),
        ("/api/data/NOPE/quality", 404, "There is no symbol 'NOPE'."),
        ("/api/data/BHP/quality", 409, "Nothing has been collected of market 'asx' yet."),
        ("/api/data/MSFT/quality?end_date=0001-01-01", 422, "There is no closed session"),
        ("/api/gaps?symbol=NOPE", 404, "There is no symbol 'NOPE'."),
        ("/api/gaps?market=asx", 409, "Nothing has been collected of market 'asx' yet."),
        ("/api/symbols/NOPE", 404, "There is no symbol 'NOPE'."),
        ("/api/symbols/BHP", 409, "nothing is stored of it yet"),
        ("/api/collections/nothing", 404, "There is no collection 'nothing'."),
        ("/api/collections/nothing/progress", 404, "There is no collection 'nothing'."),
        ("/api/prices/quarantined?market=mars", 404, "There is no market 'mars'."),
    ],
)
def test_what_cannot_be_shown_is_said(path: str, status: int, words: str, farm: Client) -> None:
    assert words in problem(farm.get(path), status)


def test_a_header_that_takes_no_form_there_is_is_refused(farm: Client) -> None:
    assert farm.get("/api/data/MSFT", headers={"accept": "image/png"}).status == 406


def test_quality_counts_what_is_there_and_names_what_is_missing(farm: Client) -> None:
    found = farm.get("/api/data/MSFT/quality", query={"start_date": "2025-01-02"}).json
    assert (found["first"], found["last"], found["newest"], found["bars"], found["sessions"]) == (
        "2025-01-02",
        "2025-02-14",
        "2025-01-17",
        11,
        30,
    )
    assert [(item["first"], item["last"], item["sessions"], item["reason"]) for item in found["missing"]] == [
        ("2025-01-21", "2025-02-14", 19, "not_collected")
    ]
    assert found["behind"] == 19


def test_gaps_come_in_pages_by_symbol_and_reason(farm: Client) -> None:
    first = farm.get("/api/gaps?limit=4&symbol=MSFT&symbol=AAPL").json
    assert ([item["symbol"] for item in first["items"]], first["next"]) == (["AAPL", "MSFT"], None)
    assert farm.get("/api/gaps?reason=retired").json["items"] == []
    page = farm.get("/api/gaps?limit=4").json
    rest = farm.get(f"/api/gaps?limit=4&cursor={page['next']}").json
    assert [item["symbol"] for item in (*page["items"], *rest["items"])] == list(SYMBOLS)


def test_a_symbol_is_added_verified_shown_and_taken_out(farm: Client, priced: Project) -> None:
    universe = priced.folder / "universe.csv"
    before = universe.read_text()
    made = farm.post("/api/symbols", json={"symbol": "TSLA", "mic": "XNAS", "name": "=cmd|' /C calc'!A0"})
    assert (made.status, made.headers["location"]) == (201, "/api/symbols/TSLA?market=us")
    assert (made.json["tracked"], made.json["verified"], made.json["instrument_id"]) == (True, True, "TSLA.XNAS")
    assert universe.read_text() == before + "TSLA,XNAS,'=cmd|' /C calc'!A0,USD,,,\n"
    shown = farm.get("/api/symbols/TSLA.XNAS")
    assert shown.json == made.json
    stale = farm.delete("/api/symbols/TSLA?reason=sold", headers={"if-match": '"other"'})
    assert (stale.status, universe.read_text() == before) == (412, False)
    gone = farm.delete("/api/symbols/TSLA?reason=sold", headers={"if-match": shown.headers["etag"]})
    assert [gone.json[name] for name in ("tracked", "reason", "note")] == [False, "removed", "sold"]
    assert universe.read_text() == before
    assert [item["symbol"] for item in farm.get("/api/symbols?retired=true").json["items"]] == ["TSLA"]
    assert farm.delete("/api/symbols/TSLA?reason=sold").status == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"symbol": "AAPL"}, 409, "AAPL is in the universe of market 'us' already."),
        ({"symbol": "tsla", "mic": "XNAS"}, 422, "'tsla' is not a ticker."),
        ({"symbol": "TSLA", "market": "mars"}, 404, "There is no market 'mars'."),
        ({"symbol": "TSLA", "mic": "XNAS", "file": "../other.csv"}, 422, "'../other.csv' is no universe file"),
        ({"symbol": "TSLA", "mic": "XNAS", "name": "two\nlines"}, 422, "String should match"),
        ({"symbol": "TSLA", "mic": "nasdaq"}, 422, "String should match"),
        ({"symbol": "TSLA", "tick": "0.01"}, 422, "Extra inputs are not permitted"),
        ({}, 422, "Field required"),
    ],
)
def test_a_symbol_that_cannot_be_added_leaves_the_universe_as_it_is(
    body: dict[str, str], status: int, words: str, farm: Client, priced: Project
) -> None:
    before = (priced.folder / "universe.csv").read_bytes()
    assert words in problem(farm.post("/api/symbols", json=body), status)
    assert (priced.folder / "universe.csv").read_bytes() == before


def test_a_verification_says_whether_everything_is_certain(farm: Client) -> None:
    found = farm.post("/api/symbols/validate", json={"symbols": ["AAPL"], "force_revalidate": True}).json
    assert (found["certain"], found["symbols"], found["verified"], found["doubts"]) == (True, 6, 6, [])
    assert farm.post("/api/symbols/validate", json={"symbols": ["NOPE"]}).status == 404
    assert farm.post("/api/symbols/validate", json={"limit": 0}).status == 422


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """What was to be run; nothing is."""
    found = list[RunRequest]()

    def submit(_: Runs, request: RunRequest, actor: str) -> RunState:
        found.append(request)
        return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))

    monkeypatch.setattr(Runs, "submit", submit)
    return found


def test_a_collection_is_the_job_of_the_command_line_for_the_symbol_alone(
    farm: Client, submitted: list[RunRequest]
) -> None:
    answer = farm.post("/api/collect/historical/MSFT", json={"start_date": "2025-01-02", "end_date": "2025-01-10"})
    assert (answer.status, answer.headers["location"]) == (202, f"/api/collections/{'0' * 32}")
    assert (answer.json["symbols"], answer.json["dates"], answer.json["submitted_by"]) == (
        ["MSFT"],
        "2025-01-02 to 2025-01-10",
        "ada",
    )
    assert farm.post("/api/collect/MSFT?force=true").status == 202
    assert farm.post("/api/collections", json={}).status == 202
    assert farm.post("/api/collections", json={"kind": "history"}).status == 202
    assert [(item.job, item.partition, item.partition_range) for item in submitted] == [
        ("collect_history", None, ("2025", "2025")),
        ("collect_history", None, ("2025", "2025")),
        ("collect_daily", "2025-02-14", None),
        ("collect_history", None, ("2025", "2025")),
    ]
    config = {"symbols": ["MSFT"], "force": True, "again_as": "", "since": "2025-01-02", "through": "2025-02-14"}
    assert submitted[1].config == {"ops": {"us__historical_chunks": {"config": config}}}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/api/collect/NOPE", None, 404, "There is no symbol 'NOPE'."),
        ("/api/collect/historical/NOPE", {}, 404, "There is no symbol 'NOPE'."),
        ("/api/collect/historical/MSFT", {"end_date": "2025-02-20"}, 422, "2025-02-20 is ahead"),
        ("/api/collect/historical/MSFT", {"start_date": "1999-01-04"}, 422, "before the market's first session"),
        ("/api/collect/historical/MSFT", {"end_date": "0001-01-01"}, 422, "before the market's first session"),
        ("/api/collect/historical/MSFT", {"start_date": 1700000000}, 422, "a date is written as YYYY-MM-DD"),
        ("/api/collections", {"session": "2025-01-09"}, 422, "2025-01-09"),
        ("/api/collections", {"kind": "history", "session": "2025-01-10"}, 422, "A history has no session."),
        ("/api/collections", {"start_date": "2025-01-10"}, 422, "One session has no range of dates."),
        ("/api/collections", {"market": "mars"}, 404, "There is no market 'mars'."),
        ("/api/collections/nothing/cancel", None, 404, "There is no collection 'nothing'."),
    ],
)
def test_what_cannot_be_collected_is_refused_before_anything_runs(
    path: str, body: Any, status: int, words: str, farm: Client, submitted: list[RunRequest]
) -> None:
    assert words in problem(farm.post(path, json=body), status)
    assert submitted == []


def test_a_symbol_that_is_retired_is_not_collected(farm: Client, submitted: list[RunRequest]) -> None:
    assert farm.delete("/api/symbols/NVDA?reason=sold").status == 200
    assert "NVDA is not collected in market 'us': removed sold." in problem(farm.post("/api/collect/NVDA"), 409)
    assert (farm.get("/api/data/NVDA").status, submitted) == (200, [])


def test_collections_are_listed_the_newest_first_and_one_that_waits_is_cancelled(
    farm: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event

    from scizor_dagster.cli.instance import JobRunner

    go_on = Event()
    monkeypatch.setattr(JobRunner, "run", lambda *_, **__: go_on.wait(60))
    ids = [farm.post(f"/api/collect/{name}").json["id"] for name in ("MSFT", "NVDA", "GOOG")]
    answer = farm.get("/api/collections")
    assert answer.status == 200, answer.text
    listed = answer.json["items"]
    assert sorted(item["id"] for item in listed) == sorted(ids)
    assert {item["symbols"][0] for item in listed} == {"MSFT", "NVDA", "GOOG"}
    cancelled = farm.post(f"/api/collections/{ids[2]}/cancel")
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    go_on.set()
    assert farm.post(f"/api/collections/{ids[2]}/cancel").status == 409
    assert farm.get(f"/api/collections/{ids[2]}/progress").text.count("event: end") == 1
    assert farm.get("/api/collections?market=asx").json["items"] == []


def test_a_price_is_believed_by_whoever_may_say_so_and_only_one_that_waits(farm: Client, priced: Project) -> None:
    assert farm.get("/api/prices/quarantined").json["items"] == []
    body = {"symbol": "MSFT", "session": "2025-01-10", "reason": "it is right"}
    assert "There is no quarantined bar." in problem(farm.post("/api/prices/accept", json=body), 422)
    from scizor_dagster.ledger.api_keys import Scope

    reader = farm.holding(key_for(priced, {Scope.READ}))
    assert reader.post("/api/prices/accept", json=body).status == 403


def test_rates_in_doubt_are_none_without_files_of_rates(farm: Client) -> None:
    assert farm.get("/api/rates/doubtful").json["items"] == []
    body = {"base": "AUD", "quote": "USD", "session": "2025-01-10", "reason": "it is right"}
    assert "There is no rate to accept." in problem(farm.post("/api/rates/accept", json=body), 422)


def test_health_says_how_fresh_each_market_is_and_names_nothing_secret(farm: Client) -> None:
    found = farm.get("/api/health").json
    assert [(item["market"], item["newest"], item["behind"], item["fresh"]) for item in found["markets"]] == [
        ("us", "2025-01-17", 19, False),
        ("asx", None, None, False),
    ]
    assert (found["lake"], found["markets"][0]["sources"]) == (True, ["sample"])
    assert str(farm.app.state.context.settings.home) not in farm.get("/api/health").text
