"""No session that a test could have told of is trained on, however windows are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.backtest.search.splits import Split, Windows, purged_folds, walk_forward
from scizor_dagster.errors import InputError

FEW = st.integers(0, 8)
MANY = st.integers(1, 40)


@given(first=FEW, sessions=st.integers(1, 200), train=MANY, test=MANY, purge=FEW, anchored=st.booleans())
def test_walking_forward_trains_before_the_purge_and_tests_every_session_after_it_once(
    first: int, sessions: int, train: int, test: int, purge: int, anchored: bool
):
    windows = Windows(train, test, purge, anchored)
    last = first + sessions
    if sessions <= train + purge:
        with pytest.raises(InputError, match="do not hold"):
            walk_forward(first, last, windows)
        return
    splits = walk_forward(first, last, windows)
    tested = [int(row) for split in splits for row in split.test_rows()]
    assert tested == list(range(first + train + purge, last))
    for split in splits:
        rows = split.train_rows()
        assert rows[-1] == split.test_rows()[0] - purge - 1
        assert rows[0] == (first if anchored else rows[-1] - train + 1)
        assert rows[0] >= first


@given(
    first=FEW, sessions=st.integers(4, 120), groups=st.integers(2, 6), tested=st.integers(1, 3), purge=FEW, embargo=FEW
)
def test_folds_train_on_all_but_the_test_its_purge_and_its_embargo(
    first: int, sessions: int, groups: int, tested: int, purge: int, embargo: int
):
    last = first + sessions
    if tested >= groups or groups > sessions:
        with pytest.raises(InputError, match="cannot be split"):
            list(purged_folds(first, last, groups, tested, purge, embargo))
        return
    times: dict[int, int] = {}
    for split in purged_folds(first, last, groups, tested, purge, embargo):
        test = {int(row) for row in split.test_rows()}
        kept_out = {row + step for row in test for step in range(-purge, purge + embargo + 1)}
        assert {int(row) for row in split.train_rows()} == set(range(first, last)) - kept_out
        for row in test:
            times[row] = times.get(row, 0) + 1
    # Each session is tested as often as any other.
    assert set(times) == set(range(first, last))
    assert len(set(times.values())) == 1


def test_a_split_without_training_has_no_rows():
    assert len(Split((), ((0, 3),)).train_rows()) == 0


@pytest.mark.parametrize("windows", [(0, 5, 0), (5, 0, 0), (5, 5, -1)])
def test_windows_of_nothing_are_refused(windows: tuple[int, int, int]):
    with pytest.raises(InputError, match="cannot be walked"):
        Windows(*windows)
