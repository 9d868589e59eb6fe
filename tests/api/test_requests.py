"""What holds for every request, tried on routes that exist for these tests alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from threading import Event
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from fastapi import Depends, Request, Response

from scizor_dagster.api import audit, etags, events, idempotency
from scizor_dagster.api.app import create_app
from scizor_dagster.api.body import JSON
from scizor_dagster.api.context import lock_of
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.rates import NOTED_PER_MINUTE
from scizor_dagster.api.routes import ApiRouter, idempotency_key
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.api.uploads import CSV, Upload
from scizor_dagster.errors import BrokerUnavailable, LedgerError, NotPlaced, RiskLimitBreached
from scizor_dagster.ledger.api_answers import KeptAnswer, begin
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.api_requests import requests_of
from scizor_dagster.ledger.events import verify_chain
from tests.api.client import Client
from tests.api.conftest import NOW, key_for
from tests.ledgers import another
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
        self.during: Callable[[], None] = lambda: None

    def file(self, actor: Writer, file: Annotated[bytes, Depends(Upload((CSV,)))]) -> dict[str, int]:
        return {"bytes": len(file)}

    def trade(self, actor: Trader, body: Amount, key: Annotated[str, Depends(idempotency_key)]) -> Amount:
        self.done.append(key)
        self.during()
        if body.fail == "limit":
            raise RiskLimitBreached("Too much.", remedy="Ask for less.")
        if body.fail == "again":
            raise NotPlaced("Not now.", remedy="Make the same request again.")
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


def test_a_refusal_whose_remedy_is_the_same_key_is_not_kept(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    assert [trade(client, fail="again").status for _ in range(2)] == [422, 422]
    assert (trade(client).status, counter.done) == (200, ["one", "one", "one"])
    assert (trade(client, fail="again").status, len(counter.done)) == (409, 3)


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


def test_the_row_of_a_write_is_there_before_anything_is_done(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    seen: list[Any] = []

    def look() -> None:
        with client.app.state.context.ledger.read() as connection:
            seen.extend(requests_of(connection))

    counter.during = look
    trade(client)
    assert [(row.route, row.idempotency_key, row.status) for row in seen] == [("/api/trial", "one", None)]


def test_what_cannot_be_noted_is_not_done(trial: tuple[Client, Counter], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise sa.exc.OperationalError("INSERT", {}, Exception("the disk is full"))

    monkeypatch.setattr(audit, "note_request", fail)
    client, counter = trial
    assert (trade(client).status, counter.done) == (503, [])


def test_an_end_that_cannot_be_noted_hides_no_answer(
    trial: tuple[Client, Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise LedgerError("Gone.", remedy="None.")

    monkeypatch.setattr(audit, "note_answer", fail)
    client, _ = trial
    assert trade(client).status == 200
    assert trade(client).headers["idempotent-replayed"] == "true"


def test_an_answer_that_cannot_be_kept_is_given_and_the_next_try_is_worked_on(
    trial: tuple[Client, Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise LedgerError("Gone.", remedy="None.")

    client, counter = trial
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "keep", fail)
        assert trade(client).status == 200
    assert (trade(client).status, counter.done) == (200, ["one", "one"])


def test_two_at_once_are_done_once_and_the_other_is_told_to_wait(trial: tuple[Client, Counter]) -> None:
    client, counter = trial
    begun, go_on = Event(), Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(60)

    counter.during = wait
    asked = {"json": {"amount": "1"}, "headers": {"Idempotency-Key": "one"}}

    async def both() -> list[Any]:
        first = asyncio.create_task(client.asking("POST", "/api/trial", **asked))
        await asyncio.to_thread(begun.wait, 60)
        second = await client.asking("POST", "/api/trial", **asked)
        go_on.set()
        return [await first, second]

    first, second = client.run(both())
    assert (first.status, second.status, second.headers["retry-after"], counter.done) == (200, 409, "1", ["one"])


@pytest.mark.parametrize(("lives", "status"), [(True, 409), (False, 200)])
def test_what_another_process_has_begun_is_its_own_until_it_is_gone(
    trial: tuple[Client, Counter], lives: bool, status: int
) -> None:
    client, counter = trial
    assert client.key is not None
    ledger = client.app.state.context.ledger
    body = b'{"amount": "12.50"}'
    hashed = hashlib.sha256(b"POST\n/api/trial\n\n" + body).hexdigest()
    with ledger.transaction() as connection:
        begin(connection, KeptAnswer(client.key.split("_")[1], "one", hashed, "other", NOW), lambda _: True)
    other = another(ledger)
    with other.process_lock(lock_of("other")) if lives else nullcontext():
        answer = client.post("/api/trial", body=body, headers={"Idempotency-Key": "one", "Content-Type": JSON})
    other.close()
    assert (answer.status, len(counter.done)) == (status, 0 if lives else 1)


def test_a_stream_tells_what_is_new_and_that_it_still_lives(
    trial: tuple[Client, Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.002)
    told = iter([*[events.Told((), False)] * 4, events.Told([events.Event(1, "end", None)], True)])
    client, _ = trial

    async def progress(request: Request, actor: Reader) -> Response:
        return await events.stream(request, lambda _: next(told))

    router = ApiRouter("test")
    router.get("/slow")(progress)
    client.app.router.routes.extend(router.routes)
    text = client.get("/api/slow").text
    assert text.startswith(f"retry: {events.RETRY_MILLISECONDS}")
    assert text.count(": still there") >= 1
    assert "event: end" in text.rpartition(": still there")[2]


def test_a_stream_without_an_end_is_cut_off_and_goes_on_where_it_was(
    trial: tuple[Client, Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(events, "LASTS_SECONDS", 0.003)
    client, _ = trial

    async def progress(request: Request, actor: Reader) -> Response:
        return await events.stream(request, lambda after: events.Told([events.Event(after + 1, "step", None)], False))

    router = ApiRouter("test")
    router.get("/endless")(progress)
    client.app.router.routes.extend(router.routes)
    assert client.get("/api/endless").text.endswith("id: 3\n\n")
    assert client.get("/api/endless", headers={"Last-Event-ID": "3"}).text.endswith("id: 6\n\n")


def test_so_many_streams_may_be_open_and_each_gives_its_place_back(trial: tuple[Client, Counter]) -> None:
    client, _ = trial
    places = client.app.state.context.streams
    for _ in range(32):
        places.take()
    full = client.get("/api/progress")
    places.give_back()
    answers = [client.get("/api/progress").status for _ in range(3)]
    assert (full.status, full.headers["retry-after"], answers) == (503, "1", [200, 200, 200])


@pytest.mark.parametrize("number", ["x", "-1", "9" * 16, "\u0661"])
def test_what_is_no_event_of_a_stream_is_refused(trial: tuple[Client, Counter], number: str) -> None:
    answer = trial[0].get("/api/progress", headers={"Last-Event-ID": number.encode().decode("latin-1")})
    assert answer.status == 422


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\u00e9", f"order-scz_{'0' * 12}_{'f' * 64}"])
def test_what_is_no_idempotency_key_is_refused(trial: tuple[Client, Counter], key: str) -> None:
    client, counter = trial
    assert (trade(client, key).status, counter.done) == (400, [])


@pytest.mark.parametrize("amount", [12.5, 12, "1e3", "NaN", "", " 1", "1.", None, True, "9" * 21])
def test_an_exact_number_is_a_text_of_digits_and_nothing_else(trial: tuple[Client, Counter], amount: object) -> None:
    client, counter = trial
    assert (trade(client, amount=amount).status, counter.done) == (422, [])


def test_whoever_collects_refusals_does_not_fill_the_ledger_with_them(
    trial: tuple[Client, Counter], fresh: Project
) -> None:
    client, _ = trial
    reader = client.holding(key_for(fresh, {Scope.READ}, actor="bob"))
    assert [trade(reader).status for _ in range(NOTED_PER_MINUTE + 3)] == [403] * (NOTED_PER_MINUTE + 3)
    with client.app.state.context.ledger.read() as connection:
        assert len(requests_of(connection, actor="bob")) == NOTED_PER_MINUTE
