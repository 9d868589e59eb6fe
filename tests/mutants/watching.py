"""Which tests run which line, and how long each takes: learnt by running the core's own tests once, under coverage."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import coverage
import pytest

from tests.mutants.mutating import Mutant
from tests.mutants.trials import Chosen, forked, run_pytest

PACKAGES = ("execution", "ledger", "planning", "reconciliation", "risk")
BUDGET = 40.0
"""Seconds of tests that are spent on one mutant, at most."""
SLOW = 6.0
"""A test that takes more seconds is left to the suite."""
HEAVY = (
    "test_after_every_session_of_random_faults",
    "test_whatever_happens_in_whatever_order",
    "test_death_at_any_point",
    "test_whatever_goes_wrong_with_a_call",
    "test_no_order_is_marked_after_a_halt",
    "test_a_commit_that_fails_stops_the_run",
    "test_permuted_doubled_missing",
    "test_a_jump_that_lets_a_second_run",
    "test_a_commit_in_doubt_is_never_followed",
    "test_nothing_that_reaches_the_exchange_in_a_random",
)
"""Tests of many trials, by the beginning of their names: what they alone would notice is to have one that states it."""


@dataclass
class Watched:
    """Tests by module and line, and the lines that run already when a module is imported."""

    tests: list[Chosen] = field(default_factory=list)
    lines: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    imported: dict[str, list[int]] = field(default_factory=dict)

    def chosen(self, mutant: Mutant) -> list[Chosen]:
        """The tests that run a mutant's lines, the fastest first, within the budget.

        What runs at import, as a function does that makes a table or a statement, is seen by whatever uses the module
        and by the tests of its package: the test that was first to import it is no better a judge than another.
        """
        lines = self.lines.get(mutant.path, {})
        span = range(mutant.first, mutant.last + 1)
        found = {test for line in span for test in lines.get(line, ())}
        if not found or not set(span).isdisjoint(self.imported.get(mutant.path, ())):
            folder = f"tests/{mutant.path.partition('/')[0]}/"
            found = {test for tests in lines.values() for test in tests}
            found |= {number for number, test in enumerate(self.tests) if test.nodeid.startswith(folder)}
        return list(_affordable(sorted((self.tests[number] for number in found), key=_order_for(mutant.path))))

    def write(self, file: Path) -> None:
        tests = [[test.nodeid, test.seconds] for test in self.tests]
        told = {"tests": tests, "lines": self.lines, "failed": self.failed, "imported": self.imported}
        file.write_text(json.dumps(told))

    @classmethod
    def read(cls, file: Path) -> Watched:
        data = json.loads(file.read_text())
        lines = {path: {int(line): tests for line, tests in by.items()} for path, by in data["lines"].items()}
        return cls([Chosen(*test) for test in data["tests"]], lines, data["failed"], data["imported"])


def _order_for(path: str) -> Callable[[Chosen], tuple[bool, bool, bool, float]]:
    """The tests of the module first, then those of its package, then others, the fastest first.

    Tests on a server's ledger come last: the server takes a second to start.
    """
    package, _, module = path.removesuffix(".py").partition("/")

    def order(test: Chosen) -> tuple[bool, bool, bool, float]:
        file = test.nodeid.partition("::")[0]
        own = file.startswith(f"tests/{package}/")
        return "postgres" in test.nodeid, not (own and module in file), not own, test.seconds

    return order


def _affordable(tests: Sequence[Chosen]) -> Iterator[Chosen]:
    spent = 0.0
    for test in tests:
        spent += test.seconds
        if spent > BUDGET:
            return
        yield test


class _Watcher:
    """Names each test to coverage, times it, and leaves out the second store of tests that run on both."""

    def __init__(self, cover: coverage.Coverage, result: Path) -> None:
        self._cover = cover
        self._result = result
        self._began = 0.0
        self._seconds: dict[str, float] = {}
        self._failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        named = {item.nodeid for item in items}
        items[:] = [item for item in items if not _has_twin(item.nodeid, named) and not item.name.startswith(HEAVY)]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._cover.switch_context(nodeid)
        self._began = time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._seconds[nodeid] = time.perf_counter() - self._began
        self._cover.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self._failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._result.write_text(json.dumps({"seconds": self._seconds, "failed": self._failed}))


def _has_twin(nodeid: str, named: set[str]) -> bool:
    return "postgres" in nodeid and any(nodeid.replace("postgres", to) in named for to in ("sqlite", "sqlite0"))


def own_tests(root: Path) -> list[str]:
    """The modules of the core's own tests."""
    files = (file for name in PACKAGES for file in sorted((root / "tests" / name).glob("test_*.py")))
    return [file.relative_to(root).as_posix() for file in files]


def watch(copies: Sequence[Path], files: Sequence[str]) -> Watched:
    """Run modules of tests, one process per module and one module per copy at a time."""
    running: dict[int, Path] = {}
    free = list(copies)
    parts = copies[0] / "watched"
    parts.mkdir(exist_ok=True)
    for number, file in enumerate(files):
        if not free:
            ended, _ = os.wait()
            free.append(running.pop(ended))
        copy = free.pop()
        result = parts / f"{number}"
        running[forked(copy, _watching(copy, file, result), copy / "output")] = copy
    while running:
        ended, _ = os.wait()
        running.pop(ended)
    return _joined(parts, files)


def _watching(copy: Path, file: str, result: Path) -> Callable[[], int]:
    def work() -> int:
        sources = [str(copy / "scizor_dagster" / name) for name in PACKAGES]
        cover = coverage.Coverage(data_file=f"{result}.coverage", source=sources, config_file=False)
        cover.start()
        watcher = _Watcher(cover, result.with_suffix(".json"))
        status = run_pytest([file], [watcher])
        cover.stop()
        cover.save()
        return status

    return work


def _joined(parts: Path, files: Sequence[str]) -> Watched:
    watched = Watched()
    numbers: dict[str, int] = {}
    lines: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    imported: dict[str, set[int]] = defaultdict(set)
    for part, file in enumerate(files):
        outcome = parts / f"{part}.json"
        if not outcome.exists():
            watched.failed.append(file)
            continue
        told = json.loads(outcome.read_text())
        watched.failed += told["failed"]
        for nodeid, seconds in told["seconds"].items():
            if nodeid not in told["failed"] and seconds <= SLOW:
                numbers[nodeid] = len(watched.tests)
                watched.tests.append(Chosen(nodeid, round(seconds, 4)))
        data = coverage.CoverageData(f"{parts / str(part)}.coverage")
        data.read()
        for path in data.measured_files():
            module = path.partition("/scizor_dagster/")[2]
            for line, contexts in data.contexts_by_lineno(path).items():
                lines[module][line] += [numbers[name] for name in contexts if name in numbers]
                if "" in contexts:
                    imported[module].add(line)
    watched.lines = {path: dict(by) for path, by in lines.items()}
    watched.imported = {path: sorted(found) for path, found in imported.items()}
    return watched
