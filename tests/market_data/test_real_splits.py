"""Every split of two years of the ASX is found where the history before it is stored on the old basis.

Mostly consolidations of penny shares, thinly traded: prices of a tenth of a cent, days without volume.
"""

from datetime import date

import pandas as pd
import pytest

from scizor_dagster.market_data.overlap import compare

PRICES = ["open", "high", "low", "close"]
SPLITS = [
    ("1AD", "2025-12-02", 1 / 10), ("1AD", "2025-12-09", 1 / 10), ("5EA", "2025-02-18", 1 / 23),
    ("88E", "2025-05-08", 1 / 25), ("AD1", "2024-11-06", 1 / 10), ("ADD", "2025-07-01", 1 / 20),
    ("AEL", "2025-11-11", 1 / 11), ("AEU", "2024-08-28", 1 / 25), ("AII", "2025-07-08", 2 / 3),
    ("AMA", "2025-11-05", 1 / 10), ("AMD", "2025-01-06", 1 / 20), ("AMU", "2025-08-18", 1 / 40),
    ("AOH", "2025-03-20", 1 / 5), ("APC", "2024-11-29", 1 / 40), ("ARI", "2024-09-13", 1 / 10),
    ("AZ9", "2024-03-27", 0.86), ("AZI", "2025-12-12", 1 / 50), ("AZY", "2025-02-25", 1 / 10),
    ("CYB", "2024-06-04", 1 / 10), ("QBE", "2025-08-19", 1.014506), ("SUN", "2025-02-17", 0.8511),
]  # fmt: skip

NEVER_TRADED = {"AEU", "AZ9"}
"""Without any volume before the split: its series is fetched anew, and nothing says that the factor is a split."""


@pytest.fixture(scope="module")
def asx(reference_data):
    table = pd.read_parquet(reference_data / "asx_2024_2026" / "ohlcv.parquet").rename(columns=str.lower)
    table["session"] = pd.to_datetime(table["date"].str[:10]).astype("datetime64[s]")
    table["symbol"] = table["symbol"].str.removesuffix(".AX")
    return table


def test_the_list_holds_every_split_of_the_data(asx):
    found = asx[asx["stock splits"] != 0]
    days = [(symbol, str(stamp.date())) for symbol, stamp in zip(found["symbol"], found["session"], strict=True)]
    assert sorted(days) == sorted((symbol, day) for symbol, day, _ratio in SPLITS)
    listed = {(symbol, day): ratio for symbol, day, ratio in SPLITS}
    ratios = [listed[key] for key in days]
    assert found["stock splits"].tolist() == pytest.approx(ratios, rel=1e-4)


@pytest.mark.parametrize(("symbol", "day", "ratio"), SPLITS)
def test_the_split_is_found_with_its_ratio(asx, symbol, day, ratio):
    fetched = asx[(asx["symbol"] == symbol) & asx[PRICES].gt(0).all(axis=1)]
    before = fetched["session"] < pd.Timestamp(date.fromisoformat(day))
    stored = fetched[before].copy()
    stored[PRICES] *= ratio
    stored["volume"] = (stored["volume"] / ratio).round()
    found = compare(stored, fetched).restated[symbol]
    if symbol in NEVER_TRADED:
        assert (found.kind, found.factor) == ("price_factor", pytest.approx(1 / ratio))
    else:
        assert [(split.ratio, split.ex_session) for split in found.splits] == [(pytest.approx(ratio, rel=2e-3), None)]
    assert found.permitted("split")
    # The few sessions of a daily overlap are enough to fetch the series anew, even where none of them traded.
    assert list(compare(stored.tail(5), fetched).restated) == [symbol]
