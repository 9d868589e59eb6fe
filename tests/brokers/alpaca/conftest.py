"""The Alpaca adapter over HTTP: a door over a venue, and brokers that talk to it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.sessions import TradingCalendar
from tests.paper_exchange.alpaca.conftest import doors, no_error_records, venue  # noqa: F401 - fixtures
from tests.paper_exchange.alpaca.support import KEY, SECRET


class Time:
    """Seconds that pass only by waiting; `waited` are all waits, and `asleep` is how long the machine was suspended."""

    def __init__(self) -> None:
        self.at = 0.0
        self.asleep = 0.0
        self.waited: list[float] = []

    def clock(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at + self.asleep

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += seconds


class Brokers:
    """Makes brokers, and closes them with the test."""

    def __init__(self) -> None:
        self.time = Time()
        self._made: list[AlpacaBroker] = []

    def connect(self, url: str, **settings: Any) -> AlpacaBroker:
        base = {"clock_max_age": timedelta(0), "read_timeout": 10.0} | settings
        chosen = AlpacaSettings(base.pop("key_id", KEY), base.pop("secret_key", SECRET), url, **base)
        calendar = TradingCalendar("XNYS")
        broker = AlpacaBroker(chosen, calendar, monotonic=self.time.clock, wall=self.time.wall, wait=self.time.wait)
        self._made.append(broker)
        return broker

    def close(self) -> None:
        for broker in self._made:
            broker.close()


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    found = Brokers()
    yield found
    found.close()
