"""The job that runs a backtest.

What belongs here: its name and what it runs. What does not: when; a person starts it, with a partition of any name
and the request as config.
"""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

BACKTEST = "backtest"


def research_job() -> "UnresolvedAssetJobDefinition":
    """`backtest`."""
    return dg.define_asset_job(
        BACKTEST,
        selection=dg.AssetSelection.assets("backtests"),
        description="Runs one backtest and keeps it: add a partition, and say in the config what is asked for.",
        tags={"dagster/max_runtime": "7200"},
        executor_def=dg.in_process_executor,
    )
