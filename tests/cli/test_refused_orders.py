"""Orders that were not taken: the session says which and why, and does not end as if all were well."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.projects import Project, small_project

MINIMUM = {"exchange": {"min_order_notional": 100_000.0}}


@pytest.fixture
def strict_exchange(collected: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An exchange that asks for more than any order of the project is worth, and states a minimum far below it."""
    stated = PaperBroker.capabilities.fget
    assert stated is not None
    told = property(lambda broker: replace(stated(broker), min_notional=Decimal(1)))
    monkeypatch.setattr(PaperBroker, "capabilities", told)
    weights = (collected.folder / "weights.csv").read_text()
    small_project(collected.folder, accounts={"paper": MINIMUM})
    (collected.folder / "weights.csv").write_text(weights)
    return collected


def test_a_rejected_order_is_named_and_ends_the_command_with_exit_code_one(
    scizor: Scizor, strict_exchange: Project
) -> None:
    answer = scizor("run", "--date", NEXT, "--once", "--json")
    assert answer.code == 1
    assert answer.json["refused"] == len(answer.json["refused_rows"]) > 0
    assert {row["symbol"] for row in answer.json["refused_rows"]} == {"MSFT", "NVDA"}
    assert {row["state"] for row in answer.json["refused_rows"]} == {"rejected"}
    assert all("minimal amount" in row["reason"] for row in answer.json["refused_rows"])
    assert "main/executions:every_order_was_taken" in answer.json["failed_checks"]
    assert "main/executions:the_plan_was_admitted" not in answer.json["failed_checks"]
    table = scizor("reconcile", "--date", NEXT)
    assert table.code == 1
    assert "Refused orders" in table.out
    assert "NVDA" in table.out


def test_a_session_whose_orders_were_all_taken_refuses_none(scizor: Scizor, collected: Project) -> None:
    answer = scizor("reconcile", "--date", TRADED, "--json")
    assert (answer.code, answer.json["refused"], answer.json["refused_rows"]) == (0, 0, [])


def test_a_plan_that_was_never_admitted_is_shown_by_a_check(scizor: Scizor, collected: Project) -> None:
    with JobRunner.open(collected.settings) as runner:
        runner.run("take_signals", partition=NEXT.isoformat())
        plan_session(Desk(collected.settings, lambda: datetime.now(UTC)), "main", NEXT)
        outcome = runner.run("follow_orders", partition=NEXT.isoformat(), raise_on_failed_check=False)
    assert "main/executions:the_plan_was_admitted" in outcome.failed_checks
    answer = scizor("reconcile", "--date", NEXT, "--json")
    assert answer.code == 1
    assert {row["state"] for row in answer.json["refused_rows"]} == {"not_admitted"}
