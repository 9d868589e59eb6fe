"""How asset checks stand: what Dagster's event log says of each, and whether that is of the newest data.

What belongs here: judging stored evaluations. What does not: which of them are wanted (`check_scope`), running checks
(`check_runs`), printing and exit codes (`verify`). Nothing is written.

Checks of this project run inside the step that writes the rows. A run is green although a check that blocks nothing
has failed, and a check whose step has died leaves no evaluation at all: neither may count as passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

PAGE = 200
PARTITION = "dagster/partition"


class State(StrEnum):
    """How a check stands."""

    PASSED = "passed"
    WARNING = "warning"
    LEFT_OUT = "left_out"
    BEHIND = "behind"
    FAILED = "failed"
    NOT_EVALUATED = "not_evaluated"
    OUTDATED = "outdated"
    BROKEN = "broken"
    RUNNING = "running"


WARNINGS = frozenset({State.WARNING, State.LEFT_OUT, State.BEHIND})
"""What fails only where warnings do as well; whatever is neither this nor passed fails always."""


@dataclass(frozen=True)
class Judged:
    """One check of one asset, or of one partition of it.

    Attributes:
        asset: Key of the asset, its parts joined by `/`.
        partition: None where the asset has none, or none of it was ever made.
        detail: What it has found, or why there is no evaluation.
        at: When it was evaluated.
    """

    asset: str
    check: str
    partition: str | None
    state: State
    blocking: bool
    detail: str = ""
    at: datetime | None = None
    run_id: str = ""


def outcome(evaluation: dg.AssetCheckEvaluation) -> tuple[State, str]:
    """State and words of an evaluation. Whether the check blocks says nothing of whether it failed."""
    from scizor_dagster.cli.instance import words_of

    if evaluation.passed:
        return State.PASSED, ""
    state = State.WARNING if evaluation.severity.value == "WARN" else State.FAILED
    return state, words_of(evaluation) or evaluation.description or ""


class Evaluations:
    """The stored evaluations of one instance."""

    def __init__(self, instance: dg.DagsterInstance, graph: AssetGraph) -> None:
        self._instance = instance
        self._graph = graph

    def judge(self, key: dg.AssetCheckKey, partition: str | None) -> Judged:
        """The newest evaluation of this check on this partition."""
        made = self._made(key.asset_key, partition)
        record = next(self._records(key, partition, made[0] if made else ""), None)
        asset, blocking = "/".join(key.asset_key.path), bool(self._graph.get_check_spec(key).blocking)
        if record is None or record.event is None:
            state, detail = self._absent(key.asset_key, partition, made)
            return Judged(asset, key.name, partition, state, blocking, detail)
        if record.status.value == "PLANNED":
            state, detail = self._planned(record.run_id, key.asset_key)
            return Judged(asset, key.name, partition, state, blocking, detail, run_id=record.run_id)
        at = datetime.fromtimestamp(record.event.timestamp, UTC)
        if made is not None and made[0] != record.run_id and made[1] > at:
            state = State.OUTDATED
            detail = f"The data was written again at {made[1]:%Y-%m-%d %H:%M:%S} UTC and not checked since."
        else:
            event = record.event.dagster_event
            assert event is not None
            state, detail = outcome(event.asset_check_evaluation_data)
        return Judged(asset, key.name, partition, state, blocking, detail, at, record.run_id)

    def _made(self, key: dg.AssetKey, partition: str | None) -> tuple[str, datetime] | None:
        """Run and time of the newest materialization."""
        import dagster as dg

        asked = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
        records = self._instance.fetch_materializations(asked, limit=1).records
        return (records[0].run_id, datetime.fromtimestamp(records[0].timestamp, UTC)) if records else None

    def _records(self, key: dg.AssetCheckKey, partition: str | None, maker: str) -> Iterator[AssetCheckExecutionRecord]:
        """What is stored of the check on this partition, newest first."""
        cursor = None
        while True:
            page = self._instance.event_log_storage.get_asset_check_execution_history(key, PAGE, cursor)
            for record in page:
                # Most evaluations are stored without their partition: their run has it.
                named = record.partition or self._partition_of(record.run_id)
                if partition is None or record.run_id == maker or named == partition:
                    yield record
            if len(page) < PAGE:
                return
            cursor = page[-1].id

    def _partition_of(self, run_id: str) -> str | None:
        run = self._instance.get_run_by_id(run_id) if run_id else None
        return run.tags.get(PARTITION) if run is not None else None

    def _absent(self, key: dg.AssetKey, partition: str | None, made: tuple[str, datetime] | None) -> tuple[State, str]:
        if made is not None:
            return State.NOT_EVALUATED, f"The data was written at {made[1]:%Y-%m-%d %H:%M:%S} UTC and never checked."
        if self._may_be_left_out(key):
            return State.LEFT_OUT, "Nothing was stored, which this asset may decide."
        return State.NOT_EVALUATED, f"{partition or 'The asset'} was never materialized."

    def _planned(self, run_id: str, key: dg.AssetKey) -> tuple[State, str]:
        """Why a run that was to evaluate the check has not."""
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            return State.NOT_EVALUATED, f"Run {run_id[:8]}, which is not kept any more, ended without it."
        if not run.is_finished:
            return State.RUNNING, f"Run {run_id[:8]} is at it."
        if run.is_success:
            what = f"Run {run_id[:8]} ended without it."
            return (State.LEFT_OUT if self._may_be_left_out(key) else State.NOT_EVALUATED), what
        return State.BROKEN, f"Run {run_id[:8]} failed before it was evaluated."

    def _may_be_left_out(self, key: dg.AssetKey) -> bool:
        return self._graph.has(key) and self._graph.get(key).assets_def.specs_by_key[key].skippable
