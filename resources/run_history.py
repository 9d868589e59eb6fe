"""Dagster's own record of runs: what of it may go, and taking that away.

What belongs here: runs, their events and their captured output, on whichever storage the instance has. What does not:
ledger and lake, which nothing here touches, and ticks, which Dagster itself forgets (`retention` of `dagster.yaml`).

Dagster keeps every event for ever. A run that is deleted takes its materializations along, so that a partition would
look as if it had never been made, and its run key, which Dagster would then launch again. Therefore a run stays while a
newest materialization rests on it, and as the newest of its job; and keys name the session or the occasion that asked,
which after the shortest age that the configuration allows is none that anybody asks for. A run that came twice
all the same would find its work in the ledger, done.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from scizor_dagster.config.runs import RunRules

PAGE = 500


@dataclass(frozen=True)
class Pruned:
    """What went and what stayed.

    Attributes:
        deleted: Runs that went, with their events.
        kept: Runs of that age that stayed.
        outputs: Runs whose captured output went.
    """

    deleted: int
    kept: int
    outputs: int


def prune(instance: dg.DagsterInstance, now: datetime, rules: RunRules) -> Pruned:
    """Delete what the rules let go. Each run goes on its own: what is cut short goes on the next time."""
    outputs = sum(_delete_output(instance, run_id) for run_id, _ in _finished(instance, now, rules.keep_output_days))
    old = dict(_finished(instance, now, rules.keep_days))
    needed = _rested_upon(instance) | _newest_of(instance, set(old.values())) if old else set()
    going = [run_id for run_id in old if run_id not in needed]
    for run_id in going:
        _delete_run(instance, run_id)
    return Pruned(len(going), len(old) - len(going), outputs)


def _finished(instance: dg.DagsterInstance, now: datetime, days: int) -> Iterator[tuple[str, str]]:
    """Id and job of every finished run that is older."""
    before = (now - timedelta(days=days)).astimezone(UTC)
    asked = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    cursor = None
    while True:
        page = instance.get_runs(asked, cursor=cursor, limit=PAGE)
        for run in page:
            yield run.run_id, run.job_name
        if len(page) < PAGE:
            return
        cursor = page[-1].run_id


def _rested_upon(instance: dg.DagsterInstance) -> set[str]:
    """Runs that made the newest state of an asset or of a partition."""
    needed: set[str] = set()
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        if newest is not None:
            needed.add(newest.run_id)
        of_partitions = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = sorted(of_partitions.values())
        for begin in range(0, len(ids), PAGE):
            asked = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[begin : begin + PAGE])
            needed |= {record.run_id for record in instance.fetch_materializations(asked, limit=PAGE).records}
    return needed


def _newest_of(instance: dg.DagsterInstance, jobs: set[str]) -> set[str]:
    return {run.run_id for job in jobs for run in instance.get_runs(dg.RunsFilter(job_name=job), limit=1)}


def _delete_output(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether there was any."""
    manager = instance.compute_log_manager
    if isinstance(manager, LocalComputeLogManager):
        folder = Path(manager.get_captured_local_path([run_id], "out")).parent / run_id
        if not folder.is_dir():
            return False
    manager.delete_logs(prefix=[run_id])
    return True


def _delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    _delete_output(instance, run_id)
    instance.delete_run(run_id)
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        # Its events had a database of their own, which is empty now.
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)
