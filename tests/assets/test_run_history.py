"""Old runs of Dagster's record go, and nothing that anything rests on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from resources.run_history import Pruned, prune
from scizor_dagster.cli.check_evaluations import Evaluations, State
from scizor_dagster.cli.dagster_home import dagster_yaml
from scizor_dagster.config.runs import RunRules
from scizor_dagster.definitions import build_defs
from tests.projects import small_project

RULES = RunRules(keep_days=100, keep_output_days=50)
DAYS = dg.StaticPartitionsDefinition(["a", "b"])
KEY = dg.AssetKey("daily")


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("sound", asset="daily")])
def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    print("a line of output")  # noqa: T201
    if context.run.tags.get("dies"):
        raise ValueError("the disk is full")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@dg.asset
def plain() -> None: ...


DEFS = dg.Definitions(
    assets=[daily, plain],
    jobs=[dg.define_asset_job("day", [KEY]), dg.define_asset_job("other", ["plain"])],
    executor=dg.in_process_executor,
)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance as `scizor` writes it: with its storage on files, and on a server."""
    on_server = request.param == "postgres"
    if on_server:
        server = request.getfixturevalue("postgres")
        monkeypatch.setenv("DATABASE_URL", server.url(server.new_database()))
    (tmp_path / "dagster.yaml").write_bytes(dagster_yaml(on_server=on_server))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


@pytest.fixture
def memory() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(instance: dg.DagsterInstance, job: str = "day", partition: str | None = "a", **tags: str) -> str:
    result = DEFS.resolve_job_def(job).execute_in_process(
        run_config=QUIET, instance=instance, partition_key=partition, tags=tags, raise_on_error=False
    )
    return result.run_id


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def known(instance: dg.DagsterInstance) -> set[str]:
    return {item.run_id for item in instance.get_runs()}


def test_a_run_that_another_has_superseded_goes_with_its_events_and_output(instance: dg.DagsterInstance) -> None:
    first, failed, newest = run(instance), run(instance, dies="yes"), run(instance)
    assert prune(instance, later(99), RULES) == Pruned(deleted=0, kept=0, outputs=3)
    assert prune(instance, later(101), RULES) == Pruned(deleted=2, kept=1, outputs=0)
    assert known(instance) == {newest}
    assert {first, failed} & {item.run_id for item in instance.fetch_materializations(KEY, limit=10).records} == set()


def test_each_run_on_files_takes_its_own_database_along(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        first, newest = run(instance), run(instance)
        shards = tmp_path / "history" / "runs"
        assert {first, newest} <= {path.stem for path in shards.glob("*.db")}
        prune(instance, later(101), RULES)
        assert [path.name for path in shards.glob(f"{first}*")] == []
        assert (shards / f"{newest}.db").is_file()
        assert not (tmp_path / "storage" / first).exists()


def test_the_newest_state_of_every_partition_stays_with_its_check(instance: dg.DagsterInstance) -> None:
    old_of_a, only_of_b, newest_of_a = run(instance), run(instance, partition="b"), run(instance)
    prune(instance, later(1000), RULES)
    assert known(instance) == {only_of_b, newest_of_a}
    assert old_of_a not in known(instance)
    assert instance.get_materialized_partitions(KEY) == {"a", "b"}
    stored = Evaluations(instance, DEFS.resolve_asset_graph())
    check = dg.AssetCheckKey(KEY, "sound")
    assert [stored.judge(check, day).state for day in ("a", "b")] == [State.PASSED, State.PASSED]


def test_the_newest_run_of_a_job_stays_although_it_failed(memory: dg.DagsterInstance) -> None:
    made, failed = run(memory), run(memory, dies="yes")
    assert prune(memory, later(1000), RULES) == Pruned(deleted=0, kept=2, outputs=2)
    assert known(memory) == {made, failed}


def test_an_asset_without_partitions_keeps_the_run_of_its_newest_state(memory: dg.DagsterInstance) -> None:
    runs = [run(memory, job="other", partition=None) for _ in range(3)]
    prune(memory, later(1000), RULES)
    assert known(memory) == {runs[-1]}
    event = memory.get_latest_materialization_event(dg.AssetKey("plain"))
    assert event is not None
    assert event.run_id == runs[-1]


def test_a_run_that_has_not_ended_stays_however_old(memory: dg.DagsterInstance) -> None:
    waiting = memory.create_run_for_job(DEFS.resolve_job_def("other"), status=dg.DagsterRunStatus.STARTED).run_id
    run(memory, job="other", partition=None)
    prune(memory, later(1000), RULES)
    assert waiting in known(memory)


def test_pruning_again_finds_nothing_more(memory: dg.DagsterInstance) -> None:
    for _ in range(3):
        run(memory)
    assert prune(memory, later(1000), RULES).deleted == 2
    found = prune(memory, later(1000), RULES)
    assert (found.deleted, found.kept) == (0, 1)


def test_the_job_that_maintains_prunes_by_the_configuration_and_touches_no_store(tmp_path: Path) -> None:
    """From a home in which nothing was collected: the lake's own half has nothing to do."""
    settings = small_project(tmp_path, runs={"keep_days": 36}).settings
    defs = build_defs(settings, fixed_now=later(40).isoformat())
    with dg.DagsterInstance.ephemeral() as instance:
        superseded, newest = run(instance), run(instance)
        result = defs.resolve_job_def("maintain").execute_in_process(instance=instance)
        assert result.success
        assert superseded not in known(instance)
        assert newest in known(instance)
        event = result.asset_materializations_for_node("run_history")[0]
        assert event.metadata["runs_deleted"].value == 1


@pytest.mark.parametrize("days", [0, 34])
def test_a_run_key_that_somebody_may_still_ask_for_is_not_forgotten(days: int) -> None:
    with pytest.raises(ValueError, match="keep_days"):
        RunRules(keep_days=days)
