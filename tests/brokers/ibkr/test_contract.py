from decimal import Decimal as D

import pytest

from tests.brokers.contract import BrokerContract, Venue
from tests.paper_exchange.venue_double import DAY1, DAY2, MORNING, MemoryVenue


@pytest.fixture
def market() -> MemoryVenue:
    from tests.brokers.ibkr.conftest import INSTRUMENTS

    return MemoryVenue(list(INSTRUMENTS.values()), now=MORNING)


class TestIbkrBroker(BrokerContract):
    @pytest.fixture
    def venue(self, connect, market) -> Venue:
        return Venue(connect(), connect, market.trade, (DAY1, DAY2), ("AAA", "BBB"), D(100))
