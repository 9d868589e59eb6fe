"""The asset `backtests`: its config is the request, and a materialization shows what came of it."""

from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from assets.backtests import PARTITIONS, BacktestConfig, Watch
from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.definitions import build_defs
from scizor_dagster.errors import DataError, InputError
from tests.market_data.support import XNYS
from tests.projects import small_project, write_weights

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 2, 29))


def test_the_config_has_every_key_of_a_request_and_no_other():
    assert set(BacktestConfig.model_fields) == {*BacktestRequest.model_fields, "search", "max_seconds"}
    given = BacktestConfig(weights="w.csv", first="2024-01-03", delay=2, symbols=["A"])
    made = given.request("trend")
    assert (made.name, made.first, made.delay, made.symbols) == ("trend", date(2024, 1, 3), 2, ("A",))
    assert BacktestConfig(weights="w.csv", name="other").request("trend").name == "other"
    with pytest.raises(InputError, match="kind 'x'"):
        BacktestConfig(weights="w.csv", kind="x").request("trend")


@pytest.mark.parametrize("partition", ["my test", "a/b", "x" * 500, "Übung ☃", 'it\'s "mine"', ".."])
def test_a_partition_may_be_called_anything(partition):
    request = BacktestConfig(weights="w.csv").request(partition)
    assert request.name == partition[:200]


def test_a_partition_is_run_and_shows_figures_a_chart_and_its_page(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIZOR_KERNEL", "python")
    project = small_project(tmp_path)
    rows = [f"{day},{100 + at},{50 - at / 10}" for at, day in enumerate(SESSIONS)]
    (tmp_path / "p.csv").write_text("\n".join(["date,AAPL,MSFT", *rows]) + "\n", encoding="utf-8")
    write_weights(tmp_path / "w.csv", {SESSIONS[1]: {"AAPL": 0.5, "MSFT": 0.4}})
    config = {"weights": str(tmp_path / "w.csv"), "prices": str(tmp_path / "p.csv"), "calendar": "XNYS"}
    job = build_defs(project.settings).resolve_job_def("backtest")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS.name, ["trend"])
        run = {"ops": {"backtests": {"config": config}}}
        result = job.execute_in_process(run_config=run, partition_key="trend", instance=instance)
        assert result.success
        [made] = result.asset_materializations_for_node("backtests")
        assert all(check.passed for check in result.get_asset_check_evaluations())
        shown = made.metadata
        assert made.partition == "trend"
        assert shown["total_return"].value == pytest.approx(shown["equity"].value / 100_000 - 1, abs=1e-6)
        assert "data:image/png;base64" in shown["curve"].value
        assert (tmp_path / "home" / "reports" / "backtests").is_dir()
        bad = {"ops": {"backtests": {"config": {**config, "fill": "noon"}}}}
        failed = job.execute_in_process(run_config=bad, partition_key="trend", instance=instance, raise_on_error=False)
        assert not failed.success


def test_a_partition_with_a_search_keeps_the_backtest_of_the_best_set_and_shows_its_verdict(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIZOR_KERNEL", "python")
    project = small_project(tmp_path)
    moves = np.random.default_rng(4).normal(0.0, 0.01, (len(SESSIONS), 2))
    closes = np.round(100 * np.exp(np.cumsum(moves, axis=0)), 2)
    rows = [f"{day},{first},{second}" for day, (first, second) in zip(SESSIONS, closes, strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["date,AAPL,MSFT", *rows]) + "\n", encoding="utf-8")
    config = {
        "strategy": "moving_average_cross", "prices": str(tmp_path / "p.csv"), "calendar": "XNYS",
        "search": {"space": ["fast=2,3", "slow=5,10"], "workers": 1},
    }  # fmt: skip
    job = build_defs(project.settings).resolve_job_def("backtest")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS.name, ["crosses"])
        run = {"ops": {"backtests": {"config": config}}}
        result = job.execute_in_process(run_config=run, partition_key="crosses", instance=instance)
        [made] = result.asset_materializations_for_node("backtests")
    shown = made.metadata
    assert "NO BETTER THAN LUCK" in shown["search_verdict"].value
    assert shown["search_better_than_luck"].value is False
    assert "data:image/png;base64" in shown["search_map"].value
    assert shown["search"].value["sets"] == 4
    chosen = shown["request"].value["parameters"]
    assert set(chosen) == {"fast", "slow"}
    assert f"| {chosen['fast']} | {chosen['slow']} |" in " ".join(shown["search_sets"].value.splitlines()[2].split())


@dataclass
class Context:
    """As much of Dagster's context as a run watches."""

    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
    lines: list[str] = field(default_factory=list)

    log = property(lambda self: SimpleNamespace(info=self.lines.append))
    run = property(lambda self: SimpleNamespace(run_id="r", status=self.status))
    instance = property(lambda self: SimpleNamespace(get_run_by_id=lambda _: self.run))


def test_a_run_says_how_far_it_is_until_its_time_is_over_or_its_end_is_asked_for():
    context = Context()
    assert Watch(context, 3600.0).tell(250, 500)
    assert context.lines == ["250 of 500 sessions"]
    with pytest.raises(DataError, match="takes more than 0 seconds"):
        Watch(context, 0.0).look()
    context.status = dg.DagsterRunStatus.CANCELING
    with pytest.raises(DagsterExecutionInterruptedError):
        Watch(context, None).look()
