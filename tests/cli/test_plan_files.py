"""`scizor plan`: numbers that are none, prices that are missing, and a folder that cannot take the files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Scizor
from tests.projects import Project

FILES = ("planned_orders.csv", "planned_orders_real.csv", "rebalance_plan.csv", "rebalance_plan_real.csv")
Plan = Callable[..., Answer]


@pytest.fixture
def plan(scizor: Scizor, fresh: Project) -> Plan:
    """Plans one buy, with the texts that are handed in instead of the good ones."""

    def call(*options: str, equity: str = "10000", **texts: str) -> Answer:
        good = {
            "targets": "trade_date,symbol,target_weight\n2025-02-03,AAPL,0.5\n",
            "prices": "symbol,price\nAAPL,100\n",
            "positions": "symbol,qty\n",
        }
        arguments = ["--equity", equity, "--out", str(fresh.folder / "out")]
        for name, text in {**good, **texts}.items():
            (fresh.folder / f"{name}.csv").write_text(text, encoding="utf-8")
            arguments += [f"--{name}", str(fresh.folder / f"{name}.csv")]
        return scizor("plan", *arguments, *options)

    return call


OUTSIZED = {
    "a_price": ({"prices": "symbol,price\nMSFT,5\nAAPL,{}\n"}, "prices.csv:3", "Column price has"),
    "a_quantity": ({"positions": "symbol,qty\nAAPL,{}\n"}, "positions.csv:2", "Column qty has"),
    "a_weight": (
        {"targets": "trade_date,symbol,target_weight\n2025-02-03,AAPL,{}\n"},
        "targets.csv:2",
        "target_weight",
    ),
}


@pytest.mark.parametrize("number", ["1e400", "1e999", "-1e999", "1e300", "1e15", "1e99999", "inf", "nan"])
@pytest.mark.parametrize("case", OUTSIZED)
def test_a_number_beyond_any_account_is_refused_by_line(plan: Plan, fresh: Project, case: str, number: str) -> None:
    texts, place, column = OUTSIZED[case]
    answer = plan("--json", **{name: text.format(number) for name, text in texts.items()})
    assert answer.code == 2
    assert place in answer.json["where"]
    assert column in answer.json["problem"]
    assert f"'{number}'" in answer.json["problem"]
    assert not (fresh.folder / "out").exists()


@pytest.mark.parametrize("equity", ["1e300", "1e15", "1e999999"])
def test_an_equity_beyond_any_account_is_refused(plan: Plan, fresh: Project, equity: str) -> None:
    answer = plan("--json", equity=equity)
    assert (answer.code, answer.json["problem"]) == (2, f"'{equity}' is no amount.")
    assert not (fresh.folder / "out").exists()


@pytest.mark.parametrize("price", ["0", "-1", "0.0"])
def test_a_price_that_is_not_above_zero_is_refused_by_line(plan: Plan, price: str) -> None:
    answer = plan(prices=f"symbol,price\nAAPL,{price}\n")
    assert (answer.code, "prices.csv:2" in answer.sentence) == (2, True)


def test_prices_of_a_header_alone_are_refused(plan: Plan, fresh: Project) -> None:
    answer = plan(prices="symbol,price\n")
    assert answer.code == 2
    assert "prices.csv: The file has no rows." in answer.sentence
    assert not (fresh.folder / "out").exists()


def test_a_plan_without_a_price_of_any_target_is_none(plan: Plan, fresh: Project) -> None:
    answer = plan(prices="symbol,price\nMSFT,5\n")
    assert answer.code == 1
    assert "No target has a price here (AAPL), so there is nothing to plan." in answer.sentence
    assert not (fresh.folder / "out").exists()


def test_an_ambiguous_target_with_one_price_is_planned(plan: Plan, fresh: Project) -> None:
    (fresh.folder / "map.csv").write_text("asset_id,symbol\n1,AAPL\n1,AMZN\n2,MSFT\n")
    targets = "trade_date,asset_id,target_weight\n2025-02-03,1,0.3\n2025-02-03,2,0.3\n"
    answer = plan("--mapping", str(fresh.folder / "map.csv"), targets=targets)
    assert answer.code == 0


@pytest.mark.parametrize("blocked", FILES)
def test_a_destination_that_is_no_file_leaves_every_other_as_it_was(plan: Plan, fresh: Project, blocked: str) -> None:
    out = fresh.folder / "out"
    (out / blocked).mkdir(parents=True)
    for name in set(FILES) - {blocked}:
        (out / name).write_text("of an earlier plan")
    answer = plan()
    assert answer.code == 2
    assert f"{out / blocked}: The plan cannot be written" in answer.sentence
    assert {(out / name).read_text() for name in FILES if name != blocked} == {"of an earlier plan"}
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)


def test_a_semicolon_between_columns_is_named(plan: Plan) -> None:
    answer = plan(prices="symbol;price\nAAPL;100\n")
    assert answer.code == 2
    assert "The separator of the file seems to be ';'; a comma is expected." in answer.sentence


@pytest.mark.parametrize("day", ["20250203", "2025-W06-1", "2025-2-3", "03.02.2025"])
def test_a_date_in_another_form_is_refused(plan: Plan, fresh: Project, day: str) -> None:
    answer = plan("--date", day)
    assert answer.code == 2
    assert f"--date: '{day}' is not a date. Write it as YYYY-MM-DD." in answer.sentence
    assert not (fresh.folder / "out").exists()


def test_a_second_plan_replaces_the_files_of_the_first(plan: Plan, fresh: Project) -> None:
    assert plan().code == 0
    first = _texts(fresh.folder / "out")
    assert plan(equity="20000").code == 0
    assert set(first.values()).isdisjoint(_texts(fresh.folder / "out").values())


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}
