"""Dagster's instance and runs, as the command line needs them.

What belongs here: creating the instance before anything starts on it, and running a job of the
definitions in this process on that instance, so that the UI shows it. What does not: what jobs do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from scizor_dagster import errors
from scizor_dagster.cli.dagster_home import write_dagster_home
from scizor_dagster.cli.dagster_state import lost
from scizor_dagster.cli.dead_runs import end_dead_runs, living_process, marks_of
from scizor_dagster.errors import DataError, ScizorError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.execution.plan.objects import UserFailureData
    from dagster_shared.error import SerializableErrorInfo

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
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
    """A finished run: whether it is green, its metadata by asset key, and the checks that did not pass.

    Attributes:
        metadata: By asset key; tables and other markdown, which only the UI shows, are left out.
        failed_checks: Every check that did not pass, as `asset:check`.
        warnings: Those of them that stop nothing (severity WARN).
        found: What each of them has found, in words, where it says so.
    """

    run_id: str
    success: bool
    metadata: Mapping[str, Mapping[str, Any]]
    failed_checks: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    found: Mapping[str, str] = field(default_factory=dict)


def prepare_home(settings: Settings) -> None:
    """Create `$DAGSTER_HOME` with its `dagster.yaml`, and the instance's databases.

    Webserver and daemon race on an empty home, so it is filled before either starts.

    Raises:
        ConfigError: the folder cannot be written.
        DataError: a database of Dagster's is damaged.
    """
    write_dagster_home(settings)
    with opened_instance(settings):
        return


@contextmanager
def opened_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of a prepared home.

    Raises:
        DataError: a database of Dagster's is damaged, or its server cannot be reached.
    """
    import dagster as dg

    home = settings.dagster_home
    with ExitStack() as opened:
        with _one_at_a_time(home):
            if not settings.on_server:
                _require_sound_databases(home)
            with _storage_errors(settings):
                instance = opened.enter_context(dg.DagsterInstance.from_config(str(home)))
                # Storage is lazy: a first query creates its tables.
                instance.get_runs_count()
        yield instance


@contextmanager
def _one_at_a_time(dagster_home: Path) -> Iterator[None]:
    """Dagster makes its storage without a lock: of two that open an empty home at once, one would fail."""
    lock = FileLock(dagster_home / "opening.lock")
    try:
        lock.acquire()
    except OSError:
        # The storage itself tells of a folder that cannot be written.
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _require_sound_databases(dagster_home: Path) -> None:
    """Refuse a database whose head cannot be read; Dagster would say so by a traceback, or in the middle of a run."""
    for name in DATABASES:
        path = dagster_home / name
        if not path.is_file():
            continue
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error


@contextmanager
def _storage_errors(settings: Settings) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise (lost(settings, cause) if settings.on_server else _damaged(settings.dagster_home, cause)) from error


def _damaged(path: Path, cause: BaseException) -> DataError:
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    return DataError(
        f"Dagster's record of runs cannot be read ({reason}).",
        remedy="Move it away and run the command again, which makes a new one. "
        "Only what the UI shows of earlier runs is lost; lake and ledger are kept apart from it.",
        where=str(path),
    )


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
        write_dagster_home(settings)
        home = settings.dagster_home
        with opened_instance(settings) as instance, living_process(home) as process:
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
        run_id: str | None = None,
    ) -> RunOutcome:
        """Run `job` to its end.

        A blocking check that does not pass ends a run red although every step did its work; with
        `raise_on_failed_check=False` such a run is returned with its failed checks. `run_id` is a new UUID, where the
        caller must know it beforehand.

        Raises:
            RunFailed: a step failed; names the step and its own sentence.
            DataError: Dagster's own databases cannot be read or written.
            KeyboardInterrupt: Ctrl-C; the run is marked as ended.
        """
        from dagster._core.errors import DagsterExecutionInterruptedError

        run_tags = {**marks_of(self._process, self._settings.dagster_home), **(tags or {})}
        if partition_range is not None:
            run_tags["dagster/asset_partition_range_start"] = partition_range[0]
            run_tags["dagster/asset_partition_range_end"] = partition_range[1]
        try:
            with _storage_errors(self._settings):
                result = self._definitions.resolve_job_def(job).execute_in_process(
                    run_config={**QUIET, **(config or {})},
                    instance=self._instance,
                    partition_key=partition,
                    tags=run_tags,
                    raise_on_error=False,
                    run_id=run_id,
                )
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        if _was_interrupted(result):
            raise KeyboardInterrupt
        failed = [item for item in result.get_asset_check_evaluations() if not item.passed]
        if not result.success and (raise_on_failed_check or not _only_checks_failed(result)):
            raise _failure(job, result)
        warnings = tuple(_check_name(item) for item in failed if item.severity.value == "WARN")
        return RunOutcome(
            result.run_id,
            result.success,
            _metadata(result),
            tuple(_check_name(item) for item in failed),
            warnings,
            {_check_name(item): words for item in failed if (words := words_of(item))},
        )


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step was ended by Ctrl-C, which Dagster records as the failure of that step."""
    errors_of_steps = (event.step_failure_data.error for event in result.all_events if event.is_step_failure)
    return any(
        (item.cls_name or "").endswith(("KeyboardInterrupt", "DagsterExecutionInterruptedError"))
        for error in errors_of_steps
        for item in _chain(error)
    )


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    while error is not None:
        yield error
        error = error.cause


def _failure(job: str, result: dg.ExecuteInProcessResult) -> RunFailed:
    sentences = []
    codes = set()
    for event in result.all_events:
        if event.is_step_failure:
            sentences.append(failure_sentence(event))
            codes.add(_exit_code(event.step_failure_data.user_failure_data))
        elif event.is_failure and event.message and not sentences:
            sentences.append(errors.sentence(event.message))
    text = " ".join(sentences) or "The run failed without naming a step."
    return RunFailed(
        text,
        where=f"job {job}, run {result.run_id[:8]}",
        remedy="See the run in the UI: make dev.",
        exit_code=2 if codes == {2} else 1,
    )


def failure_sentence(event: dg.DagsterEvent) -> str:
    """Why a step failed, in its own words."""
    failure = event.step_failure_data
    described = failure.user_failure_data.description if failure.user_failure_data else None
    return errors.sentence(f"{event.step_key}: {described or _innermost(failure.error)}")


def _exit_code(data: UserFailureData | None) -> int:
    """The exit code of the error that the asset edge named as the kind of the failure; 1 where it named none."""
    kind = data.metadata.get("kind") if data is not None else None
    error = getattr(errors, str(kind.value), ScizorError) if kind is not None else ScizorError
    return int(error.exit_code)


def _innermost(error: SerializableErrorInfo | None) -> str:
    chain = list(_chain(error))
    return chain[-1].message.strip() if chain else "no cause was recorded"


def _only_checks_failed(result: dg.ExecuteInProcessResult) -> bool:
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return bool(failures) and all(
        failure.error is not None and failure.error.cls_name == "DagsterAssetCheckFailedError" for failure in failures
    )


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    import dagster as dg

    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        key = "/".join(materialization.asset_key.path)
        found[key] = {
            name: value.value
            for name, value in materialization.metadata.items()
            if not isinstance(value, dg.MarkdownMetadataValue)
        }
    return found


def words_of(item: dg.AssetCheckEvaluation) -> str:
    """What a check has found: its texts, without tables and other markdown."""
    import dagster as dg

    texts = (value.value for value in item.metadata.values() if isinstance(value, dg.TextMetadataValue))
    return "; ".join(text for text in texts if text)


def _check_name(item: dg.AssetCheckEvaluation) -> str:
    return f"{'/'.join(item.asset_key.path)}:{item.check_name}"
