"""`scizor plan` on files: what it reads, what it writes, what it refuses."""

import csv
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from scizor_dagster.cli.plan import plan
from scizor_dagster.errors import InputError
from scizor_dagster.planning.table_files import MAX_BYTES

NAMES = ["planned_orders.csv", "planned_orders_real.csv", "rebalance_plan.csv", "rebalance_plan_real.csv"]
TARGETS = "trade_date,asset_id,target_weight\n2025-07-28,A,0.5\n2025-07-28,B,0.2501\n2025-07-28,NA,0.1\n"
PRICES = "symbol,price\nA,10\nB,25\nC,7\n"
POSITIONS = "asset_id,symbol,qty\n1,B,10.000001\n2,C,3.123456789\n"

app = typer.Typer()
app.command()(plan)


class Files:
    """Three good files in a folder, and a way to plan on them."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "out"
        self.options = {"equity": "1000", "out": str(self.out)}
        for name, text in (("targets", TARGETS), ("prices", PRICES), ("positions", POSITIONS)):
            self.write(name, text)

    def write(self, name, text, suffix="csv"):
        path = self.folder / f"{name}.{suffix}"
        path.write_text(text)
        self.options[name] = str(path)

    def run(self, *flags, **options):
        chosen = self.options | options
        arguments = [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", value)]
        result = CliRunner().invoke(app, [*arguments, *flags])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    def rows(self, name):
        with (self.out / name).open(newline="") as handle:
            return list(csv.DictReader(handle))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_four_files_are_written_with_the_agreed_columns(files):
    files.run()
    assert sorted(path.name for path in files.out.iterdir()) == NAMES
    orders, lines = files.rows("planned_orders.csv"), files.rows("rebalance_plan.csv")
    assert list(orders[0]) == [
        "trade_date",
        "symbol",
        "side",
        "qty",
        "order_type",
        "time_in_force",
        "price_used",
        "notional",
        "tp_price",
        "sl_price",
        "reason",
        "client_order_id",
        "limit_price",
        "intent",
        "leg",
        "slice",
        "phase",
        "depends_on",
    ]
    assert list(lines[0]) == ["symbol", "current_qty", "target_weight", "price", "target_qty", "delta_qty", "reason"]


def test_the_files_say_what_is_ordered_and_why_not(files):
    files.run()
    assert [(row["symbol"], row["side"], row["qty"], row["reason"]) for row in files.rows("planned_orders.csv")] == [
        ("C", "SELL", "3.123456789", "liquidate"),
        ("A", "BUY", "50", "open"),
        ("B", "SELL", "0.000001", "below_min_notional"),
    ]
    assert [row["symbol"] for row in files.rows("planned_orders_real.csv")] == ["C", "A"]
    assert {row["symbol"]: row["reason"] for row in files.rows("rebalance_plan.csv")} == {
        "A": "open",
        "B": "below_min_notional",
        "C": "liquidate",
        "NA": "no_price",
    }
    assert [row["symbol"] for row in files.rows("rebalance_plan_real.csv")] == ["A", "C", "NA"]


def test_the_summary_names_what_has_no_price(files):
    assert "No price, so no order: NA." in files.run()
    report = json.loads(files.run("--json"))
    assert (report["status"], report["unpriced"], report["orders"]) == ("planned", ["NA"], 2)
    assert report["reasons"] == {"below_min_notional": 1, "liquidate": 1, "no_price": 1, "open": 1}


def test_parquet_gives_the_same_plan_as_csv(files):
    files.run()
    before = {name: (files.out / name).read_bytes() for name in NAMES}
    for name in ("targets", "prices", "positions"):
        frame = pd.read_csv(files.options[name], keep_default_na=False)
        path = files.folder / f"{name}.parquet"
        frame.to_parquet(path)
        files.options[name] = str(path)
    files.run()
    assert {name: (files.out / name).read_bytes() for name in NAMES} == before


def test_the_same_files_give_the_same_bytes_whatever_the_order_of_rows(files):
    files.run()
    before = {name: (files.out / name).read_bytes() for name in NAMES}
    for name, text in (("targets", TARGETS), ("prices", PRICES), ("positions", POSITIONS)):
        header, *rows = text.splitlines(keepends=True)
        files.write(name, header + "".join(reversed(rows)))
    files.run()
    assert {name: (files.out / name).read_bytes() for name in NAMES} == before


def test_one_of_several_dates_is_chosen(files):
    files.write("targets", TARGETS + "2025-08-04,A,1\n")
    files.run("--date", "2025-08-04")
    assert {row["trade_date"] for row in files.rows("planned_orders.csv")} == {"2025-08-04"}


@pytest.mark.parametrize("columns", ["tic,gvkey", "symbol,asset_id", "ticker,gvkey", "asset_id,symbol"])
def test_a_mapping_turns_ids_into_symbols(files, columns):
    files.write("targets", "trade_date,asset_id,target_weight\n2025-07-28,0700,0.5\n")
    pair = "0700,A" if columns.startswith("asset_id") else "A,0700"
    files.write("mapping", f"{columns}\n{pair}\n")
    files.run()
    assert files.rows("rebalance_plan.csv")[0]["symbol"] == "A"


def test_a_pair_that_stands_twice_in_the_mapping_makes_no_id_ambiguous(files):
    files.write("targets", "trade_date,asset_id,target_weight\n2025-07-28,0700,0.5\n")
    files.write("mapping", "tic,gvkey\nA,0700\nA,0700\n")
    report = json.loads(files.run("--json"))
    assert report["ambiguous"] == []
    assert files.rows("planned_orders_real.csv")[-1]["symbol"] == "A"


def ambiguous(files, prices=PRICES):
    files.write("targets", "trade_date,asset_id,target_weight\n2025-07-28,9,0.5\n")
    files.write("mapping", "tic,gvkey\nA,9\nC,9\n")
    files.write("prices", prices)


def test_an_id_with_one_priced_ticker_goes_to_that_one_and_is_reported(files):
    ambiguous(files, "symbol,price\nC,7\n")
    report = json.loads(files.run("--json"))
    (told,) = report["ambiguous"]
    assert (told["asset_id"], told["candidates"], told["chosen"]) == ("9", ["A", "C"], "C")
    assert told["note"] == "Id 9 means A, C; C takes the weight, because A has no price."
    assert report["line_notes"]["C"] == told["note"]
    assert report["unpriced"] == ["A", "B"]
    assert [row["reason"] for row in files.rows("planned_orders.csv")] == ["rebalance"]


@pytest.mark.parametrize("options", [{}, {"on_ambiguous": "quarantine"}])
def test_an_id_with_several_priced_tickers_gets_no_order_and_no_holding_of_it_is_sold(files, options):
    ambiguous(files)
    report = json.loads(files.run("--json", **options))
    (told,) = report["ambiguous"]
    assert (told["candidates"], told["chosen"], report["reasons"]["ambiguous_id"]) == (["A", "C"], None, 1)
    assert told["note"].startswith("Id 9 means A, C; ")
    assert [row["symbol"] for row in files.rows("planned_orders.csv")] == ["B"]


def test_an_ambiguous_id_is_refused_by_line_where_that_is_asked_for(files):
    ambiguous(files)
    with pytest.raises(InputError, match=r"targets\.csv:2.*asset_id has '9'.*A, C"):
        files.run(on_ambiguous="refuse")


def test_the_order_of_rows_in_any_file_changes_no_byte(files):
    header = "trade_date,asset_id,target_weight\n"
    mapping = ["8,D", "8,E", "9,A", "9,C"]

    def plan_with(turn):
        files.write("targets", header + "\n".join([f"2025-07-28,{name},0.2" for name in ("8", "9")][::turn]) + "\n")
        files.write("mapping", "asset_id,symbol\n" + "\n".join(mapping[::turn]) + "\n")
        files.write("prices", "symbol,price\n" + "\n".join(["A,10", "B,25", "D,7"][::turn]) + "\n")
        files.run("--json")
        return {name: (files.out / name).read_bytes() for name in NAMES}

    assert plan_with(1) == plan_with(-1)


BAD = [
    ("targets", "", "empty"),
    ("targets", "trade_date,asset_id,target_weight\n", "no target"),
    ("targets", "trade_date,asset_id\n2025-07-28,A\n", "no column target_weight"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,0.5\n2025-07-28,B,nan\n", r"targets\.csv:3.*'nan'"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,\n", r"targets\.csv:2.*an empty cell"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,50%\n", "'50%'"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,inf\n", "'inf'"),
    ("targets", "trade_date,asset_id,target_weight\n28/07/2025,A,0.5\n", "not a date"),
    ("targets", "trade_date,asset_id,target_weight\n2025-02-30,A,0.5\n", "not a date"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,.5\n2025-07-28,A,.5\n", r":3.*already targeted"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,.5\n2025-08-04,A,.5\n", "--date"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,a,.5\n2025-07-28,A,.5\n", r":2.*not a ticker"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,.9\n2025-07-28,B,.9\n", "targets.csv.*at most 1"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,1045,.9\n", "--mapping"),
    ("targets", "trade_date,asset_id,target_weight\n2025-07-28,A,0.5,7\n", r":2.*4 cells"),
    ("targets", 'trade_date,asset_id,target_weight\n2025-07-28,"A,0.5\n', "not valid CSV"),
    ("targets", "trade_date,asset_id,target_weight,target_weight\n2025-07-28,A,0.5,7\n", "stands twice"),
    ("prices", "symbol,price\nA,-1\n", r"prices\.csv:2.*'-1'.*above zero"),
    ("prices", "symbol,price\nA,0\n", "above zero"),
    ("prices", "symbol,price\nA,NaN\n", "'NaN'"),
    ("prices", "symbol,price\nA,1\nA,1\n", r":3.*stands here and at"),
    ("prices", "ticker,close\nA,1\n", "no column price; the file has ticker, close"),
    ("positions", "symbol,qty\nA,ten\n", "'ten'"),
    ("positions", "symbol,qty\nA,1\nA,2\n", r"positions\.csv:3"),
    ("positions", "symbol,qty\n,1\n", "not a ticker"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_a_bad_file_is_refused_by_name_line_and_value_and_nothing_is_written(files, name, text, message):
    files.write(name, text)
    with pytest.raises(InputError, match=message) as caught:
        files.run()
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert str(files.folder) in str(caught.value)
    assert not files.out.exists()


@pytest.mark.parametrize("name", ["targets", "prices", "positions", "mapping"])
def test_a_missing_file_is_refused_by_name(files, name):
    with pytest.raises(InputError, match=r"gone\.csv.*no such file"):
        files.run(**{name: str(files.folder / "gone.csv")})
    assert not files.out.exists()


def test_a_file_of_a_size_that_no_table_has_is_refused_before_it_is_read(files):
    os.truncate(files.options["positions"], MAX_BYTES + 1)
    with pytest.raises(InputError, match=r"positions\.csv: The file is larger than 67108864 bytes"):
        files.run()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that is there and cannot be read")
def test_a_file_that_is_there_and_cannot_be_read_is_refused_by_name(files, suffix):
    path = files.folder / f"unreadable.{suffix}"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match=rf"unreadable\.{suffix}: The file "):
        files.run(positions=str(path))
    assert not files.out.exists()


@pytest.mark.parametrize("equity", ["0", "-5", "nan", "inf", "much", ""])
def test_an_equity_that_is_no_amount_is_refused(files, equity):
    with pytest.raises(InputError, match="--equity"):
        files.run(equity=equity)
    assert not files.out.exists()


@pytest.mark.parametrize("day", ["2025-07-29", "July"])
def test_a_date_without_targets_is_refused(files, day):
    with pytest.raises(InputError, match=day):
        files.run("--date", day)


@pytest.mark.parametrize(("row", "message"), [("A,8", "'7'.*not in"), ("A,7\nA,8", "means A, as does")])
def test_an_id_without_a_symbol_or_with_anothers_is_refused(files, row, message):
    files.write("targets", "trade_date,asset_id,target_weight\n2025-07-28,8,.1\n2025-07-28,7,.1\n")
    files.write("mapping", f"tic,gvkey\n{row}\n")
    with pytest.raises(InputError, match=message):
        files.run()


@pytest.mark.parametrize(
    ("name", "content"), [("targets.xlsx", b"PK"), ("targets.parquet", b"no"), ("t.csv", b"\xff\xfe")]
)
def test_a_container_that_cannot_be_read_is_refused(files, name, content):
    path = files.folder / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        files.run(targets=str(path))


def test_where_the_folder_cannot_be_written_nothing_is_left(files):
    (files.folder / "taken").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        files.run(out=str(files.folder / "taken"))
    assert (files.folder / "taken").read_text() == "a file"


def test_a_folder_that_has_the_name_of_a_file_is_named_and_nothing_is_written(files):
    taken = files.out / "rebalance_plan.csv"
    taken.mkdir(parents=True)
    with pytest.raises(InputError, match=r"rebalance_plan\.csv: .*no file has this name. Move it away"):
        files.run()
    assert [path.name for path in files.out.iterdir()] == ["rebalance_plan.csv"]
    assert list(taken.iterdir()) == []


def test_an_earlier_plan_stays_whole_when_a_later_one_is_refused(files):
    files.run()
    before = {path.name: path.read_bytes() for path in files.out.iterdir()}
    files.write("prices", "symbol,price\nA,-1\n")
    with pytest.raises(InputError):
        files.run()
    assert {path.name: path.read_bytes() for path in files.out.iterdir()} == before


def test_all_held_can_be_sold_by_saying_so(files):
    files.write("targets", "trade_date,symbol,target_weight\n2025-07-28,B,0\n2025-07-28,C,0\n")
    files.run()
    assert [row["qty"] for row in files.rows("planned_orders_real.csv")] == ["10.000001", "3.123456789"]
    assert all(Decimal(row["target_qty"]) == 0 for row in files.rows("rebalance_plan.csv"))


def test_planning_on_files_imports_neither_the_orchestrator_nor_a_store(files):
    code = (
        "import sys, typer; from scizor_dagster.cli.plan import plan; app = typer.Typer(); app.command()(plan)\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as error: assert not error.code, error.code\n"
        "heavy = {'dagster', 'duckdb', 'sqlalchemy', 'pandas', 'matplotlib', 'exchange_calendars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    options = [part for name, value in files.options.items() for part in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_weight_below_zero_is_refused_by_line_unless_the_rules_allow_shorts(files):
    files.write("targets", TARGETS + "2025-07-28,C,-0.1\n")
    with pytest.raises(InputError, match=r"targets\.csv:5.*is a short"):
        files.run()
    rules = files.folder / "rules.yaml"
    rules.write_text("weights: {allow_short: true}\n")
    files.run(rules=str(rules))
    line = next(row for row in files.rows("rebalance_plan.csv") if row["symbol"] == "C")
    assert (line["target_qty"], line["reason"]) == ("-14", "cross_zero")


def test_a_position_of_zero_has_a_line_of_its_own(files):
    files.write("positions", POSITIONS + "3,ZED,0\n")
    files.run()
    line = next(row for row in files.rows("rebalance_plan.csv") if row["symbol"] == "ZED")
    assert (line["current_qty"], line["delta_qty"], line["reason"]) == ("0", "0", "on_target")


def test_the_name_of_a_file_changes_no_order_id(files):
    files.run()
    first = files.rows("planned_orders.csv")
    (files.folder / "prices.csv").rename(files.folder / "other.csv")
    files.run(prices=str(files.folder / "other.csv"))
    assert files.rows("planned_orders.csv") == first


def test_what_a_plan_could_not_take_into_account_is_said(files):
    files.write("positions", POSITIONS + "3,ZED,1500\n")
    files.write("targets", TARGETS.replace("asset_id", "symbol"))
    files.write("map", "symbol,asset_id\nA,1\n")
    rules = files.folder / "rules.yaml"
    rules.write_text("risk: {fractional_shares: {min_order_notional: 0.5}}\n")
    notes = json.loads(files.run("--json", rules=str(rules), mapping=files.options.pop("map")))["notes"]
    text = " ".join(notes)
    assert "Held without a price: ZED." in text
    assert "the mapping table was not used" in text
    assert "the rules' minimum of 0.5 is lower" in text
