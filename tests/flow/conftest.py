"""Sessions that have been traded, made once for all tests that look back at them."""

from pathlib import Path

import pytest

from tests.flow.traded import made


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a portfolio with a past; not to be changed (`traded.copied` gives a copy)."""
    folder = tmp_path_factory.mktemp("past")
    made(folder)
    return folder
