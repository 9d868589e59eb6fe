"""Processes that are forked from one that has imported the libraries once, each with some tests to run on a copy.

A process imports the project and its tests anew, from the copy, so what a module does when it is imported is mutated
like all else, and processes that a test starts see the mutant too. It says which test it begins; one that takes far
longer than it did on the sound code counts as noticed, and is killed with all that it has started.
"""

from __future__ import annotations

import compileall
import gc
import importlib
import os
import selectors
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "docs", "*.egg-info", ".scizor*", ".*_cache", ".hypothesis"
)
_LIBRARIES = (
    "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "alembic.command", "psycopg2", "pandas",
    "pandera.pandas", "pyarrow.parquet", "openpyxl", "duckdb", "exchange_calendars", "pydantic", "yaml", "typer",
    "filelock", "hypothesis.stateful", "_hypothesis_pytestplugin", "multiprocessing.spawn",
)  # fmt: skip
_UNNOTICED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass(frozen=True)
class Chosen:
    """A test and how many seconds it took on the sound code."""

    nodeid: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: `by` is the test that noticed, or the text of what went wrong before the first one."""

    noticed: bool
    by: str = ""
    late: bool = False
    seconds: float = 0.0


@contextmanager
def copies(root: Path, count: int) -> Iterator[list[Path]]:
    """Copies of the project, for as long as the block lasts: the project itself is never touched."""
    with TemporaryDirectory(prefix="scizor-mutants-") as folder:
        made = [Path(folder, str(number)) for number in range(count)]
        for copy in made:
            shutil.copytree(root, copy, ignore=_LEFT_OUT, symlinks=True)
            for name in ("scizor_dagster", "tests"):
                compileall.compile_dir(copy / name, quiet=2)
        yield made


def import_libraries() -> None:
    """Import what takes long, so that a fork has it."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a library has started a thread; a fork would lose it"
    gc.freeze()


def forked(copy: Path, work: Callable[[], int], output: Path) -> int:
    """Start a process, the first of a group of its own, that ends with the status of `work`."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        # Not what a test's own pytest has put there, if one forks.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        os.environ.update(PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "scizor_dagster")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        settings.register_profile("mutants", derandomize=True, database=None)
        settings.load_profile("mutants")
        status = work()
    finally:
        sys.stdout.flush()
        os._exit(status)


class Narrator:
    """Runs the chosen tests alone, in their order, and writes the number of each into a pipe as it begins."""

    def __init__(self, tests: Sequence[Chosen], pipe: int) -> None:
        self._rank = {test.nodeid: number for number, test in enumerate(tests)}
        self._pipe = pipe

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._rank), key=lambda it: self._rank[it.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self._pipe, f"{self._rank[nodeid]}\n".encode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            sys.stdout.flush()
            os._exit(pytest.ExitCode.TESTS_FAILED)


def run_pytest(files: Sequence[str], plugins: Sequence[Any]) -> int:
    """Run tests of some files in this process."""
    without = [f"-pno:{name}" for name in ("cacheprovider", "xdist", "pytest_cov", "anyio", "unraisableexception")]
    options = ("-q", "--tb=line", "--assert=plain", "-o", "addopts=", "-o", "timeout=0")
    return int(pytest.main([*without, *options, *files], plugins=list(plugins)))


@dataclass
class Trial:
    """One mutant in one copy, and the tests that may notice it, the fastest first."""

    copy: Path
    path: str
    text: str
    tests: Sequence[Chosen]
    patience: float
    began: float = field(default_factory=time.monotonic)
    _at: int = -1
    _said: bytes = b""

    def start(self) -> None:
        """Put the mutant in its place and start the process.

        A module compiled in the same second from as long a text is not told apart by Python: the old one is removed.
        """
        self._file = self.copy / self.path
        self._sound = self._file.read_text()
        for old in self._file.parent.glob(f"__pycache__/{self._file.stem}.*.pyc"):
            old.unlink()
        self._file.write_text(self.text)
        self.pipe, child_end = os.pipe()
        narrator = Narrator(self.tests, child_end)
        self._child = forked(self.copy, lambda: self._run(narrator), self.copy / "output")
        os.close(child_end)
        self._deadline = time.monotonic() + self.patience

    def _run(self, narrator: Narrator) -> int:
        """Run the first file by itself: most mutants are noticed before the others are imported."""
        files = list(dict.fromkeys(test.nodeid.partition("::")[0] for test in self.tests))
        statuses = (run_pytest(part, [narrator]) for part in (files[:1], files[1:]) if part)
        return next((status for status in statuses if status not in _UNNOTICED), 0)

    @property
    def left(self) -> float:
        """Seconds until the test that runs is late."""
        return self._deadline - time.monotonic()

    def heard(self) -> bool:
        """Read what the process says; False once it has ended."""
        said = os.read(self.pipe, 65536)
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            self._at = int(line)
            self._deadline = time.monotonic() + self.patience + 10 * self.tests[self._at].seconds
        return bool(said)

    def finish(self) -> Outcome:
        """The outcome, of a process that has ended or that is late; the copy is sound again."""
        status = self._status()
        late = status is None
        _end_group(self._child)
        os.close(self.pipe)
        self._file.write_text(self._sound)
        seconds = time.monotonic() - self.began
        if status in _UNNOTICED:
            return Outcome(False, seconds=seconds)
        output = (self.copy / "output").read_text(errors="replace")
        by = self.tests[self._at].nodeid if self._at >= 0 else output[-300:]
        return Outcome(True, by, late, seconds)

    def _status(self) -> int | None:
        """The status of a process that has ended, or has closed its pipe and ends; None of one that goes on."""
        child, status = os.waitpid(self._child, os.WNOHANG if self.left <= 0 else 0)
        return os.waitstatus_to_exitcode(status) if child else None


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(leader, 0)


def play(trials: Iterator[Callable[[Path], Trial]], places: Sequence[Path]) -> Iterator[tuple[int, Outcome]]:
    """Run trials, one in each copy at a time; yields each one's number and outcome as it ends."""
    free, running = list(places), {}
    selector = selectors.DefaultSelector()
    numbered = enumerate(trials)
    more = True
    while more or running:
        while more and free:
            following = next(numbered, None)
            if following is None:
                more = False
                break
            trial = following[1](free.pop())
            trial.start()
            running[trial.pipe] = (following[0], trial)
            selector.register(trial.pipe, selectors.EVENT_READ)
        if not running:
            continue
        wait = max(0.0, min(trial.left for _, trial in running.values()))
        ready = {key.fd for key, _ in selector.select(wait)}
        for pipe, (number, trial) in list(running.items()):
            ended = pipe in ready and not trial.heard()
            if ended or trial.left <= 0:
                selector.unregister(pipe)
                del running[pipe]
                free.append(trial.copy)
                yield number, trial.finish()
