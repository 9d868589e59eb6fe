"""Arming over HTTP: everything is named, the broker says who it is, and a request is one permission."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.arming import arming_of
from tests.api.algo_trader.conftest import close, edit, ledger_of, opened
from tests.api.algo_trader.test_stopping import id_of, lose_answer
from tests.api.client import Answer, Client
from tests.api.conftest import NOW, key_for
from tests.projects import Project

LIVE = {
    "broker": "alpaca",
    "environment": "live",
    "account_id": "932473521",
    "initial_cash": 100000.0,
    "url": "http://127.0.0.1:9",
}
UNTIL = NOW + timedelta(hours=8)
ARM = {
    "portfolio": "main",
    "account_id": "932473521",
    "until": UNTIL.isoformat(),
    "max_notional": "25000",
    "reason": "monthly",
}


class Answering:
    """A broker that says who it is."""

    def __init__(self, account_id: str = "932473521") -> None:
        self.account_id = account_id

    def identity(self) -> BrokerIdentity:
        return BrokerIdentity("alpaca", "live", self.account_id)


@pytest.fixture
def live(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Portfolio `main` trades real money at a broker that answers."""
    monkeypatch.setenv("APCA_API_KEY_ID", "AKX")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "geheim-4711")
    edit(fresh, lambda config: config["accounts"].update(paper=LIVE))
    monkeypatch.setattr(Desk, "broker", lambda *_: Answering())
    client = opened(fresh)
    yield client
    close(client)


def arm(client: Client, key: str = "a1", **changes: Any) -> Answer:
    return client.post("/api/arm", json=ARM | changes, headers={"Idempotency-Key": key})


def test_a_portfolio_is_armed_until_a_time_and_up_to_an_amount_and_shows_it(live: Client, fresh: Project) -> None:
    answer = arm(live)
    made = answer.json["made"]
    assert (answer.status, made["max_notional"], made["sent"], made["by"]) == (200, "25000", "0", "ada")
    assert made["reason"] == f"monthly [{id_of(live)}/a1]"
    shown = live.get("/api/portfolios/main").json
    assert (shown["environment"], shown["arming"]) == ("live", made)
    taken = live.post("/api/disarm", json={"portfolio": "main", "reason": "done"}).json["taken"]
    assert [item["arming"] for item in taken] == [made]
    assert live.get("/api/portfolios/main").json["arming"] is None
    assert live.post("/api/disarm", json={"reason": "done"}).json["taken"] == []


def test_a_request_that_is_repeated_is_no_new_amount(live: Client, fresh: Project) -> None:
    first = arm(live).json["made"]
    lose_answer(fresh, id_of(live), "a1")
    again = arm(live)
    assert (again.status, again.json["made"]) == (200, first)
    assert numbers(fresh) == 1


def test_a_request_that_is_repeated_after_it_was_taken_back_permits_nothing(live: Client, fresh: Project) -> None:
    arm(live)
    live.post("/api/disarm", json={"portfolio": "main", "reason": "done"})
    lose_answer(fresh, id_of(live), "a1")
    assert arm(live).status == 200
    assert live.get("/api/portfolios/main").json["arming"] is None


def numbers(project: Project) -> int:
    ledger = ledger_of(project)
    with ledger.read() as connection:
        found = arming_of(connection, "paper", "main")
    ledger.close()
    return found.number if found is not None else 0


@pytest.mark.parametrize("missing", sorted(ARM))
def test_nothing_of_an_arming_has_a_default(missing: str, live: Client) -> None:
    body = {name: value for name, value in ARM.items() if name != missing}
    answer = live.post("/api/arm", json=body, headers={"Idempotency-Key": "a1"})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, f"body.{missing}")


@pytest.mark.parametrize(
    "changes",
    [
        {"account_id": "932473522"},
        {"max_notional": "0"},
        {"max_notional": "-1"},
        {"max_notional": 25000},
        {"max_notional": "NaN"},
        {"until": NOW.isoformat()},
        {"until": (NOW + timedelta(days=8)).isoformat()},
        {"until": "2025-02-15T20:00:00"},
        {"live": True},
    ],
    ids=str,
)
def test_what_does_not_fit_arms_nothing(changes: dict[str, Any], live: Client, fresh: Project) -> None:
    assert arm(live, **changes).status == 422
    assert numbers(fresh) == 0


def test_a_broker_that_says_it_is_another_account_arms_nothing(
    live: Client, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "broker", lambda *_: Answering("932473522"))
    answer = arm(live)
    assert (answer.status, numbers(fresh)) == (409, 0)


def test_a_paper_account_needs_no_arming(empty_api: Client) -> None:
    assert arm(empty_api).status == 422


def test_arming_needs_the_scope_that_trades_and_a_key_of_the_request(live: Client, fresh: Project) -> None:
    every = set(Scope)
    assert arm(live.holding(key_for(fresh, every - {Scope.TRADE}))).status == 403
    assert live.post("/api/arm", json=ARM).status == 400


def test_a_live_portfolio_that_is_not_armed_is_not_run(live: Client) -> None:
    order = {"portfolio": "main", "mode": "trade", "session": "2025-02-14"}
    answer = live.post("/api/rebalances", json=order, headers={"Idempotency-Key": "b1"})
    assert (answer.status, "is not armed" in answer.json["problem"]) == (409, True)
