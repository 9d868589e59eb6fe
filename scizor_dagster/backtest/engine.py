"""The run of a backtest: session after session through the planner that trades.

What belongs here: `run_backtest`. What does not: where weights and prices come from, and figures of a result.
"""

from __future__ import annotations

from collections.abc import Callable

from scizor_dagster.backtest.model import Choices, History, Result, Schedule
from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.planning.rules import PlanningRules

Progress = Callable[[int, int], bool]
"""Called with sessions done and of how many; False cancels."""


def run_backtest(
    history: History,
    schedule: Schedule,
    rules: PlanningRules,
    capabilities: Capabilities,
    choices: Choices,
    progress: Progress | None = None,
) -> Result:
    """Trade the schedule's weights on the history, as the rules say."""
    raise NotImplementedError
