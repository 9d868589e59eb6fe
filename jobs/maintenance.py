"""The job that keeps the lake and Dagster's record small.

What belongs here: its name and what it runs. What does not: when (`schedules`). It may run at any time, beside
collections and plans.
"""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

MAINTAIN = "maintain"


def maintenance_job() -> "UnresolvedAssetJobDefinition":
    """`maintain`."""
    return dg.define_asset_job(
        MAINTAIN,
        selection=dg.AssetSelection.assets("maintenance", "run_history"),
        description="Expires earlier states of the lake, compacts and deletes its files, and deletes old runs.",
        tags={"dagster/max_runtime": "7200"},
        executor_def=dg.in_process_executor,
    )
