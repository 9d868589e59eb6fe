"""Running the asset checks that stand on their own, and nothing else.

What belongs here: a run of checks alone, in this process. What does not: checks that an asset makes while it writes,
which are judged as they were stored (`check_evaluations`): to run one of them is to run its asset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scizor_dagster.cli.check_evaluations import Judged, State, outcome

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

VERIFY = "verify"


def stands_alone(graph: AssetGraph, key: dg.AssetCheckKey) -> bool:
    """Whether the check can be run without materializing anything."""
    return graph.get_execution_set_asset_and_check_keys(key) == {key} and not graph.assets_def_for_key(key).keys


def run_checks(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetCheckKey],
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[Judged]:
    """Run these checks, which stand alone, as one run; each is judged by what this run says of it."""
    import dagster as dg

    from scizor_dagster.cli.instance import QUIET, failure_sentence

    job = dg.define_asset_job(VERIFY, selection=dg.AssetSelection.checks(*keys), executor_def=dg.in_process_executor)
    with_job = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    result = with_job.resolve_job_def(VERIFY).execute_in_process(
        run_config=QUIET, instance=instance, partition_key=partition, tags=dict(tags or {}), raise_on_error=False
    )
    graph = with_job.resolve_asset_graph()
    found = {item.asset_check_key: item for item in result.get_asset_check_evaluations()}
    failed = {str(event.step_key): failure_sentence(event) for event in result.all_events if event.is_step_failure}
    judged = []
    for key in keys:
        if key in found:
            state, detail = outcome(found[key])
        else:
            step = str(graph.assets_def_for_key(key).node_def.name)
            state, detail = State.BROKEN, failed.get(step, f"Run {result.run_id[:8]} ended without it.")
        blocking = bool(graph.get_check_spec(key).blocking)
        asset = "/".join(key.asset_key.path)
        judged.append(Judged(asset, key.name, partition, state, blocking, detail, datetime.now(UTC), result.run_id))
    return judged
