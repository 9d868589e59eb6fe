from decimal import Decimal as D

import pytest

from tests.brokers.contract import BrokerContract, Venue
from tests.brokers.ibkr.conftest import INSTRUMENTS
from tests.paper_exchange.floor import DAY1, DAY2, MORNING, Floor


@pytest.fixture
def market(tmp_path) -> Floor:
    return Floor(tmp_path, list(INSTRUMENTS.values()), now=MORNING)


class TestIbkrBroker(BrokerContract):
    @pytest.fixture
    def venue(self, connect, market) -> Venue:
        return Venue(connect(), connect, market.trade, (DAY1, DAY2), ("AAA", "BBB"), D(100))
