"""A source's own adjusted closes check its actions: a dividend not adjusted for, and one not listed."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.config import FilesProvider
from scizor_dagster.market_data.adjusted_closes import contradictions
from scizor_dagster.market_data.collect import collect_history
from scizor_dagster.market_data.files import FilesMarket
from scizor_dagster.market_data.jumps import Action
from tests.market_data.support import NOW, XNYS, market, rows

EPOCH = date(1970, 1, 1)


def _vendor(path: Path) -> tuple[pd.DataFrame, dict[str, list[Action]]]:
    table = pd.read_csv(path)
    days = pd.to_datetime(table[table.columns[0]].str[:10]).astype("datetime64[s]")
    bars = pd.DataFrame({"symbol": "X", "session": days, "close": table["Close"], "adj_close": table["Adj Close"]})
    paid = table["Dividends"] + table.get("Capital Gains", 0.0)
    actions = [
        Action.of("dividend", day.date(), 1.0, amount, "split")
        for day, amount in zip(days, paid, strict=True)
        if amount
    ]
    return bars, {"X": [action for action in actions if action is not None]}


def test_a_dividend_that_the_vendor_has_not_adjusted_for_is_found_and_the_mended_file_has_none(reference_data) -> None:
    folder = reference_data / "vendor_data_faults"
    (fault,) = contradictions(*_vendor(folder / "8TRA-DE-1d-missing-div-adjust.csv"))
    assert (fault.kind, fault.first) == ("adjusted_close", date(2023, 6, 2))
    assert "that is 0 on a close of 18.79; its actions say 0.962746, that is 0.7" in fault.told
    assert contradictions(*_vendor(folder / "8TRA-DE-1d-missing-div-adjust-fixed.csv")) == ()


@pytest.mark.parametrize("name", [
    "EWG-1d-no-bad-divs", "AET-L-1d-100x-error-fixed", "DEX-AX-1d-bad-stock-split-fixed",
])  # fmt: skip
def test_years_of_sound_dividends_contradict_nothing(reference_data, name) -> None:
    assert contradictions(*_vendor(reference_data / "vendor_data_faults" / f"{name}.csv")) == ()


def test_a_changed_adjusted_close_alone_is_a_dividend_that_is_not_listed(reference_data) -> None:
    bars, actions = _vendor(reference_data / "vendor_data_faults" / "EWG-1d-no-bad-divs.csv")
    assert len(actions["X"]) >= 3
    left = {"X": actions["X"][1:]}
    missing = actions["X"][0]
    (fault,) = contradictions(bars, left)
    assert (fault.first - EPOCH).days == missing.day
    assert f"that is {missing.amount:.4g} on a close" in fault.told


def test_a_collection_from_files_reports_it(lake, tmp_path) -> None:
    lines = ["symbol,session,open,high,low,close,volume,adj_close"]
    for at, day in enumerate(XNYS.sessions(date(2024, 1, 2), date(2024, 1, 31))):
        adjusted = 49.0 if at < 10 else 50.0
        lines.append(f"A,{day},50,51,49,50,{1000 + at},{adjusted}")
    (tmp_path / "prices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    provider = FilesMarket(
        FilesProvider(type="files", path="prices.csv", format="csv", adjustment="raw"), tmp_path, XNYS
    )
    report = collect_history(lake, "us", market(), provider, XNYS, ["A"], 2024, 2024, NOW, through=date(2024, 1, 31))
    assert [(fault.kind, fault.first) for fault in report.faults] == [("adjusted_close", date(2024, 1, 17))]
    assert rows(lake, "SELECT count(*) FROM bars WHERE close = 50") == [(report.inserted,)]
