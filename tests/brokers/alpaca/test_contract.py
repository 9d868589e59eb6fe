"""The contract of every broker, for Alpaca over HTTP."""

from datetime import date, timedelta
from decimal import Decimal as D

import pytest

from tests.brokers.alpaca.conftest import Brokers
from tests.brokers.contract import BrokerContract, Venue
from tests.paper_exchange.alpaca.support import BEFORE_OPEN, DAY1, DAY2, Doors
from tests.paper_exchange.alpaca.venue_double import VenueDouble


class TestAlpacaBroker(BrokerContract):
    @pytest.fixture
    def exchange(self) -> VenueDouble:
        return VenueDouble(BEFORE_OPEN)

    @pytest.fixture
    def venue(self, exchange: VenueDouble, brokers: Brokers) -> Venue:
        doors = Doors(exchange)
        server = doors.open()

        def run(session: date) -> None:
            exchange.move_to(exchange.calendar.close_at(session) + timedelta(hours=1))

        def connect():
            return brokers.connect(server.url)

        yield Venue(connect(), connect, run, (DAY1, DAY2), ("AAA", "BBB"), D(100))
        doors.close()
