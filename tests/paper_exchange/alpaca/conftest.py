"""Fixtures of the Alpaca wire: a venue, doors over it, plain HTTP; and no record at ERROR in a passing test."""

import logging
from collections.abc import Iterator

import pytest

from tests.paper_exchange.alpaca.floor import Floor
from tests.paper_exchange.alpaca.support import OPEN, Doors, Wire

LEFT_BY_OTHERS = {"sqlalchemy.pool.impl.NullPool"}


@pytest.fixture
def venue(tmp_path) -> Floor:
    return Floor(tmp_path, OPEN)


@pytest.fixture
def doors(venue: Floor) -> Iterator[Doors]:
    found = Doors(venue)
    yield found
    found.close()


@pytest.fixture
def wire(doors: Doors) -> Iterator[Wire]:
    found = Wire(doors.open().url)
    yield found
    found.session.close()


@pytest.fixture(autouse=True)
def no_error_records(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail on any record at ERROR, of the client's library, the server's or ours.

    Only Dagster's own stores are opened without a pool. One that an earlier test of this process has left
    to the garbage collector is closed in whatever thread that runs in, and SQLite says so.
    """
    with caplog.at_level(logging.WARNING):
        yield
    said = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    errors = [record for record in said if record.levelno >= logging.ERROR and record.name not in LEFT_BY_OTHERS]
    assert not errors, [f"{record.name}: {record.getMessage()}" for record in errors]
