"""The run configuration of a history is read strictly."""

import pytest

from assets.markets import HistoryConfig
from scizor_dagster.errors import InputError


@pytest.mark.parametrize("basis", ["raw", "split", "total_return"])
def test_an_adjustment_to_collect_anew_as_is_read(basis):
    assert HistoryConfig(again_as=basis).adjustment() == basis


def test_no_adjustment_collects_nothing_anew_and_an_unknown_one_is_refused():
    assert HistoryConfig().adjustment() is None
    with pytest.raises(InputError, match="'adjusted' is not an adjustment"):
        HistoryConfig(again_as="adjusted").adjustment()
