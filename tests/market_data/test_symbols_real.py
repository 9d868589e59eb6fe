"""Real tickers that changed their owners: bars by ticker, and what LEAN's map files say of each.

WM was Washington Mutual, and since 2009-08-05 is Waste Management, which was WMI and before that UW. FB was a bank
until 2003. On 2014-04-03 GOOG's class A went to GOOGL, and class C came to GOOG from GOOCV.
"""

import csv
import zipfile
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.market_data.bar_store import Origin, insert_missing
from scizor_dagster.market_data.collect import collect_actions, collect_symbols
from scizor_dagster.market_data.provider import Listing
from tests.market_data.support import BAR_COLUMNS, FrameMarket, actions_frame, entry, flat_bars, market, rows

NOW = datetime(2021, 3, 31, 22, 0, tzinfo=UTC)
_EDGES = ("1998-07-16", "1998-12-09", "1999-09-29", "2003-03-28", "2004-08-19", "2008-09-26", "2009-08-04",
          "2012-05-18", "2014-03-27", "2014-04-02", "2021-03-31")  # fmt: skip
TICKERS = ("UW", "WMI", "WM", "FB", "GOOCV", "GOOG", "GOOGL")


def _bars(lean: Path) -> pd.DataFrame:
    frames = []
    for ticker in TICKERS:
        name = ticker.lower()
        with zipfile.ZipFile(lean / "daily" / f"{name}.zip") as archive, archive.open(archive.namelist()[0]) as file:
            frame = pd.read_csv(file, header=None, names=list(BAR_COLUMNS[1:]))
        frame["session"] = pd.to_datetime(frame["session"].str[:8]).astype("datetime64[s]")
        frame[["open", "high", "low", "close"]] /= 10_000.0
        frames.append(frame.assign(symbol=ticker, volume=frame["volume"].astype("float64")))
    return pd.concat(frames, ignore_index=True)[list(BAR_COLUMNS)]


def _actions(lean: Path) -> pd.DataFrame:
    """A map file's rows are the last days of tickers; the last row of a company that is gone is its delisting."""
    found = set()
    for name in ("wm", "fb.1", "goog", "googl"):
        with (lean / "map_files" / f"{name}.csv").open(encoding="utf-8") as file:
            lines = [(date.fromisoformat(row[0]), row[1].upper()) for row in csv.reader(file)]
        for (last, old), (_, new) in pairwise(lines[1:]):
            found.add((old, str(last + timedelta(days=1)), "rename", None, None, None, new))
        if lines[-1][0].year < 2050:
            found.add((lines[-1][1], str(lines[-1][0] + timedelta(days=1)), "delisting", None, None, None, None))
    return actions_frame(sorted(found, key=str))


@pytest.fixture(scope="module")
def lean(reference_data: Path) -> Path:
    return reference_data / "lean_raw_with_actions"


@pytest.fixture(scope="module")
def bars(lean: Path) -> pd.DataFrame:
    """Those of the first week of each month, and of the days around a change."""
    whole = _bars(lean)
    near = whole["session"].isin(pd.DatetimeIndex(_EDGES))
    return whole[near | (whole["session"].dt.day < 8)]


def _collect(lake, bars, provider, symbols):
    collect_actions(lake, "us", market(), provider, symbols, date(1998, 1, 1), date(2021, 3, 31), NOW)
    with lake.write() as cursor:
        insert_missing(cursor, bars[bars["symbol"].isin(symbols)], Origin("us", "raw", False, "frame", NOW))
    return collect_symbols(lake, "us", market(), [entry(symbol) for symbol in symbols], provider, NOW)


def test_tickers_with_several_owners_become_one_history_for_each_company_and_no_bar_is_lost(lake, lean, bars):
    provider = FrameMarket(flat_bars([], []), _actions(lean))
    provider.listings = {ticker: (Listing(ticker, ""),) for ticker in TICKERS}
    _collect(lake, bars, provider, TICKERS)
    _collect(lake, bars, provider, TICKERS)
    last = _collect(lake, bars, provider, TICKERS)
    assert (last.renamed, last.reused, last.changed) == ((), (), False)
    stored = rows(lake, "SELECT symbol, count(*), min(session), max(session) FROM bars GROUP BY 1 ORDER BY 1")
    assert {symbol: (first, until) for symbol, _, first, until in stored} == {
        "FB": (date(2012, 5, 18), date(2021, 3, 31)),
        "FB@2003-03-28": (date(1999, 9, 29), date(2003, 3, 28)),
        "GOOCV": (date(2014, 3, 27), date(2014, 4, 2)),
        "GOOG": (date(2014, 3, 27), date(2021, 3, 31)),
        "GOOG@2014-04-02": (date(2004, 8, 19), date(2014, 4, 2)),
        "GOOGL": (date(2004, 8, 19), date(2021, 3, 31)),
        "UW": (date(1998, 1, 2), date(1998, 7, 16)),
        "WM": (date(1998, 1, 2), date(2021, 3, 31)),
        "WM@2009-08-04": (date(1998, 12, 9), date(2008, 9, 26)),
        "WMI": (date(1998, 1, 2), date(2009, 8, 4)),
    }
    of_wm = rows(lake, "SELECT session, close FROM bars WHERE symbol = 'WM' ORDER BY session")
    waste = bars[
        bars["symbol"].isin(["UW", "WMI"]) | ((bars["symbol"] == "WM") & (bars["session"] >= "2009-08-05"))
    ].sort_values("session")
    assert of_wm == list(zip(waste["session"].dt.date, waste["close"], strict=True))
    given = set(zip(bars["session"].dt.date, bars["close"], bars["volume"], strict=True))
    assert set(rows(lake, "SELECT DISTINCT session, close, volume FROM bars")) == given
