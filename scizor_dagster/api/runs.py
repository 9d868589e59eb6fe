"""Long work as Dagster runs: submitted, looked at, cancelled.

What belongs here: handing a job of the definitions to Dagster's webserver where it answers, else to a thread of this
process or to the one beside it (`run_work`), one run after the other, recorded in the same instance all the same. What
does not: what a job does.

A run that waits for its turn is known to this process alone: where it ends, the run was never begun.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.api.run_work import Work, Worker, done
from scizor_dagster.api.webserver import Webserver
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

logger = logging.getLogger("scizor.api")
ACTOR_TAG = "scizor/actor"
KIND_TAG = "scizor/kind"
ENDS_TAG = "scizor/ends-when-asked"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
MOST_LISTED = 1000
MOST_WAITING = 100
"""Runs that wait for the thread of this process."""
_MOST_LINES = 5000
_STATUS = {
    "QUEUED": RunStatus.QUEUED,
    "NOT_STARTED": RunStatus.QUEUED,
    "MANAGED": RunStatus.QUEUED,
    "STARTING": RunStatus.RUNNING,
    "STARTED": RunStatus.RUNNING,
    "CANCELING": RunStatus.RUNNING,
    "SUCCESS": RunStatus.SUCCEEDED,
    "FAILURE": RunStatus.FAILED,
    "CANCELED": RunStatus.CANCELLED,
}


@dataclass(frozen=True)
class RunRequest:
    """What is to be run: a job of the definitions, as the command line runs it.

    Attributes:
        kind: What the caller calls it (`collection`, `backtest`); a run is found again only under its kind.
        config: Run configuration. Never a secret: Dagster shows it.
        tags: What the caller wants to find again in `RunState.tags`.
        partitions: Name of the dynamic partitions that `partition` is one of; it is added to them.
        ends_when_asked: Whether the job looks whether its end was asked for, so that it can be ended here.
    """

    kind: str
    job: str
    partition: str | None = None
    partition_range: tuple[str, str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    partitions: str | None = None
    ends_when_asked: bool = False

    def all_tags(self, actor: str) -> dict[str, str]:
        tags = {KIND_TAG: self.kind, ACTOR_TAG: actor, **self.tags}
        if self.ends_when_asked:
            tags[ENDS_TAG] = "yes"
        if self.partition is not None:
            tags["dagster/partition"] = self.partition
        if self.partition_range is not None:
            first, last = self.partition_range
            tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return tags


@dataclass(frozen=True)
class RunState:
    """A run as it is. `problem` says why it failed, in the sentences of its steps."""

    run_id: str
    job: str
    status: RunStatus
    tags: Mapping[str, str]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    problem: str = ""
    steps_done: tuple[str, ...] = ()
    created_at: datetime | None = None


class Runs:
    """Submits runs and tells of them; without a `worker` they are done here. Safe to call from several threads."""

    def __init__(
        self,
        settings: Settings,
        dagster_url: str,
        clock: Clock,
        redact: Callable[[str], str] = str,
        worker: Worker | None = None,
    ) -> None:
        self._settings = settings
        self._webserver = Webserver(dagster_url, settings.dagster_home)
        self._clock = clock
        self._redact = redact
        self._worker = worker
        self._guard = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scizor-run")
        self._waiting: dict[str, tuple[RunState, Future[None]]] = {}
        self._opened = ExitStack()
        self._instance: dg.DagsterInstance | None = None

    def submit(self, request: RunRequest, actor: str) -> RunState:
        """Have it run, now or as soon as what was submitted before has ended.

        Raises:
            NotTaken: Dagster's webserver answers, and did not take it.
            RequestRefused: too many wait in this process (503).
        """
        if not self._webserver.takes_runs():
            return self._submit_here(request, actor)
        tags = request.all_tags(actor)
        self._add_partition(request)
        run_id = self._webserver.submit(request.job, request.config, tags)
        return RunState(run_id, request.job, RunStatus.QUEUED, tags)

    def state(self, run_id: str, kind: str | None = None) -> RunState:
        """The run as it is.

        Raises:
            NotFound: there is no such run, or it is of another kind.
        """
        found = self._stored(run_id) or self._waiting_state(run_id)
        if found is None or (kind is not None and found.tags.get(KIND_TAG) != kind):
            raise NotFound(kind or "run", run_id)
        return found

    def listed(self, kind: str, most: int = MOST_LISTED) -> list[RunState]:
        """The newest `most` runs of a kind, the newest first; those that wait here among them. Without their steps."""
        import dagster as dg

        instance = self._open()
        wanted = dg.RunsFilter(tags={KIND_TAG: kind})
        records = instance.get_run_records(wanted, limit=most) if instance is not None else []
        found = {record.dagster_run.run_id: self._state_of(record) for record in records}
        with self._guard:
            here = [state for state, _ in self._waiting.values() if state.tags.get(KIND_TAG) == kind]
        unknown = [state for state in here if state.run_id not in found and self._stored(state.run_id) is None]
        every = [*found.values(), *unknown]
        return sorted(every, key=lambda item: item.created_at or self._clock(), reverse=True)[:most]

    @property
    def go_to_webserver(self) -> bool:
        """Whether what is submitted now would be handed to Dagster's webserver; else it is done here."""
        return self._webserver.takes_runs()

    def cancel(self, run_id: str, kind: str | None = None) -> RunState:
        """End a run that has not ended.

        Raises:
            NotFound: there is no such run, or it is of another kind.
            RequestRefused: it has ended, or is under way here, where nothing lets go of it (409).
            NotTaken: Dagster's webserver did not end it.
        """
        found = self.state(run_id, kind)
        with self._guard:
            waiting = self._waiting.get(run_id)
        if found.status is RunStatus.QUEUED and waiting is not None and waiting[1].cancel():
            cancelled = replace(found, status=RunStatus.CANCELLED, ended_at=self._clock())
            with self._guard:
                self._waiting[run_id] = (cancelled, waiting[1])
            return cancelled
        if found.status not in ENDED and waiting is None:
            self._webserver.end(run_id)
            return self.state(run_id, kind)
        instance = self._open()
        run = instance.get_run_by_id(run_id) if instance is not None else None
        if found.status is RunStatus.RUNNING and ENDS_TAG in found.tags and instance is not None and run is not None:
            # The step that runs in this process looks for it, and ends the run as cancelled.
            instance.report_run_canceling(run)
            return self.state(run_id, kind)
        raise RequestRefused(
            f"Run {run_id[:8]} is {found.status} and cannot be cancelled.",
            remedy="Nothing was done. Wait for its end.",
            status=409,
        )

    def wait(self, run_id: str) -> RunState:
        """The run once this process has done it; at once where it is not this process's."""
        with self._guard:
            waiting = self._waiting.get(run_id)
        if waiting is not None and not waiting[1].cancelled():
            waiting[1].result()
        return self.state(run_id)

    def made(self, run_id: str) -> dict[str, Any]:
        """What the steps of a run said of what they made: their metadata by name; empty before."""
        import dagster as dg

        instance, found = self._open(), dict[str, Any]()
        if instance is None:
            return found
        for item in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            event = item.dagster_event
            assert event is not None
            of = event.step_materialization_data.materialization.metadata
            found |= {name: value.value for name, value in of.items()}
        return found

    def said(self, run_id: str, after: int) -> list[tuple[int, str]]:
        """What the steps of a run have written into its log after the line of that number: numbers and lines."""
        from dagster._core.event_api import EventLogCursor

        instance = self._open()
        if instance is None:
            return []
        cursor = EventLogCursor.from_storage_id(after).to_string() if after else None
        told = []
        for item in instance.get_records_for_run(run_id, cursor=cursor, limit=_MOST_LINES).records:
            entry = item.event_log_entry
            told.append((item.storage_id, "" if entry.is_dagster_event else self._redact(entry.user_message)))
        return told

    def close(self) -> None:
        """Begin no further run, and wait for the one that is under way."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._worker is not None:
            self._worker.close()
        self._opened.close()

    def _add_partition(self, request: RunRequest) -> None:
        instance = self._open()
        if request.partitions is not None and request.partition is not None and instance is not None:
            instance.add_dynamic_partitions(request.partitions, [request.partition])

    def _submit_here(self, request: RunRequest, actor: str) -> RunState:
        run_id = str(uuid4())
        waiting = RunState(run_id, request.job, RunStatus.QUEUED, request.all_tags(actor), created_at=self._clock())
        with self._guard:
            self._make_room()
            self._waiting[run_id] = (waiting, self._thread.submit(self._run, run_id, request, waiting))
        return waiting

    def _make_room(self) -> None:
        """Refuse one more run than may wait, and forget those that ended long ago: their records are in the store."""
        ended = [run_id for run_id, (_, future) in self._waiting.items() if future.done()]
        if len(self._waiting) - len(ended) > MOST_WAITING:
            raise RequestRefused(
                f"There are {MOST_WAITING} runs waiting here already.",
                remedy="Nothing was submitted. Ask again when some have ended, or cancel some.",
                status=503,
            )
        for run_id in ended[:-MOST_LISTED]:
            del self._waiting[run_id]

    def _run(self, run_id: str, request: RunRequest, waiting: RunState) -> None:
        work = Work(
            request.job,
            run_id,
            waiting.tags,
            request.config,
            request.partition,
            request.partition_range,
            request.partitions,
        )
        problem = self._worker.done(work) if self._worker is not None else done(self._settings, work)
        if problem:
            self._note_failure(run_id, waiting, problem)

    def _note_failure(self, run_id: str, waiting: RunState, problem: str) -> None:
        problem = self._redact(problem)
        failed = replace(waiting, status=RunStatus.FAILED, ended_at=self._clock(), problem=problem)
        with self._guard:
            self._waiting[run_id] = (failed, self._waiting[run_id][1])

    def _waiting_state(self, run_id: str) -> RunState | None:
        with self._guard:
            found = self._waiting.get(run_id)
        return found[0] if found is not None else None

    def _stored(self, run_id: str) -> RunState | None:
        instance = self._open()
        record = instance.get_run_record_by_id(run_id) if instance is not None else None
        if instance is None or record is None:
            return None
        state = self._state_of(record)
        problem = self._problem(instance, run_id) if state.status is RunStatus.FAILED else ""
        return replace(state, problem=problem, steps_done=tuple(_steps_done(instance, run_id)))

    def _state_of(self, record: dg.RunRecord) -> RunState:
        """What a run's own record says of it: neither its steps nor why it failed."""
        run = record.dagster_run
        return RunState(
            run.run_id,
            run.job_name,
            _STATUS[run.status.value],
            dict(run.tags),
            _instant(record.start_time),
            _instant(record.end_time),
            created_at=record.create_timestamp.replace(tzinfo=UTC),
        )

    def _problem(self, instance: dg.DagsterInstance, run_id: str) -> str:
        here = self._waiting_state(run_id)
        return here.problem if here is not None and here.problem else self._redact(_failures(instance, run_id))

    def _open(self) -> dg.DagsterInstance | None:
        from scizor_dagster.cli.instance import opened_instance

        with self._guard:
            if self._instance is None and (self._settings.dagster_home / "dagster.yaml").is_file():
                self._instance = self._opened.enter_context(opened_instance(self._settings))
            return self._instance


def _steps_done(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    import dagster as dg

    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    return [str(item.step_key) for item in found]


def _failures(instance: dg.DagsterInstance, run_id: str) -> str:
    import dagster as dg

    from scizor_dagster.cli.instance import failure_sentence

    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    sentences = [failure_sentence(item.get_dagster_event()) for item in found]
    return " ".join(sentences) or "The run failed without naming a step."


def _instant(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
