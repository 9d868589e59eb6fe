"""An account at Interactive Brokers: the adapter over a real socket, on the exchange as a TWS."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from tests.paper_exchange.floor import NOON, Floor, ScriptedFaults

INSTRUMENTS = {
    row.symbol: row
    for row in (
        Instrument("AAA", "XNAS", "USD", fractionable=False),
        Instrument("BBB", "XNYS", "USD", fractionable=False),
        Instrument("BRK.B", "XNYS", "USD", fractionable=False),
        Instrument("BHP", "XASX", "AUD", fractionable=False),
    )
}


@pytest.fixture
def market(tmp_path) -> Floor:
    return Floor(tmp_path, list(INSTRUMENTS.values()), now=NOON)


@pytest.fixture
def faults() -> ScriptedFaults:
    return ScriptedFaults()


@pytest.fixture
def switches() -> Switches:
    return Switches(execution_days=7)


@pytest.fixture
def tws(market, faults, switches):
    with serve_tws(market, faults=faults, switches=switches) as running:
        yield running


@pytest.fixture
def settings(tws) -> IbkrSettings:
    return IbkrSettings("127.0.0.1", tws.port, 7, "DU1000000", timeout=5.0, execution_days=7)


@pytest.fixture
def connect(market, settings):
    """A new broker on a connection of its own, as in a new process; the one before is closed."""
    opened: list[IbkrBroker] = []

    def make(*, keep: bool = False, instruments=INSTRUMENTS, **changes: object) -> IbkrBroker:
        if not keep:
            for broker in opened:
                broker.close()
        chosen = replace(settings, **changes)
        broker = IbkrBroker(chosen, market.calendar, instruments, market.now, IbkrConnection(chosen))
        opened.append(broker)
        return broker

    yield make
    for broker in opened:
        broker.close()


@pytest.fixture
def broker(connect: Callable[..., IbkrBroker]) -> IbkrBroker:
    return connect()


@pytest.fixture(autouse=True)
def nothing_undecoded(caplog):
    """No record at ERROR from the library: a message that does not decode vanishes with nothing but that."""
    caplog.set_level(logging.INFO, logger="ib_insync")
    caplog.set_level(logging.INFO, logger="ib_async")
    yield
    names = ("ib_insync", "ib_async", "asyncio")
    broken = [
        f"{record.name}: {record.getMessage()}"
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and record.name.startswith(names)
    ]
    assert broken == []
