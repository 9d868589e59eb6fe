"""The real yfinance against a site on loopback that answers as Yahoo does."""

import builtins
import logging
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.config import Market, YahooProvider
from scizor_dagster.errors import BrokerUnavailable, ConfigError
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.collect import collect_session
from scizor_dagster.market_data.provider import ACTION_COLUMNS, BAR_COLUMNS, FailureReason, Listing
from scizor_dagster.market_data.yahoo import YahooMarket
from scizor_dagster.market_data.yahoo_wire import PAUSES, REQUESTS_PER_SECOND
from scizor_dagster.sessions import TradingCalendar
from tests.market_data.support import rows as stored_rows
from tests.market_data.yahoo_site import (
    EMPTY,
    HTML,
    INVALID_CRUMB,
    TOO_MANY,
    Reply,
    Security,
    Site,
    require_yfinance,
    serving,
)

XASX, XNYS = TradingCalendar("XASX"), TradingCalendar("XNYS")
NOW = datetime(2026, 1, 16, 3, 0, tzinfo=UTC)
"""Friday, 14:00 in Sydney: the session is under way. In New York it is Thursday evening."""
ASX_WEEK = [date(2026, 1, day) for day in (12, 13, 14, 15, 16)]
US_WEEK = [date(2026, 1, day) for day in (12, 13, 14, 15)]


def _bars(days: list[date], price: float = 40.0) -> list[tuple]:
    return [(day, price + i, price + i + 1, price + i - 1, price + i + 0.5, 1000 + i) for i, day in enumerate(days)]


class World:
    """The site, a clock whose waiting costs nothing, and markets that ask the site."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.waited: list[float] = []
        self.seconds = 0.0

    def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.seconds += seconds

    def market(self, calendar: TradingCalendar = XASX, symbols: tuple[str, ...] = ("BHP", "CBA")) -> YahooMarket:
        asx = calendar is XASX
        currency, mic = ("AUD", "XASX") if asx else ("USD", "XNYS")
        instruments = {symbol: Instrument(symbol, mic, currency) for symbol in symbols}
        return YahooMarket(
            calendar, instruments, currency, self.folder / "yfinance", "markets.asx.provider",
            clock=lambda: NOW, monotonic=lambda: self.seconds, wait=self._wait,
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    require_yfinance()
    from curl_cffi import requests

    # One process keeps one cookie and one file of time zones; a test begins without.
    from yfinance import cache, data

    monkeypatch.setattr(cache._TzCacheManager, "_tz_cache", None)
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", None)
    data.SingletonMeta._instances.clear()
    site = Site()
    with serving(site) as moved:
        request = requests.Session.request
        monkeypatch.setattr(
            requests.Session, "request", lambda self, method, url, *a, **k: request(self, method, moved(url), *a, **k)
        )
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        yield World(site, tmp_path)


def _rows(market: YahooMarket, symbols: list[str], first: date, last: date, now: datetime = NOW) -> list[tuple]:
    frames = list(market.daily_bars(symbols, first, last, now))
    assert all(tuple(frame.columns) == BAR_COLUMNS for frame in frames)
    return [(row.symbol, row.session.date(), row.close) for frame in frames for row in frame.itertuples(index=False)]


def test_bars_have_the_dates_of_the_exchange_and_the_session_under_way_is_left_out(world: World) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    rows = _rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[-1])
    # In Sydney's summer a session begins on the day before in UTC.
    assert rows == [("BHP", day, 40.5 + i) for i, day in enumerate(ASX_WEEK[:-1])]


def test_us_share_classes_are_asked_for_as_yahoo_spells_them(world: World) -> None:
    world.site.securities["BRK-B"] = Security(XNYS, "NYQ", "USD", _bars(US_WEEK, 490.0))
    market = world.market(XNYS, ("BRK.B",))
    assert _rows(market, ["BRK.B"], US_WEEK[1], US_WEEK[2]) == [
        ("BRK.B", US_WEEK[1], 491.5),
        ("BRK.B", US_WEEK[2], 492.5),
    ]
    assert market.lookup(["BRK.B"]) == {"BRK.B": (Listing("BRK.B", "BRK-B", "XNYS", "USD", "BRK-B Limited"),)}


def test_a_row_of_nulls_is_handed_on_for_the_checks_to_judge(world: World) -> None:
    bars = _bars(ASX_WEEK)
    bars[1] = (ASX_WEEK[1], None, None, None, None, None)
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", bars)
    rows = _rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[2])
    assert [day for _, day, _ in rows] == ASX_WEEK[:3]
    assert math.isnan(rows[1][2])


def test_actions_come_with_the_bars_in_one_request_and_name_a_foreign_currency(world: World) -> None:
    world.site.securities["BHP.AX"] = Security(
        XASX, "ASX", "AUD", _bars(ASX_WEEK),
        splits={ASX_WEEK[1]: (1, 10)}, dividends={ASX_WEEK[2]: 0.55, ASX_WEEK[3]: (0.4, "USD")},
    )  # fmt: skip
    market = world.market()
    _rows(market, ["BHP"], ASX_WEEK[0], ASX_WEEK[3])
    before = len(world.site.asked)
    actions = market.corporate_actions(["BHP"], ASX_WEEK[0], date(2026, 1, 23))
    assert len(world.site.asked) == before, "the answer of a moment ago has them"
    assert tuple(actions.columns) == ACTION_COLUMNS
    assert [
        (row.ex_session.date(), row.kind, row.ratio, row.amount, row.currency) for row in actions.fillna(0).itertuples()
    ] == [
        (ASX_WEEK[1], "split", 0.1, 0, 0),
        (ASX_WEEK[2], "dividend", 0, 0.55, "AUD"),
        (ASX_WEEK[3], "dividend", 0, 0.4, "USD"),
    ]
    assert market.corporate_actions(["BHP"], ASX_WEEK[2], ASX_WEEK[2])["kind"].tolist() == ["dividend"]


def test_an_unknown_ticker_and_one_of_another_exchange_are_no_match_and_have_no_bars(world: World) -> None:
    world.site.securities["CBA.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    world.site.securities["TSCO"] = Security(XNYS, "PNK", "USD", _bars(US_WEEK))
    asx, us = world.market(), world.market(XNYS, ("TSCO",))
    assert asx.lookup(["BHP", "CBA"])["BHP"] == ()
    assert [listing.mic for listing in asx.lookup(["CBA"])["CBA"]] == ["XASX"]
    assert us.lookup(["TSCO"]) == {"TSCO": ()}
    assert {symbol for symbol, *_ in _rows(asx, ["BHP", "CBA"], ASX_WEEK[0], ASX_WEEK[3])} == {"CBA"}
    assert _rows(us, ["TSCO"], US_WEEK[0], US_WEEK[3]) == []


def test_prices_in_another_currency_than_the_markets_are_not_taken(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUc", _bars(ASX_WEEK, 4000.0))
    market = world.market()
    assert _rows(market, ["BHP"], ASX_WEEK[0], ASX_WEEK[3]) == []
    assert "BHP is a ticker of ASX in AUc" in caplog.text
    assert market.lookup(["BHP"])["BHP"][0].currency == "AUc"
    assert market.latest_prices(["BHP"], NOW) == ()


def test_the_newest_price_has_its_own_time(world: World) -> None:
    at = datetime(2026, 1, 16, 2, 40, tzinfo=UTC)
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK), traded_at=at)
    (price,) = world.market().latest_prices(["BHP", "CBA"], NOW)
    assert (price.symbol, price.price, price.at, price.source) == ("BHP", Decimal("44.5"), at, "yahoo")
    assert world.market().latest_prices(["BHP"], datetime(2026, 1, 16, 2, 0, tzinfo=UTC)) == ()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (TOO_MANY, "too many requests"),
        (HTML, "a page in place of prices"),
        (EMPTY, "its answer is empty"),
        ((503, "text/html", "down"), "status 503"),
    ],
)
def test_what_is_no_answer_is_asked_again_after_pauses_and_then_the_symbols_failure_or_an_overload(
    world: World, reply: Reply, said: str
) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    world.site.first["BHP.AX"] = [reply] * 2
    assert len(_rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[3])) == 4
    assert [pause for pause in world.waited if pause > 1] == list(PAUSES[:2])
    world.site.always["CBA.AX"] = reply
    market = world.market()
    if reply is TOO_MANY:
        with pytest.raises(BrokerUnavailable, match=said):
            _rows(market, ["CBA", "BHP"], ASX_WEEK[0], ASX_WEEK[3])
        return
    assert len(_rows(market, ["CBA", "BHP"], ASX_WEEK[0], ASX_WEEK[3])) == 4
    assert market.failed["CBA"].reason is FailureReason.UNREADABLE
    assert said in market.failed["CBA"].words
    assert market.corporate_actions(["CBA", "BHP"], ASX_WEEK[0], ASX_WEEK[3]).empty
    assert set(market.failed) == {"CBA"}
    del world.site.always["CBA.AX"]
    _rows(market, ["CBA"], ASX_WEEK[0], ASX_WEEK[3])
    assert market.failed == {}


def test_many_answers_in_a_row_without_sense_end_the_question_and_an_outage_is_waited_for_once(world: World) -> None:
    symbols = tuple(f"A{number}" for number in range(7))
    for symbol in symbols:
        world.site.always[f"{symbol}.AX"] = HTML
    with pytest.raises(
        BrokerUnavailable, match=r"5 symbols in a row, of 5; of A4 it says: .* a page in place of prices"
    ):
        _rows(world.market(XASX, symbols), list(symbols), ASX_WEEK[0], ASX_WEEK[3])
    assert [pause for pause in world.waited if pause > 1] == list(PAUSES)


def test_a_cookie_that_has_run_out_is_fetched_anew_and_never_taken_for_no_data(world: World) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    world.site.first["BHP.AX"] = [INVALID_CRUMB]
    assert len(_rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[3])) == 4
    world.site.always["BHP.AX"] = INVALID_CRUMB
    market = world.market()
    assert _rows(market, ["BHP"], ASX_WEEK[1], ASX_WEEK[3]) == []
    assert "Invalid Crumb" in market.failed["BHP"].words


def test_a_halted_symbol_is_without_bars_and_one_that_has_traded_without_bars_has_failed(world: World) -> None:
    before = [date(2025, 12, 19)]
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(before))
    assert _rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[3]) == []
    assert len(world.market().lookup(["BHP"])["BHP"]) == 1
    traded = XASX.close_at(ASX_WEEK[2])
    world.site.securities["CBA.AX"] = Security(XASX, "ASX", "AUD", _bars(before), traded_at=traded)
    market = world.market()
    assert _rows(market, ["BHP", "CBA"], ASX_WEEK[0], ASX_WEEK[3]) == []
    assert {symbol: item.reason for symbol, item in market.failed.items()} == {"CBA": FailureReason.UNREADABLE}
    assert "has no bar of CBA" in market.failed["CBA"].words


def test_a_site_that_cannot_be_reached_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from curl_cffi import requests

    def refused(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(requests.Session, "request", refused)
    with pytest.raises(BrokerUnavailable, match="no route"):
        _rows(world.market(), ["BHP"], ASX_WEEK[0], ASX_WEEK[3])


def test_requests_keep_the_pace_and_after_the_first_time_a_symbol_costs_one(world: World) -> None:
    symbols = ("BHP", "CBA", "NAB", "WBC", "ANZ")
    for symbol in symbols:
        world.site.securities[f"{symbol}.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    assert len(_rows(world.market(XASX, symbols), list(symbols), ASX_WEEK[0], ASX_WEEK[3])) == 20
    world.site.asked.clear()
    again = world.market(XASX, symbols)
    start, sent = world.seconds, again.calls_made
    assert len(_rows(again, list(symbols), ASX_WEEK[0], ASX_WEEK[3])) == 20
    assert sorted(world.site.asked) == sorted(f"{symbol}.AX" for symbol in symbols)
    assert again.calls(5, 4) == 5
    assert world.seconds - start >= (again.calls_made - sent - 1) / REQUESTS_PER_SECOND


def test_a_session_of_the_asx_is_collected_from_yahoo_by_several_threads(world: World, lake: Lake) -> None:
    symbols = tuple(f"A{number:02d}" for number in range(30))
    for symbol in symbols:
        world.site.securities[f"{symbol}.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    nulls = (ASX_WEEK[3], None, None, None, None, None)
    world.site.securities["A00.AX"] = Security(XASX, "ASX", "AUD", [*_bars(ASX_WEEK[:3]), nulls])
    asx = Market(
        calendar="XASX", currency="AUD", first_session=ASX_WEEK[0], universes=("unused.csv",),
        provider=YahooProvider(type="yahoo"),
    )  # fmt: skip
    report = collect_session(lake, "asx", asx, world.market(XASX, symbols), XASX, symbols, ASX_WEEK[3], NOW)
    assert report.missing == ("A00",)
    assert stored_rows(lake, "SELECT symbol, reason FROM quarantined_bars") == [("A00", "bad_price")]
    assert stored_rows(lake, "SELECT DISTINCT source, adjustment, synthetic FROM bars") == [("yahoo", "split", False)]


def test_an_answer_from_before_prices_are_final_is_asked_for_again_when_they_are(world: World) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    market, time = world.market(), [NOW]
    market._clock = lambda: time[0]
    assert len(_rows(market, ["BHP"], ASX_WEEK[0], ASX_WEEK[-1])) == 4
    time[0] = XASX.settled_at(ASX_WEEK[-1])
    assert len(_rows(market, ["BHP"], ASX_WEEK[0], ASX_WEEK[-1], now=time[0])) == 5


def test_nothing_is_printed_and_what_yfinance_keeps_stays_in_the_folder_it_was_given(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.site.securities["BHP.AX"] = Security(XASX, "ASX", "AUD", _bars(ASX_WEEK))
    _rows(world.market(), ["BHP", "CBA"], ASX_WEEK[0], ASX_WEEK[3])
    assert capfd.readouterr() == ("", "")
    assert (world.folder / "yfinance").is_dir()
    assert not (world.folder / "elsewhere").exists()
    assert not logging.getLogger("yfinance").isEnabledFor(logging.CRITICAL)


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yfinance":
            raise ImportError("No module named 'yfinance'", name="yfinance")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="not installed") as caught:
        YahooMarket(XASX, {}, "AUD", tmp_path, "markets.asx.provider")
    assert "pip install 'scizor[yahoo]'" in str(caught.value)
    assert "markets.asx.provider" in str(caught.value)


def test_an_exchange_whose_tickers_are_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="XLON"):
        YahooMarket(TradingCalendar("XLON"), {}, "GBP", tmp_path, "markets.uk.provider")
