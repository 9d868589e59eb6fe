from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import Broker, OrderStatus, OrderType, TimeInForce
from scizor_dagster.config import PaperAccount, PaperExchangeRules
from scizor_dagster.errors import BrokerUnavailable, NotASession, OrderRejected, OutcomeUnknown
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.contract import BrokerContract, Venue
from tests.paper_exchange.market import DAY1, DAY2, INSTRUMENTS, FakeData, bar, fresh_ledger

CALENDAR = TradingCalendar("XNYS")
CLOCK = datetime(2026, 1, 2, 14, 0, tzinfo=UTC)


@pytest.fixture
def data() -> FakeData:
    bars = {"AAA": bar(volume=100_000), "BBB": bar(volume=100_000)}
    return FakeData({DAY1: bars, DAY2: bars})


@pytest.fixture
def venue(tmp_path: Path, data: FakeData) -> Venue:
    ledger = fresh_ledger(tmp_path)

    def connect() -> Broker:
        account = PaperAccount(broker="paper", initial_cash=100_000.0)
        return PaperBroker(ledger, "test", account, CALENDAR, data, INSTRUMENTS, lambda: CLOCK)

    broker = connect()

    def run(session: date) -> None:
        while broker.advance(session):
            pass

    return Venue(broker, connect, run, (DAY1, DAY2), ("AAA", "BBB"), D(100))


class TestPaperBroker(BrokerContract):
    @pytest.fixture
    def venue(self, venue: Venue) -> Venue:
        return venue


def test_it_is_a_paper_account_by_its_configured_name(venue):
    identity = venue.broker.identity()
    assert (identity.broker, identity.environment, identity.account_id) == ("paper", "paper", "test")


def test_configured_rules_reach_the_exchange_exactly(tmp_path, data):
    rules = PaperExchangeRules(min_order_notional=2.5, fractional=False, short_selling=False)
    account = PaperAccount(broker="paper", initial_cash=10.1, exchange=rules)
    ledger = fresh_ledger(tmp_path)
    broker = PaperBroker(ledger, "test", account, CALENDAR, data, INSTRUMENTS, lambda: CLOCK)
    capabilities = broker.capabilities
    assert (capabilities.min_notional, capabilities.quantity_decimals, capabilities.short) == (
        D("2.5"),
        0,
        False,
    )
    assert broker.account().cash == D("10.1")


def test_buying_power_counts_what_is_held_and_what_rests(venue):
    venue.broker.submit(venue.order("a", qty=100))
    assert venue.broker.account().buying_power == 190_000
    venue.run(DAY1)
    account = venue.broker.account()
    (position,) = venue.broker.positions()
    assert account.buying_power == 2 * account.equity - position.qty * position.market_price


def test_a_refusal_carries_the_venues_words(venue):
    with pytest.raises(OrderRejected, match="insufficient buying power") as refusal:
        venue.broker.submit(venue.order("a", qty=5000))
    assert refusal.value.code == "insufficient_buying_power"


def test_a_day_without_trading_is_refused_and_not_left_unknown(venue):
    with pytest.raises(OrderRejected, match="not a session"):
        venue.broker.submit(venue.order("a", session=date(2024, 3, 9)))
    with pytest.raises(NotASession):
        venue.broker.advance(date(2024, 3, 9))


def test_books_that_cannot_be_written_leave_the_outcome_unknown(venue, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(venue.broker.exchange._store, "save", fail)
    with pytest.raises(OutcomeUnknown, match="disk full"):
        venue.broker.submit(venue.order("a"))
    monkeypatch.undo()
    assert venue.broker.find("a") is None


def test_market_data_that_cannot_be_read_is_not_an_empty_session(venue, data, monkeypatch):
    def fail(_session: date) -> None:
        raise OSError("lake is gone")

    monkeypatch.setattr(data, "bars", fail)
    with pytest.raises(BrokerUnavailable, match="lake is gone"):
        venue.broker.advance(DAY1)


def test_cancelling_what_was_never_sent_is_refused(venue):
    with pytest.raises(OrderRejected, match="order not found"):
        venue.broker.cancel("never-sent")


def test_an_id_of_a_leg_is_not_taken_for_an_order_of_ours(venue):
    bracket = venue.order("a", order_type=OrderType.BRACKET, take_profit=D(150), stop_loss=D(50))
    venue.broker.submit(bracket)
    assert venue.broker.submit(bracket).status is OrderStatus.ACCEPTED
    with pytest.raises(OutcomeUnknown):
        venue.broker.submit(venue.order("a.tp"))


def test_the_morning_brings_splits_and_dividends_as_activities(venue, data):
    venue.broker.submit(venue.order("a"))
    venue.run(DAY1)
    data.events = [
        SessionAction("AAA", DAY2, "split", ratio=D(2)),
        SessionAction("AAA", DAY2, "dividend", amount=D("0.1")),
    ]
    assert venue.broker.begin(DAY2)
    assert [(row.kind, row.amount, row.qty_factor) for row in venue.broker.activities(DAY1, DAY2)] == [
        ("split", D(0), D(2)),
        ("dividend", D(2), None),
    ]
    assert [row.qty for row in venue.broker.positions()] == [20]


def test_an_order_shows_its_terms_in_its_raw_record(venue):
    order = venue.broker.submit(venue.limit("a", "0.9"))
    assert order.raw == {
        "order_type": "limit",
        "time_in_force": "day",
        "role": "simple",
        "session": "2024-03-04",
        "limit_price": "90.00",
        "stop_price": None,
    }


def test_an_account_takes_auction_orders_where_its_configuration_says_so(tmp_path, data, venue):
    account = PaperAccount(broker="paper", initial_cash=100_000.0, auction_orders=True)
    (tmp_path / "own").mkdir()
    ledger = fresh_ledger(tmp_path / "own")
    broker = PaperBroker(ledger, "test", account, CALENDAR, data, INSTRUMENTS, lambda: CLOCK)
    assert broker.capabilities.times_in_force == frozenset(TimeInForce)
    assert venue.broker.capabilities.times_in_force == {TimeInForce.DAY}
    opening = replace(venue.order("a"), time_in_force=TimeInForce.OPG)
    assert broker.submit(opening).raw["time_in_force"] == "opg"
    assert broker.submit(opening).raw["order_type"] == "market"
    with pytest.raises(OutcomeUnknown, match="other parameters"):
        broker.submit(replace(opening, time_in_force=TimeInForce.CLS))
    with pytest.raises(OrderRejected, match="use day"):
        venue.broker.submit(opening)
