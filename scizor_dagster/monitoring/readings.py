"""Figures as they are read: one value for each name and set of labels, held to the catalogue.

What belongs here: collecting. What does not: reading (the parts), and writing them out (`exposition`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scizor_dagster.monitoring.catalogue import METRICS


@dataclass
class Readings:
    """The figures of one part. `rows` has the values of a metric by the values of its labels."""

    part: str
    rows: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)

    def add(self, name: str, value: float, *labels: str) -> None:
        """Set a figure. One that the catalogue does not have, or with other labels, is a mistake of this program."""
        metric = METRICS[name]
        assert metric.part == self.part, name
        assert len(metric.labels) == len(labels), (name, labels)
        self.rows.setdefault(name, {})[labels] = float(value)

    def instant(self, name: str, at: datetime | None, *labels: str) -> None:
        """An instant, or 0 where there is none."""
        self.add(name, at.timestamp() if at is not None else 0.0, *labels)

    def one_of(self, name: str, chosen: StrEnum, states: Iterable[StrEnum], *labels: str) -> None:
        """1 for the state that is, and 0 for every other one."""
        for state in states:
            self.add(name, state == chosen, *labels, state.value)
