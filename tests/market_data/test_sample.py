"""The synthetic market: the same for ever, whatever is asked, and shaped like a market."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.market_data.quality import check_bars
from scizor_dagster.market_data.sample import SampleMarket
from scizor_dagster.market_data.universe import read_universe
from tests.market_data.support import XNYS, entry

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FIRST, LAST = date(2021, 1, 4), date(2026, 11, 20)
SEED = 20260102


@pytest.fixture(scope="module")
def universe(project_root):
    folder = project_root / "config" / "universes"
    return read_universe([folder / "nasdaq105.csv", folder / "etf52.csv"], "us")


def _market(universe, seed=SEED):
    return SampleMarket(universe, XNYS, seed, FIRST)


def _bars(market, symbols, first=FIRST, last=LAST, now=NOW):
    frames = list(market.daily_bars(symbols, first, last, now))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"session": []})


def _symbols(universe):
    return [each.instrument.symbol for each in universe]


@pytest.fixture(scope="module")
def whole(universe):
    market = _market(universe)
    return _bars(market, _symbols(universe)), market.corporate_actions(_symbols(universe), FIRST, LAST)


def test_any_range_gives_the_bars_of_the_whole(universe, whole):
    part = _bars(_market(universe), ["MSFT", "AGG"], date(2023, 5, 3), date(2024, 2, 9))
    bars = whole[0]
    expected = bars[bars["symbol"].isin(["MSFT", "AGG"]) & bars["session"].between("2023-05-03", "2024-02-09")]
    keys = ["symbol", "session"]
    pd.testing.assert_frame_equal(
        part.sort_values(keys).reset_index(drop=True), expected.sort_values(keys).reset_index(drop=True)
    )


def test_a_bar_does_not_depend_on_the_rest_of_the_universe(universe, whole):
    alone = [each for each in universe if each.instrument.symbol == "AMZN"]
    bars = whole[0]
    pd.testing.assert_frame_equal(
        _bars(_market(alone), ["AMZN"]), bars[bars["symbol"] == "AMZN"].reset_index(drop=True)
    )


def test_an_earlier_now_only_shortens_the_market(universe, whole):
    now = datetime(2022, 6, 21, 19, 59, tzinfo=UTC)
    early = _bars(_market(universe), ["NVDA"], now=now)
    bars = whole[0]
    expected = bars[(bars["symbol"] == "NVDA") & (bars["session"] <= "2022-06-17")]
    pd.testing.assert_frame_equal(early, expected.reset_index(drop=True))


def test_a_session_appears_once_its_prices_are_final_and_not_before(universe):
    market, session = _market(universe), date(2026, 11, 20)
    before = _bars(market, ["MSFT"], session, session, datetime(2026, 11, 20, 21, 19, tzinfo=UTC))
    after = _bars(market, ["MSFT"], session, session, datetime(2026, 11, 20, 21, 20, tzinfo=UTC))
    assert (len(before), len(after)) == (0, 1)


def test_another_seed_is_another_market(universe, whole):
    other = _bars(_market(universe, seed=1), ["MSFT"])
    bars = whole[0]
    assert not np.array_equal(other["close"].head(100), bars.loc[bars["symbol"] == "MSFT", "close"].head(100))


def test_every_bar_passes_the_quality_rules_and_sits_on_the_tick(universe, whole):
    checked = check_bars(whole[0], XNYS, NOW, _symbols(universe))
    assert len(checked.quarantined) == 0
    prices = whole[0][["open", "high", "low", "close"]].to_numpy() * 100
    assert np.abs(prices - np.round(prices)).max() < 1e-6


def test_the_market_has_every_kind_of_event(universe, whole):
    bars, actions = whole
    splits = actions[actions["kind"] == "split"]
    assert (splits["ratio"] > 1).sum() >= 20
    assert (splits["ratio"] < 1).sum() >= 1
    assert (actions["kind"] == "dividend").sum() >= 1000
    assert (actions["kind"] == "delisting").sum() == 1
    sessions = len(XNYS.sessions(FIRST, LAST))
    missing = sessions - bars.groupby("symbol").size()
    assert (missing > 0).sum() > 50
    assert bars.groupby("symbol")["volume"].median().min() < 20_000


def test_a_halt_leaves_several_sessions_in_a_row_without_bars(universe, whole):
    bars = whole[0]
    delisted = set(whole[1].loc[whole[1]["kind"] == "delisting", "symbol"])
    grid = bars[~bars["symbol"].isin(delisted)].pivot(index="session", columns="symbol", values="close").isna()
    assert (grid & grid.shift(1, fill_value=False)).any().sum() >= 10


def test_a_delisted_share_has_no_bar_from_its_action_on(whole):
    bars, actions = whole
    row = actions[actions["kind"] == "delisting"].iloc[0]
    of_it = bars[bars["symbol"] == row["symbol"]]
    assert of_it["session"].max() < row["ex_session"]
    assert (actions.loc[actions["symbol"] == row["symbol"], "ex_session"] <= row["ex_session"]).all()


def test_a_split_shows_as_a_jump_of_the_raw_price(whole):
    bars, actions = whole
    closes = bars.pivot(index="session", columns="symbol", values="close")
    moves = []
    for split in actions[actions["kind"] == "split"].itertuples():
        series = closes[split.symbol].loc[: split.ex_session].dropna()
        if series.index[-1] == split.ex_session:
            moves.append(series.iloc[-1] * split.ratio / series.iloc[-2])
    assert len(moves) > 20
    assert np.all(np.abs(np.log(moves)) < 0.3)


def test_shares_move_together_and_more_than_funds_do(universe, whole):
    bars, _actions = whole
    closes = np.log(bars.pivot(index="session", columns="symbol", values="close")).diff()
    returns = closes.where(closes.abs() < 0.25)
    correlation = returns.corr().to_numpy()
    assert 0.2 < np.median(correlation[np.triu_indices_from(correlation, 1)]) < 0.6
    funds = [each.instrument.symbol for each in universe if not each.sector]
    assert returns[funds].std().median() < 0.75 * returns.drop(columns=funds).std().median()


def test_the_last_ten_sessions_have_corporate_actions(whole):
    recent = XNYS.sessions(date(2026, 11, 1), LAST)[-10:]
    assert (whole[1]["ex_session"] >= pd.Timestamp(recent[0])).sum() >= 10


def test_an_unknown_symbol_has_no_listing_bars_price_or_actions(universe):
    market = _market(universe)
    assert market.lookup(["ZZZZ"]) == {"ZZZZ": ()}
    assert len(_bars(market, ["ZZZZ"])) == 0
    assert market.latest_prices(["ZZZZ"], NOW) == ()
    assert market.corporate_actions(["ZZZZ"], FIRST, LAST).empty


def test_the_latest_price_is_the_last_close_at_its_own_time(universe, whole):
    bars, actions = whole
    delisted = actions.loc[actions["kind"] == "delisting", "symbol"].iloc[0]
    for price in _market(universe).latest_prices(["MSFT", delisted], NOW):
        last = bars[bars["symbol"] == price.symbol].iloc[-1]
        assert float(price.price) == last["close"]
        assert price.at == XNYS.close_at(last["session"].date())


def test_a_universe_of_another_exchange_works_too():
    from scizor_dagster.sessions import TradingCalendar

    market = SampleMarket([entry("BHP", currency="AUD", mic="XASX")], TradingCalendar("XASX"), SEED, FIRST)
    bars = _bars(market, ["BHP"], date(2024, 1, 26), date(2024, 1, 29))
    assert list(bars["session"].dt.date) == [date(2024, 1, 29)]
