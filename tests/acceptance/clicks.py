"""What a person at Dagster's UI, or a daemon, can start on the weekly project: for tests of what comes of it.

The real definitions, on the project's own instance, in this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from resources.desk import SystemClock, TradingDesk
from scizor_dagster.cli.instance import QUIET, prepare_home
from scizor_dagster.definitions import build_defs
from scizor_dagster.settings import Settings
from tests.acceptance.weekly import Weekly

EXECUTIONS, RECONCILIATIONS = dg.AssetKey(["main", "executions"]), dg.AssetKey(["main", "reconciliations"])
PLANNED, TARGETS = dg.AssetKey(["main", "planned_orders"]), dg.AssetKey(["main", "target_weights"])


def rebalance_job() -> dg.JobDefinition:
    """What a re-execution loads anew, from the environment, as a run worker does."""
    return build_defs(Settings.from_environment(os.environ)).resolve_job_def("rebalance")


@dataclass(frozen=True)
class Clicks:
    """The project's definitions and its instance."""

    settings: Settings

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_defs(self.settings)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        prepare_home(self.settings)
        with dg.DagsterInstance.from_config(str(self.settings.dagster_home)) as instance:
            yield instance

    def run(
        self, job: str, session: date, tags: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        with self.instance() as instance:
            return self.definitions.resolve_job_def(job).execute_in_process(
                run_config={**QUIET, **(config or {})},
                instance=instance,
                partition_key=session.isoformat(),
                tags=dict(tags or {}),
                raise_on_error=False,
            )

    def materialize(self, session: date, *keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
        """Select assets and click "Materialize": a run of the job that Dagster makes of all assets."""
        with self.instance() as instance:
            return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=session.isoformat(),
                asset_selection=list(keys),
                raise_on_error=False,
            )

    def reexecute(self, session: date, steps: Sequence[str] | None = None, *, failed: bool = False) -> bool:
        """Re-execute the last run of `rebalance` in the session: whole, some of its steps, or from its failure."""
        with self.instance() as instance:
            tags = {"dagster/partition": session.isoformat()}
            run = instance.get_runs(dg.RunsFilter(job_name="rebalance", tags=tags), limit=1)[0]
            options = (
                dg.ReexecutionOptions.from_failure(run.run_id, instance)
                if failed
                else dg.ReexecutionOptions(run.run_id, step_selection=list(steps) if steps else None)
            )
            job = dg.reconstructable(rebalance_job)
            return dg.execute_job(job, instance, reexecution_options=options, raise_on_error=False).success

    def tick(self, at: datetime) -> dg.RunRequest:
        """What the schedule of the rebalance asks for at a tick, a minute after it."""
        clock = SystemClock(fixed_at=at.isoformat())
        desk = TradingDesk(home=str(self.settings.home), config_path=str(self.settings.config_path), clock=clock)
        schedule = self.definitions.get_repository_def().get_schedule_def("rebalance_before_open")
        with dg.build_schedule_context(scheduled_execution_time=at, resources={"desk": desk}) as context:
            found = schedule(context)
        assert isinstance(found, dg.RunRequest), found
        return found


def clicks_on(weekly: Weekly) -> Clicks:
    return Clicks(Settings.from_environment(weekly.environment))


def materialize_in_a_process(environment: Mapping[str, str], said: Path, session: date) -> None:
    """Be a run worker of its own that materializes `executions`; its exit code says whether the run was green."""
    os.environ.update(environment)
    with said.open("w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    result = Clicks(Settings.from_environment(os.environ)).materialize(session, EXECUTIONS)
    raise SystemExit(0 if result.success else 1)
