"""An order over HTTP is one order of the portfolio's: placed once, told with who has asked, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.manual_orders import manual_orders_of
from tests.api.algo_trader.conftest import close, edit, ledger_of, opened
from tests.api.algo_trader.test_stopping import id_of, lose_answer
from tests.api.client import Answer, Client
from tests.api.conftest import LAST_COLLECTED, key_for
from tests.projects import Project

DAY = LAST_COLLECTED.isoformat()
TUESDAY = datetime(2025, 2, 18, 12, tzinfo=UTC)
"""Before the open of the first session without prices; Monday is a holiday."""
OPEN = TUESDAY.date().isoformat()
BUY = {"portfolio": "main", "instrument": "META", "side": "buy", "quantity": "10", "session": DAY, "reason": "a tip"}


@pytest.fixture
def trading(project: Project) -> Any:
    """Portfolio `main` takes orders by hand, and trades them back."""
    edit(project, lambda config: config["portfolios"]["main"].update(manual_orders="absorb"))
    client = opened(project)
    yield client
    close(client)


def place(client: Client, key: str = "o1", **changes: Any) -> Answer:
    return client.post("/api/orders", json=BUY | changes, headers={"Idempotency-Key": key})


def keys_of(project: Project) -> list[str]:
    ledger = ledger_of(project)
    with ledger.read() as connection:
        found = [row.idempotency_key for row in manual_orders_of(connection, "paper")]
    ledger.close()
    return found


def test_an_order_is_placed_once_and_explained_by_who_has_asked(trading: Client, project: Project) -> None:
    answer = place(trading)
    assert answer.status == 201, answer.text
    own = f"{id_of(trading)}/o1"
    (order,) = answer.json["orders"]
    assert (answer.json["key"], answer.json["by"], answer.json["policy"]) == (own, "ada", "absorb")
    assert (order["symbol"], order["side"], order["qty"], order["state"]) == ("META", "buy", "10", "filled")
    name = order["client_order_id"]
    assert answer.headers["location"] == f"/api/orders/{name}"
    assert place(trading).headers["idempotent-replayed"] == "true"
    lose_answer(project, id_of(trading), "o1")
    again = place(trading)
    assert (again.status, again.json["orders"]) == (201, answer.json["orders"])
    assert keys_of(project) == [own]
    shown = trading.get(f"/api/orders/{name}").json
    assert (shown["origin"], shown["request"]["key"], shown["request"]["by"]) == ("manual", own, "ada")
    told = trading.get(f"/api/orders/{name}/explain").json
    assert "file" not in {link["step"] for link in told["links"]}
    words = " ".join(sentence for link in told["links"] for sentence in link["sentences"])
    assert own in words
    assert "a tip" in words
    positions = trading.get("/api/positions", query={"portfolio": "main", "symbol": "META"}).json["items"]
    assert [Decimal(item["qty"]) for item in positions] == [10]


def test_the_same_key_is_another_thing_of_another_api_key(trading: Client, project: Project) -> None:
    other = trading.holding(key_for(project, actor="ben"))
    assert place(trading).status == 201
    assert place(other, quantity="3").status == 201
    assert keys_of(project) == [f"{id_of(trading)}/o1", f"{id_of(other)}/o1"]


def test_a_key_with_another_order_places_nothing(trading: Client, project: Project) -> None:
    place(trading)
    assert place(trading, quantity="11").status == 409
    lose_answer(project, id_of(trading), "o1")
    answer = place(trading, quantity="11")
    assert (answer.status, "quantity is 11 and was 10" in answer.json["problem"]) == (409, True)
    assert len(keys_of(project)) == 1


def test_a_key_as_long_as_it_may_be_is_one(trading: Client, project: Project) -> None:
    key = "k" * 128
    first = place(trading, key)
    lose_answer(project, id_of(trading), key)
    assert place(trading, key).json["orders"] == first.json["orders"]
    assert len(keys_of(project)) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"quantity": "0"}, 422),
        ({"quantity": "-1"}, 422),
        ({"quantity": 10}, 422),
        ({"quantity": "NaN"}, 422),
        ({"notional": "100"}, 422),
        ({"side": None}, 422),
        ({"instrument": "NOPE"}, 422),
        ({"instrument": "../../etc/passwd"}, 422),
        ({"session": "2025-02-15"}, 422),
        ({"session": "2025-02-18"}, 422),
        ({"order_type": "stop"}, 422),
        ({"live": True}, 422),
        ({"quantity": "10000000"}, 409),
    ],
    ids=str,
)
def test_what_is_no_order_places_nothing(
    changes: dict[str, Any], status: int, trading: Client, project: Project
) -> None:
    answer = place(trading, **changes)
    assert answer.status in {status, 422}, answer.text
    assert keys_of(project) == []


def test_a_portfolio_that_takes_none_is_sent_none(desk: Client) -> None:
    answer = place(desk)
    assert (answer.status, "takes no orders by hand" in answer.json["problem"]) == (422, True)


def test_an_order_that_waits_is_taken_back_once_and_under_a_halt_it_is_never_sent(project: Project) -> None:
    edit(project, lambda config: config["portfolios"]["main"].update(manual_orders="absorb"))
    client = opened(project, TUESDAY)
    try:
        resting = place(client, session=OPEN).json["orders"]
        assert [item["state"] for item in resting] == ["working"]
        client.post("/api/halt", json={"portfolio": "main", "reason": "look"})
        held = place(client, "o2", session=OPEN, instrument="NVDA").json["orders"]
        assert [item["state"] for item in held] == ["ready"]
        for order in (*resting, *held):
            path = f"/api/orders/{order['client_order_id']}"
            gone = client.delete(path, query={"reason": "entered twice"})
            assert (gone.status, gone.json["asked_by"], gone.json["filled_qty"]) == (200, "ada", "0"), gone.text
            assert gone.json["state"] in {"canceled", "dropped", "expired", "ready"}
            assert client.delete(path, query={"reason": "once more"}).status == 200
        assert {item["state"] for item in client.get("/api/orders", query={"session": OPEN}).json["items"]} <= {
            "canceled", "dropped", "expired", "ready",
        }  # fmt: skip
    finally:
        close(client)


def test_to_take_an_order_back_somebody_says_why(client: Client, order: str) -> None:
    assert client.delete(f"/api/orders/{order}").status == 422
    assert client.delete(f"/api/orders/{order}", query={"reason": "  "}).status == 422
    ended = client.delete(f"/api/orders/{order}", query={"reason": "too late"}).json
    assert (ended["state"], ended["asked_by"], ended["note"]) == ("filled", None, None)


def test_a_check_says_what_would_be_and_writes_nothing(trading: Client, project: Project) -> None:
    asked = BUY | {"key": "o1"}
    planner = trading.holding(key_for(project, {Scope.DRY_RUN}))
    before = events_of(project)
    found = planner.get("/api/risk/check", query=asked)
    assert found.status == 200, found.text
    (verdict,) = found.json["verdicts"]
    assert (found.json["passes"], verdict["verdict"], verdict["qty"]) == (True, "passed", "10")
    assert "max_notional_per_order" in verdict["checked"]
    large = planner.get("/api/risk/check", query=asked | {"quantity": "1000000"})
    assert large.json.get("passes", False) is False
    assert events_of(project) == before
    assert keys_of(project) == []


def events_of(project: Project) -> int | None:
    from sqlalchemy import func, select

    from scizor_dagster.ledger.tables import events

    ledger = ledger_of(project)
    with ledger.read() as connection:
        # A request's own row is the door's, and not the account's.
        found = connection.execute(select(func.count()).where(events.c.account == "paper")).scalar()
    ledger.close()
    return found


def test_a_check_under_a_halt_says_what_holds_it_back(trading: Client) -> None:
    trading.post("/api/halt", json={"portfolio": "main", "reason": "look"})
    found = trading.get("/api/risk/check", query=BUY).json
    assert found["passes"] is False
    assert "trading_state" in {item["limit"] for item in found["verdicts"]} | {str(found["kept_back_by"])}


def test_a_check_of_a_plan_that_was_carried_out_says_that_its_holdings_are_others(client: Client, plan: str) -> None:
    found = client.get("/api/risk/check", query={"plan": plan}).json
    assert (found["plan_id"], found["passes"]) == (plan, False)
    assert found["kept_back_by"]


def test_a_check_of_nothing_is_a_wrong_field(client: Client) -> None:
    assert client.get("/api/risk/check").status == 422
    assert client.get("/api/risk/check", query={"portfolio": "main"}).status == 422
    assert client.get("/api/risk/check", query={"portfolio": "nobody", "instrument": "META"}).status == 404
    assert client.get("/api/risk/check", query={"plan": "0" * 64}).status == 404


def test_where_a_person_approves_the_order_names_the_plan_that_was_checked(project: Project) -> None:
    manual = {"manual_orders": "absorb", "approval": "manual"}
    edit(project, lambda config: config["portfolios"]["main"].update(manual))
    client = opened(project)
    try:
        refused = place(client)
        assert (refused.status, "with the same key" in refused.json["remedy"]) == (409, True)
        checked = client.get("/api/risk/check", query=BUY | {"key": "o1"}).json
        assert checked["plan_id"] in refused.json["remedy"]
        done = place(client, approves=checked["plan_id"])
        assert (done.status, done.json.get("plan_id")) == (201, checked["plan_id"]), done.text
    finally:
        close(client)
