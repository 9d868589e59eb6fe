"""The contract of every broker, for Alpaca over HTTP."""

from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from tests.brokers.alpaca.conftest import Brokers
from tests.brokers.contract import BrokerContract, Venue
from tests.paper_exchange import venues
from tests.paper_exchange.alpaca.support import DAY1, DAY2, KEY, SECRET, UNLIMITED


class TestAlpacaBroker(BrokerContract):
    @pytest.fixture
    def venue(self, tmp_path: Path, brokers: Brokers) -> Venue:
        hall = venues.make_venue(tmp_path)
        with serve_alpaca(hall.venue, {KEY: (SECRET, venues.ALPACA)}, rules=UNLIMITED) as server:

            def run(session: date) -> None:
                hall.clock.move_to(hall.venue.calendar.close_at(session) + timedelta(hours=1))

            def connect():
                return brokers.connect(server.url)

            yield Venue(connect(), connect, run, (DAY1, DAY2), ("AAA", "BBB"), D(100))
