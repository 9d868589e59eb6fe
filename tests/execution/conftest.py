"""Ledgers for the tests of execution: copies of one that was migrated once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import adopt
from tests.ledgers import STORES, sqlite_ledger

ON_EACH_STORE = {"test_executor", "test_unknown", "test_tracking", "test_release", "test_gates"}
"""Modules whose tests run on each kind of store: the protocol, and what it does when the broker or the ledger fails."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in ON_EACH_STORE:
        metafunc.parametrize("store", STORES)


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy, for tests that need many ledgers."""
    folder = tmp_path_factory.mktemp("empty")
    sqlite_ledger(folder)
    return folder / "ledger.sqlite"


@pytest.fixture(scope="session")
def holding_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portfolio `main` owns 40 AAA and 10 BBB."""
    folder = tmp_path_factory.mktemp("holding")
    ledger = Ledger.open(sqlite_ledger(folder))
    adopt(ledger, "AAA", "40")
    adopt(ledger, "BBB", "10")
    ledger.close()
    return folder / "ledger.sqlite"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url, synchronous="OFF")
    yield opened
    opened.close()
