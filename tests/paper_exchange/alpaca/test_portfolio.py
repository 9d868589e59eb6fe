"""The history of an account's worth agrees with its fills, its prices and the account as it is."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import GetPortfolioHistoryRequest

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_views import DailyBar
from tests.paper_exchange.alpaca.floor import CALENDAR, Floor
from tests.paper_exchange.alpaca.support import DAY1, DAY2, KEY, SECRET, Doors, Wire
from tests.paper_exchange.venues import at

DAY3 = CALENDAR.next_session(DAY2)
PRICES = {DAY1: 100, DAY2: 110, DAY3: 50}


@pytest.fixture
def venue(tmp_path: Path) -> Floor:
    """Three days at 100, 110 and 50: a split of two for one lies before the third, and a dividend of 1."""
    floor = Floor(tmp_path, at("10:00"))
    floor.store(*[DailyBar("AAA", day, *[D(price)] * 4, D(1_000_000)) for day, price in PRICES.items()])
    floor.act(SessionAction("AAA", DAY3, "split", ratio=D(2)), SessionAction("AAA", DAY3, "dividend", amount=D(1)))
    return floor


@pytest.fixture
def client(doors: Doors) -> TradingClient:
    return TradingClient(KEY, SECRET, url_override=doors.open().url)


def history(wire: Wire, **query: object) -> dict:
    reply = wire("GET", "/v2/account/portfolio/history", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def midnight_after(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + 86_400


def test_days_have_what_the_account_was_worth_at_their_close(wire, venue):
    wire.order(qty="10")
    venue.move_to(at("12:00", DAY3))
    found = history(wire)
    assert found == {
        "timestamp": [midnight_after(day) for day in PRICES],
        "equity": [100_000, 100_100, 100_020],
        "profit_loss": [0, 100, 20],
        "profit_loss_pct": [0, 0.001, 0.0002],
        "base_value": 100_000,
        "base_value_asof": "2024-03-01",
        "timeframe": "1D",
    }
    assert str(found["equity"][-1]) == wire("GET", "/v2/account").json()["equity"]


def test_a_sale_and_a_cover_are_in_it_and_the_end_is_the_account_as_it_is(wire, venue):
    wire.order(qty="10")
    venue.move_to(at("11:00", DAY2))
    wire.order(qty="4", side="sell")
    venue.move_to(at("12:00", DAY3))
    found = history(wire, period="3D", timeframe="1D")
    assert found["equity"] == [100_000, 100_100, 100_000 + 100 - 6 * 10 + 12]
    assert str(found["equity"][-1]) == wire("GET", "/v2/account").json()["equity"]


def test_a_day_within_begins_anew_from_what_the_day_before_ended_with(wire, venue):
    wire.order(qty="10")
    venue.move_to(at("15:00", DAY2))
    found = history(wire, period="2D", timeframe="1H")
    first = [at(f"{hour}:00") for hour in range(10, 16)]
    second = [at(f"{hour}:00", DAY2) for hour in range(10, 16)]
    assert found["timestamp"] == [int(instant.timestamp()) for instant in (*first, *second)]
    assert found["profit_loss"] == [0] * 6 + [100] * 6
    assert history(wire, period="1D", timeframe="1H", pnl_reset="no_reset")["base_value"] == 100_000
    assert history(wire, period="1D")["timeframe"] == "1Min"


def test_the_sdk_reads_it_in_every_way_to_ask(client, venue):
    venue.move_to(at("12:00", DAY3))
    assert len(client.get_portfolio_history().timestamp) == 3
    for period, timeframe, points in (("1W", "1D", 3), ("1A", "1D", 3), ("all", "1D", 3), ("1D", "15Min", 11)):
        wanted = GetPortfolioHistoryRequest(period=period, timeframe=timeframe)
        assert len(client.get_portfolio_history(wanted).timestamp) == points
    bounds = GetPortfolioHistoryRequest(start=at("00:00", DAY2), end=at("23:00", DAY2), timeframe="1D")
    assert client.get_portfolio_history(bounds).equity == [100_000]


@pytest.mark.parametrize("query", ["period=soon", "period=0D", "timeframe=7Min", "timeframe=x", "start=x", "end=x"])
def test_what_has_no_form_is_refused(wire, query):
    reply = wire("GET", f"/v2/account/portfolio/history?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, 40010001)


def test_an_account_that_has_seen_no_session_has_one_point(tmp_path):
    floor = Floor(tmp_path, at("08:00"))
    doors = Doors(floor)
    wire = Wire(doors.open().url)
    found = history(wire)
    wire.session.close()
    doors.close()
    assert (found["timestamp"], found["equity"]) == ([midnight_after(date(2024, 3, 1))], [100_000])


def test_a_renamed_instrument_keeps_its_worth(wire, venue):
    venue.store(
        DailyBar("AAA", DAY1, *[D(100)] * 4, D(10**6)),
        *[DailyBar("BBB", day, *[D(120)] * 4, D(10**6)) for day in (DAY2, DAY3)],
    )
    venue.act(SessionAction("AAA", DAY2, "rename", new_symbol="BBB"))
    wire.order(qty="10")
    venue.move_to(at("12:00", DAY2))
    wire.order(symbol="BBB", qty="10", side="sell")
    venue.move_to(at("12:00", DAY3))
    assert history(wire)["equity"] == [100_000, 100_200, 100_200]


def test_money_is_shown_in_whole_cents_that_add_up(wire, venue):
    wire.order(qty="0.123456789")
    venue.move_to(venue.at + timedelta(minutes=1))
    body = wire("GET", "/v2/account").json()
    money = {name: D(body[name]) for name in ("cash", "equity", "long_market_value", "portfolio_value")}
    assert all(value == value.quantize(D("0.01")) for value in money.values())
    assert money["equity"] == money["portfolio_value"] == money["cash"] + money["long_market_value"]
