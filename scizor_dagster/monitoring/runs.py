"""What Dagster does: its daemons, runs and ticks, as its databases say.

What belongs here: figures of what was read. What does not: reading Dagster's databases (`cli.dagster_state`,
`cli.dagster_runs`), which is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scizor_dagster.monitoring.catalogue import RUNS
from scizor_dagster.monitoring.readings import Readings


@dataclass(frozen=True)
class DagsterFigures:
    """What was read. `heartbeats` names each daemon that is needed, with None for one never heard of."""

    heartbeats: Mapping[str, datetime | None]
    switched_on: int
    under_way: Mapping[str, int]
    ended: Mapping[str, int]
    failed_ticks: int


def runs(figures: DagsterFigures | None) -> Readings:
    """The figures; none where there is no instance."""
    found = Readings(RUNS)
    if figures is None:
        return found
    for daemon, at in figures.heartbeats.items():
        found.instant("scizor_dagster_heartbeat_timestamp_seconds", at, daemon.lower())
    found.add("scizor_dagster_switched_on", figures.switched_on)
    for status, count in figures.under_way.items():
        found.add("scizor_runs", count, status.lower())
    for status, count in figures.ended.items():
        found.add("scizor_runs_ended_24h", count, status.lower())
    found.add("scizor_ticks_failed_24h", figures.failed_ticks)
    return found
