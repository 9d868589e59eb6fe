"""The strategy manifest."""

from pathlib import Path

import pytest

from scizor_dagster.errors import ConfigError
from scizor_dagster.signals.manifest import Manifest, load_manifest
from scizor_dagster.signals.spec import ReadSpec

OLDER = """\
strategies:
- id: drl
  path: ./data/raw_signals/drl_weight.csv
  format: csv
  column_mapping:
    trade_date: trade_date
    gvkey: asset_id
    weights: target_weight
- id: equal
  path: ./data/raw_signals/equally_weighted.xlsx
  format: xlsx
  column_mapping: { trade_date: trade_date, gvkey: asset_id, weights: target_weight }
- id: meanvar
  path: ./data/raw_signals/mean_weighted.xlsx
  format: xlsx
  column_mapping: { trade_date: trade_date, gvkey: asset_id, weights: target_weight }
- id: minvar
  path: ./data/raw_signals/minimum_weighted.xlsx
  format: xlsx
  column_mapping: { trade_date: trade_date, gvkey: asset_id, weights: target_weight }
"""


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> Manifest:
    path = folder / "manifest.yaml"
    path.write_text(text)
    return load_manifest(path, environment or {})


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value)


def test_the_manifest_of_the_older_system_loads_unchanged(tmp_path: Path) -> None:
    manifest = load(tmp_path, OLDER)
    assert [item.id for item in manifest.strategies] == ["drl", "equal", "meanvar", "minvar"]
    drl = manifest.strategy("drl")
    assert drl.columns == {"trade_date": "trade_date", "asset_id": "gvkey", "target_weight": "weights"}
    assert Path(drl.path) == tmp_path / "data/raw_signals/drl_weight.csv"
    assert (drl.weights_dated, drl.on_unknown_id, drl.max_quarantined_weight) == (
        "trade_session",
        "refuse",
        0.05,
    )


def test_the_shipped_manifest_loads(project_root: Path, tmp_path: Path) -> None:
    manifest = load_manifest(project_root / "config/strategy_manifest.yaml", {"SCIZOR_HOME": str(tmp_path)})
    assert manifest.strategy("demo_momentum").columns["asset_id"] == "ticker"


def test_a_mapping_table_lies_beside_the_manifest(tmp_path: Path) -> None:
    text = "strategies:\n- {id: a, path: w.csv, format: csv, mapping: {file: ids/map.csv}}\n"
    table = load(tmp_path, text).strategy("a").mapping
    assert table is not None
    assert Path(table.file) == tmp_path / "ids/map.csv"


def test_an_unknown_strategy_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no strategy 'nope'.*drl, equal, meanvar, minvar"):
        load(tmp_path, OLDER).strategy("nope")


def test_an_unknown_key_is_refused_with_file_and_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, "strategies:\n- id: a\n  path: w.csv\n  format: csv\n  sheets: x\n")
    assert "manifest.yaml:5" in message
    assert "'sheets' is not a known key" in message


def test_an_id_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    one = "- {id: a, path: w.csv, format: csv}\n"
    message = refusal(tmp_path, "strategies:\n" + one + one)
    assert "manifest.yaml:3" in message
    assert "manifest.yaml:2" in message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("- {id: a, path: w.csv, format: ods}", "format"),
        ("- {id: a, path: ../w.csv, format: csv}", "absolute path"),
        ("- {id: a, path: w.xlsx, format: xlsx, delimiter: ';'}", "only for format csv"),
        ("- {id: a, path: w.csv, format: csv, layout: long, blank_is_zero: true}", "only for layout wide"),
        ("- {id: a, path: w.csv, format: csv, layout: wide, column_mapping: {x: asset_id}}", "layout wide"),
        ("- {id: a, path: w.csv, format: csv, require: {x: a, X: b}}", "twice"),
        ("- {id: a, path: w.csv, format: csv, expect: {sha256: abc}}", "sha256"),
        ("- {id: a, path: w.csv, format: csv, column_mapping: {x: weight}}", "column_mapping"),
        ("- {id: a, path: w.csv, format: csv, column_mapping: {x: asset_id, y: asset_id}}", "two columns"),
        ("- {id: a, path: w.csv, format: csv, column_mapping: {trade_date: asset_id}}", "'trade_date'"),
        ("- {id: a, path: w.csv, format: csv, sheet: Weights}", "only for format xlsx"),
        ("- {id: a, path: w.csv, format: csv, max_total_weight: 0}", "max_total_weight"),
        ("- {id: a, path: w.csv, format: csv, max_quarantined_weight: 2}", "max_quarantined_weight"),
        ("- {id: A b, path: w.csv, format: csv}", "id"),
        ("- {id: a, format: csv}", "path"),
    ],
)
def test_a_bad_entry_is_refused_with_its_key(tmp_path: Path, body: str, says: str) -> None:
    message = refusal(tmp_path, f"strategies:\n{body}\n")
    assert says in message
    assert "manifest.yaml:2" in message


@pytest.mark.parametrize("text", ["- a\n", "strategies: []\n", "strategies: x\n", "", "source: x\nstrategies: []\n"])
def test_a_manifest_without_strategies_is_refused(tmp_path: Path, text: str) -> None:
    assert "manifest.yaml" in refusal(tmp_path, text)


def test_a_path_may_name_an_environment_variable(tmp_path: Path) -> None:
    manifest = load(tmp_path, "strategies:\n- {id: a, path: '${D}/w.csv', format: csv}\n", {"D": "/data"})
    assert manifest.strategy("a").path == "/data/w.csv"


def test_an_entry_says_how_its_file_is_written(tmp_path: Path) -> None:
    text = """\
strategies:
- id: a
  path: w.csv
  format: csv
  layout: wide
  delimiter: ";"
  decimal: ","
  percent: true
  blank_is_zero: true
  cash_column: Liquidity
  column_mapping: {Stichtag: trade_date}
  require: {account: U1}
"""
    spec = load(tmp_path, text).strategy("a").read_spec
    assert (spec.layout, spec.delimiter, spec.decimal, spec.percent, spec.blank_is_zero) == (
        "wide",
        ";",
        ",",
        True,
        True,
    )
    assert (spec.cash_column, spec.columns["trade_date"], spec.require) == ("Liquidity", "Stichtag", {"account": "U1"})
    assert ReadSpec.from_json(spec.to_json()) == spec


def test_an_entry_may_name_a_function_in_the_place_of_a_file(tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text(
        "strategies:\n  - id: own\n    function: momentum\n    parameters: {top: 5}\n    rebalance: weekly\n"
    )
    entry = load_manifest(path, {"SCIZOR_HOME": str(tmp_path / "home")}).strategy("own")
    assert (entry.function, entry.parameters, entry.rebalance) == ("momentum", {"top": 5}, "weekly")
    assert entry.path == str(tmp_path / "home" / "signals" / "own" / "*.csv")
    assert (entry.format, entry.unallocated) == ("csv", "cash")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ("function: momentum, path: a.csv", "'path' is of a file"),
        ("function: momentum, weights_dated: signal_close", "'weights_dated' is of a file"),
        ("path: a.csv, format: csv, rebalance: weekly", "'rebalance' goes with 'function'"),
        ("path: a.csv, format: csv, parameters: {top: 1}", "'parameters' goes with 'function'"),
        ("function: momentum, rebalance: hourly", "rebalance"),
    ],
)
def test_keys_of_a_file_and_of_a_function_do_not_mix(tmp_path, keys, named):
    path = tmp_path / "manifest.yaml"
    path.write_text(f"strategies:\n  - {{id: own, {keys}}}\n")
    with pytest.raises(ConfigError, match=named):
        load_manifest(path, {})
