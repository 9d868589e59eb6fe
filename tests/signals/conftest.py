"""Fixtures for the tests of signals."""

from collections.abc import Iterator

import pytest

from scizor_dagster.signals import readers
from scizor_dagster.signals.reading import read


@pytest.fixture(scope="module")
def in_process() -> Iterator[None]:
    """Read in this process: for many small files, where the process that reads is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "read_in_child", read)
        yield
