"""The one real rebalance on record, 2025-07-28, against arithmetic that shares no code with the planner."""

import csv
import json
from decimal import ROUND_DOWN, Decimal

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from scizor_dagster.cli.plan import plan

EQUITY = Decimal("100181.9")
MINIMUM = Decimal(2)
RULES = "risk:\n  fractional_shares:\n    min_order_notional: 2.0\n    quantity_precision: 2\n"
CENT = Decimal("0.01")

app = typer.Typer()
app.command()(plan)


def read_csv(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def folder(reference_data):
    return reference_data / "weights_finrl_trading"


@pytest.fixture(scope="module")
def planned(folder, tmp_path_factory):
    """The command's report and its four files."""
    work = tmp_path_factory.mktemp("recorded")
    (work / "rules.yaml").write_text(RULES)
    result = CliRunner().invoke(
        app,
        [
            "--targets",
            str(folder / "targets_consolidated_20250728.parquet"),
            "--prices",
            str(folder / "real_prices.csv"),
            "--positions",
            str(folder / "current_positions.csv"),
            "--mapping",
            str(folder / "tic_gvkey_mapping_2025.csv"),
            "--rules",
            str(work / "rules.yaml"),
            "--equity",
            str(EQUITY),
            "--out",
            str(work / "out"),
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.output), {path.stem: read_csv(path) for path in (work / "out").iterdir()}


@pytest.fixture(scope="module")
def expected(folder):
    """Symbol -> (held, weight, price, target, change), from the raw files by schoolbook arithmetic."""
    prices = {row["symbol"]: Decimal(row["price"]) for row in read_csv(folder / "real_prices.csv")}
    held = {row["symbol"]: Decimal(row["qty"]) for row in read_csv(folder / "current_positions.csv")}
    names = {}
    for row in read_csv(folder / "tic_gvkey_mapping_2025.csv"):
        names.setdefault(row["gvkey"], []).append(row["tic"])
    result = {}
    for row in pq.read_table(folder / "targets_consolidated_20250728.parquet").to_pylist():
        meanings = names[str(row["asset_id"])]
        symbol = meanings[0] if len(meanings) == 1 else next(name for name in meanings if name in prices)
        weight, current, price = Decimal(repr(row["target_weight"])), held.get(symbol, Decimal(0)), prices.get(symbol)
        if price is None:
            result[symbol] = (current, weight, None, None, Decimal(0))
            continue
        target = (weight * EQUITY / price).quantize(CENT, rounding=ROUND_DOWN)
        result[symbol] = (current, weight, price, target, target - current)
    return result


def test_every_instrument_has_the_line_that_schoolbook_arithmetic_gives(planned, expected):
    _, files = planned
    assert [row["symbol"] for row in files["rebalance_plan"]] == sorted(expected)
    for row in files["rebalance_plan"]:
        current, weight, price, target, change = expected[row["symbol"]]
        assert Decimal(row["current_qty"]) == current
        assert Decimal(row["target_weight"]) == weight
        assert Decimal(row["delta_qty"]) == change
        assert (row["price"] == "") == (price is None)
        if price is not None:
            assert (Decimal(row["price"]), Decimal(row["target_qty"])) == (price, target)


def test_every_order_is_a_change_at_or_above_the_minimum(planned, expected):
    _, files = planned
    wanted = {
        symbol: change
        for symbol, (_, _, price, _, change) in expected.items()
        if price is not None and abs(change) * price >= MINIMUM
    }
    sent = {row["symbol"]: row for row in files["planned_orders_real"]}
    assert set(sent) == set(wanted)
    assert len(sent) == len(files["planned_orders_real"]) == 86
    for symbol, change in wanted.items():
        row = sent[symbol]
        assert (row["side"], Decimal(row["qty"])) == ("BUY" if change > 0 else "SELL", abs(change))
        assert Decimal(row["notional"]) == abs(change) * expected[symbol][2]


def test_the_filter_is_the_only_difference_between_the_two_order_files(planned):
    _, files = planned
    every = {row["symbol"]: row for row in files["planned_orders"]}
    sent = {row["symbol"]: row for row in files["planned_orders_real"]}
    left_out = {symbol: row for symbol, row in every.items() if symbol not in sent}
    assert {symbol: every[symbol] for symbol in sent} == sent
    assert all(Decimal(row["notional"]) < MINIMUM for row in left_out.values())
    assert {row["reason"] for row in left_out.values()} == {"below_min_notional"}


def test_what_has_no_price_and_what_has_two_tickers_is_reported_by_name(planned):
    report, files = planned
    assert report["unpriced"] == ["FMCC", "FNMA", "GOOG"]
    assert [(item["asset_id"], item["candidates"], item["chosen"]) for item in report["ambiguous"]] == [
        ("160329", ["GOOG", "GOOGL"], "GOOGL"),
    ]
    without = {row["symbol"] for row in files["rebalance_plan"] if row["reason"] == "no_price"}
    assert without == {"FMCC", "FNMA"}
    assert not {"FMCC", "FNMA", "GOOG"} & {row["symbol"] for row in files["planned_orders"]}


def test_the_plan_fits_the_equity(planned, expected):
    _, files = planned
    changes = {
        row["symbol"]: (1 if row["side"] == "BUY" else -1) * Decimal(row["qty"]) for row in files["planned_orders_real"]
    }
    value = sum(
        (held + changes.get(symbol, Decimal(0))) * price for symbol, (held, _, price, _, _) in expected.items() if price
    )
    assert value <= EQUITY
