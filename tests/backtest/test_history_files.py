"""Histories out of files: layouts, spellings, what is believed, and errors that name the place."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.history_files import PriceFile, file_history
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.sessions import TradingCalendar

XNYS = TradingCalendar("XNYS")
LONG = """\
Ticker,Date,Open,High,Low,Close,Volume
B,2024-01-03,20,21,19,20.5,100
A,2024-01-02,10,11,9,10.5,100
A,2024-01-03,10,11,9,10.6,100
"""


def write(tmp_path, text, name="prices.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, text, **more):
    return file_history(PriceFile(write(tmp_path, text), **({"calendar": XNYS} | more)))


def test_a_long_file_in_any_order_and_with_usual_headers_is_read(tmp_path):
    history = read(tmp_path, LONG)
    assert history.sessions == (date(2024, 1, 2), date(2024, 1, 3))
    assert [item.id for item in history.instruments] == ["A.XXXX", "B.XXXX"]
    np.testing.assert_array_equal(history.close, [[10.5, np.nan], [10.6, 20.5]])
    np.testing.assert_array_equal(history.volume, [[100, np.nan], [100, 100]])
    assert history.source == "file: prices.csv"


@pytest.mark.parametrize("header", ["date,AAPL,TRUE", ",AAPL,TRUE", "Date,close_AAPL,close_TRUE"])
def test_a_wide_file_of_closes_is_read_with_tickers_that_are_words(tmp_path, header):
    history = read(tmp_path, f"{header}\n2024-01-02,1.5,2\n2024-01-03,,3\n")
    assert [item.symbol for item in history.instruments] == ["AAPL", "TRUE"]
    np.testing.assert_array_equal(history.close, [[1.5, 2], [np.nan, 3]])
    assert (history.open, history.volume) == (None, None)


def test_a_wide_file_may_have_more_than_closes(tmp_path):
    text = "date,close_A,volume_A,close_B\n2024-01-02,1,100,2\n"
    history = read(tmp_path, text)
    np.testing.assert_array_equal(history.volume, [[100, np.nan]])


def test_parquet_says_the_same_as_csv(tmp_path):
    frame = pd.read_csv(write(tmp_path, LONG))
    frame.assign(Date=pd.to_datetime(frame["Date"])).to_parquet(tmp_path / "p.parquet")
    first = read(tmp_path, LONG)
    second = file_history(PriceFile(tmp_path / "p.parquet", calendar=XNYS))
    np.testing.assert_array_equal(first.close, second.close)
    assert first.sessions == second.sessions


def test_without_a_calendar_the_dates_of_the_file_are_the_sessions(tmp_path):
    text = "date,A\n2024-01-05,1\n2024-01-06,2\n2024-01-09,3\n"
    history = read(tmp_path, text, calendar=None)
    assert history.sessions == (date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 9))
    assert "dates of the file are taken for all sessions" in history.notes[0]


def test_with_a_calendar_a_gap_is_a_row_without_prices_and_a_holiday_is_left_out_and_named(tmp_path):
    text = "date,A\n2023-12-29,1\n2024-01-01,1\n2024-01-03,3\n"
    history = read(tmp_path, text)
    assert history.sessions == (date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 3))
    np.testing.assert_array_equal(history.close[:, 0], [1, np.nan, 3])
    assert "Left out, with 1 bar: 1 day of no session of XNYS: 2024-01-01." in history.notes


def test_rows_that_no_bar_can_have_are_left_out_and_named(tmp_path):
    rows = [
        "A,2024-01-02,10,11,9,0,1",
        "A,2024-01-03,10,11,9,12,1",
        "A,2024-01-04,10,9,11,10,1",
        "B,2024-01-02,1,1,1,1,-5",
    ]
    good = "C,2024-01-02,1,1,1,1,1\n"
    history = read(tmp_path, "symbol,date,open,high,low,close,volume\n" + "\n".join(rows) + "\n" + good)
    assert np.isnan(history.close[:, :2]).all()
    assert history.notes[0].startswith("4 prices that no bar can have")
    assert "A (2024-01-03)" in history.notes[0]


def test_a_row_that_stands_twice_counts_once_and_two_that_differ_count_not_at_all(tmp_path):
    rows = "A,2024-01-02,5\nA,2024-01-02,5\nA,2024-01-03,6\nB,2024-01-02,7\nB,2024-01-02,8\nB,2024-01-03,9\n"
    history = read(tmp_path, "symbol,date,close\n" + rows)
    np.testing.assert_array_equal(history.close, [[5, np.nan], [6, 9]])
    text = " ".join(history.notes)
    assert "2 rows say different things of the same bar and are left out: B (2024-01-02)." in text
    assert "Said twice and counted once: 1 bar." in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("symbol,date,close\nA,2024-01-02,5\nA,2024-01-03,five\n", r"prices.csv:3: 'five' in column 'close' is not"),
        ("symbol,date,close\nA,03/04/2024,5\n", r"prices.csv:2: '03/04/2024' in column 'date' is not a session date"),
        ("symbol,date,close\nA,2024-01-02,1\n,2024-01-03,1\n", r"prices.csv:3: '' in column 'symbol' is not a name"),
        ("symbol,date,price_usd\nA,2024-01-02,5\n", r"no column of close \(close, close_price, price\); the file"),
        ("name,when\nA,2\n", r"no column of session"),
        ("date\n2024-01-02\n", r"no column of closes beside"),
        ("date,aapl\n2024-01-02,1\n", r"'aapl' is not a ticker"),
        ("date,A\n2024-01-06,1\n", r"No date of the file is a session of XNYS"),
        ("date,A\n", r"no row is left"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_place(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        read(tmp_path, text)


def test_a_file_is_cut_to_what_is_wanted_and_what_is_not_there_is_named(tmp_path):
    history = read(tmp_path, LONG, symbols=("A", "Z"), first=date(2024, 1, 3))
    assert history.sessions == (date(2024, 1, 3),)
    assert [item.symbol for item in history.instruments] == ["A"]
    assert "No prices in prices.csv: Z." in history.notes


def test_total_return_closes_are_the_adjusted_ones_of_the_file(tmp_path):
    text = "symbol,Date,Open,Close,Adj Close,Volume\nA,2024-01-02,10,10,9,5\n"
    history = read(tmp_path, text, kind="total_return")
    assert (history.close[0, 0], history.open, history.adjustment) == (9, None, "total_return")
    assert history.notes == ()


def test_actions_of_a_file_come_along_and_raw_prices_without_any_say_so(tmp_path):
    assert "No actions are known of these raw prices" in " ".join(read(tmp_path, LONG).notes)
    actions = write(
        tmp_path, "symbol,date,kind,ratio,amount\nA,2024-01-03,dividend,,0.5\nA,2024-01-03,split,2,\n", "a.csv"
    )
    split = LONG.replace("A,2024-01-03,10,11,9,10.6", "A,2024-01-03,5,5.5,4.5,5.3")
    history = read(tmp_path, split, actions=actions)
    assert [(one.row, str(one.kind), one.value) for one in history.actions] == [(1, "split", 2), (1, "dividend", 0.5)]
    assert read(tmp_path, LONG, actions=actions, kind="split").actions[0].kind == "dividend"


@pytest.mark.parametrize(
    ("row", "told"),
    [("A,2024-01-03,merger,,", r"a.csv:2: 'merger' is not a kind"), ("A,2024-01-03,split,,5", r"a.csv:2: .* no ratio")],
)
def test_an_action_that_cannot_be_is_named_with_its_line(tmp_path, row, told):
    actions = write(tmp_path, f"symbol,date,kind,ratio,amount\n{row}\n", "a.csv")
    with pytest.raises(InputError, match=told):
        read(tmp_path, LONG, actions=actions)


def test_a_jump_like_that_of_a_split_is_named(tmp_path):
    history = read(tmp_path, "date,A\n2024-01-02,100\n2024-01-03,25\n")
    assert "Closes that jump as by a split that no action explains: A (2024-01-03, times 0.25)." in history.notes


def test_an_instrument_of_another_currency_than_the_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="--currency"):
        read(tmp_path, LONG, instruments={"A": Instrument("A", "XASX", "AUD")})


def test_a_folder_has_a_file_for_each_symbol_and_one_file_is_of_the_symbol_that_names_it(tmp_path):
    folder = tmp_path / "prices"
    folder.mkdir()
    write(folder, "Date,Open,Close,Adj Close\n2024-01-02,1,2,1.5\n2024-01-03,2,3,2.5\n", "AAA.csv")
    write(folder, "Date,Close,Volume\n2024-01-03,9,100\n", "B.AX.csv")
    history = file_history(PriceFile(folder, calendar=XNYS))
    assert [item.symbol for item in history.instruments] == ["AAA", "B.AX"]
    np.testing.assert_array_equal(history.close, [[2, np.nan], [3, 9]])
    np.testing.assert_array_equal(history.open, [[1, np.nan], [2, np.nan]])
    alone = file_history(PriceFile(folder / "AAA.csv", kind="total_return", calendar=XNYS))
    np.testing.assert_array_equal(alone.close, [[1.5], [2.5]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder has no file of prices"):
        file_history(PriceFile(tmp_path / "empty"))
    with pytest.raises(InputError, match="'prices' is not a ticker"):
        read(tmp_path, "Date,Close\n2024-01-02,1\n")


def test_columns_of_dividends_and_splits_beside_the_prices_are_actions(tmp_path):
    text = "symbol,Date,Close,Dividends,Stock Splits\nA,2024-01-02,10,0.0,0.0\nA,2024-01-03,5,0.5,2.0\n"
    assert [(one.row, str(one.kind), one.value) for one in read(tmp_path, text).actions] == [
        (1, "split", 2),
        (1, "dividend", 0.5),
    ]
    assert [str(one.kind) for one in read(tmp_path, text, kind="split").actions] == ["dividend"]
    assert read(tmp_path, text, kind="total_return").actions == ()
    (note,) = read(tmp_path, text).notes
    assert "beside the prices are applied to holdings" in note
    assert read(tmp_path, text.replace("0.5,2.0", "0.0,0.0")).notes == ()


@pytest.mark.parametrize(("ratio", "closes"), [(2.0, (10, 10.3)), (0.1, (10, 9)), (4.0, (10, 6))])
def test_raw_prices_that_do_not_move_with_a_split_would_count_it_twice_and_are_refused(tmp_path, ratio, closes):
    head, rows = "symbol,Date,Close,Stock Splits", f"A,2024-01-02,{closes[0]},0\nA,2024-01-04,{closes[1]},{ratio}"
    with pytest.raises(InputError, match=r"split of A on 2024-01-04, .* is not in the closes.*--kind split"):
        read(tmp_path, f"{head}\n{rows}\n")
    assert read(tmp_path, f"{head}\n{rows}\n", kind="split").actions == ()
    fallen = rows.replace(f",{closes[1]},", f",{closes[0] / ratio:g},")
    assert len(read(tmp_path, f"{head}\n{fallen}\n").actions) == 1


def test_a_small_split_and_one_without_a_close_around_it_are_believed(tmp_path):
    text = "symbol,Date,Close,Stock Splits\nA,2024-01-02,10,0\nA,2024-01-03,10,1.05\nB,2024-01-03,7,3\n"
    assert [one.value for one in read(tmp_path, text).actions] == [1.05, 3.0]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (("3/12/2004", "3/15/2004"), (date(2004, 3, 12), date(2004, 3, 15))),
        (("12/03/2004", "15/03/2004"), (date(2004, 3, 12), date(2004, 3, 15))),
    ],
)
def test_dates_with_slashes_are_read_where_the_column_shows_which_number_is_the_month(tmp_path, days, expected):
    assert read(tmp_path, f"Date,A\n{days[0]},1\n{days[1]},2\n").sessions == expected


@pytest.mark.parametrize("days", [("3/11/2004", "3/12/2004"), ("3/15/2004", "15/3/2004"), ("3/15/2004", "2004-03-16")])
def test_dates_with_slashes_that_could_be_others_are_refused_with_the_way_to_write_them(tmp_path, days):
    with pytest.raises(InputError, match=r"is not a session date.*2004-03-13"):
        read(tmp_path, f"Date,A\n{days[0]},1\n{days[1]},2\n")


def test_a_day_that_no_month_has_is_refused_with_slashes_too(tmp_path):
    with pytest.raises(InputError, match="'2/30/2004' in column 'Date' is not a session date"):
        read(tmp_path, "Date,A\n2/20/2004,1\n2/30/2004,2\n")


@pytest.mark.reference_data
def test_the_real_s_and_p_file_is_read_with_its_repeated_holidays_left_out(reference_data):
    path = reference_data / "sp500_2018_2023" / "ohlcv.parquet"
    history = file_history(PriceFile(path, kind="split", calendar=XNYS))
    assert history.close.shape == (len(XNYS.sessions(date(2018, 1, 2), date(2023, 6, 29))), 501)
    assert "with 1001 bars: 1 day" in " ".join(history.notes) or "with 1001 bars: 2 days" in " ".join(history.notes)
    assert int((~np.isnan(history.close)).sum()) <= 687592 - 1001
