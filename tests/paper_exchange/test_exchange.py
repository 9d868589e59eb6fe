"""The exchange over stored books: its clock, its transactions, two processes on one account."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderStatus
from scizor_dagster.errors import WrongAccount
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.exchange import PaperExchange
from scizor_dagster.paper_exchange.store import BookStore, Opening
from scizor_dagster.paper_exchange.venue_orders import Refused
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.market import DAY1, DAY2, DAY3, FREE, INSTRUMENTS, NOW, FakeData, bar, fresh_ledger, request

CALENDAR = TradingCalendar("XNYS")


class Killed(BaseException):
    """The process dies here."""


class DyingDatabase:
    """A ledger that dies within its `nth` write transaction, after its statements and before the commit."""

    def __init__(self, ledger: Ledger, nth: int) -> None:
        self.ledger, self.left = ledger, nth

    def read(self):
        return self.ledger.read()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with self.ledger.transaction() as connection:
            yield connection
            self.left -= 1
            if self.left == 0:
                raise Killed


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = fresh_ledger(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def data() -> FakeData:
    return FakeData({DAY1: {"AAA": bar(), "BBB": bar()}, DAY2: {"AAA": bar(), "BBB": bar()}})


def exchange(database, data: FakeData, account: str = "test") -> PaperExchange:
    store = BookStore(database, Opening(account, "USD", D(100_000)))
    return PaperExchange(store, FREE, CALENDAR, data, INSTRUMENTS)


def test_an_account_is_created_on_first_use_and_found_again(ledger, data):
    assert exchange(ledger, data).state().cash == 100_000
    exchange(ledger, data).submit(request(), NOW)
    again = exchange(ledger, data)
    assert again.state().cash == 100_000
    assert list(again.state().orders) == ["one"]


@pytest.mark.parametrize("opening", [Opening("test", "USD", D(5)), Opening("test", "AUD", D(100_000))])
def test_an_account_that_is_configured_anew_after_its_first_use_is_refused(ledger, data, opening):
    exchange(ledger, data).submit(request(), NOW)
    changed = PaperExchange(BookStore(ledger, opening), FREE, CALENDAR, data, INSTRUMENTS)
    for use in (changed.state, lambda: changed.submit(request(id="two"), NOW)):
        with pytest.raises(WrongAccount, match=r"was opened with 100,000\.00 USD") as caught:
            use()
        assert (caught.value.limit, caught.value.value) == ("account_opening", "100000 USD")


def test_accounts_of_one_database_do_not_see_each_other(ledger, data):
    exchange(ledger, data).submit(request(), NOW)
    other = exchange(ledger, data, "other")
    assert other.find("one") is None
    other.submit(request(), NOW)
    assert len(other.orders(DAY1)) == 1


def test_a_session_takes_three_steps_and_then_no_more(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    assert [venue.advance(DAY1) for _ in range(5)] == [True, True, False, False, False]
    assert len(venue.fills(DAY1, DAY1)) == 1


def test_a_session_without_data_moves_nothing(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(session=DAY3), NOW)
    before = venue.state()
    assert venue.advance(DAY3) is False
    assert venue.state() == before


def test_only_the_session_that_runs_is_looked_at(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    while venue.advance(DAY1):
        pass
    assert set(data.asked) == {DAY1}


def test_advancing_first_closes_an_earlier_session_with_its_own_data(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    venue.advance(DAY2)
    (fill,) = venue.fills(DAY1, DAY2)
    assert (fill.session, fill.price) == (DAY1, D(100))
    assert (venue.state().session, venue.state().step) == (DAY2, 1)


def test_advancing_past_a_session_without_trading_expires_its_orders(ledger, data):
    del data.sessions[DAY1]
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    venue.advance(DAY2)
    found = venue.find("one")
    assert found is not None
    assert (found.status, found.reason) == (OrderStatus.EXPIRED, "the session had no trading")


def test_an_order_for_a_later_session_waits_while_an_earlier_one_is_open(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    venue.advance(DAY1)
    venue.submit(request(id="two", session=DAY2), NOW)
    assert venue.state().session == DAY1
    while venue.advance(DAY1):
        pass
    assert venue.find("two").status is OrderStatus.ACCEPTED
    venue.advance(DAY2)
    assert venue.find("two").status is OrderStatus.FILLED


def test_the_clock_never_moves_back(ledger, data):
    venue = exchange(ledger, data)
    while venue.advance(DAY2):
        pass
    assert venue.advance(DAY1) is False
    with pytest.raises(Refused, match="session_closed"):
        venue.submit(request(), NOW)
    assert venue.begin(DAY1) is False


def test_a_morning_brings_the_actions_of_every_session_that_was_slept_through(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    while venue.advance(DAY1):
        pass
    data.events = [
        SessionAction("AAA", DAY2, "split", ratio=D(4)),
        SessionAction("AAA", DAY3, "dividend", amount=D("0.5")),
    ]
    data.sessions[DAY2] = {"AAA": bar(25, 26, 24, 26)}
    assert venue.begin(DAY3)
    assert venue.begin(DAY3)
    state = venue.state()
    assert (state.held("AAA"), state.cash, state.positions["AAA"].last_price) == (40, D(99_020), 26)
    assert [row.kind for row in venue.activities(DAY1, DAY3)] == ["split", "dividend"]


def test_the_first_order_of_a_session_brings_its_morning(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    while venue.advance(DAY1):
        pass
    data.events = [SessionAction("AAA", DAY2, "split", ratio=D(4))]
    order, _ = venue.submit(request("sell", 40, id="exit", session=DAY2), NOW)
    assert order.status is OrderStatus.ACCEPTED
    assert venue.state().held("AAA") == 40


def test_no_morning_comes_while_an_earlier_order_rests(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(), NOW)
    assert venue.begin(DAY2) is False
    assert venue.state().session == DAY1


def test_a_repeated_order_is_found_and_not_placed_again(ledger, data):
    venue = exchange(ledger, data)
    first, new = venue.submit(request(), NOW)
    again, repeated = venue.submit(request(), NOW)
    assert (new, repeated) == (True, False)
    assert again == first
    while venue.advance(DAY1):
        pass
    assert venue.submit(request(), NOW)[0].status is OrderStatus.FILLED
    assert len(venue.orders(DAY1)) == 1


def test_two_processes_on_one_account_see_each_others_orders(ledger, data):
    here, there = exchange(ledger, data), exchange(ledger, data)
    here.submit(request(qty=800), NOW)
    there.submit(request(qty=800, id="two"), NOW)
    with pytest.raises(Refused, match="insufficient_buying_power"):
        here.submit(request(qty=800, id="three"), NOW)
    here.advance(DAY1)
    there.advance(DAY1)
    assert (here.state().step, there.state().step) == (2, 2)
    assert here.state() == there.state()
    assert here.state().held("AAA") == 1600


def test_a_bracket_never_takes_the_id_of_an_order_that_exists(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(id="one.tp", symbol="BBB"), NOW)
    with pytest.raises(Refused, match="duplicate_client_order_id"):
        venue.submit(request(profit=150, stop=50), NOW)
    assert venue.find("one.tp").symbol == "BBB"
    assert venue.find("one") is None


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_kill_in_any_transaction_leaves_the_books_before_or_after(ledger, data, nth):
    """Six transactions: the account, two orders, three steps. Doing it all again ends where it should."""

    def trade(venue: PaperExchange) -> None:
        venue.submit(request(), NOW)
        venue.submit(request(id="two", symbol="BBB"), NOW)
        while venue.advance(DAY1):
            pass

    with pytest.raises(Killed):
        trade(exchange(DyingDatabase(ledger, nth), data))
    venue = exchange(ledger, data)
    trade(venue)
    assert [(fill.client_order_id, fill.qty, fill.price) for fill in venue.fills(DAY1, DAY1)] == [
        ("one", D(10), D(100)),
        ("two", D(10), D(100)),
    ]
    assert venue.state().cash == 98_000


def test_what_comes_back_from_the_database_is_what_went_in(ledger, data):
    venue = exchange(ledger, data)
    venue.submit(request(qty="0.123456789"), NOW)
    venue.submit(request(id="legs", symbol="BBB", profit=150, stop=50), NOW)
    venue.submit(request(id="rests", limit="90.01", session=DAY2), NOW)
    venue.advance(DAY1)
    assert exchange(ledger, data).state() == venue.state()


class InterruptedDatabase:
    """A ledger in which something else happens just before a write transaction of ours begins."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.meanwhile = None

    def read(self):
        return self.ledger.read()

    def transaction(self):
        if self.meanwhile is not None:
            happening, self.meanwhile = self.meanwhile, None
            happening()
        return self.ledger.transaction()


def test_a_step_that_another_process_overtook_is_taken_on_the_new_books(ledger, data):
    database = InterruptedDatabase(ledger)
    here, there = exchange(database, data), exchange(ledger, data)
    here.submit(request(), NOW)
    database.meanwhile = lambda: there.submit(request(id="two", symbol="BBB"), NOW)
    assert here.advance(DAY1)
    assert (here.state().held("AAA"), here.state().held("BBB"), here.state().step) == (10, 10, 1)
    database.meanwhile = lambda: there.advance(DAY1)
    assert here.advance(DAY1) is False
    assert len(here.fills(DAY1, DAY1)) == 2


def test_an_order_that_another_process_overtook_meets_the_new_books(ledger, data):
    database = InterruptedDatabase(ledger)
    here, there = exchange(database, data), exchange(ledger, data)
    here.submit(request(), NOW)
    while here.advance(DAY1):
        pass
    data.events = [SessionAction("AAA", DAY2, "split", ratio=D(4))]
    database.meanwhile = lambda: there.submit(request("sell", 20, id="two", session=DAY2), NOW)
    order, new = here.submit(request("sell", 20, id="three", session=DAY2), NOW)
    assert new
    assert order.status is OrderStatus.ACCEPTED
    assert here.state().held("AAA") == 40
    assert len(here.activities(DAY1, DAY2)) == 1
