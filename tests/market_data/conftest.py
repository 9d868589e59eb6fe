"""Fixtures of the market data tests."""

from pathlib import Path

import pytest

from scizor_dagster.lake.connection import Lake
from tests.market_data.support import new_lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = new_lake(tmp_path)
    yield lake
    lake.close()
