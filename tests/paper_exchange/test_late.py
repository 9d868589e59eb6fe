"""Actions that become known after their ex session, and sessions that turn out to have had no trading."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import OrderStatus, VenuePhase
from scizor_dagster.errors import NotASession
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.exchange import PaperExchange
from scizor_dagster.paper_exchange.store import BookStore, Opening
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.market import DAY1, DAY2, DAY3, FREE, INSTRUMENTS, NOW, FakeData, bar, fresh_ledger, request

CALENDAR = TradingCalendar("XNYS")
DAY4 = date(2024, 3, 7)
SPLIT = SessionAction("AAA", DAY2, "split", ratio=D(4))
DIVIDEND = SessionAction("AAA", DAY2, "dividend", amount=D("0.5"))
DELISTING = SessionAction("AAA", DAY2, "delisting", amount=D(103))


class Venue(PaperExchange):
    """The exchange with one account, and the words that the tests use."""

    def trade(self, session: date, *orders) -> None:
        for order in orders:
            self.submit(order, NOW)
        while self.advance(session):
            pass

    def aaa(self) -> D:
        return self.state().held("AAA")

    def kinds(self) -> list[tuple[str, date]]:
        return [(row.kind, row.session) for row in self.activities(DAY1, DAY4)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = fresh_ledger(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def data() -> FakeData:
    days = (DAY1, DAY2, DAY3, DAY4)
    return FakeData({day: {"AAA": bar(), "BBB": bar()} for day in days})


def venue_of(ledger: Ledger, data: FakeData, account: str = "test", calendar: TradingCalendar = CALENDAR) -> Venue:
    return Venue(BookStore(ledger, Opening(account, "USD", D(100_000))), FREE, calendar, data, INSTRUMENTS)


@pytest.fixture
def venue(ledger: Ledger, data: FakeData) -> Venue:
    made = venue_of(ledger, data)
    made.trade(DAY1, request())
    return made


def quarter() -> dict:
    """A session in new shares: a quarter of the price of the others."""
    return {"AAA": bar(25, 26, 24, 26), "BBB": bar()}


def test_a_split_that_becomes_known_late_reaches_the_position_and_its_price(venue, data):
    data.sessions[DAY2] = data.sessions[DAY3] = quarter()
    venue.trade(DAY2)
    assert venue.aaa() == 10
    data.events = [SPLIT]
    venue.begin(DAY3)
    position = venue.state().positions["AAA"]
    assert (position.qty, position.average_price, position.last_price) == (40, 25, 26)
    (activity,) = venue.activities(DAY1, DAY4)
    assert (activity.kind, activity.session, activity.qty_factor) == ("split", DAY2, 4)
    assert activity.description == "AAA: 4 new shares for 1; known only in session 2024-03-05"


@pytest.mark.parametrize("ask", ["begin", "advance"])
def test_a_clock_that_stands_still_learns_of_a_late_action_too_and_only_once(venue, data, ask):
    venue.trade(DAY2)
    data.events = [SPLIT, DIVIDEND]
    for _ in range(3):
        assert getattr(venue, ask)(DAY2) is False
    venue.begin(DAY3)
    assert (venue.aaa(), venue.state().cash) == (40, D(99_020))
    assert venue.kinds() == [("split", DAY2), ("dividend", DAY2)]


@pytest.mark.parametrize(
    ("since", "held"),
    [
        ([request("buy", 8, id="two", session=DAY2)], 48),
        ([request("sell", 3, id="two", session=DAY2)], 37),
        ([request("sell", 10, id="two", session=DAY2)], 30),
    ],
)
def test_a_late_split_multiplies_what_was_held_before_it_and_not_what_was_traded_since(venue, data, since, held):
    venue.trade(DAY2, *since)
    data.events = [SPLIT]
    venue.begin(DAY3)
    assert venue.aaa() == held


def test_what_is_known_late_ends_as_what_was_known_in_time(ledger, data):
    events = [
        SPLIT,
        DIVIDEND,
        SessionAction("AAA", DAY3, "dividend", amount=D("0.11")),
        SessionAction("BBB", DAY3, "split", ratio=D("0.3333333333333333")),
        SessionAction("BBB", DAY4, "delisting", amount=D("309")),
    ]
    books = []
    for account, late in (("in-time", False), ("late", True)):
        data.events = [] if late else list(events)
        venue = venue_of(ledger, data, account)
        venue.trade(DAY1, request(id="a"), request("sell", 7, "BBB", id="b", intent="sell_to_open"))
        venue.trade(DAY2, request("buy", 5, id="c", session=DAY2))
        venue.trade(DAY3)
        venue.trade(DAY4)
        data.events = events
        venue.begin(DAY4)
        held = {symbol: row.qty for symbol, row in venue.state().positions.items()}
        books.append((held, venue.state().cash))
    assert books[0] == books[1]
    assert books[0][0] == {"AAA": 45}


def test_a_late_split_corrects_a_dividend_that_was_paid_on_the_old_quantity(venue, data):
    later = SessionAction("AAA", DAY3, "dividend", amount=D("0.5"))
    data.events = [later]
    venue.trade(DAY3)
    assert venue.state().cash == 99_005
    data.events = [SPLIT, later]
    venue.begin(DAY4)
    venue.begin(DAY4)
    assert venue.state().cash == 99_020
    assert [row.amount for row in venue.activities(DAY3, DAY3)] == [5, 15]


def test_a_late_dividend_is_paid_on_what_was_held_before_its_ex_session(venue, data):
    venue.trade(DAY2, request("buy", 90, id="two", session=DAY2))
    cash = venue.state().cash
    data.events = [DIVIDEND]
    venue.begin(DAY3)
    assert venue.state().cash - cash == 5


def test_a_late_dividend_reaches_who_has_sold_since(venue, data):
    venue.trade(DAY2, request("sell", 10, id="two", session=DAY2))
    cash = venue.state().cash
    data.events = [DIVIDEND]
    venue.begin(DAY3)
    assert venue.state().cash - cash == 5


def test_a_second_dividend_of_the_day_that_comes_late_is_paid_beside_the_first(venue, data):
    data.events = [DIVIDEND]
    venue.begin(DAY2)
    data.events = [SessionAction("AAA", DAY2, "dividend", amount=D(2)), DIVIDEND]
    venue.begin(DAY3)
    assert [row.amount for row in venue.activities(DAY2, DAY2)] == [5, 20]


def test_what_was_bought_on_the_ex_session_or_later_has_no_late_action(ledger, data):
    venue = venue_of(ledger, data)
    venue.trade(DAY2, request(session=DAY2))
    venue.trade(DAY3)
    before = venue.state()
    data.events = [SPLIT, DIVIDEND]
    assert venue.advance(DAY3) is False
    assert venue.state() == before


@pytest.mark.parametrize("moved_to", [DAY1, DAY3])
def test_an_action_that_the_source_moves_to_another_day_is_not_applied_again(venue, data, moved_to):
    data.events = [SPLIT]
    venue.trade(DAY3)
    data.events = [SessionAction("AAA", moved_to, "split", ratio=D(4))]
    venue.begin(DAY4)
    assert venue.aaa() == 40


def test_an_order_that_rests_in_old_units_ends_with_a_late_split(venue, data):
    venue.begin(DAY3)
    venue.submit(request("sell", 10, id="two", session=DAY3), NOW)
    data.events = [SPLIT]
    venue.begin(DAY3)
    order = venue.find("two")
    assert order.status is OrderStatus.CANCELED
    assert "split 4 for 1" in order.reason


def test_an_action_dated_on_a_day_without_a_session_takes_effect_at_the_next_open(ledger, data):
    friday, saturday, monday = date(2024, 3, 1), date(2024, 3, 2), DAY1
    data.sessions[friday] = {"AAA": bar()}
    data.events = [SessionAction("AAA", saturday, "split", ratio=D(2))]
    venue = venue_of(ledger, data)
    venue.trade(friday, request(session=friday))
    venue.begin(monday)
    assert (venue.aaa(), venue.activities(saturday, saturday)[0].qty_factor) == (20, 2)


def test_a_delisting_closes_the_position_for_cash_and_ends_its_orders(venue, data):
    venue.begin(DAY2)
    venue.submit(request("sell", 10, id="two", session=DAY3), NOW)
    data.events = [SessionAction("AAA", DAY3, "delisting", amount=D(104))]
    venue.begin(DAY3)
    assert (venue.aaa(), venue.state().cash) == (0, D(99_000 + 1040))
    (activity,) = venue.activities(DAY3, DAY3)
    assert (activity.kind, activity.amount, activity.qty_factor) == ("delisting", 1040, 0)
    assert "last close 104" in activity.description


def test_a_short_position_in_a_delisted_instrument_is_paid_for(ledger, data):
    data.events = [DELISTING]
    venue = venue_of(ledger, data)
    venue.trade(DAY1, request("sell", 10, intent="sell_to_open"))
    venue.begin(DAY2)
    assert (venue.state().positions, venue.state().cash) == ({}, D(101_000 - 1030))


def test_a_delisting_without_a_price_is_settled_at_the_position_s_own(venue, data):
    data.events = [SessionAction("AAA", DAY2, "delisting")]
    venue.begin(DAY2)
    assert venue.state().cash == 99_000 + 1030


def test_a_delisting_that_becomes_known_late_is_settled_late(venue, data):
    venue.trade(DAY3)
    data.events = [DELISTING]
    venue.begin(DAY4)
    assert (venue.aaa(), venue.state().cash, venue.kinds()) == (0, D(100_030), [("delisting", DAY2)])


def test_a_late_delisting_of_what_has_traded_since_is_none(venue, data):
    venue.trade(DAY2, request("sell", 4, id="two", session=DAY2))
    data.events = [DELISTING]
    venue.begin(DAY3)
    assert (venue.aaa(), venue.kinds()) == (6, [])


def test_an_order_waits_for_its_bars_while_no_later_session_has_any(venue, data):
    for day in (DAY2, DAY3, DAY4):
        del data.sessions[day]
    venue.submit(request(id="two", session=DAY2), NOW)
    assert venue.advance(DAY2) is False
    assert venue.begin(DAY3) is False
    assert venue.find("two").status is OrderStatus.ACCEPTED


class HalfFed(FakeData):
    """DAY2 is stored in part."""

    def bars(self, session: date):
        return None if session == DAY2 else super().bars(session)

    def passed_without_trading(self, session: date) -> bool:
        return False


def test_the_clock_does_not_pass_orders_whose_session_is_stored_in_part(ledger, data):
    venue = venue_of(ledger, HalfFed(data.sessions))
    venue.submit(request(session=DAY2), NOW)
    assert [venue.advance(DAY2), venue.advance(DAY3), venue.begin(DAY3)] == [False, False, False]
    venue.submit(request(id="two", session=DAY3), NOW)
    assert (venue.find("one").status, venue.state().session) == (OrderStatus.ACCEPTED, DAY2)


@pytest.mark.parametrize("pass_it", ["advance", "begin next", "advance next", "submit next"])
def test_orders_of_a_session_that_had_no_trading_expire_once_a_later_one_has_bars(venue, data, pass_it):
    del data.sessions[DAY2]
    venue.submit(request(id="two", session=DAY2), NOW)
    if pass_it == "advance":
        assert venue.advance(DAY2) is False
    elif pass_it == "begin next":
        assert venue.begin(DAY3)
    elif pass_it == "advance next":
        assert venue.advance(DAY3)
    else:
        venue.advance(DAY2)
        venue.submit(request(id="three", session=DAY3), NOW)
    order = venue.find("two")
    assert (order.status, order.reason) == (OrderStatus.EXPIRED, "the session had no trading")
    assert venue.phase(DAY2) is VenuePhase.OVER


class ClosedOnDay2(TradingCalendar):
    """The calendar after an unplanned closure became known."""

    def is_session(self, day: date) -> bool:
        return day != DAY2 and super().is_session(day)

    def sessions(self, first: date, last: date) -> list[date]:
        return [day for day in super().sessions(first, last) if day != DAY2]


@pytest.mark.parametrize("began", [True, False])
def test_orders_of_a_day_that_the_calendar_has_dropped_expire_and_trading_goes_on(ledger, data, began):
    venue = venue_of(ledger, data)
    if not began:
        venue.submit(request(session=DAY1), NOW)
    venue.submit(request(id="two", session=DAY2), NOW)
    data.events = [SessionAction("BBB", DAY2, "split", ratio=D(2))]
    updated = venue_of(ledger, data, calendar=ClosedOnDay2("XNYS"))
    if not began:
        updated.trade(DAY1)
        assert updated.aaa() == 10
    assert updated.advance(DAY2) is False
    assert updated.advance(DAY2) is False
    assert updated.find("two").reason == "the session had no trading"
    assert updated.phase(DAY2) is VenuePhase.OVER
    updated.trade(DAY3, request(id="three", session=DAY3))
    assert updated.find("three").status is OrderStatus.FILLED


def test_a_day_that_never_was_a_session_is_still_refused(venue):
    for ask in (venue.advance, venue.begin):
        with pytest.raises(NotASession):
            ask(date(2024, 3, 9))
