"""Requests go as fast as the broker permits and no faster. No second passes: waiting moves the clock."""

import pytest

from scizor_dagster.brokers.alpaca.pacing import WINDOW, Pacer, headroom, shared_pacer
from tests.brokers.alpaca.conftest import Time

LATENCY = 0.1


def arrivals(count: int, limit: int = 200) -> list[float]:
    """When so many requests arrive that are sent one after the other."""
    time = Time()
    pacer, found = Pacer(limit, time.clock, time.wait), []
    for _ in range(count):
        pacer.take()
        time.at += LATENCY
        found.append(time.at)
    return found


@pytest.mark.parametrize("count", [400, 1000, 2000])
def test_a_batch_reaches_95_percent_of_the_permitted_rate_at_100_ms_latency(count):
    found = arrivals(count)
    permitted_seconds = count / 200 * 60
    assert found[-1] <= permitted_seconds / 0.95


def test_a_batch_within_the_limit_is_not_held_up_at_all():
    assert arrivals(200)[-1] == pytest.approx(200 * LATENCY)


def test_no_minute_brings_more_than_the_limit_wherever_it_begins():
    found = arrivals(1000)
    for index, first in enumerate(found):
        assert sum(first <= at < first + 60 for at in found[index : index + 300]) <= 200


def test_after_too_many_nothing_goes_until_the_time_is_over():
    time = Time()
    pacer = Pacer(200, time.clock, time.wait)
    pacer.hold(15.0)
    pacer.take()
    assert time.at == 15.0


def test_all_that_use_one_side_of_an_account_keep_its_limit_together_and_the_lowest_holds():
    time = Time()
    orders = shared_pacer("http://door", "trading", "KEY", 3, time.clock, time.wait)
    positions = shared_pacer("http://door", "trading", "KEY", 5, time.clock, time.wait)
    other = shared_pacer("http://door", "trading", "OTHER", 3, time.clock, time.wait)
    prices = shared_pacer("http://door", "data", "KEY", 3, time.clock, time.wait)
    for pacer in (orders, positions, orders, other, prices):
        pacer.take()
    assert time.at == 0.0
    positions.take()
    assert time.at >= 60.0


def test_the_room_that_is_left_counts_what_was_taken_and_what_the_broker_has_refused() -> None:
    now = [0.0]
    pacer = Pacer(3, lambda: now[0], lambda seconds: None)
    assert pacer.room == (3, 3)
    pacer.take()
    assert pacer.room == (3, 2)
    now[0] += WINDOW + 1.1
    assert pacer.room == (3, 3)
    pacer.hold(10)
    assert pacer.room == (3, 0)
    now[0] += 10
    pacer.lower(2)
    assert pacer.room == (2, 2)


def test_of_several_accounts_at_one_api_the_least_room_is_told_without_address_or_key() -> None:
    now = [0.0]
    clock, wait = (lambda: now[0]), (lambda seconds: None)
    for key, taken in (("a", 1), ("b", 2)):
        pacer = shared_pacer("https://room.example.org/v2?k=1", "trading", key, 5, clock, wait)
        for _ in range(taken):
            pacer.take()
    assert [row for row in headroom() if row[0] == "room.example.org"] == [("room.example.org", "trading", 5, 3)]
