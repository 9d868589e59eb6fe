"""The figures as text that Prometheus reads, each part read at most every so often.

What belongs here: reading part by part, keeping what was read for some seconds, and the text. What does not: the parts,
and who may ask.

A part that fails leaves the others alone: it is down (`scizor_up` 0), and its figures are missing, for an old figure
that looks new is worse than none. Whoever asks while somebody else's question is being answered gets the last figures,
unless they have become old: so a store that hangs holds up one request, and not the service.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.monitoring.catalogue import MACHINE, METRICS, MONEY, PRICES, RUNS, TRADING
from scizor_dagster.monitoring.machine import machine
from scizor_dagster.monitoring.money import money
from scizor_dagster.monitoring.prices import prices
from scizor_dagster.monitoring.readings import Readings
from scizor_dagster.monitoring.runs import DagsterFigures, runs
from scizor_dagster.monitoring.trading import trading
from scizor_dagster.sessions import Clock

CONTENT_TYPE = CONTENT_TYPE_LATEST
OLDEST_SECONDS = 60.0
"""Of figures that are shown while newer ones are being read."""
KEPT_SECONDS: Mapping[str, float] = {TRADING: 10.0, RUNS: 10.0, MONEY: 30.0, PRICES: 60.0, MACHINE: 60.0}
"""How long a part is kept before it is read again. Prices look at every bar of a week; orders at a few rows."""
LOG = logging.getLogger("scizor.metrics")
Read = Callable[[], Readings]


class Busy(ScizorError):
    """The stores have been asked for a while, and have not answered yet."""

    exit_code = 1


def parts_of(desk: Callable[[], Desk], dagster: Callable[[], DagsterFigures | None]) -> dict[str, Read]:
    """How each part is read; the desk is asked for anew each time, as its configuration may change."""
    return {
        PRICES: lambda: prices(desk()),
        TRADING: lambda: trading(desk()),
        MONEY: lambda: money(desk()),
        MACHINE: lambda: machine(desk()),
        RUNS: lambda: runs(dagster()),
    }


@dataclass
class _Part:
    """What a part has come to. `began` is by the monotonic clock."""

    began: float
    at: datetime
    took: float
    readings: Readings | None


@dataclass
class Monitor:
    """The figures of one application. Safe to share between threads.

    Attributes:
        parts: How each part is read, by name.
        clock: The machine's.
        seconds: Monotonic seconds.
    """

    parts: Mapping[str, Read]
    clock: Clock
    seconds: Callable[[], float] = time.monotonic
    _known: Mapping[str, _Part] = field(default_factory=dict)
    _guard: Lock = field(default_factory=Lock)
    _looked: float | None = None

    def text(self, may_see: Callable[[str], bool] = lambda _: True) -> bytes:
        """What Prometheus is shown, without the figures of accounts that the asker may not see.

        Raises:
            Busy: somebody else's question is under way, and the last answer has become old.
        """
        registry = CollectorRegistry()
        registry.register(_Shown(self._current(), may_see))
        return generate_latest(registry)

    def _current(self) -> Mapping[str, _Part]:
        if not self._guard.acquire(blocking=False):
            if self._looked is not None and self.seconds() - self._looked <= OLDEST_SECONDS:
                return self._known
            raise Busy(
                "The stores have not answered the question before this one yet.",
                remedy="Ask again; where it stays so, look at the database: scizor doctor.",
            )
        try:
            began, known = self.seconds(), dict(self._known)
            for name, read in self.parts.items():
                if name not in known or began - known[name].began >= KEPT_SECONDS[name]:
                    known[name] = self._read(name, read)
            # Whoever is shown the mapping from before keeps it as it is.
            self._known, self._looked = known, began
            return known
        finally:
            self._guard.release()

    def _read(self, name: str, read: Read) -> _Part:
        began, at = self.seconds(), self.clock()
        readings = None
        try:
            readings = read()
        except Exception as error:
            # A damaged store fails in ways of its own; the other parts are still worth an answer.
            LOG.warning("The part %s of the metrics cannot be read.", name, exc_info=error)
        return _Part(began, at, self.seconds() - began, readings)


class _Shown(Collector):
    """What is known, as a collector of Prometheus' client."""

    def __init__(self, known: Mapping[str, _Part], may_see: Callable[[str], bool]) -> None:
        self._known = known
        self._may_see = may_see

    def collect(self) -> Iterator[GaugeMetricFamily]:
        parts = self._known.items()
        yield self._family("scizor_up", [((name,), float(part.readings is not None)) for name, part in parts])
        yield self._family(
            "scizor_measured_timestamp_seconds", [((name,), part.at.timestamp()) for name, part in parts]
        )
        yield self._family("scizor_measuring_seconds", [((name,), part.took) for name, part in parts])
        for name in METRICS:
            for part in self._known.values():
                if part.readings is not None and name in part.readings.rows:
                    yield self._family(name, part.readings.rows[name].items())

    def _family(self, name: str, rows: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
        metric = METRICS[name]
        family = GaugeMetricFamily(name, metric.says, labels=list(metric.labels))
        account = metric.labels.index("account") if "account" in metric.labels else None
        for labels, value in rows:
            if account is None or self._may_see(labels[account]):
                family.add_metric(list(labels), value)
        return family
