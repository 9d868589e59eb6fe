"""`scizor plan` beside a portfolio: on its capital, on its broker's account, and for what a broker takes."""

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.cli.dates import now
from scizor_dagster.flow.desk import Desk
from tests.cli.conftest import Answer, Scizor
from tests.planning.test_files import Files
from tests.projects import Project, small_project

PRICES = "symbol,price\nAAPL,100\nMSFT,200\nNVDA,50\n"
Plan = Callable[..., Answer]


@pytest.fixture
def plan(scizor: Scizor, tmp_path: Path) -> Plan:
    def call(*options: str, prices: str = PRICES, **texts: str) -> Answer:
        targets = "trade_date,symbol,target_weight\n2025-02-10,AAPL,0.5\n2025-02-10,NVDA,0.25\n"
        arguments = ["--out", str(tmp_path / "out"), "--json"]
        for name, text in {"targets": targets, "prices": prices, **texts}.items():
            path = tmp_path / f"{name}.csv"
            path.write_text(text, encoding="utf-8")
            arguments += [f"--{name.replace('_', '-')}", str(path)]
        return scizor("plan", *arguments, *options)

    return call


def test_a_dry_run_takes_capital_and_rules_from_the_portfolio(plan: Plan, fresh: Project) -> None:
    answer = plan("--portfolio", "main", positions="symbol,qty\nAAPL,10\n")
    assert answer.code == 0, answer.err
    assert (answer.json["equity"], answer.json["cash_buffer"]) == ("100000", "2000")
    assert not (fresh.home / "ledger.sqlite").exists()


def test_a_portfolio_takes_no_other_rules_than_its_own(plan: Plan, fresh: Project) -> None:
    answer = plan("--portfolio", "main", rules="planning: {band_relative: 0.1}\n")
    assert answer.code == 2
    assert "--rules does not go with --portfolio" in answer.json["problem"]


def test_a_dry_run_without_positions_says_that_nothing_is_held(plan: Plan, fresh: Project) -> None:
    answer = plan("--portfolio", "main", "--equity", "5000")
    assert answer.json["equity"] == "5000"
    assert any("as if nothing were held" in note for note in answer.json["notes"])


def test_a_dry_run_plans_what_the_portfolios_account_takes(plan: Plan, fresh: Project, tmp_path: Path) -> None:
    small_project(fresh.folder, accounts={"paper": {"exchange": {"fractional": False}}})
    assert plan("--portfolio", "main", "--equity", "5070").code == 0
    with (tmp_path / "out" / "planned_orders.csv").open(newline="") as handle:
        orders = {row["symbol"]: row["qty"] for row in csv.DictReader(handle)}
    # After the cash buffer of 2 %, 0.5 and 0.25 of the equity are 24.843 shares of 100 and of 50.
    assert orders == {"AAPL": "24", "NVDA": "24"}


def test_for_a_portfolio_the_universe_says_what_the_instruments_are(plan: Plan, fresh: Project) -> None:
    prices = "symbol,price,tradable\nAAPL,100,no\nNVDA,50,\n"
    answer = plan("--portfolio", "main", "--equity", "5000", prices=prices)
    assert answer.json["reasons"] == {"open": 2}
    assert any("The universe of market 'us' says what the instruments are" in note for note in answer.json["notes"])
    plain = plan("--portfolio", "main", "--equity", "5000").json["notes"]
    assert not [note for note in plain if "universe" in note]


def test_online_reads_holdings_and_cash_from_the_account_and_sends_nothing(plan: Plan, collected: Project) -> None:
    before = Desk(collected.settings, now).broker("paper", "us").positions()
    answer = plan("--portfolio", "main", "--mode", "online")
    assert answer.code == 0, answer.err
    held = {row.symbol for row in before}
    assert held == {"AAPL", "MSFT"}
    assert answer.json["reasons"] == {"liquidate": 1, "open": 1, "rebalance": 1}
    broker = Desk(collected.settings, now).broker("paper", "us")
    assert (broker.positions(), broker.open_orders()) == (before, [])


def test_online_without_the_price_of_a_holding_knows_no_equity(plan: Plan, collected: Project) -> None:
    answer = plan("--portfolio", "main", "--mode", "online", prices="symbol,price\nAAPL,100\nNVDA,50\n")
    assert answer.code == 1
    assert "MSFT is held and has no price" in answer.json["problem"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode", "online"], "--mode online needs a portfolio"),
        (["--mode", "online", "--portfolio", "main", "--equity", "5"], "--equity does not go with --mode online"),
        (["--mode", "online", "--portfolio", "main", "--broker", "ibkr"], "--broker does not go with --mode online"),
        (["--portfolio", "main", "--currency", "AUD"], "--currency is AUD"),
        (["--portfolio", "nobody"], "There is no portfolio 'nobody'"),
        ([], "--equity is missing"),
        (["--equity", "1000"], "--positions is missing"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(
    plan: Plan, fresh: Project, options: list[str], words: str
) -> None:
    answer = plan(*options)
    assert answer.code == 2
    assert words in answer.json["problem"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(("broker", "whole"), [("paper", False), ("alpaca", False), ("ibkr", True)])
def test_a_brokers_name_chooses_what_is_planned(files: Files, broker: str, whole: bool) -> None:
    files.write("targets", "trade_date,symbol,target_weight\n2025-07-28,A,0.333\n")
    files.run(broker=broker)
    quantities = [Decimal(row["qty"]) for row in files.rows("planned_orders_real.csv") if row["symbol"] == "A"]
    assert quantities == [Decimal(33) if whole else Decimal("33.3")]


def test_what_was_cut_and_why_is_said_line_by_line(files: Files) -> None:
    symbols = [f"S{number:02}" for number in range(12)]
    files.write("targets", "trade_date,symbol,target_weight\n" + "".join(f"2025-07-28,{s},0.05\n" for s in symbols))
    files.write("prices", "symbol,price,adv\nB,25,9\nC,7,9\n" + "".join(f"{s},1,100\n" for s in symbols))
    files.write("rules", "planning: {max_participation: 0.1}\n", "yaml")
    notes = json.loads(files.run("--json"))["line_notes"]
    assert notes["S00"].startswith("Cut from 50 to 10: planning.max_participation")
    said = files.run()
    assert "S06: Cut from 50 to 10" in said
    assert "more lines have notes" in said


def test_open_orders_of_a_file_are_counted(files: Files) -> None:
    files.write("targets", "trade_date,symbol,target_weight\n2025-07-28,A,0.5\n")
    files.write("open_orders", "symbol,side,qty,filled_qty\nA,buy,30,10\nC,SELL,1,\n")
    files.run()
    orders = {row["symbol"]: row["qty"] for row in files.rows("planned_orders_real.csv")}
    assert (orders["A"], orders["C"]) == ("30", "2.123456789")


@pytest.mark.parametrize(
    ("row", "words"),
    [("A,hold,3,0", "neither buy nor sell"), ("A,buy,3,3", "no open order"), ("A,buy,3,-1", "no open order")],
)
def test_an_open_order_that_is_none_is_refused_by_line(plan: Plan, fresh: Project, row: str, words: str) -> None:
    text = f"symbol,side,qty,filled_qty\n{row}\n"
    answer = plan("--equity", "1000", positions="symbol,qty\n", open_orders=text)
    assert answer.code == 2
    assert words in answer.json["problem"]
    assert answer.json["where"].endswith("open_orders.csv:2")


@pytest.mark.parametrize(
    ("column", "rules", "reason"),
    [
        ("volume,1000", "planning: {max_participation: 0.0001}", "participation_cap"),
        ("adv,", "planning: {max_participation: 0.1}", "no_volume"),
        ("previous_close,1", "", "price_collar"),
        ("atr,0.5", "execution: {mode_on_buy: bracket, sl_atr: 500}", "no_atr"),
    ],
)
def test_columns_of_the_price_file_feed_the_rules_that_ask_for_them(
    files: Files, column: str, rules: str, reason: str
) -> None:
    name, value = column.split(",")
    whole = "risk: {fractional_shares: {enabled: false}}\n"
    files.write("rules", whole + rules + "\n", "yaml")
    files.write("targets", "trade_date,symbol,target_weight\n2025-07-28,A,0.5\n")
    files.write("prices", f"symbol,price,{name}\nA,10,{value}\nB,25,\nC,7,\n")
    files.run()
    assert {row["symbol"]: row["reason"] for row in files.rows("rebalance_plan.csv")}["A"] == reason


def test_a_listing_on_the_asx_brings_its_first_parcel(files: Files) -> None:
    files.write("targets", "trade_date,symbol,target_weight\n2025-07-28,A,0.4\n")
    files.write("prices", "symbol,price,mic\nA,10,XASX\nB,25,XASX\nC,7,XASX\n")
    files.run(currency="AUD", broker="ibkr")
    assert {row["symbol"]: row["reason"] for row in files.rows("rebalance_plan.csv")}["A"] == "first_parcel"


@pytest.mark.parametrize(("column", "value"), [("mic", "asx"), ("adv", "-1"), ("atr", "0"), ("previous_close", "0")])
def test_a_value_that_such_a_column_cannot_hold_is_refused_by_line(
    plan: Plan, fresh: Project, column: str, value: str
) -> None:
    prices = f"symbol,price,{column}\nAAPL,100,\nNVDA,50,{value}\n"
    answer = plan("--equity", "1000", prices=prices, positions="symbol,qty\n")
    assert answer.code == 2
    assert f"'{value}'" in answer.json["problem"]
    assert answer.json["where"].endswith("prices.csv:3")
