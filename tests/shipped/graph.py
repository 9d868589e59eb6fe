"""The graph of the shipped configuration as text: `python -m tests.shipped.graph` prints what `graph.txt` holds.

What belongs here: everything of the definitions that somebody could change without noticing what follows from it.
What does not: descriptions, and what grows by itself (holidays of a partition, times of today).
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

SNAPSHOT = Path(__file__).with_name("graph.txt")


def graph_text() -> str:
    """The text, of the configuration and the defaults that are shipped, whatever the environment says."""
    from scizor_dagster.definitions import build_defs
    from scizor_dagster.settings import Settings

    with tempfile.TemporaryDirectory() as home:
        defs = build_defs(Settings.from_environment({"SCIZOR_HOME": home}))
        return "\n".join([*_assets(defs), *_jobs(defs), *_schedules(defs), *_sensors(defs), *_rest(defs), ""])


def _block(title: str, facts: Mapping[str, Any]) -> Iterator[str]:
    yield title
    for name, value in facts.items():
        if value not in (None, "", (), [], {}):
            yield f"  {name}: {value}"


def _assets(defs: dg.Definitions) -> Iterator[str]:
    graph = defs.resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        facts = {
            "group": node.group_name,
            "owners": ", ".join(sorted(node.owners)),
            "kinds": ", ".join(sorted(node.kinds)),
            "deps": ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)),
            "partitions": partitions_text(node.partitions_def),
            "backfill": _plain(node.backfill_policy),
            "automation": _plain(node.automation_condition),
        }
        if node.is_executable:
            spec, op = node.assets_def.specs_by_key[key], node.assets_def.op
            facts |= {
                "code version": node.code_version,
                "skippable": "yes" if spec.skippable else "",
                "pool": op.pool,
                "retries": _plain(op.retry_policy),
                "tags": _tags({**spec.tags, **op.tags}),
            }
        yield from _block(f"asset {key.to_user_string()}", facts)
        for check in sorted(item for item in graph.asset_check_keys if item.asset_key == key):
            blocking = graph.get_check_spec(check).blocking
            yield f"  check {check.name}: {'blocks what follows' if blocking else 'blocks nothing'}"


def partitions_text(partitions: dg.PartitionsDefinition | None) -> str:
    """What names a partition: changing any of it orphans what was stored under the old names."""
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        begin = f"{partitions.start:%Y-%m-%d}"
        what = f"{partitions.fmt} from {begin} by '{partitions.cron_schedule}' in {partitions.timezone}"
        return (
            f"{what}, end offset {partitions.end_offset}, {'with' if partitions.exclusions else 'without'} exclusions"
        )
    return (
        f"dynamic, {partitions.name}" if isinstance(partitions, dg.DynamicPartitionsDefinition) else _plain(partitions)
    )


def _jobs(defs: dg.Definitions) -> Iterator[str]:
    for job in sorted(defs.resolve_all_job_defs(), key=lambda item: item.name):
        if job.name.startswith("__"):
            continue
        keys = job.asset_layer.selected_asset_keys
        facts = {
            "executor": job.executor_def.name,
            "partitions": partitions_text(job.partitions_def),
            "tags": _tags(job.tags),
            "retries": _plain(job.op_retry_policy),
            "assets": ", ".join(sorted(key.to_user_string() for key in keys)),
        }
        yield from _block(f"job {job.name}", facts)


def _schedules(defs: dg.Definitions) -> Iterator[str]:
    for item in sorted(defs.get_repository_def().schedule_defs, key=lambda item: item.name):
        when = f"'{item.cron_schedule}' in {item.execution_timezone}"
        facts = {"job": item.job_name, "when": when, "at first": item.default_status.value}
        yield from _block(f"schedule {item.name}", facts)


def _sensors(defs: dg.Definitions) -> Iterator[str]:
    for item in sorted(defs.get_repository_def().sensor_defs, key=lambda item: item.name):
        facts = {
            "jobs": ", ".join(sorted(target.job_name for target in item.targets)),
            "every": f"{item.minimum_interval_seconds} s",
            "at first": item.default_status.value,
        }
        yield from _block(f"sensor {item.name}", facts)


def _rest(defs: dg.Definitions) -> Iterator[str]:
    assert isinstance(defs.executor, dg.ExecutorDefinition)
    yield f"executor: {defs.executor.name}"
    yield f"resources: {', '.join(sorted(defs.resources or {}))}"


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()) if not name.startswith("dagster/kind/"))


def _plain(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


if __name__ == "__main__":
    os.environ.pop("DATABASE_URL", None)
    sys.stdout.write(graph_text())
