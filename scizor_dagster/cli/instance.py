"""Dagster's instance and runs, as the command line needs them.

What belongs here: creating the instance before anything starts on it, and running a job of the
definitions in this process on that instance, so that the UI shows it. What does not: what jobs do.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scizor_dagster import errors
from scizor_dagster.cli.dead_runs import PROCESS_TAG, end_dead_runs, living_process
from scizor_dagster.errors import ConfigError, ScizorError
from scizor_dagster.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.execution.plan.objects import UserFailureData
    from dagster_shared.error import SerializableErrorInfo

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(ScizorError):
    """A Dagster run that ended red. The cause is the failing step's own sentence.

    The exit code is 2 where every failing step names bad input as its cause, else 1.
    """

    def __init__(self, problem: str, *, remedy: str, where: str, exit_code: int = 1) -> None:
        super().__init__(problem, remedy=remedy, where=where)
        self.exit_code = exit_code


@dataclass(frozen=True)
class RunOutcome:
    """A finished run: whether it is green, its metadata by asset key, and the checks that did not pass."""

    run_id: str
    success: bool
    metadata: Mapping[str, Mapping[str, Any]]
    failed_checks: tuple[str, ...]


def prepare_home(settings: Settings) -> None:
    """Create `$DAGSTER_HOME` with its `dagster.yaml`, and the instance's databases.

    Webserver and daemon race on an empty home, so it is filled before either starts.

    Raises:
        ConfigError: the folder cannot be written.
    """
    _write_home(settings)
    with _instance(settings):
        return


def _write_home(settings: Settings) -> None:
    home = settings.dagster_home
    shipped = PROJECT_ROOT / "dagster.yaml"
    target = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != shipped.read_bytes():
            shutil.copyfile(shipped, target)
    except OSError as error:
        raise ConfigError(
            f"The folder cannot be written ({error.strerror}).",
            remedy="Set SCIZOR_HOME to a folder that you may write to.",
            where=str(home),
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["SCIZOR_HOME"] = str(settings.home)
    os.environ["SCIZOR_CONFIG"] = str(settings.config_path)


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        # Storage is lazy: a first query creates its tables.
        instance.get_runs_count()
        yield instance


class JobRunner:
    """Runs jobs of the definitions in this process, one after the other, on one instance."""

    def __init__(
        self, settings: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions, process: str
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._definitions = definitions
        self._process = process

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, fixed_now: str | None = None) -> Iterator[JobRunner]:
        """Load the definitions, then prepare the home; `fixed_now` (ISO 8601) replaces the clock for replays.

        Raises:
            ConfigError: the definitions do not load (nothing is written), or the home cannot be prepared.
        """
        from scizor_dagster.definitions import build_defs

        definitions = build_defs(settings, fixed_now=fixed_now)
        _write_home(settings)
        home = settings.dagster_home
        with _instance(settings) as instance, living_process(home) as process:
            end_dead_runs(instance, home)
            yield cls(settings, instance, definitions, process)

    def run(
        self,
        job: str,
        *,
        partition: str | None = None,
        partition_range: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        raise_on_failed_check: bool = True,
    ) -> RunOutcome:
        """Run `job` to its end.

        A blocking check that does not pass ends a run red although every step did its work; with
        `raise_on_failed_check=False` such a run is returned with its failed checks.

        Raises:
            RunFailed: a step failed; names the step and its own sentence.
        """
        run_tags = {PROCESS_TAG: self._process, **(tags or {})}
        if partition_range is not None:
            run_tags["dagster/asset_partition_range_start"] = partition_range[0]
            run_tags["dagster/asset_partition_range_end"] = partition_range[1]
        result = self._definitions.resolve_job_def(job).execute_in_process(
            run_config={**QUIET, **(config or {})},
            instance=self._instance,
            partition_key=partition,
            tags=run_tags,
            raise_on_error=False,
        )
        failed_checks = _failed_checks(result)
        if not result.success and (raise_on_failed_check or not _only_checks_failed(result)):
            raise _failure(job, result)
        return RunOutcome(result.run_id, result.success, _metadata(result), failed_checks)


def _failure(job: str, result: dg.ExecuteInProcessResult) -> RunFailed:
    sentences = []
    codes = set()
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            described = failure.user_failure_data.description if failure.user_failure_data else None
            sentences.append(f"{event.step_key}: {described or _innermost(failure.error)}")
            codes.add(_exit_code(failure.user_failure_data))
        elif event.is_failure and event.message and not sentences:
            sentences.append(event.message)
    text = " ".join(sentences) or "The run failed without naming a step."
    return RunFailed(
        text,
        where=f"job {job}, run {result.run_id[:8]}",
        remedy="See the run in the UI: make dev.",
        exit_code=2 if codes == {2} else 1,
    )


def _exit_code(data: UserFailureData | None) -> int:
    """The exit code of the error that the asset edge named as the kind of the failure; 1 where it named none."""
    kind = data.metadata.get("kind") if data is not None else None
    error = getattr(errors, str(kind.value), ScizorError) if kind is not None else ScizorError
    return int(error.exit_code)


def _innermost(error: SerializableErrorInfo | None) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no cause was recorded"


def _only_checks_failed(result: dg.ExecuteInProcessResult) -> bool:
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return bool(failures) and all(
        failure.error is not None and failure.error.cls_name == "DagsterAssetCheckFailedError" for failure in failures
    )


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        key = "/".join(materialization.asset_key.path)
        found[key] = {name: value.value for name, value in materialization.metadata.items()}
    return found


def _failed_checks(result: dg.ExecuteInProcessResult) -> tuple[str, ...]:
    evaluations = result.get_asset_check_evaluations()
    return tuple(f"{'/'.join(item.asset_key.path)}:{item.check_name}" for item in evaluations if not item.passed)
