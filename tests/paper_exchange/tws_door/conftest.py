"""A TWS on a free port, and the unmodified client on an event loop of its own."""

import logging

import pytest

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from tests.paper_exchange.floor import Floor, ScriptedFaults, listing
from tests.paper_exchange.tws_door.client import Client

INSTRUMENTS = (
    Instrument("AAA", "XNAS", "USD", "ALPHA INC"),
    Instrument("BRK.B", "XNYS", "USD", "BERKSHIRE HATHAWAY-CL B"),
    Instrument("BHP", "XASX", "AUD", "BHP GROUP LTD"),
)
ADR = listing(Instrument("BHP", "XNYS", "USD", "BHP GROUP LTD-SPON ADR"))


@pytest.fixture
def venue(tmp_path) -> Floor:
    return Floor(tmp_path, INSTRUMENTS)


@pytest.fixture
def faults() -> ScriptedFaults:
    return ScriptedFaults()


@pytest.fixture
def switches() -> Switches:
    return Switches(foreign_listings=(ADR,))


@pytest.fixture
def tws(venue, faults, switches):
    with serve_tws(venue, faults=faults, switches=switches) as running:
        yield running


@pytest.fixture
def connect(tws):
    """Connect a client with the given id; all are closed at the end."""
    clients = []

    def make(client_id: int = 1, **options: object) -> Client:
        client = Client(tws.port, client_id, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect) -> Client:
    return connect(1)


@pytest.fixture(autouse=True)
def nothing_undecoded(caplog):
    """A message with a wrong field count is dropped silently by the client: only its decoder's log says so."""
    caplog.set_level(logging.INFO, logger="ib_insync")
    yield
    broken = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and ("Decoder" in record.name or "No order found" in record.getMessage())
    ]
    assert broken == []


@pytest.fixture
def recorded(reference_data):
    """Folder of what a real TWS has said."""
    folder = reference_data.parent / "reference" / "ibkr-recorded"
    if not folder.is_dir():
        pytest.skip(f"no recorded messages in {folder}")
    return folder
