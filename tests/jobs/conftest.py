"""Fixtures of the tests of schedules and sensors."""

import gc
from collections.abc import Iterator

import pytest

from resources import desk


@pytest.fixture(scope="module", autouse=True)
def _no_ledger_stays_open() -> Iterator[None]:
    """A process keeps one desk for each moment that its clock is set to: here hundreds, each with its ledger."""
    yield
    desk._open_desk.cache_clear()
    gc.collect()
