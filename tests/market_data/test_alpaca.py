"""Prices from Alpaca's data API, over the wire of the paper exchange and from recorded pages."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.brokers.alpaca.transport import Reply, Transport
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data import alpaca
from scizor_dagster.market_data.alpaca import AlpacaMarket
from scizor_dagster.market_data.collect import collect_history
from scizor_dagster.market_data.provider import ACTION_COLUMNS, BAR_COLUMNS, FailureReason
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_views import DailyBar
from tests.brokers.alpaca.conftest import Time
from tests.market_data.support import XNYS
from tests.market_data.support import market as us_market
from tests.paper_exchange.alpaca.conftest import doors, no_error_records, venue  # noqa: F401 - fixtures
from tests.paper_exchange.alpaca.support import KEY, SECRET

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 15)
NOW = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def connect(doors, venue):  # noqa: F811 - fixtures
    sessions = XNYS.sessions(FIRST, LAST)
    venue.store(
        *(
            DailyBar(name, day, D(10), D(12), D(9), D("11.5"), D(1000 + index))
            for name in ("AAA", "BBB")
            for index, day in enumerate(sessions)
        )
    )
    venue.at = datetime(2024, 3, 15, 18, 0, tzinfo=UTC)
    made = []

    def make(*faults, **settings):
        time = Time()
        chosen = AlpacaSettings(KEY, SECRET, doors.open(*faults).url, **settings)
        market = AlpacaMarket(chosen, XNYS, monotonic=time.clock, wait=time.wait)
        made.append(market)
        return market

    yield make
    for market in made:
        market.close()


def bars(market: AlpacaMarket, symbols=("AAA", "BBB"), first=FIRST, last=LAST, now=NOW) -> pd.DataFrame:
    frames = list(market.daily_bars(symbols, first, last, now))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(BAR_COLUMNS))


def test_bars_have_our_columns_types_and_sessions(connect):
    market = connect()
    frame = bars(market)
    assert tuple(frame.columns) == BAR_COLUMNS
    assert {str(frame[name].dtype) for name in BAR_COLUMNS[2:]} == {"float64"}
    assert frame["session"].dtype == np.dtype("datetime64[s]")
    assert (market.adjustment, market.synthetic, market.name) == ("raw", False, "alpaca:sip")
    expected = [day for day in XNYS.sessions(FIRST, LAST) if day < LAST]
    for symbol in ("AAA", "BBB"):
        assert [at.date() for at in frame[frame["symbol"] == symbol]["session"]] == expected


def test_a_bar_of_a_session_that_has_not_closed_is_left_out_also_where_the_source_has_it(connect):
    assert bars(connect())["session"].max() == pd.Timestamp("2024-03-14")
    after = NOW.replace(hour=23)
    assert bars(connect(), now=after)["session"].max() == pd.Timestamp(LAST)


def test_bars_of_a_week_with_a_clock_change_keep_their_sessions(connect):
    frame = bars(connect(), ["AAA"], date(2024, 3, 8), date(2024, 3, 12))
    assert [at.date() for at in frame["session"]] == [date(2024, 3, 8), date(2024, 3, 11), date(2024, 3, 12)]


@pytest.mark.parametrize("size", [1, 3, 10, 19])
def test_pages_that_end_in_the_middle_of_a_symbol_lose_and_double_nothing(connect, monkeypatch, size):
    whole = bars(connect())
    monkeypatch.setattr(alpaca, "POINTS_PER_PAGE", size)
    pd.testing.assert_frame_equal(bars(connect()), whole)


def test_a_fresh_history_takes_no_more_pages_than_its_bars_fill(connect, monkeypatch, lake):
    since = date(2024, 3, 8)
    monkeypatch.setattr(alpaca, "POINTS_PER_PAGE", 5)
    fresh = connect()
    report = collect_history(lake, "us", us_market(FIRST), fresh, XNYS, ["AAA", "BBB"], 2024, 2024, NOW, since=since)
    assert (report.inserted, report.calls, fresh.calls_made) == (10, 2, 2)


def test_a_symbol_without_bars_is_absent_and_a_range_without_sessions_asks_nothing(connect):
    assert set(bars(connect(), ["AAA", "HARD"])["symbol"]) == {"AAA"}
    assert bars(connect(), first=LAST, last=LAST).empty


def test_a_read_that_fails_is_an_error_and_not_an_empty_market(connect):
    market = connect({"call": "list_bars", "every": 1, "kind": "server_error"})
    with pytest.raises(BrokerUnavailable, match="bars"):
        bars(market)


def test_a_symbol_matches_only_what_is_listed_and_spelt_so(connect, venue):  # noqa: F811
    found = connect().lookup(["AAA", "aaa", "NOSUCH", "HARD"])
    assert {symbol: len(rows) for symbol, rows in found.items()} == {"AAA": 1, "aaa": 0, "NOSUCH": 0, "HARD": 1}
    (listing,) = found["AAA"]
    assert (listing.mic, listing.currency, listing.name) == ("XNYS", "USD", "Triple A Corporation")
    assert listing.provider_id == venue.listing("AAA").asset_id
    assert found["HARD"][0].mic == "ARCX"


def test_a_match_says_what_the_provider_takes_orders_for(connect):
    found = connect().lookup(["AAA", "WHOLE", "HARD"])
    flags = {symbol: (row.tradable, row.shortable, row.fractionable) for symbol, (row,) in found.items()}
    assert flags == {"AAA": (True, True, True), "WHOLE": (True, True, False), "HARD": (True, False, True)}


def test_an_inactive_asset_is_a_match_with_an_objection_and_none_where_another_is_active(connect, monkeypatch):
    asset = {"class": "us_equity", "exchange": "NYSE", "name": "x"}
    rows = [
        asset | {"symbol": "AAA", "id": "1", "status": "inactive"},
        asset | {"symbol": "AAA", "id": "2", "status": "active"},
        asset | {"symbol": "BBB", "id": "3", "status": "inactive"},
    ]
    monkeypatch.setattr(Transport, "read", lambda *_, **__: Reply(200, rows, ""))
    monkeypatch.setattr(alpaca, "_ONE_BY_ONE", 1)
    found = connect().lookup(["AAA", "BBB"])
    assert [(row.provider_id, row.objection) for row in found["AAA"]] == [("2", None)]
    assert [(row.provider_id, row.objection) for row in found["BBB"]] == [("3", "inactive")]


def test_many_symbols_are_looked_up_in_one_message_with_the_same_answer(connect, monkeypatch):
    singly = connect().lookup(["AAA", "BBB", "NOSUCH"])
    monkeypatch.setattr(alpaca, "_ONE_BY_ONE", 1)
    assert connect().lookup(["AAA", "BBB", "NOSUCH"]) == singly


def test_latest_prices_carry_their_own_time(connect, venue):  # noqa: F811
    venue.price("AAA", "101.37")
    venue.price("BBB", 100)
    found = connect().latest_prices(["AAA", "NOSUCH", "BBB"], venue.now())
    assert [(row.symbol, row.price, row.at) for row in found] == [
        ("AAA", D("101.37"), venue.now()),
        ("BBB", D(100), venue.now()),
    ]


def test_a_price_from_after_the_question_is_not_an_answer_to_it(connect, venue):  # noqa: F811
    assert connect().latest_prices(["AAA"], venue.now() - timedelta(seconds=1)) == ()


def test_splits_and_dividends_come_as_actions_of_their_ex_sessions(connect, venue):  # noqa: F811
    venue.act(
        SessionAction("AAA", date(2024, 3, 5), "split", ratio=D(4)),
        SessionAction("AAA", date(2024, 3, 6), "dividend", amount=D("0.82")),
        SessionAction("BBB", date(2024, 3, 7), "split", ratio=D("0.1")),
    )
    frame = connect().corporate_actions(["AAA", "BBB"], FIRST, LAST)
    assert tuple(frame.columns) == ACTION_COLUMNS
    assert frame["ex_session"].dtype == np.dtype("datetime64[s]")
    rows = {(row.symbol, str(row.ex_session.date()), row.kind): (row.ratio, row.amount) for row in frame.itertuples()}
    assert rows.keys() == {
        ("AAA", "2024-03-05", "split"),
        ("AAA", "2024-03-06", "dividend"),
        ("BBB", "2024-03-07", "split"),
    }
    assert rows["AAA", "2024-03-05", "split"][0] == 4.0
    assert rows["AAA", "2024-03-06", "dividend"][1] == 0.82
    assert rows["BBB", "2024-03-07", "split"][0] == 0.1


def test_actions_beyond_a_page_come_whole(connect, venue, monkeypatch):  # noqa: F811
    monkeypatch.setattr(alpaca, "ACTIONS_PER_PAGE", 2)
    days = XNYS.sessions(FIRST, LAST)[:5]
    venue.act(*(SessionAction("AAA", day, "dividend", amount=D("0.1")) for day in days))
    assert len(connect().corporate_actions(["AAA"], FIRST, LAST)) == 5


def test_no_action_is_a_frame_without_rows(connect):
    frame = connect().corporate_actions(["AAA"], FIRST, LAST)
    assert (len(frame), tuple(frame.columns)) == (0, ACTION_COLUMNS)


def answering(monkeypatch, *bodies) -> AlpacaMarket:
    replies = iter(bodies)
    monkeypatch.setattr(Transport, "_once", lambda *_: Reply(200, next(replies)))
    return AlpacaMarket(AlpacaSettings(KEY, SECRET), XNYS)


def test_recorded_pages_of_bars_are_read_to_the_last_figure(monkeypatch, reference_data):
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    recorded = json.loads((folder / "bars_daily_sip_raw_excerpt.json").read_text())["bars"]
    market = answering(monkeypatch, {"bars": recorded, "next_page_token": None})
    frame = bars(market, ("AAPL", "KO"), date(2020, 8, 24), date(2020, 9, 10))
    for symbol, rows in recorded.items():
        own = frame[frame["symbol"] == symbol]
        assert [str(at.date()) for at in own["session"]] == [row["t"][:10] for row in rows]
        for name, key in (("open", "o"), ("high", "h"), ("low", "l"), ("close", "c"), ("volume", "v")):
            assert list(own[name]) == [row[key] for row in rows]


def test_recorded_actions_are_read(monkeypatch, reference_data):
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    recorded = json.loads((folder / "corporate_actions.json").read_text())
    market = answering(monkeypatch, {"corporate_actions": recorded, "next_page_token": None})
    frame = market.corporate_actions(["AAPL", "MSFT"], date(2020, 8, 1), date(2020, 8, 31))
    assert [(row.symbol, row.kind) for row in frame.itertuples()] == [
        ("AAPL", "split"),
        ("AAPL", "dividend"),
        ("MSFT", "dividend"),
    ]
    assert frame["ratio"][0] == 4.0


def test_a_change_of_name_names_its_successor(monkeypatch):
    row = {"old_symbol": "FB", "new_symbol": "META", "process_date": "2022-06-09"}
    market = answering(monkeypatch, {"corporate_actions": {"name_changes": [row]}, "next_page_token": None})
    frame = market.corporate_actions(["FB"], date(2022, 6, 1), date(2022, 6, 30))
    assert [(row.symbol, row.kind, row.new_symbol) for row in frame.itertuples()] == [("FB", "rename", "META")]


@pytest.mark.parametrize(
    "page",
    [
        {"bars": {"AAA": [{"t": "2024-03-01T05:00:00Z", "o": 1, "h": 1, "l": 1, "c": None, "v": 1}]}},
        {"bars": {"AAA": [{"t": "yesterday", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}]}},
        {"next_page_token": None},
        {"bars": {}},
        [],
    ],
)
def test_a_page_that_is_not_what_the_api_promises_is_an_error(monkeypatch, page):
    market = answering(monkeypatch, page)
    with pytest.raises(BrokerUnavailable, match="cannot be read"):
        bars(market, ["AAA"])


def test_a_symbol_whose_row_cannot_be_read_fails_alone(monkeypatch):
    good = {"t": "2024-03-01T05:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    page = {"bars": {"AAA": [good, {**good, "c": None}], "BBB": [good]}, "next_page_token": None}
    market = answering(monkeypatch, page, {**page, "bars": {"AAA": [good], "BBB": [good]}})
    assert set(bars(market)["symbol"]) == {"BBB"}
    assert {symbol: item.reason for symbol, item in market.failed.items()} == {"AAA": FailureReason.UNREADABLE}
    assert set(bars(market)["symbol"]) == {"AAA", "BBB"}
    assert market.failed == {}


def test_a_symbol_that_alpaca_calls_invalid_does_not_have_it_refuse_the_others(monkeypatch):
    good = {"t": "2024-03-01T05:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    asked = []

    def once(self, method, path, query, version):
        asked.append(query["symbols"])
        if "A/A" in query["symbols"]:
            return Reply(400, None, '{"message":"invalid symbol: A/A"}')
        return Reply(200, {"bars": {"BBB": [good]}, "next_page_token": None})

    monkeypatch.setattr(Transport, "_once", once)
    market = AlpacaMarket(AlpacaSettings(KEY, SECRET), XNYS)
    assert set(bars(market, ("A/A", "BBB"))["symbol"]) == {"BBB"}
    assert asked == ["A/A,BBB", "BBB"]
    assert market.failed["A/A"].reason is FailureReason.REFUSED_QUESTION
    assert "invalid symbol: A/A" in market.failed["A/A"].words


def test_a_page_that_comes_again_and_again_ends_in_an_error(monkeypatch):
    page = {"bars": {}, "next_page_token": "again"}
    with pytest.raises(BrokerUnavailable, match="comes twice"):
        bars(answering(monkeypatch, page, page, page), ["AAA"])
