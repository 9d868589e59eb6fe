"""Keeping the lake and Dagster's record small, as assets: what they weigh stands in every materialization, as a plot.

What belongs here: the assets `maintenance` and `run_history`. What does not: what of the lake may go
(`scizor_dagster.flow.maintenance`), and what of the record (`resources.run_history`).
"""

from typing import Any

import dagster as dg
import pandas as pd

from assets.failures import clear_failures
from assets.metadata import table
from resources.desk import TradingDesk
from resources.run_history import prune
from scizor_dagster.flow.maintenance import maintain_lake
from scizor_dagster.lake.maintenance import LakeSize, MaintenanceReport

MEBIBYTE = 1024 * 1024


@dg.asset(
    key=dg.AssetKey(["maintenance"]),
    group_name="reference",
    owners=["team:data"],
    kinds={"ducklake"},
    code_version="1",
    description="Expiry of earlier states of the lake, compaction and clean-up of its files. Plans can still be made "
    "again afterwards.",
)
def maintenance(desk: TradingDesk) -> dg.MaterializeResult:
    with clear_failures():
        report = maintain_lake(desk.desk)
    return dg.MaterializeResult(metadata=maintenance_metadata(report))


@dg.asset(
    key=dg.AssetKey(["run_history"]),
    group_name="reference",
    owners=["team:data"],
    kinds={"dagster"},
    code_version="1",
    description="Deletes old runs of Dagster's record, with events and output; none that a newest state rests on.",
)
def run_history(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
    with clear_failures():
        pruned = prune(context.instance, desk.desk.clock(), desk.desk.config.runs)
    return dg.MaterializeResult(
        metadata={
            "runs_deleted": pruned.deleted,
            "old_runs_kept": pruned.kept,
            "outputs_deleted": pruned.outputs,
        }
    )


def maintenance_metadata(report: MaintenanceReport) -> dict[str, Any]:
    """Numbers that Dagster plots over the materializations, and the tables by size."""
    return {
        "files": report.after.files,
        "files_before": report.before.files,
        "megabytes": _megabytes(report.after),
        "megabytes_before": _megabytes(report.before),
        "snapshots": report.after.snapshots,
        "snapshots_before": report.before.snapshots,
        "snapshots_expired": report.expired,
        "snapshots_kept_for_plans": len(report.kept),
        "files_merged": report.merged,
        "files_rewritten": report.rewritten,
        "files_deleted": report.deleted,
        "tables": table(_tables(report)),
    }


def _megabytes(size: LakeSize) -> float:
    return round(size.bytes / MEBIBYTE, 3)


def _tables(report: MaintenanceReport) -> pd.DataFrame:
    earlier = {item.table: item for item in report.before.tables}
    rows = [
        (item.table, earlier[item.table].files if item.table in earlier else 0, item.files, item.bytes)
        for item in sorted(report.after.tables, key=lambda item: -item.bytes)
    ]
    return pd.DataFrame(rows, columns=["table", "files before", "files", "bytes"])
