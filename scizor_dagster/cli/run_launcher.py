"""Dagster's own run launcher, which here can also tell that a run's worker process is gone.

What belongs here: the answer to the daemon's question whether a worker lives. What does not: what becomes of a dead
run's orders; the ledger decides what its successor sends.

The server of a code location reports a worker that dies beside it. Where both die (the machine, its memory, a service
manager that kills the whole group) nobody does: the run stays "started", keeps its place in the queue and its
account's pool, and the next session's run would wait for it until `dagster/max_runtime` is over. Only what is
certainly gone is called dead: in doubt, or where another process has the number by now, that time still ends the run.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData

from scizor_dagster import logs
from scizor_dagster.cli.dead_runs import HOST_TAG, PROCESS_TAG, host_of, is_dead
from scizor_dagster.flow.secrets import late_redaction

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
_HERE = ("localhost", "127.0.0.1", "::1")


class WatchingRunLauncher(DefaultRunLauncher):
    """See the module. The daemon's run monitoring asks it about every run that has started."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        # The one part of this project that Dagster's webserver and daemon load.
        logs.dress_dagster(os.environ, late_redaction(os.environ))

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch it, and keep in mind on which machine."""
        self._instance.add_run_tags(context.dagster_run.run_id, {HOST_TAG: self._host})
        super().launch_run(context)

    @property
    def _host(self) -> str:
        return host_of(Path(self._instance.root_directory))

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """`FAILED` where the run's process is gone, else `RUNNING`."""
        if PROCESS_TAG in run.tags:
            gone = is_dead(run, Path(self._instance.root_directory))
            words = "the command that ran it has ended without it"
        else:
            pid = self._pid_of(run)
            gone = pid is not None and not _exists(pid)
            words = f"its process {pid} is gone: killed, out of memory, or the machine was started anew"
        if not gone:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, words)

    def _pid_of(self, run: dg.DagsterRun) -> int | None:
        """The number of the run's process on this machine; None where it is not known, or of another machine."""
        if run.tags.get(HOST_TAG, self._host) != self._host:
            return None
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if "socket" not in server and server.get("host") not in _HERE:
            return None
        entries = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        found = [match for entry in entries if (match := _STARTED.search(entry.message))]
        return int(found[-1][1]) if found else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It is somebody else's, and so not the worker; but that proves nothing about this one.
        return True
    try:
        # A process that has ended and that nobody has asked after has no more than its number.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
