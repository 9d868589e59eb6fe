"""What the routes of the algo trader tell of a session that was traded is what the stores hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.rows import fills_of, intents_by_id
from scizor_dagster.ledger.tables import events
from tests.api.algo_trader.conftest import ledger_of
from tests.api.client import Client
from tests.api.conftest import TRADED, key_for
from tests.projects import Project

DAY = TRADED.isoformat()


def walked(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item, in pages of one: what a cursor loses or shows twice shows."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, query={**query, "limit": 1, **cursor})
        assert answer.status == 200, answer.text
        found += answer.json["items"]
        if answer.json["next"] is None:
            return found
        assert 'rel="next"' in answer.headers["link"]
        cursor = {"cursor": answer.json["next"]}


@pytest.mark.parametrize(
    "path",
    [
        "/api/portfolios",
        f"/api/plans/{DAY}",
        "/api/plans/{plan}/lines",
        "/api/plans/{plan}/orders",
        "/api/orders",
        "/api/trades",
        "/api/positions",
        "/api/risk/limits",
        "/api/risk/events?passed=true",
        f"/api/reconciliations/{DAY}",
        "/api/performance/live",
    ],
)
def test_every_list_in_pages_of_one_is_the_list(path: str, client: Client, plan: str) -> None:
    path, _, query = path.format(plan=plan).partition("?")
    asked = dict(pair.split("=") for pair in query.split("&") if pair)
    whole = client.get(path, query=asked).json
    assert whole["items"]
    assert whole["next"] is None
    assert walked(client, path, **asked) == whole["items"]


def test_an_order_is_told_as_the_ledger_has_it_with_its_history(home: Project, client: Client, order: str) -> None:
    ledger = ledger_of(home)
    with ledger.read() as connection:
        row = intents_by_id(connection, [order])[order]
    ledger.close()
    shown = client.get(f"/api/orders/{order}").json
    assert (Decimal(shown["qty"]), Decimal(shown["filled_qty"])) == (row.qty, row.filled_qty)
    assert (shown["state"], shown["side"], shown["symbol"]) == (row.state.value, row.side.value, row.symbol)
    assert [entry["kind"] for entry in shown["events"]][-1] == "intent_filled"
    listed = client.get("/api/orders", query={"symbol": row.symbol, "session": DAY, "state": row.state.value}).json
    (item,) = [item for item in listed["items"] if item["client_order_id"] == order]
    assert {name: shown[name] for name in item} == item
    assert client.get("/api/orders", query={"state": "rejected"}).json["items"] == []


def test_an_order_is_explained_down_to_the_line_of_the_file(client: Client, order: str) -> None:
    told = client.get(f"/api/orders/{order}/explain").json
    assert (told["kind"], told["subject"], told["complete"]) == ("order", order, True)
    steps = [link["step"] for link in told["links"]]
    assert steps[0] == "file"
    assert {"plan", "order", "fills", "position", "reconciliation"} <= set(steps)


def test_a_plan_has_a_line_with_a_reason_for_every_order(client: Client, plan: str) -> None:
    (head,) = client.get(f"/api/plans/{DAY}").json["items"]
    assert (head["plan_id"], head["state"], head["session"]) == (plan, "admitted", DAY)
    assert client.get(f"/api/plans/{plan[:10]}").json["items"] == [head]
    lines = client.get(f"/api/plans/{plan}/lines").json["items"]
    orders = client.get(f"/api/plans/{plan}/orders").json["items"]
    assert (len(lines), len(orders)) == (head["lines"], head["orders"])
    reasons = {line["symbol"]: line["reason"] for line in lines}
    assert all(order["reason"] == reasons[order["symbol"]] for order in orders)
    opened = client.get(f"/api/plans/{plan}/lines", query={"reason": "open"}).json["items"]
    assert [line["symbol"] for line in opened] == [name for name in reasons if reasons[name] == "open"]


def test_positions_are_what_the_trades_add_up_to(home: Project, client: Client) -> None:
    ledger = ledger_of(home)
    with ledger.read() as connection:
        fills = fills_of(connection, "paper")
    ledger.close()
    sums: dict[str, Decimal] = {}
    for fill in fills:
        sums[fill.symbol] = sums.get(fill.symbol, Decimal(0)) + fill.signed_qty
    items = client.get("/api/positions", query={"portfolio": "main"}).json["items"]
    assert {item["symbol"]: Decimal(item["qty"]) for item in items} == sums
    assert all(Decimal(item["value"]) == Decimal(item["qty"]) * Decimal(item["price"]) for item in items)
    trades = client.get("/api/trades").json["items"]
    assert sorted(item["fill_id"] for item in trades) == sorted(fill.fill_id for fill in fills)
    one = trades[0]
    assert client.get("/api/trades", query={"order": one["client_order_id"], "session": DAY}).json["items"] == [one]


def test_a_reconciled_session_and_its_performance_are_told(client: Client) -> None:
    found = client.get(f"/api/reconciliations/{DAY}", query={"portfolio": "main"}).json["items"]
    assert [(item["state"], item["breaks"], item["pass"]) for item in found] == [("reconciled", 0, "second")]
    (live,) = client.get("/api/performance/live", query={"from": DAY, "to": DAY}).json["items"]
    assert (live["portfolio"], live["sessions"], live["first"]) == ("main", 1, DAY)
    assert client.get("/api/performance/live", query={"to": "2025-01-10"}).json["items"] == []


def test_a_portfolio_says_whether_it_may_trade(client: Client) -> None:
    shown = client.get("/api/portfolios/main").json
    assert (shown["environment"], shown["approval"], shown["trading_state"]) == ("paper", "auto", "active")
    assert (shown["last_session"], shown["arming"]) == (DAY, None)
    assert [item["state"] for item in shown["strategy_states"]] == ["running"]


def test_limits_carry_the_hash_that_stands_beside_each_verdict(client: Client) -> None:
    (limits,) = client.get("/api/risk/limits", query={"portfolio": "main"}).json["items"]
    assert limits["limits"]["max_notional_per_order"] == "25000"
    events_ = client.get("/api/risk/events", query={"passed": "true", "portfolio": "main"}).json["items"]
    assert events_
    assert all(item["verdict"] == "passed" and item["checked"] for item in events_)
    assert client.get("/api/risk/events", query={"portfolio": "main"}).json["items"] == []


def test_the_audit_is_the_whole_history_newest_first_and_verifies_itself(home: Project, client: Client) -> None:
    page = client.get("/api/audit", query={"verify": "true", "limit": 1000}).json
    ledger = ledger_of(home)
    with ledger.read() as connection:
        count = connection.execute(select(func.count()).select_from(events)).scalar()
    ledger.close()
    numbers = [item["seq"] for item in page["items"]]
    assert (page["whole"], page["found"]) == (True, [])
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) in (count, 1000)
    first = client.get("/api/audit", query={"limit": 2}).json
    second = client.get("/api/audit", query={"limit": 2, "cursor": first["next"]}).json
    assert [item["seq"] for item in (*first["items"], *second["items"])] == numbers[:4]
    assert first["whole"] is None
    halted = client.get("/api/audit", query={"kind": "intent_filled", "account": "paper"}).json["items"]
    assert {item["kind"] for item in halted} == {"intent_filled"}


def test_a_row_that_was_changed_behind_the_ledgers_back_is_found_by_the_audit(project: Project, api: Client) -> None:
    ledger = ledger_of(project)
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE trades SET qty = '1' WHERE fill_id = (SELECT min(fill_id) FROM trades)")
    ledger.close()
    page = api.get("/api/audit", query={"verify": "true", "limit": 1}).json
    assert page["whole"] is False
    assert page["found"]
    bound = api.holding(key_for(project, {Scope.ADMIN}, {"paper"}))
    page = bound.get("/api/audit", query={"verify": "true", "limit": 1}).json
    assert (page["whole"], page["found"]) == (False, [])


@pytest.mark.parametrize("cursor", ["x", "MjAyNS0wMi0wMw", "MnwzfDR8NQ", "////"])
@pytest.mark.parametrize("path", ["/api/orders", "/api/trades", "/api/risk/events", "/api/audit"])
def test_a_cursor_that_is_none_is_a_wrong_field(path: str, cursor: str, client: Client) -> None:
    answer = client.get(path, query={"cursor": cursor})
    assert (answer.status, answer.json["where"]) == (422, "query.cursor")


def test_an_empty_home_has_empty_lists(empty_api: Client) -> None:
    for path in (f"plans/{DAY}", "orders", "trades", "positions", "risk/events", "performance/live"):
        assert empty_api.get(f"/api/{path}").json["items"] == [], path
    (item,) = empty_api.get(f"/api/reconciliations/{DAY}").json["items"]
    assert item["state"] == "not reconciled"
    assert empty_api.get("/api/orders/nobody").status == 404
    assert empty_api.get(f"/api/plans/{'0' * 64}").status == 404
