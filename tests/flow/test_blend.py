"""A portfolio of two strategies, from two files to reconciled positions and back to the lines they came from."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from scizor_dagster.errors import DataError, SignalRefused
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import KEPT, consolidate_session, take_signals
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.flow.weight_files import concerns, weight_files_state, weight_sessions
from scizor_dagster.planning.model import Reason
from scizor_dagster.signals.targets import read_targets
from tests.flow.desks import FIRST, NOW, SECOND, add_action, collected
from tests.projects import project_at, small_project, write_weights

STRATEGIES = [{"id": "trend", "capital": 0.6}, {"id": "value", "capital": 0.4}]
TREND = {FIRST: {"AAPL": 0.3, "MSFT": 0.3, "META": -0.2}}
VALUE = {FIRST: {"1": 0.1, "2": 0.4, "3": 0.3}, SECOND: {"1": 0.2}}
TABLE = "asset_id,symbol,valid_from,valid_to\n1,MSFT,,\n2,AMZN,,2025-01-01\n2,GOOG,2025-01-01,\n3,META,,\n"


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prices")
    collected(folder).lake.close()
    return folder


@pytest.fixture
def desk(prices: Path, tmp_path: Path) -> Desk:
    shutil.copytree(prices, tmp_path, dirs_exist_ok=True)
    write_weights(tmp_path / "trend.csv", TREND)
    write_weights(tmp_path / "value.csv", VALUE)
    (tmp_path / "ids.csv").write_text(TABLE)
    return opened(tmp_path)


def opened(folder: Path, mapping: Mapping[str, object] | None = None, **signals: object) -> Desk:
    chosen = {"mode": "blend", "strategy": None, "strategies": STRATEGIES} | signals
    small_project(folder, portfolios={"main": {"signals": chosen}}, weights={"allow_short": True})
    table = {"file": "ids.csv"} | dict(mapping or {})
    entries = [
        {"id": "trend", "path": "trend.csv", "format": "csv"},
        {"id": "value", "path": "value.csv", "format": "csv", "mapping": table},
    ]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    return Desk(project_at(folder).settings, lambda: NOW)


def line_of(folder: Path, file_hash: str, number: int) -> str:
    files = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in folder.glob("*.csv")}
    return files[file_hash].read_text().splitlines()[number - 1]


def test_two_strategies_trade_as_one_and_every_plan_line_leads_to_the_lines_of_both_files(
    desk: Desk, tmp_path: Path
) -> None:
    targets = consolidate_session(desk, "main", FIRST)
    assert {row.symbol: str(row.target_weight.normalize()) for row in targets.rows} == {
        "AAPL": "0.18", "MSFT": "0.22", "META": "0", "GOOG": "0.16",
    }  # fmt: skip
    assert read_targets(desk.lake, "main", FIRST).rows == targets.rows
    plan = plan_session(desk, "main", FIRST).plan
    lines = {line.symbol: line for line in plan.lines}
    assert lines["MSFT"].asset_ids == ("1", "MSFT")
    assert (lines["META"].target_weight, lines["META"].delta_qty) == (0, 0)
    for line in plan.lines:
        parts = stored_rows(desk, "target_attribution", portfolio="main", session=FIRST, symbol=line.symbol)
        assert tuple(sorted(set(parts["asset_id"]))) == line.asset_ids
        assert sum(map(Decimal, parts["contribution"]), Decimal(0)) == line.target_weight
        for part in parts.itertuples():
            _, asset_id, weight = line_of(tmp_path, part.file_hash, part.line).split(",")
            assert (asset_id, Decimal(weight)) == (part.asset_id, Decimal(part.weight_stated))
    result = trade_session(desk, "main", FIRST, "test-run")
    assert result.state is ExecutionState.DONE
    assert {order.symbol for order in result.orders} == {"AAPL", "MSFT", "GOOG"}
    assert reconcile_session(desk, "main", FIRST).break_count == 0
    (tmp_path / "value.csv").unlink()
    write_weights(tmp_path / "trend.csv", {FIRST: {"AAPL": 0.5}})
    kept = consolidate_session(desk, "main", FIRST)
    assert (kept.rows, kept.warnings) == (targets.rows, (KEPT,))
    assert list(take_signals(desk, "main", FIRST, "value").rows["asset_id"]) == ["1", "2", "3"]
    assert list(take_signals(desk, "main", FIRST, "trend").rows["weight"]) == [0.3, 0.3, -0.2]
    one_more = opened(tmp_path, strategies=[*STRATEGIES[:1], {"id": "newcomer", "capital": 0.1}])
    manifest = tmp_path / "strategy_manifest.yaml"
    manifest.write_text(manifest.read_text().replace("id: value", "id: newcomer"))
    assert take_signals(one_more, "main", FIRST, "newcomer").warnings == (
        "Strategy newcomer has no part in the admitted plan.",
    )


@pytest.mark.parametrize("state", ["missing", "refused", "another session"])
def test_one_strategy_that_cannot_be_followed_refuses_the_session_and_stores_nothing(
    desk: Desk, tmp_path: Path, state: str
) -> None:
    file = tmp_path / "value.csv"
    if state == "missing":
        file.unlink()
    else:
        write_weights(file, {FIRST: {"1": float("nan")}} if state == "refused" else {SECOND: {"1": 0.2}})
    with pytest.raises(SignalRefused, match="Strategy 'value'"):
        consolidate_session(desk, "main", FIRST)
    for table in ("signals", "target_weights", "target_attribution"):
        assert stored_rows(desk, table, session=FIRST).empty
    assert concerns(desk, "main", FIRST)
    assert FIRST not in weight_sessions(desk, "main")
    assert (weight_files_state(desk, "main") is None) == (state == "missing")


def test_a_portfolio_trades_when_all_its_files_name_the_session_or_all_have_begun(desk: Desk, tmp_path: Path) -> None:
    assert weight_sessions(desk, "main") == {FIRST}
    assert concerns(desk, "main", SECOND)
    assert not concerns(desk, "main", date(2025, 3, 4))
    latest = opened(tmp_path, as_of="latest", max_age_sessions=10)
    assert weight_sessions(latest, "main") == {FIRST, SECOND}
    rows = {row.symbol: row for row in consolidate_session(latest, "main", SECOND).rows}
    assert rows["MSFT"].target_weight == Decimal("0.26")


def test_each_file_s_change_changes_what_the_sensor_sees(desk: Desk, tmp_path: Path) -> None:
    states = [weight_files_state(desk, "main")]
    for name in ("trend.csv", "value.csv"):
        with (tmp_path / name).open("a") as stream:
            stream.write("\n")
        states.append(weight_files_state(desk, "main"))
    assert len(set(states)) == 3


def test_an_ambiguous_id_is_split_over_what_the_lake_has_a_price_of(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(TABLE + "2,NVDA,,\n2,GONE,,\n")
    split = opened(tmp_path, {"on_ambiguous": "split"})
    rows = {row.symbol: row for row in consolidate_session(split, "main", FIRST).rows}
    assert (rows["GOOG"].target_weight, rows["NVDA"].target_weight) == (Decimal("0.08"), Decimal("0.08"))


def test_a_delisted_asset_is_set_aside_and_left_alone_by_the_plan(desk: Desk, tmp_path: Path) -> None:
    add_action(desk, "GOOG", date(2025, 2, 28), "delisting")
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = 'GOOG' AND session >= '2025-02-28'")
    with pytest.raises(SignalRefused, match="too_much_quarantined"):
        consolidate_session(desk, "main", FIRST)
    write_weights(tmp_path / "value.csv", {FIRST: {"1": 0.1, "2": 0.05}})
    rows = {row.symbol: row for row in consolidate_session(desk, "main", FIRST).rows}
    assert rows["GOOG"].status == "retired_asset"
    lines = {line.symbol: line for line in plan_session(desk, "main", FIRST).plan.lines}
    assert (lines["GOOG"].reason, lines["GOOG"].delta_qty) == (Reason.QUARANTINED, 0)
    assert "is not traded any more on 2025-02-28" in lines["GOOG"].note


def test_a_median_above_the_maximum_is_refused_until_an_overlay_scales_it(desk: Desk, tmp_path: Path) -> None:
    weights = [{"AAPL": 0.5, "MSFT": 0.5}, {"AAPL": 0.5, "GOOG": 0.5}, {"MSFT": 0.5, "GOOG": 0.5}]
    names = ("one", "two", "three")
    for name, held in zip(names, weights, strict=True):
        write_weights(tmp_path / f"{name}.csv", {FIRST: held})
    ensemble = {"mode": "ensemble", "combine": "median", "strategies": list(names)}
    entries = [{"id": name, "path": f"{name}.csv", "format": "csv"} for name in names]
    manifest = yaml.safe_dump({"strategies": entries})
    too_much = opened(tmp_path, **ensemble)
    (tmp_path / "strategy_manifest.yaml").write_text(manifest)
    with pytest.raises(DataError, match=r"sum to 1\.5 of the portfolio.*scale_to_gross: 1'"):
        consolidate_session(too_much, "main", FIRST)
    scaled = opened(tmp_path, **ensemble, overlays=[{"scale_to_gross": 0.9}, {"cap_per_name": 0.25}])
    (tmp_path / "strategy_manifest.yaml").write_text(manifest)
    targets = consolidate_session(scaled, "main", FIRST)
    assert {row.target_weight for row in targets.rows} == {Decimal("0.25")}
    assert [text.split(" changed")[0] for text in targets.warnings] == [
        "Overlay scale_to_gross 0.9",
        "Overlay cap_per_name 0.25",
    ]
