"""The mutants of small modules: what is changed, what is left alone, and that a change which matters is noticed."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants import trials
from tests.mutants.mutating import Mutant, mutants_of
from tests.mutants.reporting import Equivalent, Tried, equivalents, share, table
from tests.mutants.trials import Chosen, Outcome, Trial
from tests.mutants.watching import Watched


def changes(source: str) -> set[str]:
    """The lines that mutants put into a module."""
    found = (mutant for mutant in mutants_of("risk/x.py", source) if mutant.text() is not None)
    return {line[2:] for mutant in found for line in mutant.diff() if line.startswith("+")}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b):\n    return a < b\n", "return a <= b"),
        ("def f(a, b):\n    return a and b\n", "return a or b"),
        ("def f(a):\n    if a:\n        return 1\n", "if not (a):"),
        ("def f(a):\n    a.commit()\n", "pass"),
        ("def f(a):\n    raise ValueError(a)\n", "pass"),
        ("def f(a):\n    return g(a, 1)\n", "return g(a, )"),
        ("class A:\n    @property\n    def b(self):\n        return self.c + 1\n", "return self.c - 1"),
        ("LIMIT = 5\n", "LIMIT = 6"),
        ('KIND = "open"\n', 'KIND = "XXopenXX"'),
        ("class A:\n    limit: int = 5\n", "limit: int = 6"),
    ],
)
def test_what_decides_something_is_changed_wherever_it_stands(source: str, expected: str) -> None:
    assert expected in changes(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""What a module is for."""\n',
        "def f(a: int | None) -> int | None: ...\n",
        "@dataclass(frozen=True)\nclass A: ...\n",
        "class A:\n    def __repr__(self):\n        return self.a + 1\n",
        "def f(a):\n    assert a > 1\n",
        "Number = int | float\n",
        'Side = Literal["buy", "sell"]\n',
        "if TYPE_CHECKING:\n    A = 1\n",
        '__all__ = ["a"]\n',
        'T = TypeVar("T")\n',
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert changes(source) == set()


def test_the_words_of_a_refusal_may_change_but_not_that_it_refuses() -> None:
    source = 'def f(a):\n    raise InputError(f"There is no {a}.", remedy="Name another one.")\n'
    assert changes(source) == {"pass"}


def test_that_two_lists_are_as_long_is_stated_and_not_decided() -> None:
    assert not any("strict=False" in line for line in changes("def f(a, b):\n    return zip(a, b, strict=True)\n"))


def test_the_same_seed_draws_the_same_mutants() -> None:
    first, again = (command.drawn_from(["risk/limits.py"], 5, command.Random("7")) for _ in range(2))
    assert [mutant.diff() for mutant in first] == [mutant.diff() for mutant in again]
    assert len(first) == 5


def test_a_mutant_that_is_known_to_change_nothing_is_told_by_its_lines() -> None:
    (mutant,) = [one for one in mutants_of("risk/x.py", "def f(a, b):\n    return a < b\n") if one.line == 2]
    assert Equivalent("risk/x.py", "return a < b", "return a <= b", "never equal").is_of(mutant)
    assert not Equivalent("risk/y.py", "return a < b", "return a <= b", "never equal").is_of(mutant)
    assert not Equivalent("risk/x.py", "return a < b", "return a > b", "never equal").is_of(mutant)


def test_every_mutant_that_is_said_to_change_nothing_exists_and_says_why() -> None:
    modules = {one.module for one in equivalents()}
    found = {module: mutants_of(module, (command.SOURCES / module).read_text()) for module in modules}
    for one in equivalents():
        assert any(one.is_of(mutant) for mutant in found[one.module]), one
        assert len(one.why) > 20, one


def test_the_tests_of_a_line_come_in_the_order_of_how_near_they_are_and_import_concerns_the_whole_package() -> None:
    tests = [
        Chosen("tests/execution/test_tracking.py::a", 0.1), Chosen("tests/risk/test_limits.py::b", 2.0),
        Chosen("tests/risk/test_other.py::c", 0.2), Chosen("tests/risk/test_limits.py::d[postgres]", 0.1),
        Chosen("tests/risk/test_unused.py::e", 0.1),
    ]  # fmt: skip
    watched = Watched(tests, {"risk/limits.py": {2: [0, 1, 2, 3]}})
    inside, outside = mutants_of("risk/limits.py", "def f(a, b):\n    return a < b\n\nLIMIT = 5\n")[:1], "LIMIT"
    assert [test.nodeid[-1] for test in watched.chosen(inside[0])] == ["b", "c", "a", "]"]
    at_import = next(one for one in mutants_of("risk/limits.py", "LIMIT = 5\n") if outside in one.diff()[0])
    assert [test.nodeid[-1] for test in watched.chosen(at_import)] == ["b", "e", "c", "a", "]"]
    called = Watched(tests, {"risk/limits.py": {2: [2], 5: [0]}}, imported={"risk/limits.py": [1, 2, 4]})
    assert [test.nodeid[-1] for test in called.chosen(inside[0])] == ["b", "e", "c", "a", "]"]


PROJECT = {
    "scizor_dagster/__init__.py": "",
    "scizor_dagster/small.py": "def least(a, b):\n    return a if a < b else b\n",
    "tests/test_small.py": (
        "import subprocess, sys\nfrom scizor_dagster.small import least\n"
        "def test_a(): assert least(1, 2) == 1\n"
        "def test_child():\n"
        "    code = 'from scizor_dagster.small import least; print(least(1, 2))'\n"
        "    assert subprocess.check_output([sys.executable, '-c', code]) == b'1\\n'\n"
    ),
    "pyproject.toml": "[tool.pytest.ini_options]\n",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def tried(small: Path, text: str, *names: str, patience: float = 60.0) -> Outcome:
    """In a process of its own: one that has threads, as a test runner may, is not to be forked."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_tried, small, text, names, patience).result()


def _tried(small: Path, text: str, names: tuple[str, ...], patience: float) -> Outcome:
    tests = [Chosen(f"tests/test_small.py::{name}", 0.0) for name in names]
    with trials.copies(small, 1) as copies:
        ((_, outcome),) = trials.play(
            iter([lambda copy: Trial(copy, "scizor_dagster/small.py", text, tests, patience)]), copies
        )
        assert (copies[0] / "scizor_dagster/small.py").read_text() == PROJECT["scizor_dagster/small.py"]
    return outcome


@pytest.mark.parametrize("name", ["test_a", "test_child"])
def test_a_change_that_a_test_or_its_own_child_sees_is_noticed_and_one_that_none_sees_survives(
    small: Path, name: str
) -> None:
    wrong = tried(small, "def least(a, b):\n    return a if a > b else b\n", name)
    assert (wrong.noticed, wrong.by, wrong.late) == (True, f"tests/test_small.py::{name}", False)
    assert not tried(small, "def least(a, b):\n    return a if a <= b else b\n", name).noticed


def test_a_module_that_cannot_be_imported_any_more_is_noticed_by_the_error_itself(small: Path) -> None:
    outcome = tried(small, "LEAST = missing\n", "test_a")
    assert outcome.noticed
    assert "missing" in outcome.by


def test_a_change_that_never_ends_is_noticed_as_late(small: Path) -> None:
    outcome = tried(small, "def least(a, b):\n    while True: pass\n", "test_a", patience=5.0)
    assert (outcome.noticed, outcome.late) == (True, True)


def test_the_report_counts_by_module_by_package_and_in_all() -> None:
    mutant: Mutant = mutants_of("risk/x.py", "A = 1\n")[0]
    found = [Tried(mutant, Outcome(True, "t")), Tried(mutant, Outcome(False))]
    assert [" ".join(line.split()) for line in table(found)] == [
        "risk in all 1 of 2 50.0%",
        "risk/x.py 1 of 2 50.0%",
        "the core in all 1 of 2 50.0%",
    ]
    assert (share(found), share([])) == (0.5, 1.0)
