"""A portfolio of two strategies in Dagster: its graph, its job on the paper exchange, and what the UI shows."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.portfolios import portfolio_assets
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.definitions import build_defs
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import stored_rows
from tests.flow.desks import FIRST, NOW, collected
from tests.projects import Project, project_at, small_project, write_weights

SIGNALS = {
    "mode": "blend",
    "strategy": None,
    "strategies": [{"id": "trend", "capital": 0.5}, {"id": "value", "capital": 0.5}],
    "overlays": [{"cap_per_name": 0.3}],
}


def blended(folder: Path) -> Project:
    small_project(folder, portfolios={"main": {"signals": SIGNALS}})
    entries = [{"id": name, "path": f"{name}.csv", "format": "csv"} for name in ("trend", "value")]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    return project_at(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return blended(tmp_path)


def test_each_strategy_has_its_asset_and_the_targets_depend_on_all_of_them(project: Project) -> None:
    definitions = build_defs(project.settings)
    dg.Definitions.validate_loadable(definitions)
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    raw = {"main/raw_signals/trend", "main/raw_signals/value"}
    assert raw < set(specs)
    depended = {dep.asset_key.to_user_string() for dep in specs["main/target_weights"].deps}
    assert depended == {*raw, "us/symbols"}
    for job, others in (("take_signals", set()), ("rebalance", {"main/planned_orders", "main/executions"})):
        selected = {key.to_user_string() for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys}
        assert selected >= {*raw, "main/target_weights", *others}
    followed = definitions.resolve_job_def("follow_orders").asset_layer.selected_asset_keys
    assert not raw & {key.to_user_string() for key in followed}


def materialized(project: Project) -> dg.ExecuteInProcessResult:
    clock = SystemClock(fixed_at=NOW.isoformat())
    home, config = str(project.settings.home), str(project.settings.config_path)
    resource = TradingDesk(home=home, config_path=config, clock=clock)
    assets = portfolio_assets(resource.desk.config, "main")
    return dg.materialize(assets, partition_key=FIRST.isoformat(), resources={"desk": resource}, raise_on_error=False)


def test_a_session_of_a_blend_runs_to_reconciled_positions_and_shows_its_attribution(tmp_path: Path) -> None:
    collected(tmp_path).lake.close()
    project = blended(tmp_path)
    write_weights(tmp_path / "trend.csv", {FIRST: {"AAPL": 0.5, "MSFT": 0.5}})
    write_weights(tmp_path / "value.csv", {FIRST: {"MSFT": 0.4, "GOOG": 0.3}})
    result = materialized(project)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    (made,) = result.asset_materializations_for_node("main__target_weights")
    shown = {name: value.value for name, value in made.metadata.items()}
    assert shown["weight_by_strategy"] == pytest.approx({"trend": 0.25 + 1 / 6, "value": 0.15 + 2 / 15})
    assert "| MSFT | trend | MSFT | 3 | 0.5 | 0.1666" in shown["attribution"]
    assert "| GOOG | value | GOOG | 3 | 0.3 | 0.15 |" in shown["attribution"]
    assert "cap_per_name 0.3 changed 1 of 3 targets (MSFT)" in shown["warnings"]
    desk = Desk(project.settings, lambda: NOW)
    filled = stored_rows(desk, "order_results", portfolio="main", session=FIRST)
    assert {(row.symbol, row.state) for row in filled.itertuples()} == {
        ("AAPL", "filled"),
        ("GOOG", "filled"),
        ("MSFT", "filled"),
    }


def test_a_strategy_without_its_file_stops_the_session_before_any_target(tmp_path: Path) -> None:
    project = blended(tmp_path)
    write_weights(tmp_path / "trend.csv", {FIRST: {"AAPL": 0.5}})
    result = materialized(project)
    assert not result.success
    assert result.asset_materializations_for_node("main__raw_signals__trend")
    failed = [event.node_name for event in result.get_step_failure_events()]
    assert failed == ["main__raw_signals__value"]
    assert not result.asset_materializations_for_node("main__raw_signals__value")
