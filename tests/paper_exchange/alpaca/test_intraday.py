"""Bars within a day and over weeks, trades, quotes: made of the path that orders meet, and never ahead of the clock."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestBarRequest, StockQuotesRequest, StockTradesRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.paper_exchange.alpaca_door.timeframes import Timeframe, Unit, read_timeframe
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.price_path import Hours
from scizor_dagster.paper_exchange.venue_views import DailyBar
from tests.paper_exchange.alpaca.floor import CALENDAR, Floor
from tests.paper_exchange.alpaca.support import AFTER_CLOSE, DAY1, KEY, SECRET, Wire

OPENS = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
BEFORE = CALENDAR.previous_session(DAY1)
DAYS = CALENDAR.sessions(date(2024, 1, 2), DAY1)
FIGURES = [D("100"), D("110"), D("90"), D("105"), D(39_000)]


@pytest.fixture
def venue(tmp_path: Path) -> Floor:
    return Floor(tmp_path, OPENS)


@pytest.fixture(autouse=True)
def history(venue: Floor) -> None:
    """Every day from 100 down to 90, up to 110, and to 105: 100 shares a minute."""
    venue.store(*[DailyBar(name, day, *FIGURES) for day in DAYS for name in ("AAA", "BBB")])


@pytest.fixture
def client(doors) -> StockHistoricalDataClient:
    return StockHistoricalDataClient(KEY, SECRET, url_override=doors.open().url)


def bars(wire: Wire, timeframe: str, **query: object) -> list[dict]:
    reply = wire("GET", "/v2/stocks/AAA/bars", params={"timeframe": timeframe, "limit": 10_000} | query)
    assert reply.status_code == 200, reply.text
    return reply.json()["bars"]


@pytest.mark.parametrize("timeframe", ["1Min", "5Min", "7T", "30Min", "1Hour", "2H", "23Hour"])
def test_bars_of_a_day_add_up_to_the_day(wire, venue, timeframe):
    venue.move_to(AFTER_CLOSE)
    found, (day,) = bars(wire, timeframe, start=str(DAY1)), bars(wire, "1Day", start=str(DAY1))
    assert (found[0]["o"], found[-1]["c"]) == (day["o"], day["c"])
    assert (max(row["h"] for row in found), min(row["l"] for row in found)) == (day["h"], day["l"])
    assert sum(row["v"] for row in found) == day["v"]
    times = [row["t"] for row in found]
    assert times == sorted(set(times))


def test_bars_begin_on_the_clock_and_the_hour_of_the_open_is_half_an_hour(wire, venue):
    venue.move_to(AFTER_CLOSE)
    hours = bars(wire, "1Hour", start=str(DAY1))
    assert [row["t"][11:16] for row in hours] == ["14:00", "15:00", "16:00", "17:00", "18:00", "19:00", "20:00"]
    assert [row["v"] for row in hours] == [3000, *[6000] * 6]
    assert bars(wire, "15Min", start=str(DAY1))[0]["t"] == "2024-03-04T14:30:00Z"


def test_nothing_is_shown_that_is_still_to_come(wire, venue):
    venue.move_to(OPENS + timedelta(minutes=10, seconds=30))
    minutes = bars(wire, "1Min", start=str(DAY1))
    assert [row["t"][11:16] for row in minutes] == [f"14:{minute}" for minute in range(30, 41)]
    assert min(row["l"] for row in minutes) > 99
    (hour,) = bars(wire, "1Hour", start=str(DAY1))
    assert hour["c"] == minutes[-1]["c"] == wire("GET", "/v2/stocks/AAA/trades/latest").json()["trade"]["p"]


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [7, 500, 10_000])
def test_pages_of_two_symbols_and_several_days_lose_and_double_nothing(wire, venue, limit, sort):
    venue.move_to(AFTER_CLOSE)
    query = {"symbols": "BBB,AAA", "timeframe": "30Min", "start": "2024-02-28", "limit": limit, "sort": sort}
    points, token = [], None
    for _ in range(40):
        body = wire("GET", "/v2/stocks/bars", params=query | ({"page_token": token} if token else {})).json()
        points += [(symbol, row["t"]) for symbol, rows in body["bars"].items() for row in rows]
        token = body["next_page_token"]
        if token is None:
            break
    assert len(points) == len(set(points)) == 2 * 4 * 13
    by_symbol = [[at for symbol, at in points if symbol == name] for name in ("AAA", "BBB")]
    assert all(times == sorted(times, reverse=sort == "desc") for times in by_symbol)


def test_a_week_and_a_month_are_made_of_their_days(wire, venue):
    venue.store(*[DailyBar("AAA", day, D(i), D(i + 2), D(i), D(i + 1), D(10)) for i, day in enumerate(DAYS, 100)])
    venue.move_to(AFTER_CLOSE)
    months = bars(wire, "1Month", start="2024-01-01")
    assert [row["t"] for row in months] == ["2024-01-01T05:00:00Z", "2024-02-01T05:00:00Z", "2024-03-01T05:00:00Z"]
    january = [day for day in DAYS if day.month == 1]
    assert (months[0]["o"], months[0]["c"], months[0]["v"]) == (100, 100 + len(january), 10 * len(january))
    assert bars(wire, "1Month", start="2024-01-20", end="2024-01-21") == months[:1], "the month that a range begins in"
    weeks = bars(wire, "1Week", start="2024-02-28")
    assert [row["t"][:10] for row in weeks] == ["2024-02-26", "2024-03-04"]
    assert (weeks[0]["v"], weeks[1]["v"]) == (50, 10)
    (quarter,) = bars(wire, "3M", start="2024-01-01")
    assert quarter["c"] == months[-1]["c"]


def test_minutes_are_adjusted_as_their_day_is(client, venue):
    venue.act(SessionAction("AAA", DAY1, "split", ratio=D(2)), SessionAction("AAA", DAY1, "dividend", amount=D("10.5")))
    venue.move_to(AFTER_CLOSE)
    start, end = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 1, 23, tzinfo=UTC)

    def last_close(timeframe: TimeFrame, adjustment: Adjustment) -> float:
        wanted = StockBarsRequest(
            symbol_or_symbols="AAA", timeframe=timeframe, start=start, end=end, adjustment=adjustment, feed=DataFeed.IEX
        )
        return client.get_stock_bars(wanted).data["AAA"][-1].close

    for adjustment, close in ((Adjustment.RAW, 105), (Adjustment.SPLIT, 52.5), (Adjustment.ALL, 47.25)):
        assert last_close(TimeFrame(5, TimeFrameUnit.Minute), adjustment) == close
        assert last_close(TimeFrame.Day, adjustment) == close


def test_what_a_dividend_takes_off_does_not_depend_on_the_range_that_is_asked_for(wire, venue):
    venue.store(*[DailyBar("AAA", day, *[D(i)] * 4, D(10)) for i, day in enumerate(DAYS, 100)])
    venue.act(SessionAction("AAA", DAY1, "dividend", amount=D(10)))
    venue.move_to(AFTER_CLOSE)
    short = bars(wire, "1Day", start="2024-01-02", end="2024-01-03", adjustment="all")
    long = bars(wire, "1Day", start="2024-01-02", adjustment="all")
    assert short == long[:2]


def test_the_sdk_reads_past_trades_and_quotes(client, venue):
    venue.move_to(OPENS + timedelta(minutes=3))
    start = datetime(2024, 3, 1, 20, 59, tzinfo=UTC)
    trades = client.get_stock_trades(StockTradesRequest(symbol_or_symbols=["AAA", "NOPE"], start=start, limit=3)).data
    assert [row.timestamp.minute for row in trades["AAA"]] == [59, 30, 31]
    assert [row.size for row in trades["AAA"]] == [100, 100, 100]
    assert trades["AAA"][1].price == 100
    quotes = client.get_stock_quotes(StockQuotesRequest(symbol_or_symbols="AAA", start=start)).data["AAA"]
    assert len(quotes) == 4
    assert all(row.bid_price <= trade.price <= row.ask_price for row, trade in zip(quotes, trades["AAA"], strict=False))


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_trades_and_quotes_come_in_pages(wire, venue, kind):
    venue.move_to(OPENS + timedelta(minutes=5))
    times, token = [], None
    for _ in range(3):
        query = {"symbols": "AAA", "start": str(DAY1), "limit": 2} | ({"page_token": token} if token else {})
        body = wire("GET", f"/v2/stocks/{kind}", params=query).json()
        times += [row["t"] for row in body[kind].get("AAA", ())]
        token = body["next_page_token"]
    assert times == [f"2024-03-04T14:{minute}:00Z" for minute in range(30, 35)]
    assert token is None


@pytest.mark.parametrize(("path", "name"), [("bars", "bar"), ("trades", "trade"), ("quotes", "quote")])
def test_the_newest_of_one_symbol_is_that_of_many(wire, venue, path, name):
    venue.move_to(OPENS + timedelta(minutes=5))
    alone = wire("GET", f"/v2/stocks/AAA/{path}/latest").json()
    assert alone == {"symbol": "AAA", name: wire("GET", f"/v2/stocks/{path}/latest?symbols=AAA").json()[path]["AAA"]}
    unknown = wire("GET", f"/v2/stocks/NOPE/{path}/latest")
    assert (unknown.status_code, unknown.json()) == (404, {"message": "symbol not found: NOPE"})


def test_the_newest_bar_of_a_session_that_has_closed_is_of_its_last_minute(client, venue):
    venue.move_to(AFTER_CLOSE)
    found = client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAA"))["AAA"]
    assert (found.timestamp.strftime("%H:%M"), found.close, found.volume) == ("20:59", 105, 100)


def test_the_last_price_is_on_a_price_step(wire, venue):
    venue.move_to(OPENS + timedelta(minutes=5, seconds=11))
    price = D(str(wire("GET", "/v2/stocks/AAA/trades/latest").json()["trade"]["p"]))
    assert price == price.quantize(D("0.01"))
    assert wire.order(type="limit", limit_price=str(price)).status_code == 200


def test_a_session_without_trades_has_no_bars(wire, venue):
    venue.store(DailyBar("AAA", BEFORE, *FIGURES), DailyBar("AAA", DAY1, *[D(5)] * 4, D(0)))
    venue.move_to(AFTER_CLOSE)
    assert {row["t"][:10] for row in bars(wire, "1Hour", start=str(BEFORE))} == {str(BEFORE)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([Unit.MINUTE, Unit.HOUR]), st.integers(1, 59), st.sampled_from(DAYS))
def test_the_bars_of_any_length_cover_the_session(unit, amount, day):
    timeframe = Timeframe(amount if unit is Unit.MINUTE else (amount - 1) % 23 + 1, unit)
    hours = Hours(day, CALENDAR.open_at(day), CALENDAR.close_at(day))
    edges = timeframe.edges(hours)
    assert edges[0] <= hours.open < edges[1]
    assert edges[-2] < hours.close <= edges[-1]
    assert read_timeframe(f"{timeframe.amount}{unit.value}") == timeframe
