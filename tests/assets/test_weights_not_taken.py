"""Weights that are refused or held, as the event log of the failed run shows them."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from assets.portfolios import portfolio_assets
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.flow.approvals import approve_weights
from scizor_dagster.flow.desk import Desk
from tests.flow.desks import FIRST, NOW
from tests.projects import Project, small_project, write_weights

KEY = dg.AssetKey(["main", "raw_signals", "weekly"])


def run(project: Project) -> tuple[dg.DagsterInstance, dg.ExecuteInProcessResult]:
    clock = SystemClock(fixed_at=NOW.isoformat())
    desk = TradingDesk(home=str(project.home), config_path=str(project.settings.config_path), clock=clock)
    assets = portfolio_assets(desk.desk.config, "main")
    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize(
        assets,
        selection=[KEY],
        partition_key=FIRST.isoformat(),
        resources={"desk": desk},
        instance=instance,
        raise_on_error=False,
    )
    return instance, result


def failure(project: Project) -> dict[str, Any]:
    """Metadata of the failed step, read from the instance's event log."""
    instance, result = run(project)
    assert not result.success
    logged = [entry.dagster_event for entry in instance.all_logs(result.run_id)]
    (event,) = (item for item in logged if item and item.event_type is dg.DagsterEventType.STEP_FAILURE)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return {name: value.value for name, value in data.metadata.items()}


def test_a_refused_file_shows_every_finding_as_a_table_and_the_whole_report(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    write_weights(tmp_path / "weights.csv", {FIRST: {"AAPL": 0.6, "MSFT": float("nan")}})
    shown = failure(project)
    lines = shown["violations"].splitlines()
    assert lines[0] == "| file | rule | sheet | line | column | value | problem | remedy |"
    assert lines[2].startswith("| weights.csv | weight_above_maximum |  | 2 | target_weight | 0.6 | One asset may")
    assert lines[3].startswith("| weights.csv | missing_weight |  | 3 | target_weight | nan |")
    assert len(lines) == 4
    report = shown["report"]
    assert (report["status"], report["violations_found"]) == ("refused", 2)
    assert [item["line"] for item in report["violations"]] == [2, 3]
    assert shown["file"] == str(tmp_path / "weights.csv")
    assert "scizor signals check" in shown["remedy"]


def test_a_file_wrong_in_every_row_leaves_a_hundred_rows_in_the_event_log(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    write_weights(tmp_path / "weights.csv", {FIRST: {f"A{number}": float("nan") for number in range(150)}})
    shown = failure(project)
    lines = shown["violations"].splitlines()
    assert len([line for line in lines if line.startswith("| weights.csv")]) == 100
    assert lines[-1] == "50 more rows."
    assert (len(shown["report"]["violations"]), shown["report"]["violations_found"]) == (100, 150)


def test_a_file_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    shown = failure(small_project(tmp_path))
    assert shown["report"]["violations"] == []
    assert shown["file"] == str(tmp_path / "weights.csv")


def test_held_weights_show_the_command_and_once_approved_who_approved_what(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    write_weights(tmp_path / "weights.csv", {FIRST: {"AAPL": 0.0, "MSFT": 0.0}})
    shown = failure(project)
    assert shown["report"]["status"] == "held"
    assert "| weights.csv | all_zero |" in shown["violations"]
    assert "scizor signals approve --strategy weekly --portfolio main --date 2025-03-03" in shown["remedy"]
    desk = Desk(project.settings, lambda: NOW)
    approve_weights(desk, "main", "weekly", date(2025, 3, 3), actor="ann", reason="the strategy ends")
    _, result = run(project)
    (made,) = result.asset_materializations_for_node("main__raw_signals__weekly")
    approved = made.metadata["approved"].value
    assert str(approved).startswith("all_zero of ")
    assert str(approved).endswith("approved by ann at 2025-03-31 22:00 UTC: the strategy ends")
