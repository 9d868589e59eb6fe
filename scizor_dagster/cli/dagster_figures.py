"""Dagster's heartbeats, switches, runs and ticks, as figures.

What belongs here: joining what two modules read. What does not: reading (`dagster_state`, `dagster_runs`).
"""

from __future__ import annotations

from scizor_dagster.cli.dagster_runs import count_runs
from scizor_dagster.cli.dagster_state import DAEMONS, read_dagster
from scizor_dagster.monitoring.runs import DagsterFigures
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings


def dagster_figures(settings: Settings, clock: Clock) -> DagsterFigures | None:
    """What Dagster's databases say; None where there is no instance.

    Raises:
        DataError: a database cannot be read.
    """
    state, counts = read_dagster(settings), count_runs(settings, clock())
    if state is None or counts is None:
        return None
    return DagsterFigures(
        {name: state.heartbeats.get(name) for name in DAEMONS},
        sum(state.switches.values()),
        counts.under_way,
        counts.ended,
        counts.failed_ticks,
    )
