"""Long lists and who is who: orders beyond a page, legs and their parents, fills and their orders, activities."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.alpaca import history
from scizor_dagster.brokers.alpaca.non_trades import activities
from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.brokers.protocol import BrokerActivity, OrderStatus, OrderType, Side, TimeInForce, VenuePhase
from scizor_dagster.errors import BrokerUnavailable, NotASession, OrderRejected
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue_orders import Amendment, Duration, OrderKind, OrderQuery, Ticket
from scizor_dagster.paper_exchange.venue_views import NonTrade
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.alpaca.test_failures import request, resting
from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import ACCOUNT, AFTER_CLOSE, BEFORE_OPEN, DAY1, DAY2, OPEN


@pytest.fixture
def broker(doors, brokers):
    return brokers.connect(doors.open().url)


def fill_the_book(venue: Floor, count: int, *, moments: int) -> None:
    """Many resting orders, so many of which were submitted in one instant."""
    ticket = Ticket("", "AAA", Side.BUY, OrderKind.LIMIT, Duration.DAY, qty=D(1), limit_price=D("0.5"))
    instants = [OPEN + timedelta(seconds=number // moments) for number in range(count)]
    venue.at = instants[-1]
    venue.rest([(replace(ticket, client_order_id=f"o{number}"), at) for number, at in enumerate(instants)])


def record_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path of every request from now on."""
    paths: list[str] = []
    once = Transport._once

    def recording(self: Transport, method: str, path: str, data: object, version: str) -> object:
        paths.append(path)
        return once(self, method, path, data, version)

    monkeypatch.setattr(Transport, "_once", recording)
    return paths


@pytest.mark.parametrize("moments", [1, 7, 499])
def test_1200_orders_come_whole_and_once_also_where_many_share_an_instant(broker, venue, moments):
    fill_the_book(venue, 1200, moments=moments)
    for found in (broker.orders(DAY1), broker.open_orders()):
        counts = Counter(row.client_order_id for row in found)
        assert counts == Counter(f"o{number}" for number in range(1200))


def test_more_orders_in_one_instant_than_a_page_holds_are_not_concluded_from(broker, venue):
    fill_the_book(venue, 501, moments=501)
    with pytest.raises(BrokerUnavailable, match="more than 500 orders were submitted at"):
        broker.orders(DAY1)


def test_a_poll_costs_one_message_per_500_orders(broker, venue, monkeypatch):
    fill_the_book(venue, 1200, moments=1)
    paths = record_paths(monkeypatch)
    broker.orders(DAY1)
    assert paths == ["/orders"] * 3


def test_fills_beyond_a_page_come_whole_and_with_their_orders(broker, venue, monkeypatch):
    monkeypatch.setattr(history, "ACTIVITIES_PER_PAGE", 7)
    names = [f"f{number}" for number in range(30)]
    for name in names:
        venue.place(ACCOUNT, Ticket(name, "AAA", Side.BUY, OrderKind.MARKET, Duration.DAY, qty=D(1)))
    found = broker.fills(DAY1, DAY1)
    assert Counter(fill.client_order_id for fill in found) == Counter(names)
    assert len({fill.fill_id for fill in found}) == 30


def test_a_fill_of_an_order_of_an_earlier_session_finds_its_order(broker, venue):
    ticket = Ticket("old", "AAA", Side.BUY, OrderKind.LIMIT, Duration.GTC, qty=D(1), limit_price=D(99))
    venue.place(ACCOUNT, ticket)
    venue.move_to(OPEN + timedelta(days=1))
    venue.price("AAA", 98)
    found = broker.fills(DAY2, DAY2)
    assert [(fill.client_order_id, fill.session) for fill in found] == [("old", DAY2)]


def bracket(name: str):
    return request(name, order_type=OrderType.BRACKET, take_profit=D(150), stop_loss=D(50))


def test_legs_keep_their_parent_when_the_entry_has_filled_and_they_rest_alone(broker, venue):
    broker.submit(bracket("entry"))
    found = broker.open_orders()
    assert {row.parent_client_order_id for row in found} == {"entry"}
    assert Counter(row.side for row in found) == {Side.SELL: 2}


def test_an_open_entry_is_no_leg(doors, brokers, venue):
    venue.at = BEFORE_OPEN
    broker = brokers.connect(doors.open().url)
    broker.submit(bracket("entry"))
    parents = Counter(row.parent_client_order_id for row in broker.open_orders())
    assert parents == {None: 1, "entry": 2}


def test_fills_of_a_leg_carry_its_own_id_and_its_parent_is_in_the_orders(broker, venue):
    broker.submit(bracket("entry"))
    broker.find("entry")
    venue.price("AAA", 151)
    fills = {fill.side: fill.client_order_id for fill in broker.fills(DAY1, DAY1)}
    legs = {row.client_order_id: row.parent_client_order_id for row in broker.orders(DAY1)}
    assert fills[Side.BUY] == "entry"
    assert legs[fills[Side.SELL]] == "entry"
    assert list(broker.open_orders()) == []


def test_a_leg_can_be_canceled_by_its_own_id_and_ends_its_family(broker):
    broker.submit(bracket("entry"))
    leg = broker.open_orders()[0]
    broker.cancel(leg.client_order_id)
    assert list(broker.open_orders()) == []


def test_an_order_that_was_replaced_has_ended_and_its_successor_is_open(broker, venue):
    broker.submit(resting("old"))
    row = venue.orders(ACCOUNT, OrderQuery(state="open"))[0]
    venue.replace(ACCOUNT, row.order_id, Amendment(limit_price=D(60)), "new")
    states = {row.client_order_id: row.status for row in broker.orders(DAY1)}
    assert states == {"old": OrderStatus.CANCELED, "new": OrderStatus.ACCEPTED}
    assert [row.client_order_id for row in broker.open_orders()] == ["new"]


def test_an_order_after_the_close_belongs_to_the_next_session(broker, venue):
    broker.submit(resting("today"))
    venue.move_to(AFTER_CLOSE)
    broker.submit(request("tomorrow", session=DAY2))
    assert [row.client_order_id for row in broker.orders(DAY1)] == ["today"]
    assert [row.client_order_id for row in broker.orders(DAY2)] == ["tomorrow"]


def non_trade(name: str, kind: str, amount: object, symbol: str | None = "AAA", qty: object = 0) -> NonTrade:
    return NonTrade(name, kind, DAY2, OPEN, symbol, D(str(amount)), D(str(qty)), None, "as booked")


def test_what_moved_without_a_trade_is_told_in_the_protocols_words(broker, venue):
    venue.booked = [
        non_trade("1", "dividend", "8.20"),
        non_trade("2", "fee", "-0.13", None),
        non_trade("3", "interest", "-1.5", None),
        non_trade("4", "deposit", "1000", None),
        non_trade("5", "withdrawal", "-250", None),
        non_trade("6", "rename", 0),
    ]
    venue.move_to(OPEN + timedelta(days=1))
    found = broker.activities(DAY1, DAY2)
    assert [(row.kind, row.amount, row.symbol) for row in found] == [
        ("dividend", D("8.2"), "AAA"),
        ("fee", D("-0.13"), None),
        ("interest", D("-1.5"), None),
        ("deposit", D(1000), None),
        ("withdrawal", D(-250), None),
        ("deposit", D(0), "AAA"),
    ]
    assert found[-1].description == "NC: as booked"
    assert {row.session for row in found} == {DAY2}
    assert list(broker.activities(DAY1, DAY1)) == []


def merger(**row: object) -> BrokerActivity:
    said = {"activity_type": "MA", "id": "m", "date": DAY2.isoformat(), "symbol": "AAA", "description": "bought", **row}
    (found,) = activities([said], None, TradingCalendar("XNYS"))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(("qty", "cash"), [("-100", "9550.25"), ("40", "-3820.1")])
def test_shares_that_a_merger_takes_for_cash_end_for_that_cash(qty, cash):
    found = merger(qty=qty, net_amount=cash)
    assert (found.kind, found.symbol, found.amount, found.qty_factor) == ("delisting", "AAA", D(cash), D(0))
    assert found.description == "MA: bought"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"net_amount": "12.5"}, "deposit"),
        ({"qty": "-100", "net_amount": "0"}, "deposit"),
        ({"qty": "50"}, "deposit"),
        ({"qty": "-100", "net_amount": "-3"}, "withdrawal"),
        ({"qty": "-100", "net_amount": "9550", "symbol": ""}, "deposit"),
    ],
)
def test_a_merger_that_does_not_say_which_shares_went_for_its_cash_is_passed_on_as_cash(row, kind):
    found = merger(**row)
    assert (found.kind, found.qty_factor) == (kind, None)


def test_the_factor_of_a_split_comes_from_the_corporate_actions(broker, venue):
    venue.booked = [non_trade("1", "split", 0, qty=30), non_trade("2", "split", 0, qty=-10)]
    venue.act(SessionAction("AAA", DAY2, "split", ratio=D(4)))
    venue.move_to(OPEN + timedelta(days=1))
    (found,) = broker.activities(DAY1, DAY2)
    assert (found.kind, found.symbol, found.qty_factor, found.amount) == ("split", "AAA", D(4), D(0))


def test_a_reverse_split_has_a_factor_below_one(broker, venue):
    venue.booked = [non_trade("1", "split", 0, qty=-90)]
    venue.act(SessionAction("AAA", DAY2, "split", ratio=D("0.1")))
    venue.move_to(OPEN + timedelta(days=1))
    assert [row.qty_factor for row in broker.activities(DAY1, DAY2)] == [D("0.1")]


def test_a_split_whose_factor_is_not_listed_is_no_answer(broker, venue):
    venue.booked = [non_trade("1", "split", 0, qty=30)]
    venue.move_to(OPEN + timedelta(days=1))
    with pytest.raises(BrokerUnavailable, match="split of AAA on 2024-03-05 and does not say its factor"):
        broker.activities(DAY1, DAY2)


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        (BEFORE_OPEN, VenuePhase.AHEAD),
        (OPEN, VenuePhase.OPEN),
        (OPEN.replace(hour=20, minute=56), VenuePhase.CLOSING),
        (AFTER_CLOSE, VenuePhase.OVER),
    ],
)
def test_the_phase_follows_the_brokers_clock(broker, venue, at, phase):
    venue.at = at
    assert broker.phase(DAY1) is phase
    assert broker.advance(DAY1) is False


def test_a_day_without_a_session_has_no_phase_and_no_orders(broker):
    for ask in (broker.phase, broker.orders):
        with pytest.raises(NotASession):
            ask(DAY1 - timedelta(days=1))


def test_the_account_is_as_of_the_brokers_clock(broker, venue):
    assert broker.account().as_of == venue.now()


def test_the_clock_is_read_once_for_a_batch(doors, brokers, monkeypatch):
    broker = brokers.connect(doors.open().url, clock_max_age=timedelta(seconds=30))
    paths = record_paths(monkeypatch)
    for number in range(5):
        broker.submit(resting(f"o{number}"))
    assert Counter(paths) == {"/account": 1, "/clock": 1, "/orders": 5}


def test_canceling_what_was_never_sent_is_refused(broker):
    with pytest.raises(OrderRejected, match="order not found"):
        broker.cancel("never-sent")


def test_a_leg_that_woke_in_a_later_session_still_goes_with_its_entry(broker, venue):
    broker.submit(bracket("entry"))
    broker.find("entry")
    later = venue.at + timedelta(days=1)
    venue.shown = lambda row: replace(row, submitted_at=later) if row.parent_id else row
    assert [row.parent_client_order_id for row in broker.orders(DAY1)] == [None, "entry", "entry"]
    assert {row.parent_client_order_id for row in broker.orders(DAY2)} == {"entry"}


def test_orders_for_the_auctions_are_an_accounts_choice(doors, brokers):
    url = doors.open().url
    assert brokers.connect(url).capabilities.times_in_force == {TimeInForce.DAY}
    assert brokers.connect(url, auction_orders=True).capabilities.times_in_force == set(TimeInForce)
