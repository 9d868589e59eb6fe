"""The lake's tests run on each kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.lake.location import LakeLocation
from tests.lakes import NewLake, new_lakes
from tests.ledgers import STORES


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_lake(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewLake]:
    """Makes locations of new lakes on the test's kind of store."""
    with new_lakes(store, tmp_path, lambda: request.getfixturevalue("postgres")) as new:
        yield new


@pytest.fixture
def location(new_lake: NewLake) -> LakeLocation:
    """Where a new lake may be made."""
    return new_lake("lake")
