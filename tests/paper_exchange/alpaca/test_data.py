"""Market data as the SDK reads it: pages, adjustments, feeds, quotes, actions."""

import base64
from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import (
    CorporateActionsRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame

from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.market_data.alpaca import AlpacaMarket
from scizor_dagster.paper_exchange.alpaca_door import queries
from scizor_dagster.paper_exchange.alpaca_door.door import DoorRules
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_views import DailyBar
from tests.paper_exchange.alpaca.floor import CALENDAR, Floor
from tests.paper_exchange.alpaca.support import AFTER_CLOSE, DAY1, KEY, SECRET, UNLIMITED, Wire

FIRST, LAST = date(2024, 2, 1), DAY1
SESSIONS = CALENDAR.sessions(FIRST, LAST)


@pytest.fixture(autouse=True)
def history(venue: Floor) -> None:
    venue.store(
        *[DailyBar(name, day, *[D(100)] * 4, D(1000 + i)) for i, day in enumerate(SESSIONS) for name in ("AAA", "BBB")]
    )
    venue.move_to(AFTER_CLOSE)


@pytest.fixture
def client(doors) -> StockHistoricalDataClient:
    return StockHistoricalDataClient(KEY, SECRET, url_override=doors.open().url)


def wanted(symbols: list[str] | str = "AAA", **changes: object) -> StockBarsRequest:
    base = {"symbol_or_symbols": symbols, "timeframe": TimeFrame.Day, "start": datetime(2024, 2, 1, tzinfo=UTC)}
    return StockBarsRequest(**(base | {"end": datetime(2024, 3, 4, 20, tzinfo=UTC), "feed": DataFeed.IEX} | changes))


def test_the_sdk_reads_two_symbols_over_pages_whole_and_in_order(client, monkeypatch):
    monkeypatch.setattr(queries, "LARGEST_LIMIT", 10_000)
    found = client.get_stock_bars(wanted(["BBB", "AAA", "HARD"])).data
    assert list(found) == ["AAA", "BBB"]
    for rows in found.values():
        assert [row.timestamp.astimezone(CALENDAR.timezone).date() for row in rows] == SESSIONS


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 5, len(SESSIONS), len(SESSIONS) + 1])
def test_a_page_counts_points_over_all_symbols(wire, limit, sort):
    query = {"symbols": "AAA,BBB", "timeframe": "1Day", "start": "2024-02-01", "limit": limit, "sort": sort}
    points, token = [], None
    while True:
        body = wire("GET", "/v2/stocks/bars", params=query | ({"page_token": token} if token else {})).json()
        page = [(symbol, row["t"]) for symbol, rows in body["bars"].items() for row in rows]
        assert len(page) <= limit
        points += page
        token = body["next_page_token"]
        if token is None:
            break
        symbol, kind, at = base64.b64decode(token).decode().split("|")
        assert (symbol, at[:10], kind) == (page[-1][0], page[-1][1][:10], "D")
    assert len(points) == len(set(points)) == 2 * len(SESSIONS)
    newest_first = sorted(sorted(points, key=lambda point: point[1], reverse=True), key=lambda point: point[0])
    assert points == (sorted(points) if sort == "asc" else newest_first)


def test_the_sdk_reads_the_latest_bar(client):
    bar = client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAA"))["AAA"]
    assert (bar.symbol, bar.close) == ("AAA", 100.0)


def test_an_unknown_order_of_bars_is_refused(wire):
    reply = wire("GET", "/v2/stocks/bars?symbols=AAA&timeframe=1Day&sort=random")
    assert (reply.status_code, reply.json()["message"]) == (400, "invalid sort: random")


def test_a_bars_time_is_midnight_in_new_york_in_summer_and_in_winter(wire, venue):
    venue.store(*[DailyBar("AAA", day, *[D(1)] * 4, D(1)) for day in (date(2024, 1, 3), date(2023, 7, 3))])
    reply = wire("GET", "/v2/stocks/bars?symbols=AAA&timeframe=1Day&start=2023-07-01&end=2024-02-01").json()
    assert {row["t"] for row in reply["bars"]["AAA"]} == {"2023-07-03T04:00:00Z", "2024-01-03T05:00:00Z"}


def closes(client: StockHistoricalDataClient, adjustment: Adjustment) -> list[tuple[float, float]]:
    rows = client.get_stock_bars(wanted(adjustment=adjustment, start=datetime(2024, 2, 28, tzinfo=UTC))).data["AAA"]
    return [(row.close, row.volume) for row in rows]


def test_bars_are_adjusted_for_what_came_after_them(client, venue):
    venue.act(
        SessionAction("AAA", date(2024, 3, 1), "split", ratio=D(4)),
        SessionAction("AAA", date(2024, 3, 4), "dividend", amount=D(1)),
    )
    days = CALENDAR.sessions(date(2024, 2, 28), LAST)
    volumes = [1000.0 + SESSIONS.index(day) for day in days]
    assert closes(client, Adjustment.RAW) == list(zip([100.0] * 4, volumes, strict=True))
    fourfold = [volumes[0] * 4, volumes[1] * 4, *volumes[2:]]
    assert closes(client, Adjustment.SPLIT) == list(zip([25.0, 25.0, 100.0, 100.0], fourfold, strict=True))
    assert [close for close, _ in closes(client, Adjustment.DIVIDEND)] == [99.0, 99.0, 99.0, 100.0]
    assert [close for close, _ in closes(client, Adjustment.ALL)] == [24.75, 24.75, 99.0, 100.0]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("feed=sip&end=2024-03-04T21:59:00Z", 403),
        ("feed=sip&end=2024-03-04T21:00:00Z", 200),
        ("feed=sip", 200),
        ("feed=iex&end=2024-03-04T21:59:00Z", 200),
        ("feed=wrong", 400),
        ("adjustment=wrong", 400),
        ("start=never", 400),
        ("limit=10001", 400),
        ("page_token=!!", 400),
        ("page_token=bm9wZQ==", 400),
    ],
)
def test_what_the_plan_and_the_form_do_not_allow_is_refused(wire, query, status):
    assert wire("GET", f"/v2/stocks/bars?symbols=AAA&timeframe=1Day&{query}").status_code == status


def test_a_plan_with_all_exchanges_may_read_the_last_minutes(doors):
    wire = Wire(doors.open(rules=DoorRules(limits=UNLIMITED.limits, recent_sip=True)).url)
    path = "/v2/stocks/bars?symbols=AAA&timeframe=1Day&feed=sip&end=2024-03-04T21:59:00Z"
    assert wire("GET", path).status_code == 200
    wire.session.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v2/stocks/bars?timeframe=1Day",
        "/v2/stocks/trades",
        *(
            f"/v2/stocks/bars?symbols=AAA&timeframe={word}"
            for word in ("60Min", "24Hour", "2Day", "5Month", "0Min", "x")
        ),
    ],
)
def test_symbols_are_needed_and_a_timeframe_that_there_is(wire, path):
    assert wire("GET", path).status_code == 400


def test_quotes_trades_and_snapshots_are_read_by_the_sdk_and_unknown_symbols_are_absent(client):
    symbols = ["AAA", "NOSUCH"]
    quotes = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbols))
    trades = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbols))
    shots = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbols))
    assert list(quotes) == list(trades) == list(shots) == ["AAA"]
    assert (quotes["AAA"].bid_price, quotes["AAA"].ask_price, trades["AAA"].price) == (100.0, 100.0, 100.0)
    assert shots["AAA"].daily_bar.volume - shots["AAA"].previous_daily_bar.volume == 1
    assert shots["AAA"].daily_bar.timestamp.date() == LAST


def test_a_snapshot_without_bars_has_none(client, venue):
    venue.store()
    shot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAA"))["AAA"]
    assert shot.daily_bar is None
    assert shot.previous_daily_bar is None


def test_one_snapshot_is_read_by_its_path(wire):
    assert wire("GET", "/v2/stocks/AAA/snapshot").json()["symbol"] == "AAA"
    assert wire("GET", "/v2/stocks/NOSUCH/snapshot").status_code == 404


def test_corporate_actions_are_read_by_the_sdk_over_pages(doors, venue):
    venue.act(
        SessionAction("AAA", SESSIONS[3], "split", ratio=D("0.05")),
        SessionAction("BBB", SESSIONS[4], "split", ratio=D("1.5")),
        *[SessionAction("AAA", day, "dividend", amount=D("0.1")) for day in SESSIONS[:5]],
        SessionAction("AAA", SESSIONS[6], "delisting"),
    )
    client = CorporateActionsClient(KEY, SECRET, url_override=doors.open().url)
    request = CorporateActionsRequest(symbols=["AAA", "BBB"], start=FIRST, end=LAST, limit=2)
    one = client.get_corporate_actions(request).data
    whole = client.get_corporate_actions(request.model_copy(update={"limit": 1000})).data
    assert sum(len(rows) for rows in whole.values()) == 8
    assert [row.symbol for row in whole["worthless_removals"]] == ["AAA"]
    assert set(one) <= set(whole)
    forward, reverse = whole["forward_splits"][0], whole["reverse_splits"][0]
    assert (forward.new_rate, forward.old_rate, reverse.new_rate, reverse.old_rate) == (3, 2, 1, 20)


def test_corporate_actions_are_of_the_days_and_types_that_were_asked_for(wire, venue):
    venue.act(*[SessionAction("AAA", day, "dividend", amount=D("0.1")) for day in SESSIONS[:5]])
    base = "/v1/corporate-actions?symbols=AAA&"
    some = wire("GET", base + f"start={SESSIONS[1]}&end={SESSIONS[2]}").json()["corporate_actions"]
    assert [row["ex_date"] for row in some["cash_dividends"]] == [str(SESSIONS[1]), str(SESSIONS[2])]
    none = wire("GET", base + f"start={FIRST}&end={LAST}&types=forward_split").json()
    assert none == {"corporate_actions": {}, "next_page_token": None}
    assert wire("GET", base + "page_token=!!").status_code == 400


def test_a_change_of_name_is_read_by_the_sdk_and_by_our_own_reader(doors, venue):
    venue.act(SessionAction("AAA", SESSIONS[3], "rename", new_symbol="ZZZ"))
    url = doors.open().url
    request = CorporateActionsRequest(symbols=["AAA"], start=FIRST, end=LAST)
    found = CorporateActionsClient(KEY, SECRET, url_override=url).get_corporate_actions(request).data["name_changes"]
    assert [(row.old_symbol, row.new_symbol, row.process_date) for row in found] == [("AAA", "ZZZ", SESSIONS[3])]
    market = AlpacaMarket(AlpacaSettings(KEY, SECRET, url), CALENDAR)
    frame = market.corporate_actions(["AAA"], FIRST, LAST)
    assert [(row.symbol, row.kind, row.new_symbol) for row in frame.itertuples()] == [("AAA", "rename", "ZZZ")]
    market.close()
