"""Sessions to choose parameters on, and sessions to judge the choice on, kept apart.

What belongs here: rows of sessions in training and in test. What does not: what is chosen (`walk_forward`).

Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 (purging, embargo) and 12 (walk forward,
combinatorial). A decision of session t uses the `purge` sessions before it (a look-back) or lives for as many after it
(a holding): what lies that near to a test session knows of it, and is not trained on. Serial correlation reaches
further forward: the `embargo` sessions after a test are left out of training too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Span = tuple[int, int]
"""Rows from the first to the one before the second."""


@dataclass(frozen=True, slots=True)
class Split:
    """Spans of rows to train on and to test on, each in order, none overlapping."""

    train: tuple[Span, ...]
    test: tuple[Span, ...]

    def train_rows(self) -> NDArray[Any]:
        return _rows(self.train)

    def test_rows(self) -> NDArray[Any]:
        return _rows(self.test)


@dataclass(frozen=True, slots=True)
class Windows:
    """How a walk forward moves, in sessions.

    Attributes:
        train: Sessions of a training window; of the first one where they are anchored.
        test: Sessions of a test window, and the step from one to the next.
        purge: Sessions between training and test that are in neither.
        anchored: Whether every training window begins with the first session, and grows.
    """

    train: int
    test: int
    purge: int = 0
    anchored: bool = False

    def __post_init__(self) -> None:
        if self.train < 1 or self.test < 1 or self.purge < 0:
            raise InputError(
                f"A walk forward of {self.train} sessions of training, {self.test} of test and a purge of {self.purge} "
                "cannot be walked.",
                remedy="Train and test on at least one session; a purge is 0 or more.",
            )


def walk_forward(first: int, last: int, windows: Windows) -> list[Split]:
    """Splits of the rows from `first` to the one before `last`: train, a gap, test, and on by a test's length.

    The tests follow one another without a gap; the last may be shorter. Training never comes after its test, so that
    nothing needs an embargo.

    Raises:
        InputError: not even one test fits.
    """
    starts = range(first + windows.train + windows.purge, last, windows.test)
    if not starts:
        raise InputError(
            f"{last - first} sessions do not hold {windows.train} of training, a purge of {windows.purge} and a test.",
            remedy="Give shorter windows or more history.",
        )
    return [
        Split(
            train=((first if windows.anchored else start - windows.purge - windows.train, start - windows.purge),),
            test=((start, min(start + windows.test, last)),),
        )
        for start in starts
    ]


def purged_folds(
    first: int, last: int, groups: int, tested: int = 1, purge: int = 0, embargo: int = 0
) -> Iterator[Split]:
    """Each way to test on `tested` of so many groups of successive rows, and to train on what is left around them.

    With one tested group this is purged k-fold cross-validation, with more the combinatorial one. `purge` rows on both
    sides of each tested group and `embargo` more after it are not trained on.

    Raises:
        InputError: fewer than two groups, more than there are rows, as many tested as there are, or a negative purge or
            embargo.
    """
    if not (1 <= tested < groups <= last - first) or purge < 0 or embargo < 0:
        raise InputError(
            f"{last - first} sessions in {groups} groups, {tested} of them tested, with a purge of {purge} and an "
            f"embargo of {embargo}, cannot be split.",
            remedy="Test at least one group and leave at least one, of at least a session each; a purge and an embargo "
            "are 0 or more.",
        )
    bounds = [first + (last - first) * group // groups for group in range(groups + 1)]
    for places in combinations(range(groups), tested):
        test = _joined([(bounds[place], bounds[place + 1]) for place in places])
        train, at = [], first
        for start, end in test:
            train.append((at, start - purge))
            at = end + purge + embargo
        train.append((at, last))
        yield Split(tuple((start, end) for start, end in train if start < end), tuple(test))


def _joined(spans: list[Span]) -> list[Span]:
    """Neighbours as one span: no purge lies between two tested groups that touch."""
    found = spans[:1]
    for start, end in spans[1:]:
        if start == found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _rows(spans: tuple[Span, ...]) -> NDArray[Any]:
    import numpy as np

    return np.concatenate([np.arange(start, end) for start, end in spans]) if spans else np.arange(0)
