"""A run worker of the soak: a process of its own for each run, forked from one that has imported everything.

What belongs here: the launcher, and what the process does, which is what Dagster's own worker does. What does not: when
a run is launched; Dagster's queue says.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import matplotlib.figure
import pandera.pandas
from dagster._cli.api import _execute_run_command_body
from dagster._core.launcher import LaunchRunContext
from dagster._core.storage.tags import GRPC_INFO_TAG

from scizor_dagster import definitions
from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest
from scizor_dagster.cli.run_launcher import WatchingRunLauncher
from tests.benchmarks.memory import peak_mb
from tests.soak.clock import MovedClock

IMPORTED = (matplotlib.figure, pandera.pandas, definitions)
"""What a worker would import by and by."""
PEAKS = "worker_peaks.jsonl"
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.soak.worker"])


class ForkingLauncher(WatchingRunLauncher):
    """The product's launcher, with the worker begun here and not by a code location's server.

    Attributes:
        power_fails: The next rebalance dies in the middle of its orders, and all processes around it.
    """

    power_fails = False

    def __init__(self, home: Path, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._home = home
        self._now = now
        self.workers: list[BaseProcess] = []

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        self._instance.add_run_tags(run.run_id, {GRPC_INFO_TAG: json.dumps({"host": "localhost"})})
        dies = self.power_fails and run.job_name == "rebalance"
        worker = PROCESSES.Process(target=work, args=(self._home, run.run_id, self._now(), dies))
        worker.start()
        self.workers.append(worker)


def work(home: Path, run_id: str, now: datetime, dies: bool) -> None:
    """Be the worker of a run that begins now."""
    os.environ["DAGSTER_HOME"] = str(home)
    MovedClock(now).put_in_place()
    if dies:
        _die_at_a_send()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        _execute_run_command_body(run_id, instance, lambda _: None, set_exit_code_on_failure=False)
    with (home / PEAKS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(peak_mb(os.getpid())) + "\n")


def _die_at_a_send() -> None:
    """The power fails when the exchange has the first order, and the ledger knows that it was about to be sent.

    The whole group goes down: this worker, its siblings and the daemon.
    """
    original = PaperBroker.submit

    def mortal(self: PaperBroker, order: OrderRequest) -> BrokerOrder:
        original(self, order)
        os.killpg(os.getpgid(0), signal.SIGKILL)
        raise AssertionError("a killed process goes on")

    PaperBroker.submit = mortal  # type: ignore[method-assign]
