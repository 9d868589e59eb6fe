"""`scizor verify`: a check that does not hold is never green, whatever the run that made it was."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import dagster as dg
import pytest

from scizor_dagster.cli import dates, verify
from scizor_dagster.cli.check_evaluations import Evaluations, State
from scizor_dagster.cli.check_runs import run_checks, stands_alone
from scizor_dagster.cli.check_scope import Expected, Scope
from scizor_dagster.cli.instance import opened_instance
from scizor_dagster.cli.junit import Case, junit
from scizor_dagster.definitions import build_defs
from scizor_dagster.settings import Settings
from tests.cli.conftest import LAST_COLLECTED, TRADED, Scizor
from tests.postgres import Server
from tests.projects import Project

Key = dg.AssetCheckKey
SYMBOLS_KNOWN = Key(dg.AssetKey(["us", "symbols"]), "every_symbol_is_identified")
BARS = Key(dg.AssetKey(["us", "historical_chunks"]), "bars_are_believable")


def evaluation(key: dg.AssetCheckKey, **changes: Any) -> dg.AssetCheckEvaluation:
    said = {"passed": False, "severity": dg.AssetCheckSeverity.ERROR, "blocking": False, **changes}
    return dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name=key.name, **said)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="bars"), dg.AssetCheckSpec("whole", asset="bars")])
def bars(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    tags = context.run.tags
    if tags.get("dies"):
        raise ValueError("the disk is full")
    severity = dg.AssetCheckSeverity.WARN if tags.get("warns") else dg.AssetCheckSeverity.ERROR
    sound = dg.AssetCheckResult(check_name="sound", passed=not tags.get("fails"), severity=severity)
    return dg.MaterializeResult(check_results=[sound, dg.AssetCheckResult(check_name="whole", passed=True)])


@dg.asset_check(asset="bars", name="agrees")
def agrees() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset="bars", name="differs")
def differs() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, metadata={"found": "two closes differ"})


@dg.asset_check(asset="bars", name="cannot_look")
def cannot_look() -> dg.AssetCheckResult:
    raise ValueError("the second source is away")


DEFS = dg.Definitions(assets=[bars], asset_checks=[agrees, differs, cannot_look])
GRAPH = DEFS.resolve_asset_graph()
SOUND, WHOLE = Key(dg.AssetKey("bars"), "sound"), Key(dg.AssetKey("bars"), "whole")


def make(instance: dg.DagsterInstance, **tags: str) -> dg.ExecuteInProcessResult:
    return dg.materialize([bars], instance=instance, tags=tags, raise_on_error=False)


def state_of(instance: dg.DagsterInstance, key: dg.AssetCheckKey = SOUND) -> State:
    return Evaluations(instance, GRAPH).judge(key, None).state


def test_a_failed_check_that_blocks_nothing_is_found_behind_a_green_run(instance: dg.DagsterInstance) -> None:
    assert make(instance, fails="yes").success
    judged = Evaluations(instance, GRAPH).judge(SOUND, None)
    assert (judged.state, judged.blocking) == (State.FAILED, False)
    assert verify.failing([judged], strict=False) == [judged]
    assert state_of(instance, WHOLE) is State.PASSED


def test_a_warning_fails_only_where_warnings_do(instance: dg.DagsterInstance) -> None:
    make(instance, fails="yes", warns="yes")
    judged = Evaluations(instance, GRAPH).judge(SOUND, None)
    assert judged.state is State.WARNING
    assert verify.failing([judged], strict=False) == []
    assert verify.failing([judged], strict=True) == [judged]


def test_a_check_that_was_never_evaluated_fails(instance: dg.DagsterInstance) -> None:
    judged = Evaluations(instance, GRAPH).judge(SOUND, None)
    assert judged.state is State.NOT_EVALUATED
    assert "never materialized" in judged.detail
    assert verify.failing([judged], strict=False) == [judged]


def test_data_that_was_written_without_its_check_is_older_than_what_was_checked(instance: dg.DagsterInstance) -> None:
    make(instance)
    assert state_of(instance) is State.PASSED
    instance.report_runless_asset_event(dg.AssetMaterialization("bars"))
    assert state_of(instance) is State.OUTDATED


def test_data_that_was_written_and_never_checked_fails(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("bars"))
    judged = Evaluations(instance, GRAPH).judge(SOUND, None)
    assert (judged.state, "never checked" in judged.detail) == (State.NOT_EVALUATED, True)


def test_a_check_whose_step_has_failed_is_not_judged_by_what_it_said_before(instance: dg.DagsterInstance) -> None:
    make(instance)
    assert not make(instance, dies="yes").success
    assert state_of(instance) is State.BROKEN


def test_checks_that_stand_alone_are_run_and_one_that_raises_costs_the_others_nothing(
    instance: dg.DagsterInstance,
) -> None:
    alone = [key for key in sorted(GRAPH.asset_check_keys) if stands_alone(GRAPH, key)]
    judged = {item.check: item for item in run_checks(DEFS, instance, alone)}
    assert {name: item.state for name, item in judged.items()} == {
        "agrees": State.PASSED,
        "cannot_look": State.BROKEN,
        "differs": State.FAILED,
    }
    assert "the second source is away" in judged["cannot_look"].detail
    assert judged["differs"].detail == "two closes differ"
    # Not one asset was made for it.
    assert instance.get_latest_materialization_event(dg.AssetKey("bars")) is None


def test_a_partition_is_judged_by_its_own_evaluation(instance: dg.DagsterInstance) -> None:
    days = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=days, check_specs=[dg.AssetCheckSpec("sound", asset="daily")])
    def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        held = dg.AssetCheckResult(passed=context.partition_key == "b")
        return dg.MaterializeResult(check_results=[held])

    for day in ("a", "b"):
        dg.materialize([daily], instance=instance, partition_key=day, raise_on_error=False)
    stored = Evaluations(instance, dg.Definitions(assets=[daily]).resolve_asset_graph())
    key = Key(dg.AssetKey("daily"), "sound")
    assert [stored.judge(key, day).state for day in ("a", "b")] == [State.FAILED, State.PASSED]


def test_definitions_without_a_check_are_no_success(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def alone() -> None: ...

    graph = dg.Definitions(assets=[alone]).resolve_asset_graph()
    with pytest.raises(Exception, match="There is no check"):
        Expected(instance, graph, Scope()).checks()


def test_the_report_for_build_servers_names_each_check_and_each_failure() -> None:
    root = Xml.fromstring(junit("verify", [Case("us/bars", "sound"), Case("us/bars", "whole", "failed: <3 \x00")]))
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [(case.get("classname"), case.get("name")) for case in suite] == [("us/bars", "sound"), ("us/bars", "whole")]
    failure = suite[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "failed: <3 \N{REPLACEMENT CHARACTER}"


@pytest.fixture
def that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evening of the last session that the project has collected."""
    evening = datetime(LAST_COLLECTED.year, LAST_COLLECTED.month, LAST_COLLECTED.day, 23, 30, tzinfo=UTC)
    monkeypatch.setattr(dates, "now", lambda: evening)


def test_a_traded_session_holds(scizor: Scizor, collected: Project, that_day: None, tmp_path: Path) -> None:
    report = tmp_path / "out" / "checks.xml"
    answer = scizor("verify", "--portfolio", "main", "--junit", report, "--json")
    assert (answer.code, answer.err) == (0, "")
    checks = answer.json["checks"]
    assert {row["partition"] for row in checks} == {TRADED.isoformat()}
    assert {row["asset"] for row in checks} >= {"main/executions", "main/reconciliations", "main/planned_orders"}
    suite = Xml.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(checks)), "0")


def test_what_holds_of_a_portfolio_that_has_stopped_is_a_warning(
    scizor: Scizor, collected: Project, that_day: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("verify", "--portfolio", "main", "--ephemeral")
    behind = [row for row in scizor(*words, "--json").json["checks"] if row["state"] == "behind"]
    assert {row["asset"] for row in behind} >= {"main/executions", "main/reconciliations"}
    assert behind[0]["detail"] == (
        f"Holds for {TRADED}, after which nothing was begun; the last session that is over is {LAST_COLLECTED}."
    )
    assert "with a warning" in scizor(*words).out
    assert scizor(*words, "--strict").code == 1
    asked = scizor(*words, "--partition", TRADED, "--json").json["counts"]
    assert "behind" not in asked
    # In the night after the session it is the newest one.
    night = datetime(TRADED.year, TRADED.month, TRADED.day, 23, 30, tzinfo=UTC)
    monkeypatch.setattr(dates, "now", lambda: night)
    assert "behind" not in scizor(*words, "--json").json["counts"]


def test_a_failed_evaluation_of_a_check_that_blocks_nothing_ends_with_one(
    scizor: Scizor, collected: Project, that_day: None, tmp_path: Path
) -> None:
    words = ("verify", "--market", "us", "--partition", "2025", "--json")
    assert scizor(*words).code == 0
    with opened_instance(collected.settings) as instance:
        instance.report_runless_asset_event(evaluation(BARS, metadata={"why": "a bar of 1e9"}, partition="2025"))
    report = tmp_path / "checks.xml"
    answer = scizor(*words, "--junit", report)
    assert answer.code == 1
    failed = [row for row in answer.json["checks"] if row["state"] == "failed"]
    assert [(row["check"], row["blocking"], row["detail"]) for row in failed] == [(BARS.name, False, "a bar of 1e9")]
    assert Xml.parse(report).getroot()[0].get("failures") == "1"


def test_a_session_that_was_not_collected_fails_although_every_older_one_holds(
    scizor: Scizor, collected: Project, that_day: None
) -> None:
    answer = scizor("verify", "--market", "us", "--json")
    assert answer.code == 1
    missing = {row["asset"] for row in answer.json["checks"] if row["state"] == "not_evaluated"}
    assert missing == {"us/daily_prices"}
    assert {row["partition"] for row in answer.json["checks"] if row["asset"] in missing} == {
        LAST_COLLECTED.isoformat()
    }


def test_what_is_not_there_is_a_wrong_call(scizor: Scizor, collected: Project, that_day: None) -> None:
    for words in (("--market", "mars"), ("--portfolio", "nobody"), ("--partition", "2025-02-01")):
        answer = scizor("verify", *words)
        assert answer.code == 2
        assert answer.sentence


def test_verifying_sends_nothing_and_changes_no_store(scizor: Scizor, collected: Project, that_day: None) -> None:
    def stores() -> dict[Path, bytes]:
        files = [path for path in collected.home.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if "dagster" not in path.relative_to(collected.home).parts}

    before = stores()
    scizor("verify", "--ephemeral")
    assert stores() == before


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_check_of_ones_own_is_run_and_leaves_a_record_only_where_it_may(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, ephemeral: bool
) -> None:
    asset = dg.AssetKey(["us", "symbols"])

    @dg.asset_check(asset=asset, name="sixty_are_tracked")
    def sixty_are_tracked() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, metadata={"found": "6 of 60"})

    def with_it(*words: Any, **named: Any) -> dg.Definitions:
        return dg.Definitions.merge(build_defs(*words, **named), dg.Definitions(asset_checks=[sixty_are_tracked]))

    monkeypatch.setattr("scizor_dagster.definitions.build_defs", with_it)
    answer = scizor("verify", "--market", "us", "--json", *(["--ephemeral"] if ephemeral else []))
    assert answer.code == 1
    (found,) = [row for row in answer.json["checks"] if row["check"] == "sixty_are_tracked"]
    assert (found["state"], found["blocking"], found["detail"]) == ("failed", False, "6 of 60")
    with opened_instance(fresh.settings) as instance:
        assert [run.job_name for run in instance.get_runs()] == ([] if ephemeral else ["verify"])
        assert instance.get_latest_materialization_event(asset) is None


def test_an_environment_on_a_server_is_judged_there(
    scizor: Scizor, fresh: Project, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url(postgres.new_database()))
    answer = scizor("verify", "--market", "us", "--json")
    assert (answer.code, set(answer.json["counts"])) == (1, {"not_evaluated"})
    settings = Settings.from_environment({**fresh.environment, "DATABASE_URL": os.environ["DATABASE_URL"]})
    with opened_instance(settings) as instance:
        instance.report_runless_asset_event(evaluation(SYMBOLS_KNOWN, passed=True))
    states = {row["check"]: row["state"] for row in scizor("verify", "--market", "us", "--json").json["checks"]}
    assert states[SYMBOLS_KNOWN.name] == "passed"
