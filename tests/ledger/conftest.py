"""One migrated ledger per test, on each kind of store."""

from collections.abc import Iterator

import pytest

from scizor_dagster.ledger.store import Ledger
from tests.ledgers import STORES


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url, synchronous="OFF")
    yield opened
    opened.close()
