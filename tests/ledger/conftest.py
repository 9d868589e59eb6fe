"""One migrated ledger per test, copied from a template."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.ledger.store import Ledger


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def ledger(template: Path, tmp_path: Path) -> Iterator[Ledger]:
    path = tmp_path / "ledger.sqlite"
    shutil.copy(template, path)
    opened = Ledger.open(f"sqlite:///{path}", synchronous="OFF")
    yield opened
    opened.close()
