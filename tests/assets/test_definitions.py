"""The graph that Dagster loads: keys, promises of each asset, jobs, and the edge where errors become failures."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.failures import clear_failures
from assets.partitions import session_partitions
from scizor_dagster.definitions import build_defs
from scizor_dagster.errors import (
    ConfigError,
    InputError,
    OutcomeUnknown,
    PriceUnavailable,
    SessionNotClosed,
    SignalRefused,
)
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.report import Violation
from tests.jobs.support import two_of_each
from tests.projects import FIRST_SESSION, Project, small_project

KEYS_AND_DEPENDENCIES = {
    "us/symbols": (),
    "us/corporate_actions": ("us/symbols",),
    "us/historical_chunks": ("us/symbols",),
    "us/daily_prices": ("us/symbols",),
    "us/prices": ("us/corporate_actions", "us/daily_prices", "us/historical_chunks"),
    "fx_rates": (),
    "maintenance": (),
    "run_history": (),
    "backtests": ("us/prices",),
    "main/raw_signals/weekly": (),
    "main/target_weights": ("main/raw_signals/weekly", "us/symbols"),
    "main/planned_orders": ("main/target_weights", "us/prices"),
    "main/executions": ("main/planned_orders",),
    "main/reconciliations": ("main/executions",),
    "main/performance": ("main/reconciliations",),
}
CHECKS = {
    "fx_rates": {"rates_are_believable": False, "rates_are_fresh": False},
    "backtests": {"rows_match_schema": True, "every_order_filled_whole": False},
    "us/symbols": {
        "rows_match_schema": True,
        "every_symbol_is_identified": False,
        "no_symbols_vanish_together": True,
        "what_is_held_or_targeted_is_tracked": False,
    },
    "us/corporate_actions": {"rows_match_schema": True},
    "us/historical_chunks": {"bars_are_believable": False},
    "us/daily_prices": {"rows_match_schema": True, "bars_are_believable": False, "session_can_be_planned_on": True},
    "us/prices": {"every_action_has_a_factor": False, "prices_are_as_usual": False},
    "main/raw_signals/weekly": {"rows_match_schema": True},
    "main/target_weights": {
        "rows_match_schema": True,
        "attribution_matches_schema": True,
        "every_id_has_an_instrument": False,
    },
    "main/planned_orders": {
        "lines_match_schema": True,
        "orders_match_schema": True,
        "plan_fits_the_equity": True,
    },
    "main/executions": {
        "every_outcome_is_known": True,
        "no_session_was_skipped": False,
        "every_order_was_taken": False,
        "no_order_was_held_back": False,
        "the_plan_was_admitted": False,
    },
    "main/reconciliations": {"rows_match_schema": True, "no_unexplained_breaks": True},
    "main/performance": {"rows_match_schema": True, "every_holding_has_a_price": False},
}
SESSION_ASSETS = ("us/daily_prices", *(key for key in KEYS_AND_DEPENDENCIES if key.startswith("main/")))
ACT = {"main/executions", "main/reconciliations", "main/performance"}
TAKE = {"main/raw_signals/weekly", "main/target_weights"}
JOBS = {
    "collect_daily": {"us/symbols", "us/corporate_actions", "us/daily_prices", "us/prices", "fx_rates"},
    "collect_history": {"us/symbols", "us/corporate_actions", "us/historical_chunks", "us/prices"},
    "rebalance": {*TAKE, "main/planned_orders", *ACT},
    "plan": {*TAKE, "main/planned_orders"},
    "follow_orders": ACT,
    "close_day": ACT,
    "take_signals": TAKE,
    "reconcile": {"main/reconciliations", "main/performance"},
    "maintain": {"maintenance", "run_history"},
    "backtest": {"backtests"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return small_project(tmp_path_factory.mktemp("definitions"))


@pytest.fixture(scope="module")
def definitions(project: Project) -> dg.Definitions:
    return build_defs(project.settings)


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def _graph(definitions: dg.Definitions) -> dict[str, tuple[str, ...]]:
    return {
        spec.key.to_user_string(): tuple(sorted(dep.asset_key.to_user_string() for dep in spec.deps))
        for spec in definitions.resolve_all_asset_specs()
    }


def _assets(definitions: dg.Definitions) -> Iterator[dg.AssetsDefinition]:
    for item in definitions.assets or ():
        assert isinstance(item, dg.AssetsDefinition)
        yield item


def _checks(definitions: dg.Definitions) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for item in _assets(definitions):
        for spec in item.check_specs:
            found.setdefault(spec.asset_key.to_user_string(), {})[spec.name] = spec.blocking
    return found


def test_the_definitions_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_loading_writes_nothing(project: Project, definitions: dg.Definitions) -> None:
    assert definitions
    assert not project.home.exists()


def test_keys_and_dependencies_are_those_of_the_design(definitions: dg.Definitions) -> None:
    assert _graph(definitions) == KEYS_AND_DEPENDENCIES


def test_checks_and_which_of_them_block_are_known(definitions: dg.Definitions) -> None:
    assert _checks(definitions) == CHECKS


def test_two_builds_give_the_same_graph(project: Project, definitions: dg.Definitions) -> None:
    again = build_defs(project.settings)
    assert _graph(again) == _graph(definitions)
    assert _checks(again) == _checks(definitions)


def test_every_asset_says_what_it_is_whose_and_of_which_kind(specs: dict[str, dg.AssetSpec]) -> None:
    for key, spec in specs.items():
        assert spec.description, key
        assert spec.description.endswith("."), key
        assert spec.owners, key
        assert spec.kinds, key
        assert spec.code_version, key
    groups = {key: spec.group_name for key, spec in specs.items()}
    assert {group for key, group in groups.items() if key.startswith("us/")} == {"market_us"}
    assert {group for key, group in groups.items() if key.startswith("main/")} == {"portfolio_main"}
    assert groups["fx_rates"] == "reference"


def test_executions_has_a_pool_and_nothing_that_would_repeat_it(definitions: dg.Definitions) -> None:
    key = dg.AssetKey(["main", "executions"])
    [asset] = [item for item in _assets(definitions) if key in item.keys]
    assert asset.op.pool == "account_paper"
    assert asset.op.retry_policy is None
    assert asset.backfill_policy is None
    assert asset.specs_by_key[key].automation_condition is None
    pools = {item.op.pool for item in _assets(definitions) if key not in item.keys}
    assert pools == {None}


def test_nothing_trades_by_an_automation_condition_or_a_retry(definitions: dg.Definitions) -> None:
    for asset in _assets(definitions):
        assert all(spec.automation_condition is None for spec in asset.specs)
        assert asset.op.retry_policy is None


@pytest.mark.parametrize("job", JOBS)
def test_a_job_selects_its_assets_and_no_other(definitions: dg.Definitions, job: str) -> None:
    layer = definitions.resolve_job_def(job).asset_layer
    assert {key.to_user_string() for key in layer.selected_asset_keys} == JOBS[job]


def test_there_is_no_other_job(definitions: dg.Definitions) -> None:
    names = {job.name for job in definitions.get_repository_def().get_all_jobs()}
    assert names - {"__ASSET_JOB"} == set(JOBS)


@pytest.mark.parametrize("job", ["rebalance", "follow_orders", "take_signals", "reconcile"])
def test_a_run_that_may_trade_is_never_retried_by_dagster(definitions: dg.Definitions, job: str) -> None:
    tags = definitions.resolve_job_def(job).tags
    assert tags["dagster/max_retries"] == "0"
    assert tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_session_assets_share_their_partitions_and_years_have_their_own(specs: dict[str, dg.AssetSpec]) -> None:
    expected = session_partitions(TradingCalendar("XNYS"), FIRST_SESSION)
    for key in SESSION_ASSETS:
        assert specs[key].partitions_def == expected, key
    years = specs["us/historical_chunks"].partitions_def
    assert years is not None
    assert years.get_partition_keys()[0] == "2025"
    for key in ("us/symbols", "us/corporate_actions", "us/prices", "fx_rates"):
        assert specs[key].partitions_def is None, key


def test_two_markets_and_three_portfolios_load_side_by_side(tmp_path: Path) -> None:
    definitions = build_defs(two_of_each(tmp_path).settings)
    dg.Definitions.validate_loadable(definitions)
    graph = _graph(definitions)
    for portfolio, market in (("main", "us"), ("bold", "us"), ("down_under", "asx")):
        assert set(graph[f"{portfolio}/planned_orders"]) == {f"{portfolio}/target_weights", f"{market}/prices"}
    names = {job.name for job in definitions.get_repository_def().get_all_jobs()} - {"__ASSET_JOB"}
    assert {"collect_daily_asx", "collect_history_asx", "rebalance_bold", "reconcile_down_under"} <= names
    assert names > set(JOBS)
    assert len(names) == 2 * 2 + 3 * 6 + 2
    pools = {item.op.pool for item in _assets(definitions)} - {None}
    assert pools == {"account_paper", "account_aud"}


def test_a_second_market_and_portfolio_leave_the_jobs_of_the_first_as_they_are(tmp_path: Path) -> None:
    definitions = build_defs(two_of_each(tmp_path).settings)
    for job, assets in JOBS.items():
        layer = definitions.resolve_job_def(job).asset_layer
        assert {key.to_user_string() for key in layer.selected_asset_keys} == assets
    other = definitions.resolve_job_def("collect_daily_asx").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in other} == {
        "asx/symbols", "asx/corporate_actions", "asx/daily_prices", "asx/prices",
    }  # fmt: skip


def test_a_refused_file_becomes_a_failure_with_the_table_of_its_violations() -> None:
    violations = [
        Violation("missing_weight", "The weight is missing.", "Give one.", line=3, column="weight", value=""),
        Violation("not_a_number", "It is no number.", "Write one.", line=7, column="weight", value="x"),
    ]
    with pytest.raises(dg.Failure) as caught, clear_failures():
        raise SignalRefused("weekly", "/signals/weights.csv", violations)
    failure = caught.value
    assert failure.allow_retries is False
    assert "2 violation(s)" in str(failure.description)
    table = str(failure.metadata["violations"].value)
    assert "| weights.csv | missing_weight |  | 3 | weight |" in table
    assert "| weights.csv | not_a_number |  | 7 | weight | x |" in table
    assert failure.metadata["file"].value == "/signals/weights.csv"
    assert failure.metadata["remedy"].value


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("The key is unknown.", remedy="Correct it.", where="config.yaml:3"),
        InputError("It is no number.", remedy="Write one."),
        PriceUnavailable("There is no price.", remedy="Collect it.", where="market us"),
        SessionNotClosed("XNYS", FIRST_SESSION, datetime(2024, 1, 2, 21, 20, tzinfo=UTC)),
        OutcomeUnknown("TST_1", "the reply timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_domain_error_becomes_a_failure_that_is_never_retried(error: Exception) -> None:
    with pytest.raises(dg.Failure) as caught, clear_failures():
        raise error
    failure = caught.value
    assert failure.allow_retries is False
    assert failure.description == str(error)
    assert failure.metadata["kind"].value == type(error).__name__
    assert failure.metadata["remedy"].value == error.remedy  # type: ignore[attr-defined]
    assert failure.__cause__ is error


def test_a_defect_is_not_dressed_up_as_a_domain_error() -> None:
    with pytest.raises(ZeroDivisionError), clear_failures():
        _ = 1 // 0


def test_each_account_is_a_resource_and_no_secret_is_read_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"key_id": "${MY_KEY}", "secret_key": "${MY_SECRET}"}
    accounts = {
        "alp": {"broker": "alpaca", "environment": "paper", "account_id": "PA123456789", "initial_cash": 1.0, **keys},
        "ib": {
            "broker": "ibkr", "environment": "paper", "account_id": "DU1234567", "port": 7497, "client_id": 1,
            "initial_cash": 1.0,
        },
    }  # fmt: skip
    project = small_project(tmp_path, accounts=accounts)
    for name in ("MY_KEY", "MY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    resources = build_defs(project.settings).resources
    assert resources is not None
    assert {name for name in resources if name.startswith("account_")} == {"account_paper", "account_alp", "account_ib"}
    monkeypatch.setenv("MY_KEY", "PKX")
    monkeypatch.setenv("MY_SECRET", "geheim")
    monkeypatch.setenv("SCIZOR_HOME", str(project.home))

    @dg.op(required_resource_keys={"account_alp", "account_ib", "account_paper"})
    def ask(context: dg.OpExecutionContext) -> None:
        kinds = [type(getattr(context.resources, f"account_{name}").broker("us")) for name in ("alp", "ib", "paper")]
        assert [kind.__name__ for kind in kinds] == ["AlpacaBroker", "IbkrBroker", "PaperBroker"]
        settings = context.resources.account_alp.broker("us")._settings
        assert (settings.key_id, settings.secret_key) == ("PKX", "geheim")
        assert not {"PKX", "geheim"} & set(re.findall(r"\w+", repr(context.resources.account_alp)))

    @dg.job(resource_defs={name: resources[name] for name in ("account_alp", "account_ib", "account_paper")})
    def asking() -> None:
        ask()

    assert asking.execute_in_process().success


@pytest.mark.parametrize(
    ("resource", "key", "value"),
    [
        ("desk", "home", "other"),
        ("desk", "config_path", "other.yaml"),
        ("desk", "secrets", {"DATABASE_URL": "postgresql://other/ledger"}),
        ("account_paper", "account", "live"),
    ],
)
def test_no_run_can_be_started_with_the_stores_or_the_secrets_or_the_account_of_another_project(
    tmp_path: Path, resource: str, key: str, value: object
) -> None:
    project = small_project(tmp_path)
    defs = build_defs(project.settings)
    assert defs.resources is not None

    @dg.op(required_resource_keys={"desk", "account_paper"})
    def ask(context: dg.OpExecutionContext) -> None:
        assert context.resources.desk.home == str(project.home)
        assert context.resources.account_paper.desk.desk.settings.config_path == project.settings.config_path

    @dg.job(resource_defs={name: defs.resources[name] for name in ("desk", "account_paper")})
    def asking() -> None:
        ask()

    assert asking.execute_in_process().success
    for job in (asking, defs.resolve_job_def("rebalance")) if resource == "desk" else (asking,):
        assert dg.validate_run_config(job) is not None
        config = {"resources": {resource: {"config": {key: value}}}}
        with pytest.raises(dg.DagsterInvalidConfigError, match=f'"{key}" at path root:resources:{resource}:config'):
            dg.validate_run_config(job, config)
