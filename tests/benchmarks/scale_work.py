"""One piece of work on a project of some size, in a process of its own, so that its peak of memory is its own.

    python -m tests.benchmarks.scale_work FOLDER UNITS WORK

`WORK` is the name of a function below. The answer is JSON: seconds of each part by the clock and of the processor, and
the peak in MB. `PROFILE=FILE` in the environment keeps a profile of the work.
"""

from __future__ import annotations

import cProfile
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.definitions import build_defs
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.summary import session_summary
from scizor_dagster.jobnames import name_for
from scizor_dagster.market_data import factory
from tests.benchmarks.memory import peak_mb
from tests.benchmarks.scale_project import BACKFILLED, COLLECTED, REBALANCED, TODAY, MadeUpMarket, Size

Seconds = dict[str, tuple[float, float]]
"""By the clock, and of the processor: a machine that is busy with others tells the second one alone."""


@contextmanager
def timed(taken: Seconds, name: str) -> Iterator[None]:
    start, busy = time.perf_counter(), time.process_time()
    yield
    taken[name] = (time.perf_counter() - start, time.process_time() - busy)


def definitions(size: Size) -> Seconds:
    """What a code location does when it starts: assemble, resolve every job, and make the graph that is sent on."""
    taken: Seconds = {}
    with timed(taken, "definitions"):
        repository = build_defs(size.settings).get_repository_def()
        for job in repository.get_all_jobs():
            assert job.name
        assert len(repository.asset_graph.get_all_asset_keys()) > 6 * len(size.portfolios)
    return taken


def backfill(size: Size) -> Seconds:
    taken: Seconds = {}
    year = str(BACKFILLED)
    with JobRunner.open(size.settings) as runner, timed(taken, "backfill"):
        runner.run("collect_history", partition_range=(year, year))
    return taken


def collect(size: Size) -> Seconds:
    """The second of two sessions."""
    taken: Seconds = {}
    with JobRunner.open(size.settings) as runner:
        runner.run("collect_daily", partition=COLLECTED[0].isoformat())
        with timed(taken, "collect"):
            runner.run("collect_daily", partition=COLLECTED[1].isoformat())
    return taken


def rebalance(size: Size) -> Seconds:
    """All portfolios buy in one session, and move every holding in the next, which is measured."""
    taken: Seconds = {}
    jobs = [name_for("rebalance", name, size.portfolios) for name in size.portfolios]
    with JobRunner.open(size.settings) as runner:
        with timed(taken, "rebalance_first"):
            for job in jobs:
                runner.run(job, partition=REBALANCED[0].isoformat())
        with timed(taken, "rebalance_all"):
            for job in jobs:
                # The last one's time stays: nothing of it is there for the first time.
                with timed(taken, "rebalance_one"):
                    runner.run(job, partition=REBALANCED[1].isoformat())
    desk = Desk(size.settings, lambda: TODAY)
    orders = [session_summary(desk, name, REBALANCED[1])["orders"] for name in size.portfolios]
    assert min(orders) > 0.8 * size.names, orders
    return taken


WORKS: dict[str, Callable[[Size], Seconds]] = {
    work.__name__: work for work in (definitions, backfill, collect, rebalance)
}


def main(folder: str, units: str, work: str) -> None:
    size = Size(Path(folder), int(units))
    os.environ.update(size.project.environment)
    profile = cProfile.Profile() if os.environ.get("PROFILE") else None
    with patch.object(factory, "open_provider", lambda *_, **__: MadeUpMarket()):
        taken = profile.runcall(WORKS[work], size) if profile else WORKS[work](size)
    if profile:
        profile.dump_stats(os.environ["PROFILE"])
    print(json.dumps({"seconds": taken, "peak_mb": peak_mb(os.getpid())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
