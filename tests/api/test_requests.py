"""What holds for every request, tried on routes that exist for these tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, Request, Response

from scizor_dagster.api import etags, events
from scizor_dagster.api.app import create_app
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.routes import ApiRouter, idempotency_key
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.api.uploads import CSV, Upload
from scizor_dagster.errors import BrokerUnavailable, RiskLimitBreached
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.api_requests import requests_of
from scizor_dagster.ledger.events import verify_chain
from tests.api.client import Client
from tests.api.conftest import NOW, key_for
from tests.projects import Project

Trader = Annotated[Actor, Depends(require(Scope.TRADE, Reach.SHARED))]
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
Writer = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.SHARED))]


class Amount(Model):
    amount: Exact
    fail: str | None = None


class Counter:
    """What the routes of a test have done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.router = ApiRouter("test")
        self.router.post("/trial")(self.trade)
        self.router.get("/tagged", responses=etags.DOCUMENTED)(self.tagged)
        self.router.put("/tagged")(self.change)
        self.router.get("/progress", responses=events.DOCUMENTED)(self.progress)
        self.router.post("/file")(self.file)
        self.version = 1

    def file(self, actor: Writer, file: Annotated[bytes, Depends(Upload((CSV,)))]) -> dict[str, int]:
        return {"bytes": len(file)}

    def trade(self, actor: Trader, body: Amount, key: Annotated[str, Depends(idempotency_key)]) -> Amount:
        self.done.append(key)
        if body.fail == "limit":
            raise RiskLimitBreached("Too much.", remedy="Ask for less.")
        if body.fail == "broker":
            raise BrokerUnavailable("It does not answer.", remedy="Wait.")
        if body.fail == "bug":
            raise RuntimeError("the secret of the house")
        return body

    def tagged(self, request: Request, response: Response, actor: Reader) -> dict[str, int]:
        etags.state(request, response, etags.tag_of("test", self.version))
        return {"version": self.version}

    def change(self, request: Request, actor: Writer) -> dict[str, int]:
        etags.require_match(request, etags.tag_of("test", self.version))
        self.version += 1
        return {"version": self.version}

    async def progress(self, request: Request, actor: Reader) -> Response:
        every = [events.Event(1, "step", {"done": 1}), events.Event(2, "end", {"status": "succeeded"})]
        return await events.stream(request, lambda after: events.Told(every[after:], True))


@pytest.fixture
def trial(fresh: Project) -> Iterator[tuple[Client, Counter]]:
    counter = Counter()
    app = create_app(fresh.settings, clock=lambda: NOW)
    app.router.routes.extend(counter.router.routes)
    client = Client(app, key_for(fresh))
    yield client, counter
    app.state.context.close()
    client.close()


def trade(client: Client, key: str | None = "one", **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return client.post("/api/trial", json={"amount": "12.50", **body}, headers=headers)


def test_a_post_that_could_trade_needs_an_idempotency_key(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    assert (trade(client, None).status, counter.done) == (400, [])


def test_the_same_post_again_is_answered_as_the_first_time_and_done_once(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    first, second = trade(client), trade(client)
    assert (first.status, first.json) == (200, {"amount": "12.50", "fail": None})
    assert (second.status, second.body, second.headers["idempotent-replayed"]) == (200, first.body, "true")
    assert counter.done == ["one"]


def test_another_body_under_the_same_idempotency_key_is_a_conflict(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    trade(client)
    assert (trade(client, amount="12.51").status, counter.done) == (409, ["one"])


def test_a_refusal_of_the_domain_is_kept_too(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    answers = [trade(client, fail="limit") for _ in range(2)]
    assert [answer.status for answer in answers] == [409, 409]
    assert (answers[0].json["problem"], counter.done) == ("Too much.", ["one"])


@pytest.mark.parametrize(("fail", "status"), [("broker", 503), ("bug", 500)])
def test_a_failure_is_not_kept_and_the_next_try_is_worked_on(
    trial: tuple[Client, Counter], fail: str, status: int
) -> None:
    client, counter = trial
    assert [trade(client, fail=fail).status for _ in range(2)] == [status, status]
    assert counter.done == ["one", "one"]


def test_a_field_that_is_wrong_leaves_the_idempotency_key_free(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    assert trade(client, other=1).status == 422
    assert (trade(client).status, counter.done) == (200, ["one"])


def test_an_error_that_nobody_has_foreseen_is_told_without_detail(trial: tuple[Client, Counter]) -> None:
    answer = trade(trial[0], fail="bug")
    assert "secret" not in answer.text
    assert answer.json["instance"].rpartition(":")[2] == answer.headers["x-request-id"]


def test_every_write_stands_in_the_audit_with_its_end(trial: tuple[Client, Counter]) -> None:
    client, _ = trial
    trade(client)
    trade(client, "two", fail="limit")
    client.holding("scz_nothing").get("/api/tagged")
    ledger = client.app.state.context.ledger
    with ledger.read() as connection:
        rows = requests_of(connection)
        assert verify_chain(connection) == []
    assert [(row.actor, row.method, row.route, row.status) for row in rows] == [
        ("", "GET", "/api/tagged", 401),
        ("ada", "POST", "/api/trial", 409),
        ("ada", "POST", "/api/trial", 200),
    ]
    assert (rows[0].outcome, rows[1].outcome) == ("unknown key", "RiskLimitBreached: Too much.")


def test_what_did_not_change_is_not_sent_again(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    first = client.get("/api/tagged")
    same = client.get("/api/tagged", headers={"If-None-Match": first.headers["etag"]})
    counter.version += 1
    other = client.get("/api/tagged", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, same.status, same.body, other.status) == (200, 304, b"", 200)


def test_what_has_changed_since_it_was_read_is_not_changed_again(trial: tuple[Client, Counter]) -> None:
    client, _ = trial
    tag = client.get("/api/tagged").headers["etag"]
    assert [client.put("/api/tagged", headers={"If-Match": tag}).status for _ in range(2)] == [200, 412]


def test_progress_is_told_event_by_event_and_goes_on_after_the_last_one_heard(trial: tuple[Client, Counter]) -> None:
    client, _ = trial
    whole = client.get("/api/progress")
    rest = client.get("/api/progress", headers={"Last-Event-ID": "1"})
    over = client.get("/api/progress", headers={"Last-Event-ID": "2"})
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert [line for line in whole.text.splitlines() if line.startswith("id")] == ["id: 1", "id: 2"]
    assert [line for line in rest.text.splitlines() if line.startswith("id")] == ["id: 2"]
    assert (over.status, over.body) == (204, b"")


def test_a_file_is_the_body_itself_and_of_a_stated_kind(trial: tuple[Client, Counter]) -> None:
    client, _ = trial
    answers = [client.post("/api/file", body=b"a,b", headers={"content-type": kind}) for kind in (CSV, "text/html")]
    empty = client.post("/api/file")
    assert ([answer.status for answer in answers], answers[0].json, empty.status) == ([200, 415], {"bytes": 3}, 422)
