"""Ledgers for the tests of execution: copies of one that was migrated once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import adopt, fresh_copy


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def holding_ledger(empty_ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portfolio `main` owns 40 AAA and 10 BBB."""
    url = fresh_copy(empty_ledger, tmp_path_factory.mktemp("holding") / "ledger.sqlite")
    ledger = Ledger.open(url)
    adopt(ledger, "AAA", "40")
    adopt(ledger, "BBB", "10")
    ledger.close()
    return ledger.path


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(fresh_copy(empty_ledger, tmp_path / "ledger.sqlite"), synchronous="OFF")
    yield opened
    opened.close()
