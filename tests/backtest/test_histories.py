"""Histories out of the lake: what is believed, in which units, and what is said of the rest."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.histories import lake_history
from scizor_dagster.backtest.model import ActionKind
from scizor_dagster.errors import InputError, PriceUnavailable
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.bar_store import Origin, store_bars
from tests.market_data.support import NOW, XNYS, bars_frame, flat_bars, new_lake

SESSIONS = XNYS.sessions(date(2023, 12, 27), date(2024, 1, 5))
A, B = (Instrument(name, "XNYS", "USD") for name in ("A", "B"))


@pytest.fixture
def lake(tmp_path):
    made = new_lake(tmp_path)
    yield made
    made.close()


def put(lake, frame, adjustment="raw", synthetic=False):
    with lake.write() as cursor:
        store_bars(cursor, frame, Origin("us", adjustment, synthetic, "x", NOW))


def act(lake, *rows):
    names = ["symbol", "ex_session", "kind", "ratio", "amount", "currency", "new_symbol"]
    frame = pd.DataFrame(list(rows), columns=names).assign(market="us", source="x", fetched_at=NOW)
    with lake.write() as cursor:
        append_rows(cursor, "corporate_actions", frame)


def read(lake, *instruments, kind=None, sessions=SESSIONS):
    return lake_history(lake, "us", sessions, {item.symbol: item for item in instruments or (A, B)}, "USD", kind)


def test_every_session_has_a_row_and_every_instrument_with_bars_a_column_across_a_year(lake):
    put(lake, flat_bars(["A", "B"], SESSIONS))
    put(lake, flat_bars(["C"], SESSIONS[:2]))
    history = read(lake, A, B, Instrument("Z", "XNYS", "USD"))
    assert history.sessions == tuple(SESSIONS)
    assert [item.symbol for item in history.instruments] == ["A", "B"]
    assert (history.adjustment, history.currency, history.source) == ("raw", "USD", "lake: market us")
    np.testing.assert_allclose(history.close[:, 0], [10 + 0.01 * i for i in range(len(SESSIONS))])
    np.testing.assert_allclose(history.high - history.close, 0.5)
    assert (history.volume == 1000).all()
    assert history.notes == (f"No prices from {SESSIONS[0]} to {SESSIONS[-1]}: Z.",)


def test_a_missing_bar_is_nan_in_every_array(lake):
    frame = flat_bars(["A", "B"], SESSIONS)
    put(lake, frame[~((frame["symbol"] == "B") & (frame["session"] == pd.Timestamp(SESSIONS[2])))])
    history = read(lake)
    for values in (history.open, history.high, history.low, history.close, history.volume):
        assert np.argwhere(np.isnan(values)).tolist() == [[2, 1]]


def test_a_bar_of_a_day_that_is_no_session_of_the_history_is_not_in_it(lake):
    put(lake, flat_bars(["A"], SESSIONS))
    history = read(lake, A, sessions=SESSIONS[:2] + SESSIONS[3:])
    np.testing.assert_allclose(history.close[:, 0], [10.0, 10.01, *[10 + 0.01 * i for i in range(3, len(SESSIONS))]])


def test_quarantined_prices_are_not_used_and_are_named(lake):
    put(lake, flat_bars(["A"], SESSIONS[:-1]))
    row = {"market": "us", "symbol": "A", "session": SESSIONS[-1], "close": 1000.0, "reason": "jump", "source": "x"}
    with lake.write() as cursor:
        append_rows(cursor, "quarantined_bars", pd.DataFrame([{**row, "fetched_at": NOW}]))
    history = read(lake, A)
    assert np.isnan(history.close[-1, 0])
    assert f"1 prices are quarantined and not used: A ({SESSIONS[-1]})." in history.notes


def test_actions_of_raw_prices_come_along_in_the_order_in_which_they_happen(lake):
    put(lake, flat_bars(["A", "B"], SESSIONS))
    act(
        lake,
        ("A", SESSIONS[0], "dividend", None, 9.0, "USD", None),
        ("A", SESSIONS[2], "dividend", None, 0.5, "USD", None),
        ("A", SESSIONS[2], "dividend", None, 0.5, "USD", None),
        ("A", SESSIONS[2], "split", 2.0, None, None, None),
        ("B", date(2024, 1, 1), "delisting", None, None, None, None),
        ("C", SESSIONS[2], "split", 3.0, None, None, None),
    )
    kinds = [(one.row, one.column, str(one.kind), one.value) for one in read(lake).actions]
    assert kinds[:2] == [(2, 0, "split", 2.0), (2, 0, "dividend", 0.5)]
    # The first of January is no session: what happens on it shows in the next one.
    assert (kinds[2][:3], np.isnan(kinds[2][3])) == ((SESSIONS.index(date(2024, 1, 2)), 1, "delisting"), True)


def test_split_adjusted_prices_have_their_splits_and_dividends_are_in_their_units(lake):
    halved = [20.0, 20.0, 10.0, 10.0, 10.0, 10.0, 10.0]
    put(lake, bars_frame([("A", str(day), p, p, p, p, 100.0) for day, p in zip(SESSIONS, halved, strict=True)]))
    act(
        lake,
        ("A", SESSIONS[1], "dividend", None, 1.0, "USD", None),
        ("A", SESSIONS[2], "split", 2.0, None, None, None),
    )
    rebuild_prices(lake, "us", NOW)
    history = read(lake, A, kind="split")
    np.testing.assert_allclose(history.close[:, 0], 10.0)
    np.testing.assert_allclose(history.volume[:3, 0], [200, 200, 100])
    assert [(one.row, str(one.kind), one.value) for one in history.actions] == [(1, "dividend", 0.5)]
    assert "Prices know their splits already" in history.notes[0]
    returns = read(lake, A, kind="total_return")
    np.testing.assert_allclose(returns.close[:2, 0], [9.5, 10.0])
    np.testing.assert_allclose(returns.open, returns.close)
    assert returns.actions == ()


def test_the_least_adjusted_prices_that_all_bars_give_are_taken(lake):
    put(lake, flat_bars(["A"], SESSIONS), "split", synthetic=True)
    history = read(lake, A)
    assert history.adjustment == "split"
    assert history.notes[-1] == "Prices are synthetic: these figures say nothing of any market."
    with pytest.raises(PriceUnavailable, match="gives no raw prices of market 'us', only split ones"):
        read(lake, A, kind="raw")


def test_an_empty_span_is_refused_with_what_to_do(lake):
    with pytest.raises(PriceUnavailable, match="scizor collect history --market us"):
        read(lake)


def test_an_instrument_in_another_currency_is_refused_by_name(lake):
    put(lake, flat_bars(["A"], SESSIONS))
    with pytest.raises(InputError, match=r"in USD, and these are not: BHP \(AUD\)"):
        read(lake, A, Instrument("BHP", "XASX", "AUD"))


def test_what_no_holding_gets_is_said(lake):
    put(lake, flat_bars(["A"], SESSIONS))
    put(lake, flat_bars(["B"], SESSIONS[:3]))
    act(
        lake,
        ("A", SESSIONS[1], "spin_off", 0.1, None, None, "S"),
        ("A", SESSIONS[2], "dividend", None, 0.2, "CAD", None),
        ("B", SESSIONS[3], "rename", None, None, None, "BB"),
    )
    history = read(lake)
    assert [(one.row, one.column, one.kind) for one in history.actions] == [(3, 1, ActionKind.DELISTING)]
    text = " ".join(history.notes)
    assert f"of which nothing is paid: A ({SESSIONS[1]})" in text
    assert f"in another currency, which are not paid: A ({SESSIONS[2]})" in text
    assert f"under the old name, whose holding ends in cash at the last close: B ({SESSIONS[3]})" in text


def test_a_session_in_which_nothing_has_a_price_is_named(lake):
    put(lake, flat_bars(["A"], [day for day in SESSIONS if day != SESSIONS[3]]))
    assert f"1 sessions without any price, in which nothing fills: {SESSIONS[3]}." in read(lake, A).notes


def test_prices_that_end_without_a_reason_are_named(lake):
    put(lake, flat_bars(["A"], SESSIONS))
    put(lake, flat_bars(["B"], SESSIONS[:3]))
    assert f"stays at its last close: B ({SESSIONS[2]})." in read(lake).notes[-1]
