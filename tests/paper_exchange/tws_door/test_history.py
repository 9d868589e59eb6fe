"""Bars of every size, what is shown of them, and how they grow: asked by the unmodified client.

The session of DAY1 opens at 100, is at 98 at 11:40, at 104 at 13:50 and closes at 102; it is noon in New York.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from itertools import pairwise

import pytest

from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from tests.paper_exchange.floor import NOON, Floor
from tests.paper_exchange.market import DAY1, bar
from tests.paper_exchange.tws_door.client import market, stock
from tests.paper_exchange.tws_door.conftest import INSTRUMENTS

FRIDAY = date(2024, 3, 1)
LATER = 103.08
"""The price at half past one."""


@pytest.fixture
def venue(tmp_path) -> Floor:
    floor = Floor(tmp_path, INSTRUMENTS)
    days = {date(2024, 2, 28): (90, 91), date(2024, 2, 29): (91, 95), FRIDAY: (95, 99)}
    for day, (opened, closed) in days.items():
        floor.market_data.sessions[day] = {"AAA": bar(opened, 99, 90, closed, 39_000)}
    floor.market_data.sessions[DAY1] = {"AAA": bar(100, 104, 98, 102, 39_000), "BRK.B": bar(50, 50, 50, 50, 39_000)}
    return floor


@pytest.fixture
def switches() -> Switches:
    return Switches(market_data="live", beat=0.02)


def bars(client, duration, size, what="TRADES", end="", **more):
    return client.run(client.ib.reqHistoricalDataAsync(stock(), end, duration, size, what, True, **more))


def qualified(client):
    contract = stock()
    client.run(client.ib.qualifyContractsAsync(contract))
    return contract


def test_bars_of_an_hour_begin_at_the_open_and_then_with_the_clock(client):
    rows = bars(client, "2 D", "1 hour", formatDate=2)
    assert [f"{row.date:%d %H:%M}" for row in rows[-4:]] == ["01 20:00", "04 14:30", "04 15:00", "04 16:00"]
    assert (rows[-3].open, rows[-1].low) == (100, 98)
    assert rows[6].close == 99


def test_what_is_still_to_come_is_not_in_a_bar(client):
    (row,) = bars(client, "1 D", "8 hours")
    assert (row.open, row.low, row.close, row.volume) == (100, 98, 98.92, 15_000)
    assert row.high < 104


def test_bars_of_minutes_are_joined_without_a_gap_and_share_the_volume(client):
    rows = bars(client, "1 D", "5 mins")
    assert len(rows) == 30
    assert all(row.close == following.open for row, following in pairwise(rows))
    assert sum(row.volume for row in rows) == 15_000


def test_seconds_are_those_of_trading(client):
    rows = bars(client, "10800 S", "30 mins", formatDate=2)
    assert [f"{row.date:%d %H:%M}" for row in rows] == [
        *("01 20:30", "04 14:30", "04 15:00", "04 15:30", "04 16:00", "04 16:30")
    ]


def test_bars_of_weeks_and_months_are_made_of_their_days(client):
    week, running = bars(client, "1 M", "1 week")
    assert (week.date, week.open, week.close, week.volume) == (FRIDAY, 90, 99, 117_000)
    assert (running.date, running.open) == (DAY1, 100)
    assert [row.date for row in bars(client, "1 M", "1 month")] == [date(2024, 2, 29), DAY1]


@pytest.mark.parametrize("what", ["MIDPOINT", "BID", "ASK", "BID_ASK"])
def test_quotes_have_bars_without_volume(client, what):
    row = bars(client, "1 W", "1 day", what)[-2]
    assert (row.date, row.open, row.close, row.volume) == (
        FRIDAY,
        pytest.approx(95, abs=0.01),
        pytest.approx(99, abs=0.01),
        -1,
    )


def test_a_day_that_has_not_begun_is_none_of_the_days_asked_for(client):
    (row,) = bars(client, "1 D", "1 day", end=datetime(2024, 3, 4, 12, tzinfo=UTC))
    assert row.date == FRIDAY


def test_a_schedule_names_the_hours_of_each_session(client):
    found = client.run(client.ib.reqHistoricalScheduleAsync(stock(), 2))
    assert [(row.refDate, row.startDateTime, row.endDateTime) for row in found.sessions] == [
        ("20240301", "20240301-09:30:00", "20240301-16:00:00"),
        ("20240304", "20240304-09:30:00", "20240304-16:00:00"),
    ]


def test_a_split_is_taken_out_of_bars_within_the_day(client, venue):
    before = bars(client, "2 D", "1 hour")[0]
    venue.market_data.events.append(SessionAction("AAA", DAY1, "split", ratio=D(2)))
    after = bars(client, "2 D", "1 hour")[0]
    assert (after.open, after.volume) == (before.open / 2, before.volume * 2)


@pytest.mark.parametrize(("size", "added"), [("1 day", 0), ("1 hour", 2)])
def test_bars_that_are_kept_up_to_date_grow_with_the_clock(client, venue, size, added):
    rows = bars(client, "1 D", size, keepUpToDate=True)
    count = len(rows)
    heard = []
    rows.updateEvent += lambda _, is_new: heard.append(is_new)
    venue.move_to(NOON + timedelta(minutes=90))
    client.wait(lambda: rows[-1].close == LATER)
    assert len(rows) == count + added
    assert heard.count(True) == added
    client.ib.cancelHistoricalData(rows)
    client.wait(lambda: 162 in client.codes())


def test_quotes_follow_the_clock_until_they_are_cancelled(client, venue):
    contract = qualified(client)
    ticker = client.ib.reqMktData(contract)
    client.wait(lambda: ticker.last == ticker.last)
    assert (ticker.last, ticker.marketDataType) == (98.92, 1)
    venue.move_to(NOON + timedelta(minutes=90))
    client.wait(lambda: ticker.last == LATER)
    client.ib.cancelMktData(contract)
    client.settle()
    venue.move_to(NOON + timedelta(minutes=100))
    client.settle()
    assert ticker.last == LATER
    assert client.codes() == []


def test_bars_of_five_seconds_follow_the_clock(client, venue):
    rows = client.ib.reqRealTimeBars(stock(), 5, "TRADES", True)
    client.settle()
    venue.move_to(NOON + timedelta(seconds=12))
    client.wait(lambda: len(rows) == 2)
    assert [row.time for row in rows] == [NOON, NOON + timedelta(seconds=5)]
    assert rows[0].open_ == 98.92
    client.ib.cancelRealTimeBars(rows)
    client.settle()
    assert client.codes() == []


@pytest.mark.parametrize("kind", ["Last", "AllLast", "BidAsk", "MidPoint"])
def test_ticks_one_by_one_follow_the_clock(client, venue, kind):
    contract = qualified(client)
    ticker = client.ib.reqTickByTickData(contract, kind)
    said = []
    ticker.updateEvent += lambda row: said.extend(row.tickByTicks)
    client.wait(lambda: len(said) == 1)
    venue.move_to(NOON + timedelta(minutes=1))
    client.wait(lambda: len(said) == 2)
    client.ib.cancelTickByTickData(contract, kind)
    client.settle()
    assert client.codes() == []


def test_profit_follows_the_clock(client, venue):
    profit = client.ib.reqPnL(client.ib.managedAccounts()[0])
    trade = client.place(market(qty=100))
    client.wait(trade.isDone)
    venue.move_to(NOON + timedelta(minutes=90))
    client.wait(lambda: profit.unrealizedPnL > 400)


def test_the_portfolio_follows_the_clock(client, venue):
    trade = client.place(market(qty=100))
    client.wait(lambda: trade.isDone() and client.ib.portfolio())
    venue.move_to(NOON + timedelta(minutes=90))
    client.wait(lambda: client.ib.portfolio()[0].marketPrice == 103.0769)


def test_a_client_is_told_again_only_of_what_has_changed_until_it_asks_anew(client, venue):
    client.place(market(qty=100))
    client.wait(client.ib.portfolio)
    heard = []
    client.ib.accountValueEvent += heard.append
    client.ib.updatePortfolioEvent += heard.append
    trade = client.place(market(qty=1), stock("BRK B"))
    client.wait(lambda: trade.isDone() and len(client.ib.portfolio()) == 2)
    client.settle()
    assert {row.tag for row in heard if hasattr(row, "tag")} >= {"TotalCashBalance", "BuyingPower"}
    assert "AccountType" not in {row.tag for row in heard if hasattr(row, "tag")}
    assert {row.contract.symbol for row in heard if hasattr(row, "contract")} == {"BRK B"}
    heard.clear()
    client.run(client.ib.reqAccountUpdatesAsync(""))
    assert {row.contract.symbol for row in heard if hasattr(row, "contract")} == {"AAA", "BRK B"}


def test_what_a_fault_has_kept_back_is_told_with_the_next_news(client, venue, faults):
    client.place(market(qty=100))
    client.wait(client.ib.portfolio)
    client.ib.client.reqAccountUpdates(False, "")
    client.settle()
    venue.move_to(NOON + timedelta(minutes=90))
    faults.add("req_account_updates", "empty_positions")
    client.ib.client.reqAccountUpdates(True, "")
    client.settle()
    assert faults.next("tws", "req_account_updates") is None
    client.wait(lambda: client.ib.portfolio()[0].marketPrice == 103.0769)


def test_a_summary_follows_the_fills(client):
    heard = []
    client.ib.accountSummaryEvent += lambda row: heard.append(float(row.value)) if row.tag == "TotalCashValue" else None
    client.run(client.ib.accountSummaryAsync())
    client.place(market(qty=100))
    client.wait(lambda: heard[-1] < heard[0] - 9_000)


def test_seconds_of_bars_of_a_day_are_days(client):
    assert [row.date for row in bars(client, "86400 S", "1 day")] == [DAY1]


def test_bars_that_are_asked_for_backwards_join_without_a_bar_twice_or_missing(client):
    blocks, end = [], ""
    for _ in range(3):
        blocks.insert(0, bars(client, "1 D", "1 hour", end=end, formatDate=2))
        end = blocks[0][0].date
    joined = [row.date for block in blocks for row in block]
    whole = [row.date for row in bars(client, "3 D", "1 hour", formatDate=2)]
    assert joined == whole
    assert len(set(whole)) == len(whole) == 7 + 7 + 3


def test_a_schedule_does_not_grow(client, caplog):
    ask = ("", "1 D", "no size", "SCHEDULE", True, 1, True, [])
    client.ib.client.reqHistoricalData(5000, stock(), *ask)
    profit = client.ib.reqPnL(client.ib.managedAccounts()[0])
    trade = client.place(market(qty=100))
    client.wait(lambda: trade.isDone() and profit.unrealizedPnL)
    client.ib.client.cancelHistoricalData(5000)
    client.wait(lambda: 366 in client.codes())
    assert "was not told of prices" not in caplog.text
