"""A key of one account sees and changes nothing of another, wherever a name or an id may stand."""

from __future__ import annotations

from typing import Any

import pytest

from scizor_dagster.ledger.api_keys import Scope
from tests.api.algo_trader.conftest import OTHER, ledger_of
from tests.api.client import Client
from tests.api.conftest import TRADED, key_for
from tests.api.samples import PATHS
from tests.projects import Project

DAY = TRADED.isoformat()
REASON = "test"
UNTIL = "2025-02-16T12:00:00Z"
NOBODY = {"order": "TST_nobody", "plan": "0" * 64, "run": "0" * 36, "portfolio": "nobody", "account": "nobody"}
"""Names that nothing has, of the form of those that something has."""
LISTS = (
    "/api/portfolios",
    f"/api/plans/{DAY}",
    "/api/orders",
    "/api/trades",
    "/api/positions",
    "/api/risk/limits",
    "/api/risk/events?passed=true",
    f"/api/reconciliations/{DAY}",
    "/api/performance/live",
    "/api/audit",
)
PLACES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/api/portfolios/{portfolio}", None),
    ("GET", "/api/plans/{plan}", None),
    ("GET", "/api/plans/{plan}/lines", None),
    ("GET", "/api/plans/{plan}/orders", None),
    ("POST", "/api/plans/{plan}/approve", {"reason": REASON}),
    ("POST", "/api/plans/{plan}/withdraw", {"reason": REASON}),
    ("GET", "/api/orders/{order}", None),
    ("GET", "/api/orders/{order}/explain", None),
    ("GET", "/api/rebalances/{run}", None),
    ("GET", "/api/rebalances/{run}/progress", None),
    *(("GET", f"{path.partition('?')[0]}?portfolio={{portfolio}}", None) for path in LISTS[1:-1]),
    ("GET", "/api/audit?account={account}", None),
    ("POST", "/api/strategies/weekly/pause", {"portfolio": "{portfolio}", "reason": REASON}),
    ("POST", "/api/strategies/weekly/resume", {"portfolio": "{portfolio}", "reason": REASON}),
    ("POST", "/api/strategies/weekly/start", {"portfolio": "{portfolio}", "reason": REASON}),
    ("POST", "/api/strategies/weekly/stop", {"portfolio": "{portfolio}", "reason": REASON, "liquidate": True}),
    ("POST", "/api/rebalances", {"portfolio": "{portfolio}", "mode": "trade"}),
    ("POST", "/api/rebalances", {"portfolio": "{portfolio}", "mode": "dry_run"}),
    *(
        ("POST", f"/api/{act}", {"reason": REASON, **whom})
        for act in ("halt", "reduce", "resume")
        for whom in ({"portfolio": "{portfolio}"}, {"account": "{account}"})
    ),
    (
        "POST",
        "/api/arm",
        {"portfolio": "{portfolio}", "account_id": "1", "until": UNTIL, "max_notional": "1", "reason": REASON},
    ),
    ("POST", "/api/disarm", {"portfolio": "{portfolio}", "reason": REASON}),
]


@pytest.mark.parametrize(("method", "path", "body"), PLACES, ids=lambda item: str(item)[:60])
def test_what_is_anothers_is_told_as_what_is_not_there(
    method: str, path: str, body: dict[str, Any] | None, client: Client, stranger: Client, home: Project
) -> None:
    theirs = {**PATHS, "portfolio": "main", "account": "paper"}
    before = events_of(home)
    said = []
    for names in (theirs, NOBODY):
        filled = {
            key: value.format_map(names) if isinstance(value, str) else value for key, value in (body or {}).items()
        }
        asked = stranger.request(
            method,
            path.format_map(names),
            json=filled if body is not None else None,
            headers={"Idempotency-Key": f"{path}{names is theirs}{body}".replace(" ", "")[:128]} if body else {},
        )
        assert asked.status == 404, asked.text
        named = next(names[name] for name in NOBODY if names[name] in asked.json["problem"])
        said.append(asked.json["problem"].replace(named, "X"))
    assert said[0] == said[1]
    assert events_of(home) == before


def events_of(project: Project) -> list[str]:
    """What was ever written of account `paper`."""
    from sqlalchemy import select

    from scizor_dagster.ledger.tables import events

    ledger = ledger_of(project)
    with ledger.read() as connection:
        rows = connection.execute(select(events.c.hash).where(events.c.account == "paper")).scalars().all()
    ledger.close()
    return list(rows)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_nothing_of_another_account(path: str, client: Client, stranger: Client) -> None:
    answer = stranger.get(path)
    assert answer.status == 200
    assert "main" not in {item.get("portfolio", item.get("name")) for item in answer.json["items"]}
    assert "paper" not in {item.get("account") for item in answer.json["items"]}


def test_an_account_that_is_not_configured_any_more_is_still_nobody_elses(home: Project, client: Client) -> None:
    bound = client.holding(key_for(home, {Scope.READ}, {"gone"}))
    assert bound.get("/api/orders").json["items"] == []
    assert bound.get("/api/portfolios").json["items"] == []


def test_a_bound_key_changes_a_strategy_in_its_own_portfolios_alone(desk: Client, project: Project) -> None:
    bound = desk.holding(key_for(project, accounts={"second"}))
    answer = bound.post("/api/strategies/weekly/pause", json={"reason": REASON}, headers={"Idempotency-Key": "1"})
    assert [item["portfolio"] for item in answer.json["items"]] == [OTHER]
    states = desk.get("/api/portfolios/main").json["strategy_states"]
    assert [item["state"] for item in states] == ["running"]


def test_a_halt_of_everything_is_of_the_keys_own_accounts(desk: Client, project: Project) -> None:
    bound = desk.holding(key_for(project, accounts={"second"}))
    answer = bound.post("/api/halt", json={"reason": REASON})
    assert [item["account"] for item in answer.json["in_force"]] == ["second"]
    assert desk.get("/api/portfolios/main").json["trading_state"] == "active"
    assert desk.get(f"/api/portfolios/{OTHER}").json["trading_state"] == "halted"
