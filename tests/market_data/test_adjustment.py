"""The view `prices`: three kinds of price side by side, each only where it is known."""

import zipfile
from datetime import date

import pandas as pd
import pytest

from scizor_dagster.market_data.bar_store import Origin, insert_missing
from scizor_dagster.market_data.collect import (
    collect_actions,
    collect_history,
    collect_session,
    collect_symbols,
    rebuild_prices,
)
from tests.market_data.support import (
    NOW,
    XNYS,
    FrameMarket,
    actions_frame,
    bars_frame,
    entry,
    flat_bars,
    market,
    rows,
)

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 8))
FIRST, LAST = date(2000, 1, 1), date(2030, 1, 1)


def _fill(lake, closes, actions=(), adjustment="raw", currency="USD"):
    """Bars of A with these closes from 2024-01-02 on, and actions."""
    frame = bars_frame([("A", day, c, c, c, c, 100.0) for day, c in zip(SESSIONS, closes, strict=False)])
    provider = FrameMarket(frame, actions_frame(actions), adjustment)
    named = market().model_copy(update={"currency": currency})
    collect_symbols(lake, "us", named, [entry("A", currency=currency)], provider, NOW)
    collect_actions(lake, "us", named, provider, ["A"], FIRST, LAST, NOW)
    collect_history(lake, "us", named, provider, XNYS, ["A"], 2024, 2024, NOW)
    return rebuild_prices(lake, "us", NOW)


def _prices(lake, columns):
    return rows(lake, f"SELECT {columns} FROM prices ORDER BY session")


def test_raw_split_and_total_return_prices_stand_side_by_side(lake):
    actions = [
        ("A", "2024-01-03", "split", 2.0, None, None, None),
        ("A", "2024-01-04", "dividend", None, 1.0, "USD", None),
    ]
    report = _fill(lake, [100.0, 50.0, 49.0, 49.0], actions)
    assert (report.symbols, report.factors, report.skipped) == (1, 3, ())
    expected = [
        (100.0, 50.0, 49.0, 200.0),
        (50.0, 50.0, 49.0, 100.0),
        (49.0, 49.0, 49.0, 100.0),
        (49.0,) * 3 + (100.0,),
    ]
    found = _prices(lake, "raw_close, split_close, total_return_close, split_volume")
    assert found == [pytest.approx(row) for row in expected]


def test_a_rebuild_without_news_writes_nothing(lake):
    _fill(lake, [100.0, 50.0], [("A", "2024-01-03", "split", 2.0, None, None, None)])
    snapshot = lake.snapshot()
    assert rebuild_prices(lake, "us", NOW).changed is False
    assert lake.snapshot() == snapshot


def test_an_announced_split_waits_for_its_session(lake):
    actions = [("A", "2024-01-04", "split", 2.0, None, None, None)]
    _fill(lake, [100.0, 100.0], actions)
    assert _prices(lake, "split_close") == [(100.0,), (100.0,)]
    _fill(lake, [100.0, 100.0, 50.0], actions)
    assert _prices(lake, "split_close") == [(50.0,), (50.0,), (50.0,)]


def test_a_split_adjusted_source_has_no_raw_prices_and_its_splits_count_once(lake):
    actions = [
        ("A", "2024-01-03", "split", 2.0, None, None, None),
        ("A", "2024-01-04", "dividend", None, 1.0, "USD", None),
    ]
    _fill(lake, [50.0, 50.0, 49.0], actions, adjustment="split")
    assert _prices(lake, "raw_open, raw_high, raw_low, raw_close") == [(None,) * 4] * 3
    assert _prices(lake, "split_close, total_return_close, adjustment") == [
        (50.0, pytest.approx(49.0), "split"), (50.0, pytest.approx(49.0), "split"), (49.0, 49.0, "split"),
    ]  # fmt: skip


def test_a_total_return_source_has_only_total_return_prices(lake):
    actions = [("A", "2024-01-03", "split", 2.0, None, None, None)]
    _fill(lake, [49.0, 49.0], actions, adjustment="total_return")
    assert _prices(lake, "raw_close, split_close, total_return_close") == [(None, None, 49.0)] * 2


def test_a_dividend_in_another_currency_is_reported_and_not_used(lake):
    report = _fill(lake, [100.0, 99.0], [("A", "2024-01-03", "dividend", None, 1.0, "CAD", None)])
    assert [each.reason for each in report.skipped] == ["it pays in CAD, the price is in USD"]
    assert _prices(lake, "total_return_close") == [(100.0,), (99.0,)]


def test_a_dividend_before_the_first_bar_is_reported(lake):
    report = _fill(lake, [100.0], [("A", "2024-01-02", "dividend", None, 1.0, "USD", None)])
    assert [(each.symbol, each.ex_session) for each in report.skipped] == [("A", date(2024, 1, 2))]


def test_a_symbol_collected_after_the_rebuild_has_no_adjusted_price_until_the_next(lake):
    _fill(lake, [100.0])
    provider = FrameMarket(flat_bars(["Z"], SESSIONS))
    collect_session(lake, "us", market(), provider, XNYS, ["Z"], SESSIONS[0], NOW)
    query = "SELECT raw_close, split_close FROM prices WHERE symbol = 'Z'"
    assert rows(lake, query) == [(10.0, None)]
    rebuild_prices(lake, "us", NOW)
    assert rows(lake, query) == [(10.0, 10.0)]


def test_factors_of_one_market_leave_another_alone(lake):
    _fill(lake, [100.0, 50.0], [("A", "2024-01-03", "split", 2.0, None, None, None)])
    collect_session(lake, "other", market(), FrameMarket(flat_bars(["A"], SESSIONS)), XNYS, ["A"], SESSIONS[0], NOW)
    rebuild_prices(lake, "other", NOW)
    assert rows(lake, "SELECT market, split_close FROM prices WHERE session = '2024-01-02' ORDER BY 1") == [
        ("other", 10.0), ("us", 50.0),
    ]  # fmt: skip


def test_apples_factors_of_2020_agree_with_an_independent_factor_file(lake, reference_data):
    folder = reference_data / "lean_raw_with_actions"
    with zipfile.ZipFile(folder / "daily" / "aapl.zip") as archive, archive.open("aapl.csv") as lines:
        raw = pd.read_csv(lines, header=None, names=["time", "open", "high", "low", "close", "volume"], dtype=str)
    raw = raw[raw["time"].str[:4] == "2020"]
    frame = bars_frame(
        [
            ("AAPL", f"{r.time[:4]}-{r.time[4:6]}-{r.time[6:8]}", *(float(v) / 1e4 for v in r[2:6]), float(r.volume))
            for r in raw.itertuples()
        ]
    )
    paid = [("2020-02-07", 0.77), ("2020-05-08", 0.82), ("2020-08-07", 0.82), ("2020-11-06", 0.205)]
    actions = [("AAPL", day, "dividend", None, amount, "USD", None) for day, amount in paid]
    actions.append(("AAPL", "2020-08-31", "split", 4.0, None, None, None))
    provider = FrameMarket(frame, actions_frame(actions))
    lately = market(date(2020, 1, 2))
    collect_actions(lake, "us", lately, provider, ["AAPL"], FIRST, LAST, NOW)
    assert collect_history(lake, "us", lately, provider, XNYS, ["AAPL"], 2020, 2020, NOW).gaps == 0
    rebuild_prices(lake, "us", NOW)
    reference = pd.read_csv(folder / "factor_files" / "aapl.csv", names=["date", "price", "split", "close"])
    end_of_2020 = reference.loc[reference["date"] == 20210204].iloc[0]
    for row in reference[reference["date"].between(20200101, 20201231)].itertuples():
        day = f"{str(row.date)[:4]}-{str(row.date)[4:6]}-{str(row.date)[6:]}"
        ratios = "raw_close, split_close / raw_close, total_return_close / raw_close"
        ((close, split, total),) = rows(lake, f"SELECT {ratios} FROM prices WHERE session = '{day}'")
        assert close == pytest.approx(row.close)
        assert split == pytest.approx(row.split / end_of_2020["split"])
        # The reference states its price factor to seven decimals and dividends to the cent.
        assert total == pytest.approx(row.price * row.split / (end_of_2020["price"] * end_of_2020["split"]), rel=2e-5)


def test_a_spin_off_is_paid_out_in_the_new_shares_first_close_and_named_where_that_is_not_known(lake):
    spin_off = ("A", "2024-01-04", "spin_off", 0.5, None, None, "N")
    report = _fill(lake, [100.0, 100.0, 90.0, 90.0], [spin_off])
    assert [(item.symbol, item.reason) for item in report.skipped] == [
        ("A", "spin_off of N, whose price then is not stored")
    ]
    assert _prices(lake, "total_return_close") == [(100.0,), (100.0,), (90.0,), (90.0,)]
    with lake.write() as cursor:
        new = bars_frame([("N", SESSIONS[2], 20.0, 20.0, 20.0, 20.0, 1.0)])
        insert_missing(cursor, new, Origin("us", "raw", False, "frame", NOW))
    assert rebuild_prices(lake, "us", NOW).skipped == ()
    closes = rows(lake, "SELECT total_return_close, split_close FROM prices WHERE symbol = 'A' ORDER BY session")
    assert closes == [pytest.approx(row) for row in [(90, 100), (90, 100), (90, 90), (90, 90)]]
