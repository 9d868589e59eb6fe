"""The shipped settings are what the code assumes: nothing repeats a step by itself, and every limit is stated.

Each `dagster.yaml` of the project is held to it, and what `scizor` writes for the stores that are chosen.
"""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._utils.schedules import cron_string_iterator

from jobs import schedules
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.cli.dagster_home import dagster_yaml
from scizor_dagster.definitions import build_defs
from scizor_dagster.settings import PROJECT_ROOT, Settings
from tests.projects import small_project

SKIPPED = {".venv", ".venv-ib-async", ".venv-release", ".scizor", "build", "tests"}
FILES = sorted(
    path for path in PROJECT_ROOT.rglob("dagster.yaml") if not SKIPPED & set(path.relative_to(PROJECT_ROOT).parts)
)
NO_RETRY = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}
AT_MOST_HOURS = 6


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    home = tmp_path_factory.mktemp("home")
    return build_defs(Settings.from_environment({"SCIZOR_HOME": str(home)}))


def _read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _assumed(settings: dict[str, Any]) -> list[str]:
    """What of the settings is not as the code assumes, in words."""
    monitoring, retention = settings.get("run_monitoring", {}), settings.get("retention", {})
    concurrency = settings.get("concurrency", {})
    pools, runs = concurrency.get("pools", {}), concurrency.get("runs", {})
    sensor_ticks = retention.get("sensor", {}).get("purge_after_days", {})
    holds = {
        "run retries are off": settings.get("run_retries") == {"enabled": False},
        "run monitoring is on": monitoring.get("enabled") is True,
        "no run is resumed": monitoring.get("max_resume_run_attempts") == 0,
        "slots are freed after a run, and 0 would mean never": monitoring.get("free_slots_after_run_end_seconds", 0)
        > 0,
        "the queue has a limit": 1 <= runs.get("max_concurrent_runs", 0) <= 50,
        "a pool has one place": pools.get("default_limit") == 1,
        "a pool is held by the step, also of runs from the command line": pools.get("granularity") == "op",
        "nothing is reported to anybody": settings.get("telemetry") == {"enabled": False},
        "ticks of schedules are forgotten": retention.get("schedule", {}).get("purge_after_days", -1) > 0,
        "skipped ticks of sensors are forgotten": sensor_ticks.get("skipped", -1) > 0,
        "failed ticks of sensors are forgotten": sensor_ticks.get("failure", -1) > 0,
    }
    return [what for what, is_so in holds.items() if not is_so]


def test_there_is_a_file_to_look_at() -> None:
    assert PROJECT_ROOT / "dagster.yaml" in FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT_ROOT)))
def test_a_shipped_instance_is_what_the_code_assumes(path: Path) -> None:
    assert _assumed(_read(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT_ROOT)))
def test_a_shipped_instance_is_one_that_dagster_takes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody@localhost/nothing")
    config, _ = dagster_instance_config(str(path.parent), config_filename=path.name)
    assert config["run_retries"] == {"enabled": False}


@pytest.mark.parametrize("on_server", [False, True])
def test_what_is_written_for_a_home_is_what_the_code_assumes(on_server: bool) -> None:
    written = yaml.safe_load(dagster_yaml(on_server=on_server))
    assert _assumed(written) == []
    # On files one run at a time: SQLite holds the record of runs.
    assert (written["concurrency"]["runs"]["max_concurrent_runs"] > 1) is on_server


def test_what_is_written_for_a_server_holds_no_address_and_no_secret() -> None:
    written = yaml.safe_load(dagster_yaml(on_server=True))
    assert written["storage"]["custom"]["config"] == {}
    assert "postgres_url" not in str(written)


def test_the_values_for_dagsters_chart_are_what_the_code_assumes() -> None:
    values = _snaked(_read(PROJECT_ROOT / "deploy" / "helm" / "values.yaml"))
    daemon = values["dagster_daemon"]
    parts = {"run_retries": daemon["run_retries"], "run_monitoring": daemon["run_monitoring"]}
    others = {name: values[name] for name in ("concurrency", "retention", "telemetry")}
    assert _assumed({**parts, **others}) == []


def _snaked(values: Any) -> Any:
    """The chart's words for the settings, as those of `dagster.yaml`."""
    if not isinstance(values, dict):
        return values
    return {
        re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): _snaked(item) for name, item in values.items()
    }


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("run_retries", "enabled"), True, "run retries are off"),
        (("run_monitoring", "max_resume_run_attempts"), 3, "no run is resumed"),
        (
            ("run_monitoring", "free_slots_after_run_end_seconds"),
            0,
            "slots are freed after a run, and 0 would mean never",
        ),
        (
            ("concurrency", "pools", "granularity"),
            "run",
            "a pool is held by the step, also of runs from the command line",
        ),
        (("concurrency", "pools", "default_limit"), 2, "a pool has one place"),
        (("telemetry", "enabled"), True, "nothing is reported to anybody"),
    ],
)
def test_a_setting_that_has_been_changed_is_named(path: tuple[str, ...], value: object, what: str) -> None:
    settings = _read(PROJECT_ROOT / "dagster.yaml")
    part = settings
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert _assumed(settings) == [what]


def test_steps_run_in_the_process_of_their_run(defs: dg.Definitions) -> None:
    assert isinstance(defs.executor, dg.ExecutorDefinition)
    assert defs.executor.name == "in_process"
    own = [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]
    assert {job.executor_def.name for job in own} == {"in_process"}


def test_nothing_repeats_an_order_by_itself(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    trading = [key for key in graph.materializable_asset_keys if graph.get(key).group_name == "portfolio_main"]
    assert len(trading) >= 6
    for key in trading:
        node = graph.get(key)
        assert (node.automation_condition, node.assets_def.op.retry_policy, node.backfill_policy) == (None, None, None)
    assert graph.get(dg.AssetKey(["main", "executions"])).assets_def.op.pool == "account_paper"


def test_no_asset_at_all_is_repeated_or_started_by_a_condition(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        assert graph.get(key).automation_condition is None
        assert graph.get(key).assets_def.op.retry_policy is None


def test_every_job_ends_some_time_and_one_that_trades_is_never_retried(defs: dg.Definitions) -> None:
    trades = 0
    for job in defs.resolve_all_job_defs():
        if job.name.startswith("__"):
            continue
        assert 0 < int(job.tags["dagster/max_runtime"]) <= AT_MOST_HOURS * 3600, job.name
        assert job.op_retry_policy is None
        if "scizor/portfolio" in job.tags:
            trades += 1
            assert {name: job.tags[name] for name in NO_RETRY} == NO_RETRY, job.name
    assert trades == 6


def test_every_schedule_of_a_partition_names_it_and_is_off_until_somebody_switches_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = small_project(tmp_path)
    monkeypatch.setattr(schedules, "day_to_close", lambda desk, portfolio, day: date(2026, 11, 13))
    monkeypatch.setattr(schedules, "concerns", lambda desk, portfolio, day: True)
    repository = build_defs(project.settings).get_repository_def()
    asked: dict[str, list[str | None]] = {}
    for item in repository.schedule_defs:
        assert item.default_status is dg.DefaultScheduleStatus.STOPPED
        tick = _first_tick(item)
        clock = SystemClock(fixed_at=(tick + timedelta(minutes=1)).isoformat())
        desk = TradingDesk(home=str(project.home), config_path=str(project.settings.config_path), clock=clock)
        context = dg.build_schedule_context(
            scheduled_execution_time=tick, resources={"desk": desk}, repository_def=repository
        )
        with context:
            asked[item.job_name] = [one.partition_key for one in item.evaluate_tick(context).run_requests or ()]
    day = "2026-11-16"
    assert asked == {
        "collect_daily": [day],
        "rebalance": [day],
        "follow_orders": [day],
        "close_day": ["2026-11-13"],
        "maintain": [None],
    }


def _first_tick(item: dg.ScheduleDefinition) -> datetime:
    """The first one from a Monday on that is a session."""
    assert isinstance(item.cron_schedule, str)
    begin = datetime(2026, 11, 16, 6, tzinfo=UTC)
    return next(cron_string_iterator(begin.timestamp(), item.cron_schedule, item.execution_timezone))
