"""Files as strangers write them: odd ones give the plan that plain ones give, wrong ones are refused by line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from scizor_dagster.cli.plan import plan
from scizor_dagster.errors import InputError

TARGETS = "trade_date,symbol,target_weight\n2025-07-28,AAA,0.5\n2025-07-28,BBB,0.2\n"
PRICES = "symbol,price\nAAA,10\nBBB,25\nCCC,7\n"
POSITIONS = "symbol,qty\nBBB,10\nCCC,3\n"
PLAIN = {"AAA": "open", "BBB": "rebalance", "CCC": "liquidate"}

app = typer.Typer()
app.command()(plan)


@dataclass
class Desk:
    """A folder with good files, of which single ones are replaced."""

    folder: Path

    def __call__(self, *options: str, **files: str | bytes | pd.DataFrame | Path) -> dict[str, Any]:
        arguments = ["--equity", "1000", "--out", str(self.folder / "out"), "--json"]
        for name, content in {"targets": TARGETS, "prices": PRICES, "positions": POSITIONS, **files}.items():
            arguments += [f"--{name.replace('_', '-')}", str(self._write(name, content))]
        result = CliRunner().invoke(app, [*arguments, *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def _write(self, name: str, content: str | bytes | pd.DataFrame | Path) -> Path:
        if isinstance(content, Path):
            return content
        if isinstance(content, pd.DataFrame):
            path = self.folder / f"{name}.parquet"
            content.to_parquet(path)
            return path
        path = self.folder / f"{name}.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def table(self, name: str) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = pd.read_csv(self.folder / "out" / name, dtype=str, keep_default_na=False).to_dict(
            "records"
        )
        return rows

    def reasons(self) -> dict[str, str]:
        return {row["symbol"]: row["reason"] for row in self.table("rebalance_plan.csv")}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


ODD: dict[str, dict[str, str]] = {
    "byte_order_marks": {"targets": "\ufeff" + TARGETS, "prices": "\ufeff" + PRICES, "positions": "\ufeff" + POSITIONS},
    "windows_lines": {"targets": TARGETS.replace("\n", "\r\n"), "positions": POSITIONS.replace("\n", "\r\n")},
    "old_mac_lines": {"prices": PRICES.replace("\n", "\r")},
    "no_last_line_end": {"prices": PRICES.rstrip()},
    "all_quoted": {"prices": '"symbol","price"\n"AAA","10"\n"BBB","25"\n"CCC","7"\n'},
    "spaces_around": {"prices": " symbol , price \n AAA , 10 \nBBB ,25\n CCC,7\n"},
    "tabs_and_hard_spaces_around": {"positions": "symbol,qty\n\tBBB\t,10\n\u00a0CCC\u00a0,3\n"},
    "headers_in_capitals": {"prices": PRICES.replace("symbol,price", "SYMBOL,Price")},
    "blank_lines": {"positions": "symbol,qty\n\n   \nBBB,10\n\nCCC,3\n\n"},
    "a_trailing_comma": {"positions": "symbol,qty,\nBBB,10,\nCCC,3,\n"},
    "an_unnamed_index": {"positions": ",symbol,qty\n0,BBB,10\n1,CCC,3\n"},
    "other_order_of_columns": {"positions": "qty,symbol\n10,BBB\n3,CCC\n"},
    "other_order_of_rows": {"prices": "symbol,price\nCCC,7\nAAA,10\nBBB,25\n"},
    "columns_of_no_use": {"prices": 'symbol,name,price\nAAA,"Apple, Inc.",10\nBBB,"B\n C",25\nCCC,C,7\n'},
    "scientific_notation": {"positions": "symbol,qty\nBBB,1e1\nCCC,3E0\n", "prices": PRICES.replace("25", "2.5E+1")},
    "signs_and_bare_points": {"positions": "symbol,qty\nBBB,+10\nCCC,3.\n", "targets": TARGETS.replace("0.5", ".5")},
    "leading_zeros": {"positions": "symbol,qty\nBBB,0010\nCCC,003.0\n"},
    "midnights": {"targets": TARGETS.replace("2025-07-28", "2025-07-28 00:00:00")},
    "iso_midnights": {"targets": TARGETS.replace("2025-07-28", "2025-07-28T00:00:00.000000")},
    "a_zero_target": {"targets": TARGETS + "2025-07-28,CCC,0\n"},
    "a_negative_zero": {"targets": TARGETS + "2025-07-28,CCC,-0.0\n"},
    "another_name_of_the_symbol": {"prices": PRICES.replace("symbol", "tic"), "positions": "TICKER,qty\nBBB,10\nCCC,3"},
    "no_open_orders": {"open_orders": "symbol,side,qty\n"},
    "unknown_facts": {
        "prices": "symbol,price,previous_close,adv,atr\nAAA,10,nan,,N/A\nBBB,25,NaN,null,\nCCC,7,None,,<NA>\n"
    },
    "instruments_as_they_are": {
        "prices": "symbol,price,mic,tradable,shortable,fractionable,lot,tick\n"
        "AAA,10,XNAS,yes,TRUE,1,1,0.01\nBBB,25,,,,,,\nCCC,7,XNYS,True,no,true,,\n"
    },
    "prices_of_others": {"prices": PRICES + "NA,1\nTRUE,2\n1E5,3\n0700,4\nBRK.B,400\nBRK/A,600000\n"},
    "an_empty_holding": {"positions": POSITIONS + "AAA,0\n"},
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_file_gives_the_plan_of_a_plain_one(desk: Desk, case: str) -> None:
    desk(**ODD[case])
    odd = desk.table("planned_orders.csv")
    assert desk.reasons() == PLAIN
    desk()
    assert [(row["symbol"], row["side"], row["qty"]) for row in odd] == [
        (row["symbol"], row["side"], row["qty"]) for row in desk.table("planned_orders.csv")
    ]


WRONG: list[tuple[str, str | bytes, Sequence[str], str]] = [
    ("positions", "", (), r"positions\.csv: The file is empty"),
    ("positions", "\ufeff", (), r"positions\.csv: The file is empty"),
    ("positions", "BBB,10\nCCC,3\n", (), "no column symbol or tic or ticker; the file has bbb, 10"),
    ("positions", POSITIONS.replace(",", ";"), (), r"positions\.csv: The separator of the file seems to be ';'"),
    ("positions", POSITIONS.replace(",", "\t"), (), r"positions\.csv: The separator of the file seems to be a tab"),
    ("positions", POSITIONS.replace(",", "|"), (), r"positions\.csv: The separator of the file seems to be '\|'"),
    ("positions", POSITIONS.encode("utf-16"), (), "not UTF-8"),
    ("positions", b"symbol,qty\nBB\x00B,10\n", (), r"positions\.csv:2: Column symbol.*not a ticker"),
    ("positions", 'symbol,qty\nBBB,"1,000"\n', (), r"positions\.csv:2: Column qty has '1,000'"),
    ("positions", "symbol,qty\nBBB,1,000\n", (), r"positions\.csv:2: The row has 3 cells"),
    ("positions", "symbol,qty\nBBB\n", (), r"positions\.csv:2: The row has 1 cells"),
    ("positions", "symbol,qty\nBBB,(10)\n", (), r"positions\.csv:2: Column qty has '\(10\)'"),
    ("positions", "symbol,qty\nBBB,\u221210\n", (), r"positions\.csv:2: Column qty"),
    ("positions", "symbol,qty\nBBB,\u0661\u0660\n", (), r"positions\.csv:2: Column qty"),
    ("positions", "symbol,qty\nBBB,1_000\n", (), r"positions\.csv:2: Column qty has '1_000'"),
    ("positions", "symbol,qty\nBBB,=1+1\n", (), r"positions\.csv:2: Column qty has '=1\+1'"),
    ("positions", "symbol,qty\nBBB,\n", (), r"positions\.csv:2: Column qty has an empty cell"),
    ("positions", "symbol,qty\nBBB,1\nBBB,2\n", (), r"positions\.csv:3: Column symbol has 'BBB'.*positions\.csv:2"),
    (
        "positions",
        "symbol,qty\nBBB,1000000000000000\n",
        (),
        r"positions\.csv:2: .*too large. Write a number below 1e15",
    ),
    ("positions", "symbol,qty\nBBB,-1e999999\n", (), r"positions\.csv:2: .*too large"),
    ("positions", POSITIONS + "Total,13\n", (), r"positions\.csv:4: Column symbol has 'Total'"),
    ("positions", POSITIONS + "CASH,5000\n", (), r"positions\.csv:4: .*seems to be money. Leave cash out"),
    ("positions", POSITIONS + "USD,5000\n", (), r"positions\.csv:4: .*seems to be money"),
    ("prices", PRICES.replace("10", "-10"), (), r"prices\.csv:2: Column price has '-10'"),
    ("prices", PRICES.replace("10", ""), (), r"prices\.csv:2: Column price has an empty cell"),
    ("prices", PRICES.replace("10", "$10"), (), r"prices\.csv:2: Column price has '\$10'"),
    ("prices", PRICES.replace("10", "1e-300"), (), r"prices\.csv:2: Column price has '1e-300'"),
    ("prices", PRICES + "AAA,11\n", (), r"prices\.csv:5: Column symbol has 'AAA'"),
    ("prices", "symbol,price,shortable\nAAA,10,maybe\n", (), r"prices\.csv:2: Column shortable has 'maybe'"),
    ("prices", "symbol,price,lot\nAAA,10,1.5\n", (), r"prices\.csv:2: Column lot has '1.5'"),
    ("prices", "symbol,price,lot\nAAA,10,0\n", (), r"prices\.csv:2: Column lot has '0'"),
    ("prices", "symbol,price,tick\nAAA,10,-0.01\n", (), r"prices\.csv:2: Column tick has '-0.01'"),
    ("prices", "symbol,price,tick\nAAA,10,11\n", (), r"prices\.csv:2: Column tick has '11': .*what costs 10"),
    ("prices", "symbol,price,mic\nAAA,10,nyse\n", (), r"prices\.csv:2: Column mic has 'nyse'"),
    ("prices", "symbol,price,mic\nAAA,10,XASX\n", (), r"prices\.csv:2: .*trades in AUD, and the plan is in USD"),
    ("prices", "symbol,price,mic\nAAA,10,XNAS\n", ("--currency", "AUD"), "trades in USD, and the plan is in AUD"),
    ("prices", "symbol,price,adv\nAAA,10,-5\n", (), r"prices\.csv:2: Column adv has '-5'"),
    ("prices", "symbol,price,previous_close\nAAA,10,0\n", (), r"prices\.csv:2: Column previous_close has '0'"),
    ("prices", "symbol,price,atr\nAAA,10,-1\n", (), r"prices\.csv:2: Column atr has '-1'"),
    ("targets", TARGETS.replace("AAA", ""), (), r"targets\.csv:2: Column symbol has an empty cell: nothing to go by"),
    ("targets", TARGETS.replace("0.5", "50%"), (), r"targets\.csv:2: Column target_weight has '50%'"),
    ("targets", TARGETS.replace("0.5", "50"), (), r"targets\.csv: .*sum to 50\.2; at most 1"),
    ("targets", TARGETS.replace("2025-07-28", "07/28/2025"), (), r"targets\.csv:2: Column trade_date"),
    ("targets", TARGETS.replace("2025-07-28", "45866"), (), r"targets\.csv:2: Column trade_date has '45866'"),
    ("open_orders", "symbol,qty\nBBB,3\n", (), r"open_orders\.csv: There is no column side"),
    ("open_orders", "symbol,side,qty\nBBB,hold,3\n", (), r"open_orders\.csv:2: Column side has 'hold'"),
    ("open_orders", "symbol,side,qty\nBBB,sell,-3\n", (), r"open_orders\.csv:2: Column qty has '-3'"),
    ("open_orders", "symbol,side,qty,filled_qty\nBBB,sell,3,4\n", (), r"open_orders\.csv:2: .*with 4 filled"),
    ("open_orders", "symbol,side,qty,filled_qty\nBBB,sell,3,x\n", (), r"open_orders\.csv:2: Column filled_qty"),
    ("prices", PRICES, ("--currency", "aud"), "--currency: 'aud' is not a currency of ISO 4217. Write AUD"),
    ("prices", PRICES, ("--currency", "XXXYZ"), "--currency: 'XXXYZ' is not a currency"),
    ("prices", PRICES, ("--currency", "XAU"), "--currency: 'XAU' is not a currency"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), WRONG)
def test_a_wrong_file_is_refused_with_place_value_and_remedy_and_nothing_is_written(
    desk: Desk, name: str, content: str | bytes, options: Sequence[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        desk(*options, **{name: content})
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert not (desk.folder / "out").exists()


def test_a_share_whose_ticker_is_cash_is_a_position_like_any_other(desk: Desk) -> None:
    desk(prices=PRICES + "CASH,60\n", positions=POSITIONS + "CASH,5\n")
    assert desk.reasons()["CASH"] == "liquidate"


def test_the_price_file_says_what_an_instrument_is(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("weights: {allow_short: true}\nexecution: {mode_on_buy: limit}\n")
    targets = "trade_date,symbol,target_weight\n" + "".join(
        f"2025-07-28,{symbol},{weight}\n"
        for symbol, weight in {"SHUT": 0.1, "HARD": -0.1, "WHOLE": 0.1, "LOTS": 0.3, "WIDE": 0.1}.items()
    )
    prices = (
        "symbol,price,tradable,shortable,fractionable,lot,tick\nSHUT,3,no,,,,\nHARD,3,,false,,,\n"
        "WHOLE,3,,,0,,\nLOTS,3,,,no,30,\nWIDE,3,,,no,,0.25\n"
    )
    desk("--rules", str(tmp_path / "rules.yaml"), targets=targets, prices=prices, positions="symbol,qty\n")
    assert desk.reasons() == {
        "SHUT": "not_tradable", "HARD": "not_shortable", "WHOLE": "open", "LOTS": "open", "WIDE": "open",
    }  # fmt: skip
    orders = {row["symbol"]: (row["qty"], row["limit_price"]) for row in desk.table("planned_orders.csv")}
    assert orders == {"WHOLE": ("33", "3"), "LOTS": ("90", "3"), "WIDE": ("33", "3")}


def test_a_column_that_is_not_read_is_named_with_those_that_are(desk: Desk) -> None:
    notes = desk(prices="symbol,price,shortble\nAAA,10,no\nBBB,25,no\nCCC,7,no\n")["notes"]
    note = next(note for note in notes if "prices.csv" in note)
    assert "makes nothing of shortble; the columns that it reads: symbol, tic, ticker, price, " in note
    assert "shortable" in note
    assert not [note for note in desk()["notes"] if ".csv" in note]


def test_every_column_that_is_said_to_be_read_is_read_without_a_word(desk: Desk) -> None:
    listing = "mic,tradable,fractionable,shortable,lot,tick"
    rows = "".join(f"{symbol},10,9,8000,7000,0.5,XNYS,yes,yes,yes,1,0.01\n" for symbol in ("AAA", "BBB", "CCC"))
    for name in ("symbol", "tic", "ticker"):
        notes = desk(prices=f"{name},price,previous_close,adv,volume,atr,{listing}\n{rows}")["notes"]
        assert not [note for note in notes if ".csv" in note]


def test_orders_can_be_sent_by_hand_from_the_file(desk: Desk, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "weights: {allow_short: true}\nrisk: {max_notional_per_order: 300.0, fractional_shares: {enabled: false}}\n"
        "execution: {mode_on_sell: limit}\n"
    )
    targets = "trade_date,symbol,target_weight\n2025-07-28,AAA,0.5\n2025-07-28,BBB,-0.3\n"
    desk("--rules", str(rules), targets=targets)
    rows = desk.table("planned_orders.csv")
    assert list(rows[0])[11:] == ["client_order_id", "limit_price", "intent", "leg", "slice", "phase", "depends_on"]
    told = {
        (row["symbol"], row["leg"], row["slice"]): (row["side"], row["intent"], row["limit_price"], row["phase"])
        for row in rows
    }
    assert told == {
        ("AAA", "1", "1"): ("BUY", "buy_to_open", "", "2"),
        ("AAA", "1", "2"): ("BUY", "buy_to_open", "", "2"),
        ("BBB", "1", "1"): ("SELL", "sell_to_close", "24.95", "1"),
        ("BBB", "2", "1"): ("SELL", "sell_to_open", "24.95", "2"),
        ("CCC", "1", "1"): ("SELL", "sell_to_close", "6.99", "1"),
    }
    first, second = (row for row in rows if row["symbol"] == "BBB")
    assert (first["depends_on"], second["depends_on"]) == ("", first["client_order_id"])


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_a_number_of_a_parquet_file_is_the_shortest_decimal_of_its_width(desk: Desk, width: str) -> None:
    frame = pd.DataFrame({"symbol": ["AAA", "BBB", "CCC"], "price": [10.1, 0.3, 1234.56]}).astype({"price": width})
    desk(prices=frame)
    assert {row["symbol"]: row["price"] for row in desk.table("rebalance_plan.csv")} == {
        "AAA": "10.1", "BBB": "0.3", "CCC": "1234.56",
    }  # fmt: skip


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_a_fact_that_is_no_number_in_a_parquet_file_is_not_known(desk: Desk, width: str) -> None:
    facts = {name: [float("nan"), None, float("nan")] for name in ("previous_close", "adv", "atr", "tick", "lot")}
    frame = pd.DataFrame({"symbol": ["AAA", "BBB", "CCC"], "price": [10.0, 25.0, 7.0], **facts})
    desk(prices=frame.astype(dict.fromkeys(facts, width)))
    assert desk.reasons() == PLAIN


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_a_nan_that_a_program_has_written_is_an_empty_cell(desk: Desk, tmp_path: Path, kind: pa.DataType) -> None:
    def prices(price: float, close: float) -> Path:
        numbers = {"price": pa.array([price, 25.0, 7.0], kind), "previous_close": pa.array([close, 25.0, 7.0], kind)}
        pq.write_table(pa.table({"symbol": ["AAA", "BBB", "CCC"], **numbers}), tmp_path / "written.parquet")
        return tmp_path / "written.parquet"

    desk(prices=prices(10.0, float("nan")))
    assert desk.reasons() == PLAIN
    with pytest.raises(InputError, match=r"written\.parquet:1: Column price has an empty cell"):
        desk(prices=prices(float("nan"), 10.0))


@pytest.mark.parametrize("as_day", [pd.Timestamp, lambda text: pd.Timestamp(text).date()], ids=["instant", "day"])
def test_a_day_of_a_parquet_file_is_a_day_however_it_is_stored(desk: Desk, as_day: Any) -> None:
    rows = {"trade_date": [as_day("2025-07-28")] * 2, "symbol": ["AAA", "BBB"], "target_weight": [0.5, 0.2]}
    assert desk(targets=pd.DataFrame(rows))["trade_date"] == "2025-07-28"
    assert desk.reasons() == PLAIN


def test_an_instant_of_a_parquet_file_that_is_no_midnight_is_refused_by_row(desk: Desk) -> None:
    rows = {"trade_date": [pd.Timestamp("2025-07-28 16:00")], "symbol": ["AAA"], "target_weight": [0.5]}
    with pytest.raises(InputError, match=r"targets\.parquet:1: .*'2025-07-28 16:00:00': not a date"):
        desk(targets=pd.DataFrame(rows))


def test_the_facts_of_the_price_file_have_their_say_in_the_plan(desk: Desk, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("planning: {max_participation: 0.1}\nexecution: {mode_on_buy: bracket, tp_atr: 2, sl_atr: 1}\n")
    facts = "symbol,price,previous_close,adv,atr\nAAA,10,9.5,100,0.5\nBBB,25,10,5000,1\nCCC,7,7,0,1\n"
    desk("--rules", str(rules), prices=facts)
    assert desk.reasons() == {"AAA": "open", "BBB": "price_collar", "CCC": "participation_cap"}
    (order,) = desk.table("planned_orders.csv")
    assert (order["qty"], order["tp_price"], order["sl_price"]) == ("10", "11", "9.5")


def test_open_orders_of_a_file_are_counted_with_what_has_not_filled(desk: Desk) -> None:
    orders = "symbol,side,qty,filled_qty\nAAA,BUY,30,10\nCCC,sell,3,\n"
    desk(open_orders=orders)
    changes = {row["symbol"]: (row["delta_qty"], row["reason"]) for row in desk.table("rebalance_plan.csv")}
    assert changes == {"AAA": ("30", "rebalance"), "BBB": ("-2", "rebalance"), "CCC": ("0", "on_target")}


def test_a_price_or_quantity_of_a_parquet_file_that_is_no_number_is_refused_by_row(desk: Desk) -> None:
    frame = pd.DataFrame({"symbol": ["AAA", "BBB"], "price": [10.0, float("nan")]})
    with pytest.raises(InputError, match=r"prices\.parquet:2: Column price has an empty cell"):
        desk(prices=frame)
    with pytest.raises(InputError, match=r"positions\.parquet:1: Column qty has 'inf'"):
        desk(positions=pd.DataFrame({"symbol": ["AAA"], "qty": [float("inf")]}).astype({"qty": "float32"}))


def test_an_override_of_nothing_that_is_known_is_said(desk: Desk, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("planning: {overrides: {AAAA: no_buy, CCC: no_sell, QQQ: never_touch}}\n")
    notes = desk("--rules", str(rules))["notes"]
    assert "planning.overrides names AAAA, QQQ, which is neither in this plan nor among its instruments." in notes
    assert desk.reasons()["CCC"] == "override"
    rules.write_text("planning: {overrides: {CCC: no_sell}}\n")
    assert not [note for note in desk("--rules", str(rules))["notes"] if "overrides" in note]
