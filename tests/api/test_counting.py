"""Numbers of requests, each until its time is over."""

from __future__ import annotations

import pytest

from scizor_dagster.api import counting
from scizor_dagster.api.counting import Counts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as its one item."""
    now = [1000.0]
    monkeypatch.setattr(counting.time, "time", lambda: now[0])
    return now


def test_a_number_grows_until_its_time_is_over_and_then_begins_anew(clock: list[float]) -> None:
    counts = Counts()
    assert [counts.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert (counts.incr("b", 60, 5), counts.get("a"), counts.get_expiry("a")) == (5, 3, 1060.0)
    clock[0] = 1060.0
    assert (counts.get("a"), counts.incr("a", 60), counts.get_expiry("a")) == (0, 1, 1120.0)
    assert (counts.get("none"), counts.get_expiry("none"), counts.check()) == (0, 1060.0, True)


def test_numbers_whose_time_is_over_take_no_room(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_BEFORE_TIDYING", 10)
    counts = Counts()
    counts._tidied_at = 10
    for number in range(10):
        counts.incr(f"old {number}", 60)
    clock[0] = 1060.0
    counts.incr("new", 60)
    assert counts.reset() == 1
    counts.incr("new", 60)
    counts.clear("new")
    assert (counts.get("new"), counts.reset()) == (0, 0)
