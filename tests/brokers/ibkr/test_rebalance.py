"""The rebalance of every broker, at Interactive Brokers over a socket, with whichever client library is installed."""

import pytest

from tests.brokers.rebalance import CASH, INSTRUMENTS, PRICES, RebalanceScenario, Stage
from tests.paper_exchange.floor import DAY1, NOON, Floor


class TestIbkrRebalance(RebalanceScenario):
    @pytest.fixture
    def market(self, tmp_path) -> Floor:
        return Floor(tmp_path, list(INSTRUMENTS.values()), cash=CASH, prices=PRICES)

    @pytest.fixture
    def stage(self, connect, market, tws) -> Stage:
        def begin(session):
            if session != DAY1:
                market.move_to(market.calendar.open_at(session))

        assert market.now() == NOON
        return Stage(connect(instruments=INSTRUMENTS), begin, market.now)
