"""Raw prices and actions of an independent source give its own adjusted prices, for every symbol and day.

LEAN's factor files state, for the last session before each event, the factors of prices and the raw close. The actions
are worked out from them, go through the lake like any provider's, and the views are compared with raw times factors.

Four of the daily files hold another series than their factor file, by that file's own reference closes: `bac` before
September 1998 and `wm` before its rename in 2009 are other companies, `qqq` lacks 2004 to 2011, `nwsa` has two bars.
Total returns are compared from there on; splits, and the other eleven symbols, from the first day.
"""

import zipfile
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.market_data.collect import collect_actions, collect_history, rebuild_prices
from scizor_dagster.market_data.reading import prices
from tests.market_data.support import XNYS, FrameMarket, actions_frame, market, new_lake

NOW = datetime(2021, 4, 2, tzinfo=UTC)
FIRST, LAST = date(1998, 1, 2), date(2021, 3, 31)
COMPARABLE = {"bac": date(1998, 9, 2), "qqq": date(2011, 3, 18), "wm": date(2009, 5, 28), "nwsa": LAST}
PRICES = ["open", "high", "low", "close"]


def _day(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def _daily(path: Path) -> pd.DataFrame:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as lines:
        bars = pd.read_csv(lines, header=None, names=["session", *PRICES, "volume"])
    bars["session"] = pd.to_datetime(bars["session"].str[:8]).astype("datetime64[s]")
    bars[PRICES] /= 10_000
    bars.insert(0, "symbol", path.stem)
    return bars.astype({"volume": "float64"})


def _factors(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, names=["day", "price", "split", "close"])
    return table.assign(day=[_day(number) for number in table["day"]])


def _actions(symbol: str, table: pd.DataFrame) -> list[tuple]:
    found = []
    for before, after in pairwise(table.itertuples()):
        ex_session = XNYS.next_session(before.day).isoformat()
        ratio, paid = after.split / before.split, 1 - before.price / after.price
        if abs(ratio - 1) > 1e-6:
            found.append((symbol, ex_session, "split", ratio, None, None, None))
        if paid > 1e-9:
            found.append((symbol, ex_session, "dividend", None, before.close / ratio * paid, "USD", None))
    return found


@pytest.fixture(scope="module")
def lean(tmp_path_factory, reference_data: Path):
    folder = reference_data / "lean_raw_with_actions"
    tables = {
        path.stem: _factors(folder / "factor_files" / f"{path.stem}.csv")
        for path in sorted((folder / "daily").glob("*.zip"))
        if (folder / "factor_files" / f"{path.stem}.csv").exists()
    }
    bars = pd.concat([_daily(folder / "daily" / f"{symbol}.zip") for symbol in tables], ignore_index=True)
    provider = FrameMarket(
        bars, actions_frame([row for name, table in tables.items() for row in _actions(name, table)])
    )
    lake = new_lake(tmp_path_factory.mktemp("lean"))
    arguments = (lake, "us", market(FIRST), provider)
    collect_actions(*arguments, list(tables), FIRST, LAST, NOW)
    report = collect_history(*arguments, XNYS, list(tables), FIRST.year, LAST.year, NOW)
    assert (report.inserted, report.quarantined, report.faults) == (65_724, 3, ())
    made = rebuild_prices(lake, "us", NOW)
    yield tables, prices(lake, "us", list(tables), FIRST, LAST), made
    lake.close()


def test_adjusted_prices_are_raw_times_factors_for_every_symbol_and_day(lean):
    tables, found, _made = lean
    assert len(tables) == 15
    compared = 0
    for symbol, table in tables.items():
        own = found[found["symbol"] == symbol]
        days = own["session"].to_numpy()
        at = np.searchsorted(table["day"].to_numpy(), days)
        raw, split, price = own["raw_close"].to_numpy(), table["split"].to_numpy()[at], table["price"].to_numpy()[at]
        np.testing.assert_allclose(own["split_close"], raw * split / split[-1], rtol=1e-12, err_msg=symbol)
        since = days >= COMPARABLE.get(symbol, FIRST)
        expected = raw * price * split / (price[-1] * split[-1])
        np.testing.assert_allclose(own["total_return_close"][since], expected[since], rtol=1e-12, err_msg=symbol)
        compared += int(since.sum())
    assert compared > 58_000


def test_a_dividend_after_years_without_a_bar_is_reported_and_makes_no_factor(lean):
    _tables, _found, made = lean
    reasons = {skipped.reason for skipped in made.skipped if skipped.symbol == "qqq"}
    assert reasons == {"the last close before it is of 2004-11-30"}
