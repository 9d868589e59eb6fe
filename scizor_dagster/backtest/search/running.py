"""Running parameter sets: in this process, or in several that share the history's memory.

What belongs here: one set to one trial, worker processes, their number and their end. What does not: which sets
(`samplers`), what is kept (`trials`), and what a backtest is (`engine`).

Workers are started anew (never forked: this process has threads), map the history's arrays from files that all of them
share, and end with this process, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import Schedule
from scizor_dagster.backtest.search.problem import Problem, without_arrays
from scizor_dagster.backtest.search.spaces import Parameters
from scizor_dagster.backtest.search.trials import State, Trial
from scizor_dagster.errors import ConfigError, DataError, ScizorError

WORTH_WORKERS = 6.0
"""Seconds of work below which starting processes, about three seconds, does not pay."""
CHUNK_SECONDS = 1.0
"""Work that a process is given at a time: what is lost at most when a search is stopped."""
MOST_IN_CHUNK = 64


def workers_of(environment: Mapping[str, str], wanted: int | None = None) -> int:
    """How many processes may work: as asked for, but not above `MAX_WORKERS` or the processors of this machine.

    Raises:
        ConfigError: `MAX_WORKERS`, or what is asked for, is no whole number above 0.
    """
    limit = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = environment.get("MAX_WORKERS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ConfigError(
                f"MAX_WORKERS is '{text}'.", remedy="Set it to a whole number above 0.", where="environment"
            )
        limit = min(limit, int(text))
    if wanted is not None and wanted < 1:
        raise ConfigError(f"{wanted} workers cannot work.", remedy="Ask for at least 1.", where="--workers")
    return limit if wanted is None else min(limit, wanted)


def run_sets(problem: Problem, sets: Sequence[Parameters]) -> Iterator[Trial]:
    """A trial of each set, in order, in this process. An error of one is its result, and does not end the others."""
    choices, book = replace(problem.choices, keep_positions=False, keep_trades=False), problem.book
    schedules: Iterator[Schedule] | None = None
    for place, parameters in enumerate(sets):
        start = time.perf_counter()
        try:
            if schedules is None:
                schedules = iter(problem.maker(problem.history, sets[place:]))
            schedule = next(schedules, None)
            if schedule is None:
                raise DataError(
                    f"The strategy {problem.strategy} made no schedule.",
                    remedy="Let its vectorised form give one for each set, in their order.",
                )
            result = run_backtest(
                problem.history, schedule, problem.rules, problem.capabilities, choices, prepared=book
            )
        except ScizorError as error:
            schedules, trial = None, Trial(parameters, State.FAILED, str(error))
        except Exception as error:
            # A strategy is foreign code: whatever it raises is said of its set.
            schedules, trial = None, Trial(parameters, State.FAILED, f"{type(error).__name__}: {error}")
        else:
            assert result.spent is not None
            traded, *costs = result.spent.sum(axis=0).tolist()
            trial = Trial(parameters, State.DONE, equity=result.equity, traded=traded, costs=sum(costs))
        yield replace(trial, seconds=time.perf_counter() - start)


class Runner(AbstractContextManager["Runner"]):
    """Runs sets of one problem; processes are started when the work is worth them, and end with the block."""

    def __init__(self, problem: Problem, workers: int, worth: float = WORTH_WORKERS) -> None:
        self._problem, self._workers, self._worth = problem, workers, worth
        self._pool: ProcessPoolExecutor | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._each: float | None = None

    @property
    def has_processes(self) -> bool:
        return self._pool is not None

    def run(self, sets: Sequence[Parameters]) -> Iterator[Trial]:
        """A trial of each set, as they are finished.

        Raises:
            DataError: a worker process was killed, for want of memory for example.
        """
        left = list(sets)
        # What the first ones take tells whether processes pay; the very first has compiling in it.
        while left and self._pool is None and not self._is_worth(len(left)):
            part, left = left[:MOST_IN_CHUNK], left[MOST_IN_CHUNK:]
            if self._each is None:
                part, left = part[:2], [*part[2:], *left]
            for trial in run_sets(self._problem, part):
                self._each = trial.seconds
                yield trial
        if left:
            yield from self._in_pool(left)

    def _is_worth(self, count: int) -> bool:
        return (
            self._workers > 1
            and self._each is not None
            and self._each * count >= self._worth
            # A process that is a service of another may have none of its own.
            and not multiprocessing.current_process().daemon
            and _is_known_by_name(self._problem)
        )

    def _in_pool(self, sets: Sequence[Parameters]) -> Iterator[Trial]:
        pool = self._pool or self._start()
        size = max(
            1,
            min(MOST_IN_CHUNK, int(CHUNK_SECONDS / max(self._each or 0.0, 1e-3)), -(-len(sets) // (4 * self._workers))),
        )
        waiting: list[Future[list[Trial]]] = [
            pool.submit(_work, list(sets[start : start + size])) for start in range(0, len(sets), size)
        ]
        try:
            for done in as_completed(waiting):
                yield from done.result()
        except BrokenProcessPool as error:
            raise DataError(
                "A worker process of the search was killed.",
                remedy="This is what a machine without memory does: try again with fewer --workers. What is finished "
                "is kept.",
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _start(self) -> ProcessPoolExecutor:
        import numpy as np

        self._folder = TemporaryDirectory(prefix="scizor-search-")
        history, arrays = without_arrays(self._problem.history)
        for name, values in arrays.items():
            np.save(Path(self._folder.name) / f"{name}.npy", np.ascontiguousarray(values))
        self._pool = ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(replace(self._problem, history=history), self._folder.name),
        )
        return self._pool

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()


def _is_known_by_name(problem: Problem) -> bool:
    try:
        pickle.dumps((problem.maker, problem.choices))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


_problem: list[Problem] = []
"""Of a worker process."""


def _begin(problem: Problem, folder: str) -> None:
    import numpy as np

    # Ctrl-C reaches every process of a terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    arrays: dict[str, Any] = {path.stem: np.load(path, mmap_mode="r") for path in Path(folder).glob("*.npy")}
    _problem[:] = [replace(problem, history=replace(problem.history, **arrays))]


def _end_with_parent(folder: str) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # One that was killed has left it behind.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


def _work(sets: list[Parameters]) -> list[Trial]:
    return list(run_sets(_problem[0], sets))
