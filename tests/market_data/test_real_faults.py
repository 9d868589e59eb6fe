"""Faults that a vendor really delivered are doubted, and years of its sound prices are not."""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.config import PriceQuality
from scizor_dagster.market_data.overlap import compare
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
    ("file", "calendar", "reason", "first", "last", "count"),
    [
        ("AET-L-1d-100x-error", "XLON", "unit_error", "2022-05-09", "2022-05-19", 9),
        ("DEX-AX-1d-bad-stock-split", "XASX", "price_jump", "2023-05-22", "2023-05-31", 8),
    ],
)
def test_a_changed_unit_and_a_split_applied_to_some_days_are_doubted_and_the_mended_files_are_not(
    reference_data: Path, file: str, calendar: str, reason: str, first: str, last: str, count: int
) -> None:
    folder = reference_data / "vendor_data_faults"
    found = _doubted(pd.read_csv(folder / f"{file}.csv").assign(symbol="X"), calendar)
    assert {why for _day, why in found} == {reason}
    assert (found[0][0], found[-1][0], len(found)) == (first, last, count)
    assert _doubted(pd.read_csv(folder / f"{file}-fixed.csv").assign(symbol="X"), calendar) == []


def test_years_of_real_prices_of_large_companies_raise_no_doubt(reference_data: Path) -> None:
    assert _doubted(pd.read_parquet(reference_data / "nasdaq100_2018_2026" / "ohlcv.parquet"), "XNYS") == []


def test_bars_taken_during_the_session_are_refused_and_the_years_before_them_are_not(reference_data: Path) -> None:
    found = _doubted(pd.read_parquet(reference_data / "etf_2021_2026" / "ohlcv.parquet"), "XNYS")
    assert Counter(found) == {("2026-04-01", "partial_day"): 64, ("2026-04-02", "partial_day"): 4}


def test_asx_bars_dated_one_day_early_are_one_fault_and_none_of_them_is_believed(reference_data: Path) -> None:
    prices = pd.read_parquet(reference_data / "asx200_2025_2026" / "prices_2026-08-07.parquet")
    bars = prices.rename(columns={"code": "symbol"}).assign(session=pd.to_datetime(prices["date"]))
    checked = check_bars(bars, TradingCalendar("XASX"), NOW, set(bars["symbol"]))
    (fault,) = checked.faults
    assert (fault.kind, fault.first, fault.last) == ("shifted_day", date(2025, 10, 5), date(2026, 4, 1))
    assert (fault.symbols, fault.bars) == (196, 24_500)
    assert "one day early" in fault.told
    assert Counter(checked.quarantined["reason"]) == {"shifted_day": 24_500}
    # All of them are shifted; only 5,292 could be told by the calendar alone.
    assert not checked.good["session"].between("2025-10-05", "2026-04-05").any()


def test_the_faults_of_small_australian_companies_are_named_and_a_partial_last_day_is_one_fault(reference_data) -> None:
    bars = pd.read_parquet(reference_data / "asx_2024_2026" / "ohlcv.parquet")
    bars.columns = [name.lower() for name in bars.columns]
    bars["session"] = pd.to_datetime(bars["date"].astype("str").str[:10]).astype("datetime64[s]")
    checked = check_bars(bars, TradingCalendar("XASX"), NOW, set(bars["symbol"]))
    # One symbol follows the American calendar: seven times it repeats itself on an Australian holiday.
    assert Counter(checked.quarantined["reason"]) == {
        "close_outside_range": 59, "copied_holiday": 7, "bad_price": 3, "not_a_session": 1,
    }  # fmt: skip
    assert set(checked.quarantined.loc[checked.quarantined["reason"] == "copied_holiday", "symbol"]) == {"AOH.AX"}
    assert checked.faults == ()
    found = doubt(checked.good, checked.good.iloc[:0], PriceQuality(), lambda _symbols: {}, frozenset(), {})
    assert [(fault.kind, fault.first) for fault in found.faults] == [("partial_day", date(2026, 1, 2))]


def _vintage(path: Path) -> pd.DataFrame:
    bars = pd.read_parquet(path / "ohlcv.parquet")
    bars.columns = [name.lower() for name in bars.columns]
    return bars.assign(session=pd.to_datetime(bars["date"]))


def test_two_vintages_differ_by_eleven_splits_four_spin_offs_and_dividends(reference_data: Path) -> None:
    old, new = _vintage(reference_data / "sp500_2018_2023"), _vintage(reference_data / "nasdaq100_2018_2026")
    names = set(old["symbol"]) & set(new["symbol"])
    found = compare(old[old["symbol"].isin(names)], new).restated
    of_kind = {kind: {s: r for s, r in found.items() if r.kind == kind} for kind in ("split", "spin_off", "dividends")}
    assert len(names) == 74
    assert {symbol: seen.splits[0].ratio for symbol, seen in of_kind["split"].items()} == {
        "PANW": 2, "ODFL": 2, "FAST": 2, "ANET": 4, "CTAS": 4, "NFLX": 10, "NVDA": 10, "LRCX": 10, "AVGO": 10,
        "ORLY": 15, "BKNG": 25,
    }  # fmt: skip
    # All of them are later than the older vintage.
    assert {split.ex_session for seen in of_kind["split"].values() for split in seen.splits} == {None}
    # Spin-offs of Solstice, Arconic, Grail and SanDisk, which the source shows as splits since.
    assert {s: (r.splits[0].ratio, r.splits[0].ex_session) for s, r in of_kind["spin_off"].items()} == {
        "HON": (1.061, None), "HWM": (1.304, date(2020, 4, 1)), "ILMN": (1.028, None), "WDC": (1.323, None),
    }  # fmt: skip
    assert len(of_kind["dividends"]) == len(found) - 15
    # Of the fifteen, those that have paid next to nothing since may come from a source that adjusts for splits alone.
    quiet = {"ANET", "ILMN", "NFLX", "ORLY", "PANW", "WDC"}
    assert {symbol for symbol, seen in found.items() if seen.permitted("split")} == quiet
