"""The blocking check of a plan, on the plans that the assets themselves make and store."""

import json
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from assets.portfolios import portfolio_assets
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_actions
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.planning.rules import PlanningRules
from tests.projects import Project, small_project, write_weights

SESSION = date(2025, 3, 3)
NOW = datetime(2025, 3, 31, 22, tzinfo=UTC)
LONG_SHORT = {"AAPL": -0.4, "MSFT": 0.5, "NVDA": 0.45}
RISK = {"min_cash_buffer_pct": 0.0, "fractional_shares": {"max_total_weight": 1.5}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Weights of 135 % gross that the configuration allows, consolidated but not planned."""
    folder = tmp_path_factory.mktemp("long-short")
    made = small_project(folder, weights={"allow_short": True}, risk=RISK)
    write_weights(folder / "weights.csv", {SESSION: LONG_SHORT})
    desk = Desk(made.settings, lambda: NOW)
    refresh_symbols(desk, "us")
    refresh_actions(desk, "us")
    fill_history(desk, "us", (2025, 2025), None)
    consolidate_session(desk, "main", SESSION)
    desk.lake.close()
    desk.ledger.close()
    return made


def materialized(project: Project, name: str) -> dg.ExecuteInProcessResult:
    """One asset of the portfolio alone."""
    clock = SystemClock(fixed_at=NOW.isoformat())
    home, config = str(project.settings.home), str(project.settings.config_path)
    resource = TradingDesk(home=home, config_path=config, clock=clock)
    wanted = dg.AssetKey(["main", name])
    assets = [item for item in portfolio_assets(resource.desk.config, "main") if wanted in item.keys]
    key = SESSION.isoformat()
    return dg.materialize(assets, partition_key=key, resources={"desk": resource}, raise_on_error=False)


def checked(project: Project) -> tuple[bool, dict[str, Any]]:
    """Materialize the plan; whether it fits, and what the check shows."""
    done = materialized(project, "planned_orders")
    (check,) = [row for row in done.get_asset_check_evaluations() if row.check_name == "plan_fits_the_equity"]
    return check.passed, {name: value.value for name, value in check.metadata.items()}


def test_a_long_short_plan_that_the_maximum_allows_passes(project: Project) -> None:
    passed, shown = checked(project)
    assert passed
    assert shown["gross"] > 130_000
    assert shown["gross_limit"] == 150_000
    assert shown["net"] < shown["net_limit"] == 100_000


def test_the_limits_are_those_of_the_plans_own_rules(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    as_text = PlanningRules.as_text

    def lower(rules: PlanningRules) -> str:
        return json.dumps(json.loads(as_text(rules)) | {"max_total_weight": "1.2"})

    monkeypatch.setattr(PlanningRules, "as_text", lower)
    passed, shown = checked(project)
    assert not passed
    assert shown["gross_limit"] == 120_000
    assert shown["gross_excess"] == pytest.approx(shown["gross"] - 120_000, abs=0.02)


def test_executions_materialized_alone_read_the_gate_again_that_a_check_of_another_run_had_closed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_text = PlanningRules.as_text

    def lower(rules: PlanningRules) -> str:
        return json.dumps(json.loads(as_text(rules)) | {"max_total_weight": "1.2"})

    monkeypatch.setattr(PlanningRules, "as_text", lower)
    assert not checked(project)[0]
    done = materialized(project, "executions")
    (failure,) = [event.step_failure_data for event in done.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "opens more than equity less the cash buffer" in str(failure.user_failure_data.description)
    ledger = Desk(project.settings, lambda: NOW).ledger
    with ledger.read() as connection:
        assert batches_of(connection, "paper", "main") == []
