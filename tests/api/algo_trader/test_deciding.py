"""Approving exactly one plan, pausing strategies, and running sessions, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.rows import batches_of
from tests.api.algo_trader.conftest import close, edit, ledger_of, opened
from tests.api.algo_trader.test_stopping import id_of, lose_answer
from tests.api.client import Answer, Client
from tests.api.conftest import LAST_COLLECTED, NEXT, NOW, TRADED, key_for
from tests.projects import Project

DAY = NEXT.isoformat()


def post(client: Client, path: str, key: str, **body: Any) -> Answer:
    return client.post(f"/api/{path}", json=body, headers={"Idempotency-Key": key})


@pytest.fixture
def waiting(project: Project) -> Any:
    """Portfolio `main` carries out only what was approved, and has a plan of the next session."""
    edit(project, lambda config: config["portfolios"]["main"].update(approval="manual"))
    desk = Desk(project.settings, lambda: NOW)
    consolidate_session(desk, "main", NEXT)
    plan_session(desk, "main", NEXT)
    client = opened(project)
    yield client
    close(client)


def plan_of(client: Client) -> dict[str, Any]:
    (head,) = client.get(f"/api/plans/{DAY}").json["items"]
    assert isinstance(head, dict)
    return head


def test_a_plan_that_was_carried_out_cannot_be_approved(waiting: Client, plan: str) -> None:
    answer = post(waiting, f"plans/{plan}/approve", "p1", reason="seen")
    assert (answer.status, "carried out already" in answer.text) == (422, True)


def test_exactly_one_plan_is_approved_by_its_whole_hash_and_taken_back(waiting: Client) -> None:
    head = plan_of(waiting)
    plan = head["plan_id"]
    assert head["state"] == "awaiting_approval"
    assert post(waiting, f"plans/{plan[:12]}/approve", "p0", reason="seen").status == 422
    made = post(waiting, f"plans/{plan}/approve", "p1", reason="seen")
    assert (made.status, made.json["approved"], made.json["by"]) == (200, True, "ada")
    assert plan_of(waiting)["state"] == "approved"
    assert post(waiting, f"plans/{plan}/approve", "p2", reason="again").status == 409
    back = post(waiting, f"plans/{plan}/withdraw", "p3", reason="no")
    assert (back.status, back.json["approved"]) == (200, False)
    assert plan_of(waiting)["state"] == "awaiting_approval"


def test_an_approval_that_was_taken_back_is_not_given_again_by_the_old_request(
    waiting: Client, project: Project
) -> None:
    plan = plan_of(waiting)["plan_id"]
    first = post(waiting, f"plans/{plan}/approve", "p1", reason="seen").json
    post(waiting, f"plans/{plan}/withdraw", "p2", reason="no")
    lose_answer(project, id_of(waiting), "p1")
    assert post(waiting, f"plans/{plan}/approve", "p1", reason="seen").json == first
    assert plan_of(waiting)["state"] == "awaiting_approval"


def test_a_portfolio_that_asks_for_no_approval_is_told_so(desk: Client, plan: str) -> None:
    assert post(desk, f"plans/{plan}/approve", "p1", reason="seen").status == 422


def test_a_strategy_is_paused_and_resumed_and_an_old_request_changes_nothing(desk: Client, project: Project) -> None:
    made = post(desk, "strategies/weekly/pause", "s1", portfolio="main", reason="look")
    assert [(item["state"], item["portfolio"]) for item in made.json["items"]] == [("paused", "main")]
    assert post(desk, "strategies/weekly/resume", "s2", portfolio="main", reason="fine").status == 200
    lose_answer(project, id_of(desk), "s1")
    assert post(desk, "strategies/weekly/pause", "s1", portfolio="main", reason="look").json == made.json
    assert state_of(desk) == ("running", False)
    assert post(desk, "strategies/weekly/start", "s3", portfolio="main", reason="look").status == 422
    assert post(desk, "strategies/weekly/stop", "s4", portfolio="main", reason="end", liquidate=True).status == 200
    assert state_of(desk) == ("stopped", True)
    assert post(desk, "strategies/nobody/stop", "s5", reason="end").status == 404
    assert post(desk, "strategies/nobody/stop", "s6", portfolio="main", reason="end").status == 422


def state_of(client: Client) -> tuple[str, bool]:
    (item,) = client.get("/api/portfolios/main").json["strategy_states"]
    return item["state"], item["liquidate"]


def test_a_dry_run_makes_the_plan_and_admits_nothing(desk: Client, project: Project) -> None:
    planner = desk.holding(key_for(project, {Scope.DRY_RUN, Scope.READ}))
    order = {"portfolio": "main", "session": DAY}
    assert post(planner, "rebalances", "b0", **order, mode="trade").status == 403
    answer = post(planner, "rebalances", "b1", **order, mode="dry_run")
    assert answer.status == 202, answer.text
    run = answer.json["id"]
    assert answer.headers["location"] == f"/api/rebalances/{run}"
    desk.app.state.context.runs.wait(run)
    shown = planner.get(f"/api/rebalances/{run}").json
    assert (shown["status"], shown["problem"]) == ("succeeded", None)
    assert planner.get(f"/api/plans/{DAY}").json["items"][0]["state"] == "planned"
    ledger = ledger_of(project)
    with ledger.read() as connection:
        assert [batch.session for batch in batches_of(connection, "paper", "main")] == [TRADED]
    ledger.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"session": "2025-02-15"}, 422),
        ({"session": "2025-02-18"}, 422),
        ({"session": "2024-12-31"}, 422),
        ({"mode": "live"}, 422),
        ({"portfolio": "nobody"}, 404),
    ],
    ids=str,
)
def test_a_session_that_is_none_is_not_run(changes: dict[str, str], status: int, desk: Client) -> None:
    order = {"portfolio": "main", "session": LAST_COLLECTED.isoformat(), "mode": "dry_run"} | changes
    assert post(desk, "rebalances", "b1", **order).status == status


def test_a_run_needs_a_key_of_the_request(desk: Client) -> None:
    order = {"portfolio": "main", "session": DAY, "mode": "dry_run"}
    assert desk.post("/api/rebalances", json=order).status == 400
