"""Faults that a vendor really delivered are doubted, and years of its sound prices are not."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.config import PriceQuality
from scizor_dagster.market_data.plausibility import REASONS, doubt
from scizor_dagster.market_data.quality import check_bars
from scizor_dagster.sessions import TradingCalendar

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def _doubted(bars: pd.DataFrame, calendar: str) -> list[tuple[str, str]]:
    bars.columns = [name.lower() for name in bars.columns]
    bars["session"] = pd.to_datetime(bars["date"].astype("str").str[:10]).astype("datetime64[s]")
    good = check_bars(bars, TradingCalendar(calendar), NOW, set(bars["symbol"])).good
    found = doubt(good, good.iloc[:0], PriceQuality(), lambda _symbols: {}, frozenset(), {})
    marks = found.reasons >= 0
    days = good.loc[marks, "session"].dt.strftime("%Y-%m-%d")
    return sorted(zip(days, (REASONS[index] for index in found.reasons[marks]), strict=True))


@pytest.mark.parametrize(
    ("file", "calendar", "first", "last", "count"),
    [
        ("AET-L-1d-100x-error", "XLON", "2022-05-09", "2022-05-19", 9),
        ("DEX-AX-1d-bad-stock-split", "XASX", "2023-05-22", "2023-05-31", 8),
    ],
)
def test_a_changed_unit_and_a_split_applied_to_some_days_are_doubted_and_the_mended_files_are_not(
    reference_data: Path, file: str, calendar: str, first: str, last: str, count: int
) -> None:
    folder = reference_data / "vendor_data_faults"
    found = _doubted(pd.read_csv(folder / f"{file}.csv").assign(symbol="X"), calendar)
    assert {reason for _day, reason in found} == {"price_jump"}
    assert (found[0][0], found[-1][0], len(found)) == (first, last, count)
    assert _doubted(pd.read_csv(folder / f"{file}-fixed.csv").assign(symbol="X"), calendar) == []


@pytest.mark.parametrize("name", ["etf_2021_2026", "nasdaq100_2018_2026"])
def test_years_of_real_prices_of_large_companies_and_funds_raise_no_doubt(reference_data: Path, name: str) -> None:
    assert _doubted(pd.read_parquet(reference_data / name / "ohlcv.parquet"), "XNYS") == []
