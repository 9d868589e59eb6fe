"""Which session an order trades in is what TWS's own time says; the clock that is handed in must agree."""

from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from tests.brokers.ibkr.conftest import INSTRUMENTS
from tests.brokers.ibkr.test_scenarios import order, placed
from tests.paper_exchange.floor import NOON
from tests.paper_exchange.market import DAY1, DAY2


@pytest.fixture
def elsewhen(market, settings):
    """A broker whose own clock is off by as much."""
    opened = []

    def make(off: timedelta) -> IbkrBroker:
        connection = IbkrConnection(settings)
        broker = IbkrBroker(settings, market.calendar, INSTRUMENTS, lambda: market.now() + off, connection)
        opened.append(broker)
        return broker

    yield make
    for broker in opened:
        broker.close()


def test_a_session_goes_through_its_phases_by_the_time_of_tws(broker, market):
    found = []
    for at in ("14:29", "14:30", "20:54", "20:55", "21:00"):
        market.clock.move_to(datetime.fromisoformat(f"{DAY2}T{at}:00+00:00").astimezone(UTC))
        found.append(broker.phase(DAY2).value)
    assert found == ["ahead", "open", "open", "closing", "over"]


def test_a_clock_that_is_off_within_the_session_does_not_move_its_phases(elsewhen):
    assert elsewhen(timedelta(hours=3, minutes=58)).phase(DAY1).value == "open"


@pytest.mark.parametrize("off", [timedelta(days=-5), timedelta(days=1), timedelta(days=900)])
def test_a_clock_of_another_session_sends_nothing_and_says_what_to_do(elsewhen, market, off):
    broker = elsewhen(off)
    calendar = market.calendar
    for session in (DAY1, calendar.current_session(NOON + off)):
        with pytest.raises(OutcomeUnknown, match="which is another session"):
            broker.submit(order(f"O{session:%Y%m%d}", session=session))
        with pytest.raises(BrokerUnavailable, match="`clock` in the configuration"):
            broker.phase(session)
    assert placed(market) == []


def test_a_session_that_is_over_by_the_time_of_tws_is_refused(broker, market):
    broker.submit(order("first"))
    market.move_to(NOON + timedelta(hours=5))
    with pytest.raises(OrderRejected, match=f"one that is sent now trades in {DAY2}"):
        broker.submit(order("late"))
    assert placed(market) == ["first"]
