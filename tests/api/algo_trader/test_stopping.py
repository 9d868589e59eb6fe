"""Stopping over HTTP: it takes effect, is found again by its request, and nothing keeps it from being heard."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.flow.stopping import Scope as Whom
from scizor_dagster.flow.stopping import after_sends
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.api_tables import api_answers
from scizor_dagster.ledger.changes import deleted
from scizor_dagster.ledger.events import append
from scizor_dagster.risk.trading_state import TradingState, states_of
from tests.api.algo_trader.conftest import close, edit, ledger_of, opened
from tests.api.client import Answer, Client
from tests.api.conftest import NOW, key_for
from tests.projects import Project

MAIN = {"portfolio": "main", "reason": "look"}


def said(client: Client, act: str, body: dict[str, Any] = MAIN, key: str | None = None) -> Answer:
    return client.post(f"/api/{act}", json=body, headers={"Idempotency-Key": key} if key else {})


def rows_of(project: Project) -> list[str]:
    ledger = ledger_of(project)
    with ledger.read() as connection:
        rows = [row.state.value for row in states_of(connection, "paper")]
    ledger.close()
    return rows


def lose_answer(project: Project, key_id: str, key: str) -> None:
    """As where a process dies between what it did and its answer, and its row of the answer was given up."""
    ledger = ledger_of(project)
    with ledger.transaction() as connection:
        change = deleted(api_answers, {"key_id": key_id, "idempotency_key": key})
        append(connection, NOW, "", "api_let_go", {}, changes=[change])
    ledger.close()


def id_of(client: Client) -> str:
    assert client.key is not None
    return client.key.split("_")[1]


def test_a_halt_is_in_force_with_its_reason_and_the_mark_of_its_request(desk: Client, project: Project) -> None:
    answer = said(desk, "halt", key="h1")
    (state,) = answer.json["in_force"]
    assert (answer.status, state["state"], state["by"]) == (200, "halted", "ada")
    assert state["reason"] == f"look [{id_of(desk)}/h1]"
    assert answer.json["left_at_broker"] == []
    assert desk.get("/api/portfolios/main").json["trading_state"] == "halted"
    assert said(desk, "reduce").json["in_force"][0]["state"] == "reducing"
    assert said(desk, "resume", key="r1").json["in_force"][0]["state"] == "active"
    assert rows_of(project) == ["halted", "reducing", "active"]


def test_an_old_request_to_resume_does_not_lift_a_halt_that_came_after_it(desk: Client, project: Project) -> None:
    said(desk, "halt", key="h1")
    assert said(desk, "resume", key="r1").status == 200
    said(desk, "halt", key="h2")
    lose_answer(project, id_of(desk), "r1")
    again = said(desk, "resume", key="r1")
    assert (again.status, again.json["in_force"][0]["state"]) == (200, "halted")
    assert rows_of(project) == ["halted", "active", "halted"]


def test_the_same_request_is_answered_as_before_and_another_one_with_its_key_refused(desk: Client) -> None:
    first = said(desk, "resume", key="r1")
    again = said(desk, "resume", key="r1")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, first.body, "true")
    assert said(desk, "resume", {"portfolio": "main", "reason": "another"}, "r1").status == 409
    assert said(desk, "resume").status == 400


@pytest.mark.parametrize("scope", [Scope.TRADE, Scope.UPLOAD, Scope.ADMIN])
def test_whoever_may_change_what_trades_may_stop_it_and_only_who_trades_lets_it_go_on(
    scope: Scope, desk: Client, project: Project
) -> None:
    bound = desk.holding(key_for(project, {scope}, {"paper"}))
    for act in ("halt", "reduce", "disarm"):
        assert said(bound, act).status == 200
    assert said(bound, "resume", key="r").status == (200 if scope is Scope.TRADE else 403)


@pytest.mark.parametrize("scope", [Scope.READ, Scope.DRY_RUN])
def test_who_can_change_nothing_stops_nothing(scope: Scope, desk: Client, project: Project) -> None:
    bound = desk.holding(key_for(project, {scope}))
    assert {said(bound, act).status for act in ("halt", "reduce", "disarm")} == {403}
    assert rows_of(project) == []


def test_a_halt_needs_no_configuration_that_can_be_read(desk: Client, project: Project) -> None:
    edit(project, lambda config: config.update(nonsense=1))
    assert desk.get("/api/portfolios").status == 503
    answer = said(desk, "halt", {"portfolio": "main", "reason": "look", "cancel_open": True})
    assert (answer.status, answer.json["in_force"][0]["account"]) == (200, "paper")
    assert "nonsense" in answer.json["note"]
    assert said(desk, "disarm").status == 200
    assert said(desk, "resume", key="r").status == 503
    assert rows_of(project) == ["halted"]


def test_a_halt_is_heard_whoever_has_used_up_what_requests_there_are(project: Project) -> None:
    limits = {"requests_per_minute": 3, "requests_per_minute_per_address": 4, "refusals_per_minute": 2}
    edit(project, lambda config: config.update(api=limits))
    client = opened(project)
    assert {client.get("/api/portfolios").status for _ in range(6)} == {200, 429}
    wrong = client.holding("scz_" + "0" * 12 + "_" + "0" * 64)
    assert [said(wrong, "halt").status for _ in range(4)] == [401, 401, 429, 429]
    assert {said(client, act).status for act in ("halt", "reduce", "disarm") for _ in range(3)} == {200}
    assert said(client, "resume", key="r").status == 429
    close(client)


def test_a_halt_is_heard_while_every_thread_is_at_work(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(project, lambda config: config.update(api={"max_threads": 1, "max_waiting": 1}))
    client = opened(project)
    at_work, free = threading.Event(), threading.Event()

    def slowly(*_: object) -> None:
        at_work.set()
        assert free.wait(60)

    monkeypatch.setattr("scizor_dagster.api.algo_trader.portfolios._summary", slowly)
    busy = Client(client.app, client.key)
    readers = [threading.Thread(target=busy_read, args=(busy,)) for _ in range(1)]
    for reader in readers:
        reader.start()
    assert at_work.wait(60)
    try:
        assert said(client, "halt").status == 200
    finally:
        free.set()
        for reader in readers:
            reader.join()
        busy.close()
        close(client)


def busy_read(client: Client) -> None:
    client.get("/api/portfolios")


def test_what_ends_by_itself_ends_in_the_future(desk: Client) -> None:
    soon = (NOW + timedelta(hours=1)).isoformat()
    assert said(desk, "halt", {**MAIN, "until": soon}).json["in_force"][0]["until"].startswith("2025-02-15T13:00:00")
    past = said(desk, "halt", {**MAIN, "until": NOW.isoformat()})
    assert (past.status, past.json["where"]) == (422, "body.until")
    assert said(desk, "halt", {**MAIN, "until": "2025-02-15T13:00:00"}).status == 422


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "x" * 501])
def test_a_reason_is_a_line_of_words(reason: str, desk: Client) -> None:
    assert said(desk, "halt", {"portfolio": "main", "reason": reason}).status == 422


def test_to_resume_somebody_names_whom(desk: Client) -> None:
    assert said(desk, "resume", {"reason": "look"}, "r").status == 422
    assert said(desk, "resume", {"reason": "look", "account": "paper"}, "r2").status == 200
    both = said(desk, "halt", {"reason": "look", "account": "second", "portfolio": "main"})
    assert both.status == 404


def test_nobody_is_waited_for_where_nothing_is_sent(project: Project) -> None:
    ledger = ledger_of(project)
    found = after_sends(
        ledger,
        [Whom("paper", None)],
        TradingState.HALTED,
        clock=lambda: NOW,
        seconds=60,
        pause=lambda _: pytest.fail("it waited"),
    )
    ledger.close()
    assert found == []
