"""The rebalance of every broker, on the exchange in this process and at Alpaca over HTTP."""

from pathlib import Path

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.config import PaperAccount
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.alpaca.conftest import Brokers
from tests.brokers.rebalance import CASH, INSTRUMENTS, PRICES, RebalanceScenario, Stage
from tests.paper_exchange.alpaca.support import ACCOUNT, Doors
from tests.paper_exchange.floor import DAY1, DAY2, NOON, Floor, flat
from tests.paper_exchange.market import FakeData, fresh_ledger


class TestPaperRebalance(RebalanceScenario):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        bars = {name: flat(price) for name, price in PRICES.items()}
        data = FakeData({DAY1: bars, DAY2: bars}, prices=dict(PRICES))
        account = PaperAccount(broker="paper", initial_cash=float(CASH))
        ledger = fresh_ledger(tmp_path)
        broker = PaperBroker(ledger, "main", account, TradingCalendar("XNYS"), data, INSTRUMENTS, lambda: NOON)
        return Stage(broker, lambda _: None, lambda: NOON)


class TestAlpacaRebalance(RebalanceScenario):
    @pytest.fixture
    def stage(self, tmp_path: Path):
        names = list(INSTRUMENTS.values())
        market = Floor(tmp_path, names, cash=CASH, prices=PRICES, accounts=(ACCOUNT,), house=House.ALPACA)
        doors, brokers = Doors(market), Brokers()

        def begin(session):
            if session != DAY1:
                market.move_to(market.calendar.open_at(session))

        yield Stage(brokers.connect(doors.open().url), begin, market.now)
        brokers.close()
        doors.close()
