"""Prices from files: mapped, dated, filtered, and refused by line."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from time import perf_counter

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.config import FilesProvider, Market
from scizor_dagster.errors import InputError
from scizor_dagster.market_data.factory import open_provider
from scizor_dagster.market_data.files import FilesMarket
from scizor_dagster.market_data.sample import SampleMarket
from scizor_dagster.sessions import TradingCalendar
from tests.market_data.support import NOW, XNYS, bars_frame, flat_bars, market

HEADER = "symbol,session,open,high,low,close,volume\n"
GOOD = "A,2024-01-02,1,2,0.5,1.5,100\nA,2024-01-03,1,2,0.5,1.6,100\nB,2024-01-02,3,4,2.5,3.5,50\n"
FIRST, LAST = date(2024, 1, 1), date(2024, 12, 31)


def _provider(folder, text=None, name="p.csv", calendar=XNYS, **settings):
    if text is not None:
        (folder / name).write_text(text, encoding="utf-8")
    declared = {"type": "files", "path": name, "format": "csv", "adjustment": "raw"} | settings
    return FilesMarket(FilesProvider(**declared), folder, calendar)


def _bars(provider, symbols=("A", "B"), first=FIRST, last=LAST, now=NOW):
    frames = list(provider.daily_bars(symbols, first, last, now))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"symbol": [], "session": []})


def _sessions(frame):
    return [stamp.date().isoformat() for stamp in frame["session"]]


def test_a_long_csv_gives_the_asked_symbols_and_sessions(tmp_path):
    provider = _provider(tmp_path, HEADER + GOOD)
    frame = _bars(provider, ["A"], date(2024, 1, 3), LAST)
    expected = bars_frame([("A", "2024-01-03", 1.0, 2.0, 0.5, 1.6, 100.0)])
    pd.testing.assert_frame_equal(frame, expected)
    assert (provider.name, provider.adjustment, provider.synthetic) == ("files:p.csv", "raw", False)


def test_columns_are_mapped_from_our_names_to_the_files(tmp_path):
    text = "Ticker,Date,o,h,l,c,v,extra\n" + "A,2024-01-02,1,2,0.5,1.5,100,x\n"
    names = {"symbol": "Ticker", "session": "Date", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    assert _bars(_provider(tmp_path, text, columns=names))["close"].tolist() == [1.5]


def test_tickers_that_look_like_other_types_survive_a_csv(tmp_path):
    text = HEADER + "".join(f"{s},2024-01-02,1,1,1,1,1\n" for s in ("TRUE", "NA", "1E5", "007"))
    provider = _provider(tmp_path, text)
    assert sorted(_bars(provider, ["TRUE", "NA", "1E5", "007"])["symbol"]) == ["007", "1E5", "NA", "TRUE"]


def test_one_file_per_symbol_takes_the_symbol_from_the_file_name(tmp_path):
    folder = tmp_path / "daily"
    folder.mkdir()
    bars = flat_bars(["A"], [date(2024, 1, 2)])
    for symbol in ("A", "BRK.B"):
        bars.drop(columns="symbol").to_parquet(folder / f"{symbol}.parquet")
    provider = _provider(tmp_path, name="daily", layout="per_symbol", format="parquet")
    assert set(_bars(provider, ["A", "BRK.B", "C", "../p"])["symbol"]) == {"A", "BRK.B"}
    assert {symbol: len(found) for symbol, found in provider.lookup(["A", "C"]).items()} == {"A": 1, "C": 0}


def test_a_near_miss_is_no_match(tmp_path):
    provider = _provider(tmp_path, HEADER + GOOD)
    found = provider.lookup(["A", "a", "AA"])
    assert {symbol: len(matches) for symbol, matches in found.items()} == {"A": 1, "a": 0, "AA": 0}


@pytest.mark.parametrize(
    ("written", "session"),
    [
        ("2024-01-03", "2024-01-03"),
        ("20240103", "2024-01-03"),
        ("2024-01-03 00:00:00", "2024-01-03"),
        ("2024-01-03T00:00:00-05:00", "2024-01-03"),
        ("2024-01-03T05:00:00Z", "2024-01-03"),
        ("2024-01-03T00:00:00Z", "2024-01-03"),
        ("2024-01-04T02:00:00+00:00", "2024-01-03"),
    ],
)
def test_every_way_to_write_a_day_becomes_the_session_in_exchange_time(tmp_path, written, session):
    assert _sessions(_bars(_provider(tmp_path, HEADER + f"A,{written},1,1,1,1,1\n"))) == [session]


def test_local_midnight_in_sydney_is_that_day_in_summer_and_winter(tmp_path):
    days = ("2024-01-03 00:00:00+11:00", "2024-07-03 00:00:00+10:00")
    text = HEADER + "".join(f"A,{day},1,1,1,1,1\n" for day in days)
    provider = _provider(tmp_path, text, calendar=TradingCalendar("XASX"))
    now = datetime(2024, 12, 1, tzinfo=UTC)
    assert _sessions(_bars(provider, now=now)) == ["2024-01-03", "2024-07-03"]


@pytest.mark.parametrize("written", ["2024-01-03 16:00:00", "03/01/2024", "1704240000", "", "NaT"])
def test_a_day_that_would_be_a_guess_is_refused_by_line(tmp_path, written):
    provider = _provider(tmp_path, HEADER + "A,2024-01-02,1,1,1,1,1\n\n" + f"A,{written},1,1,1,1,1\n")
    with pytest.raises(InputError, match="not a session date") as caught:
        _bars(provider)
    assert caught.value.where == f"{tmp_path / 'p.csv'}:4"


@pytest.mark.parametrize("value", ["abc", "1,5", "1_000", "$3"])
def test_a_value_that_is_no_number_is_refused_by_line(tmp_path, value):
    provider = _provider(tmp_path, HEADER + GOOD + f'B,2024-01-03,1,1,1,"{value}",1\n')
    with pytest.raises(InputError, match="is not a number") as caught:
        _bars(provider)
    assert caught.value.where == f"{tmp_path / 'p.csv'}:5"
    assert value in caught.value.problem


def test_an_empty_price_is_missing_and_not_zero(tmp_path):
    frame = _bars(_provider(tmp_path, HEADER + "A,2024-01-02,1,2,0.5,,100\n"))
    assert np.isnan(frame["close"]).tolist() == [True]


def test_a_blank_symbol_is_refused_by_line(tmp_path):
    with pytest.raises(InputError, match="is not a name") as caught:
        _bars(_provider(tmp_path, HEADER + GOOD + " ,2024-01-02,1,1,1,1,1\n"))
    assert caught.value.where == f"{tmp_path / 'p.csv'}:5"


def test_a_missing_column_is_named_with_what_is_there(tmp_path):
    provider = _provider(tmp_path, "symbol,session,open,high,low,last,volume\n")
    with pytest.raises(InputError, match=r"'close' \(for close\); it has symbol, session, open, high, low, last"):
        _bars(provider)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (HEADER + "A,2024-01-02,1,2\n", "cannot be read as CSV"),
        ("symbol,symbol,session\n", "symbol stand twice"),
    ],
)
def test_a_broken_csv_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        _bars(_provider(tmp_path, text))


def test_a_missing_file_and_folder_and_a_false_parquet_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        _bars(_provider(tmp_path, name="none.csv"))
    with pytest.raises(InputError, match="folder does not exist"):
        _bars(_provider(tmp_path, name="none", layout="per_symbol"))
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        _bars(_provider(tmp_path, "no parquet", name="p.parquet", format="parquet"))
    with pytest.raises(InputError, match="declared as parquet"):
        _bars(_provider(tmp_path, HEADER, format="parquet"))


def test_bars_of_sessions_that_have_not_closed_are_left_out(tmp_path):
    provider = _provider(tmp_path, HEADER + GOOD)
    assert _sessions(_bars(provider, now=datetime(2024, 1, 3, 20, 59, tzinfo=UTC))) == ["2024-01-02", "2024-01-02"]


def test_a_changed_file_is_read_anew(tmp_path):
    provider = _provider(tmp_path, HEADER + GOOD)
    assert len(_bars(provider)) == 3
    path = tmp_path / "p.csv"
    path.write_text(HEADER + "A,2024-01-02,9,9,9,9,9\n", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert _bars(provider)["close"].tolist() == [9.0]


def test_the_latest_price_carries_the_close_of_its_session(tmp_path):
    text = HEADER + GOOD + "A,2024-01-06,9,9,9,9,9\nB,2024-01-03,1,1,1,,1\n"
    prices = _provider(tmp_path, text).latest_prices(["A", "B", "C"], NOW)
    assert [(p.symbol, p.price, p.at) for p in prices] == [
        ("A", Decimal("1.6"), XNYS.close_at(date(2024, 1, 3))),
        ("B", Decimal("3.5"), XNYS.close_at(date(2024, 1, 2))),
    ]


def test_actions_come_from_their_own_file(tmp_path):
    (tmp_path / "actions.csv").write_text(
        "symbol,ex,kind,ratio,amount,currency\nA,2024-01-03,split,2,,\nB,2024-01-04,dividend,,0.25,USD\n"
    )
    provider = _provider(tmp_path, HEADER + GOOD, actions="actions.csv", actions_columns={"ex_session": "ex"})
    frame = provider.corporate_actions(["A", "B"], FIRST, LAST)
    assert frame[["symbol", "kind"]].to_numpy().tolist() == [["A", "split"], ["B", "dividend"]]
    assert (frame["ratio"][0], frame["amount"][1], frame["currency"][1]) == (2.0, 0.25, "USD")
    assert len(provider.corporate_actions(["A"], date(2024, 1, 4), LAST)) == 0


def test_an_unknown_kind_of_action_is_refused_by_line(tmp_path):
    (tmp_path / "actions.csv").write_text("symbol,ex_session,kind\nA,2024-01-03,split\nA,2024-01-04,merger\n")
    provider = _provider(tmp_path, HEADER + GOOD, actions="actions.csv")
    with pytest.raises(InputError, match="'merger'") as caught:
        provider.corporate_actions(["A"], FIRST, LAST)
    assert caught.value.where == f"{tmp_path / 'actions.csv'}:3"


def test_no_actions_file_means_no_actions(tmp_path):
    frame = _provider(tmp_path, HEADER + GOOD).corporate_actions(["A"], FIRST, LAST)
    assert (len(frame), "ratio" in frame.columns) == (0, True)


def test_the_factory_opens_what_the_configuration_names(tmp_path, project_root):
    (tmp_path / "p.csv").write_text(HEADER + GOOD)
    settings = FilesProvider(type="files", path="p.csv", format="csv", adjustment="raw")
    named = market().model_copy(update={"provider": settings})
    assert isinstance(open_provider("us", named, tmp_path, tmp_path), FilesMarket)
    sample = Market(**(market().model_dump() | {"universes": ("universes/etf52.csv",)}))
    opened = open_provider("us", sample, project_root / "config", tmp_path)
    assert isinstance(opened, SampleMarket)
    assert opened.synthetic


def test_the_real_sp500_file_loads_and_one_session_of_it_is_fast_when_warm(reference_data):
    settings = FilesProvider(
        type="files", path="sp500_2018_2023/ohlcv.parquet", columns={"session": "date"}, adjustment="split"
    )
    provider = FilesMarket(settings, reference_data, XNYS)
    symbols = pd.read_parquet(reference_data / settings.path, columns=["symbol"])["symbol"].unique().tolist()
    whole = _bars(provider, symbols, date(2018, 1, 1), date(2023, 12, 31))
    assert (len(whole), whole["symbol"].nunique()) == (687_592, 501)
    assert whole["session"].min() == pd.Timestamp("2018-01-02")
    started = perf_counter()
    session = _bars(provider, symbols, date(2020, 3, 2), date(2020, 3, 2))
    assert perf_counter() - started < 0.15
    assert len(session) == 496
    apple = session[session["symbol"] == "AAPL"].iloc[0]
    assert apple["close"] == pytest.approx(74.7024993896484)
