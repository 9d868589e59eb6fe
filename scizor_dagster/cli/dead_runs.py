"""Runs whose process was killed: told apart from runs that are alive, and ended in Dagster's books.

What belongs here: the mark of a living process, and closing what a dead one left open. What does not:
orders; the ledger decides what a killed run's successor sends.

A killed run stays "started" for Dagster and keeps its account's pool and the place in the queue: the next
run would wait for it for ever. Each process holds a lock file that the operating system drops with it,
and its runs carry the file's name: whoever can take the lock knows that the run is dead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    import dagster as dg

PROCESS_TAG = "scizor/process"
HOST_TAG = "scizor/host"
"""Which machine a run's process is on: of one on another machine nobody here can say that it is dead."""
FOLDER = "processes"


def marks_of(process: str, dagster_home: Path) -> dict[str, str]:
    """The tags of a run in the process of this name."""
    return {PROCESS_TAG: process, HOST_TAG: host_of(dagster_home)}


def host_of(dagster_home: Path) -> str:
    """This machine, and the home in which its processes have their marks."""
    return f"{node()}:{dagster_home.resolve()}"


@contextmanager
def living_process(dagster_home: Path) -> Iterator[str]:
    """Hold this process's mark for the block; its name is the value of `PROCESS_TAG` for every run in it."""
    folder = dagster_home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex
    path = folder / f"{name}.lock"
    with FileLock(path):
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def end_dead_runs(instance: dg.DagsterInstance, dagster_home: Path) -> list[str]:
    """Mark the runs of dead processes as failed and free their pools; their ids."""
    import dagster as dg

    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        if not is_dead(run, dagster_home):
            continue
        instance.report_run_failed(run, "The process of this run has ended without it: killed, or out of memory.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def is_dead(run: dg.DagsterRun, dagster_home: Path) -> bool:
    """Whether the process that ran it on the command line has ended; False for one of any other process or machine."""
    name = run.tags.get(PROCESS_TAG)
    here = run.tags.get(HOST_TAG, host_of(dagster_home)) == host_of(dagster_home)
    return name is not None and here and not _is_alive(dagster_home / FOLDER / f"{name}.lock")


def _is_alive(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return True
    return False
