"""The clock of a rehearsal: read now and then, never going back, and not given up for one answer that is missing."""

from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.brokers.broker_clock import MAX_AGE, PATIENCE, BrokerClock
from scizor_dagster.errors import BrokerUnavailable

THEN = datetime(2024, 3, 4, 15, 0, tzinfo=UTC)


class Venue:
    """A venue whose time and health are set by hand, beside seconds that only grow."""

    def __init__(self) -> None:
        self.at, self.seconds, self.reads, self.answers = THEN, 1000.0, 0, True

    def read(self) -> datetime:
        self.reads += 1
        if not self.answers:
            raise BrokerUnavailable("It does not answer.", remedy="Wait.")
        return self.at

    def later(self, seconds: float, *, speed: float = 60.0) -> None:
        self.seconds += seconds
        self.at += timedelta(seconds=seconds * speed)


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def clock(venue: Venue) -> BrokerClock:
    return BrokerClock(venue.read, lambda: venue.seconds)


def test_a_reading_serves_for_a_while_and_is_never_ahead_of_the_venue(venue, clock):
    assert clock() == THEN
    venue.later(MAX_AGE / 2)
    assert (clock(), venue.reads) == (THEN, 1)
    venue.later(MAX_AGE / 2)
    assert (clock(), venue.reads) == (venue.at, 2)


def test_it_never_goes_back(venue, clock):
    clock()
    venue.seconds += MAX_AGE
    venue.at -= timedelta(days=1)
    assert clock() == THEN


def test_a_clock_that_was_never_read_is_an_error_and_not_this_machines(venue, clock):
    venue.answers = False
    with pytest.raises(BrokerUnavailable):
        clock()


def test_the_last_reading_stands_in_for_a_minute(venue, clock):
    clock()
    venue.answers = False
    venue.later(MAX_AGE)
    assert (clock(), clock(), venue.reads) == (THEN, THEN, 2)
    venue.later(PATIENCE)
    with pytest.raises(BrokerUnavailable):
        clock()
    venue.answers = True
    assert clock() == venue.at
